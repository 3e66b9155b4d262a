"""Unpickler that never calls functions that a file names.

Pickles name functions and classes to be called. Here each allowed name is bound to a function of
this module, which only collects plain data; any other name is bound to an empty record, and a file
that would call it is refused with that name. So a global of a file is never imported or run.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import torch

from marginlens.formats.pickled_values import (
    Array,
    Dense,
    Dtype,
    Function,
    Held,
    Record,
    Sparse,
    StorageType,
    Unreadable,
    UnsafePickleError,
)

__all__ = ["SafeUnpickler"]

_META = Unreadable(
    "a meta tensor, a shape without numbers", "save the network after its weights are loaded"
)
_QUANTIZED = Unreadable("a quantized tensor", "save it after x.dequantize()")
_NESTED = Unreadable("a nested tensor of unequal rows", "save its rows as tensors")


def _frombuffer(data: object, dtype: object, shape: object, order: object) -> Array:
    array = Array(shape, dtype, data)
    array.fortran = order == "F"
    return array


def _scalar(dtype: object, data: object = b"") -> object:
    value = Array((), dtype, data).resolved()
    if isinstance(value, Unreadable):
        return value
    return float(value) if value.dtype.kind == "f" else value.item()


def _reconstructed(kind: object, *_: object) -> object:
    if isinstance(kind, type) and issubclass(kind, Record):
        return kind()
    raise pickle.UnpicklingError("an object of no class")


def _of_type(function: object, kind: object, arguments: object, *_: object) -> object:
    if not isinstance(function, Function) or not isinstance(arguments, tuple):
        raise pickle.UnpicklingError("a tensor of no class")
    if isinstance(kind, type) and issubclass(kind, Record):
        kind()  # a class of the file's author: it would run
    return function(*arguments)


def _dense(storage: object, offset: object, size: object, stride: object, *others: object) -> Dense:
    """Return the common start of ``_rebuild_tensor``, ``_v2`` and ``_v3``."""
    kinds = [other for other in others if isinstance(other, torch.dtype)]
    tags = [other for other in others if isinstance(other, dict) and other.get("neg")]
    return Dense(storage, offset, size, stride, kinds[0] if kinds else None, bool(tags))


def _bytes(text: object, *_: object) -> bytes:
    if not isinstance(text, str):
        raise pickle.UnpicklingError("bytes of no text")
    return text.encode("latin1")


def _bytearray(*given: object) -> bytes:
    if not given or not isinstance(given[0], bytes | str):
        return b""
    return _bytes(given[0]) if isinstance(given[0], str) else given[0]


def _copied(kind: Callable[[Any], Any]) -> Callable[..., Any]:
    def call(*given: object) -> Any:
        if given and not isinstance(given[0], list | tuple | dict | set):
            raise pickle.UnpicklingError("a container of no items")
        return kind(*given[:1])

    return call


def _numeric(kind: Callable[..., Any]) -> Callable[..., Any]:
    def call(*given: object) -> Any:
        if not all(isinstance(one, int | float) for one in given):
            raise pickle.UnpicklingError("a number of no number")
        return kind(*given)

    return call


_RECORDS = {
    "argparse.Namespace",
    "types.SimpleNamespace",
    "collections.deque",
    "collections.defaultdict",
    "collections.Counter",
    "datetime.datetime",
    "datetime.date",
    "datetime.timedelta",
    "datetime.time",
    "datetime.timezone",
    "decimal.Decimal",
    "fractions.Fraction",
    "uuid.UUID",
    "builtins.range",
    "builtins.xrange",
    "builtins.slice",
    "torch.device",
    *(
        f"pathlib{part}.{name}"
        for part in ("", "._local")
        for name in (
            "Path",
            "PosixPath",
            "WindowsPath",
            "PurePath",
            "PurePosixPath",
            "PureWindowsPath",
        )
    ),
    *(
        f"{part}.AttributeDict"
        for part in (
            "pytorch_lightning.utilities.parsing",
            "lightning.pytorch.utilities.parsing",
            "lightning_fabric.utilities.data",
            "lightning.fabric.utilities.data",
        )
    ),
    "transformer_lens.HookedTransformerConfig.HookedTransformerConfig",
    "transformer_lens.config.HookedTransformerConfig.HookedTransformerConfig",
    "easy_transformer.EasyTransformerConfig.EasyTransformerConfig",
}
"""Classes whose objects are plain data: read as their arguments, attributes and items."""

_ALLOWED: Mapping[str, Callable[..., Any]] = {
    "_codecs.encode": _bytes,
    "builtins.bytearray": _bytearray,
    "builtins.bytes": _bytearray,
    "builtins.list": _copied(list),
    "builtins.tuple": _copied(tuple),
    "builtins.dict": _copied(dict),
    "builtins.set": _copied(list),
    "builtins.frozenset": _copied(list),
    "builtins.complex": _numeric(complex),
    "builtins.int": _numeric(int),
    "builtins.float": _numeric(float),
    "builtins.bool": _numeric(bool),
    "copyreg._reconstructor": _reconstructed,
    "torch.Size": _copied(tuple),
    "torch.serialization._get_layout": Held,
    "torch._utils._rebuild_tensor": _dense,
    "torch._utils._rebuild_tensor_v2": _dense,
    "torch._utils._rebuild_tensor_v3": _dense,
    "torch._utils._rebuild_parameter": lambda data, *_: data,
    "torch._utils._rebuild_parameter_with_state": lambda data, *_: data,
    "torch._utils._rebuild_sparse_tensor": Sparse,
    "torch._utils._rebuild_sparse_csr_tensor": Sparse,
    "torch._utils._rebuild_qtensor": lambda *_: _QUANTIZED,
    "torch._utils._rebuild_meta_tensor_no_storage": lambda *_: _META,
    "torch._utils._rebuild_nested_tensor": lambda *_: _NESTED,
    "torch._utils._rebuild_device_tensor_from_numpy": lambda data, *_: data,
    "torch._utils._rebuild_xla_tensor": lambda data, *_: data,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": lambda data, *_: data,
    "torch._tensor._rebuild_from_type_v2": _of_type,
    **{f"numpy.{core}.multiarray.scalar": _scalar for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray._reconstruct": lambda *_: Array() for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _frombuffer for core in ("core", "_core")},
}
_HELD = {
    "torch.Tensor",
    "torch.nn.parameter.Parameter",
    "torch.nn.parameter.Buffer",
    "numpy.ndarray",
    "builtins.object",
    "builtins.str",
    "builtins.NoneType",
}
_OLD_NAMES = {"__builtin__": "builtins", "copy_reg": "copyreg"}
_OLD_STORAGES = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
    "BFloat16": torch.bfloat16,
    "ComplexDouble": torch.complex128,
    "ComplexFloat": torch.complex64,
    "QInt8": torch.int8,
    "QUInt8": torch.uint8,
    "QInt32": torch.int32,
    "QUInt4x2": torch.uint8,
    "QUInt2x4": torch.uint8,
}


class SafeUnpickler(pickle._Unpickler):  # type: ignore[attr-defined]  # in C, a file could size its memo
    """Unpickler whose names stand for functions of this module."""

    def __init__(
        self,
        stream: io.BufferedIOBase,
        storage: Callable[[Any], object],
        in_bytes: Callable[[object], object],
    ) -> None:
        super().__init__(stream, encoding="latin1")
        self._storage, self._in_bytes = storage, in_bytes
        self._classes: dict[str, type[Record]] = {}
        self.called: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for a global's name, without an import."""
        full = f"{_OLD_NAMES.get(module, module)}.{name}"
        if full in _ALLOWED:
            return Function(_ALLOWED[full])
        if full == "collections.OrderedDict":
            return OrderedDict
        if full == "numpy.dtype":
            return Function(Dtype)
        if full == "torch.storage._load_from_bytes":
            return Function(self._in_bytes)
        if full in _HELD:
            return Held(full)
        if module in ("torch", "torch.cuda", "torch.storage"):
            if name in ("UntypedStorage", "TypedStorage"):
                return StorageType(None)
            if name.removesuffix("Storage") in _OLD_STORAGES:
                return StorageType(_OLD_STORAGES[name.removesuffix("Storage")])
            value = vars(torch).get(name) if module == "torch" else None  # imports nothing
            if isinstance(value, torch.dtype):
                return value
            if isinstance(value, torch.layout | torch.qscheme | torch.memory_format):
                return Held(str(value))
        if full not in self._classes:
            called = set() if full in _RECORDS else self.called
            self._classes[full] = type("_Named", (Record,), {"named": full, "called": called})
        return self._classes[full]

    def persistent_load(self, pid: Any) -> Any:
        """Return the storage of one of PyTorch's identifiers."""
        if isinstance(pid, tuple) and pid and pid[0] in ("module", b"module"):
            self.called.add(str(getattr(pid[1], "named", "a module's class")))
            return None
        return self._storage(pid)

    def read(self) -> Any:
        """Return the next pickle of the stream.

        Raises
        ------
        UnsafePickleError
            The pickle calls a forbidden name.
        """
        try:
            value = self.load()
        finally:
            if self.called:
                raise UnsafePickleError(self.called)
        return value
