"""Figure of the textbook algorithms that a network's logits resemble."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from marginlens.figures import style

if TYPE_CHECKING:
    from marginlens.measures import AlgorithmFit

__all__ = ["algorithms_figure"]


def algorithms_figure(fits: Sequence[AlgorithmFit], title: str) -> go.Figure:
    """Draw the share of the logits' variance that each algorithm explains.

    Parameters
    ----------
    fits
        Fit of each textbook algorithm.
    title
        Title of the figure.
    """
    shown = sorted(fits, key=lambda fit: fit.explained)
    figure = go.Figure(
        go.Bar(
            x=[fit.explained for fit in shown],
            y=[style.plain(fit.name) for fit in shown],
            orientation="h",
            marker_color=style.MEASURED,
            marker_line_width=0,
            customdata=[fit.cosine for fit in shown],
            hovertemplate="%{y}: %{x:.3%} of the variance, cosine %{customdata:.5f}<extra></extra>",
        )
    )
    figure.update_xaxes(title_text="share of variance explained", tickformat=".0%", range=[0, 1.02])
    return style.styled(figure, title, height=120 + 42 * len(shown))
