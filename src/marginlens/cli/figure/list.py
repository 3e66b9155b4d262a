"""The command ``figure list``: names of all figures."""

from __future__ import annotations

from marginlens.cli.app import figure_commands, out
from marginlens.cli.arguments import AsJson
from marginlens.cli.figure.draw import OTHER_FIGURES
from marginlens.cli.tables import Table
from marginlens.cli.text_output import print_json


@figure_commands.command("list", examples=("figure list", "figure list --json"))
def list_figures(as_json: AsJson = False) -> None:
    """List the names of all figures with a short description."""
    from marginlens.figures import FIGURES

    headings = {name: entry.heading for name, entry in FIGURES.items()}
    headings |= {name: heading for name, (heading, _) in OTHER_FIGURES.items()}
    if as_json:
        print_json(headings)
        return
    table = Table("name", "content", title="marginlens figure draw NAME RUN --out FILE")
    for name, heading in headings.items():
        table.add_row(name, heading)
    out.print(table)
