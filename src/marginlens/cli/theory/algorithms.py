"""The command ``theory algorithms``: textbook algorithms on a group."""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING, Annotated

import typer

from marginlens.cli.app import out, theory_commands
from marginlens.cli.arguments import AsJson
from marginlens.cli.completion import complete_task
from marginlens.cli.console import styled
from marginlens.cli.tables import Table
from marginlens.cli.text_output import print_json, quoted
from marginlens.errors import MarginLensError

if TYPE_CHECKING:
    from marginlens.groups import FiniteGroup
    from marginlens.theory import Algorithm

__all__ = ["Frequencies", "algorithms", "correct_pairs", "frequencies_in", "known_algorithms"]

Frequencies = Annotated[
    str | None,
    typer.Option(
        "--frequencies",
        help="Frequencies that the clock and the pizza use, for example 3,15,17.",
        show_default="all",
    ),
]


@theory_commands.command(
    examples=(
        "theory algorithms C23",
        "theory algorithms C12 --sum 9,5",
        "theory algorithms C59 --frequencies 3,15,17",
    ),
    notes="The algorithm that a trained network uses: marginlens analyze algorithms RUN.",
)
def algorithms(
    spec: Annotated[
        str,
        typer.Argument(
            metavar="GROUP", help="Group, for example C23, S4 or D5.", autocompletion=complete_task
        ),
    ],
    frequencies: Frequencies = None,
    sum_of: Annotated[
        str | None,
        typer.Option(
            "--sum",
            metavar="A,B",
            help="Work out one product step by step by each algorithm, for example 9,5.",
            show_default="all pairs are counted",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the textbook algorithms on a group and count the pairs that each answers correctly."""
    from marginlens.groups import group
    from marginlens.theory import same_logits

    on = group(spec)
    known, inapplicable = known_algorithms(on, frequencies_in(frequencies))
    if sum_of is not None:
        _work_out(known, on, _two_elements(sum_of), as_json=as_json)
        return
    alike = [names for names in same_logits(known) if len(names) > 1]
    if as_json:
        rows = [
            {
                "name": one.name,
                "statement": one.statement,
                "source": one.source,
                "right": correct_pairs(one, on),
            }
            for one in known
        ]
        print_json(
            {
                "group": on.name,
                "pairs": on.order**2,
                "algorithms": rows,
                "same_logits": [list(names) for names in alike],
                "not_applicable": inapplicable,
            }
        )
        return
    table = Table(
        "algorithm", "correct pairs", "description", title=f"{on.name}: textbook algorithms"
    )
    for one in known:
        table.add_row(
            one.name,
            f"{correct_pairs(one, on)} of {on.order**2}",
            styled(f"{one.statement} ", (f"({one.source})", "dim")),
        )
    out.print(table)
    for names in alike:
        out.print(f"equal logits, different hidden layers: {', '.join(names)}")
    for reason in inapplicable.values():
        out.print(reason, style="dim")


def _two_elements(text: str) -> tuple[int, int]:
    """Read two elements such as ``9,5``."""
    parts = re.split(r"[,+]", text)
    if len(parts) != 2 or not all(part.strip().isdecimal() for part in parts):
        raise MarginLensError(f"--sum expected two elements, got {text[:40]!r}; for example 9,5")
    return int(parts[0]), int(parts[1])


def _work_out(
    known: list[Algorithm], on: FiniteGroup, pair: tuple[int, int], *, as_json: bool
) -> None:
    """Print the steps by which each algorithm computes one product."""
    worked = {one.name: (one.worked(*pair), one.run(*pair)) for one in known}
    if as_json:
        steps = {
            name: {"steps": list(lines), "result": result}
            for name, (lines, result) in worked.items()
        }
        print_json({"group": on.name, "pair": list(pair), "algorithms": steps})
        return
    for name, (lines, result) in worked.items():
        out.print(styled((f"{name}: {pair[0]} and {pair[1]} give {result}", "bold")))
        for line in lines:
            out.print(f"  {line}", highlight=False)


def known_algorithms(
    on: FiniteGroup, frequencies: list[int] | None, irreps: list[str] | None = None
) -> tuple[list[Algorithm], dict[str, str]]:
    """Build the textbook algorithms on a group.

    Parameters
    ----------
    on
        Group whose products the algorithms compute.
    frequencies
        Frequencies of the clock and the pizza; all by default.
    irreps
        Irreps of the algorithms that use representations; all by default.

    Returns
    -------
    algorithms, inapplicable
        Algorithms that exist on the group, and the reason for each that does not.

    Raises
    ------
    ValueError
        If frequencies are given that the clock cannot use.
    """
    from marginlens.theory import ALGORITHMS, algorithm

    known, inapplicable = [], {}
    for name in ALGORITHMS:
        try:
            known.append(algorithm(name, on, frequencies=frequencies, irreps=irreps))
        except ValueError as error:
            inapplicable[name] = str(error)
    if frequencies is not None and "clock" in inapplicable:
        raise ValueError(inapplicable["clock"])
    return known, inapplicable


def correct_pairs(one: Algorithm, on: FiniteGroup) -> int:
    """Count the pairs of elements whose product an algorithm gets right.

    Parameters
    ----------
    one
        Algorithm to run on all pairs.
    on
        Group whose table has the products.
    """
    pairs = product(range(on.order), repeat=2)
    return int(sum(one.run(a, b) == on.table[a, b] for a, b in pairs))


def frequencies_in(text: str | None) -> list[int] | None:
    """Read the whole numbers of ``--frequencies``.

    Parameters
    ----------
    text
        Numbers separated by commas; None if the option is absent.

    Raises
    ------
    ValueError
        If a part is not a whole number.
    """
    if not text:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ValueError(
            f"--frequencies expected whole numbers, got {quoted(text)}; for example 3,15,17"
        )
    return [int(part) for part in parts]
