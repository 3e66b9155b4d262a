"""Reader of files of PyTorch, without calling what they name."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from marginlens.errors import MarginLensError
from marginlens.formats.pickled_values import (
    Array,
    Collected,
    Dense,
    Dtype,
    Held,
    Record,
    Sparse,
    Storage,
    StorageType,
    integers,
)
from marginlens.formats.safe_unpickler import SafeUnpickler

__all__ = ["LEGACY_MAGIC", "read_legacy", "read_pickle", "read_zip"]

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
"""Number that PyTorch's files before version 1.6 begin with."""
_MOST_OBJECTS = 1_000_000
_DEEPEST = 200


def _none(pid: object) -> NoReturn:
    raise pickle.UnpicklingError("a storage of no file")


def _unpickler(stream: io.BufferedIOBase, storage: Callable[[Any], object]) -> SafeUnpickler:
    return SafeUnpickler(stream, storage, _storage_in_bytes)


def _storage_in_bytes(data: object) -> object:
    """Return a storage that a plain pickle holds as a file of PyTorch in bytes."""
    if not isinstance(data, bytes | bytearray):
        raise pickle.UnpicklingError("a storage of no bytes")
    return _legacy_object(io.BytesIO(bytes(data)))


@dataclass
class _Conversion:
    """Conversion of a pickle's values to tensors, arrays and plain values.

    Attributes
    ----------
    largest
        Greatest accepted size of all tensors in bytes.
    swap
        Whether the byte order of the file's numbers differs.
    """

    largest: int
    swap: bool = False
    _bytes: int = 0
    _objects: int = 0
    _seen: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    _storages: dict[int, Tensor] = field(default_factory=dict)

    def convert(self, value: Any, path: str = "", depth: int = 0) -> Any:
        """Return the value at a dotted path of the file."""
        if id(value) in self._seen:
            return self._seen[id(value)][1]
        self._objects += 1
        if self._objects > _MOST_OBJECTS or depth > _DEEPEST:
            raise MarginLensError("it holds too many values, or too deeply nested ones")
        if isinstance(value, Dense | Sparse):
            try:
                found: Any = self._tensor(value)
            except _KNOWN as error:
                raise _at(path, error) from None
        elif isinstance(value, Array):
            found = value.resolved()
        elif isinstance(value, Record):
            return self._record(value, path, depth)
        elif isinstance(value, dict):
            return self._mapping(value, value, path, depth)
        elif isinstance(value, list):
            found = []
            self._seen[id(value)] = (value, found)
            found += [self.convert(x, f"{path}[{i}]", depth + 1) for i, x in enumerate(value)]
        elif isinstance(value, tuple):
            found = tuple(self.convert(x, f"{path}[{i}]", depth + 1) for i, x in enumerate(value))
        elif isinstance(value, type) and issubclass(value, Record):
            found = value.named  # named, not called
        elif isinstance(value, Held):
            found = str(value.value)
        elif isinstance(value, Collected | Dtype):
            found = type(value).__name__
        else:
            return value
        self._seen[id(value)] = (value, found)
        return found

    def _mapping(
        self, key: object, items: Mapping[Any, Any], path: str, depth: int
    ) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        self._seen[id(key)] = (key, found)
        for name, value in items.items():
            found[self.convert(name, path, depth + 1)] = self.convert(
                value, f"{path}.{name}" if path else str(name), depth + 1
            )
        return found

    def _record(self, value: Record, path: str, depth: int) -> Any:
        """Return a path's text, a sequence's items, or a mapping of attributes and items."""
        if value.named.startswith("pathlib"):
            return "/".join(str(part) for part in value.arguments)
        attributes: dict[Any, Any] = {}
        for part in (*value.arguments, value.state):  # a dataclass with slots has (None, {...})
            for one in part if isinstance(part, tuple) else (part,):
                attributes |= one if isinstance(one, dict) else {}
        items = value.items or [x for x in value.arguments if not isinstance(x, dict)]
        if value.mapped or attributes or value.named.endswith(("Namespace", "defaultdict", "Dict")):
            return self._mapping(value, attributes | value.mapped, path, depth)
        return self.convert(items, path, depth + 1)

    def _tensor(self, value: Dense | Sparse) -> Tensor:
        if isinstance(value, Sparse):
            return self._sparse(value)
        size, stride = integers(value.size), integers(value.stride)
        (offset,) = integers((value.offset,))
        if not isinstance(value.storage, Storage):
            raise pickle.UnpicklingError("a tensor without numbers")
        dtype = value.dtype or value.storage.dtype
        self._count(size, dtype)
        flat = self._flat(value.storage).view(dtype)
        found = flat.as_strided(size, stride, offset).clone()
        return -found if value.negative else found

    def _flat(self, storage: Storage) -> Tensor:
        """Return all numbers of a storage, read once."""
        if id(storage.load) not in self._storages:
            data = bytearray(storage.load())
            width = storage.dtype.itemsize // (2 if storage.dtype.is_complex else 1)
            whole = len(data) - len(data) % storage.dtype.itemsize
            if self.swap and width > 1:
                data = bytearray(np.frombuffer(data[:whole], f"u{width}").byteswap().tobytes())
            raw = (
                torch.frombuffer(data[:whole], dtype=torch.uint8)
                if whole
                else torch.empty(0, dtype=torch.uint8)
            )
            self._storages[id(storage.load)] = raw.view(storage.dtype)
        return self._storages[id(storage.load)]

    def _sparse(self, value: Sparse) -> Tensor:
        layout = str(value.layout.value if isinstance(value.layout, Held) else value.layout)
        parts = value.data if isinstance(value.data, tuple) else ()
        compressed = layout.removeprefix("torch.") != "sparse_coo"
        if len(parts) < 3 + compressed:
            raise pickle.UnpicklingError("a sparse tensor without numbers")
        tensors = [self._tensor(p) for p in parts[: 2 + compressed] if isinstance(p, Dense)]
        size = integers(parts[2 + compressed])
        self._count(size, tensors[-1].dtype)
        if compressed:
            kind = getattr(torch, layout.removeprefix("torch."))
            return torch.sparse_compressed_tensor(
                tensors[0], tensors[1], tensors[2], size, layout=kind, check_invariants=True
            )
        return torch.sparse_coo_tensor(tensors[0], tensors[1], size, check_invariants=True)

    def _count(self, size: tuple[int, ...], dtype: torch.dtype) -> None:
        self._bytes += int(np.prod([float(length) for length in size])) * dtype.itemsize
        if self._bytes > self.largest:
            raise MemoryError(f"{self._bytes / 1e9:.1f} GB")


_KNOWN = (
    zipfile.BadZipFile,
    pickle.UnpicklingError,
    RuntimeError,
    ValueError,
    KeyError,
    EOFError,
    NotImplementedError,
    TypeError,
    IndexError,
    AttributeError,
)


def _at(path: str, error: Exception) -> Exception:
    """Return the failure with the tensor's name before it."""
    words = str(error).splitlines()[0] if str(error) else type(error).__name__
    kind = type(error) if isinstance(error, EOFError | zipfile.BadZipFile) else ValueError
    return kind(f"{path}: {words}" if path else words)


def read_pickle(stream: io.BufferedIOBase, largest: int) -> Any:
    """Read a plain pickle, of NumPy arrays or of tensors."""
    return _Conversion(largest).convert(_unpickler(stream, _none).read())


def read_legacy(stream: io.BufferedIOBase, largest: int) -> Any:
    """Read a file that PyTorch wrote before version 1.6: pickles, and the numbers behind them."""
    swapped: list[bool] = []
    value = _legacy_object(stream, swapped)
    return _Conversion(largest, any(swapped)).convert(value)


def _legacy_object(stream: io.BufferedIOBase, swapped: list[bool] | None = None) -> Any:
    keys: dict[str, tuple[int, torch.dtype]] = {}  # where the numbers of a storage begin
    lengths: dict[str, int] = {}
    loaders: dict[str, Callable[[], bytes]] = {}

    def storage(pid: Any) -> object:
        if not isinstance(pid, tuple) or len(pid) < 5 or not isinstance(pid[1], StorageType):
            raise pickle.UnpicklingError("a storage that is none")
        key, dtype = str(pid[2]), pid[1].dtype or torch.uint8
        (lengths[key],) = integers((pid[4],))
        view = pid[5] if len(pid) > 5 else None
        start = view[1] if isinstance(view, tuple) and len(view) == 3 else 0

        def load() -> bytes:
            begin, written = keys[key]
            stream.seek(begin + start * written.itemsize)
            count = (view[2] if view else lengths[key]) * written.itemsize
            data = stream.read(count)
            if len(data) < count:
                raise EOFError("the file ends before its numbers do")
            return data

        name = key if view is None else f"{key}/{view[0]}"
        return Storage(key, dtype, loaders.setdefault(name, load))

    if _unpickler(stream, _none).read() != LEGACY_MAGIC:
        raise pickle.UnpicklingError("no file of PyTorch")
    _unpickler(stream, _none).read()
    system = _unpickler(stream, _none).read()
    if swapped is not None and isinstance(system, dict):
        swapped.append(not system.get("little_endian", True))
    reader = _unpickler(stream, storage)
    kinds: dict[str, torch.dtype] = {}

    def typed(pid: Any) -> object:
        found = storage(pid)
        if isinstance(found, Storage):
            kinds.setdefault(found.key, found.dtype)
        return found

    reader._storage = typed
    value = reader.read()
    for key in _unpickler(stream, _none).read():
        dtype = kinds.get(str(key), torch.uint8)
        count = int.from_bytes(stream.read(8), "little")
        keys[str(key)] = (stream.tell(), dtype)
        stream.seek(count * dtype.itemsize, io.SEEK_CUR)
    return value


def read_zip(archive: zipfile.ZipFile, pickled: str, largest: int) -> Any:
    """Read a file of ``torch.save``, with the checksum of every member.

    Parameters
    ----------
    archive
        Open archive of the file.
    pickled
        Name of its member ``data.pkl``, in the folder of all others.
    largest
        Greatest accepted size of all tensors in bytes.

    Raises
    ------
    ValueError
        A member is damaged; the message has the name of its tensor.
    UnsafePickleError
        The pickle calls a forbidden name.
    """
    top = pickled.removesuffix("data.pkl")
    names = set(archive.namelist())
    read: set[str] = set()
    loaders: dict[str, Callable[[], bytes]] = {}

    def member(name: str) -> bytes:
        read.add(name)
        if name not in names:
            raise KeyError(f"the archive has no member {name}")
        return archive.read(name)

    def storage(pid: Any) -> object:
        if not isinstance(pid, tuple) or len(pid) < 5 or not isinstance(pid[1], StorageType):
            raise pickle.UnpicklingError("a storage that is none")
        key = str(pid[2])
        load = loaders.setdefault(key, lambda: member(f"{top}data/{key}"))
        return Storage(key, pid[1].dtype or torch.uint8, load)

    order = member(f"{top}byteorder") if f"{top}byteorder" in names else b"little"
    value = _unpickler(io.BytesIO(member(pickled)), storage).read()
    found = _Conversion(largest, order.strip() == b"big").convert(value)
    for name in sorted(names - read):
        with archive.open(name) as part:
            while part.read(1 << 20):
                pass
    return found
