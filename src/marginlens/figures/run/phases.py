"""Figure of the sum of input phases against output phases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from marginlens.figures import style

if TYPE_CHECKING:
    from marginlens.runs import Run

__all__ = ["phases_caption", "phases_figure"]

TURN = 2 * np.pi


def phases_figure(run: Run) -> go.Figure | None:
    """Draw the sum of the inputs' phases against the output's for every live neuron.

    Angles are modulo 2 pi: theta_w is taken in [0, 2 pi), and theta_u + theta_v at its value
    nearest to theta_w, so that a point's height over the line is its error.

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
    live = np.asarray(measurement.live) & np.isfinite(measurement.phases).all(axis=-1)
    phases = np.asarray(measurement.phases)[live]
    added, theta_w = phases[:, :-1].sum(1), phases[:, -1]
    dominant = np.asarray(measurement.dominant)[live]
    output = theta_w % TURN
    error = (added - theta_w + np.pi) % TURN - np.pi
    words = " + ".join(f"θ<sub>{slot}</sub>" for slot in task.slots)
    total = len(task.features)
    figure = go.Figure()
    span = [0.0, TURN]
    figure.add_scatter(
        x=span,
        y=span,
        mode="lines",
        line={"width": 1.2, "dash": "dash"},
        opacity=0.7,
        hoverinfo="skip",
        showlegend=False,
    )
    groups = [dominant == index for index in range(total)] if total <= 8 else [dominant >= 0]
    for index, members in enumerate(groups):
        if not members.any():
            continue
        features = dominant[members]
        figure.add_scatter(
            x=output[members],
            y=(output + error)[members],
            mode="markers",
            name=style.plain(task.features[int(features[0])].name),
            marker={
                "size": 7,
                "opacity": 0.85,
                "line": {"width": 0},
                "color": style.feature_color(index, total)
                if total <= 8
                else [task.features[int(f)].frequency for f in features],
                **({} if total <= 8 else _scale(run)),
            },
            customdata=np.stack(
                [
                    np.flatnonzero(live)[members],
                    [style.plain(task.features[int(f)].name) for f in features],
                    np.abs(error[members]).round(6),
                ],
                axis=-1,
            ),
            hovertemplate="neuron %{customdata[0]}, %{customdata[1]}<br>θ<sub>w</sub> = %{x:.4f}"
            f"<br>{words} = %{{y:.4f}}<br>error %{{customdata[2]}} rad"
            "<extra></extra>",
        )
    ticks = {
        "tickvals": [-np.pi, 0, np.pi / 2, np.pi, 3 * np.pi / 2, TURN, 3 * np.pi],
        "ticktext": ["−π", "0", "π/2", "π", "3π/2", "2π", "3π"],
        "showgrid": True,
    }
    reach = max(0.25, 1.05 * float(np.abs(error).max(initial=0.0)))
    figure.update_xaxes(title_text="θ<sub>w</sub> (radians)", range=[-0.25, TURN + 0.25], **ticks)
    figure.update_yaxes(
        title_text=f"{words} (radians, modulo 2π)", range=[-reach, TURN + reach], **ticks
    )
    title = f"{style.plain(task.name)}: phases of the input weights, added, against the output's"
    style.styled(figure, title, height=460)
    return figure.update_layout(showlegend=1 < total <= 8)


def _scale(run: Run) -> dict:
    """Colour scale of frequencies, the same colours as everywhere."""
    features = run.task.features
    return {
        "colorscale": style.feature_colorscale(len(features)),
        "cmin": features[0].frequency,
        "cmax": features[-1].frequency,
        "showscale": True,
        "colorbar": {"title": {"text": "k"}, "thickness": 10, "outlinewidth": 0, "len": 0.9},
    }


def phases_caption(run: Run) -> tuple[str, str]:
    """Return the caption: the pattern to look for, and the method."""
    features = run.task.features
    return (
        "Points on the dashed line are neurons whose input phases add up to the output's; in a "
        "network of maximum margin all of them do.",
        "θ is the phase of the cosine that fits a live neuron's weights in a slot at its dominant "
        f"frequency (one of {len(features)}, by colour); angles are modulo 2π.",
    )
