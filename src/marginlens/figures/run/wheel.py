"""Figure of the phases of neurons on a ring for each frequency."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from marginlens.figures import style

if TYPE_CHECKING:
    from marginlens.runs import Run

__all__ = ["wheel_caption", "wheel_figure"]

MOST_RINGS = 12
INNER = 0.3
"""Radius of the innermost ring, of the outermost's."""


def wheel_figure(run: Run) -> go.Figure | None:
    """Draw every live neuron's phases on the ring of its frequency.

    A dot marks the output's phase theta_w, an open circle the sum of the inputs' phases; the circle
    surrounds the dot if the phases add up, otherwise a line joins the two. Of more frequencies than
    rings, equally spaced ones are drawn, and the title says how many.

    Parameters
    ----------
    run
        Finished run to draw.

    Returns
    -------
    Figure or None
        Figure, or ``None`` if the task is not cyclic.
    """
    measurement, task = run.measurement, run.task
    if measurement.phases is None:
        return None
    live = np.flatnonzero(
        np.asarray(measurement.live) & np.isfinite(measurement.phases).all(axis=-1)
    )
    phases = np.asarray(measurement.phases)
    dominant = np.asarray(measurement.dominant)
    used = np.unique(dominant[live])
    if not len(used):
        return None
    places = np.linspace(0, len(used) - 1, min(MOST_RINGS, len(used))).round().astype(int)
    shown = used[places]
    radii = np.linspace(INNER, 1, len(shown)) if len(shown) > 1 else np.array([0.8])
    words = " + ".join(f"θ<sub>{slot}</sub>" for slot in task.slots)
    total = len(task.features)
    figure = go.Figure()
    for radius, index in zip(radii, shown, strict=True):
        feature = task.features[int(index)]
        neurons = live[dominant[live] == index]
        added, output = phases[neurons, :-1].sum(1), phases[neurons, -1]
        color = style.feature_color(int(index), total)
        name = style.plain(feature.name)
        apart = np.full((len(neurons), 3), np.nan)
        apart[:, 0] = output
        apart[:, 1] = output + (added - output + np.pi) % (2 * np.pi) - np.pi
        common = {"legendgroup": name, "name": name}
        figure.add_scatterpolar(
            theta=np.degrees(apart).ravel(),
            r=np.full(apart.size, radius),
            mode="lines",
            line={"color": color, "width": 2},
            hoverinfo="skip",
            showlegend=False,
            **common,
        )
        figure.add_scatterpolar(
            theta=np.degrees(added) % 360,
            r=np.full(len(neurons), radius),
            mode="markers",
            marker={"symbol": "circle-open", "color": color, "size": 11, "line": {"width": 1.5}},
            customdata=neurons,
            showlegend=False,
            **common,
            hovertemplate=f"neuron %{{customdata}}, {name}<br>{words} = %{{theta:.2f}}°<extra></extra>",
        )
        figure.add_scatterpolar(
            theta=np.degrees(output) % 360,
            r=np.full(len(neurons), radius),
            mode="markers",
            marker={"color": color, "size": 5.5, "line": {"width": 0}},
            customdata=neurons,
            **common,
            hovertemplate=f"neuron %{{customdata}}, {name}<br>θ<sub>w</sub> = %{{theta:.2f}}°"
            "<extra></extra>",
        )
    figure.update_polars(
        bgcolor="rgba(0, 0, 0, 0)",
        radialaxis={
            "range": [0, 1.1],
            "tickvals": radii,
            "showticklabels": False,
            "ticks": "",
            "showline": False,
            "gridcolor": "rgba(128, 138, 155, 0.3)",
        },
        angularaxis={
            "tickvals": list(range(0, 360, 45)),
            "ticktext": ["0", "π/4", "π/2", "3π/4", "π", "5π/4", "3π/2", "7π/4"],
            "gridcolor": "rgba(128, 138, 155, 0.2)",
            "linecolor": "rgba(128, 138, 155, 0.4)",
        },
    )
    rings = (
        "frequency" if len(shown) == len(used) else f"of {len(shown)} of {len(used)} frequencies"
    )
    title = (
        f"{style.plain(task.name)}: phases of neurons, a ring for each {rings} "
        f"(dots: θ<sub>w</sub>, circles: {words})"
    )
    style.styled(figure, title, height=600)
    return figure.update_layout(
        margin={"l": 40, "r": 40, "t": 100, "b": 76},
        showlegend=len(shown) > 1,
        legend={"y": -0.08, "yanchor": "top", "x": 0.5, "xanchor": "center"},
    )


def wheel_caption(run: Run) -> tuple[str, str]:
    """Return the caption: the pattern to look for, and the method."""
    return (
        "In a network of maximum margin every dot lies in the middle of a circle: the phases "
        "add up. The dots of a frequency lie all around its ring, so that terms in the inputs "
        "other than the answer cancel.",
        "Inner rings are lower frequencies; angles are the phases θ of the cosines that fit a "
        f"live neuron's weights at its dominant frequency (of {len(run.task.features)}), "
        "modulo 2π.",
    )
