"""Content of a file in any supported container, without executing it."""

from __future__ import annotations

import json
import pickletools
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from marginlens.errors import MarginLensError
from marginlens.formats.file_kind import describe_content
from marginlens.formats.pickled_values import Unreadable, UnsafePickleError
from marginlens.formats.torch_file import LEGACY_MAGIC, read_legacy, read_pickle, read_zip

__all__ = ["KINDS", "Content", "read_content"]

KINDS = ".pt, .pth, .ckpt, .bin, .safetensors or .npz"
"""Endings of the files that are read."""
_SAVED_AGAIN = "save its weights with torch.save(model.state_dict(), 'model.pt')"
_COPY = "copy or download it again"


@dataclass(frozen=True)
class Content:
    """Content that a reader returned, before the search for a network."""

    value: Any
    metadata: Mapping[str, str] = field(default_factory=dict)


def read_content(path: Path, largest: int) -> Content:
    """Read everything in a file without executing any of it.

    Parameters
    ----------
    path
        Path of an existing file.
    largest
        Greatest accepted size in bytes after unpacking.

    Raises
    ------
    ValueError
        The file is of another kind, damaged, too large, or would execute code.
    """
    reader = _reader(path)
    if reader is None:
        words, advice = describe_content(path) or _unknown(path)
        raise MarginLensError(f"{path.name} is {words}; {advice}")
    return _read(reader, path, largest)


_Reading = Callable[[Path, int], Content]


def _reader(path: Path) -> _Reading | None:
    """Return the reader for the first bytes of a file."""
    with path.open("rb") as file:
        head = file.read(9)
    if head.startswith(b"PK") or (head and zipfile.is_zipfile(path)):
        return _archive
    if len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") < 1 << 40:
        return _safetensors
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
        return _pickled
    return _pickled if _is_old_pickle(path) else None


def _is_old_pickle(path: Path) -> bool:
    """Pickles of protocols 0 and 1 have no signature: every byte is to be an instruction."""
    with path.open("rb") as file:
        try:
            instructions = sum(1 for _ in pickletools.genops(file))
            return instructions > 1 and not file.read(1)
        except Exception:  # as soon as a byte is none
            return False


def _unknown(path: Path) -> tuple[str, str]:
    with path.open("rb") as file:
        head = file.read(8)
    damaged = "it may be damaged, truncated at its beginning, or encrypted"
    return f"no {KINDS} file (it begins with the bytes {head.hex(' ')})", damaged


def _read(reader: _Reading, path: Path, largest: int) -> Content:
    """Read, with every failure as one line."""
    try:
        return reader(path, largest)
    except UnsafePickleError as error:
        names = ", ".join(error.names[:8])
        more = f" and {len(error.names) - 8} others" if len(error.names) > 8 else ""
        raise MarginLensError(
            f"{path.name} would execute code when it is read, and is refused: it calls {names}{more}; "
            f"{_SAVED_AGAIN}"
        ) from None
    except _RefusedError as error:
        raise MarginLensError(f"{path.name} {error}") from None
    except MemoryError as error:
        size = str(error) if str(error).endswith(" GB") else "more than the memory"
        raise MarginLensError(f"{path.name} holds tensors of {size}; expected megabytes") from None
    except zipfile.BadZipFile as error:
        raise MarginLensError(f"{path.name} is damaged ({_first(error)}); {_COPY}") from None
    except EOFError as error:
        raise MarginLensError(f"{path.name} is truncated ({_first(error)}); {_COPY}") from None
    except Exception as error:  # a damaged file can fail in any way, and all are the file's fault
        raise MarginLensError(f"{path.name} cannot be read ({_first(error)}); {_COPY}") from None


class _RefusedError(Exception):
    """Continuation of a file's name: why it is refused."""


def _first(error: Exception) -> str:
    lines = str(error).splitlines()
    return (lines[0] if lines else type(error).__name__)[:120]


def _archive(path: Path, largest: int) -> Content:
    """Read a zip archive: PyTorch's, NumPy's, or another."""
    if not zipfile.is_zipfile(path):
        raise _RefusedError(f"is truncated (the end of its zip archive is missing); {_COPY}")
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        inside = sum(entry.file_size for entry in entries)
        if inside > largest:
            raise _RefusedError(f"unpacks to {inside / 1e9:.1f} GB; expected megabytes")
        if any(entry.flag_bits & 1 for entry in entries):
            raise _RefusedError(f"is an encrypted zip archive; unpack it first, or {_COPY}")
        names = [entry.filename for entry in entries]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise _RefusedError(f"holds {twice} twice; {_COPY}")
        pickled = [name for name in names if name == "data.pkl" or name.endswith("/data.pkl")]
        if pickled:
            top = pickled[0].removesuffix("data.pkl")
            if any(name.startswith((f"{top}code/", f"{top}constants.pkl")) for name in names):
                raise _RefusedError(
                    "is a TorchScript archive (torch.jit.save), which holds code; "
                    "save its weights with torch.save(torch.jit.load(...).state_dict(), 'model.pt')"
                )
            return Content(read_zip(archive, pickled[0], largest))
        if any(name.endswith(".npy") for name in names):
            return Content(_arrays(archive))
        keras = "config.json" in names and any(name.endswith(".h5") for name in names)
        what = "a Keras model" if keras else "a zip archive"
        first = ", ".join(names[:8]) or "nothing"
        raise _RefusedError(f"is {what} that holds {first}; unpack it, and give the file inside")


def _arrays(archive: zipfile.ZipFile) -> dict[str, Any]:
    """Read the arrays of an .npz file; text without a shape is a plain value."""
    found: dict[str, Any] = {}
    for name in archive.namelist():
        with archive.open(name) as member:
            if not name.endswith(".npy"):
                while member.read(1 << 20):
                    pass
                continue
            short = name.removesuffix(".npy")
            try:
                array = np.lib.format.read_array(member, allow_pickle=False)
            except ValueError as error:
                if "Object arrays" not in str(error):
                    raise _RefusedError(
                        f"cannot be read: {short} is damaged ({_first(error)}); {_COPY}"
                    ) from None
                found[short] = Unreadable(
                    "an array of Python objects, whose reading would execute code",
                    "save it as an array of numbers",
                )
                continue
            while member.read(1 << 20):  # to its end, where the checksum is compared
                pass
        text = array.ndim == 0 and array.dtype.kind in "US"
        found[short] = array.item() if text else array
    return found


def _safetensors(path: Path, largest: int) -> Content:
    size = path.stat().st_size
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > size - 8:
            raise _RefusedError(
                f"is truncated (its header has {length} bytes, and {size - 8} are there); {_COPY}"
            )
        try:
            header = json.loads(file.read(length))
        except (ValueError, RecursionError):
            raise _RefusedError(f"is damaged (its header is no JSON); {_COPY}") from None
    _require_whole(header, size - 8 - length)
    tensors: dict[str, Any] = {}
    with safe_open(path, framework="pt") as file:
        metadata = dict(file.metadata() or {})
        for name in file.keys():  # noqa: SIM118
            try:
                tensors[name] = file.get_tensor(name)
            except Exception as error:  # a type that PyTorch does not have
                tensors[name] = Unreadable(f"of a type not known ({_first(error)})", "save float32")
    return Content(tensors, metadata)


def _require_whole(header: Any, stored: int) -> None:
    """Refuse a header that contradicts the number of stored bytes."""
    if not isinstance(header, dict):
        raise _RefusedError(f"is damaged (its header is no JSON object); {_COPY}")
    ends = 0
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        span = entry.get("data_offsets") if isinstance(entry, dict) else None
        if not isinstance(span, list) or len(span) != 2 or not all(type(x) is int for x in span):
            raise _RefusedError(f"is damaged (its header says no offsets of {name}); {_COPY}")
        ends = max(ends, span[1])
    if ends != stored:
        what = "truncated" if stored < ends else "damaged"
        raise _RefusedError(
            f"is {what} (its header promises {ends} bytes of numbers, and {stored} are there); {_COPY}"
        )


def _pickled(path: Path, largest: int) -> Content:
    """Read a pickle: of PyTorch before version 1.6, or a plain one."""
    with path.open("rb") as file:
        first = file.read(32)
        file.seek(0)
        if first[2:14] == b"\x8a\n" + LEGACY_MAGIC.to_bytes(10, "little"):
            return Content(read_legacy(file, largest))
        return Content(read_pickle(file, largest))
