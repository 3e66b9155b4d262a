"""Verbs that compare networks with what a textbook would do: memorizing, algorithms, interference."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marginlens.cli.app import app, out
from marginlens.cli.console import styled
from marginlens.cli.options import AsJson, FigureFile
from marginlens.cli.show import check_file, print_json, write_figure, written
from marginlens.cli.tables import Table

_PANEL = "Against the textbook"


@app.command(
    rich_help_panel=_PANEL,
    epilog="Examples:\n\n  marginlens memorizing\n\n"
    "  marginlens memorizing C5 S4 A5 --figure memorizing.html",
)
def memorizing(
    specs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[GROUP]...", help="Groups to compare.", show_default="C_p for primes p to 71"
        ),
    ] = None,
    figure: FigureFile = None,
    as_json: AsJson = False,
) -> None:
    """How much of the maximum margin a network reaches that memorizes the table."""
    from marginlens.groups import group
    from marginlens.theory import compare_memorizing

    if figure is not None:
        check_file(figure)
    primes = (3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71)
    found = compare_memorizing([group(spec) for spec in specs or [f"C{p}" for p in primes]])
    if figure is not None:
        from marginlens.figures import memorizing_figure

        write_figure(memorizing_figure(found), figure)
    if as_json:
        print_json(
            {
                "groups": list(found.names),
                "orders": found.orders.tolist(),
                "margins": found.margins.tolist(),
                "memorizing": found.memorizing.tolist(),
                "ratio": found.ratio.tolist(),
            }
        )
        return
    table = Table("group", "γ*", "memorizing", "memorizing / γ*", "√(2/(n−1))")
    for i, name in enumerate(found.names):
        table.add_row(
            name, f"{found.margins[i]:.7g}", f"{found.memorizing[i]:.7g}", f"{found.ratio[i]:.5f}",
            f"{(2 / (found.orders[i] - 1)) ** 0.5:.5f}",
        )  # fmt: skip
    out.print(table)
    written(figure)


@app.command(
    rich_help_panel=_PANEL,
    epilog="Examples:\n\n  marginlens algorithms C23\n\n  marginlens algorithms runs/C23\n\n"
    "  marginlens algorithms C59 --frequencies 3,15,17",
)
def algorithms(
    subject: Annotated[
        str, typer.Argument(metavar="GROUP|FOLDER", help="A group, or a run on one.")
    ],
    frequencies: Annotated[
        str | None,
        typer.Option(
            help="Frequencies of the clock and the pizza, for example 3,15,17.", show_default="all"
        ),
    ] = None,
    figure: FigureFile = None,
    as_json: AsJson = False,
) -> None:
    """Textbook algorithms on a group: carried out on every pair, and against a run's logits."""
    from marginlens.groups import group
    from marginlens.theory import ALGORITHMS, algorithm

    if figure is not None:
        check_file(figure)
    run = None
    if Path(subject).is_dir():
        from marginlens.runs import load_run

        run = load_run(subject)
        if run.task.group is None:
            raise ValueError(f"{run.task.name} is no table of a group; take a run on one, e.g. C23")
        learned = run.task.group
    else:
        learned = group(subject)
    chosen = [int(k) for k in _whole(frequencies)] if frequencies else None
    known, why_not = [], {}
    for name in ALGORITHMS:
        try:
            known.append(algorithm(name, learned, frequencies=chosen))
        except ValueError as error:
            why_not[name] = str(error)
    if chosen is not None and "clock" in why_not:
        raise ValueError(why_not["clock"])
    right = {
        one.name: sum(
            one.run(a, b) == learned.table[a, b]
            for a in range(learned.order)
            for b in range(learned.order)
        )
        for one in known
    }
    fits = {}
    if run is not None:
        from marginlens.measures import compare_logits, logit_table

        table_of_logits = logit_table(run.network, run.task)
        fits = {fit.name: fit for fit in compare_logits(table_of_logits, known)}
        if figure is not None:
            from marginlens.figures import algorithms_figure

            title = f"{run.task.name}: variance of the network's logits that algorithms explain"
            write_figure(algorithms_figure(list(fits.values()), title), figure)
    elif figure is not None:
        raise ValueError("a figure compares a run's logits with algorithms; name a run's folder")
    if as_json:
        print_json(
            {
                "group": learned.name,
                "pairs": learned.order**2,
                "algorithms": [
                    {
                        "name": one.name, "statement": one.statement, "source": one.source,
                        "right": int(right[one.name]),
                        **(vars(fits[one.name]) if fits else {}),
                    }
                    for one in known
                ],
                "not_applicable": why_not,
            }
        )  # fmt: skip
        return
    columns = ["algorithm", "right pairs", *(["cosine", "variance explained"] if fits else [])]
    table = Table(*columns, "what it does", title=f"{learned.name}: textbook algorithms")
    for one in known:
        fit = fits.get(one.name)
        numbers = [] if fit is None else [f"{fit.cosine:.5f}", f"{fit.explained:.3%}"]
        table.add_row(
            one.name, f"{right[one.name]} of {learned.order**2}", *numbers,
            styled(f"{one.statement} ", (f"({one.source})", "dim")),
        )  # fmt: skip
    out.print(table)
    for words in why_not.values():
        out.print(words, style="dim")
    written(figure)


@app.command(
    rich_help_panel=_PANEL,
    epilog="Examples:\n\n  marginlens interference 59\n\n"
    "  marginlens interference 59 --figure interference.html",
)
def interference(
    order: Annotated[int, typer.Argument(metavar="N", help="Odd modulus.")],
    figure: FigureFile = None,
    as_json: AsJson = False,
) -> None:
    """Lead of the right answer when cosines of more and more frequencies are averaged."""
    from marginlens.theory import interference as compute

    if figure is not None:
        check_file(figure)
    found = compute(order)
    if figure is not None:
        from marginlens.figures import interference_figure

        write_figure(interference_figure(found), figure)
    if as_json:
        print_json(
            {
                "order": order,
                "sizes": found.sizes.tolist(),
                "best": found.best.tolist(),
                "median": found.median.tolist(),
                "worst": found.worst.tolist(),
                "best_sets": [list(one) for one in found.best_sets],
                "exhaustive": list(found.exhaustive),
            }
        )
        return
    table = Table("frequencies", "best lead", "median", "worst", "a best set", "sets tried",
                  title=f"addition modulo {order}: lead of the right answer")  # fmt: skip
    for i, size in enumerate(found.sizes.tolist()):
        best = ", ".join(map(str, found.best_sets[i][:8])) + (" …" if size > 8 else "")
        table.add_row(
            str(size), f"{found.best[i]:.5f}", f"{found.median[i]:.5f}", f"{found.worst[i]:.5f}",
            best, "all" if found.exhaustive[i] else "random",
        )  # fmt: skip
    out.print(table)
    written(figure)


def _whole(words: str) -> list[str]:
    parts = [part.strip() for part in words.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ValueError(f"{words!r} is no list of frequencies; write e.g. 3,15,17")
    return parts
