"""The atlas that comes with the package: every group of order 2 to 63, without GAP."""

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
    """The atlas of all groups of order 2 to 63, as it comes with the package.

    Columns are those of :func:`marginlens.atlas.build_atlas`. It was made by ``make groups``.

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
    """Write an atlas that was built as one small file, which :func:`packaged_atlas` reads.

    Parameters
    ----------
    folder
        Where ``marginlens atlas`` wrote it.
    file
        Parquet, compressed by Zstandard.

    Raises
    ------
    ValueError
        If there is no atlas.
    """
    pq.write_table(
        read_atlas(folder), file, compression="zstd", compression_level=19, write_statistics=False
    )


def family_spec(structure: str) -> str | None:
    """What ``group(...)`` calls the group that the atlas describes so, where that needs no GAP.

    Descriptions name a group for certain only where they are a direct product of families of groups;
    semidirect products (``:``) and extensions (``.``) of the same groups can be several.

    Parameters
    ----------
    structure
        The atlas's description.

    Returns
    -------
    A spec, or None.

    Examples
    --------
    >>> [family_spec(name) for name in ("C6 x C2", "D5", "C2 x SL(2,3)", "QD16", "C3 : C4")]
    ['C6xC2', 'D5', 'C2xSL(2,3)', 'QD16', None]
    """
    if ":" in structure or "." in structure or not is_group_name(structure):
        return None
    return structure.replace(" x ", "x")
