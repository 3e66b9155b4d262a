"""Compilation of C++ libraries, cached for later processes.

Building a kernel takes 2 to 3 seconds (g++ 12); loading one that was built before takes 5 to 10
milliseconds, in any later process. Libraries are kept in ``$XDG_CACHE_HOME/marginlens``
(``~/.cache/marginlens``), under a name that is a digest of the source, the sizes, the compiler and
the
processor: what was built for another machine is never loaded.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import torch

__all__ = ["build", "compiler"]

_FLAGS = (
    *("-O3", "-std=c++17", "-fPIC", "-shared", "-pthread"),
    *("-fno-math-errno", "-fno-trapping-math", "-w"),  # neither lets results differ
)


def compiler() -> str | None:
    """Return the command of the C++ compiler: ``$CXX``, or g++, clang++ or c++.

    Returns
    -------
    str or None
        Command, which may have arguments (``"ccache g++"``); ``None`` without a compiler.
    """
    for command in (os.environ.get("CXX", ""), "g++", "clang++", "c++"):
        words = shlex.split(command)
        if words and shutil.which(words[0]) is not None:
            return command
    return None


def build(
    source: Path, sizes: Mapping[str, str | int | float], *, flags: Sequence[str] = ()
) -> tuple[ctypes.CDLL, float]:
    """Return the kernel for some sizes, and its compile time in seconds (0 if cached).

    Parameters
    ----------
    source
        Source file in C++.
    sizes
        Values of the macros that it lists.
    flags
        Further flags for the compiler.

    Raises
    ------
    RuntimeError
        A compiler is missing, or it fails; the message has its first error.
    """
    command = compiler()
    if command is None:
        raise RuntimeError(
            "no C++ compiler was found; install g++ or clang++, or set CXX, e.g. CXX=/usr/bin/g++"
        )
    macros = [f"-D{name}={value}" for name, value in sorted(sizes.items())]
    words = [*shlex.split(command), *_FLAGS, *flags, _processor_flag(), *macros]
    written = [source.read_text(), _version(command), _processor(), *words]
    name = hashlib.sha256("\n".join(written).encode()).hexdigest()[:32] + ".so"
    path = _folder() / name
    seconds = 0.0
    if not path.exists():
        started = time.perf_counter()
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            fresh = Path(folder) / name
            done = subprocess.run(
                [*words, str(source), "-o", str(fresh)], capture_output=True, text=True
            )
            if done.returncode:
                complaint = next((x for x in done.stderr.splitlines() if "error" in x), "no reason")
                raise RuntimeError(f"{command} could not compile {source.name}: {complaint}")
            fresh.replace(path)
        seconds = time.perf_counter() - started
    return ctypes.CDLL(str(path)), seconds


def _folder() -> Path:
    """Return the cache folder of libraries, or a temporary one if it is read-only."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "marginlens"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return _own_folder()


@cache
def _own_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="marginlens-"))


@cache
def _version(command: str) -> str:
    """Return the compiler's version text."""
    words = [*shlex.split(command), "--version"]
    return subprocess.run(words, capture_output=True, text=True).stdout


@cache
def _processor() -> str:
    """Return the processor's instruction sets, as far as the system lists them."""
    known = [platform.machine(), platform.processor(), torch.backends.cpu.get_cpu_capability()]
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    described = ("model name", "flags", "Features", "CPU part")
    return "\n".join([*known, *sorted({line for line in lines if line.startswith(described)})])


def _processor_flag() -> str:
    """All instructions of this processor; on ARM, compilers of all ages know -mcpu alone."""
    return "-mcpu=native" if platform.machine() in ("arm64", "aarch64") else "-march=native"
