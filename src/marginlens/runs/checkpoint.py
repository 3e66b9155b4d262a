"""A training's state in a file, complete and verified, and the lock of its folder."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError

from marginlens.networks import Network
from marginlens.training import TrainingState

try:
    import fcntl
except ImportError:  # not on Windows: there, a second process is not noticed
    fcntl = None

__all__ = ["CHECKPOINT", "PREVIOUS", "locked", "read_checkpoint", "write_checkpoint"]

CHECKPOINT = "checkpoint.safetensors"
PREVIOUS = "checkpoint.previous.safetensors"


def write_checkpoint(state: TrainingState, folder: Path) -> None:
    """Write a state: whole or not at all; the one before it stays as ``checkpoint.previous``.

    The file carries the SHA-256 of its tensors, and is on the disk before it gets its name.

    Raises
    ------
    OSError
        If it cannot be written; what was there is untouched.
    """
    tensors = state.to_tensors()
    content = safetensors.torch.save(tensors, metadata={"sha256": _digest(tensors)})
    handle, temporary = tempfile.mkstemp(prefix=f".{CHECKPOINT}.", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        if (folder / CHECKPOINT).exists():
            (folder / CHECKPOINT).replace(folder / PREVIOUS)
        Path(temporary).replace(folder / CHECKPOINT)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_checkpoint(path: Path, like: Network) -> TrainingState:
    """Read a state of a network with the same shapes as ``like``.

    Raises
    ------
    ValueError
        If the file is truncated, altered or of another network, in one line.
    """
    try:
        content = path.read_bytes()
        tensors = safetensors.torch.load(content)
        length = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
        if metadata.get("sha256") != _digest(tensors):
            raise ValueError("its content is not what was written (the SHA-256 differs)")
        return TrainingState.from_tensors(tensors, like)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        words = " ".join(str(error).split())
        raise ValueError(f"{str(path)!r} is damaged: {words}") from None


def _digest(tensors: dict) -> str:
    """SHA-256 over names, types, shapes and bytes, in the order of the names."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy() if tensor.numel() else b"")
    return sha.hexdigest()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run's folder, so that no second process trains in it.

    The lock is on the folder itself and belongs to the process: it ends with it, however it ends.

    Raises
    ------
    ValueError
        If another process holds it.
    """
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"{str(folder)!r} is in use: another process trains there; wait for it to end, or "
                "choose another --out"
            ) from None
        yield
    finally:
        os.close(handle)
