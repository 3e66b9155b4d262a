"""What the figures of selection laws share: names of key sets, their colours, titles that fit."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import plotly.graph_objects as go

from marginlens.figures import style

__all__ = ["EMPTY", "NEUTRAL", "headed", "percent", "set_label", "symbols"]

NEUTRAL = style.START
"""What is no single feature's: a key set of several features, or of none."""
EMPTY = "none"
"""The empty key set, in words."""

symbols = (
    "circle", "square", "diamond", "triangle-up", "triangle-down", "star", "hexagon", "cross",
)  # fmt: skip
"""One symbol a line, so that lines are told apart without their colours."""

_COLUMNS = 40  # characters of a title's line in a column of 380 pixels
_SMALL = 56  # the same, of the smaller line below it


def set_label(features: Sequence[int], names: Sequence[str]) -> str:
    """Name a key set on an axis or in a legend, safe to show.

    Examples
    --------
    >>> set_label((0, 1), ("k=1", "k=2")), set_label((), ("k=1", "k=2"))
    ('k=1, k=2', 'none')
    """
    return style.plain(", ".join(names[index] for index in features)) if features else EMPTY


def percent(share: float) -> str:
    """Write a share as people read it.

    Examples
    --------
    >>> percent(0.62), percent(0.9999), percent(0.0)
    ('62 %', '99.99 %', '0 %')
    """
    return f"{100 * share:.4g}\N{NO-BREAK SPACE}%"


def headed(
    figure: go.Figure, title: str, note: str, *, height: int, legend: int = 0, below: int = 52
) -> go.Figure:
    """Give a figure a title and a note below it, both broken to fit a column of 380 pixels.

    Parameters
    ----------
    figure
        What to head.
    title
        Anything a person wrote: it is shown as it is.
    note
        How to read it, in the words of the figure's function.
    height
        Of the plot with the space below it, in pixels; the heading is added to it.
    legend
        Height of a legend between the heading and the plot, in pixels.
    below
        Height of the labels under the plot, in pixels.
    """
    lines = [style.plain(line) for line in textwrap.wrap(title, _COLUMNS) or [""]]
    small = textwrap.wrap(note, _SMALL, break_on_hyphens=False)
    text = "<br>".join(lines)
    text += "".join(f'<br><span style="font-size:12px">{line}</span>' for line in small)
    top = 24 + 21 * len(lines) + 21 * len(small) + legend
    style.styled(figure, "", height=height + top)
    figure.update_layout(
        title={
            "text": text,
            "x": 0,
            "xref": "container",
            "yref": "container",
            "yanchor": "top",
            "y": 1 - 30 / (height + top),
            "pad": {"l": 16},
        },
        margin={"t": top, "b": below},
    )
    return figure
