"""The command ``sweep query``: SQL on the tables of a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marginlens.cli.app import out, sweep_commands
from marginlens.cli.arguments import AsJson, SweepFolder
from marginlens.cli.sweep.sweep_tables import open_results
from marginlens.cli.tables import Table
from marginlens.cli.text_output import check_file, print_exact, print_json, written

if TYPE_CHECKING:
    import pyarrow as pa

    from marginlens.sweeps import Results

_TABLES = ("members", "features", "configurations")
_MOST_ROWS = 50
"""Rows of an answer that are printed."""
_MOST_TURNED_ROWS = 10
"""Rows of an answer that is printed with a line for each column."""


@sweep_commands.command(
    examples=(
        "sweep query sweeps/o61",
        'sweep query sweeps/o61 "select key_set, count(*) from members group by all"',
        'sweep query sweeps/o61 "select seed from members where width = 2" --csv',
        'sweep query sweeps/o61 "from features" --out features.parquet',
    ),
    notes="Tables: members (one row for each network), features (one row for each network and feature) "
    "and configurations. The SQL is DuckDB's, and read-only.",
)
def query(
    folder: SweepFolder,
    sql: Annotated[
        str | None,
        typer.Argument(
            metavar="SQL",
            help='Query in SQL, for example "select * from members limit 5".',
            show_default="list of tables and columns",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--out", help="File for the answer: .parquet or .csv.", show_default="print the answer"
        ),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print all rows as CSV.")] = False,
    as_json: AsJson = False,
) -> None:
    """Query the tables of a sweep in SQL, or list their columns."""
    if file is not None:
        check_file(file, suffixes=(".parquet", ".csv"))
    results = open_results(folder)
    if sql is None:
        if as_json:
            print_json({name: _columns_of(results, name) for name in _TABLES})
            return
        for name in _TABLES:
            kinds = _columns_of(results, name)
            drawn = Table("column", "type", title=name)
            for column, kind in kinds.items():
                drawn.add_row(column, kind)
            out.print(drawn)
        return
    answer = results.query(sql)
    if file is not None:
        _write(answer, file)
        written(file)
    elif as_json:
        columns = [column.to_pylist() for column in answer.columns]
        names = _told_apart(answer.column_names)
        print_json([dict(zip(names, map(_plain, row))) for row in zip(*columns)])  # noqa: B905
    elif as_csv:
        print_exact(_csv(answer).decode())
    else:
        _print(answer)


def _columns_of(results: Results, table: str) -> dict[str, str]:
    described = results.query(f"select column_name, column_type from (describe {table})")
    return dict(zip(*(column.to_pylist() for column in described.columns), strict=True))


def _print(answer: pa.Table) -> None:
    """Print an answer's first rows, with a line for each column if the columns do not fit."""
    drawn = Table(*answer.column_names, row_name="row")
    first = answer.slice(0, _MOST_ROWS)
    for row in zip(*(column.to_pylist() for column in first.columns), strict=True):
        drawn.add_row(*map(_cell, row))
    if not drawn.fits(out.width):
        del drawn.rows[_MOST_TURNED_ROWS:]
    if answer.num_columns:
        out.print(drawn)
    left = answer.num_rows - len(drawn.rows)
    if left > 0:
        out.print(f"{left} more rows: --csv, --json or --out FILE have all", style="dim")
    elif not answer.num_rows:
        out.print("no rows", style="dim")


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _told_apart(names: list[str]) -> list[str]:
    """Names of columns, numbered where SQL gave several the same.

    Examples
    --------
    >>> _told_apart(["a", "b", "a"])
    ['a', 'b', 'a_2']
    """
    return [
        name if name not in names[:i] else f"{name}_{names[:i].count(name) + 1}"
        for i, name in enumerate(names)
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _csv(answer: pa.Table) -> bytes:
    import pyarrow as pa
    from pyarrow import csv

    # CSV has neither lists nor records: such a column (betas) is written as text
    columns = [
        pa.array([None if v is None else str(v) for v in column.to_pylist()], pa.string())
        if pa.types.is_nested(column.type)
        else column
        for column in answer.columns
    ]
    sink = pa.BufferOutputStream()
    csv.write_csv(pa.table(columns, names=answer.column_names), sink)
    return sink.getvalue().to_pybytes()


def _write(answer: pa.Table, file: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from marginlens.files import write_whole

    if file.suffix.lower() == ".csv":
        write_whole(file, _csv(answer))
        return
    sink = pa.BufferOutputStream()
    pq.write_table(answer, sink)
    write_whole(file, sink.getvalue().to_pybytes())
