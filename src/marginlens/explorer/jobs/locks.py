"""What only one visitor at a time may ask for: it takes seconds, or hundreds of megabytes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["alone"]

_turn = threading.Lock()


@contextmanager
def alone(busy: str, *, wait: float = 15.0) -> Iterator[None]:
    """Have the turn, after at most ``wait`` seconds.

    Parameters
    ----------
    busy
        What is said to who does not get it.
    wait
        Seconds.

    Raises
    ------
    ValueError
        If somebody else has it all that time.
    """
    if not _turn.acquire(timeout=wait):
        raise ValueError(f"{busy}; try again in a minute")
    try:
        yield
    finally:
        _turn.release()
