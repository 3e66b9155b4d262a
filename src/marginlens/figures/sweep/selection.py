"""Labels, colours and headings of the figures of selection laws."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from marginlens.figures import style

__all__ = [
    "EMPTY",
    "NEUTRAL",
    "SYMBOLS",
    "headed",
    "legend_below",
    "legend_label",
    "percent",
    "set_label",
]

NEUTRAL = style.START
"""What is no single feature's: a key set of several features, or of none."""
EMPTY = "none"
"""The empty key set, in words."""

SYMBOLS = (
    "circle",
    "square",
    "diamond",
    "triangle-up",
    "triangle-down",
    "star",
    "hexagon",
    "cross",
)
"""One symbol a line, so that lines are told apart without their colours."""

_COLUMNS = 40  # characters of a title's line in a column of 380 pixels
_WIDTH = 300  # pixels of a plot in that column
_LABEL = 40  # characters of a line of a legend
_SMALL = 56  # the same, of the smaller line below it


def set_label(features: Sequence[int], names: Sequence[str]) -> str:
    """Return the label of a key set for an axis or a legend, escaped.

    Examples
    --------
    >>> set_label((0, 1), ("k=1", "k=2")), set_label((), ("k=1", "k=2"))
    ('k=1, k=2', 'none')
    """
    return style.plain(", ".join(names[index] for index in features)) if features else EMPTY


def percent(share: float) -> str:
    r"""Format a share for readers; a dash if unknown.

    Examples
    --------
    >>> percent(0.62) == "62\N{NO-BREAK SPACE}%", percent(float("nan"))
    (True, '–')
    """
    return "–" if np.isnan(share) else f"{100 * share:.4g}\N{NO-BREAK SPACE}%"


def headed(
    figure: go.Figure, title: str, note: str, *, height: int, legend: int = 0, below: int = 52
) -> go.Figure:
    """Add a title above and a note below a figure, in columns of 380 pixels.

    Parameters
    ----------
    figure
        Figure that receives the heading.
    title
        Title of any characters, shown unchanged.
    note
        Reading instructions of the figure.
    height
        Height of the plot with the space below it, in pixels; the heading is added to it.
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


def legend_label(text: str) -> str:
    """Return a legend label, escaped, in lines that fit 380 pixels.

    Examples
    --------
    >>> legend_label("frequencies that carry 95 % of the logits: 2 ln p")
    'frequencies that carry 95 % of the<br>logits: 2 ln p'
    """
    lines = textwrap.wrap(text, _LABEL, break_on_hyphens=False)
    return "<br>".join(style.plain(line) for line in lines or [""])


def legend_below(figure: go.Figure, labels: Sequence[str]) -> int:
    """Place the legend below the plot; return its height in a column of 380 pixels."""
    used, tallest, lines = _WIDTH, 0, 0
    for label in labels:
        parts = label.split("<br>")
        width = 56 + 7 * max(map(len, parts))
        if used + width > _WIDTH:
            used, lines, tallest = 0, lines + tallest, 0
        used, tallest = used + width, max(tallest, len(parts))
    figure.update_layout(legend={"yref": "container", "y": 0, "yanchor": "bottom", "x": 0})
    return 21 * (lines + tallest) + 10
