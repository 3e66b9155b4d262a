"""Handle of a worker's process, for the web process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from typing import Any, BinaryIO, cast

import numpy as np

from marginlens.explorer.jobs.ipc import receive

__all__ = ["Process"]

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_NICE = 10

Heard = Callable[["Process", dict[str, Any] | None, dict[str, np.ndarray]], None]


class Process:
    """Process of :mod:`marginlens.explorer.jobs.worker`, with one thread and low priority.

    Parameters
    ----------
    heard
        Function called in a background thread with each message, and with None when the process ends.
    """

    def __init__(self, heard: Heard) -> None:
        self._errors: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115  (open as long as the process)
        # -P: do not import from the working directory
        self._popen = subprocess.Popen(
            [sys.executable, "-P", "-m", "marginlens.explorer.jobs.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, **dict.fromkeys(_THREADS, "1")},
            start_new_session=True,  # Ctrl-C ends the web process only
        )
        if hasattr(os, "setpriority"):
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, self._popen.pid, _NICE)
        self._heard = heard
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._popen.pid

    def tell(self, command: dict[str, Any]) -> None:
        """Send a command; ignored after the process ended, which ``heard`` reports."""
        assert self._popen.stdin is not None
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._popen.stdin.write(json.dumps(command).encode() + b"\n")
            self._popen.stdin.flush()

    def kill(self) -> None:
        """Kill the process, and wait until it has ended."""
        self._popen.kill()
        self._popen.wait()
        assert self._popen.stdin is not None
        with self._lock, contextlib.suppress(OSError):
            self._popen.stdin.close()

    def why_ended(self) -> str:
        """Return the reason for an unexpected end, in one line."""
        code = self._popen.wait()
        if code < 0:
            how = f"was killed by signal {-code}"
            with contextlib.suppress(ValueError):
                how = f"was killed by {signal.Signals(-code).name}"
            hint = ": by hand, or because the machine is out of memory" if -code == 9 else ""
            return f"the training's process {how}{hint}"
        with contextlib.suppress(OSError, ValueError):
            self._errors.seek(0)
            lines = self._errors.read().decode(errors="replace").strip().splitlines()
            if lines:
                return f"the training's process ended: {lines[-1][:300]}"
        return f"the training's process ended with exit code {code}"

    def _listen(self) -> None:
        assert self._popen.stdout is not None
        file = cast(BinaryIO, self._popen.stdout)
        with file, contextlib.suppress(OSError, ValueError):
            while (message := receive(file)) is not None:
                self._heard(self, *message)
        self._popen.wait()
        self._heard(self, None, {})
        self._errors.close()
