"""The command ``sweep law``: frequencies with which features are selected."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from marginlens.cli.app import sweep_commands
from marginlens.cli.arguments import AsJson, FigureFile, SweepFolder
from marginlens.cli.sweep.sweep_tables import Where, open_results, print_table
from marginlens.cli.text_output import check_file, print_json, quoted, write_figure, written


@sweep_commands.command(
    examples=(
        "sweep law sweeps/o61 --where \"task = 'C5' and width = 2 and strength = 0\"",
        "sweep law sweeps/o61 --by width,strength --figure law.html",
    ),
    notes="Without --by the condition must leave one configuration; with --by one for each pair of "
    "values.",
)
def law(
    folder: SweepFolder,
    where: Where = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="ROW,X",
            help="Columns for the panels and the x axis, for example width,strength.",
            show_default="one configuration",
        ),
    ] = None,
    figure: FigureFile = None,
    as_json: AsJson = False,
) -> None:
    """Compute the selection law: the probability of each set of learned features."""
    from marginlens.figures import law_figure, laws_by_setting_figure
    from marginlens.sweeps import TABLES

    if figure is not None:
        check_file(figure)
    results = open_results(folder)
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
            f"--by expected two columns that vary in the sweep, got {quoted(by)}; columns: "
            f"{', '.join(varying[:8])}"
        )
    return names[0], names[1]
