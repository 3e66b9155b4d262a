"""By how much Fourier features win over memorizing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from marginlens.figures import style

if TYPE_CHECKING:
    from marginlens.theory import MemorizingComparison

__all__ = ["memorizing_figure"]


def memorizing_figure(found: MemorizingComparison) -> go.Figure:
    """Draw the memorizing network's margin as a share of the maximum, against the order.

    Dots are networks, evaluated on every row; the line is sqrt(2 / (n - 1)), exact for cyclic
    groups
    of odd order.

    Parameters
    ----------
    found
        Margins of memorizing and maximum-margin networks.
    """
    figure = go.Figure()
    orders = np.geomspace(max(3, found.orders.min()), found.orders.max(), 200)
    figure.add_scatter(
        x=orders,
        y=np.sqrt(2 / (orders - 1)),
        mode="lines",
        name="√(2/(n−1))",
        line={"width": 1.5, "dash": "dash"},
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=found.orders,
        y=found.ratio,
        mode="markers",
        name="memorizing networks",
        marker={"size": 8, "color": style.MEASURED},
        text=[style.plain(n) for n in found.names],
        hovertemplate="%{text}: %{y:.4f} of γ*<extra></extra>",
    )
    figure.update_xaxes(
        title_text="order n",
        type="log",
        **style.decades(float(orders.min()) * 0.9, float(orders.max()) * 1.1),
    )
    low = float(found.ratio.min())
    figure.update_yaxes(
        title_text="memorizing margin / γ*",
        type="log",
        range=[np.log10(low * 0.8), 0.05],
        **style.decades(low * 0.8, 1.1),
    )
    title = "Memorizing reaches an ever smaller share of the maximum margin"
    return style.styled(figure, title, height=420)
