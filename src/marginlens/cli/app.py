"""The application that verbs register with, and how it ends."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console
from typer.exceptions import TyperException

from marginlens import __version__

__all__ = ["app", "err", "main", "out"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Predict which features a network learns on an algebraic task, train it, measure what it "
    "learned, and hold the two against each other.\n\n"
    "[bold]Examples[/bold]\n\n  marginlens run C71\n\n  marginlens predict A5 --strength 1e-5\n\n"
    '  marginlens run "parity(10,4)" --out runs/parity',
)
out = Console()
err = Console(stderr=True)


def _print_version(wanted: bool) -> bool:
    if wanted:
        out.print(f"marginlens {__version__}", highlight=False)
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
) -> None:
    pass


def main() -> None:
    """Run the command line; bad input gives one line and exit code 2."""
    try:
        result = app(standalone_mode=False)
        sys.exit(result if isinstance(result, int) else 0)
    except typer.Abort:
        sys.exit(130)
    except TyperException as error:
        _fail(f"{error.format_message().rstrip('.')}; see marginlens --help")
    except (ValueError, OSError, FloatingPointError, ArithmeticError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(message: str) -> None:
    line = " ".join(message.split())
    err.print(f"marginlens: {line}", style="red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(2)
