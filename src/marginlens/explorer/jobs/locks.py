"""Lock around costly requests, so that only one visitor at a time runs one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["alone"]

_turn = threading.Lock()


@contextmanager
def alone(busy: str, *, wait: float = 15.0) -> Iterator[None]:
    """Hold the lock for a costly request, after waiting at most ``wait`` seconds.

    Parameters
    ----------
    busy
        Reason that the error message gives, for example "another network is being measured".
    wait
        Largest waiting time in seconds.

    Raises
    ------
    ValueError
        If another request holds the lock for the whole time.
    """
    if not _turn.acquire(timeout=wait):
        raise ValueError(f"{busy}; try again in a minute")
    try:
        yield
    finally:
        _turn.release()
