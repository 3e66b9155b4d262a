"""Excess over the known minimum of the loss against steps and seconds: ours, its parts, and others.

Every row trains one network from the same random weights, for equally many steps, by the recipe that
suits the task, but for what the row names. The excess is (loss - minimum) / minimum, with the minimum
of any width that the prediction gives at the strength; a share is one of gamma*, beside the share at
that minimum. Seconds are CPU seconds of the process, which other work on the machine changes little.

    OMP_NUM_THREADS=1 python benchmarks/optimizers.py --quick
    OMP_NUM_THREADS=1 python benchmarks/optimizers.py --tasks S4 "C71 at width 280" "parity(10,4)"
    OMP_NUM_THREADS=1 python benchmarks/optimizers.py --parts --tasks S4 A5
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from marginlens.tasks import task
from marginlens.theory import Penalty, predict
from marginlens.training import DivergedError, recipe_for, train
from marginlens.training import optimizers as product

LEVELS = (1e-3, 1e-4, 1e-5, 1e-6)
QUICK = {"S4": 400, "parity(10,4)": 400}
STEPS = {
    "C71": 1000,
    "C71 at width 280": 1000,
    "S4": 1500,
    "A5": 1500,
    "S5": 2500,
    "parity(10,4)": 1000,
}

Fields = dict[str, Any]
NEURONWISE: Fields = {"optimizer": "neuronwise-adam", "learning_rate": 0.1}
ADAM: Fields = {"optimizer": "adam"}

OPTIMIZERS: dict[str, Fields] = {
    "neuron-wise, exchange": NEURONWISE | {"exchange_every": 50},
    "neuron-wise": NEURONWISE,
    "Adam": ADAM,
    "Adam, exchange": ADAM | {"exchange_every": 50},
    "Muon, rate .02": {"optimizer": "muon", "learning_rate": 0.02},
    "SGD, momentum .9, rate .1": {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.1},
}
PARTS: dict[str, Fields] = {
    "all parts": NEURONWISE,
    "one second moment a weight (Adam)": ADAM | {"learning_rate": 0.03, "betas": (0.97, 0.95)},
    "steps not relative to the norm": NEURONWISE,
    "memory .999 instead of .95": NEURONWISE | {"betas": (0.97, 0.999)},
    "momentum .9 instead of .97": NEURONWISE | {"betas": (0.9, 0.95)},
    "no momentum": NEURONWISE | {"betas": (0.0, 0.95)},
    "rate .03 instead of .1": NEURONWISE | {"learning_rate": 0.03},
}


def absolute_neuronwise_adam_(
    parameters: dict,
    gradients: dict,
    means: dict,
    squares: torch.Tensor,
    *,
    step: int,
    rate: float,
    betas: tuple[float, float],
    uses: object = None,
) -> None:
    """One second moment a neuron, and steps of the typical neuron's norm for every neuron."""
    slopes, sizes = torch.zeros_like(squares), torch.zeros_like(squares)
    for name, p in parameters.items():
        slopes += gradients[name].double().square().sum(1)
        sizes += p.double().square().sum(1)
    size = sizes.mean(1, keepdim=True).sqrt()
    squares.mul_(betas[1]).add_(slopes, alpha=1 - betas[1])
    factor = rate * size * ((1 - betas[1] ** step) / squares.clamp_min(1e-300)).sqrt()
    factor = (factor / (1 - betas[0] ** step)).unsqueeze(1)
    for name, p in parameters.items():
        means[name].mul_(betas[0]).add_(gradients[name], alpha=1 - betas[0])
        p.sub_(means[name] * factor.to(p.dtype))


@contextmanager
def steps_by(update: Callable[..., None] | None) -> Iterator[None]:
    """Take the neuron-wise steps by another function."""
    own = product.neuronwise_adam_
    product.neuronwise_adam_ = update or own
    try:
        yield
    finally:
        product.neuronwise_adam_ = own


def row(name: str, label: str, fields: Fields, seed: int, steps: int) -> list[str]:
    """Train one network; its steps and seconds to each level of excess, and how it ends."""
    spec, _, width = name.partition(" at width ")
    of = task(spec)
    recipe = recipe_for(of, seed=seed, steps=steps, width=int(width) if width else None, **fields)
    prediction = predict(of, recipe.activation, Penalty(recipe.penalty, recipe.strength))
    minimum = prediction.at_penalty
    assert minimum is not None
    assert prediction.margin is not None
    begun, seconds = time.process_time(), []

    def note(step: int, latest: dict[str, np.ndarray]) -> None:
        seconds.append(time.process_time() - begun)

    update = absolute_neuronwise_adam_ if label.startswith("steps not relative") else None
    try:
        with steps_by(update):
            training = train(of, recipe, progress=note)
    except DivergedError:
        return [name, label, *("–" for _ in LEVELS), "diverged", "–", "–"]
    excess = training.history["loss"][:, 0] / minimum.loss - 1
    reached = []
    for level in LEVELS:
        below = np.flatnonzero(excess < level)
        first = below[0] if len(below) else None
        reached.append(
            "–" if first is None else f"{training.steps[first]} / {seconds[first]:.1f} s"
        )
    share = training.history["normalized_margin"][-1, 0] / prediction.margin
    return [
        name,
        label,
        *reached,
        f"{excess[-1]:.1e}",
        f"{share:.4f} of {minimum.margin_ratio:.4f}",
        f"{recipe.steps} / {seconds[-1]:.1f} s",
    ]


def main() -> None:
    """Print one table of all tasks."""
    parser = argparse.ArgumentParser(description="Excess over the minimum against steps")
    parser.add_argument("--quick", action="store_true", help="small tasks and few steps")
    parser.add_argument("--parts", action="store_true", help="leave out one part after the other")
    parser.add_argument(
        "--tasks", nargs="+", default=list(STEPS), choices=list(STEPS), metavar="TASK"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows = PARTS if options.parts else OPTIMIZERS
    names = list(QUICK) if options.quick else options.tasks
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    table = Table(
        *(
            "task",
            "optimizer",
            *(f"to {level:g}" for level in LEVELS),
            "excess",
            "share of γ*",
            "all",
        ),
        title=f"steps / CPU seconds to a relative excess of the loss; load {load:.1f} of "
        f"{os.cpu_count()} cores at the start",
    )
    for name in names:
        for label, fields in rows.items():
            table.add_row(
                *row(
                    name, label, fields, options.seed, QUICK[name] if options.quick else STEPS[name]
                )
            )
        table.add_section()
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
