"""A tiny sweep, and what it must leave, for tests that run it in different ways."""

import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

from marginlens.sweeps import Sweep, read_sweep
from marginlens.sweeps.pieces import compute_piece, payload_of
from marginlens.sweeps.store import finished_of

TINY = {
    "seeds": 6,
    "together": 2,
    "recipe": {"task": "C5", "steps": 300, "compile": "never", "dtype": "float64"},
    "grid": {"width": [2, 4], "activation": ["x^2", "relu"]},
}
"""Twelve pieces of a fifth of a second."""


def tiny(**changes: object) -> Sweep:
    return read_sweep({**TINY, **changes})


def computed_here(sweep: Sweep) -> dict[str, dict[str, bytes]]:
    """Every piece's files, computed one after the other in this process, without Dask or folder."""
    return {
        piece.id: compute_piece(payload_of(piece, sweep.observe))["files"]
        for piece in sweep.pieces(sweep.configurations())
    }


def require_pieces(folder: Path, wanted: dict[str, dict[str, bytes]]) -> None:
    """The folder holds these pieces, to the byte, and nothing else in its pieces."""
    assert sorted(p.name for p in (folder / "pieces").iterdir()) == sorted(
        f"piece={one}" for one in wanted
    )
    assert finished_of(folder) == wanted.keys()
    for one, files in wanted.items():
        place = folder / "pieces" / f"piece={one}"
        assert sorted(p.name for p in place.iterdir()) == sorted(files)
        for name, content in files.items():
            assert (place / name).read_bytes() == content, (one, name)


def landed(folder: Path) -> list[str]:
    """Identifiers of the pieces in the order in which they landed, from the log."""
    try:
        lines = (folder / "log.jsonl").read_text().splitlines()
    except FileNotFoundError:
        return []
    return [record["piece"] for record in map(json.loads, lines) if "failed" not in record]


def require_landed_once(folder: Path) -> None:
    """No piece was computed again after it had landed."""
    assert sorted(landed(folder)) == sorted(finished_of(folder))


def until(what: Callable[[], object], seconds: float = 600) -> None:
    """Wait until something is so."""
    last = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < last, f"not so after {seconds} s"
        time.sleep(0.05)


def workers_of(pid: int) -> list[int]:
    """Process ids of the Dask workers that a process started on this machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            command = (path / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == pid and b"spawn_main" in command:
            found.append(int(path.name))
    return found


def is_alive(pid: int) -> bool:
    """Whether a process runs: neither gone nor waiting for its parent to ask for its exit code."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


ON_LINUX = os.name == "posix" and Path("/proc/self/stat").exists()
