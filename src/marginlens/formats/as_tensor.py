"""Conversion of stored numbers to dense tensors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from marginlens.formats.pickled_values import Unreadable

__all__ = ["as_tensor"]

_PLAIN = {
    torch.float64,
    torch.float32,
    torch.complex64,
    torch.complex128,
    torch.bool,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
}
_RAW = "bytes without a type ({})"


def as_tensor(value: Tensor | np.ndarray) -> tuple[Tensor | Unreadable, str | None]:
    """Convert numbers of any stored type to a dense tensor of a type that arithmetic supports.

    Floating-point types below 32 bits become float32, long doubles float64, unsigned integers
    int64.

    Parameters
    ----------
    value
        Tensor or array from the file.

    Returns
    -------
    tuple
        Tensor, or reason why it cannot be converted; and the name of the stored type if it was
        converted.
    """
    if isinstance(value, np.ndarray):
        return _from_array(value)
    name = str(value.dtype).removeprefix("torch.")
    if value.is_meta:
        return Unreadable("a meta tensor, a shape without numbers", "save the loaded network"), None
    if value.is_quantized:
        return Unreadable("a quantized tensor", "save it after x.dequantize()"), None
    sparse = value.layout is not torch.strided
    dense = (value.to_dense() if sparse else value).detach()
    if dense.dtype in _PLAIN:
        return dense, "sparse" if sparse else None
    target = torch.float32 if dense.dtype.is_floating_point else torch.int64
    try:
        return dense.to(target), name
    except (RuntimeError, NotImplementedError):
        return Unreadable(f"of type {name}, which is not converted", "save it as float32"), None


def _from_array(array: np.ndarray) -> tuple[Tensor | Unreadable, str | None]:
    dtype = array.dtype
    if dtype.kind in "USO" or dtype.names is not None or dtype.kind in "mM":
        what = {"U": "text", "S": "text", "O": "an array of Python objects"}.get(dtype.kind)
        return Unreadable(what or f"an array of {dtype}", "save it as an array of numbers"), None
    if dtype.kind == "V":
        if dtype.itemsize != 2:
            return Unreadable(_RAW.format(dtype.str), "save it as float32"), None
        wide = array.view("<u2").astype(np.uint32) << 16
        return torch.from_numpy(wide.view(np.float32)), "bfloat16"
    if dtype.kind in "fc" and dtype.itemsize > (16 if dtype.kind == "c" else 8):
        with np.errstate(over="ignore"):
            narrow = array.astype(np.float64 if dtype.kind == "f" else np.complex128)
        return torch.from_numpy(np.ascontiguousarray(narrow)), "long double"
    name = f"big-endian {dtype.name}" if not dtype.isnative else None
    plain = np.array(array, dtype.newbyteorder("="), order="C")
    if dtype.kind == "u" and dtype.itemsize > 1:
        if plain.size and plain.max() > np.iinfo(np.int64).max:
            return Unreadable("an integer above 2^63", "save it as float64"), None
        return torch.from_numpy(plain.astype(np.int64)), name
    if dtype.name == "float16":
        return torch.from_numpy(plain.astype(np.float32)), name or "float16"
    return torch.from_numpy(plain), name
