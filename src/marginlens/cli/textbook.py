"""Verbs that compare networks with what a textbook would do: memorizing, algorithms, interference."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marginlens.cli.app import app, out
from marginlens.cli.console import styled
from marginlens.cli.options import AsJson, FigureFile
from marginlens.cli.tables import Table
from marginlens.cli.text_output import check_file, print_json, write_figure, written

if TYPE_CHECKING:
    import numpy as np

    from marginlens.groups import FiniteGroup
    from marginlens.measures import AlgorithmFit, Mechanism
    from marginlens.theory import Algorithm

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
            name,
            f"{found.margins[i]:.7g}",
            f"{found.memorizing[i]:.7g}",
            f"{found.ratio[i]:.5f}",
            f"{(2 / (found.orders[i] - 1)) ** 0.5:.5f}",
        )
    out.print(table)
    written(figure)


@app.command(
    rich_help_panel=_PANEL,
    epilog="Examples:\n\n  marginlens algorithms C23\n\n  marginlens algorithms runs/C23\n\n"
    "  marginlens algorithms model_p99zdpze5l.pt\n\n  marginlens algorithms C59 --frequencies 3,15,17",
)
def algorithms(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="GROUP|FOLDER|FILE",
            help="A group; or a run on one, or a network's file, to say which algorithm it learned.",
        ),
    ],
    frequencies: Annotated[
        str | None,
        typer.Option(
            help="Frequencies of the clock and the pizza, for example 3,15,17.",
            show_default="all; of a network its key ones",
        ),
    ] = None,
    of_group: Annotated[
        str | None,
        typer.Option(
            "--group",
            help="Group whose table a file's network learned, for example S3.",
            show_default="what the file says",
        ),
    ] = None,
    figure: FigureFile = None,
    as_json: AsJson = False,
) -> None:
    """Textbook algorithms on a group, and which of them a network learned."""
    from marginlens.groups import group
    from marginlens.theory import same_logits

    if figure is not None:
        check_file(figure)
    seen, logits = None, None
    is_file = not Path(subject).is_dir() and Path(subject).suffix.lower() in _NETWORKS
    if of_group is not None and not is_file:
        raise ValueError(
            f"--group is for a network's file, got {subject!r}; e.g. mine.npz --group S3"
        )
    if is_file or Path(subject).is_dir():
        learned, logits, seen = _examined(subject, of_group)
    elif figure is not None:
        raise ValueError("a figure compares a run's logits with algorithms; name a run's folder")
    else:
        learned = group(subject)
    chosen = [int(k) for k in _whole(frequencies)] if frequencies else None
    known, why_not = _textbook(learned, chosen, seen)
    fits = {}
    if logits is not None:
        from marginlens.measures import compare_logits

        fits = {fit.name: fit for fit in compare_logits(logits, known)}
    if figure is not None and seen is not None:
        from marginlens.figures import algorithms_figure

        title = f"{seen.task}: variance of the network's logits that algorithms explain"
        write_figure(algorithms_figure(list(fits.values()), title), figure)
    alike = same_logits(known)
    right = {one.name: _right_pairs(one, learned) for one in known}
    if as_json:
        compared = {} if seen is None else seen.learned.compared
        head: dict[str, Any] = {}
        if seen is not None:
            values = seen.to_dict()
            head = {name: values[name] for name in ("algorithm", "summary", "candidates")}
            head["evidence"] = list(seen.learned.evidence)
        rows = [
            {
                "name": one.name,
                "statement": one.statement,
                "source": one.source,
                "right": right[one.name],
                **(vars(fits[one.name]) if fits else {}),
                **({"hidden_layer": compared.get(one.name)} if fits else {}),
            }
            for one in known
        ]
        print_json(
            {
                **head,
                "group": learned.name,
                "pairs": learned.order**2,
                "algorithms": rows,
                "same_logits": [list(names) for names in alike if len(names) > 1],
                "not_applicable": why_not,
            }
        )
        return
    if seen is None:
        _print_textbook(learned, known, right, alike)
    else:
        _print_learned(seen, fits, alike)
    for words in why_not.values():
        out.print(words, style="dim")
    written(figure)


_NETWORKS = (".pt", ".pth", ".ckpt", ".safetensors", ".npz")


def _examined(subject: str, of_group: str | None) -> tuple[FiniteGroup, np.ndarray, Mechanism]:
    """Group, logits (a, b, c) and mechanism of a run or of a network in a file."""
    from marginlens.measures import examine, examine_network, logit_table

    if Path(subject).is_dir():
        from marginlens.runs.folder import load_weights, require_finite_weights
        from marginlens.training import trained_rows

        run = load_weights(subject)
        require_finite_weights(run, subject)
        if run.task.group is None:
            raise ValueError(f"{run.task.name} is no table of a group; take a run on one, e.g. C23")
        train = trained_rows(run.task, run.recipe)
        logits = logit_table(run.network, run.task)
        return run.task.group, logits, examine_network(run.network, run.task, train=train)
    from marginlens.formats import read_network

    found = read_network(subject, group=of_group)
    if found.task.group is None:
        raise ValueError(
            f"{found.task.name} is no table of a group; take a network of one, e.g. C23"
        )
    mechanism = examine(found.logits, found.task, network=found.network, train=found.train)
    n = found.task.size
    return found.task.group, found.logits.reshape(n, n, n), mechanism


def _textbook(
    learned: FiniteGroup, chosen: list[int] | None, seen: Mechanism | None
) -> tuple[list[Algorithm], dict[str, str]]:
    """Algorithms on the group, and for each of the others why there is none."""
    from marginlens.theory import ALGORITHMS, algorithm

    irreps = None
    if seen is not None and chosen is None:
        chosen, irreps = _key_of(learned, seen)
    known, why_not = [], {}
    for name in ALGORITHMS:
        try:
            known.append(algorithm(name, learned, frequencies=chosen, irreps=irreps))
        except ValueError as error:
            why_not[name] = str(error)
    if chosen is not None and "clock" in why_not:
        raise ValueError(why_not["clock"])
    return known, why_not


def _key_of(learned: FiniteGroup, seen: Mechanism) -> tuple[list[int] | None, list[str] | None]:
    """Frequencies and irreps of a network's key features, if they tell all elements apart."""
    from marginlens.theory import algorithm

    irreps = list(seen.key_features)
    classes = {irrep.name: irrep for irrep in learned.irrep_classes[1:]}
    frequencies = [classes[name].frequency or 0 for name in irreps] if learned.generator else None
    try:
        algorithm("representations", learned, irreps=irreps)
    except ValueError:
        return None, None
    return frequencies, irreps


def _right_pairs(one: Algorithm, learned: FiniteGroup) -> int:
    pairs = product(range(learned.order), repeat=2)
    return int(sum(one.run(a, b) == learned.table[a, b] for a, b in pairs))


def _print_textbook(
    learned: FiniteGroup,
    known: list[Algorithm],
    right: dict[str, int],
    alike: tuple[tuple[str, ...], ...],
) -> None:
    table = Table(
        "algorithm", "right pairs", "what it does", title=f"{learned.name}: textbook algorithms"
    )
    for one in known:
        table.add_row(
            one.name,
            f"{right[one.name]} of {learned.order**2}",
            styled(f"{one.statement} ", (f"({one.source})", "dim")),
        )
    out.print(table)
    for names in alike:
        if len(names) > 1:
            out.print(f"the same logits: {', '.join(names)}; only a hidden layer tells them apart")


def _print_learned(
    seen: Mechanism, fits: dict[str, AlgorithmFit], alike: tuple[tuple[str, ...], ...]
) -> None:
    out.print(styled((seen.learned.summary, "bold")))
    same = max(alike, key=lambda names: fits[names[0]].cosine)
    if len(same) > 1 and fits[same[0]].cosine >= 0.999:
        decides = "the hidden layer decides" if seen.learned.compared else "they cannot decide"
        out.print(f"Logits alone are the same for {', '.join(same)}: {decides}.")
    unknown = "unknown: needs the weights"
    if seen.learned.algorithm == "none":
        unknown = "not looked for: it does not answer the rows"
    table = Table(
        "algorithm",
        "cosine of logits",
        "in the hidden layer",
        title=f"{seen.task}: textbook algorithms",
    )
    for names in alike:
        fit = fits[names[0]]
        table.add_row(
            "\n".join(names), f"{fit.cosine:.5f}", "\n".join(_hidden_words(seen, names)) or unknown
        )
    out.print(table)
    out.print("what they do: marginlens algorithms GROUP", style="dim")


def _hidden_words(seen: Mechanism, names: tuple[str, ...]) -> list[str]:
    """Evidence for each of some algorithms, those with the same evidence together."""
    by_words: dict[str, list[str]] = {}
    for name in names:
        if name in seen.learned.compared:
            by_words.setdefault(seen.learned.compared[name], []).append(name)
    if len(names) == 1:
        return list(by_words)
    return [f"{', '.join(some)}: {words}" for words, some in by_words.items()]


@app.command(
    rich_help_panel=_PANEL,
    epilog="Examples:\n\n  marginlens interference 59\n\n"
    "  marginlens interference 59 --figure interference.html",
)
def interference(
    order: Annotated[int, typer.Argument(metavar="N", max=9999, help="Odd modulus.")],
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
    table = Table(
        "frequencies",
        "best lead",
        "median",
        "worst",
        "a best set",
        "sets tried",
        title=f"addition modulo {order}: lead of the right answer",
    )
    for i, size in enumerate(found.sizes.tolist()):
        best = ", ".join(map(str, found.best_sets[i][:8])) + (" …" if size > 8 else "")
        table.add_row(
            str(size),
            f"{found.best[i]:.5f}",
            f"{found.median[i]:.5f}",
            f"{found.worst[i]:.5f}",
            best,
            "all" if found.exhaustive[i] else "random",
        )
    out.print(table)
    written(figure)


def _whole(words: str) -> list[str]:
    parts = [part.strip() for part in words.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ValueError(f"{words!r} is no list of frequencies; write e.g. 3,15,17")
    return parts
