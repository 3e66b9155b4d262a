"""Time and memory of a training step, ours against the textbook's, over many networks.

Both start from the same weights and minimise the same loss by the same optimizer, alternating in one
process. Losses and gradients are compared in float64 before anything is timed in float32; a row that
differs or fails is marked, the others are measured, and the exit code is 1.

    OMP_NUM_THREADS=2 python benchmarks/engine.py
    OMP_NUM_THREADS=2 python benchmarks/engine.py --only "p 23" --rounds 5 --quick
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from functools import cache

import torch
from cases import CASES, SEEDS, Case, Compiled, Ours, Textbook
from measure import alternate, gemm_rates, peak_memory
from rich.console import Console
from rich.progress import track
from rich.table import Table

from marginlens.tasks import task

BLOCK_SECONDS = 0.15
"""How long a block of steps takes, about."""

APART = 1e-9
"""Greatest relative difference of losses and gradients of the first step in float64."""

Contestant = Textbook | Ours | Compiled


def contestants(case: Case) -> dict[str, Contestant]:
    """Both sides from the same weights: several tiny networks of ours run in the compiled kernel."""
    return {"textbook": Textbook(case), "ours": ours(case)}


def ours(case: Case) -> Ours | Compiled:
    """Our side, as ``train`` would take it: many members at once in the kernel."""
    return (Compiled if case.members > 1 else Ours)(case)


class DifferError(ValueError):
    """The two sides compute different losses or gradients: their times would mean nothing."""


def in_float64(case: Case) -> Case:
    """The same networks in double precision, in which equal gradients are equal to 1e-9.

    In float32 gradients through a layer norm differ by 1e-4 between processors.
    """
    return replace(case, dtype=torch.float64)


def compare(case: Case, sides: dict[str, Contestant]) -> tuple[float, float]:
    """Relative differences of the first step's loss, and of its gradients in the 2-norm at worst.

    Raises
    ------
    DifferError
        If they are larger than round-off in float64.
    """
    (wanted, theirs), (loss, ours) = (sides[name].first() for name in ("textbook", "ours"))
    apart, worst = abs(loss / wanted - 1), 0.0
    if set(theirs) != set(ours):
        raise DifferError(f"gradients are of {sorted(theirs)} and {sorted(ours)}")
    for name, gradient in theirs.items():
        if scale := gradient.norm().item():
            worst = max(worst, (ours[name] - gradient).norm().item() / scale)
        elif ours[name].any():
            raise DifferError(f"the gradient of {name} should be zero")
    if not (apart < APART and worst < APART):
        raise DifferError(f"loss and gradients differ by {apart:.0e} and {worst:.0e}")
    return apart, worst


def matrix_products(case: Case) -> list[tuple[int, int, int]]:
    """Shapes (m, k, n) of the products that no implementation gets around, forward and backward.

    Where inputs are one of few (an embedding, keys and values by token and position), a table is
    looked up and its product not counted: what is left is a network's last layer, of a transformer the
    MLP's output and the unembedding in one. Rows that tied embeddings cannot tell apart are one.
    """
    chosen, rows = task(case.task), case.rows()
    count = len(rows.merged() if case.form == "tied" else rows)
    before = case.settings.hidden if case.form == "transformer" else case.width
    shapes = ((count, before), (before, chosen.classes), (count, chosen.classes))
    (m, k), (_, n), _ = shapes
    return [(m, k, n), (n, m, k), (m, n, k)]


@cache
def best_rate(m: int, k: int, n: int) -> float:
    """Operations a second of the fastest product of that shape."""
    return gemm_rates(m, k, n)[0].rate


def best_gemm_seconds(case: Case) -> float:
    """Time of those products alone, each at the best rate that this machine reaches at its shape."""
    return case.members * sum(
        2 * m * k * n / best_rate(m, k, n) for m, k, n in matrix_products(case)
    )


def run_steps(case: Case, name: str, calls: int) -> None:
    """Build one side and take steps, for its memory."""
    torch.set_flush_denormal(True)
    side = ours(case) if name == "ours" else Textbook(case)
    for _ in range(calls):
        side()


def peak_megabytes(case: Case, name: str) -> float:
    """Peak of data, weights and three steps, beyond what a tiny network of the kind takes."""
    tiny = Case("tiny", "C3", width=4)
    return peak_memory(run_steps, case, name, 3, warm=(tiny, name, 1)) / 2**20


def measured_row(case: Case, rounds: int, *, quick: bool = False) -> list[str]:
    """The table's cells for one case."""
    compare(case, contestants(in_float64(case)))
    sides = contestants(case)
    once = alternate(sides, rounds=1, calls=1)
    calls = {name: max(1, round(BLOCK_SECONDS / once.median(name))) for name in sides}
    timings = alternate(sides, rounds=rounds, calls=calls)
    steps = sides["ours"].steps
    seconds = {"textbook": timings.median("textbook"), "ours": timings.median("ours") / steps}
    cells = [
        case.label,
        f"{1e3 * seconds['textbook']:.2f}",
        f"{1e3 * seconds['ours']:.3g}",
        f"{seconds['textbook'] / seconds['ours']:.1f}",
        f"{steps * timings.paired_ratio('textbook', 'ours'):.1f}",
    ]
    if quick:
        return cells
    if case.members > 1:  # products too small for a library, whose rate would say nothing
        cells.append("–")
    else:
        floor = best_gemm_seconds(case)
        cells.append(" → ".join(f"{floor / seconds[name]:.0%}" for name in sides))
    cells.append(" → ".join(f"{peak_megabytes(case, name):.0f}" for name in sides))
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="rows whose label has this in it")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="times alone: no rates, no memory")
    given = parser.parse_args()
    cases = [case for case in (*CASES, *SEEDS) if given.only in case.label]
    if not cases:
        parser.error(f"no row has {given.only!r} in it; one is {CASES[0].label!r}")
    torch.set_flush_denormal(True)
    columns = [
        "network",
        "textbook ms",
        "ours ms",
        "ratio",
        "round by round",
        *(() if given.quick else ("share of best GEMM", "peak MB")),
    ]
    threads = f"{torch.get_num_threads()} threads of {os.cpu_count()} cores"
    table = Table(
        *columns, title=f"one full-batch step, {threads}, {given.rounds} alternating rounds"
    )
    failures = []
    for case in track(cases, "networks", console=Console(stderr=True), transient=True):
        try:
            table.add_row(*measured_row(case, given.rounds, quick=given.quick))
        except Exception as failure:  # the other rows are measured all the same
            failures.append(f"{case.label}: {failure}")
            table.add_row(case.label, "failed", *["–"] * (len(columns) - 2))
    Console(width=140).print(table)
    if failures:
        raise SystemExit("\n".join(failures))


if __name__ == "__main__":
    main()
