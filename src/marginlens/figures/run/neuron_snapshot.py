"""Weights and power spectra of neurons at one step, of any network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float, Int
from plotly.subplots import make_subplots

from marginlens.figures import style
from marginlens.figures.run.neurons import (
    DrawnNeurons,
    element_order,
    label_row,
    round_below,
    spectra,
)
from marginlens.tasks import Task

__all__ = ["moment_figure", "moment_heights"]


def moment_figure(
    task: Task,
    weights: Float[np.ndarray, "element neuron"],
    neurons: Sequence[int],
    *,
    what: str,
    reach: Float[np.ndarray, " neuron"] | None = None,
    dominant: Int[np.ndarray, " neuron"] | None = None,
) -> go.Figure:
    """Draw some neurons' weights in one slot, and their energy in each feature.

    Parameters
    ----------
    task
        Task with features of the neurons.
    weights
        Weights of the drawn neurons in one slot, shape (element, neuron).
    neurons
        Indices of these neurons in the network.
    what
        Last words of the title.
    reach
        Greatest magnitude of each neuron's axis; by default 1.12 times its own.
    dominant
        Feature that decides each neuron's colour; by default that of the most energy.
    """
    data = _drawn(task, weights)
    found = data.power[0].argmax(1) if dominant is None else dominant
    rows = len(neurons)
    figure = make_subplots(
        rows=rows,
        cols=2,
        column_widths=[0.66, 0.34],
        horizontal_spacing=0.05,
        vertical_spacing=0.36 / max(rows, 3),
        shared_xaxes=True,
    )
    for row, neuron in enumerate(neurons):
        for column, trace in data.traces(row, int(found[row])):
            figure.add_trace(trace, row=row + 1, col=column)
        name = "" if task.elements is None else task.features[int(found[row])].name
        label_row(figure, row, int(neuron), name)
        own = 1.12 * float(np.abs(weights[:, row]).max()) if reach is None else float(reach[row])
        own = own or 1.0
        tick = round_below(0.9 * own)
        figure.update_yaxes(range=[-own, own], tickvals=[-tick, 0, tick], row=row + 1, col=1)
        figure.update_yaxes(
            range=[0, 1.04],
            tickvals=[0, 0.5, 1],
            tickformat=".0%",
            side="right",
            row=row + 1,
            col=2,
        )
    data.axes(figure, rows)
    style.styled(figure, f"{style.plain(task.name)}: {what}", height=120 + 150 * rows)
    return figure.update_layout(showlegend=False, bargap=0.15, margin={"l": 40, "b": 56})


def moment_heights(
    task: Task, weights: Float[np.ndarray, "element neuron"]
) -> list[Float[np.ndarray, " point"]]:
    """Return the heights of the traces of :func:`moment_figure`, in their order.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> weights = np.cos(2 * np.pi * np.arange(5) / 5)[:, None]
    >>> curve, points, bars = moment_heights(task("C5"), weights)
    >>> points.shape, bars.round(6).tolist()
    ((5,), [1.0, 0.0])
    """
    return _drawn(task, weights).heights(0)


def _drawn(task: Task, weights: Float[np.ndarray, "element neuron"]) -> DrawnNeurons:
    order = np.arange(task.size) if task.elements is None else element_order(task.elements)
    rows = np.ascontiguousarray(weights.T[None], dtype=np.float64)
    return DrawnNeurons(task, rows[..., order], spectra(task, rows), order)
