"""How times, rates and peaks of memory are measured: alternating in one process, as medians.

A machine's speed drifts from second to second, so that only what alternates with the other can be
compared with it; a rate is a share of what the same machine reaches at the same shapes.
"""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

__all__ = ["Gemm", "Timings", "alternate", "gemm_rates", "peak_memory"]


@dataclass(frozen=True)
class Timings:
    """Seconds a call, one number a round, and what the calls returned, in order.

    The first round, which warms up, is among what was returned but not among the seconds.
    """

    seconds: dict[str, list[float]]
    returned: dict[str, list[Any]]

    def median(self, name: str) -> float:
        """Median over the rounds of the seconds a call."""
        return statistics.median(self.seconds[name])

    def ratio(self, name: str, to: str) -> float:
        """Median of one over the median of the other."""
        return self.median(name) / self.median(to)

    def paired_ratio(self, name: str, to: str) -> float:
        """Median over the rounds of the ratio in that round: drift of the machine cancels."""
        pairs = zip(self.seconds[name], self.seconds[to], strict=True)
        return statistics.median(one / other for one, other in pairs)


def alternate(
    callables: Mapping[str, Callable[[], Any]],
    *,
    rounds: int = 12,
    calls: int | Mapping[str, int] = 10,
    clock: Callable[[], float] = time.perf_counter,
) -> Timings:
    """Call each in blocks of ``calls``, one block after the other, for some rounds and one before.

    Every second round runs in the opposite order, so that none always follows the same other. With
    numbers of calls by name a block of each can last as long as one of the others.
    """
    counts = calls if isinstance(calls, Mapping) else dict.fromkeys(callables, calls)
    if rounds < 1 or min(counts.values()) < 1:
        raise ValueError(
            f"rounds and calls are at least 1, got {rounds} and {calls}; try 12 and 10"
        )
    timings = Timings({name: [] for name in callables}, {name: [] for name in callables})
    for turn in range(rounds + 1):
        for name in list(callables)[:: 1 if turn % 2 else -1]:
            call = callables[name]
            started = clock()
            returned = [call() for _ in range(counts[name])]
            ended = clock()
            timings.returned[name] += returned
            if turn:
                timings.seconds[name].append((ended - started) / counts[name])
    return timings


@dataclass(frozen=True)
class Gemm:
    """A way to multiply matrices, and its rate in floating-point operations a second.

    ``layout`` says how the factors and the product lie in memory: N as written, row by row, T
    transposed.
    """

    library: str
    layout: str
    rate: float


def gemm_rates(
    m: int, k: int, n: int, *, dtype: torch.dtype = torch.float32, rounds: int = 5
) -> list[Gemm]:
    """Rates of all ways to compute (m, k) times (k, n), 2 m k n operations, the fastest first.

    MKL (or what else PyTorch was built with) through ``torch.mm``, into memory that is kept; oneDNN
    through the operator behind compiled linear layers, where it is there and takes the precision.
    """
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(m, k, generator=generator, dtype=torch.float64).to(dtype)
    b = torch.randn(k, n, generator=generator, dtype=torch.float64).to(dtype)
    ways = dict(_products(a, b))
    wanted = a.double() @ b.double()
    scale = a.double().abs() @ b.double().abs()
    for way, product in ways.items():
        error = ((product().double() - wanted).abs() / scale).max().item()
        if error > k * torch.finfo(dtype).eps:
            raise ValueError(f"{way} is wrong by {error:.1e}; its rate would mean nothing")
    # A way that falls to a reference kernel is out at once: it may be a thousand times slower.
    few = alternate(ways, rounds=3, calls=1)
    least = {way: min(few.seconds[way]) for way in ways}
    best = min(least.values())
    ways = {way: product for way, product in ways.items() if least[way] < 10 * best}
    calls = max(1, round(0.005 / best))
    timings = alternate(ways, rounds=rounds, calls=calls)
    found = [Gemm(*way, 2 * m * k * n / timings.median(way)) for way in ways]  # type: ignore
    return sorted(found, key=lambda way: -way.rate)


def _products(a: Tensor, b: Tensor) -> Iterator[tuple[Any, Callable[[], Tensor]]]:
    """Every way, named by library and layout, to compute a @ b; all return it as (m, n)."""
    transposed = {"N": lambda x: x.contiguous(), "T": lambda x: x.T.contiguous().T}
    for first, lay_a in transposed.items():
        for second, lay_b in transposed.items():
            x, y = lay_a(a), lay_b(b)
            for third, lay_out in transposed.items():
                out = lay_out(a.new_empty(len(a), b.shape[1]))
                yield (
                    (
                        "MKL" if torch.backends.mkl.is_available() else "BLAS",
                        first + second + third,
                    ),
                    lambda x=x, y=y, out=out: torch.mm(x, y, out=out),
                )
    if not (torch.backends.mkldnn.is_available() and a.dtype == torch.float32):
        return
    linear = torch.ops.mkldnn._linear_pointwise  # x, weight -> x @ weight.T
    for first, lay_a in transposed.items():
        for second, lay_b in transposed.items():
            x, y = lay_a(a), lay_b(b)
            weight, other = y.T, x.T
            yield (
                ("oneDNN", first + second + "N"),
                lambda x=x, weight=weight: linear(x, weight, None, "none", [], ""),
            )
            yield (  # the product's transpose, with the factors in each other's place
                ("oneDNN", first + second + "T"),
                lambda x=x, other=other, y=y: linear(y.T, other.T, None, "none", [], "").T,
            )


def peak_memory(
    function: Callable[..., Any], *arguments: Any, warm: tuple[Any, ...] | None = None
) -> int:
    """Bytes by which a call raises its process's peak of resident memory, in a process of its own.

    Parameters
    ----------
    function
        Something that can be imported by name; what it returns is dropped.
    warm
        Arguments of a small call before, whose memory (libraries loaded, threads started) is not
        counted.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_peak, function, arguments, warm).result()


def _peak(function: Callable[..., Any], arguments: tuple, warm: tuple | None) -> int:
    if warm is not None:
        function(*warm)
    before = _resident_peak(reset=True)
    function(*arguments)
    return _resident_peak() - before


def _resident_peak(*, reset: bool = False) -> int:
    """Largest resident memory so far in bytes.

    On Linux ``ru_maxrss`` starts at the size of the process that started this one, however large, and
    cannot be set back; the kernel's own high-water mark starts anew, and can.
    """
    status = Path("/proc/self/status")
    if status.exists():
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
