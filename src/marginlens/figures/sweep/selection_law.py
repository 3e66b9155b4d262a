"""Figure of one selection law: probabilities of key sets and features."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from marginlens.figures import style
from marginlens.figures.sweep.selection import NEUTRAL, headed, percent, set_label

if TYPE_CHECKING:
    from marginlens.measures import SelectionLaw

__all__ = ["law_figure"]

_FAINT = "rgba(138,147,163,0.22)"  # a feature that is not in the set; seen on white and on dark


def law_figure(law: SelectionLaw, title: str, *, most: int = 20) -> go.Figure:
    """Draw the probability of each key set (top), its features, and of each feature (left).

    It is an UpSet plot (Lex et al. 2014): a column is a key set, the most frequent first, its dots
    are its features. A column without dots is the empty set. Intervals of sets hold simultaneously,
    those of features one at a time. Sets beyond ``most`` are only counted, in a last column;
    features that are in none of the sets shown have no row.

    Parameters
    ----------
    law
        Selection law of one configuration.
    title
        Name of the configuration, shown unchanged.
    most
        Greatest number of key sets with separate columns.

    Raises
    ------
    ValueError
        The number ``most`` is less than 1.
    """
    if most < 1:
        raise ValueError(f"most: expected at least 1, got {most}; for example 20")
    shown, rest = law.sets[:most], law.sets[most:]
    rows = sorted({index for one in shown for index in one.features})
    row_of = {index: row for row, index in enumerate(rows)}
    names = [style.plain(name) for name in law.features]
    step = 26 if len(rows) <= 12 else 18
    upper, lower = 210, max(1, len(rows)) * step + 10
    figure = make_subplots(
        rows=2,
        cols=2,
        column_widths=[0.27, 0.73],
        row_heights=[upper, lower],
        horizontal_spacing=0.03,
        vertical_spacing=14 / (upper + lower + 14),
        specs=[[None, {}], [{}, {}]],
    )
    _sets(figure, law, shown, rest)
    _matrix(figure, law, shown, row_of)
    _features(figure, law, rows, names)
    columns = len(shown) + bool(rest)
    ticks = {i: set_label((), ()) for i, one in enumerate(shown) if not one.features}
    if rest:
        ticks[len(shown)] = "others"
    across: dict[str, Any] = {"range": [-0.6, columns - 0.4], "showline": False, "ticks": ""}
    figure.update_xaxes(**across, showticklabels=False, row=1, col=2)
    figure.update_xaxes(
        **across,
        tickvals=list(ticks),
        ticktext=list(ticks.values()),
        row=2,
        col=2,
        tickangle=0 if columns <= 6 else -90,
        title_text="key set",
    )
    down: dict[str, Any] = {"range": [max(1, len(rows)) - 0.5, -0.5], "showgrid": False}
    figure.update_yaxes(
        **down,
        tickvals=list(range(len(rows))),
        ticktext=[names[index] for index in rows],
        ticks="",
        row=2,
        col=1,
    )
    figure.update_yaxes(**down, showticklabels=False, ticks="", row=2, col=2)
    figure.update_yaxes(
        title_text="probability", tickformat=".0%", range=[0, _roof(law)], row=1, col=2
    )
    figure.update_xaxes(
        title_text="feature is key",
        tickformat=".0%",
        nticks=3,
        tickangle=0,
        row=2,
        col=1,
        range=[0, 1.04 * float(np.max(np.asarray(law.feature_high)[rows], initial=0.1))],
    )
    figure.update_layout(bargap=0.3, showlegend=False)
    return headed(figure, title, _note(law, rows), height=upper + lower + 14 + 62, below=62)


def _note(law: SelectionLaw, rows: list[int]) -> str:
    runs = f"{law.runs:,} run" + "s" * (law.runs != 1)
    note = (
        f"{runs}; lines: {percent(law.confidence)} intervals, of the sets together, "
        "of the features one by one."
    )
    if len(rows) < len(law.features):
        note += f" {len(rows)} of {len(law.features)} features are in the sets shown."
    return note


def _roof(law: SelectionLaw) -> float:
    shown = [one.simultaneous_high for one in law.sets]
    return 1.06 * min(1.0, max(shown, default=1.0))


def _sets(figure: go.Figure, law: SelectionLaw, shown: Any, rest: Any) -> None:
    """Bars of the sets' probabilities, the pooled last, with the sets' intervals."""
    probability = np.array([one.probability for one in shown])
    label = [set_label(one.features, law.features) for one in shown]
    about = [
        f"key set: {name}<br>{one.count} of {law.runs} runs, {percent(one.probability)}"
        f"<br>alone {percent(one.low)} to {percent(one.high)}"
        f"<br>all sets together {percent(one.simultaneous_low)}"
        f" to {percent(one.simultaneous_high)}"
        for one, name in zip(shown, label, strict=True)
    ]
    figure.add_bar(
        x=list(range(len(shown))),
        y=probability,
        customdata=about,
        name="key sets",
        marker_color=NEUTRAL,
        marker_line_width=0,
        row=1,
        col=2,
        hovertemplate="%{customdata}<extra></extra>",
    )
    if rest:
        share = percent(sum(one.count for one in rest) / law.runs)
        figure.add_annotation(
            x=len(shown),
            y=0,
            yanchor="bottom",
            textangle=-90,
            yshift=4,
            row=1,
            col=2,
            text=f"{len(rest)} more: {share}",
        )
    low = np.array([one.simultaneous_low for one in shown])
    high = np.array([one.simultaneous_high for one in shown])
    figure.add_scatter(
        x=list(range(len(shown))),
        y=probability,
        mode="markers",
        name="intervals of sets",
        marker={"size": 1},
        hoverinfo="skip",
        row=1,
        col=2,
        error_y={"type": "data", "array": high - probability, "arrayminus": probability - low},
    )


def _matrix(figure: go.Figure, law: SelectionLaw, shown: Any, row_of: dict[int, int]) -> None:
    """Draw features of sets as dots: faint where absent, joined where together."""
    absent = [(i, row) for i in range(len(shown)) for row in row_of.values()]
    figure.add_scatter(
        x=[x for x, _ in absent],
        y=[y for _, y in absent],
        mode="markers",
        name="not in the set",
        marker={"size": 9, "color": _FAINT},
        hoverinfo="skip",
        row=2,
        col=2,
    )
    x: list[float | None] = []
    y: list[float | None] = []
    for i, one in enumerate(shown):
        for start, end in pairwise(one.features):
            x += [i, i, None]
            y += [row_of[start], row_of[end], None]
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines",
        name="together",
        line={"width": 2, "color": NEUTRAL},
        hoverinfo="skip",
        row=2,
        col=2,
    )
    present = [(i, index) for i, one in enumerate(shown) for index in one.features]
    figure.add_scatter(
        x=[i for i, _ in present],
        y=[row_of[index] for _, index in present],
        mode="markers",
        name="in the set",
        row=2,
        col=2,
        marker={
            "size": 10,
            "color": [style.feature_color(index, len(law.features)) for _, index in present],
        },
        customdata=[
            f"{style.plain(law.features[index])} is in {set_label(shown[i].features, law.features)}"
            for i, index in present
        ],
        hovertemplate="%{customdata}<extra></extra>",
    )


def _features(figure: go.Figure, law: SelectionLaw, rows: list[int], names: list[str]) -> None:
    """Bars of the probability that each feature is key, with intervals."""
    probability = np.asarray(law.feature_probability, dtype=float)[rows]
    low = np.asarray(law.feature_low, dtype=float)[rows]
    high = np.asarray(law.feature_high, dtype=float)[rows]
    about = [
        f"{names[index]} is key in {int(law.feature_count[index])} of {law.runs} runs, {percent(p)}"
        f"<br>{percent(a)} to {percent(b)}"
        for index, p, a, b in zip(rows, probability, low, high, strict=True)
    ]
    places = list(range(len(rows)))
    figure.add_bar(
        x=probability,
        y=places,
        orientation="h",
        customdata=about,
        name="features",
        marker_color=[style.feature_color(index, len(law.features)) for index in rows],
        marker_line_width=0,
        row=2,
        col=1,
        hovertemplate="%{customdata}<extra></extra>",
    )
    figure.add_scatter(
        x=probability,
        y=places,
        mode="markers",
        name="intervals of features",
        marker={"size": 1},
        hoverinfo="skip",
        row=2,
        col=1,
        error_x={
            "type": "data",
            "array": high - probability,
            "arrayminus": probability - low,
            "width": 0,
            "thickness": 1.5,
        },
    )
