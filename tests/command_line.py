"""The real command line in a process of its own, for tests that interrupt or kill it."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

import marginlens

ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(Path(marginlens.__file__).parents[1]),
    "OMP_NUM_THREADS": "1",
    "COLUMNS": "200",
}
RECIPE = ("--width", "16", "--dtype", "float64", "--steps", "4000", "--checkpoint-every", "25")
"""Takes about a second."""


def start(*arguments: object, before: str = "", **more) -> subprocess.Popen:
    """Start ``marginlens``; ``before`` is Python to run first."""
    script = f"import sys\n{before}\nfrom marginlens.cli import main\nmain()"
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**ENVIRONMENT, **more},
    )


def end(process: subprocess.Popen) -> tuple[int, str, str]:
    """Exit code, standard output and standard error, once it has ended by itself."""
    try:
        printed, error = process.communicate(timeout=600)
    finally:
        process.kill()
    return process.returncode, printed, error


def call(*arguments: object, before: str = "", **more) -> tuple[int, str, str]:
    """Run ``marginlens`` to its end."""
    return end(start(*arguments, before=before, **more))


def wait_for(path: Path, process: subprocess.Popen, seconds: float = 600) -> None:
    """Wait until a file is there."""
    last = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < last, f"no {path.name} in {seconds} s"
        time.sleep(0.002)


def kill(process: subprocess.Popen) -> bool:
    """End it as kill -9 does; whether it was still at work."""
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


def parameters(folder: Path) -> dict[str, np.ndarray]:
    return load_file(folder / "parameters.safetensors")


def require_same_bits(folder: Path, wanted: dict[str, np.ndarray]) -> None:
    found = parameters(folder)
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        assert found[name].dtype == values.dtype
        assert found[name].tobytes() == values.tobytes(), name


def require_one_line(error: str) -> None:
    assert re.fullmatch(r"marginlens: [^\n]+\n", error), error
