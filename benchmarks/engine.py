"""Time and memory of a training step, ours against the textbook's, over many networks.

Both start from the same weights and minimise the same loss, alternating in one process. A row whose
network we cannot train yet shows the textbook's figures alone.

    OMP_NUM_THREADS=2 python benchmarks/engine.py
    OMP_NUM_THREADS=2 python benchmarks/engine.py --only "p 23" --memory --rates
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from measure import alternate, gemm_rates, peak_memory
from rich.console import Console
from rich.progress import track
from rich.table import Table
from textbook import (
    HOMOGENEITY,
    Embedding,
    Step,
    one_after_another,
    textbook_mlp,
    train_rows,
)
from textbook_transformer import Attention, textbook_transformer
from torch import Tensor

from marginlens.networks import MLP, Population
from marginlens.tasks import task
from marginlens.theory import Penalty, parse_activation
from marginlens.training.penalties import add_penalty_gradient

RATE = 0.01
BLOCK_SECONDS = 0.15
"""How long a block of the textbook's steps takes, about."""


@dataclass(frozen=True)
class Case:
    """One row: a task, a network and how it is trained, as in ``textbook_mlp``."""

    label: str
    task: str
    width: int
    activation: str = "x^2"
    embedding: Embedding = "separate"
    embedding_width: int = 0
    loss: Literal["cross_entropy", "squared"] = "cross_entropy"
    optimizer: Literal["adam", "adamw"] = "adam"
    weight_decay: float = 0.0
    strength: float = 0.0
    fraction: float = 1.0
    members: int = 1


@dataclass(frozen=True)
class TransformerCase:
    """One row: a one-layer transformer, 128 wide, with 4 heads and 512 hidden neurons."""

    label: str
    task: str
    attention: Attention
    fraction: float
    equals: bool = True
    members: int = 1


AnyCase = Case | TransformerCase

CASES = (
    Case("p 23, width 512, x², separate", "C23", 512, strength=1e-4),
    Case("p 23, width 512, ReLU, tied", "C23", 512, "relu", "tied"),
    Case("p 23, width 512, x², tied", "C23", 512, "x^2", "tied"),
    Case("p 71, width 500, x², concatenated", "C71", 500, "x^2", "concatenated", strength=1e-4),
    Case("p 97, width 1024, x², separate", "C97", 1024, strength=1e-4),
    Case("p 97, width 1024, ReLU, tied", "C97", 1024, "relu", "tied"),
    Case("p 97, width 1024, x², tied", "C97", 1024, "x^2", "tied"),
    Case(
        "S5, embeddings 256, hidden 128, 40 %", "S5", 128, "relu", "factored", 256,
        optimizer="adamw", weight_decay=1.0, fraction=0.4,
    ),
    Case(
        "p 97, width 500, x², squared error, 50 %", "C97", 500, "x^2", "concatenated",
        loss="squared", fraction=0.5,
    ),
    TransformerCase("transformer, S5, 60 %", "S5", "causal", 0.6),
    TransformerCase("transformer, p 113, 30 %", "C113", "causal", 0.3),
    TransformerCase("transformer, p 59, constant attention, 80 %", "C59", "constant", 0.8, False),
    TransformerCase("transformer, p 59, full attention, 80 %", "C59", "full", 0.8, False),
    Case("100 seeds of C5, width 8", "C5", 8, strength=1e-3, members=100),
    Case("100 seeds of S3, width 8", "S3", 8, strength=1e-3, members=100),
    Case("16 seeds of p 23, width 128", "C23", 128, strength=1e-4, members=16),
)  # fmt: skip


def initial_weights(case: Case, member: int) -> dict[str, Tensor]:
    """Weights from which one member starts in both implementations."""
    chosen = task(case.task)
    activation = parse_activation(case.activation)
    network = MLP.initial(chosen, activation, width=case.width, seed=member)
    weights = {name: value[0] for name, value in network.parameters.items()}
    if case.embedding == "tied":
        del weights["v"]
    if case.embedding == "factored":
        generator = torch.Generator().manual_seed(member)
        shapes = dict.fromkeys(("u", "v"), (chosen.size, case.embedding_width))
        shapes["hidden"] = (2 * case.embedding_width, case.width)
        for name, shape in shapes.items():
            weights[name] = torch.randn(*shape, generator=generator) * shape[0] ** -0.5
    return weights


def textbook_step(case: AnyCase) -> Step:
    """The plain implementation's step: one network after another if there are several members."""
    chosen = task(case.task)
    rows = train_rows(len(chosen.answers), case.fraction)
    inputs, answers = torch.tensor(chosen.inputs)[rows], torch.tensor(chosen.answers)[rows]
    if isinstance(case, TransformerCase):
        return textbook_transformer(
            inputs, answers, size=chosen.size, equals=case.equals, attention=case.attention
        )
    steps = [
        textbook_mlp(
            inputs, answers, initial_weights(case, member),
            activation=case.activation, embedding=case.embedding, loss=case.loss,
            optimizer=case.optimizer, rate=RATE, weight_decay=case.weight_decay,
            strength=case.strength,
        )
        for member in range(case.members)
    ]  # fmt: skip
    return steps[0] if len(steps) == 1 else one_after_another(steps)


def our_step(case: AnyCase) -> Step | None:
    """The step that ``marginlens.train`` takes, or None for what it cannot train yet."""
    if isinstance(case, TransformerCase):
        return None
    untied = case.embedding in ("separate", "concatenated")  # the same function of the weights
    whole = case.fraction == 1 and case.loss == "cross_entropy" and case.optimizer == "adam"
    if not (untied and whole):
        return None
    chosen, activation = task(case.task), parse_activation(case.activation)
    members = [initial_weights(case, member) for member in range(case.members)]
    parameters = {name: torch.stack([w[name] for w in members]) for name in members[0]}
    gradients = {name: torch.zeros_like(p) for name, p in parameters.items()}
    for name, parameter in parameters.items():
        parameter.grad = gradients[name]
    optimizer = torch.optim.Adam(list(parameters.values()), lr=RATE, fused=True)
    population = Population(chosen, MLP(parameters, activation))
    penalty, power = Penalty("homogeneous", case.strength), HOMOGENEITY[case.activation]

    def step() -> float:
        with torch.no_grad():
            result = population(parameters, gradients)
            value, _ = add_penalty_gradient(penalty, power, parameters, gradients)
            optimizer.step()
            return float((result.cross_entropy + value).mean())

    return step


def matrix_products(case: AnyCase) -> list[tuple[int, int, int]]:
    """Shapes (m, k, n) of the products that no implementation gets around, forward and backward.

    Where inputs are one of few (an embedding, keys and values by token and position), a table is
    looked up and its product not counted: what is left is a network's last layer, and a transformer's
    output of attention, hidden layer and logits at its last position. With constant attention the
    first of these is a table, too.
    """
    chosen = task(case.task)
    rows = round(case.fraction * len(chosen.answers))
    if isinstance(case, Case):
        layers = [(case.width, chosen.classes)]
    else:
        layers = [(128, 512), (512, 128), (128, chosen.classes)]
        if case.attention != "constant":
            layers.insert(0, (128, 128))
    return [
        shape
        for before, after in layers
        for shape in ((rows, before, after), (after, rows, before), (rows, after, before))
    ]


def best_gemm_seconds(case: AnyCase) -> float:
    """Time of those products alone, each at the best rate that this machine reaches at its shape."""
    return case.members * sum(
        2 * m * k * n / gemm_rates(m, k, n)[0].rate for m, k, n in matrix_products(case)
    )


def run_steps(case: AnyCase, ours: bool, count: int) -> None:
    """Build one implementation and take steps, for its memory."""
    step = our_step(case) if ours else textbook_step(case)
    for _ in range(count if step is not None else 0):
        step()  # type: ignore[misc]


def peak_megabytes(case: AnyCase, *, ours: bool) -> float:
    """Peak of data, weights and three steps, beyond what a tiny network of the kind takes."""
    tiny = Case("tiny", "C3", 4)
    return peak_memory(run_steps, case, ours, 3, warm=(tiny, ours, 1)) / 2**20


def measured_row(case: AnyCase, rounds: int, *, memory: bool, rates: bool) -> list[str]:
    """The table's cells for one case."""
    steps: dict[str, Callable[[], float]] = {"textbook": textbook_step(case)}
    ours = our_step(case)
    if ours is not None:
        steps["ours"] = ours
    once = alternate({"textbook": steps["textbook"]}, rounds=1, calls=2).median("textbook")
    steps["textbook"] = textbook_step(case)  # both start anew
    calls = min(200, max(2, round(BLOCK_SECONDS / once)))
    timings = alternate(steps, rounds=rounds, calls=calls)
    cells = [case.label, f"{1e3 * timings.median('textbook'):.2f}"]
    if ours is None:
        cells += ["–"] * 4
    else:
        pairs = zip(timings.returned["textbook"], timings.returned["ours"], strict=True)
        apart = max(abs(one - other) / abs(one) for one, other in list(pairs)[:10])
        cells += [
            f"{1e3 * timings.median('ours'):.2f}",
            f"{timings.ratio('textbook', 'ours'):.2f}",
            f"{timings.paired_ratio('textbook', 'ours'):.2f}",
            f"{apart:.0e}",
        ]
    if rates:
        floor = best_gemm_seconds(case)
        shares = [floor / timings.median(name) for name in steps]
        cells.append(" → ".join(f"{share:.0%}" for share in shares))
    if memory:
        peaks = [peak_megabytes(case, ours=name == "ours") for name in steps]
        cells.append(" → ".join(f"{peak:.0f}" for peak in peaks))
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="rows whose label has this in it")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--memory", action="store_true", help="peaks of memory, in processes")
    parser.add_argument("--rates", action="store_true", help="share of the best matrix products")
    given = parser.parse_args()
    cases = [case for case in CASES if given.only in case.label]
    if not cases:
        parser.error(f"no row has {given.only!r} in it; one is {CASES[0].label!r}")
    columns = [
        "network", "textbook ms", "ours ms", "ratio", "round by round", "apart in 10 steps",
    ]  # fmt: skip
    columns += ["share of best GEMM"] * given.rates + ["peak MB"] * given.memory
    threads = f"{torch.get_num_threads()} threads of {os.cpu_count()} cores"
    table = Table(
        *columns, title=f"one full-batch step, {threads}, {given.rounds} alternating rounds"
    )
    for case in track(cases, "networks", console=Console(stderr=True), transient=True):
        table.add_row(*measured_row(case, given.rounds, memory=given.memory, rates=given.rates))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
