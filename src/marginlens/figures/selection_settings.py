"""How a selection law moves with two settings, such as width and weight decay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from marginlens.figures import style
from marginlens.figures.selection import NEUTRAL, headed, percent, set_label, symbols

if TYPE_CHECKING:
    from marginlens.measures import SelectionLaw

__all__ = ["laws_by_setting_figure"]

_LINES = 8


def laws_by_setting_figure(
    laws: Mapping[tuple[Any, Any], SelectionLaw], panels: str, axis: str, title: str
) -> go.Figure:
    """Draw the probability of each key set against one setting, in a panel for each value of another.

    Vertical lines are 95 % intervals that hold for all sets of a law at once. A set of one feature has
    that feature's colour; sets are also told apart by their symbols.

    Parameters
    ----------
    laws
        By (value of ``panels``, value of ``axis``).
    panels, axis
        Names of the two settings.
    title
        What else they have in common: shown as it is.

    Raises
    ------
    ValueError
        If there is no law.
    """
    if not laws:
        raise ValueError("there is no law to draw; choose other members")
    rows = sorted({row for row, _ in laws}, key=_order)
    places = sorted({place for _, place in laws}, key=_order)
    total: dict[tuple[int, ...], int] = {}
    for law in laws.values():
        for one in law.sets:
            total[one.features] = total.get(one.features, 0) + one.count
    shown = sorted(total, key=lambda one: (-total[one], len(one), one))[:_LINES]
    names = next(iter(laws.values())).features
    figure = make_subplots(
        rows=1, cols=len(rows), shared_yaxes=True, horizontal_spacing=0.04,
        subplot_titles=[f"{style.plain(panels)} {style.plain(row)}" for row in rows],
    )  # fmt: skip
    for line, features in enumerate(shown):
        color = style.feature_color(features[0], len(names)) if len(features) == 1 else NEUTRAL
        spread = 0.06 * (line - (len(shown) - 1) / 2)
        for column, row in enumerate(rows, start=1):
            found = [laws.get((row, place)) for place in places]
            points = [
                (x + spread, next((s for s in law.sets if s.features == features), None), law)
                for x, law in enumerate(found)
                if law is not None
            ]
            share = [0.0 if one is None else one.probability for _, one, _ in points]
            low = [0.0 if one is None else one.simultaneous_low for _, one, _ in points]
            high = [p if one is None else one.simultaneous_high
                    for (_, one, _), p in zip(points, share, strict=True)]  # fmt: skip
            figure.add_scatter(
                x=[x for x, _, _ in points], y=share, mode="lines+markers",
                name=set_label(features, names), legendgroup=str(line), showlegend=column == 1,
                line={"color": color, "width": 1.5, "dash": "solid" if features else "dot"},
                marker={"color": color, "size": 9, "symbol": symbols[line % len(symbols)]},
                error_y={
                    "type": "data", "color": color, "thickness": 1.5, "width": 0,
                    "array": [h - p for h, p in zip(high, share, strict=True)],
                    "arrayminus": [p - lo for p, lo in zip(share, low, strict=True)],
                },
                customdata=[
                    f"{set_label(features, names)}: {0 if one is None else one.count} of {law.runs} "
                    f"runs, {percent(p)}" for (_, one, law), p in zip(points, share, strict=True)
                ],
                hovertemplate="%{customdata}<extra></extra>", row=1, col=column,
            )  # fmt: skip
    figure.update_xaxes(
        tickvals=list(range(len(places))), ticktext=[style.plain(place) for place in places],
        range=[-0.5, len(places) - 0.5], title_text=style.plain(axis),
    )  # fmt: skip
    figure.update_yaxes(range=[-0.02, 1.02], tickformat=".0%")
    figure.update_yaxes(title_text="probability of the key set", col=1)
    figure.update_layout(legend={"y": 1.12})
    note = "Lines: 95 % intervals, of all sets of a law together."
    if len(total) > len(shown):
        note += f" The {len(shown)} most frequent of {len(total)} sets."
    return headed(figure, title, note, height=330, legend=52, below=60)


def _order(value: Any) -> tuple[int, Any]:
    return (0, value) if isinstance(value, int | float) else (1, str(value))
