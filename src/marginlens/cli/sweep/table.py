"""The command ``sweep table``: usual tables of a sweep, with confidence intervals."""

from __future__ import annotations

from typing import Annotated

import typer

from marginlens.cli.app import sweep_commands
from marginlens.cli.arguments import AsJson, SweepFolder
from marginlens.cli.completion import complete_table
from marginlens.cli.sweep.sweep_tables import Where, open_results, print_table
from marginlens.cli.text_output import print_exact, print_json, quoted


@sweep_commands.command(
    examples=(
        "sweep table sweeps/o61",
        "sweep table sweeps/o61 law symmetry --where \"activation = 'x^2'\"",
        "sweep table sweeps/o61 same --markdown",
    ),
    notes="Tables of all configurations:\n\n"
    "  convergence   runs by the reason for their end\n"
    "  counts        key features and live neurons of each network\n"
    "  law           probability of each set of key features\n"
    "  features      probability and share of each feature\n"
    "  same          probability that all neurons hold the same feature\n"
    "  cooccurrence  pairs of key features, compared with independence\n"
    "  symmetry      tests of the symmetry of the law, with adjusted p-values",
)
def table(
    folder: SweepFolder,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TABLE",
            help="Names of the tables to print; all names are below.",
            show_default="convergence, counts, law",
            autocompletion=complete_table,
        ),
    ] = None,
    where: Where = None,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the tables as Markdown.")
    ] = False,
    as_latex: Annotated[bool, typer.Option("--latex", help="Print the tables as LaTeX.")] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print the tables as CSV, one after the other.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print the usual tables of a sweep, with confidence intervals."""
    from marginlens.sweeps import TABLES

    chosen = names or ["convergence", "counts", "law"]
    for name in chosen:
        if name not in TABLES:
            raise ValueError(
                f"TABLE expected {', '.join(list(TABLES)[:-1])} or {list(TABLES)[-1]}, got "
                f"{quoted(name)}; for example counts"
            )
    results = open_results(folder)
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
