"""The application that verbs register with, its consoles, and its last line of defence."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command

from marginlens import __version__
from marginlens.cli.console import PlainConsole
from marginlens.cli.failures import failure_of
from marginlens.cli.suggestions import shown_name, usage_message

__all__ = ["app", "err", "main", "out"]

DEBUG = "MARGINLENS_DEBUG"
"""Environment variable: if set, failures come with their traceback."""


class _Verb(TyperCommand):
    """Command whose help is text, not markup, and whose files and folders have names."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        _literal_help(self)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse arguments; an empty name of a file or folder would be the working folder."""
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


class _Verbs(TyperGroup):
    """Group whose help is text, not markup."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        _literal_help(self)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find a verb in any case."""
        if args and args[0] not in self.commands and args[0].lower() in self.commands:
            args = [args[0].lower(), *args[1:]]
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run a verb; Typer would end a broken pipe with code 1 and take EOFError for Ctrl-C."""
        try:
            return super().invoke(ctx)
        except (EOFError, OSError) as error:
            raise _CarriedError(error) from error


class _CarriedError(Exception):
    """Exception that Typer does not understand, around one that it would."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def _literal_help(command: Any) -> None:
    """Typer reads help as Rich markup: ``[images]`` would vanish."""
    for thing in (command, *command.params):
        for name in ("help", "short_help", "epilog"):
            text = getattr(thing, name, None)
            if text:
                setattr(thing, name, escape(text))


class _App(typer.Typer):
    def command(
        self, name: str | None = None, **settings: Any
    ) -> Callable[[Callable[..., Any]], Any]:
        """Register a verb."""
        settings.setdefault("cls", _Verb)
        return super().command(name, **settings)


app = _App(
    cls=_Verbs,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["--help", "-h"]},
    pretty_exceptions_enable=False,
    help="Predict which features a network learns on an algebraic task, train it, measure what it "
    "learned, and hold the two against each other.\n\n"
    "Examples:\n\n  marginlens run C71\n\n  marginlens predict A5 --strength 1e-5\n\n"
    '  marginlens run "parity(10,4)" --out runs/parity\n\n'
    "Exit codes: 0 done, 1 contradicted or not certified, 2 wrong input or settings, 3 premise of a "
    "theorem not met, 70 internal error, 130 interrupted.",
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
            help=f"Print the traceback of a failure; also after the verb, or by {DEBUG}=1.",
        ),
    ] = False,
) -> None:
    pass


@cache
def _command() -> Any:
    """Command that the verbs make together, built once in a process."""
    return get_command(app)


def main() -> NoReturn:
    """Run the command line; a failure is one line on standard error and an exit code.

    The codes are 2 for wrong input and settings, 70 for an internal error, 130 after Ctrl-C and 141
    where the reader of the output has gone.
    """
    arguments, debug = _without_debug(sys.argv[1:])
    _require_streams()
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
    """Print a failure in one line, after its traceback if that is wanted; give the exit code."""
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
    """Arguments without ``--debug``, wherever it stands, and whether it was there."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    kept = [word for word in arguments[:end] if word != "--debug"]
    wanted = len(kept) < end or os.environ.get(DEBUG, "") not in ("", "0")
    return kept + arguments[end:], wanted


def _require_streams() -> None:
    """Standard streams that exist and write any character, escaped where their encoding lacks it."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the shell: >&-
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="marginlens")


def _close_stdout() -> None:
    """Send what is left of standard output nowhere: its reader has gone, or the disk is full."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123
