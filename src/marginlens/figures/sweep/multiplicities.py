"""Figure of the neurons on each feature over seeds, with predicted shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots

from marginlens.figures import style
from marginlens.figures.sweep.selection import NEUTRAL, headed, legend_below, percent
from marginlens.measures.ensembles.intervals import mean_interval

__all__ = ["Multiplicities", "multiplicities_figure"]

_PANEL = 190  # pixels of a panel
_GAP = 56  # and between two
_REST = "no feature"
_ASIDE = 0.3  # of the distance of two bars: the interval stands left of the middle, marks right
_MARKS = ("diamond-open", "circle-open", "square-open", "triangle-up-open", "star-open")


@dataclass(frozen=True, eq=False)
class Multiplicities:
    """Shares of the neurons on one task's features, measured and predicted.

    Attributes
    ----------
    task
        Name of the task.
    features
        Names of the task's features.
    mean, low, high
        Measured share of each feature, with its interval; the bounds are nan for a single seed.
    predictions
        Shares by the name of a rule; NaN where a rule gives no value.
    what
        Population of the shares: "neurons" are all, "pure neurons" those pure for a feature.

    Raises
    ------
    ValueError
        The numbers of shares and features differ.
    """

    task: str
    features: tuple[str, ...]
    mean: Float[np.ndarray, " feature"]
    low: Float[np.ndarray, " feature"]
    high: Float[np.ndarray, " feature"]
    predictions: Mapping[str, Float[np.ndarray, " share"]]
    what: str = "neurons"

    def __post_init__(self) -> None:
        measured = {"mean": self.mean, "low": self.low, "high": self.high}
        for name, shares in {**measured, **self.predictions}.items():
            if len(shares) != len(self.features):
                raise ValueError(
                    f"{self.task}: {name} has {len(shares)} shares of {len(self.features)} features; "
                    "give one a feature, nan where it is silent"
                )

    @classmethod
    def of_seeds(
        cls,
        task: str,
        features: Sequence[str],
        multiplicity: Float[np.ndarray, "seed feature"],
        predictions: Mapping[str, Float[np.ndarray, " share"]],
        *,
        confidence: float = 0.95,
    ) -> Multiplicities:
        """Return means over seeds with Student's intervals.

        Parameters
        ----------
        task, features, predictions
            Name, features and predicted shares, as above.
        multiplicity
            For each seed, the share of all its neurons that are pure for each feature.
        confidence
            Confidence level of the intervals.

        Examples
        --------
        >>> shares = np.array([[0.2, 0.7], [0.4, 0.5]])
        >>> Multiplicities.of_seeds("S3", ["1b", "2a"], shares, {}).mean.round(3)
        array([0.3, 0.6])
        """
        stats = [mean_interval(column, confidence=confidence) for column in multiplicity.T]
        mean, low, high = np.array(stats).reshape(-1, 3).T
        return cls(task, tuple(features), mean, low, high, predictions)


def multiplicities_figure(records: Sequence[Multiplicities], title: str) -> go.Figure:
    """Draw measured shares as bars with intervals, and rules as marks; one panel per task.

    The interval stands left of a bar's middle, the marks right of it, so that none hides another. A
    last bar, *no feature*, is what is left where the means do not add up to 1: neurons that are
    dead or
    pure for none.

    Parameters
    ----------
    records
        Record of each task.
    title
        Title of the figure, shown unchanged.

    Raises
    ------
    ValueError
        The records are empty.
    """
    if not records:
        raise ValueError("expected at least one record of multiplicities to draw")
    down = len(records)
    whole = _PANEL * down + _GAP * (down - 1)
    figure = make_subplots(
        rows=down,
        cols=1,
        vertical_spacing=_GAP / whole if down > 1 else 0,
        subplot_titles=[style.plain(record.task) for record in records],
    )
    rules = list(dict.fromkeys(rule for record in records for rule in record.predictions))
    seen: set[str] = set()
    for row, record in enumerate(records, start=1):
        ticks = [style.plain(feature) for feature in record.features]
        if _rest(record) > 0:
            ticks.append(_REST)
        _bars(figure, record, ticks, row)
        for rule, shares in record.predictions.items():
            index, name = rules.index(rule), style.plain(rule)
            figure.add_scatter(
                x=np.arange(len(shares)) + _ASIDE * (index + 1) / len(rules),
                y=shares,
                mode="markers",
                name=name,
                legendgroup=name,
                showlegend=rule not in seen,
                marker={"symbol": _MARKS[index % len(_MARKS)], "size": 10, "line": {"width": 1.6}},
                customdata=[
                    f"{feature}, {name}: {percent(share)}"
                    for feature, share in zip(ticks, shares, strict=False)
                ],
                hovertemplate="%{customdata}<extra></extra>",
                row=row,
                col=1,
            )
            seen.add(rule)
        thin = max(1, -(-len(ticks) // 24))
        figure.update_xaxes(
            range=[-0.6, len(ticks) - 0.4],
            tickvals=list(range(len(ticks)))[::thin],
            ticktext=ticks[::thin],
            row=row,
            col=1,
        )
        figure.update_yaxes(title_text=f"share of {style.plain(record.what)}", row=row, col=1)
    figure.update_annotations(font={"size": 13})
    figure.update_yaxes(tickformat=".0%", rangemode="tozero", nticks=5)
    figure.update_layout(bargap=0.25)
    note = "Bars: means over seeds; vertical lines: their intervals."
    note += " Marks: what each rule gives." if rules else ""
    below = 44 + (legend_below(figure, rules) if rules else 0)
    return headed(figure, title, note, height=whole + below, legend=26, below=below)


def _rest(record: Multiplicities) -> float:
    """Share of the neurons on no feature; 0 where it is rounding."""
    left = 1 - float(record.mean.sum())
    return left if left > 1e-9 else 0.0


def _bars(figure: go.Figure, record: Multiplicities, ticks: list[str], row: int) -> None:
    """Return means over seeds and the rest of the neurons, with intervals."""
    total = len(record.features)
    left = len(ticks) > total
    mean = [*record.mean.tolist(), *([_rest(record)] if left else [])]
    about = [
        f"{name}: {percent(share)} of the {style.plain(record.what)}"
        for name, share in zip(ticks, mean, strict=True)
    ]
    known = np.flatnonzero(np.isfinite(record.low) & np.isfinite(record.high))
    for index in known:
        about[index] += f"<br>{percent(record.low[index])} to {percent(record.high[index])}"
    colors = [style.feature_color(index, total) for index in range(total)]
    figure.add_bar(
        x=list(range(len(ticks))),
        y=mean,
        customdata=about,
        name="measured",
        showlegend=False,
        marker={"color": [*colors, *([NEUTRAL] if left else [])], "line": {"width": 0}},
        hovertemplate="%{customdata}<extra></extra>",
        row=row,
        col=1,
    )
    figure.add_scatter(
        x=known - _ASIDE / 2,
        y=record.mean[known],
        mode="markers",
        name="intervals",
        marker={"size": 1},
        showlegend=False,
        hoverinfo="skip",
        row=row,
        col=1,
        error_y={
            "type": "data",
            "array": (record.high - record.mean)[known],
            "arrayminus": (record.mean - record.low)[known],
        },
    )
