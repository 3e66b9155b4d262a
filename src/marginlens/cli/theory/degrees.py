"""The command ``theory degrees``: degree at which memorizing overtakes Fourier features."""

from __future__ import annotations

from typing import Annotated

import typer

from marginlens.cli.app import err, out, theory_commands
from marginlens.cli.arguments import AsJson, FigureFile
from marginlens.cli.tables import Table
from marginlens.cli.text_output import check_file, numbers, print_json, write_figure, written

_GREATEST_ORDER = 2000


@theory_commands.command(
    examples=("theory degrees 23", "theory degrees 31 --degrees 1,2,3,4 --figure degrees.html"),
    notes="With the activation |x|^q Fourier features win below q = 3, memorizing from q = 3 on. The "
    "values are maxima found by gradient ascent, not proved ones.",
)
def degrees(
    order: Annotated[
        int,
        typer.Argument(metavar="P", max=_GREATEST_ORDER, help="Prime of at least 5, the modulus."),
    ],
    degree_list: Annotated[
        str | None,
        typer.Option(
            "--degrees",
            help="Degrees q of the activation |x|^q, for example 1,2,3,4.",
            show_default="1 to 4 in steps of 0.25",
        ),
    ] = None,
    starts: Annotated[int, typer.Option(min=1, help="Gradient ascents for each degree.")] = 20,
    figure: FigureFile = None,
    as_json: AsJson = False,
) -> None:
    """Compare Fourier features with memorizing for the activations |x|^q, degree by degree."""
    from marginlens.figures import degree_law_figure
    from marginlens.theory import degree_law

    if figure is not None:
        check_file(figure)
    with err.status("climbing from many starts ..."):
        law = (
            degree_law(order, starts=starts)
            if degree_list is None
            else degree_law(order, numbers(degree_list), starts=starts)
        )
    if figure is not None:
        write_figure(degree_law_figure(law), figure)
    if as_json:
        columns = {name: column.tolist() for name, column in law.columns().items()}
        print_json({"order": order, "starts": starts, "crossing": law.crossing, **columns})
        return
    table = Table(
        "degree q",
        "best neuron",
        "one frequency / best",
        "memorizing / best",
        "energy on one frequency",
        "found by",
        title=f"addition modulo {order}, |x|^q: values of single neurons",
    )
    for i, degree in enumerate(law.degrees.tolist()):
        table.add_row(
            f"{degree:g}",
            f"{law.best[i]:.7g}",
            f"{law.fourier[i] / law.best[i]:.4f}",
            f"{law.memorizing[i] / law.best[i]:.4f}",
            f"{law.concentration[i]:.2%}",
            f"{law.found[i]} of {law.starts} starts",
        )
    out.print(table)
    out.print("numerical: maxima found, not proved", style="dim")
    written(figure)
