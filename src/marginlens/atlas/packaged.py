"""Atlas shipped with the package: every group of order 2 to 63, without GAP."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from marginlens.atlas.build import read_atlas
from marginlens.groups import is_group_name

__all__ = ["family_spec", "pack_atlas", "packaged_atlas"]

_FILE = "groups.parquet"


def packaged_atlas() -> pa.Table:
    """Return the shipped atlas of all groups of order 2 to 63.

    Columns are those of :func:`marginlens.atlas.build_atlas`. The file comes from ``make groups``.

    Examples
    --------
    >>> packaged_atlas().num_rows
    318
    """
    return _read()


@cache
def _read() -> pa.Table:
    return read_atlas(Path(str(files("marginlens.atlas") / _FILE)))


def pack_atlas(folder: str | Path, file: str | Path) -> None:
    """Write a built atlas as one small file for :func:`packaged_atlas`.

    Parameters
    ----------
    folder
        Folder of the atlas.
    file
        Parquet file to write, compressed by Zstandard.

    Raises
    ------
    ValueError
        The folder holds no atlas.
    """
    pq.write_table(
        read_atlas(folder), file, compression="zstd", compression_level=19, write_statistics=False
    )


def family_spec(structure: str) -> str | None:
    """Return the spec of a group from its structure description, or ``None`` if it needs GAP.

    Descriptions name a group for certain only where they are a direct product of families of
    groups;
    semidirect products (``:``) and extensions (``.``) of the same groups can be several.

    Parameters
    ----------
    structure
        Structure description of the group in the atlas.

    Returns
    -------
    str or None
        Spec for :func:`marginlens.groups.group`, or ``None``.

    Examples
    --------
    >>> [family_spec(name) for name in ("C6 x C2", "D5", "C2 x SL(2,3)", "QD16", "C3 : C4")]
    ['C6xC2', 'D5', 'C2xSL(2,3)', 'QD16', None]
    """
    if ":" in structure or "." in structure or not is_group_name(structure):
        return None
    return structure.replace(" x ", "x")
