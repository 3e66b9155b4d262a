"""Time of a training step: ours against the textbook loop, alternating in one process.

The textbook loop is `nn.Linear` on one-hot inputs, autograd and `torch.optim.Adam`; both minimise
mean cross-entropy + strength * sum ||omega||^3 over the whole table from the same weights, and their
losses are compared step by step. Medians over rounds of a few steps each.

    python benchmarks/step.py --p 71 --width 500
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
from torch import Tensor, nn

from marginlens.networks import MLP, Population
from marginlens.tasks import Task, task
from marginlens.theory import Penalty, parse_activation
from marginlens.training.penalties import add_penalty_gradient

RATE = 0.01
STRENGTH = 1e-4


def our_loop(chosen: Task, network: MLP) -> Callable[[], float]:
    """The step that `marginlens.train` takes."""
    parameters = {name: p.clone() for name, p in network.parameters.items()}
    gradients = {name: torch.zeros_like(p) for name, p in parameters.items()}
    for name, parameter in parameters.items():
        parameter.grad = gradients[name]
    optimizer = torch.optim.Adam(list(parameters.values()), lr=RATE, fused=True)
    population = Population(chosen, network)
    penalty = Penalty("homogeneous", STRENGTH)

    def step() -> float:
        with torch.no_grad():
            result = population(parameters, gradients)
            value, _ = add_penalty_gradient(penalty, 3, parameters, gradients)
            optimizer.step()
            return float(result.cross_entropy + value)

    return step


def textbook_loop(chosen: Task, network: MLP, *, concatenated: bool) -> Callable[[], float]:
    """One Linear on concatenated one-hot inputs, or one Linear for each slot."""
    p, width = chosen.size, network.width
    start = {name: value[0] for name, value in network.parameters.items()}
    rows = torch.tensor(chosen.inputs)
    one_hot = [nn.functional.one_hot(rows[:, i], p).to(start["w"].dtype) for i in (0, 1)]
    answers = torch.tensor(chosen.answers)
    if concatenated:
        first = [nn.Linear(2 * p, width, bias=False)]
        inputs = [torch.cat(one_hot, dim=1)]
        weights = [torch.cat([start["u"], start["v"]]).T]
    else:
        first = [nn.Linear(p, width, bias=False) for _ in range(2)]
        inputs = one_hot
        weights = [start["u"].T, start["v"].T]
    last = nn.Linear(width, p, bias=False)
    with torch.no_grad():
        for layer, weight in zip(first, weights, strict=True):
            layer.weight.copy_(weight)
        last.weight.copy_(start["w"])
    model = nn.ModuleList([*first, last])
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)

    def step() -> float:
        hidden: Tensor = sum(layer(x) for layer, x in zip(first, inputs, strict=True))  # type: ignore
        logits = last(hidden.square())
        squares = last.weight.square().sum(0)
        for layer in first:
            squares = squares + layer.weight.square().sum(1)
        loss = nn.functional.cross_entropy(logits, answers) + STRENGTH * squares.pow(1.5).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--p", type=int, default=71, help="addition modulo p")
    parser.add_argument("--width", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--steps", type=int, default=10, help="steps of each loop a round")
    given = parser.parse_args()

    chosen = task(f"C{given.p}")
    network = MLP.initial(chosen, parse_activation("x^2"), width=given.width)
    loops = {
        "ours": our_loop(chosen, network),
        "textbook, concatenated one-hot": textbook_loop(chosen, network, concatenated=True),
        "textbook, one Linear a slot": textbook_loop(chosen, network, concatenated=False),
    }
    losses: dict[str, list[float]] = {name: [] for name in loops}
    times: dict[str, list[float]] = {name: [] for name in loops}
    err = Console(stderr=True)
    for turn in track(range(given.rounds + 1), "rounds", console=err, transient=True):
        for name, step in loops.items():
            started = time.perf_counter()
            losses[name] += [step() for _ in range(given.steps)]
            if turn:  # the first round warms up
                times[name].append((time.perf_counter() - started) / given.steps)

    ours = statistics.median(times["ours"])
    table = Table(
        "loop", "ms a step", "ratio to ours", "ratio, round by round", "largest difference in loss",
        title=f"addition mod {given.p}, width {given.width}, {torch.get_num_threads()} threads, "
        f"medians of {given.rounds} alternating rounds of {given.steps} steps",
    )  # fmt: skip
    for name in loops:
        median = statistics.median(times[name])
        rounds = statistics.median(b / a for a, b in zip(times["ours"], times[name], strict=True))
        apart = max(abs(a - b) for a, b in zip(losses["ours"], losses[name], strict=True))
        table.add_row(
            name, f"{1e3 * median:.2f}", f"{median / ours:.2f}", f"{rounds:.2f}", f"{apart:.1e}"
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
