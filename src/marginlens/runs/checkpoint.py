"""A training's state in a file, complete and verified, and the lock of its folder."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from marginlens.errors import MarginLensError
from marginlens.files import write_whole
from marginlens.networks import Network
from marginlens.tensor_bytes import tensor_bytes
from marginlens.training import TrainingState
from marginlens.training.recipe import as_now_named

try:
    import fcntl
except ImportError:  # not on Windows: there, a second process is not noticed
    fcntl = None

__all__ = [
    "CHECKPOINT",
    "MAY_CHANGE",
    "PREVIOUS",
    "OtherRecipeError",
    "locked",
    "read_checkpoint",
    "remove_unfinished",
    "write_checkpoint",
]

CHECKPOINT = "checkpoint.safetensors"
PREVIOUS = "checkpoint.previous.safetensors"
MAY_CHANGE = ("learning_rate", "strength", "steps", "device")
"""Fields of a recipe that may be others after a resume."""
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF)


class OtherRecipeError(ValueError):
    """The checkpoint is whole, but of a training by another recipe."""


def write_checkpoint(
    state: TrainingState, folder: Path, recipe: Mapping[str, Any] | None = None
) -> None:
    """Write a state: whole or not at all; the one before it stays as ``checkpoint.previous``.

    The file carries the SHA-256 of its tensors and of the recipe's fields, where they are given, and
    is on the disk before it gets its name.

    Raises
    ------
    OSError
        If it cannot be written; what was there is untouched.
    """
    tensors = state.to_tensors()
    fields = json.dumps(recipe or {})
    metadata = {"recipe": fields, "sha256": _digest(tensors, fields)}
    write_whole(folder / CHECKPOINT, tensor_bytes(tensors, metadata), previous=folder / PREVIOUS)


def read_checkpoint(
    path: Path, like: Network, recipe: Mapping[str, Any] | None = None
) -> TrainingState:
    """Read a state of a network with the same shapes as ``like``.

    Raises
    ------
    OtherRecipeError
        If it was trained by a recipe that differs from the one given in more than may change.
    ValueError
        If the file is truncated, altered or of another network. All of them in one line.
    """
    try:
        content = path.read_bytes()
        tensors = safetensors.torch.load(content)
        length = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
        fields = metadata.get("recipe", "")
        if metadata.get("sha256") != _digest(tensors, fields):
            raise MarginLensError("its content is not what was written (the SHA-256 differs)")
        _require_recipe(path, json.loads(fields), recipe or {})
        return TrainingState.from_tensors(tensors, like)
    except OtherRecipeError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        words = " ".join(str(error).split())
        raise MarginLensError(f"{str(path)!r} is damaged: {words}") from None


def _require_recipe(path: Path, was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    was = as_now_named(dict(was))
    for name in sorted(was.keys() & now.keys() - set(MAY_CHANGE)):
        if was[name] != now[name]:
            raise OtherRecipeError(
                f"the recipe in {str(path.parent)!r} says {name} = {now[name]!r}, but {path.name} was "
                f"trained with {was[name]!r}; put that back: only --learning-rate, --strength, "
                "--steps and --device may change"
            )


def remove_unfinished(folder: Path) -> None:
    """Remove checkpoints that a killed process had begun to write; the folder must be held."""
    for path in folder.glob(f".{CHECKPOINT}.*"):
        path.unlink(missing_ok=True)


def _digest(tensors: dict, fields: str) -> str:
    """SHA-256 over the fields, then names, types, shapes and bytes, in the order of the names."""
    sha = hashlib.sha256(fields.encode())
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
            raise MarginLensError(
                f"{str(folder)!r} is in use: another process trains there; wait for it to end, or "
                "choose another --out"
            ) from None
        except OSError as error:  # a file system without locks must not prevent all training
            if error.errno not in _NO_LOCKS:
                raise
        yield
    finally:
        os.close(handle)
