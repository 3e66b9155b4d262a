"""How many neurons each feature has, against what was predicted of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots

from marginlens.figures import style
from marginlens.figures.selection import NEUTRAL, headed, legend_below, mean_interval, percent

__all__ = ["MultiplicityRecord", "multiplicity_figure"]

_PANEL = 190  # pixels of a panel
_GAP = 56  # and between two
_REST = "no feature"
_ASIDE = 0.3  # of the distance of two bars: the interval stands left of the middle, marks right
_MARKS = ("diamond-open", "circle-open", "square-open", "triangle-up-open", "star-open")


@dataclass(frozen=True, eq=False)
class MultiplicityRecord:
    """Shares of the neurons that are pure for each feature, seed by seed, and what was predicted.

    Parameters
    ----------
    group
        What was learned: `"S4"`.
    features
        Names of the features, in the task's order.
    measured
        Share of **all** neurons, in [0, 1], that are pure for the feature.
    predicted
        A share of each feature by the prediction's name: `{"d² law": [...], "linear program": [...]}`;
        the names may differ from group to group.

    Raises
    ------
    ValueError
        If a number of shares is not that of the features, there is no seed, or a share measured
        is not in [0, 1].
    """

    group: str
    features: tuple[str, ...]
    measured: Float[np.ndarray, "seed feature"]
    predicted: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.features)
        if self.measured.shape[0] < 1 or self.measured.shape[1] != count:
            raise ValueError(
                f"{self.group}: measured must have a row a seed and {count} columns, one a feature; "
                f"got {self.measured.shape}"
            )
        if not ((self.measured >= 0) & (self.measured <= 1)).all():
            raise ValueError(f"{self.group}: shares of neurons must be from 0 to 1, such as .25")
        for name, shares in self.predicted.items():
            if len(shares) != count:
                raise ValueError(
                    f"{self.group}: {name} predicts {len(shares)} shares of {count} features; "
                    "give one a feature, NaN where it is silent"
                )


def multiplicity_figure(
    records: Sequence[MultiplicityRecord], title: str, *, confidence: float = 0.95
) -> go.Figure:
    """Draw the mean share of neurons on each feature as bars, with marks of the predictions.

    One panel a group. Lines are t intervals of the mean over seeds, absent for one seed. The last bar,
    *no feature*, is what is left: neurons dead or pure for none.

    Parameters
    ----------
    records
        What was measured and predicted, a group each.
    title
        Shown as it is.
    confidence
        Of the intervals.

    Raises
    ------
    ValueError
        If there is no record.
    """
    if not records:
        raise ValueError("there is nothing to draw; give at least one MultiplicityRecord")
    down = len(records)
    whole = _PANEL * down + _GAP * (down - 1)
    figure = make_subplots(
        rows=down, cols=1, vertical_spacing=_GAP / whole if down > 1 else 0,
        subplot_titles=[style.plain(record.group) for record in records],
    )  # fmt: skip
    names = list(dict.fromkeys(name for record in records for name in record.predicted))
    looks = {name: _MARKS[i % len(_MARKS)] for i, name in enumerate(names)}
    seen: set[str] = set()
    for row, record in enumerate(records, start=1):
        _bars(figure, record, confidence, row)
        places = np.arange(len(record.features))
        for name, shares in record.predicted.items():
            figure.add_scatter(
                x=places + _ASIDE * (names.index(name) + 1) / len(names), y=list(shares),
                mode="markers", name=style.plain(name), legendgroup=style.plain(name),
                showlegend=name not in seen,
                customdata=[f"{style.plain(feature)}, {style.plain(name)}: {percent(share)}"
                            for feature, share in zip(record.features, shares, strict=True)],
                marker={"symbol": looks[name], "size": 10, "line": {"width": 1.6}},
                hovertemplate="%{customdata}<extra></extra>", row=row, col=1,
            )  # fmt: skip
            seen.add(name)
        ticks = [*(style.plain(feature) for feature in record.features), _REST]
        thin = max(1, -(-len(ticks) // 24))
        figure.update_xaxes(
            range=[-0.6, len(ticks) - 0.4], tickvals=list(range(len(ticks)))[::thin],
            ticktext=ticks[::thin], row=row, col=1,
        )  # fmt: skip
    figure.update_annotations(font={"size": 13})
    figure.update_yaxes(
        title_text="share of neurons", tickformat=".0%", rangemode="tozero", nticks=5
    )
    figure.update_layout(bargap=0.25, legend={"itemsizing": "trace"})
    legend = legend_below(figure, names) if names else 0
    seeds = sorted({record.measured.shape[0] for record in records})
    span = f"{seeds[0]:,}" if len(seeds) == 1 else f"{seeds[0]:,} to {seeds[-1]:,}"
    note = f"Bars: means of {span} seed{'s' * (seeds[-1] != 1)}"
    note += f", lines: {percent(confidence)} t intervals" if seeds[-1] > 1 else ""
    note += "; marks: predictions." if names else "."
    return headed(figure, title, note, height=whole + 44 + legend, legend=26, below=44 + legend)


def _bars(figure: go.Figure, record: MultiplicityRecord, confidence: float, row: int) -> None:
    """Means over seeds, the rest of the neurons last, with their intervals."""
    total = len(record.features)
    rest = 1 - record.measured.sum(axis=1, keepdims=True)
    columns = np.concatenate([record.measured, np.clip(rest, 0.0, 1.0)], axis=1).T
    places = [*(style.plain(feature) for feature in record.features), _REST]
    mean, low, high = np.array([mean_interval(column, confidence) for column in columns]).T
    colors = [style.feature_color(index, total) for index in range(total)]
    about = [
        f"{place}: {percent(m)} of the neurons"
        + (f"<br>{percent(a)} to {percent(b)}" if np.isfinite(a) else "")
        for place, m, a, b in zip(places, mean, low, high, strict=True)
    ]
    figure.add_bar(
        x=np.arange(total + 1), y=mean, customdata=about, name="measured", showlegend=False,
        marker={"color": [*colors, NEUTRAL], "line": {"width": 0}},
        hovertemplate="%{customdata}<extra></extra>", row=row, col=1,
    )  # fmt: skip
    if np.isfinite(low).all():
        interval: dict[str, Any] = {"type": "data", "array": high - mean, "arrayminus": mean - low}
        figure.add_scatter(
            x=np.arange(total + 1) - _ASIDE / 2, y=mean, mode="markers", name="intervals",
            marker={"size": 1},
            showlegend=False, error_y=interval, hoverinfo="skip", row=row, col=1,
        )  # fmt: skip
