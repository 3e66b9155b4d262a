"""Tensors of a file, read without executing anything in it."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

__all__ = ["File", "read_file"]

_KINDS = ".pt, .pth, .safetensors or .npz"
_LARGEST = 2 << 30


@dataclass(frozen=True, eq=False)
class File:
    """What a file holds.

    Attributes
    ----------
    path
        Where it is.
    tensors
        By name, of the checkpoint or of the state_dict inside it.
    values
        Everything at the top of the checkpoint: settings and losses beside a state_dict.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    def beside(self, *names: str) -> dict[str, Any]:
        """The first of these JSON files in the same folder; empty where there is none.

        Raises
        ------
        ValueError
            If it is no JSON object.
        """
        for name in names:
            file = self.path.parent / name
            if file.is_file():
                try:
                    values = json.loads(file.read_text())
                except (ValueError, OSError):
                    raise ValueError(f"{name} beside {self.name} is no JSON file") from None
                if not isinstance(values, dict):
                    raise ValueError(f"{name} beside {self.name} is no JSON object")
                return values
        return {}


def read_file(path: str | Path, *, largest: int = _LARGEST) -> File:
    """What a .pt, .pth, .safetensors or .npz file holds: tensors by name, and plain values.

    Pickles are read with ``weights_only=True``: one that would call anything but tensors' constructors
    is refused.

    Parameters
    ----------
    path
        The file.
    largest
        Bytes that it may have, packed and unpacked.

    Raises
    ------
    ValueError
        In one line, if the file is missing, truncated, too large, or would execute code.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise ValueError(f"{str(path)!r} {what}; give a {_KINDS} file")
    if path.stat().st_size > largest:
        raise ValueError(
            f"{path.name} has more than {largest / 1e9:.1f} GB; networks measured here have megabytes"
        )
    readers = {
        ".pt": _pickle, ".pth": _pickle, ".safetensors": _safetensors, ".npz": _npz,
    }  # fmt: skip
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            inside = sum(entry.file_size for entry in archive.infolist())
        if inside > largest:
            raise ValueError(f"{path.name} unpacks to {inside / 1e9:.1f} GB; expected megabytes")
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"{path.name} is not a {_KINDS} file")
    values = reader(path)
    tensors = _tensors_of(values)
    # a few bytes can be repeated into any shape
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if size > largest:
        raise ValueError(f"{path.name} holds tensors of {size / 1e9:.1f} GB; expected megabytes")
    return File(path, tensors, values)


def _pickle(path: Path) -> dict[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        first = str(error).split(". ")[0]
        if "Unsupported" in str(error) or "GLOBAL" in str(error):
            words = (
                f"{path.name} is a pickle that would execute code when it is read, and is refused"
            )
        else:
            words = f"{path.name} cannot be read as tensors ({first[:80]})"
        raise ValueError(f"{words}; save a state_dict, or a .safetensors file") from None
    except Exception as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path.name} is truncated or no checkpoint ({first[:100]})") from None
    if not isinstance(content, Mapping):
        raise ValueError(f"{path.name} holds a {type(content).__name__}; expected a state_dict")
    return dict(content)


def _safetensors(path: Path) -> dict[str, Any]:
    try:
        return dict(safetensors.torch.load_file(path))
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path.name} is truncated or no safetensors file ({error})") from None


def _npz(path: Path) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: torch.as_tensor(arrays[name]) for name in arrays.files}
    except (
        ValueError, OSError, EOFError, zipfile.BadZipFile, KeyError, TypeError, MemoryError,
    ) as error:  # fmt: skip
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"{path.name} is truncated or no .npz file of arrays ({first[:100]})"
        ) from None


def _tensors_of(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors by name, of the checkpoint or of the state_dict inside it."""
    for name in ("model", "state_dict", "model_state_dict"):
        if isinstance(content.get(name), Mapping):
            content = content[name]
            break
    found = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    return {name.removeprefix("module."): value for name, value in found.items()}
