"""Commands of the command line by their full names, and the parsing of command lines in texts."""

import re
import shlex

from typer.main import get_command

from marginlens import cli

ROOT = get_command(cli.app)


def _walk(command, path):
    yield " ".join(path), command
    for name, one in getattr(command, "commands", {}).items():
        yield from _walk(one, [*path, name])


PAGES = dict(_walk(ROOT, []))
"""Groups and commands by name; the application itself is the empty name."""
GROUPS = {name: one for name, one in PAGES.items() if hasattr(one, "commands")}
COMMANDS = {name: one for name, one in PAGES.items() if name not in GROUPS}


def command_of(words):
    """Name of the command that words begin with, and the words after it."""
    for length in (2, 1):
        name = " ".join(words[:length])
        if name in COMMANDS:
            return name, words[length:]
    raise AssertionError(f"no command: marginlens {' '.join(words)}")


def parse(line):
    """Name of the command in a line that begins with marginlens; its options and values are checked."""
    line = re.split(r" [|>;] | && ", line.replace("\\\n", " "))[0]
    name, rest = command_of(shlex.split(line, comments=True)[1:])
    COMMANDS[name].make_context(name, rest)
    return name
