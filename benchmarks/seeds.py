"""Time of a step of many small networks: the compiled kernel against PyTorch's operators and the loop.

The loop trains one seed after another as the textbook has it; ``eager`` is our evaluator with fused
Adam, all members at once. All start from the same weights and take the same steps, alternating; losses
and gradients of the first step are compared in float64.

    OMP_NUM_THREADS=1 python benchmarks/seeds.py
"""

from __future__ import annotations

import argparse

import torch
from cases import SEEDS, Case, Compiled, Ours, Textbook
from engine import BLOCK_SECONDS, Contestant, compare, in_float64
from measure import alternate
from rich.console import Console
from rich.progress import track
from rich.table import Table


def rows_of(case: Case, rounds: int) -> list[list[str]]:
    """The table's rows for one ensemble."""
    double = in_float64(case)
    for ours in (Ours(double), Compiled(double)):
        compare(case, {"textbook": Textbook(double), "ours": ours})
    sides: dict[str, Contestant] = {
        "loop over seeds": Textbook(case),
        "eager": Ours(case),
        "compiled, 10 steps a call": Compiled(case),
        "compiled, 100 steps a call": Compiled(case, 100),
    }
    once = alternate(sides, rounds=1, calls=1)
    calls = {name: max(1, round(BLOCK_SECONDS / once.median(name))) for name in sides}
    timings = alternate(sides, rounds=rounds, calls=calls)
    seconds = {name: timings.median(name) / side.steps for name, side in sides.items()}
    loop = seconds["loop over seeds"]
    return [
        [
            case.label if name == "loop over seeds" else "",
            name,
            f"{1e6 * time:,.0f}",
            f"{case.members / time:,.0f}",
            f"{loop / time:,.1f}",
            f"{sides[name].steps * timings.paired_ratio('loop over seeds', name):,.1f}",
        ]
        for name, time in seconds.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    torch.set_flush_denormal(True)
    table = Table(
        "ensemble",
        "way",
        "µs a step",
        "seed-steps a second",
        "ratio to the loop",
        "round by round",
        title=f"x², Adam, float32, {torch.get_num_threads()} threads, {given.rounds} rounds",
    )
    for case in track(SEEDS, "ensembles", console=Console(stderr=True), transient=True):
        for row in rows_of(case, given.rounds):
            table.add_row(*row)
        table.add_section()
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
