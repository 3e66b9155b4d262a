"""Kinds of files that hold no network, for error messages."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["describe_content"]

_SAVE = "save its weights as .safetensors, .npz or with torch.save(model.state_dict(), 'model.pt')"
_UNPACK = "unpack it, and give the file inside"
_DOWNLOAD = "download the file itself (the link 'raw' or 'download' of its page)"
_EXPECTED = "expected a network: .pt, .pth, .ckpt, .bin, .safetensors or .npz"
_STARTS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "a gzip archive", _UNPACK),
    (b"BZh", "a bzip2 archive", _UNPACK),
    (b"\xfd7zXZ", "an xz archive", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!", "a rar archive", _UNPACK),
    (b"GGUF", "a GGUF file", _SAVE),
    (b"ggml", "a GGML file", _SAVE),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes", _SAVE),
    (
        b"\x93NUMPY",
        "one NumPy array (.npy)",
        "give it a name: np.savez('logits.npz', logits=array)",
    ),
    (b"PAR1", "a Parquet file", _EXPECTED),
    (b"%PDF", "a PDF", _EXPECTED),
    (b"\x89PNG", "a PNG picture", _DOWNLOAD),
    (b"\xff\xd8\xff", "a JPEG picture", _DOWNLOAD),
    (b"GIF8", "a GIF picture", _DOWNLOAD),
    (b"\x7fELF", "a program", _EXPECTED),
    (b"SQLite format 3", "an SQLite database", _EXPECTED),
)
_LEVELDB_END = bytes.fromhex("57fb808b247547db")  # of the tables that TensorFlow's .index files are
_POINTERS = (
    (b"version https://git-lfs.github.com", "git lfs pull"),
    (b"version https://hawser.github.com", "git lfs pull"),
    (b"# xet version", "git xet checkout"),
    (b"/annex/objects/", "git annex get"),
)


def describe_content(path: Path) -> tuple[str, str] | None:
    """Return the kind of a file that holds no network in a known format.

    Parameters
    ----------
    path
        Path of an existing file.

    Returns
    -------
    tuple of str, or None
        Continuation of "FILE is", and advice; ``None`` for content of another kind.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(4096)
        file.seek(max(0, size - 4096))
        tail = file.read()
    if not head:
        return "empty (0 bytes)", "download or save it again"
    for start, command in _POINTERS:
        if start in head[:200] and size < 4096:
            tool = command.split()[1]
            return (
                f"a Git {tool.upper() if tool == 'lfs' else tool} pointer, not the file itself",
                f"fetch the file with: {command}",
            )
    for start, words, advice in _STARTS:
        if head.startswith(start):
            return words, advice
    if tail.endswith(_LEVELDB_END):
        return "a TensorFlow checkpoint's index", _SAVE
    if head[257:262] == b"ustar":
        return (
            "a tar archive",
            f"{_UNPACK}; or, if old PyTorch wrote it, save it again with torch.save",
        )
    if not any(head) and not any(tail):
        return (
            "filled with zero bytes",
            "an interrupted copy or a full disk leaves such; copy it again",
        )
    found = _text(path, head) or _protobuf(path, head)
    if found is None and size < 16:
        return f"truncated ({size} bytes)", "download or save it again"
    return found


def _text(path: Path, head: bytes) -> tuple[str, str] | None:
    """Return the kind of a text: a web page, an error in JSON, or another text."""
    for encoding in (
        ("utf-8-sig", "utf-16") if head[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig",)
    ):
        try:
            text = head[: len(head) - len(head) % 2].decode(encoding)
        except UnicodeDecodeError as error:
            if error.start < len(head) - 4:  # not the last character, which may be cut
                continue
            text = head[: error.start].decode(encoding)
        break
    else:
        return None
    if not all(c.isprintable() or c in "\t\n\r\f" for c in text):
        return None
    start = text.lstrip().lower()
    if start.startswith(("<!doctype html", "<html", "<head", "<body")) or "<html" in start[:1000]:
        return "a web page (HTML), not the file itself", _DOWNLOAD
    if start.startswith("<"):
        return "an XML text", _DOWNLOAD
    if start[:1] in ("{", "["):
        return _json(path)
    begin = " ".join(text.split())[:40]
    return f"a text that begins {begin!r}", _EXPECTED


def _json(path: Path) -> tuple[str, str]:
    try:
        content = json.loads(path.read_text("utf-8-sig")) if path.stat().st_size < 1e6 else None
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, dict):
        for name in ("message", "error", "detail", "title"):
            if isinstance(content.get(name), str):
                return (
                    f"a JSON answer of a server ({content[name][:60]!r}), not the file",
                    _DOWNLOAD,
                )
    return "a JSON text", _EXPECTED


def _protobuf(path: Path, head: bytes) -> tuple[str, str] | None:
    """Google's binary messages have no signature: by their first field and their ending."""
    suffix = path.suffix.lower()
    if (
        suffix == ".onnx"
        or (head[:1] == b"\x08" and b"\x12\x07pytorch" in head[:40])
        or (head[:1] == b"\x08" and b"onnx" in head[:64].lower())
    ):
        return "an ONNX model", _SAVE
    if suffix == ".pb":
        return "a TensorFlow graph", _SAVE
    if ".data-" in path.name and "-of-" in path.name:
        return "a part of a TensorFlow checkpoint", _SAVE
    if suffix == ".msgpack":
        return "a msgpack file, as Flax writes", _SAVE
    return None
