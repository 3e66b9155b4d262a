"""Figure of the margin that networks of each width reach, and their neurons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from marginlens.figures import style

if TYPE_CHECKING:
    from marginlens.runs import NarrowNetworks

__all__ = ["widths_figure"]


def widths_figure(found: NarrowNetworks) -> go.Figure:
    """Draw the share of gamma* at each width (top) and the neurons on each feature.

    Dots are single networks, the line joins the best of each width, and the dashed line is the
    width that suffices. Below are the neurons on each feature in the best network, the largest
    number first; since they are whole numbers, intermediate widths do not increase the margin.

    Parameters
    ----------
    found
        Best margins of networks at each width.
    """
    widths = found.widths
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, row_heights=[0.58, 0.42], vertical_spacing=0.07
    )
    seeds = found.margin_ratio.shape[1]
    shift = (np.arange(seeds) - (seeds - 1) / 2) * 0.3 * _step(widths) / max(1, seeds - 1)
    figure.add_scatter(
        x=(widths[:, None] + shift).ravel(),
        y=np.maximum(found.margin_ratio, 0.0).ravel(),
        mode="markers",
        marker={"size": 5, "color": style.START, "opacity": 0.6},
        name="each seed",
        customdata=np.repeat(widths, seeds),
        row=1,
        col=1,
        hovertemplate="width %{customdata}: %{y:.4f} of γ*<extra></extra>",
    )
    figure.add_scatter(
        x=widths,
        y=np.maximum(found.best, 0.0),
        mode="lines+markers",
        name="best",
        line={"color": style.MEASURED, "width": 2},
        marker={"size": 7},
        row=1,
        col=1,
        hovertemplate="width %{x}: best %{y:.6f} of γ*<extra></extra>",
    )
    counts = found.best_counts
    for rank in range(counts.shape[1]):
        figure.add_bar(
            x=widths,
            y=counts[:, rank],
            marker_color=style.feature_color(rank, counts.shape[1]),
            marker_line_width=0,
            showlegend=False,
            row=2,
            col=1,
            hovertemplate=f"%{{y}} neurons on a feature, the number {rank + 1}<extra></extra>",
        )
    sufficient = found.prediction.sufficient_width
    if sufficient is not None and sufficient <= widths.max() + _step(widths):
        figure.add_vline(x=sufficient, line={"dash": "dash", "width": 1.5})
        figure.add_annotation(
            x=sufficient,
            y=0.04,
            yref="y domain",
            xanchor="right",
            xshift=-4,
            text=f"{sufficient} neurons suffice",
        )
    figure.update_yaxes(title_text="share of γ*", range=[-0.04, 1.06], row=1, col=1)
    figure.update_yaxes(title_text="neurons by feature", row=2, col=1)
    figure.update_xaxes(title_text="width (number of neurons)", row=2, col=1)
    figure.update_layout(barmode="stack", bargap=0.25)
    title = (
        f"{style.plain(found.prediction.task)}: the best margins found at each width "
        f"({seeds} seeds; numerical)"
    )
    return style.styled(figure, title, height=560)


def _step(widths: np.ndarray) -> float:
    return float(np.diff(widths).min()) if len(widths) > 1 else 1.0
