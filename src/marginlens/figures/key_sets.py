"""Key sets against what was varied: how the law of selection moves with width and decay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from marginlens.figures import style
from marginlens.figures.selection import (
    NEUTRAL,
    SYMBOLS,
    headed,
    legend_below,
    percent,
    proportion_interval,
    set_label,
)

if TYPE_CHECKING:
    from marginlens.measures import SelectionLaw

__all__ = ["key_sets_by_setting_figure"]

_OTHERS = "others"
_SPREAD = 0.36  # of the distance of two settings, over which the lines' points are spread


def key_sets_by_setting_figure(
    laws: Mapping[tuple[Any, ...], SelectionLaw],
    settings: Sequence[str],
    title: str,
    *,
    most: int = 6,
) -> go.Figure:
    """Draw the probability of each key set against the last setting, a panel for each of the rest.

    The settings' values stand at equal distances, in their order, so that a decay of 0 has a place
    beside powers of ten. Intervals are those of Clopper and Pearson at the laws' confidence, each
    one for itself; a set that never occurred at a setting has one too. Points of different sets are
    moved aside so that their intervals can be told apart.

    Parameters
    ----------
    laws
        A law for each tuple of the settings' values, all of one task: `{(2, 1e-4): law, ...}`.
    settings
        Names of the settings: `("width", "strength")`. One alone gives one panel.
    title
        Task and activation: shown as it is.
    most
        Key sets to show on their own, the most frequent over all laws; the rest are pooled.

    Raises
    ------
    ValueError
        If there is no law, a tuple has not one value a setting, or the laws' features differ.
    """
    first = _checked(laws, settings, most)
    shown, rest = _sets(laws.values(), most)
    columns = _in_order({values[-1] for values in laws})
    panels = _in_order({values[:-1] for values in laws})
    across = min(2, len(panels))
    down = -(-len(panels) // across)
    figure = make_subplots(
        rows=down, cols=across, shared_yaxes=True, horizontal_spacing=0.05,
        vertical_spacing=0 if down == 1 else min(1 / (down - 1), 62 / (230 * down)),
        subplot_titles=[_panel(settings, panel) for panel in panels] if len(settings) > 1 else None,
    )  # fmt: skip
    lines: list[tuple[int, ...] | None] = [*shown, *([None] if rest else [])]
    labels = [_OTHERS if one is None else set_label(one, first.features) for one in lines]
    looks = _looks(lines, len(first.features))
    for rank, (line, label, look) in enumerate(zip(lines, labels, looks, strict=True)):
        shift = _SPREAD * ((rank + 0.5) / len(lines) - 0.5)
        for place, panel in enumerate(panels):
            here = {
                i: laws[(*panel, value)]
                for i, value in enumerate(columns)
                if (*panel, value) in laws
            }
            counts = [_count(law, line, shown) for law in here.values()]
            runs = [law.runs for law in here.values()]
            probability = [count / n for count, n in zip(counts, runs, strict=True)]
            bounds = [
                proportion_interval(count, law.runs, law.confidence)
                for count, law in zip(counts, here.values(), strict=True)
            ]
            figure.add_scatter(
                x=[i + shift for i in here], y=probability, mode="lines+markers",
                name=label, legendgroup=label, showlegend=place == 0, **look,
                error_y={
                    "type": "data", "thickness": 1.2, "width": 0, "color": look["line"]["color"],
                    "array": [high - p
                              for (_, high), p in zip(bounds, probability, strict=True)],
                    "arrayminus": [p - low
                                   for (low, _), p in zip(bounds, probability, strict=True)],
                },
                customdata=[
                    f"key set: {label}<br>{style.plain(settings[-1])} {_value(columns[i])}: {count}"
                    f" of {n} runs, {percent(count / n)}<br>{percent(low)} to {percent(high)}"
                    for i, count, n, (low, high) in zip(here, counts, runs, bounds, strict=True)
                ],
                hovertemplate="%{customdata}<extra></extra>",
                row=place // across + 1, col=place % across + 1,
            )  # fmt: skip
    figure.update_annotations(font={"size": 13})
    figure.update_yaxes(tickformat=".0%", range=[-0.02, 1.04])
    figure.update_yaxes(title_text="probability", col=1)
    ticks = [_value(value) for value in columns]
    figure.update_xaxes(
        range=[-0.5, len(columns) - 0.5], tickvals=list(range(len(columns))),
        ticktext=ticks, tickangle=0 if sum(map(len, ticks)) < 40 // across else -90,
    )  # fmt: skip
    for column in range(1, across + 1):
        last = max(i for i in range(len(panels)) if i % across == column - 1) // across + 1
        figure.update_xaxes(title_text=style.plain(settings[-1]), row=last, col=column)
    legend = legend_below(figure, labels)
    note = _note(list(laws.values()), len(rest), shown)
    return headed(
        figure, title, note, height=230 * down + 62 + legend, legend=24, below=62 + legend
    )


def _checked(
    laws: Mapping[tuple[Any, ...], SelectionLaw], settings: Sequence[str], most: int
) -> SelectionLaw:
    if not laws:
        raise ValueError("there is no law to draw; give at least one, such as {(2, 1e-4): law}")
    if most < 1:
        raise ValueError(f"most must be at least 1, got {most}; 6 fit")
    for values in laws:
        if not settings or len(values) != len(settings):
            raise ValueError(
                f"each law needs one value a setting, {', '.join(settings) or 'none given'}; "
                f"got {values!r}, a good one is (2, 1e-4) for width and strength"
            )
    first, *others = laws.values()
    if any(law.features != first.features for law in others):
        raise ValueError("the laws are of tasks with different features; draw one task a figure")
    return first


def _sets(
    laws: Iterable[SelectionLaw], most: int
) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """The key sets of greatest mean probability, small ones first, and those beyond ``most``."""
    weight: Counter[tuple[int, ...]] = Counter()
    for law in laws:
        for one in law.sets:
            weight[one.features] += one.probability
    ranked = sorted(weight, key=lambda one: (-round(weight[one], 12), len(one), one))
    return sorted(ranked[:most], key=lambda one: (len(one), one)), ranked[most:]


def _count(law: SelectionLaw, line: tuple[int, ...] | None, shown: list[tuple[int, ...]]) -> int:
    """Runs whose key set is the line's, or none of those shown."""
    if line is None:
        return sum(one.count for one in law.sets if one.features not in shown)
    return sum(one.count for one in law.sets if one.features == line)


def _looks(lines: list[tuple[int, ...] | None], total: int) -> list[dict[str, Any]]:
    """Colour, dash and symbol of each line: a single feature's own colour, grey for none."""
    own: dict[tuple[int, ...], str] = {
        one: style.feature_color(one[0], total) for one in lines if one and len(one) == 1
    }
    free = cycle([color for color in style.CATEGORICAL[:-1] if color not in own.values()])
    looks: list[dict[str, Any]] = []
    for one, symbol in zip(lines, cycle(SYMBOLS), strict=False):
        color = NEUTRAL if not one else own.get(one) or next(free)
        dash = "dash" if one is None else "dot" if one == () else "solid"
        looks.append({
            "line": {"color": color, "width": 2, "dash": dash},
            "marker": {"color": color, "size": 7, "symbol": symbol},
        })  # fmt: skip
    return looks


def _in_order(values: Iterable[Any]) -> list[Any]:
    """Numbers by size, words by letter, what is missing first; in tuples one after the other."""

    def place(value: Any) -> tuple[Any, ...]:
        if isinstance(value, tuple):
            return (3, tuple(place(one) for one in value))
        if value is None:
            return (0, 0)
        return (1, value) if isinstance(value, int | float) else (2, str(value))

    return sorted(values, key=place)


def _value(value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return style.number(value, 6)
    return "–" if value is None else style.plain(value)


def _panel(settings: Sequence[str], panel: tuple[Any, ...]) -> str:
    named = zip(settings, panel, strict=False)
    return ", ".join(f"{style.plain(name)} {_value(value)}" for name, value in named)


def _note(laws: list[SelectionLaw], rest: int, shown: list[tuple[int, ...]]) -> str:
    runs = sorted({law.runs for law in laws})
    span = f"{runs[0]:,}" if len(runs) == 1 else f"{runs[0]:,} to {runs[-1]:,}"
    note = (
        f"A line is a key set; {span} run{'s' * (runs[-1] != 1)} a point, "
        f"{percent(laws[0].confidence)} intervals, each for itself."
    )
    if () in shown:
        note += " None: no feature is key."
    return note + (f" Others: {rest} more key set{'s' * (rest != 1)}." if rest else "")
