"""From a name, a file, generators or a Cayley table to a group."""

from __future__ import annotations

import re
from pathlib import Path

from numpy.typing import ArrayLike

from marginlens.groups.character_table import CharacterTable
from marginlens.groups.families import family_table
from marginlens.groups.finite_group import FiniteGroup
from marginlens.groups.gap import library_table, small_group
from marginlens.groups.generated import generated_table, is_generated
from marginlens.groups.table import as_integer_square, read_table

__all__ = ["group", "group_or_characters"]

_SPORADIC = (
    r"M11|M12|M22|M23|M24|J[123]|HS|McL|He|Ru|Suz|ON|Co[23]|Fi22|HN"  # with exact class sizes
)


def group(spec: str | Path | ArrayLike, *, name: str | None = None) -> FiniteGroup:
    """Return a finite group from its name, a table file, generators or a Cayley table.

    Parameters
    ----------
    spec
        `"C12"`, `"D5"` (order 10), `"S5"`, `"A5"`, `"Q8"`, `"Q16"`, `"Dic3"`, `"SL(2,3)"`, products
        such as `"S3xC4"`; permutations `"<(1,2,3),(1,2)>"` or matrices
        `"<[[1,1],[0,1]],[[0,1],[1,0]]> mod 5"` that generate it; `"SmallGroup(24,3)"` with GAP; a
        path to a `.csv` or `.npy` file; or the table itself.
    name
        How to call it; by default the spec, the file's stem, or `table`.

    Raises
    ------
    ValueError
        Unknown name, unreadable file, a table that is no group, or an order above the greatest.

    Examples
    --------
    >>> group("C12").order
    12
    >>> group("<(1,2,3,4),(1,3)>").order
    8
    >>> group([[0, 1], [1, 0]], name="signs").element_orders.tolist()
    [1, 2]
    >>> group("D5x")
    Traceback (most recent call last):
    ...
    marginlens.groups.families.UnknownGroupError: unknown group 'D5x'; write e.g. C12, D5, S5, A5,
    Q8, Dic3, SL(2,3), S3xC4, <(1,2,3),(1,2)>, SmallGroup(24,3) or a path to a table (.csv or .npy)

    """
    if isinstance(spec, str):
        words = spec.strip()
        if is_generated(words):
            return FiniteGroup(generated_table(words), name or _tidy(words))
        small = re.fullmatch(r"SmallGroup\(\s*(\d{1,9})\s*,\s*(\d{1,9})\s*\)", words, re.ASCII)
        if small is not None:
            found = small_group(int(small.group(1)), int(small.group(2)))
            return found if name is None else FiniteGroup(found.table, name)
        if _library_name(words) is not None:
            raise ValueError(
                f"{words} is known by its character table alone: it can be predicted, and has no "
                "Cayley table here; take a group such as A5 or SmallGroup(24,3)"
            )
        if not _is_path(words):
            return FiniteGroup(family_table(words), name or words)
    if isinstance(spec, str | Path):
        path = Path(spec)
        return FiniteGroup(read_table(path), name or path.stem)
    return FiniteGroup(as_integer_square(spec), name or "table")


def group_or_characters(spec: str) -> FiniteGroup | CharacterTable:
    """Return what a spec names: a group, or one that is known by its character table alone.

    Parameters
    ----------
    spec
        As for `group`; or `"CharacterTable(M11)"`, or a sporadic group's name such as `"M11"`, from
        GAP's library of character tables.

    Raises
    ------
    ValueError
        As for `group`; or GAP is missing, or does not know the table.

    """
    name = _library_name(spec.strip())
    return group(spec) if name is None else library_table(name)


def _library_name(words: str) -> str | None:
    """Name in GAP's library of character tables, if the spec is one."""
    if re.fullmatch(_SPORADIC, words) is not None:
        return words
    match = re.fullmatch(r"CharacterTable\((.+)\)", words)
    return None if match is None else match.group(1).strip().strip("\"'")


def _tidy(words: str) -> str:
    """A list of generators without spaces, but for those around `mod`."""
    return re.sub(r"mod", " mod ", re.sub(r"\s+", "", words))


def _is_path(spec: str) -> bool:
    return spec.lower().endswith((".csv", ".npy")) or "/" in spec or "\\" in spec
