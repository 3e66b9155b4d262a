"""Verbs that ask what a sweep found: query, table, law."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marginlens.cli.app import app, err, out
from marginlens.cli.options import AsJson, FigureFile
from marginlens.cli.tables import Table
from marginlens.cli.text_output import check_file, print_exact, print_json, write_figure, written

if TYPE_CHECKING:
    import pyarrow as pa

    from marginlens.sweeps import Results, ResultTable

_PANEL = "Sweeps"
_TABLES = ("members", "features", "configurations")
_SHOWN = 50  # rows of an answer
_SHOWN_TURNED = 10  # of one with a line a column

SweepFolder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of a sweep.")]
Where = Annotated[
    str | None,
    typer.Option(
        metavar="SQL",
        help='Condition on members, for example "width = 2 and strength = 0".',
        show_default="all",
    ),
]


@app.command(
    rich_help_panel=_PANEL,
    epilog="Examples:\n\n  marginlens query sweeps/o61   (the tables and their columns)\n\n"
    '  marginlens query sweeps/o61 "select key_set, count(*) from members group by all"\n\n'
    '  marginlens query sweeps/o61 "select width, avg(multiplicity) from features group by width"\n\n'
    '  marginlens query sweeps/o61 "select seed from members where width = 2" --csv\n\n'
    '  marginlens query sweeps/o61 "from features" --out features.parquet\n\n'
    "Tables: members (a row a network), features (a row a network and feature), configurations. "
    "SQL is DuckDB's; nothing can be changed by it.",
)
def query(
    folder: SweepFolder,
    sql: Annotated[
        str | None,
        typer.Argument(metavar="SQL", help="Question in SQL.", show_default="lists the tables"),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--out", help="File for the answer: .parquet or .csv.", show_default="printed"
        ),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, all rows.")] = False,
    as_json: AsJson = False,
) -> None:
    """Ask a sweep's tables in SQL."""
    from marginlens.sweeps import Results

    if file is not None:
        check_file(file, suffixes=(".parquet", ".csv"))
    results = _opened(Results, folder)
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


@app.command(
    rich_help_panel=_PANEL,
    epilog="Examples:\n\n  marginlens table sweeps/o61\n\n"
    "  marginlens table sweeps/o61 law symmetry --where \"activation = 'x^2'\"\n\n"
    "  marginlens table sweeps/o61 same --markdown\n\n"
    "Tables: convergence, counts, law, features, same, cooccurrence, symmetry.",
)
def table(
    folder: SweepFolder,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TABLE]...", help="Names of tables.", show_default="convergence, counts, law"
        ),
    ] = None,
    where: Where = None,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    as_latex: Annotated[bool, typer.Option("--latex", help="Print LaTeX.")] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print CSV; of several tables one after the other.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print the usual tables of a sweep, with their intervals."""
    from marginlens.sweeps import TABLES, Results

    chosen = names or ["convergence", "counts", "law"]
    for name in chosen:
        if name not in TABLES:
            raise ValueError(f"unknown table {name!r}; there are {', '.join(TABLES)}")
    results = _opened(Results, folder)
    made = [TABLES[name](results, where) for name in chosen]
    if as_json:
        print_json([one.to_dict() for one in made])
    elif as_markdown:
        print_exact("\n".join(one.to_markdown() for one in made))
    elif as_latex:
        print_exact("\n".join(one.to_latex() for one in made))
    elif as_csv:
        print_exact("\n".join(one.to_csv() for one in made))
    else:
        for one in made:
            print_table(one)


@app.command(
    rich_help_panel=_PANEL,
    epilog="Examples:\n\n"
    "  marginlens law sweeps/o61 --where \"task = 'C5' and width = 2 and strength = 0 and "
    "activation = 'x^2'\"\n\n"
    "  marginlens law sweeps/o61 --where \"task = 'C5' and activation = 'x^2'\" "
    "--by width,strength --figure law.html",
)
def law(
    folder: SweepFolder,
    where: Where = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="ROW,X",
            help="Two columns to draw it against, for example width,strength.",
            show_default="one configuration",
        ),
    ] = None,
    figure: FigureFile = None,
    as_json: AsJson = False,
) -> None:
    """Which features are selected, how often: of one configuration, or against two settings."""
    from marginlens.figures import law_figure, laws_by_setting_figure
    from marginlens.sweeps import TABLES, Results

    if figure is not None:
        check_file(figure)
    results = _opened(Results, folder)
    if by is None:
        members = results.where(where)
        found = results.law_of(members)
        title = results.describe(members, ("task", "activation", *results.varying))
        drawn: Any = None if figure is None else law_figure(found, title)
        answer: Any = found.to_dict()
    else:
        panels, axis = _columns(by, results.varying)
        laws, chosen = {}, results.where(where)
        for members in results.split(chosen).values():
            setting = tuple(members[name][0].as_py() for name in (panels, axis))
            if setting in laws:
                others = [n for n in results.varying if n not in (panels, axis)]
                raise ValueError(
                    f"several configurations have {panels} {setting[0]} and {axis} {setting[1]}: choose "
                    f"by --where one value of {' and '.join(others)}"
                )
            laws[setting] = results.law_of(members)
        apart = (panels, axis, *results.varying_in(chosen))
        names = [n for n in ("task", "activation", *results.varying) if n not in apart]
        title = results.describe(chosen, names)
        drawn = None if figure is None else laws_by_setting_figure(laws, panels, axis, title)
        answer = [
            {panels: setting[0], axis: setting[1], **one.to_dict()} for setting, one in laws.items()
        ]
    if figure is not None:
        write_figure(drawn, figure)
    if as_json:
        print_json(answer)
        return
    print_table(TABLES["law"](results, where))
    written(figure)


def _columns(by: str, varying: tuple[str, ...]) -> tuple[str, str]:
    names = tuple(name.strip() for name in by.split(","))
    if len(set(names)) != 2 or len(names) != 2 or any(name not in varying for name in names):
        raise ValueError(
            f"--by takes two of the columns that vary here ({', '.join(varying)}), such as "
            "width,strength"
        )
    return names[0], names[1]


def _opened(results: type[Results], folder: Path) -> Results:
    found = results(folder)
    expected = found.sweep.piece_count
    if len(found.pieces) < expected:
        err.print(
            f"marginlens: {len(found.pieces)} of {expected} pieces are finished: this is a part of the "
            "sweep",
            style="yellow",
            soft_wrap=True,
        )
    return found


def print_table(table: ResultTable) -> None:
    """Print a table of results for people."""
    drawn = Table(*table.columns, title=table.title, caption=table.note)
    for row in table.rows:
        drawn.add_row(*row)
    out.print(drawn)


def _columns_of(results: Results, table: str) -> dict[str, str]:
    described = results.query(f"select column_name, column_type from (describe {table})")
    return dict(zip(*(column.to_pylist() for column in described.columns), strict=True))


def _print(answer: pa.Table) -> None:
    """Print an answer's first rows; where its columns do not fit side by side, a line a column."""
    drawn = Table(*answer.column_names, row_name="row")
    first = answer.slice(0, _SHOWN)
    for row in zip(*(column.to_pylist() for column in first.columns), strict=True):
        drawn.add_row(*map(_cell, row))
    if not drawn.fits(out.width):
        del drawn.rows[_SHOWN_TURNED:]
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
