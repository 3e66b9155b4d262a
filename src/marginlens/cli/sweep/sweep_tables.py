"""Tables of a sweep that several commands open and print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marginlens.cli.app import err, out
from marginlens.cli.tables import Table

if TYPE_CHECKING:
    from marginlens.sweeps import Results, ResultTable

__all__ = ["Where", "open_results", "print_table"]

Where = Annotated[
    str | None,
    typer.Option(
        metavar="SQL",
        help='Condition in SQL on the members, for example "width = 2 and strength = 0".',
        show_default="all members",
    ),
]


def open_results(folder: Path) -> Results:
    """Open the results of a sweep, with a warning if it is not finished.

    Parameters
    ----------
    folder
        Folder of the sweep.
    """
    from marginlens.sweeps import Results

    results = Results(folder)
    expected = results.sweep.piece_count
    if len(results.pieces) < expected:
        err.print(
            f"marginlens: the sweep is incomplete: {len(results.pieces)} of {expected} pieces are "
            "finished",
            style="yellow",
            soft_wrap=True,
        )
    return results


def print_table(table: ResultTable) -> None:
    """Print a table of results for people.

    Parameters
    ----------
    table
        Table with title, columns, rows and note.
    """
    drawn = Table(*table.columns, title=table.title, caption=table.note)
    for row in table.rows:
        drawn.add_row(*row)
    out.print(drawn)
