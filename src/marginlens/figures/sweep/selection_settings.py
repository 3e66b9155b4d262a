"""Figure of selection laws over two settings, such as width and weight decay."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import cycle
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from marginlens.figures import style
from marginlens.figures.sweep.selection import (
    NEUTRAL,
    SYMBOLS,
    headed,
    legend_below,
    legend_label,
    percent,
    set_label,
)

if TYPE_CHECKING:
    from marginlens.measures import SelectionLaw

__all__ = ["laws_by_setting_figure"]

_OTHERS = "others"
_SPREAD = 0.36  # of the distance of two settings, over which the lines' points are spread


def laws_by_setting_figure(
    laws: Mapping[tuple[Any, Any], SelectionLaw],
    panels: str,
    axis: str,
    title: str,
    *,
    most: int = 6,
) -> go.Figure:
    """Draw each key set's probability against one setting, in a panel per other value.

    The values stand at equal distances, in their order, so that a decay of 0 has a place beside
    powers of ten. Intervals hold for all sets of a law at once; a set that never occurred at a
    setting has one too, but the pooled *others* do not. A set of one feature has that feature's
    colour. Points of different sets are moved aside so that their intervals can be told apart.

    Parameters
    ----------
    laws
        Laws by (value of ``panels``, value of ``axis``), all of one task: `{(2, 1e-4): law, ...}`.
    panels, axis
        Names of the two settings.
    title
        Common properties of the laws, shown unchanged.
    most
        Greatest number of separate key sets, the most frequent over all laws; the rest are pooled.

    Raises
    ------
    ValueError
        The laws are empty, their features differ, or ``most`` is less than 1.
    """
    names = _checked(laws, most)
    shown, rest = _sets(laws.values(), most)
    columns = _in_order({value for _, value in laws})
    values = _in_order({value for value, _ in laws})
    across = min(2, len(values))
    down = -(-len(values) // across)
    figure = make_subplots(
        rows=down,
        cols=across,
        shared_yaxes=True,
        horizontal_spacing=0.05,
        vertical_spacing=0 if down == 1 else min(1 / (down - 1), 96 / (230 * down)),
        subplot_titles=[f"{style.plain(panels)} {_value(value)}" for value in values],
    )
    lines: list[tuple[int, ...] | None] = [*shown, *([None] if rest else [])]
    labels = [_OTHERS if one is None else set_label(one, names) for one in lines]
    entries = [
        legend_label(", ".join(names[i] for i in one)) if one else label
        for one, label in zip(lines, labels, strict=True)
    ]
    looks = _looks(lines, len(names))
    for rank, (line, label, look) in enumerate(zip(lines, labels, looks, strict=True)):
        shift = _SPREAD * ((rank + 0.5) / len(lines) - 0.5)
        for place, panel in enumerate(values):
            here = [
                (i, value, laws[panel, value])
                for i, value in enumerate(columns)
                if (panel, value) in laws
            ]
            points = [_point(law, line, shown) for _, _, law in here]
            figure.add_scatter(
                x=[i + shift for i, _, _ in here],
                y=[p for _, p, _, _ in points],
                mode="lines+markers",
                name=entries[rank],
                legendgroup=str(rank),
                showlegend=place == 0,
                **look,
                error_y=None
                if line is None
                else {
                    "type": "data",
                    "thickness": 1.2,
                    "width": 0,
                    "color": look["line"]["color"],
                    "array": [high - p for _, p, _, high in points],
                    "arrayminus": [p - low for _, p, low, _ in points],
                },
                customdata=[
                    f"key set: {label}<br>{style.plain(axis)} {_value(value)}: {count} of {law.runs}"
                    f" runs, {percent(p)}"
                    + ("" if line is None else f"<br>{percent(low)} to {percent(high)}")
                    for (_, value, law), (count, p, low, high) in zip(here, points, strict=True)
                ],
                hovertemplate="%{customdata}<extra></extra>",
                row=place // across + 1,
                col=place % across + 1,
            )
    ticks = [_value(value) for value in columns]
    figure.update_annotations(font={"size": 13})
    figure.update_yaxes(tickformat=".0%", range=[-0.02, 1.04])
    figure.update_yaxes(title_text="probability", col=1)
    figure.update_xaxes(
        title_text=style.plain(axis),
        range=[-0.5, len(columns) - 0.5],
        tickvals=list(range(len(columns))),
        ticktext=ticks,
        tickangle=0 if sum(map(len, ticks)) < 40 // across else -90,
    )
    legend = legend_below(figure, entries)
    note = _note(list(laws.values()), len(rest), shown)
    below = 62 + legend
    return headed(figure, title, note, height=230 * down + below, legend=24, below=below)


def _checked(laws: Mapping[tuple[Any, Any], SelectionLaw], most: int) -> tuple[str, ...]:
    """Names of the features, of which all laws have the same."""
    if not laws:
        raise ValueError("expected at least one selection law to draw; choose other members")
    if most < 1:
        raise ValueError(f"most: expected at least 1, got {most}; for example 6")
    first, *others = laws.values()
    if any(law.features != first.features for law in others):
        raise ValueError("the laws are of tasks with different features; choose one task")
    return first.features


def _sets(
    laws: Iterable[SelectionLaw], most: int
) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Return the key sets of greatest mean probability, small ones first, and the rest."""
    weight: defaultdict[tuple[int, ...], float] = defaultdict(float)
    for law in laws:
        for one in law.sets:
            weight[one.features] += one.probability
    ranked = sorted(weight, key=lambda one: (-round(weight[one], 12), len(one), one))
    return sorted(ranked[:most], key=lambda one: (len(one), one)), ranked[most:]


def _point(
    law: SelectionLaw, line: tuple[int, ...] | None, shown: list[tuple[int, ...]]
) -> tuple[int, float, float, float]:
    """Return count, probability and interval of a key set, or the pooled count of the rest."""
    if line is None:
        count = sum(one.count for one in law.sets if one.features not in shown)
        return count, count / law.runs, math.nan, math.nan
    for one in law.sets:
        if one.features == line:
            return one.count, one.probability, one.simultaneous_low, one.simultaneous_high
    return 0, 0.0, 0.0, law.unseen_high


def _looks(lines: list[tuple[int, ...] | None], total: int) -> list[dict[str, Any]]:
    """Return colour, dash and symbol of each line: a single feature's colour, else grey."""
    own: dict[tuple[int, ...], str] = {
        one: style.feature_color(one[0], total) for one in lines if one and len(one) == 1
    }
    free = cycle([color for color in style.CATEGORICAL[:-1] if color not in own.values()])
    looks: list[dict[str, Any]] = []
    for one, symbol in zip(lines, cycle(SYMBOLS), strict=False):
        color = NEUTRAL if not one else own.get(one) or next(free)
        dash = "dash" if one is None else "dot" if one == () else "solid"
        looks.append(
            {
                "line": {"color": color, "width": 2, "dash": dash},
                "marker": {"color": color, "size": 7, "symbol": symbol},
            }
        )
    return looks


def _in_order(values: Iterable[Any]) -> list[Any]:
    """Sort missing values first, then numbers by size, then words by letter."""

    def place(value: Any) -> tuple[int, Any]:
        if value is None:
            return 0, 0
        return (1, value) if isinstance(value, int | float) else (2, str(value))

    return sorted(values, key=place)


def _value(value: object) -> str:
    if isinstance(value, float):
        return style.number(value, 6)
    return "–" if value is None else style.plain(value)


def _note(laws: list[SelectionLaw], rest: int, shown: list[tuple[int, ...]]) -> str:
    runs = sorted({law.runs for law in laws})
    span = f"{runs[0]:,}" if len(runs) == 1 else f"{runs[0]:,} to {runs[-1]:,}"
    note = (
        f"A line is a key set; {span} run{'s' * (runs[-1] != 1)} a point, "
        f"{percent(laws[0].confidence)} intervals, of all sets together."
    )
    if () in shown:
        note += " None: no feature is key."
    return note + (f" Others: {rest} more key set{'s' * (rest != 1)}." if rest else "")
