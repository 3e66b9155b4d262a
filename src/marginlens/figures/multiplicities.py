"""How neurons are shared out among irreps, against what is predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots

from marginlens.figures import style
from marginlens.figures.selection import headed

__all__ = ["Multiplicities", "multiplicities_figure"]

_SYMBOLS = ("diamond-open", "square-open", "circle-open", "triangle-up-open")


@dataclass(frozen=True, eq=False)
class Multiplicities:
    """Shares of one task's features, measured and predicted.

    Attributes
    ----------
    task
        Its name.
    features
        Their names.
    mean, low, high
        Measured share of each feature, with its interval.
    predictions
        By name: the shares that a rule gives.
    """

    task: str
    features: tuple[str, ...]
    mean: Float[np.ndarray, " feature"]
    low: Float[np.ndarray, " feature"]
    high: Float[np.ndarray, " feature"]
    predictions: Mapping[str, Float[np.ndarray, " feature"]]


def multiplicities_figure(records: Sequence[Multiplicities], title: str) -> go.Figure:
    """Draw measured shares as bars with their intervals, and each rule's as marks; a panel a task.

    Raises
    ------
    ValueError
        If there is nothing to draw.
    """
    if not records:
        raise ValueError("there are no multiplicities to draw")
    widths = [len(record.features) for record in records]
    figure = make_subplots(
        rows=1, cols=len(records), shared_yaxes=True, horizontal_spacing=0.05,
        column_widths=[width / sum(widths) for width in widths],
        subplot_titles=[style.plain(record.task) for record in records],
    )  # fmt: skip
    for column, record in enumerate(records, start=1):
        total = len(record.features)
        names = [style.plain(name) for name in record.features]
        places = np.arange(total)
        figure.add_bar(
            x=places, y=record.mean, marker_line_width=0, showlegend=False, name="measured",
            marker_color=[style.feature_color(i, total) for i in range(total)],
            error_y={
                "type": "data", "array": record.high - record.mean,
                "arrayminus": record.mean - record.low, "thickness": 1.5, "width": 0,
            },
            hovertemplate="%{y:.3f} measured<extra></extra>", row=1, col=column,
        )  # fmt: skip
        for index, (rule, shares) in enumerate(record.predictions.items()):
            figure.add_scatter(
                x=places + 0.18 * (index - (len(record.predictions) - 1) / 2), y=shares,
                mode="markers", name=style.plain(rule), legendgroup=rule, showlegend=column == 1,
                marker={"symbol": _SYMBOLS[index % len(_SYMBOLS)], "size": 10, "line": {"width": 2}},
                hovertemplate="%{y:.3f} by " + style.plain(rule) + "<extra></extra>",
                row=1, col=column,
            )  # fmt: skip
        figure.update_xaxes(tickvals=places, ticktext=names, row=1, col=column)
    figure.update_yaxes(rangemode="tozero")
    figure.update_yaxes(title_text="share of the pure neurons", col=1)
    figure.update_layout(bargap=0.25, legend={"y": 1.12})
    note = "Bars: means over seeds with 95 % intervals; marks: what each rule gives."
    return headed(figure, title, note, height=320, legend=52)
