"""Display of records in notebooks and terminals: heading, facts and a table.

The HTML is readable on white and on dark, loads no resources, and escapes all values.
"""

from __future__ import annotations

import html
import re
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from typing import Any, cast

__all__ = ["Displayed", "Shown", "frame_of", "printable", "residue", "short"]

MOST_ROWS = 12
"""Rows of a table that are shown at once; the others unfold."""

_CELL = "padding: 0.15em 0.8em 0.15em 0; text-align: left; vertical-align: top"
_LINE = "border-bottom: 1px solid rgba(128, 138, 155, 0.35)"


def short(value: Any) -> str:
    """Format a value in a few characters for readers.

    Examples
    --------
    >>> short(0.00046143), short(True), short(None), short("must"), short(1443.4451)
    ('0.00046143', 'yes', '–', 'must', '1443.45')
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


ROUNDING = 1e-14
"""Relative differences below it depend on the processor and the libraries."""


def residue(difference: float) -> str:
    """Write a relative difference that would be 0 in exact arithmetic.

    Parameters
    ----------
    difference
        Relative gap or residual of a computation in double precision.

    Returns
    -------
    str
        The difference with two digits, or "exact to rounding" below 1e-14: the digits of a smaller
        one differ from machine to machine.

    Examples
    --------
    >>> residue(0.0), residue(-7e-16), residue(2.34e-9)
    ('exact to rounding', 'exact to rounding', '2.3e-09')
    """
    return "exact to rounding" if abs(difference) < ROUNDING else f"{difference:.1e}"


_KEPT = "\n\t"
_ESCAPED_CATEGORIES = ("Cc", "Cs", "Zl", "Zp")  # control, lone surrogates, line and paragraph ends
_DIRECTIONS = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(text: str) -> str:
    r"""Escape control characters, lone surrogates and changes of direction in a text.

    Parameters
    ----------
    text
        Text of any characters; line ends and tabs stay.

    Examples
    --------
    >>> printable("a\x1b[31mb"), printable("γ* [bold]")
    ('a\\x1b[31mb', 'γ* [bold]')
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(character) for character in text)


def _escape(character: str) -> str:
    escaped = character in _DIRECTIONS or (
        character not in _KEPT and unicodedata.category(character) in _ESCAPED_CATEGORIES
    )
    return ascii(character)[1:-1] if escaped else character


@dataclass(frozen=True)
class Shown:
    """Display of a record: heading, facts, a table and sentences.

    Attributes
    ----------
    heading
        Heading in one line.
    facts
        Names and values of single numbers.
    columns, rows
        Names of the table's columns, and its rows.
    sentence
        Sentence below the table.
    lead
        Sentence with the outcome, between the heading and the facts.

    Examples
    --------
    >>> shown = Shown("a < b", [("margin", 0.5)], ["claim", "holds"], [["every", True]], "Done.")
    >>> print(shown.text())
    a < b
      margin  0.5
      claim  holds
      every  yes
    Done.
    >>> "a &lt; b" in shown.html()
    True
    """

    heading: str
    facts: Sequence[tuple[str, Any]] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = ()
    sentence: str = field(default="")
    lead: str = field(default="")

    def text(self) -> str:
        """Return the display as lines of text, with the first rows of a long table."""
        lines = [self.heading, *textwrap.wrap(self.lead, 100)]
        lines += _aligned([[name, short(value)] for name, value in self.facts])
        rows = [[short(cell) for cell in row] for row in self.rows[:MOST_ROWS]]
        lines += _aligned([list(self.columns), *rows] if rows else [])
        if len(self.rows) > MOST_ROWS:
            lines.append(f"  … and {len(self.rows) - MOST_ROWS} more")
        return printable("\n".join([*lines, self.sentence] if self.sentence else lines))

    def html(self) -> str:
        """Return the display as HTML without external resources."""
        facts = "".join(
            f'<tr><th style="{_CELL}; font-weight: normal; opacity: 0.75">{_safe(name)}</th>'
            f"{_cell(value)}</tr>"
            for name, value in self.facts
        )
        parts = [f"<p style='margin: 0 0 0.3em'><strong>{_safe(self.heading)}</strong></p>"]
        if self.lead:
            parts.append(f"<p style='margin: 0 0 0.3em'>{_safe(self.lead)}</p>")
        if facts:
            parts.append(
                f'<table style="border-collapse: collapse; margin: 0; color: inherit">{facts}</table>'
            )
        if self.rows:
            parts.append(self._table(self.rows[:MOST_ROWS]))
        if len(self.rows) > MOST_ROWS:
            more = len(self.rows) - MOST_ROWS
            parts.append(
                f"<details><summary>{more} more</summary>{self._table(self.rows[MOST_ROWS:])}</details>"
            )
        if self.sentence:
            parts.append(f"<p style='margin: 0.3em 0 0'>{_safe(self.sentence)}</p>")
        return f'<div class="marginlens">{"".join(parts)}</div>'

    def _table(self, rows: Sequence[Sequence[Any]]) -> str:
        head = "".join(
            f'<th scope="col" style="{_CELL}; {_LINE}">{_safe(name)}</th>' for name in self.columns
        )
        body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
        return (
            '<table style="border-collapse: collapse; margin: 0.4em 0 0; color: inherit; '
            "font-variant-numeric: "
            f'tabular-nums"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        )


def frame_of(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Table of records: a pandas DataFrame where pandas is installed, else a pyarrow Table.

    Parameters
    ----------
    rows
        Records, one a row, all with the same names; values are plain.

    Examples
    --------
    >>> frame_of([{"step": 0, "loss": 1.5}, {"step": 10, "loss": 0.5}]).shape
    (2, 2)
    """
    if find_spec("pandas") is not None:
        import pandas as pd

        return pd.DataFrame(list(rows))
    import pyarrow as pa

    return pa.Table.from_pylist(list(rows))


class Displayed:
    """Base of records that print as a table, display in notebooks, and convert to values."""

    def shown(self) -> Shown:
        """Return heading, facts and table of the display: by default all single values."""
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(self).__name__).lower()
        single = (str, int, float)
        facts = [
            (n.replace("_", " "), v) for n, v in self.to_dict().items() if isinstance(v, single)
        ]
        return Shown(words, facts)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold: by default the fields that are single values."""
        single = (str, int, float, type(None))
        values = {one.name: getattr(self, one.name) for one in fields(cast("Any", self))}
        return {name: value for name, value in values.items() if isinstance(value, single)}

    def to_records(self) -> list[dict[str, Any]]:
        """Rows of :meth:`to_frame` as plain values: by default one row of all single values."""
        single = (str, int, float, type(None))
        return [
            {name: value for name, value in self.to_dict().items() if isinstance(value, single)}
        ]

    def to_frame(self) -> Any:
        """Table of the record: a pandas DataFrame where pandas is installed, else a pyarrow Table."""
        return frame_of(self.to_records())

    def __str__(self) -> str:
        return self.shown().text()

    def _repr_html_(self) -> str:
        return self.shown().html()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        shown = self.shown()
        return {"text/plain": shown.text(), "text/html": shown.html()}


def _cell(value: Any) -> str:
    """Return a table cell; a number is not broken across lines."""
    style = f"{_CELL}; white-space: nowrap" if isinstance(value, int | float) else _CELL
    return f'<td style="{style}">{_safe(short(value))}</td>'


def _safe(text: str) -> str:
    return html.escape(text, quote=True)


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
