"""Tables for a terminal of any width, with all cells and with unbroken numbers.

A table that does not fit, even with wrapped texts, is printed turned: one line for each column, with as
many rows side by side as fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from marginlens.cli.console import BREAKS, printable, wrapped

__all__ = ["Facts", "Table"]

_LONGEST_NUMBER = 24  # characters of the longest float64; longer words may be folded
_FEWEST = 12  # cells that a text in a turned table has at least
_GAP = 2


class Table:
    """Table with a title, columns and rows of text, printed by a Rich console.

    Parameters
    ----------
    columns
        Headings of the columns.
    title
        Line above the table; omitted by default.
    caption
        Sentence below the table; omitted by default.
    row_name
        Word for a row of a turned table, such as "row", which gets a number. By default the first
        column names the rows.
    """

    def __init__(
        self,
        *columns: str,
        title: str | None = None,
        caption: str | None = None,
        row_name: str | None = None,
    ) -> None:
        self.columns = columns
        self.title, self.caption, self.row_name = title, caption, row_name
        self.rows: list[tuple[list[Text], str]] = []

    def add_row(self, *cells: str | Text, style: str = "") -> None:
        """Add a row.

        Parameters
        ----------
        *cells
            One text for each column.
        style
            Rich style of the whole row.
        """
        if len(cells) != len(self.columns):
            raise TypeError(f"a row has {len(self.columns)} cells, got {len(cells)}")
        self.rows.append(([_text(cell) for cell in cells], style))

    def fits(self, width: int) -> bool:
        """Whether the table fits a width, with its texts wrapped.

        Parameters
        ----------
        width
            Width of the terminal in characters.
        """
        return sum(self._least()) + self._borders() <= width

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        if self.fits(options.max_width):
            yield self._upright(options.max_width)
        else:
            yield from self._turned(options.max_width)

    def _borders(self) -> int:
        return 3 * len(self.columns) + 1

    def _lines(self, index: int) -> list[str]:
        heading = printable(self.columns[index])
        return [heading, *(row[index].plain for row, _ in self.rows)]

    def _least(self) -> list[int]:
        """Least widths of the columns that break no word of ordinary length."""
        return [
            max(min(_longest_word(line), _LONGEST_NUMBER) for line in self._lines(index))
            for index in range(len(self.columns))
        ]

    def _upright(self, width: int) -> RenderableType:
        least = self._least()
        most = [
            max(_longest_line(line) for line in self._lines(index))
            for index in range(len(self.columns))
        ]
        widths = _narrowed(most, least, width - self._borders())
        drawn = RichTable(title=self.title, caption=self.caption, caption_justify="left")
        for name, wide in zip(self.columns, widths, strict=True):
            drawn.add_column(wrapped(_text(name), wide), width=wide, overflow="fold")
        for cells, style in self.rows:
            drawn.add_row(
                *(wrapped(cell, wide) for cell, wide in zip(cells, widths, strict=True)),
                style=style or None,
            )
        return drawn

    def _turned(self, width: int) -> Iterator[RenderableType]:
        names = [printable(name) for name in self.columns]
        label = min(max(_longest_line(name) for name in names), max(_FEWEST, width // 2))
        room = max(_FEWEST, width - label - _GAP)
        if self.title:
            yield wrapped(Text(printable(self.title), style="table.title"), width)
        heads = [f"{self.row_name} {i + 1}" for i in range(len(self.rows))] if self.row_name else []
        start = 0
        while start < len(self.rows):
            wide, stop = 0, start
            while stop < len(self.rows):
                cells = [cell.plain for cell in self.rows[stop][0]]
                lines = [*cells, *heads[stop : stop + 1]]
                more = max(map(_longest_line, lines)) + (_GAP if stop > start else 0)
                if stop > start and wide + more > room:
                    break
                wide, stop = wide + more, stop + 1
            if start:
                yield Text("")
            yield self._block(names, label, heads, start, stop, room)
            start = stop
        if self.caption:
            yield wrapped(Text(printable(self.caption), style="table.caption"), width)

    def _block(
        self, names: list[str], label: int, heads: list[str], start: int, stop: int, room: int
    ) -> RenderableType:
        grid = RichTable.grid(padding=(0, _GAP, 0, 0))
        grid.add_column(style="table.header", width=label, overflow="fold")
        for _ in range(start, stop):
            grid.add_column(overflow="fold")
        if heads:
            grid.add_row("", *(Text(head, style="table.header") for head in heads[start:stop]))
        for index, name in enumerate(names):
            cells = (wrapped(cells[index], room) for cells, _ in self.rows[start:stop])
            grid.add_row(wrapped(Text(name), label), *cells)
        return grid


class Facts:
    """Names and values, one pair on each line, without borders.

    Parameters
    ----------
    rows
        Pairs of a name and a value.
    """

    def __init__(self, rows: Sequence[tuple[str, str]]) -> None:
        self.rows = [(_text(name), _text(value)) for name, value in rows]

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        label = max((name.cell_len for name, _ in self.rows), default=0)
        room = max(_FEWEST, options.max_width - label - 2 * _GAP)
        grid = RichTable.grid(padding=(0, _GAP))
        grid.add_column(style="bold")
        grid.add_column(overflow="fold")
        for name, value in self.rows:
            grid.add_row(name, wrapped(value, room))
        yield grid


def _text(cell: str | Text) -> Text:
    return cell if isinstance(cell, Text) else Text(printable(cell))


def _longest_line(text: str) -> int:
    return max((Text(line).cell_len for line in text.splitlines()), default=0)


def _longest_word(text: str) -> int:
    words = (word for line in text.splitlines() for word in BREAKS.split(line))
    return max((Text(word).cell_len for word in words), default=0)


def _narrowed(most: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Shrink widths to fit: the widest columns first, each at least its least width.

    Examples
    --------
    >>> _narrowed([30, 8, 20], [10, 8, 6], 36)
    [14, 8, 14]
    """
    widths = list(most)
    while sum(widths) > room:
        able = [i for i in range(len(widths)) if widths[i] > least[i]]
        if not able:
            break
        widths[max(able, key=lambda i: widths[i])] -= 1
    return widths
