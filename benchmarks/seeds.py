"""Time of a training step of many small networks: compiled steps against a loop over seeds.

The loop trains one seed after another as anyone would write it: `nn.Linear` on one-hot inputs, autograd
and `torch.optim.Adam`. `eager` is `Population` with fused Adam, all members at once. All start from the
same weights and minimise mean cross-entropy + strength * sum ||omega||^3 over the whole table; their
losses are compared after every round. Rounds alternate; the loop's time is measured on a few seeds, each
as long as any other, and multiplied up.

    python benchmarks/seeds.py --threads 1
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import nn

from marginlens.networks import MLP, Population
from marginlens.tasks import Task, task
from marginlens.theory import Penalty, parse_activation
from marginlens.training.compiled import CompiledSteps
from marginlens.training.penalties import add_penalty_gradient

RATE = 0.01
STRENGTH = 1e-4
STEPS = 10  # a round, as between two records of a training
SEEDS = 4  # of the loop

Advance = Callable[[int], torch.Tensor]
"""Takes steps; returns the loss of each member after the last."""


def loop(chosen: Task, network: MLP) -> Advance:
    """One seed after another: Linear on concatenated one-hot inputs, autograd, Adam."""
    rows = torch.tensor(chosen.inputs)
    one_hot = [nn.functional.one_hot(rows[:, i], chosen.size) for i in (0, 1)]
    inputs = torch.cat(one_hot, dim=1).to(network.parameters["w"].dtype)
    answers = torch.tensor(chosen.answers)
    models = []
    for member in range(network.members):
        start = {name: p[member] for name, p in network.parameters.items()}
        first = nn.Linear(2 * chosen.size, network.width, bias=False)
        last = nn.Linear(network.width, chosen.classes, bias=False)
        with torch.no_grad():
            first.weight.copy_(torch.cat([start["u"], start["v"]]).T)
            last.weight.copy_(start["w"])
        parameters = [first.weight, last.weight]
        models.append((first, last, torch.optim.Adam(parameters, lr=RATE)))

    def loss_of(first: nn.Linear, last: nn.Linear) -> torch.Tensor:
        logits = last(first(inputs).square())
        squares = last.weight.square().sum(0) + first.weight.square().sum(1)
        return nn.functional.cross_entropy(logits, answers) + STRENGTH * squares.pow(1.5).sum()

    def advance(steps: int) -> torch.Tensor:
        for first, last, optimizer in models:
            for _ in range(steps):
                optimizer.zero_grad()
                loss_of(first, last).backward()
                optimizer.step()
        with torch.no_grad():
            return torch.stack([loss_of(first, last) for first, last, _ in models]).double()

    return advance


def eager(chosen: Task, network: MLP) -> Advance:
    """All members at once, one PyTorch operator after another."""
    parameters = {name: p.clone() for name, p in network.parameters.items()}
    gradients = {name: torch.zeros_like(p) for name, p in parameters.items()}
    for name, parameter in parameters.items():
        parameter.grad = gradients[name]
    optimizer = torch.optim.Adam(list(parameters.values()), lr=RATE, fused=True)
    population, penalty = Population(chosen, network), Penalty("homogeneous", STRENGTH)

    @torch.no_grad()
    def advance(steps: int) -> torch.Tensor:
        for step in range(steps + 1):
            result = population(parameters, gradients)
            value, _ = add_penalty_gradient(penalty, 3, parameters, gradients)
            if step < steps:
                optimizer.step()
        return result.cross_entropy + value

    return advance


def compiled(chosen: Task, network: MLP) -> tuple[Advance, float]:
    """All members at once in one kernel; also the seconds it took to compile."""
    penalty = Penalty("homogeneous", STRENGTH)
    steps = CompiledSteps(chosen, network.activation, penalty, "adam", network.parameters, {})

    def advance(count: int) -> torch.Tensor:
        metrics = steps.advance([RATE] * count, [STRENGTH] * count)
        return metrics.cross_entropy + STRENGTH * metrics.penalty

    return advance, steps.compile_seconds


def compare(name: str, members: int, width: int, rounds: int, table: Table) -> None:
    """Rows of the table for one ensemble."""
    chosen, square = task(name), parse_activation("x^2")
    network = MLP.initial(chosen, square, width=width, members=members)
    few = MLP({n: p[:SEEDS] for n, p in network.parameters.items()}, square)
    kernel, seconds = compiled(chosen, network)
    ways = {
        "loop over seeds": (loop(chosen, few), members / SEEDS),
        "eager": (eager(chosen, network), 1.0),
        "compiled, 10 steps a call": (kernel, 1.0),
    }
    long = compiled(chosen, network)[0]
    times: dict[str, list[float]] = {way: [] for way in [*ways, "compiled, 100 steps a call"]}
    worst = 0.0
    for turn in track(range(rounds + 1), name, console=Console(stderr=True), transient=True):
        losses = {}
        for way, (advance, factor) in ways.items():
            started = time.perf_counter()
            losses[way] = advance(STEPS)[:SEEDS]
            if turn:  # the first round warms up
                times[way].append((time.perf_counter() - started) * factor / STEPS)
        started = time.perf_counter()
        long(100)
        if turn:
            times["compiled, 100 steps a call"].append((time.perf_counter() - started) / 100)
        apart = max(
            float((x / losses["compiled, 10 steps a call"] - 1).abs().max())
            for x in losses.values()
        )
        worst = max(worst, apart)
    assert worst < 1e-4, f"{name}: losses differ by {worst:.1e}"
    base = statistics.median(times["loop over seeds"])
    for way, measured in times.items():
        median = statistics.median(measured)
        ratio = statistics.median(
            a / b for a, b in zip(times["loop over seeds"], measured, strict=True)
        )
        table.add_row(
            f"{name}, {members} seeds, width {width}" if way == "loop over seeds" else "",
            way,
            f"{1e6 * median:,.0f}",
            f"{members / median:,.0f}",
            f"{base / median:,.1f}",
            f"{ratio:,.1f}",
            f"{worst:.0e}" if way == "compiled, 10 steps a call" else "",
            f"{seconds:.1f}" if way == "compiled, 10 steps a call" else "",
        )
    table.add_section()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.set_flush_denormal(True)
    table = Table(
        "ensemble", "way", "µs a step", "seed-steps a second", "ratio to the loop",
        "ratio, round by round", "losses apart", "compiled in s",
        title=f"x^2, Adam, float32, {given.threads} threads, medians of {given.rounds} rounds",
    )  # fmt: skip
    for name, members, width in (("C5", 100, 8), ("S3", 100, 8), ("C23", 16, 128)):
        compare(name, members, width, given.rounds, table)
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
