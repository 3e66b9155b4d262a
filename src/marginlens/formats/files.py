"""File of a network: tensors and settings, with JSON files beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from marginlens.errors import MarginLensError
from marginlens.formats.as_tensor import as_tensor
from marginlens.formats.find_tensors import find_tensors
from marginlens.formats.pickled_values import Unreadable
from marginlens.formats.read_content import KINDS, read_content

__all__ = ["File", "file_of", "read_file"]

_LARGEST = 2 << 30
_LARGEST_JSON = 10_000_000


@dataclass(frozen=True, eq=False)
class File:
    """Content of a network's file.

    Attributes
    ----------
    path
        Path of the file.
    tensors
        Tensors by name, of the network that the file holds; prefixes such as ``module.`` are removed.
    values
        Everything at the top of the checkpoint: settings and losses beside a state_dict.
    notes
        Decisions of reading: conversions, prefixes, and networks that were left out.
    metadata
        Texts in a .safetensors file's header.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.path.name

    def beside(self, *names: str) -> dict[str, Any]:
        """Read the first of some JSON files in the same folder; empty without one.

        Parameters
        ----------
        names
            Names of JSON files in order of preference.

        Raises
        ------
        ValueError
            The file is not a JSON object, or holds an integer of more than 64 bits; the message
            names both.
        """
        for name in names:
            file = self.path.parent / name
            if file.is_file():
                return _json_object(file, f"{name} beside {self.name}")
        return {}


def _json_object(path: Path, words: str) -> dict[str, Any]:
    if path.stat().st_size > _LARGEST_JSON:
        raise MarginLensError(
            f"{words} has more than {_LARGEST_JSON / 1e6:.0f} MB; expected settings"
        )
    try:
        values = json.loads(path.read_text("utf-8-sig"), parse_int=_integer)
    except (ValueError, OSError, RecursionError) as error:
        detail = " ".join(str(error).split())[:80]
        raise MarginLensError(f"{words}: expected a JSON file ({detail})") from None
    if not isinstance(values, dict):
        raise MarginLensError(
            f'{words}: expected a JSON object with settings, for example {{"p": 113}}'
        )
    for key, value in _leaves(values):
        if isinstance(value, _TooLong):
            raise MarginLensError(
                f"{words}: expected an integer of 64 bits for {key}, got one of {value.digits} "
                "digits"
            )
    return values


@dataclass(frozen=True)
class _TooLong:
    digits: int


def _integer(text: str) -> int | _TooLong:
    """Parse an integer of up to 64 bits; Python refuses those of thousands of digits."""
    digits = len(text.lstrip("-"))
    value = int(text) if digits < 20 else 2**63
    return value if -(2**63) <= value < 2**63 else _TooLong(digits)


def _leaves(value: object, key: str = "") -> Iterable[tuple[str, object]]:
    if isinstance(value, dict):
        for name, one in value.items():
            yield from _leaves(one, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from _leaves(one, f"{key}[{index}]")
    else:
        yield key, value


def read_file(
    path: str | Path, *, largest: int = _LARGEST, marks: Iterable[frozenset[str]] = ()
) -> File:
    """Read a network's file: tensors by name, and plain values.

    The content decides the format, not the name's ending. A pickle is read without calling its
    functions: :mod:`marginlens.formats.safe_unpickler`.

    Parameters
    ----------
    path
        Path of a .pt, .pth, .ckpt, .bin, .safetensors or .npz file.
    largest
        Greatest accepted size in bytes, packed and unpacked.
    marks
        Sets of tensor names that identify a format: a prefix is removed, and one of several
        mappings is chosen, so that it contains a set.

    Raises
    ------
    ValueError
        The file is missing, truncated, damaged, too large, of another kind, or would execute code.
    """
    path = Path(path)
    _require_file(path, largest)
    content = read_content(path, largest)
    try:
        network = find_tensors(content.value, tuple(marks))
    except ValueError as error:
        raise MarginLensError(f"{path.name} {error}") from None
    tensors, notes = _converted(path, network.tensors, largest)
    top = content.value if isinstance(content.value, Mapping) else {}
    return File(path, tensors, _plain(top), (*network.notes, *notes), content.metadata)


def file_of(tensors: Mapping[Any, Any], *, marks: Iterable[frozenset[str]] = ()) -> File:
    """Return tensors in memory as a file without others beside it.

    Parameters
    ----------
    tensors
        Tensors or arrays by name, or a checkpoint that holds them.
    marks
        Sets of tensor names that identify a format, as for :func:`read_file`.

    Raises
    ------
    ValueError
        The mapping holds no tensors.
    """
    path = Path(os.devnull) / "state_dict"  # which has no neighbours
    try:
        network = find_tensors(tensors, tuple(marks))
    except ValueError as error:
        raise MarginLensError(f"{path.name} {error}") from None
    found, notes = _converted(path, network.tensors, _LARGEST)
    return File(path, found, _plain(tensors), (*network.notes, *notes))


def _require_file(path: Path, largest: int) -> None:
    try:
        if path.is_dir():
            raise MarginLensError(f"{str(path)!r} is a folder, not a file; give a {KINDS} file")
        if not path.is_file():
            raise MarginLensError(f"{str(path)!r}: no such file; give a {KINDS} file")
        size = path.stat().st_size
        with path.open("rb"):
            pass
    except OSError as error:
        raise MarginLensError(f"{str(path)!r} cannot be read ({error.strerror})") from None
    if size > largest:
        raise MarginLensError(
            f"{path.name} has more than {largest / 1e9:.1f} GB; networks measured here have megabytes"
        )


def _converted(
    path: Path, found: Mapping[str, Any], largest: int
) -> tuple[dict[str, Tensor], list[str]]:
    """Return dense tensors of plain types, and a note on conversions."""
    tensors: dict[str, Tensor] = {}
    stored: dict[str, list[str]] = {}
    size = 0
    for name, value in found.items():
        number, kind = (value, None) if isinstance(value, Unreadable) else as_tensor(value)
        if isinstance(number, Unreadable):
            raise MarginLensError(f"{path.name}: {name} is {number.why}; {number.advice}")
        size += number.numel() * number.element_size()  # a few bytes can be repeated into any shape
        if size > largest:
            raise MarginLensError(
                f"{path.name} holds tensors of {size / 1e9:.1f} GB; expected megabytes"
            )
        tensors[name] = number
        if kind is not None:
            stored.setdefault(kind, []).append(name)
    notes = [f"{_some(names, len(found))} stored as {kind}" for kind, names in stored.items()]
    return tensors, notes


def _some(names: list[str], count: int) -> str:
    if len(names) == count:
        return "all tensors are"
    if len(names) == 1:
        return f"{names[0]} is"
    return f"{names[0]} and {len(names) - 1} other tensor{'s' * (len(names) > 2)} are"


def _plain(values: Mapping[Any, Any]) -> dict[str, Any]:
    """Values by name; single numbers in arrays become Python's."""
    return {
        str(name): value.item()
        if isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "biuf"
        else value
        for name, value in values.items()
    }
