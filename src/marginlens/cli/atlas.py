"""The verb atlas."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marginlens.cli.app import app, out
from marginlens.cli.arguments import AsJson
from marginlens.cli.tables import Table
from marginlens.cli.text_output import counting, print_json


@app.command(
    epilog="Examples:\n\n  marginlens atlas --max-order 31\n\n"
    "  marginlens atlas --max-order 63 --out atlas --workers 2\n\n"
    "Ctrl-C keeps what was computed; the same command goes on from there. Needs GAP."
)
def atlas(
    max_order: Annotated[int, typer.Option(help="Greatest order of a group.")] = 31,
    folder: Annotated[Path, typer.Option("--out", help="Folder to write.")] = Path("atlas"),
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes.", show_default="one a core")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """One row for every finite group to an order: margin, theorems, shares; as Parquet and a page."""
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
        "an irrep cannot be used",
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
