"""Figures of a training while it runs: curves that grow, and shares that move."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from marginlens.figures import style
from marginlens.figures.run.margin import DEEPEST
from marginlens.tasks import Task
from marginlens.theory import Prediction

__all__ = ["growing_loss_figure", "growing_margin_figure", "moving_shares_figure"]


History = Mapping[str, np.ndarray]
"""Columns of a training's history: ``step``, ``loss``, ``cross_entropy``, ``normalized_margin``."""

_NOTHING: np.ndarray = np.empty(0)


def growing_margin_figure(
    prediction: Prediction, steps: int, history: History | None = None
) -> go.Figure:
    """Draw the normalized margin against the step, with gamma* if known.

    Parameters
    ----------
    prediction
        Prediction whose maximum margin is drawn as a line.
    steps
        Number of the training's last step, the end of the axis.
    history
        Columns of the history so far; the curve is empty without it.
    """
    history = history or {}
    figure = go.Figure(
        go.Scatter(
            x=history.get("step", _NOTHING),
            y=history.get("normalized_margin", _NOTHING),
            mode="lines",
            line={"color": style.MEASURED, "width": 2.5},
            hovertemplate="step %{x}<br>normalized margin %{y:.5g}<extra></extra>",
        )
    )
    best = prediction.margin
    if best is not None:
        label = "maximum γ*" if prediction.proved else "largest margin found"
        style.reference_line(figure, best, f"{label} = {style.number(best)}", dash="dash")
        figure.update_yaxes(range=[DEEPEST * best, 1.24 * best])
    figure.update_yaxes(
        title_text=f"normalized margin ({style.plain(prediction.norm)})",
        tickformat=".3~g",
        exponentformat="power",
    )
    figure.update_xaxes(title_text="training step", range=[0, steps])
    return style.styled(figure, "Normalized margin", height=340).update_layout(showlegend=False)


def growing_loss_figure(
    prediction: Prediction, steps: int, history: History | None = None
) -> go.Figure:
    """Draw the objective and its cross-entropy, with the predicted objective.

    Parameters
    ----------
    prediction
        Prediction whose loss at the penalty is drawn as a line.
    steps, history
        Last step and columns of the history, as for :func:`growing_margin_figure`.
    """
    history = history or {}
    figure = go.Figure()
    for name, color in (("loss", style.MEASURED), ("cross-entropy", style.START)):
        figure.add_scatter(
            x=history.get("step", _NOTHING),
            y=history.get(name.replace("-", "_"), _NOTHING),
            mode="lines",
            name=name,
            line={"color": color, "width": 2.5},
            hovertemplate=f"step %{{x}}<br>{name} %{{y:.5g}}<extra></extra>",
        )
    at = prediction.at_penalty
    if at is not None and at.loss > 0:
        label = f"predicted loss: {style.number(at.loss)}"
        style.reference_line(figure, at.loss, label, dash="dot", end="right", logarithmic=True)
    if np.any(np.asarray(history.get("loss", _NOTHING)) < 0):  # minus a smoothed margin
        figure.update_yaxes(title_text="loss", type="linear")
    else:
        figure.update_yaxes(title_text="loss (nats)", type="log", dtick=1)
    figure.update_xaxes(title_text="training step", range=[0, steps])
    return style.styled(figure, "Loss", height=340)


def moving_shares_figure(
    task: Task, prediction: Prediction, share: Float[np.ndarray, " feature"] | None = None
) -> go.Figure:
    """Draw the share of the norm of each feature, with the prediction's marks.

    Ticks are the range among maximum-margin networks, diamonds the share at the penalty.

    Parameters
    ----------
    task
        Task whose features are shown.
    prediction
        Prediction that the marks show.
    share
        Measured share of each feature, in [0, 1]; all zero without it.
    """
    total = len(task.features)
    share = np.zeros(total) if share is None or len(share) != total else share
    names = [style.plain(feature.name) for feature in task.features]
    cyclic = all(feature.frequency is not None for feature in task.features)
    axis: list[Any] = [feature.frequency for feature in task.features] if cyclic else names
    figure = go.Figure(
        go.Bar(
            x=axis,
            y=share,
            customdata=names,
            name="measured",
            marker_line_width=0,
            marker_color=[style.feature_color(index, total) for index in range(total)],
            hovertemplate="%{customdata}<br>share %{y:.3%}<extra></extra>",
            showlegend=False,
        )
    )
    size = 16 if total <= 24 else 9 if total <= 60 else 3
    least = [feature.least_share for feature in prediction.features]
    most = 0.05
    if None not in least:
        low = np.array(least, dtype=float)
        high = np.array([feature.greatest_share for feature in prediction.features], dtype=float)
        most = float(high.max(initial=most))
        figure.add_scatter(
            x=axis,
            y=(low + high) / 2,
            mode="markers",
            name="at the maximum margin",
            error_y={"type": "data", "array": (high - low) / 2},
            marker={"symbol": "line-ew", "size": size, "line": {"width": 2}},
            hoverinfo="skip",
        )
    if prediction.at_penalty is not None and prediction.at_penalty.shares:
        shares = [prediction.at_penalty.shares.get(f.name, np.nan) for f in task.features]
        most = float(np.nanmax([most, *shares]))
        figure.add_scatter(
            x=axis,
            y=shares,
            mode="markers",
            name="at this penalty",
            hoverinfo="skip",
            marker={
                "symbol": "diamond-open",
                "size": 9 if total <= 24 else 4,
                "line": {"width": 1.5},
            },
        )
    figure.update_yaxes(title_text="share of norm", tickformat=".2~%", range=[0, 1.6 * most])
    kind = "frequency k" if cyclic else "coordinate" if task.kind == "parity" else "feature"
    figure.update_xaxes(title_text=kind)
    return style.styled(figure, "Share of each feature", height=340).update_layout(bargap=0.2)
