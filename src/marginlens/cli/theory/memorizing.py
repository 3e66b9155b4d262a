"""The command ``theory memorizing``: margin of a network that memorizes its table."""

from __future__ import annotations

from typing import Annotated

import typer

from marginlens.cli.app import out, theory_commands
from marginlens.cli.arguments import AsJson, FigureFile
from marginlens.cli.completion import complete_task
from marginlens.cli.tables import Table
from marginlens.cli.text_output import check_file, print_json, write_figure, written

_PRIMES = (3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71)


@theory_commands.command(
    examples=("theory memorizing", "theory memorizing C5 S4 A5 --figure memorizing.html")
)
def memorizing(
    specs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="GROUP",
            help="Groups to compare, for example C5 S4 A5.",
            show_default="C_p for the odd primes p up to 71",
            autocompletion=complete_task,
        ),
    ] = None,
    figure: FigureFile = None,
    as_json: AsJson = False,
) -> None:
    """Compare the margin of a network that memorizes its table with the maximum margin."""
    from marginlens.groups import group
    from marginlens.theory import compare_memorizing

    if figure is not None:
        check_file(figure)
    comparison = compare_memorizing([group(spec) for spec in specs or [f"C{p}" for p in _PRIMES]])
    if figure is not None:
        from marginlens.figures import memorizing_figure

        write_figure(memorizing_figure(comparison), figure)
    if as_json:
        print_json(
            {
                "groups": list(comparison.names),
                "orders": comparison.orders.tolist(),
                "margins": comparison.margins.tolist(),
                "memorizing": comparison.memorizing.tolist(),
                "ratio": comparison.ratio.tolist(),
            }
        )
        return
    table = Table("group", "γ*", "memorizing", "memorizing / γ*", "√(2/(n−1))")
    for i, name in enumerate(comparison.names):
        table.add_row(
            name,
            f"{comparison.margins[i]:.7g}",
            f"{comparison.memorizing[i]:.7g}",
            f"{comparison.ratio[i]:.5f}",
            f"{(2 / (comparison.orders[i] - 1)) ** 0.5:.5f}",
        )
    out.print(table)
    written(figure)
