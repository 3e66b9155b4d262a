"""Files that visitors upload: bounded in size, read as data, never run."""

from __future__ import annotations

import base64
import binascii
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

from marginlens.formats import Foreign, read_network
from marginlens.groups import TABLE_SUFFIXES, FiniteGroup, file_name, group

__all__ = [
    "LARGEST_UPLOAD",
    "NETWORK_SUFFIXES",
    "uploaded_bytes",
    "uploaded_group",
    "uploaded_network",
]

LARGEST_UPLOAD = 4_000_000
"""Bytes of an uploaded file; a table of 2000 elements as 16-bit ``.npy`` is twice as large."""

NETWORK_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".safetensors", ".npz")
"""Endings of a network's file."""

_TOO_LARGE = (
    f"{{}} is larger than {LARGEST_UPLOAD / 1e6:g} MB, the most that is taken here; the command line "
    "takes larger ones: marginlens predict table.npy, marginlens measure network.pt"
)
_UNPACKED = 200_000_000  # bytes of a network's tensors


def uploaded_bytes(contents: str, name: str) -> bytes:
    """The bytes of what a browser sent as ``data:...;base64,...``.

    Raises
    ------
    ValueError
        If it is too large, or not such a text.
    """
    if len(contents) > 1.4 * LARGEST_UPLOAD + 200:  # in base64 four characters are three bytes
        raise ValueError(_TOO_LARGE.format(name))
    _, comma, coded = contents.partition(",")
    try:
        content = base64.b64decode(coded, validate=True) if comma else None
    except (binascii.Error, ValueError):
        content = None
    if content is None:
        raise ValueError(f"{name}: the upload is damaged; choose the file again")
    if len(content) > LARGEST_UPLOAD:
        raise ValueError(_TOO_LARGE.format(name))
    return content


def uploaded_group(contents: str, filename: str) -> FiniteGroup:
    """The group whose Cayley table was uploaded.

    Parameters
    ----------
    contents
        As the browser sends it.
    filename
        The visitor's name of the file; its last part becomes the group's name, as in `C5.csv`.

    Raises
    ------
    ValueError
        With the command line's own words, about the visitor's file.
    """
    with _as_file(contents, filename, TABLE_SUFFIXES, "a table") as path:
        return group(path, name=file_name(_last_part(filename)))


def uploaded_network(
    contents: str,
    filename: str,
    form: str | None = None,
    *,
    group: str | None = None,
    activation: str | None = None,
    attention: float | None = None,
) -> Foreign:
    """The network whose file was uploaded; nothing in it is executed.

    Parameters
    ----------
    contents, filename
        As for :func:`uploaded_group`.
    form, group, activation, attention
        As for :func:`marginlens.formats.read_network`.

    Raises
    ------
    ValueError
        With the command line's own words, about the visitor's file.
    """
    with _as_file(contents, filename, NETWORK_SUFFIXES, "a network") as path:
        return read_network(
            path, form, group=group, activation=activation, attention=attention, largest=_UNPACKED
        )


@contextmanager
def _as_file(contents: str, filename: str, suffixes: tuple[str, ...], what: str) -> Iterator[Path]:
    """What was uploaded, as a file of a plain name; errors about it speak of the visitor's name."""
    name = _last_part(filename)
    suffix = PurePath(name).suffix.lower()
    content = uploaded_bytes(contents, name)
    if suffix not in suffixes:
        raise ValueError(
            f"{name}: {what} is read from a file that ends in {', '.join(suffixes[:8])}"
        )
    with tempfile.TemporaryDirectory(prefix="marginlens-") as folder:
        path = Path(folder) / f"upload{suffix}"
        path.write_bytes(content)
        try:
            yield path
        except ValueError as error:
            words = str(error).replace(str(path), name).replace(path.name, name)
            raise ValueError(words) from None


def _last_part(filename: str) -> str:
    return PurePath(filename.replace("\\", "/")).name[:80] or "upload"
