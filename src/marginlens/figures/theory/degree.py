"""Figure of the degree law: Fourier features against memorizing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from marginlens.figures import style

if TYPE_CHECKING:
    from marginlens.theory import DegreeLaw

__all__ = ["degree_law_figure"]


def degree_law_figure(law: DegreeLaw) -> go.Figure:
    """Draw the values of three neurons for |x|^q against q, and the best one's purity.

    Top: value of the best neuron of one frequency and of the memorizing neuron, as shares of the
    best
    neuron found. Bottom: share of the best neuron's energy on one frequency; a delta has 2 / (p -
    1).

    Parameters
    ----------
    law
        Degree law of one order.
    """
    p = law.order
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.07, row_heights=[0.58, 0.42]
    )
    for name, values, color in (
        ("one frequency", law.fourier, style.CATEGORICAL[0]),
        ("memorizing", law.memorizing, style.CATEGORICAL[1]),
    ):
        figure.add_scatter(
            x=law.degrees,
            y=values / law.best,
            customdata=values,
            mode="lines+markers",
            name=name,
            line={"color": color, "width": 2.5},
            marker={"size": 6, "color": color},
            hovertemplate=f"degree %{{x:.3g}}, {name}<br>%{{y:.2%}} of the best found"
            "<br>value %{customdata:.6g}<extra></extra>",
            row=1,
            col=1,
        )
    figure.add_scatter(
        x=law.degrees,
        y=law.concentration,
        customdata=law.found,
        mode="lines+markers",
        line={"color": style.CATEGORICAL[2], "width": 2.5},
        marker={"size": 6, "color": style.CATEGORICAL[2]},
        showlegend=False,
        hovertemplate="degree %{x:.3g}<br>%{y:.2%} of the energy on one frequency<br>"
        f"found by %{{customdata}} of {law.starts} starts<extra></extra>",
        row=2,
        col=1,
    )
    style.reference_line(
        figure,
        2 / (p - 1),
        f"a delta: 2/(p − 1) = {style.number(2 / (p - 1), 3)}",
        dash="dot",
        row=2,
    )
    crossing = law.crossing
    if crossing is not None:
        figure.add_vline(x=crossing, line={"dash": "dot", "width": 1.2})
        figure.add_annotation(
            x=crossing,
            y=0.04,
            yref="y domain",
            xanchor="right",
            xshift=-5,
            align="right",
            text=f"they cross at degree {crossing:.2f}",
        )
    figure.update_yaxes(
        title_text="share of the best found", tickformat=".0%", range=[0, 1.06], row=1, col=1
    )
    figure.update_yaxes(
        title_text="energy on one frequency", tickformat=".0%", range=[0, 1.06], row=2, col=1
    )
    figure.update_xaxes(title_text="degree q of |x|<sup>q</sup>", row=2, col=1)
    title = f"C{p}: at low degree one frequency is the best neuron, at high degree memorizing is"
    return style.styled(figure, title, height=560)
