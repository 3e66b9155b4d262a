"""Messages between the web process and a training's process: JSON and arrays, no code."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
import safetensors.numpy

__all__ = ["Readable", "Writable", "receive", "send"]

_LENGTHS = struct.Struct(">II")


@runtime_checkable
class Writable(Protocol):
    """Binary stream that messages are written to."""

    def write(self, content: bytes, /) -> Any:
        """Write the bytes to the stream."""
        ...

    def flush(self) -> Any:
        """Send all buffered bytes."""
        ...


@runtime_checkable
class Readable(Protocol):
    """Binary stream that messages are read from."""

    def read(self, size: int, /) -> bytes:
        """Return ``size`` bytes, or fewer at the end of the stream."""
        ...


def send(
    file: Writable, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None
) -> None:
    """Write a message: the lengths of its two parts, JSON, and arrays as safetensors.

    Raises
    ------
    OSError
        If the reader has closed the stream.
    ValueError
        If the header holds a number that is not finite; arrays may hold such numbers.
    """
    words = json.dumps(header, allow_nan=False).encode()
    values = {name: np.ascontiguousarray(array) for name, array in (arrays or {}).items()}
    content = safetensors.numpy.save(values) if values else b""
    file.write(_LENGTHS.pack(len(words), len(content)) + words + content)
    file.flush()


def receive(file: Readable) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
    """Return the next message, or None at the end of the stream, even within a message.

    Examples
    --------
    >>> from io import BytesIO
    >>> file = BytesIO()
    >>> send(file, {"kind": "frame"}, {"u": np.arange(3)})
    >>> _ = file.seek(0)
    >>> receive(file), receive(file)
    (({'kind': 'frame'}, {'u': array([0, 1, 2])}), None)
    """
    lengths = file.read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    first, second = _LENGTHS.unpack(lengths)
    words, content = file.read(first), file.read(second)
    if len(words) < first or len(content) < second:
        return None
    return json.loads(words), safetensors.numpy.load(content) if content else {}
