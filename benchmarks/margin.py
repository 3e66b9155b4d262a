"""Shares of the maximum margin that training of the margin itself reaches, with its upper bound.

One training after another from random weights; wall time and processor time beside each other, as
machines are shared. The ablation trains one task with other schedules of sharpness and rate.

    OMP_NUM_THREADS=2 python benchmarks/margin.py
    OMP_NUM_THREADS=2 python benchmarks/margin.py --ablation
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from dataclasses import dataclass
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from marginlens.tasks import task
from marginlens.theory import predict
from marginlens.training import recipe_for, train

QUICK = {"S3", "S4", "parity(10,4)", "compose(C7,3)", "compose(S3,3)", "C23"}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("S3", {"width": 100, "steps": 1000}),
    ("S4", {"width": 300, "steps": 1000}),
    ("parity(10,4)", {"steps": 1000}),
    ("compose(C7,3)", {"steps": 1000}),
    ("compose(S3,3)", {"steps": 1000}),
    ("C23", {"width": 90, "steps": 1000}),
    ("C23", {"width": 66, "steps": 1000}),
    ("A5", {"width": 400, "steps": 2000}),
    ("C71", {"width": 500, "steps": 1000}),
    ("C71", {"width": 280, "steps": 1000}),
    ("S5", {"width": 1000, "steps": 1000}),
]
ABLATION: list[tuple[str, dict[str, Any]]] = [
    ("as by default: sharpness 10 to 2000, rate .06 along a cosine", {}),
    ("no neurons exchanged", {"exchange_every": 0}),
    ("first sharpness 3", {"sharpness_start": 3.0}),
    ("first sharpness 30", {"sharpness_start": 30.0}),
    ("first sharpness 300", {"sharpness_start": 300.0}),
    ("constant sharpness 2000", {"sharpness_start": 2000.0}),
    ("last sharpness 200", {"sharpness_end": 200.0}),
    ("last sharpness 20000", {"sharpness_end": 20000.0}),
    ("rate constant for the first half", {"schedule": "decay"}),
    ("rate constant", {"schedule": "constant"}),
    ("rate .03", {"learning_rate": 0.03}),
    ("rate .1", {"learning_rate": 0.1}),
    ("betas .97 and .95", {"betas": (0.97, 0.95)}),
    ("Adam, rate .003", {"optimizer": "adam", "learning_rate": 0.003}),
]


@dataclass(frozen=True)
class Reached:
    """Outcome of one training: shares of gamma*, and seconds."""

    lower: float
    upper: float
    wall: float
    processor: float


def reached(spec: str, fields: dict[str, Any], seed: int) -> Reached:
    """Train the margin of a task from a seed."""
    chosen = task(spec)
    best = predict(chosen).margin
    assert best is not None
    fields = {"compile": "always", "snapshots": 0} | fields
    recipe = recipe_for(chosen, loss_function="margin", seed=seed, **fields)
    wall, processor = time.perf_counter(), time.process_time()
    history = train(chosen, recipe).history
    return Reached(
        float(history["normalized_margin"][-1, 0]) / best,
        float(history["upper_bound"][-1, 0]) / best,
        time.perf_counter() - wall,
        time.process_time() - processor,
    )


def row_of(label: list[str], found: list[Reached]) -> list[str]:
    """A row of either table: median and worst share, worst bound, median seconds."""
    lower = [one.lower for one in found]
    return [
        *label,
        str(len(found)),
        f"{statistics.median(lower):.5f}",
        f"{min(lower):.5f}",
        f"{max(one.upper for one in found):.5f}",
        f"{statistics.median(one.wall for one in found):.1f}",
        f"{statistics.median(one.processor for one in found):.1f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="small tasks only")
    parser.add_argument("--only", action="append", help="a task; may be given again")
    parser.add_argument("--ablation", action="store_true", help="schedules, on S4")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    columns = ["seeds", "share of γ*, median", "worst", "upper bound, worst", "seconds", "CPU s"]
    threads = torch.get_num_threads()
    title = f"--loss margin, float32, {threads} threads, load {load:.1f} at the start"
    reached("C5", {"steps": 60}, 0)  # compiles, where nothing was compiled yet
    if given.ablation:
        table = Table("S4, width 300, 1,000 steps", *columns, title=title)
        for words, more in track(ABLATION, "training", transient=True):
            fields = {"width": 300, "steps": 1000} | more
            table.add_row(
                *row_of([words], [reached("S4", fields, seed) for seed in range(given.seeds)])
            )
    else:
        table = Table("task", "width", "steps", *columns, title=title)
        for spec, fields in track(CASES, "training", transient=True):
            if (given.quick and spec not in QUICK) or (given.only and spec not in given.only):
                continue
            recipe = recipe_for(task(spec), loss_function="margin", **fields)
            label = [spec, str(recipe.width), str(recipe.steps)]
            table.add_row(
                *row_of(label, [reached(spec, fields, seed) for seed in range(given.seeds)])
            )
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
