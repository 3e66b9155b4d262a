"""Construction of a group from a name, a file, generators or a Cayley table."""

from __future__ import annotations

import re
from pathlib import Path

from numpy.typing import ArrayLike

from marginlens.errors import MarginLensError
from marginlens.groups.character_table import CharacterTable
from marginlens.groups.finite_group import FiniteGroup
from marginlens.groups.gap import library_table
from marginlens.groups.generated import generated_table, is_generated
from marginlens.groups.names import UnknownGroupError, named_group
from marginlens.groups.table_files import file_name, is_table_file, read_table, table_of

__all__ = ["group", "group_or_characters", "is_group_name"]

_SPORADIC = (  # with exact class sizes
    "M11",
    "M12",
    "M22",
    "M23",
    "M24",
    "J1",
    "J2",
    "J3",
    "HS",
    "McL",
    "He",
    "Ru",
    "Suz",
    "ON",
    "Co2",
    "Co3",
    "Fi22",
    "HN",
)
_BY_LOWER_CASE = {name.lower(): name for name in _SPORADIC}


def group(spec: str | Path | ArrayLike, *, name: str | None = None) -> FiniteGroup:
    """Return a finite group from its name, a table file, generators or a Cayley table.

    Parameters
    ----------
    spec
        Spec of the group: a name that :func:`~marginlens.groups.names.named_group` reads, such as
        `"C12"`, `"Z/12"`, `"D5"` (order 10), `"S5"`, `"Q8"`, `"SL(2,3)"`, `"C7:C3"`, `"S3xC4"`,
        with GAP `"SmallGroup(24,3)"`; permutations `"<(1,2,3),(1,2)>"` or matrices
        `"<[[1,1],[0,1]],[[0,1],[1,0]]> mod 5"` that generate it; a path to a file that
        :func:`~marginlens.groups.table_files.read_table` reads; or the table itself, shape
        (element, element).
    name
        Name of the group in reports; by default its canonical name, the file's name, or `table`.

    Raises
    ------
    MarginLensError
        The name is unknown, the file is unreadable, the table is not a group's, or the order is too
        large.

    Examples
    --------
    >>> group("C12").order, group("z/12").name
    (12, 'C12')
    >>> group("<(1,2,3,4),(1,3)>").order
    8
    >>> group([[0, 1], [1, 0]], name="signs").element_orders.tolist()
    [1, 2]
    >>> group("Dh5")
    Traceback (most recent call last):
    ...
    marginlens.groups.names.UnknownGroupError: unknown group 'Dh5'; did you mean D5? expected a name
    such as C12, D5, S5, Q8, SL(2,3), S3xC4, <(1,2,3),(1,2)> or a path to a table such as group.csv
    """
    if isinstance(spec, str) and not is_table_file(spec):
        words = spec.strip()
        if is_generated(words):
            return FiniteGroup(generated_table(words), name or _tidy(words))
        library = _library_name(words)
        if library is not None:
            raise MarginLensError(
                f"{library}: expected a group with a Cayley table, got a character table "
                "alone, enough for a prediction only; for example A5 or SmallGroup(24,3)"
            )
        if not _is_path(words):
            named = named_group(words)
            return FiniteGroup(named.table(), name or named.name, named.note)
    if isinstance(spec, str | Path):
        read = read_table(Path(spec))
        try:
            return FiniteGroup(read.table, name or file_name(spec), read.note)
        except ValueError as error:
            raise MarginLensError(f"{error}{f' ({read.note})' if read.note else ''}") from None
    given = table_of(spec)
    return FiniteGroup(given.table, name or "table", given.note)


def is_group_name(text: str) -> bool:
    """Return whether a text is a group's name, in any spelling, and so not a path.

    Parameters
    ----------
    text
        Text as it was typed.

    Examples
    --------
    >>> is_group_name("Z/5"), is_group_name("tables/S3"), is_group_name("S3.csv")
    (True, False, False)
    """
    try:
        named_group(text)
    except UnknownGroupError:
        return False
    except ValueError:  # a name with impossible numbers
        return len(text) <= 200
    return True


def group_or_characters(spec: str) -> FiniteGroup | CharacterTable:
    """Return the group of a spec, or its character table if only that is available.

    Parameters
    ----------
    spec
        Spec as for `group`; or `"CharacterTable(M11)"`, or a sporadic group's name such as `"M11"`,
        from GAP's library of character tables.

    Raises
    ------
    MarginLensError
        The spec is invalid as for `group`, GAP is missing, or its library lacks the table.
    """
    name = _library_name(spec.strip())
    return group(spec) if name is None else library_table(name)


def _library_name(words: str) -> str | None:
    """Return the name in GAP's library of character tables, or ``None`` for other specs."""
    if words.lower() in _BY_LOWER_CASE:
        return _BY_LOWER_CASE[words.lower()]
    match = re.fullmatch(r"CharacterTable\((.+)\)", words, re.IGNORECASE)
    return None if match is None else match.group(1).strip().strip("\"'")


def _tidy(words: str) -> str:
    """Remove the spaces of a list of generators, except around `mod`."""
    return re.sub(r"mod", " mod ", re.sub(r"\s+", "", words))


def _is_path(words: str) -> bool:
    return ("/" in words or "\\" in words) and not is_group_name(words)
