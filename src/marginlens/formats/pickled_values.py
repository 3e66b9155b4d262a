"""Plain values that stand for a pickle's objects."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

__all__ = [
    "OBJECTS",
    "Array",
    "Collected",
    "Dense",
    "Dtype",
    "Function",
    "Held",
    "Record",
    "Sparse",
    "Storage",
    "StorageType",
    "Unreadable",
    "UnsafePickleError",
    "integers",
]

_NUMPY_KINDS = "biufcSUVmM"


class UnsafePickleError(ValueError):
    """Error for a pickle that calls names that are not allowed.

    Attributes
    ----------
    names
        Dotted names of the functions and classes that would be called, sorted.
    """

    def __init__(self, names: set[str]) -> None:
        super().__init__(", ".join(sorted(names)))
        self.names = sorted(names)


@dataclass(frozen=True)
class Unreadable:
    """Value without plain numbers: a meta or quantized tensor, or an array of objects.

    Attributes
    ----------
    why
        Continuation of "NAME is", for example "a quantized tensor".
    advice
        Action that makes the file readable.
    """

    why: str
    advice: str


OBJECTS = Unreadable("an array of Python objects", "save it as an array of numbers")


class Collected:
    """Base of the objects that a pickle builds, isolated from everything else."""

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("a state for a value that has none")


@dataclass(frozen=True, eq=False)
class StorageType(Collected):
    """Type of a storage's numbers; ``None`` for untyped bytes."""

    dtype: torch.dtype | None


@dataclass(frozen=True, eq=False)
class Storage(Collected):
    """Numbers of one or several tensors, and the function that reads their bytes."""

    key: str
    dtype: torch.dtype
    load: Callable[[], bytes]


@dataclass(frozen=True, eq=False)
class Dense(Collected):
    """Tensor as a view of a storage; its fields are as the file says, unchecked."""

    storage: object
    offset: object
    size: object
    stride: object
    dtype: torch.dtype | None = None
    negative: bool = False


@dataclass(frozen=True, eq=False)
class Sparse(Collected):
    """Sparse tensor: its layout, and its indices, values and shape."""

    layout: object
    data: object


@dataclass(frozen=True, eq=False)
class Held(Collected):
    """Constant that is only passed on: a layout, a device, a tensor's class."""

    value: Any


class Function(Collected):
    """Function of this module that a pickle may call."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *arguments: object) -> Any:
        """Call the function that the name stands for."""
        return self._call(*arguments)


class Record:
    """Record of an object's arguments, attributes and items."""

    named = ""
    called: set[str] = set()  # of the file that is read, where the name is not allowed  # noqa: RUF012

    def __new__(cls, *arguments: object, **options: object) -> Record:
        """Collect the arguments, and note the name where it is not allowed."""
        cls.called.add(cls.named)
        self = object.__new__(cls)
        self.arguments, self.options = arguments, options
        self.state, self.mapped, self.items = None, {}, []
        return self

    arguments: tuple[object, ...]
    options: dict[str, object]
    state: object
    mapped: dict[Any, Any]
    items: list[Any]

    def __init__(self, *arguments: object, **options: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        self.state = state

    def __setitem__(self, key: object, value: object) -> None:
        self.mapped[key] = value

    def append(self, value: object) -> None:
        """Collect one item of the object."""
        self.items.append(value)

    add = append

    def extend(self, values: list[object]) -> None:
        """Collect several items of the object."""
        self.items.extend(values)


class Dtype:
    """NumPy dtype: its code and byte order."""

    def __init__(self, code: object, *_: object) -> None:
        named = getattr(code, "named", "")
        self.code = {"ml_dtypes.bfloat16": "V2"}.get(named, code)
        self.order: object = "="
        self.compound = False

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) < 5:
            raise pickle.UnpicklingError("a dtype without a state")
        self.order = state[1]
        self.compound = state[3] is not None or state[4] is not None

    def resolved(self) -> np.dtype | None:
        """Return the dtype, or ``None`` if it is not plain."""
        if not isinstance(self.code, str) or self.compound or self.code[:1] not in _NUMPY_KINDS:
            return None
        dtype = np.dtype(self.code)
        return dtype.newbyteorder(self.order) if self.order in ("<", ">") else dtype  # type: ignore[arg-type]


class Array:
    """NumPy array: shape, dtype and bytes."""

    def __init__(self, shape: object = (0,), dtype: object = None, data: object = b"") -> None:
        self.shape, self.dtype, self.data, self.fortran = shape, dtype, data, False

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise pickle.UnpicklingError("an array without a state")
        _, self.shape, self.dtype, fortran, self.data = state
        self.fortran = bool(fortran)

    def resolved(self) -> np.ndarray | Unreadable:
        """Return the array as a copy in memory."""
        dtype = self.dtype.resolved() if isinstance(self.dtype, Dtype) else None
        data = self.data.encode("latin1") if isinstance(self.data, str) else self.data
        if dtype is None or not isinstance(data, bytes | bytearray):
            return OBJECTS
        flat = np.frombuffer(bytes(data), dtype)
        shape = integers(self.shape)
        return flat.reshape(shape, order="F" if self.fortran else "C").copy()


def integers(values: object) -> tuple[int, ...]:
    """Return a shape's integers; raises UnpicklingError for anything else."""
    if not isinstance(values, tuple | list) or not all(type(v) is int for v in values):
        raise pickle.UnpicklingError("a shape that is no list of integers")
    return tuple(values)
