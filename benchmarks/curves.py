"""How the cost of our training step grows with the modulus p, the width and the number of seeds.

Full-batch steps on the whole table of addition mod p, x², Adam, with the penalty. GFLOP/s counts the
three products of the last layer, 6 p³ width operations a member, and nothing else.

    OMP_NUM_THREADS=2 python benchmarks/curves.py
    OMP_NUM_THREADS=2 python benchmarks/curves.py --memory "p 499, width 2000"
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

import torch
from cases import Case, Compiled, Ours
from engine import BLOCK_SECONDS, peak_megabytes
from measure import alternate
from rich.console import Console
from rich.progress import track
from rich.table import Table

MODULI = (23, 59, 97, 113, 199, 307, 499)
WIDTHS = (64, 128, 256, 512, 1024, 2048)
SEEDS = (1, 4, 8, 16, 32, 64, 128, 256)


def case(p: int, width: int, members: int = 1) -> Case:
    """Addition mod p."""
    return Case(f"p {p}, width {width}", f"C{p}", width=width, strength=1e-4, members=members)


def seconds_a_step(side: Ours | Compiled, rounds: int) -> float:
    """Median over blocks of steps."""
    once = alternate({"ours": side}, rounds=1, calls=1).median("ours")
    calls = max(1, round(BLOCK_SECONDS / once))
    return alternate({"ours": side}, rounds=rounds, calls=calls).median("ours") / side.steps


def exponents(sizes: Sequence[int], seconds: Sequence[float]) -> list[float]:
    """Slopes of log(seconds) against log(size) between neighbours.

    Examples
    --------
    >>> exponents([1, 2, 4], [3.0, 24.0, 48.0])
    [3.0, 1.0]
    """
    return [
        math.log(t / s) / math.log(n / m)
        for m, n, s, t in zip(sizes, sizes[1:], seconds, seconds[1:], strict=False)
    ]


def curve(name: str, sizes: Sequence[int], rounds: int) -> Table:
    """The table of one curve: ``"p"``, ``"width"`` or ``"seeds"`` grows, the others stay."""
    fixed = {"p": "width 256", "width": "p 97", "seeds": "C5, width 8, one kernel, 10 steps a call"}
    seconds, work = [], []
    for size in track(sizes, name, console=Console(stderr=True), transient=True):
        p, width = (size, 256) if name == "p" else (97, size)
        if name == "seeds":
            p, width = 5, 8
            side: Ours | Compiled = Compiled(case(p, width, size))
        else:
            side = Ours(case(p, width))
        seconds.append(seconds_a_step(side, rounds))
        work.append(6 * p**3 * width * (size if name == "seeds" else 1))
    power = 3 if name == "p" else 1
    reference = sizes.index(113) if name == "p" else len(sizes) - 1
    unit = seconds[reference] / sizes[reference] ** power
    cube = f"time / {name}{'³' if power == 3 else ''}, that at {sizes[reference]} being 1"
    table = Table(
        name,
        "ms a step",
        "GFLOP/s",
        "exponent",
        cube,
        title=f"{fixed[name]}, x², {torch.get_num_threads()} threads, {rounds} rounds",
    )
    slopes = ["", *(f"{slope:.2f}" for slope in exponents(sizes, seconds))]
    for size, time, operations, slope in zip(sizes, seconds, work, slopes, strict=True):
        table.add_row(
            str(size),
            f"{1e3 * time:.3g}",
            f"{operations / time / 1e9:.0f}",
            slope,
            f"{time / size**power / unit:.2f}",
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=("p", "width", "seeds"))
    parser.add_argument(
        "--memory", metavar="'p P, width W'", help="a network's peak of memory alone"
    )
    given = parser.parse_args()
    console = Console(width=110)
    if given.memory:
        words = given.memory.replace(",", " ").split()
        if len(words) != 4 or words[::2] != ["p", "width"]:
            parser.error(f"--memory is {given.memory!r}; try 'p 499, width 2000'")
        chosen = case(int(words[1]), int(words[3]))
        console.print(f"{chosen.label}: peak {peak_megabytes(chosen, 'ours'):,.0f} MB")
        return
    torch.set_flush_denormal(True)
    for name, sizes in {"p": MODULI, "width": WIDTHS, "seeds": SEEDS}.items():
        if given.only in (None, name):
            console.print(curve(name, sizes, given.rounds))


if __name__ == "__main__":
    main()
