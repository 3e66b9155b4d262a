"""Uploaded files: limited in size, read as data, never executed."""

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
"""Largest size of an uploaded file in bytes; a 2000 x 2000 table of 16-bit numbers is twice as large."""

NETWORK_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".safetensors", ".npz")
"""File name extensions of networks."""

_TOO_LARGE = (
    f"{{}} is larger than {LARGEST_UPLOAD / 1e6:g} MB, the limit for uploads; the command line reads "
    "larger files: marginlens predict table.npy, marginlens measure network.pt"
)
_UNPACKED = 200_000_000  # bytes of a network's tensors


def uploaded_bytes(contents: str, name: str) -> bytes:
    """Return the bytes of an upload in the browser's form ``data:...;base64,...``.

    Raises
    ------
    ValueError
        If the upload is too large or not valid base64.
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
    """Return the group whose Cayley table was uploaded.

    Parameters
    ----------
    contents
        File content in the browser's form ``data:...;base64,...``.
    filename
        Name of the visitor's file; its last part becomes the group's name, as in `C5.csv`.

    Raises
    ------
    ValueError
        If the file is not a Cayley table; the message is that of the command line.
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
    """Return the network whose file was uploaded; no code in the file is executed.

    Parameters
    ----------
    contents, filename
        File content and file name, the same as for :func:`uploaded_group`.
    form, group, activation, attention
        Format, group, activation and attention rate, the same as for
        :func:`marginlens.formats.read_network`.

    Raises
    ------
    ValueError
        If the file is not a network; the message is that of the command line.
    """
    with _as_file(contents, filename, NETWORK_SUFFIXES, "a network") as path:
        return read_network(
            path, form, group=group, activation=activation, attention=attention, largest=_UNPACKED
        )


@contextmanager
def _as_file(contents: str, filename: str, suffixes: tuple[str, ...], what: str) -> Iterator[Path]:
    """Write an upload to a temporary file; errors within name the visitor's file instead."""
    name = _last_part(filename)
    suffix = PurePath(name).suffix.lower()
    content = uploaded_bytes(contents, name)
    if suffix not in suffixes:
        raise ValueError(f"expected {what} file that ends in {', '.join(suffixes[:8])}; got {name}")
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
