"""Files that visitors upload: bounded in size, read as data, never run."""

from __future__ import annotations

import base64
import binascii
import tempfile
from pathlib import Path, PurePath

from marginlens.groups import FiniteGroup, group

__all__ = ["LARGEST_UPLOAD", "uploaded_bytes", "uploaded_group"]

LARGEST_UPLOAD = 4_000_000
"""Bytes of an uploaded file; a table of 2000 elements as 16-bit ``.npy`` is twice as large."""


def uploaded_bytes(contents: str, name: str) -> bytes:
    """The bytes of what a browser sent as ``data:...;base64,...``.

    Raises
    ------
    ValueError
        If it is too large, or not such a text.
    """
    if len(contents) > LARGEST_UPLOAD * 4 / 3 + 200:
        raise ValueError(
            f"{name}: larger than {LARGEST_UPLOAD / 1e6:g} MB; for a larger one use the command line: "
            "marginlens predict table.npy"
        )
    _, comma, coded = contents.partition(",")
    try:
        return base64.b64decode(coded, validate=True) if comma else _refuse(name)
    except (binascii.Error, ValueError):
        return _refuse(name)


def uploaded_group(contents: str, filename: str) -> FiniteGroup:
    """The group whose Cayley table was uploaded.

    Parameters
    ----------
    contents
        As the browser sends it.
    filename
        What the visitor calls it; only its last part counts, as the group's name.

    Raises
    ------
    ValueError
        With the command line's own words, about the visitor's file.
    """
    name = PurePath(filename.replace("\\", "/")).name[:80] or "table.csv"
    content = uploaded_bytes(contents, name)
    if PurePath(name).suffix.lower() not in (".csv", ".npy"):
        raise ValueError(f"{name}: a table is read from a .csv or .npy file, e.g. group.csv")
    with tempfile.TemporaryDirectory(prefix="marginlens-") as folder:
        path = Path(folder) / ("table" + PurePath(name).suffix.lower())
        path.write_bytes(content)
        try:
            return group(path, name=PurePath(name).stem)
        except ValueError as error:
            raise ValueError(str(error).replace(str(path), name)) from None


def _refuse(name: str) -> bytes:
    raise ValueError(f"{name}: the upload is damaged; choose the file again")
