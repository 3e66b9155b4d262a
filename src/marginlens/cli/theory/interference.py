"""The command ``theory interference``: lead of the right answer by sets of frequencies."""

from __future__ import annotations

from typing import Annotated

import typer

from marginlens.cli.app import out, theory_commands
from marginlens.cli.arguments import AsJson, FigureFile
from marginlens.cli.tables import Table
from marginlens.cli.text_output import check_file, print_json, write_figure, written


@theory_commands.command(
    examples=("theory interference 59", "theory interference 59 --figure interference.html"),
    notes="The lead is the logit of the right answer minus that of the best wrong one.",
)
def interference(
    order: Annotated[
        int, typer.Argument(metavar="N", max=9999, help="Odd modulus, for example 59.")
    ],
    figure: FigureFile = None,
    as_json: AsJson = False,
) -> None:
    """Compute the lead of the right answer when cosines of several frequencies are averaged."""
    from marginlens.theory import interference as compute

    if figure is not None:
        check_file(figure)
    leads = compute(order)
    if figure is not None:
        from marginlens.figures import interference_figure

        write_figure(interference_figure(leads), figure)
    if as_json:
        print_json(
            {
                "order": order,
                "sizes": leads.sizes.tolist(),
                "best": leads.best.tolist(),
                "median": leads.median.tolist(),
                "worst": leads.worst.tolist(),
                "best_sets": [list(one) for one in leads.best_sets],
                "exhaustive": list(leads.exhaustive),
            }
        )
        return
    table = Table(
        "frequencies",
        "best lead",
        "median lead",
        "worst lead",
        "a best set",
        "sets tried",
        title=f"addition modulo {order}: lead of the right answer",
    )
    for i, size in enumerate(leads.sizes.tolist()):
        best = ", ".join(map(str, leads.best_sets[i][:8])) + (" …" if size > 8 else "")
        table.add_row(
            str(size),
            f"{leads.best[i]:.5f}",
            f"{leads.median[i]:.5f}",
            f"{leads.worst[i]:.5f}",
            best,
            "all" if leads.exhaustive[i] else "random",
        )
    out.print(table)
    written(figure)
