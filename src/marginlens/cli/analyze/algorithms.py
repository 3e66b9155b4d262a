"""The command ``analyze algorithms``: textbook algorithm that a network learned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marginlens.cli.app import analyze_commands, out
from marginlens.cli.arguments import AsJson, FigureFile
from marginlens.cli.completion import NETWORK_SUFFIXES, complete_network
from marginlens.cli.console import styled
from marginlens.cli.tables import Table
from marginlens.cli.text_output import check_file, print_json, write_figure, written
from marginlens.cli.theory.algorithms import correct_pairs, frequencies_in, known_algorithms

if TYPE_CHECKING:
    import numpy as np

    from marginlens.groups import FiniteGroup
    from marginlens.measures import AlgorithmFit, Mechanism

_SAME = 0.999
"""Cosine of logits from which a group of algorithms is said to explain them."""


@analyze_commands.command(
    examples=(
        "analyze algorithms runs/C23",
        "analyze algorithms model_p99zdpze5l.pt --figure algorithms.html",
        "analyze algorithms mine.npz --group S3",
    ),
    notes="The algorithms themselves: marginlens theory algorithms GROUP.",
)
def algorithms(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER|FILE",
            help="Folder of a run on a group, or a network's file: .pt, .safetensors or .npz.",
            autocompletion=complete_network,
        ),
    ],
    frequencies: Annotated[
        str | None,
        typer.Option(
            "--frequencies",
            help="Frequencies that the clock and the pizza use, for example 3,15,17.",
            show_default="key frequencies of the network",
        ),
    ] = None,
    of_group: Annotated[
        str | None,
        typer.Option(
            "--group",
            help="Group that the network of a file learned, for example S3.",
            show_default="read from the file",
        ),
    ] = None,
    figure: FigureFile = None,
    as_json: AsJson = False,
) -> None:
    """Compare a network with the textbook algorithms and name the one that it learned."""
    from marginlens.measures import compare_logits
    from marginlens.theory import same_logits

    if figure is not None:
        check_file(figure)
    is_file = not Path(subject).is_dir() and subject.lower().endswith(NETWORK_SUFFIXES)
    if of_group is not None and not is_file:
        raise ValueError(
            f"--group expects a network's file, got {subject!r}; for example mine.npz --group S3"
        )
    learned, logits, seen = _examined(subject, of_group)
    chosen = frequencies_in(frequencies)
    irreps = None
    if chosen is None:
        chosen, irreps = _key_features(learned, seen)
    known, inapplicable = known_algorithms(learned, chosen, irreps)
    fits = {fit.name: fit for fit in compare_logits(logits, known)}
    if figure is not None:
        from marginlens.figures import algorithms_figure

        title = f"{seen.task}: variance of the network's logits explained by algorithms"
        write_figure(algorithms_figure(list(fits.values()), title), figure)
    alike = same_logits(known)
    if as_json:
        values = seen.to_dict()
        record: dict[str, Any] = {
            name: values[name] for name in ("algorithm", "summary", "candidates")
        }
        record["evidence"] = list(seen.learned.evidence)
        record |= {"group": learned.name, "pairs": learned.order**2}
        record["algorithms"] = [
            {
                "name": one.name,
                "statement": one.statement,
                "source": one.source,
                "right": correct_pairs(one, learned),
                **vars(fits[one.name]),
                "hidden_layer": seen.learned.compared.get(one.name),
            }
            for one in known
        ]
        record["same_logits"] = [list(names) for names in alike if len(names) > 1]
        record["not_applicable"] = inapplicable
        print_json(record)
        return
    _print_comparison(seen, fits, alike)
    for reason in inapplicable.values():
        out.print(reason, style="dim")
    written(figure)


def _examined(subject: str, of_group: str | None) -> tuple[FiniteGroup, np.ndarray, Mechanism]:
    """Group, logits (a, b, c) and mechanism of a run or of a network in a file."""
    from marginlens.measures import examine, examine_network, logit_table

    if not subject.lower().endswith(NETWORK_SUFFIXES) or Path(subject).is_dir():
        from marginlens.runs.folder import load_weights, require_finite_weights
        from marginlens.training import trained_rows

        run = load_weights(subject)
        require_finite_weights(run, subject)
        if run.task.group is None:
            raise ValueError(f"expected a run on a group, got {run.task.name}; for example C23")
        train = trained_rows(run.task, run.recipe)
        logits = logit_table(run.network, run.task)
        return run.task.group, logits, examine_network(run.network, run.task, train=train)
    from marginlens.formats import read_network

    found = read_network(subject, group=of_group)
    if found.task.group is None:
        raise ValueError(f"expected a network of a group, got {found.task.name}; for example C23")
    mechanism = examine(found.logits, found.task, network=found.network, train=found.train)
    n = found.task.size
    return found.task.group, found.logits.reshape(n, n, n), mechanism


def _key_features(
    learned: FiniteGroup, seen: Mechanism
) -> tuple[list[int] | None, list[str] | None]:
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


def _print_comparison(
    seen: Mechanism, fits: dict[str, AlgorithmFit], alike: tuple[tuple[str, ...], ...]
) -> None:
    out.print(styled((seen.learned.summary, "bold")))
    same = max(alike, key=lambda names: fits[names[0]].cosine)
    if len(same) > 1 and fits[same[0]].cosine >= _SAME:
        decides = "the hidden layer decides" if seen.learned.compared else "they cannot decide"
        out.print(f"Logits alone are the same for {', '.join(same)}: {decides}.")
    unknown = "unknown: needs the weights"
    if seen.learned.algorithm == "none":
        unknown = "not examined: the network does not answer the rows"
    table = Table(
        "algorithm",
        "cosine of logits",
        "in the hidden layer",
        title=f"{seen.task}: textbook algorithms",
    )
    for names in alike:
        table.add_row(
            "\n".join(names),
            f"{fits[names[0]].cosine:.5f}",
            "\n".join(_evidence(seen, names)) or unknown,
        )
    out.print(table)
    out.print("description of each: marginlens theory algorithms GROUP", style="dim")


def _evidence(seen: Mechanism, names: tuple[str, ...]) -> list[str]:
    """Evidence for each of some algorithms, those with the same evidence together."""
    by_evidence: dict[str, list[str]] = {}
    for name in names:
        if name in seen.learned.compared:
            by_evidence.setdefault(seen.learned.compared[name], []).append(name)
    if len(names) == 1:
        return list(by_evidence)
    return [f"{', '.join(some)}: {evidence}" for evidence, some in by_evidence.items()]
