"""From a name, a file or a Cayley table to a group."""

from __future__ import annotations

from pathlib import Path

from numpy.typing import ArrayLike

from marginlens.groups.families import family_table
from marginlens.groups.finite_group import FiniteGroup
from marginlens.groups.table import as_integer_square, read_table


def group(spec: str | Path | ArrayLike, *, name: str | None = None) -> FiniteGroup:
    """Return a finite group from its name, a table file or a Cayley table.

    Parameters
    ----------
    spec
        `"C12"`, `"D5"` (order 10), `"S5"`, `"A5"`, `"Q8"`, `"Q16"`, `"Dic3"`, `"SL(2,3)"`, products
        such as `"S3xC4"`; a path to a `.csv` or `.npy` file; or the table itself.
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
    >>> group([[0, 1], [1, 0]], name="signs").element_orders.tolist()
    [1, 2]
    >>> group("D5x")
    Traceback (most recent call last):
    ...
    marginlens.groups.families.UnknownGroupError: unknown group 'D5x'; write e.g. C12, D5, S5, A5,
    Q8, Dic3, SL(2,3), S3xC4 or a path to a table (.csv or .npy)

    """
    if isinstance(spec, str) and not _is_path(spec):
        return FiniteGroup(family_table(spec.strip()), name or spec.strip())
    if isinstance(spec, str | Path):
        path = Path(spec)
        return FiniteGroup(read_table(path), name or path.stem)
    return FiniteGroup(as_integer_square(spec), name or "table")


def _is_path(spec: str) -> bool:
    return spec.lower().endswith((".csv", ".npy")) or "/" in spec or "\\" in spec
