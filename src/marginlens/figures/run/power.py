"""Histograms of the concentration of neurons' spectra, before and after training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from marginlens.figures import style

if TYPE_CHECKING:
    from marginlens.runs import Run

__all__ = ["power_caption", "power_figure"]

BINS = 50


def power_figure(run: Run) -> go.Figure:
    """Draw histograms of neurons' maximum normalized power at start and end of training.

    A neuron's maximum normalized power is the largest share of its weights' energy on one feature:
    1 for a neuron that uses a single feature, 1/k for one that uses the k coordinates of a parity
    equally. Dead neurons are left out.

    Parameters
    ----------
    run
        Finished run to draw.
    """
    figure = go.Figure()
    edges = np.linspace(0, 1, BINS + 1)
    for label, measurement, color in (
        ("before training", run.first, style.START),
        ("after training", run.measurement, style.END),
    ):
        values = measurement.max_power[np.isfinite(measurement.max_power)]
        counts, _ = np.histogram(np.clip(values, 0, 1), bins=edges)
        dead = int((~np.asarray(measurement.live)).sum())
        figure.add_bar(
            x=(edges[:-1] + edges[1:]) / 2,
            y=counts,
            width=1 / BINS,
            marker_color=color,
            marker_line_width=0,
            opacity=0.85,
            name=label + (f" ({dead} dead, left out)" if dead else ""),
            customdata=np.stack([edges[:-1], edges[1:]], axis=-1),
            hovertemplate=f"{label}<br>%{{y}} neurons with %{{customdata[0]:.0%}} to "
            "%{customdata[1]:.0%}<br>of their energy on one feature<extra></extra>",
        )
    figure.update_xaxes(title_text="maximum normalized power", range=[0, 1.01], tickformat=".0%")
    figure.update_yaxes(title_text="number of neurons", rangemode="tozero")
    title = f"{style.plain(run.task.name)}: how much of each neuron lies in a single feature"
    return style.styled(figure, title, height=380).update_layout(barmode="overlay", bargap=0)


def power_caption(run: Run) -> tuple[str, str]:
    """Return the caption: the pattern to look for, and the method."""
    subset = run.task.subset
    if subset is not None:
        return (
            f"In a network of maximum margin every neuron uses the {len(subset)} coordinates of the "
            f"parity equally, so that each holds {1 / len(subset):.4g} of its energy.",
            "For each live neuron, the largest share of the energy of its input weights on one "
            "coordinate.",
        )
    return (
        "Before training the energy of a neuron is spread over many features; in a network of maximum "
        "margin every live neuron stands at 100 %."
        if run.prediction.margin is not None and run.prediction.proved
        else "Before training the energy of a neuron is spread over many features; the further right "
        "the bars end up, the more each neuron has specialised.",
        "For each live neuron, the largest share of the energy of its weights (u, v and w together) "
        "that lies in one feature.",
    )
