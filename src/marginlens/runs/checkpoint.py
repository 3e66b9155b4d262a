"""Checkpoint files with a training's complete state and its hash, and locks of folders."""

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
except ImportError:  # on Windows a second process is not detected
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
"""Recipe fields that may change when a run is resumed."""
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF)


class OtherRecipeError(ValueError):
    """Error for an intact checkpoint of a training by another recipe."""


def write_checkpoint(
    state: TrainingState, folder: Path, recipe: Mapping[str, Any] | None = None
) -> None:
    """Write a state in one atomic step; keep the last one as ``checkpoint.previous``.

    The file contains the SHA-256 of its tensors and of the recipe's fields, if given. It is flushed to
    disk before it is renamed.

    Parameters
    ----------
    state
        Complete state of the training.
    folder
        Folder of the run.
    recipe
        Fields of the recipe, checked when the file is read.

    Raises
    ------
    OSError
        If the file cannot be written; earlier checkpoints are unchanged.
    """
    tensors = state.to_tensors()
    fields = json.dumps(recipe or {})
    metadata = {"recipe": fields, "sha256": _digest(tensors, fields)}
    write_whole(folder / CHECKPOINT, tensor_bytes(tensors, metadata), previous=folder / PREVIOUS)


def read_checkpoint(
    path: Path, like: Network, recipe: Mapping[str, Any] | None = None
) -> TrainingState:
    """Read the state of a network with the same shapes as ``like``.

    Parameters
    ----------
    path
        Path of the checkpoint file.
    like
        Network with the expected kind and shapes of parameters.
    recipe
        Fields of the present recipe, compared with those in the file.

    Raises
    ------
    OtherRecipeError
        In one line, if the recipes differ in a field outside ``MAY_CHANGE``.
    ValueError
        In one line, if the file is truncated, altered or of another network.
    """
    try:
        content = path.read_bytes()
        tensors = safetensors.torch.load(content)
        length = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
        fields = metadata.get("recipe", "")
        if metadata.get("sha256") != _digest(tensors, fields):
            raise MarginLensError("its content was altered (the SHA-256 differs)")
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
                f"expected {name} = {was[name]!r} in the recipe, as in {path.name}, got "
                f"{now[name]!r} in {str(path.parent)!r}; restore it: only --learning-rate, "
                "--strength, --steps and --device may change"
            )


def remove_unfinished(folder: Path) -> None:
    """Remove partial checkpoints of killed processes; the caller must hold the lock."""
    for path in folder.glob(f".{CHECKPOINT}.*"):
        path.unlink(missing_ok=True)


def _digest(tensors: dict, fields: str) -> str:
    """Return the SHA-256 of the fields, then of the tensors in the order of their names."""
    sha = hashlib.sha256(fields.encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy() if tensor.numel() else b"")
    return sha.hexdigest()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a run's folder, so that no second process trains in it.

    The lock is on the folder itself and belongs to the process; the system releases it when the process
    ends for any reason.

    Raises
    ------
    ValueError
        If another process holds the lock.
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
                f"{str(folder)!r} is in use by another process; wait for its end, or choose another "
                "--out"
            ) from None
        except OSError as error:  # a file system without locks must not prevent all training
            if error.errno not in _NO_LOCKS:
                raise
        yield
    finally:
        os.close(handle)
