"""The process while it trains: PyTorch's settings, and signals that wait for a step's end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch

from marginlens.training.recipe import Recipe

__all__ = ["Signals", "settings"]


@contextmanager
def settings(recipe: Recipe, *, one_thread: bool) -> Iterator[None]:
    """PyTorch's settings while training runs; they are put back afterwards.

    Weights on their way to zero pass through denormal numbers, tens of times slower to compute with.
    On small tasks threads gain nothing, and waiting for each other lose much on a busy machine.
    """
    threads = torch.get_num_threads()
    tf32 = torch.backends.cuda.matmul.allow_tf32
    torch.set_flush_denormal(True)
    torch.backends.cuda.matmul.allow_tf32 = recipe.tf32
    if one_thread:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)
        torch.backends.cuda.matmul.allow_tf32 = tf32


class Signals:
    """Remembers SIGINT and SIGTERM, so that a step is never left half done.

    A second one stops at once. Elsewhere than in the main thread signals cannot be received.
    """

    def __init__(self) -> None:
        self.received = False
        self._older: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._older[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *problem: object) -> None:
        for number, handler in self._older.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received:
            raise KeyboardInterrupt
        self.received = True
