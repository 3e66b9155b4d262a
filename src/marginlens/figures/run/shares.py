"""Figure of the neurons and the norm on each feature, with the prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from marginlens.figures import style

if TYPE_CHECKING:
    from marginlens.runs import Run

__all__ = ["shares_caption", "shares_figure"]


def shares_figure(run: Run) -> go.Figure:
    """Draw neurons and norm share of each feature, with the prediction.

    Bars are measured. Ticks are the range from the least to the greatest share that a
    maximum-margin
    network gives the feature; diamonds the share predicted at the run's penalty. Where the theory
    is
    silent, the marks are absent.

    Parameters
    ----------
    run
        Finished run to draw.
    """
    task, measurement, prediction = run.task, run.measurement, run.prediction
    total = len(task.features)
    names = [style.plain(feature.name) for feature in task.features]
    cyclic = total > 0 and all(feature.frequency is not None for feature in task.features)
    axis: list[Any] = [feature.frequency for feature in task.features] if cyclic else names
    colors = [style.feature_color(index, total) for index in range(total)]
    sizes = (16, 9) if total <= 24 else (9, 4) if total <= 60 else (3, 2)
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, row_heights=[0.38, 0.62], vertical_spacing=0.07
    )
    figure.add_bar(
        x=axis,
        y=measurement.count,
        marker_color=colors,
        customdata=names,
        name="neurons",
        marker_line_width=0,
        showlegend=False,
        row=1,
        col=1,
        hovertemplate="%{customdata}: %{y} neurons<extra></extra>",
    )
    about = [
        f"{name}, dimension {feature.dimension}: <i>{style.plain(feature.status)}</i>"
        for name, feature in zip(names, prediction.features, strict=True)
    ]
    figure.add_bar(
        x=axis,
        y=measurement.share,
        marker_color=colors,
        customdata=about,
        name="measured",
        marker_line_width=0,
        showlegend=False,
        row=2,
        col=1,
        hovertemplate="%{customdata}<br>measured share %{y:.3%}<extra></extra>",
    )
    least = [feature.least_share for feature in prediction.features]
    if None not in least:
        low = np.array(least, dtype=float)
        high = np.array([feature.greatest_share for feature in prediction.features], dtype=float)
        figure.add_scatter(
            x=axis,
            y=(low + high) / 2,
            mode="markers",
            name="at the maximum margin",
            error_y={"type": "data", "array": (high - low) / 2},
            marker={"symbol": "line-ew", "size": sizes[0], "line": {"width": 2}},
            customdata=np.stack([low, high], axis=-1),
            row=2,
            col=1,
            hovertemplate="at the maximum margin: %{customdata[0]:.3%} to %{customdata[1]:.3%}"
            "<extra></extra>",
        )
    if prediction.at_penalty is not None and prediction.at_penalty.shares:
        shares = [prediction.at_penalty.shares.get(f.name, np.nan) for f in task.features]
        figure.add_scatter(
            x=axis,
            y=shares,
            mode="markers",
            name="predicted at this penalty",
            row=2,
            col=1,
            marker={"symbol": "diamond-open", "size": sizes[1], "line": {"width": 1.5}},
            hovertemplate="predicted at this penalty: %{y:.3%}<extra></extra>",
        )
    figure.update_yaxes(title_text="neurons", rangemode="tozero", nticks=4, row=1, col=1)
    figure.update_yaxes(
        title_text="share of norm", tickformat=".2~%", rangemode="tozero", row=2, col=1
    )
    kind = "frequency k" if cyclic else "coordinate" if task.kind == "parity" else "feature"
    figure.update_xaxes(title_text=kind, row=2, col=1)
    if not cyclic and total > 40:
        figure.update_xaxes(nticks=20)
    title = f"{style.plain(task.name)}: neurons and share of the norm of each feature"
    return style.styled(figure, title, height=480).update_layout(bargap=0.2)


def shares_caption(run: Run) -> tuple[str, str]:
    """Return the caption: the pattern to look for, and the method."""
    prediction = run.prediction
    if any(feature.least_share is None for feature in prediction.features):
        look_for = "No theorem gives the shares in this setting; the bars are measured values only."
    elif prediction.at_penalty is not None:
        look_for = (
            "Bars should end at the diamonds, the shares predicted for this penalty, and near the "
            "ticks, the range of shares among networks of maximum margin."
        )
    else:
        look_for = "Bars should end near the ticks, the shares of networks of maximum margin."
    if run.task.kind == "parity":
        return look_for, "The share of a coordinate is its share of the input weights' energy."
    return look_for, (
        "Each live neuron counts for its dominant feature, with its norm to the power "
        f"{run.measurement.degree}."
    )
