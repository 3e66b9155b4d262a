"""Application and groups that commands register with, the two consoles, and the handling of failures."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.markup import escape
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.exceptions import TyperException
from typer.main import get_command

from marginlens import __version__
from marginlens.cli.console import PlainConsole
from marginlens.cli.failures import failure_of
from marginlens.cli.renamed_commands import current_command
from marginlens.cli.suggestions import shown_name, usage_message

__all__ = [
    "PANEL",
    "analyze_commands",
    "app",
    "err",
    "figure_commands",
    "main",
    "out",
    "sweep_commands",
    "theory_commands",
]

ORDER = (
    "predict",
    "run",
    "train",
    "measure",
    "verify",
    "report",
    "reproduce",
    "explore",
    "theory",
    "analyze",
    "sweep",
    "figure",
    "atlas",
    "path",
    "certify",
    "widths",
    "waveform",
    "degrees",
    "memorizing",
    "algorithms",
    "interference",
    "lottery",
    "grokking",
    "progress",
    "query",
    "table",
    "law",
    "list",
    "draw",
    "animate",
)
"""Names of commands in the order in which help pages list them."""

VALUE_NAMES: dict[Any, str] = {int: "N", float: "X", str: "TEXT", Path: "PATH"}
"""Names of values in help pages, by type."""

DEBUG = "MARGINLENS_DEBUG"
"""Environment variable that adds tracebacks to failures."""


class _PlainHelp:
    """Mixin of commands and groups with literal help and short names of values."""

    params: list[Any]

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        for documented in (self, *self.params):  # Typer reads Rich markup: [images] would vanish
            for name in ("help", "short_help", "epilog"):
                text = getattr(documented, name, None)
                if text:
                    setattr(documented, name, escape(text))

    def get_params(self, ctx: Any) -> list[Any]:
        """List the parameters, with ``N`` for Typer's ``<int range>`` and no value for a flag."""
        parameters: list[Any] = super().get_params(ctx)  # pyright: ignore[reportAttributeAccessIssue]
        for one in parameters:
            if isinstance(one, TyperOption) and one.metavar is None:
                kind = one.type_descriptor.annotation
                one.metavar = "" if one.is_flag else VALUE_NAMES.get(kind)
            elif isinstance(one, TyperArgument):  # its name says it; no <str>
                one.display_type_rich = _no_type
        return parameters


def _no_type(ctx: Any) -> None:
    """Leave out the type of an argument."""


class _Command(_PlainHelp, TyperCommand):
    """Command with literal help that refuses empty names of files and folders."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse arguments and refuse empty names, which would mean the working folder."""
        values, _, _ = self.make_parser(ctx).parse_args(list(args))
        for parameter in self.params:
            given = values.get(parameter.name or "")
            kind = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
            is_path = kind is Path or "FOLDER" in str(parameter.metavar)
            if is_path and isinstance(given, str) and not given.strip():
                raise ValueError(
                    f"expected the name of a file or folder for {shown_name(parameter)}, got {given!r}; "
                    "for example runs/C5"
                )
        return super().parse_args(ctx, args)


class _Group(_PlainHelp, TyperGroup):
    """Group of commands with literal help, listed in the order of :data:`ORDER`."""

    def list_commands(self, ctx: Any) -> list[str]:
        """List the names of the commands in the order in which a person needs them.

        Parameters
        ----------
        ctx
            Context of the command line.
        """
        return sorted(self.commands, key=ORDER.index)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find a command by its name in any case."""
        if args and args[0] not in self.commands and args[0].lower() in self.commands:
            args = [args[0].lower(), *args[1:]]
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run a command; Typer would end a broken pipe with code 1 and take EOFError for Ctrl-C."""
        try:
            return super().invoke(ctx)
        except (EOFError, OSError) as error:
            raise _CarriedError(error) from error


class _CarriedError(Exception):
    """Carrier of an exception that Typer would handle in its own way."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class _App(typer.Typer):
    """Application whose commands state their examples as command lines."""

    def command(
        self,
        name: str | None = None,
        *,
        examples: Sequence[str] = (),
        run: str = "",
        notes: str = "",
        **settings: Any,
    ) -> Callable[[Callable[..., Any]], Any]:
        """Register a function as a command.

        Parameters
        ----------
        name
            Name of the command; by default that of the function.
        examples
            Command lines after ``marginlens``, shown at the end of the help page.
        run
            Command line that trains a suitable run, for a command that examines one.
        notes
            Paragraphs below the examples, separated by empty lines.
        **settings
            Settings of Typer's own decorator.
        """
        settings.setdefault("cls", _Command)
        settings.setdefault("epilog", _epilog(examples, notes, run))
        return super().command(name, **settings)


def _epilog(examples: Sequence[str], notes: str = "", run: str = "") -> str:
    lines = "\n".join(map(_example_line, examples))
    suitable = f"A suitable run:\n\n{_example_line(run)}" if run else ""
    # the empty first line keeps Typer from removing the indentation of the examples
    return "\n\n".join(filter(None, ["\nExamples:", lines, suitable, notes]))


def _example_line(words: str) -> str:
    """Command line of an example, continued after a backslash where it is longer than a help page."""
    line = ""
    for option in re.split(r" (?=-|\")", f"  marginlens {words}"):
        if line and len(line.rpartition("\n")[2]) + len(option) > _WIDTH:
            line += " \\\n     "
        line += f" {option}" if line else option
    return line


_WIDTH = 74
"""Longest line of an example in a help page of 80 columns."""
PANEL = "More commands, in groups"
_HELP_OPTIONS = {"help_option_names": ["--help", "-h"]}

app = _App(
    cls=_Group,
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings=_HELP_OPTIONS,
    pretty_exceptions_enable=False,
    help="Predict which features a network learns on an algebraic task, train it, measure what it "
    "learned, and compare the two.",
    epilog=_epilog(
        ["run C71", "predict A5 --strength 1e-5", 'run "parity(10,4)" --out runs/parity'],
        "Exit codes: 0 done; 1 contradicted, not certified, or runs failed; 2 wrong input or settings; "
        "3 premise of a theorem not met; 70 internal error; 130 interrupted; 141 reader of the output "
        "gone.",
    ),
)


def _command_group(name: str, help: str, *examples: str) -> _App:
    """Add a group of commands to the application."""
    group = _App(
        cls=_Group,
        no_args_is_help=True,
        context_settings=_HELP_OPTIONS,
        help=help,
        epilog=_epilog(examples),
    )
    app.add_typer(group, name=name, rich_help_panel=PANEL)
    return group


theory_commands = _command_group(
    "theory",
    "Compute margins, penalty paths, best neurons and textbook algorithms from a task alone.",
    "theory certify A5",
    "theory path C23 --figure path.html",
)
analyze_commands = _command_group(
    "analyze",
    "Analyze one saved run: its algorithm, waveform, lottery, grokking or parity progress.",
    "analyze algorithms runs/C23",
    "analyze grokking runs/C113 --figure grokking.html",
)
sweep_commands = _command_group(
    "sweep",
    "Train many configurations from many seeds, and evaluate the results in tables and SQL.",
    "sweep run pilot.toml --out sweeps/pilot",
    "sweep table sweeps/pilot",
)
figure_commands = _command_group(
    "figure",
    "Draw figures and films of runs, foreign networks and atlases, as pages or images.",
    "figure list",
    "figure draw neurons runs/C23 --out neurons.svg",
)
out = PlainConsole()
err = PlainConsole(stderr=True)


def _print_version(wanted: bool) -> bool:
    if wanted:
        out.print(f"marginlens {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            help=f"Print the traceback of a failure; may stand anywhere, and {DEBUG}=1 does the same.",
        ),
    ] = False,
) -> None:
    pass


@cache
def _command() -> Any:
    """Build the whole command line, once in a process."""
    return get_command(app)


def main() -> NoReturn:
    """Run the command line and exit; a failure prints one line on standard error.

    The codes are 2 for wrong input and settings, 70 for an internal error, 130 after Ctrl-C and 141
    where the reader of the output has gone.
    """
    arguments, debug = _without_debug(sys.argv[1:])
    _require_streams()
    arguments, note = current_command(arguments)
    if note:
        err.print(f"marginlens: {note}", style="yellow", soft_wrap=True)
    try:
        result = _command()(args=arguments, prog_name="marginlens", standalone_mode=False)
        code = result if isinstance(result, int) else 0
        sys.stdout.flush()
    except Exception as error:
        failure = error.error if isinstance(error, _CarriedError) else error
        code = _fail(failure, arguments, debug=debug)
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def _fail(error: Exception, arguments: list[str], *, debug: bool) -> int:
    """Print a failure in one line, after its traceback if wanted, and return the exit code."""
    try:
        sys.stdout.flush()
    except OSError:
        _close_stdout()
    if debug and not isinstance(error, (BrokenPipeError, TyperException)):
        import traceback

        traceback.print_exception(error)
    if isinstance(error, TyperException):
        code, message = 2, usage_message(error, arguments)
    else:
        code, message = failure_of(error)
    if message:
        line = " ".join(message.split())
        err.print(f"marginlens: {line}", style="red", soft_wrap=True)
    return code


def _without_debug(arguments: list[str]) -> tuple[list[str], bool]:
    """Arguments without ``--debug``, and whether tracebacks are wanted."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    kept = [word for word in arguments[:end] if word != "--debug"]
    wanted = len(kept) < end or os.environ.get(DEBUG, "") not in ("", "0")
    return kept + arguments[end:], wanted


def _require_streams() -> None:
    """Open closed standard streams, and escape characters that their encoding lacks."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the shell: >&-
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="marginlens")


def _close_stdout() -> None:
    """Discard the rest of standard output if its reader has gone or the disk is full."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123
