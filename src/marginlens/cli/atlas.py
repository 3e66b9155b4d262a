"""The command ``atlas``: margins of all finite groups up to an order."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marginlens.cli.app import PANEL, app, out
from marginlens.cli.arguments import AsJson
from marginlens.cli.tables import Table
from marginlens.cli.text_output import counting, print_json


@app.command(
    examples=("atlas --max-order 31", "atlas --max-order 63 --out atlas --workers 2"),
    notes="Writes a Parquet table and an HTML page. Ctrl-C keeps the finished groups; the same command "
    "continues with the rest. Needs GAP.",
    rich_help_panel=PANEL,
)
def atlas(
    max_order: Annotated[int, typer.Option(help="Largest order of the groups.")] = 31,
    folder: Annotated[Path, typer.Option("--out", help="Folder for table and page.")] = Path(
        "atlas"
    ),
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Number of worker processes.", show_default="one for each core"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tabulate margin, theorems and feature shares of every finite group up to an order."""
    from marginlens.atlas import atlas_totals, build_atlas

    with counting("groups", quiet=as_json) as show:
        rows = build_atlas(max_order, folder, workers=workers, progress=show)
    totals = atlas_totals(rows)
    if as_json:
        print_json({"max_order": max_order, **totals})
        return
    table = Table(
        "groups of order 2 to",
        "groups",
        "Theorem 9 applies",
        "closed form applies",
        "with an unusable irrep",
        "shares not unique",
    )
    table.add_row(
        str(max_order),
        str(totals["groups"]),
        str(totals["theorem9"]),
        str(totals["closed_form"]),
        str(totals["with_cannot"]),
        str(totals["not_unique"]),
    )
    out.print(table)
    out.print(f"open {folder / 'atlas.html'}", soft_wrap=True)
