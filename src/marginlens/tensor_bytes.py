"""Deterministic bytes of a safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping

import safetensors.torch
from torch import Tensor

__all__ = ["tensor_bytes"]

_ALIGNMENT = 8  # of the data, which begins after the header and its length


def tensor_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return a safetensors file with equal bytes for equal tensors and metadata.

    The library writes metadata in the order of a hash that differs from call to call; here they are
    in the order of their names.

    Parameters
    ----------
    tensors
        Tensors of the file by name.
    metadata
        Texts of the file's header.

    Examples
    --------
    >>> import safetensors.torch, torch
    >>> content = tensor_bytes({"x": torch.arange(3)}, {"b": "1", "a": "2"})
    >>> content[8:49].decode()
    '{"__metadata__":{"a":"2","b":"1"},"x":{"d'
    >>> safetensors.torch.load(content)["x"].tolist()
    [0, 1, 2]
    """
    content = safetensors.torch.save(
        {name: tensor.contiguous() for name, tensor in tensors.items()}, metadata=dict(metadata)
    )
    end = _ALIGNMENT + int.from_bytes(content[:_ALIGNMENT], "little")
    header = json.loads(content[_ALIGNMENT:end])
    header["__metadata__"] = dict(sorted(metadata.items()))
    words = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    words += b" " * (-len(words) % _ALIGNMENT)
    return len(words).to_bytes(_ALIGNMENT, "little") + words + content[end:]
