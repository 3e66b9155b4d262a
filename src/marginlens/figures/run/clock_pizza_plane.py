"""Clocks and pizzas: networks in the plane of two measures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from marginlens.figures import style
from marginlens.measures.logits.clock_pizza import IRRELEVANT, PUBLISHED_MEANS, SYMMETRIC

if TYPE_CHECKING:
    from marginlens.measures import ClockPizza

__all__ = ["plane_figure"]

_LOOKS = {
    "pizza": ("triangle-up", "#d0590e"),
    "clock": ("circle", "#3b74e0"),
    "mixed": ("diamond", "#b8559a"),
    "neither": ("x", "#7a8394"),
    "unknown": ("square", "#7a8394"),
}
APART = 0.045
"""Least distance of two names on the same side, on the vertical axis."""
LABELLED = 12
"""Of more networks than this the names are left to the pointer."""


def plane_figure(networks: Sequence[tuple[str, ClockPizza]]) -> go.Figure:
    """Draw networks by gradient symmetricity (across) and distance irrelevance (up).

    Dotted lines are the thresholds between pizza and clock, the middle of the published means of
    both
    ends; grey rings joined by a line are the published means of 817 transformers by attention rate,
    from 0 (a pizza) to 1 (a clock).

    Parameters
    ----------
    networks
        Names of the networks, with their measures
        (:class:`marginlens.measures.Mechanism.clock_pizza`).

    Raises
    ------
    ValueError
        The networks are empty, or the weights of one are unknown.

    Notes
    -----
    Zhong, Liu, Tegmark and Andreas 2023, *The clock and the pizza*, Figure 6.
    """
    if not networks:
        raise ValueError("expected at least one network to draw, for example runs/C59")
    for name, found in networks:
        if found.gradient_symmetricity is None:
            raise ValueError(
                f"{name}: expected a network with weights for gradient symmetricity, got "
                "logits alone; leave it out"
            )
    figure = go.Figure()
    rates, across, up = zip(*PUBLISHED_MEANS, strict=True)
    figure.add_scatter(
        x=across,
        y=up,
        mode="lines+markers",
        name="published means, by attention rate",
        line={"color": style.START, "width": 1},
        opacity=0.8,
        marker={"symbol": "circle-open", "size": 10, "color": style.START},
        customdata=[f"attention rate below {min(rate, 1.0):g}" for rate in rates],
        hovertemplate="%{customdata}<br>symmetricity %{x:.3f}, irrelevance %{y:.3f}<extra></extra>",
    )
    for kind, (symbol, color) in _LOOKS.items():
        some = [(name, found) for name, found in networks if found.verdict == kind]
        if not some:
            continue
        points = [(found.gradient_symmetricity, found.distance_irrelevance) for _, found in some]
        names = [style.plain(name) for name, _ in some]
        figure.add_scatter(
            x=[x for x, _ in points],
            y=[y for _, y in points],
            name=kind,
            mode="markers",
            text=names,
            marker={"symbol": symbol, "color": color, "size": 10},
            error_x={
                "type": "data",
                "array": [found.symmetricity_error or 0.0 for _, found in some],
                "color": color,
                "thickness": 1,
                "width": 0,
            },
            hovertemplate="<b>%{text}</b>: " + kind + "<br>gradient symmetricity %{x:.4f}"
            "<br>distance irrelevance %{y:.4f}<extra></extra>",
        )
    if len(networks) <= LABELLED:
        _name(figure, networks)
    for line in (
        {"x0": SYMMETRIC, "x1": SYMMETRIC, "y0": 0, "y1": 1, "yref": "y domain"},
        {"y0": IRRELEVANT, "y1": IRRELEVANT, "x0": 0, "x1": 1, "xref": "x domain"},
    ):
        figure.add_shape(type="line", line={"width": 1, "dash": "dot"}, opacity=0.8, **line)
    for text, x, y, anchors in (
        ("pizza", 1, 0, ("right", "bottom")),
        ("clock", 0, 1, ("left", "top")),
    ):
        figure.add_annotation(
            text=f"<b>{text}</b>",
            x=x,
            y=y,
            xref="x domain",
            yref="y domain",
            xanchor=anchors[0],
            yanchor=anchors[1],
            xshift=-6 if x else 6,
            yshift=-4 if y else 4,
            opacity=0.7,
            font={"size": 15},
        )
    left = min(0.0, *(found.gradient_symmetricity or 0.0 for _, found in networks)) - 0.03
    figure.update_xaxes(title_text="gradient symmetricity", range=[left, 1.04], showgrid=True)
    figure.update_yaxes(title_text="distance irrelevance", range=[-0.04, 1.06])
    words = "1 network" if len(networks) == 1 else f"{len(networks)} networks"
    style.styled(figure, f"Clock or pizza: {words}, and what was published", height=520)
    return figure.update_layout(legend={"y": -0.18, "yanchor": "top"}, margin={"t": 56, "b": 110})


def _name(figure: go.Figure, networks: Sequence[tuple[str, ClockPizza]]) -> None:
    """Write names beside the points, one above the other where points lie close together."""
    above: list[tuple[bool, float]] = []
    ranked = sorted(networks, key=lambda network: network[1].distance_irrelevance)
    for name, found in ranked:
        x = found.gradient_symmetricity or 0.0
        right = x > 0.5
        height = found.distance_irrelevance
        taken = [y for side, y in above if side == right]
        if taken and height < max(taken) + APART:
            height = max(taken) + APART
        above.append((right, height))
        shift = (height - found.distance_irrelevance) / APART * 15
        figure.add_annotation(
            x=x,
            y=found.distance_irrelevance,
            text=style.plain(name),
            showarrow=True,
            arrowhead=0,
            arrowwidth=0.7,
            ax=-34 if right else 34,
            ay=-shift,
            font={"size": 11},
            standoff=6,
            xanchor="right" if right else "left",
        )
