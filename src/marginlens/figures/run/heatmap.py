"""Heat map of neurons and features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Int

from marginlens.figures import style

if TYPE_CHECKING:
    from marginlens.measures import Measurement
    from marginlens.runs import Run

__all__ = ["heatmap_caption", "heatmap_figure", "sorted_neurons"]

MOST_NEURONS = 400
MOST_CELLS = 40_000
_FULL = 999
"""A feature's colours are 1000 whole numbers: none of its power, to all of it."""


def sorted_neurons(measurement: Measurement) -> Int[np.ndarray, " neuron"]:
    """Return live neurons by dominant feature, and within it by descending power.

    Parameters
    ----------
    measurement
        Measurement of a network with neurons.

    Examples
    --------
    >>> from marginlens.measures import measure
    >>> from marginlens.networks import construct
    >>> from marginlens.tasks import task
    >>> found = measure(construct(task("C5")), task("C5"))
    >>> found.dominant[sorted_neurons(found)].tolist()
    [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]
    """
    live = np.flatnonzero(measurement.live)
    return live[np.lexsort((-measurement.max_power[live], measurement.dominant[live]))]


def heatmap_figure(run: Run) -> go.Figure | None:
    """Draw the share of each neuron's energy in each feature, in the feature's colour.

    Rows are live neurons (all weights of each together; the input weights of a parity), sorted by
    :func:`sorted_neurons`; columns are features. The opacity of a cell is its share, relative to
    the largest if all are small. Of too many neurons, equally spaced ones in that order are drawn;
    the title has their number and the meaning of full colour.

    Parameters
    ----------
    run
        Finished run to draw.

    Returns
    -------
    Figure or None
        Figure, or ``None`` if every neuron is dead.
    """
    task, measurement = run.task, run.measurement
    total = len(task.features)
    order = sorted_neurons(measurement)
    if not len(order):
        return None
    most = max(1, min(MOST_NEURONS, MOST_CELLS // total))
    shown = order
    if len(order) > most:
        shown = order[np.linspace(0, len(order) - 1, most).round().astype(int)]
    power = np.clip(measurement.spectrum["all"][shown], 0, 1)
    # a parity's neurons share their energy between coordinates: no cell comes near all of it
    reach = float(power.max()) if power.max() < 0.8 else 1.0
    names = [style.plain(feature.name) for feature in task.features]
    cyclic = all(feature.frequency is not None for feature in task.features)
    axis: list[Any] = [feature.frequency for feature in task.features] if cyclic else names
    figure = go.Figure(
        go.Heatmap(
            x=axis,
            y=[str(neuron) for neuron in shown],
            z=_cells(power / (reach or 1.0)),
            customdata=np.round(100 * power).astype(np.uint8),
            colorscale=_colors(total),
            zmin=0,
            zmax=(_FULL + 1) * total - 1,
            showscale=False,
            hovertemplate="neuron %{y}, "
            + ("k = %{x}" if cyclic else "%{x}")
            + "<br>%{customdata} % of its energy<extra></extra>",
        )
    )
    kind = "frequency k" if cyclic else "coordinate" if task.kind == "parity" else "feature"
    # Plotly guesses intervals from neighbouring values: one feature alone has none
    figure.update_xaxes(title_text=kind, type=None if cyclic else "category")
    figure.update_yaxes(
        title_text="neurons, by feature",
        autorange="reversed",
        type="category",
        showgrid=False,
        showticklabels=False,
        ticks="",
    )
    of = "" if len(shown) == len(order) else f" {len(shown)} of"
    title = (
        f"{style.plain(task.name)}: the spectra of{of} {len(order)} live neurons (full colour: "
        f"{reach:.0%} of a neuron's energy)"
    )
    return style.styled(figure, title, height=480)


def _cells(power: np.ndarray) -> np.ndarray:
    """Shares as places in the colours of all features."""
    base = (_FULL + 1) * np.arange(power.shape[1])
    return (base + np.round(_FULL * power)).astype(np.uint32)


def _colors(total: int) -> list[tuple[float, str]]:
    """Each feature's colour from transparent to opaque, one feature after the other."""
    last = (_FULL + 1) * total - 1
    result = []
    for index in range(total):
        color = style.feature_color(index, total)
        red, green, blue = (int(color[start : start + 2], 16) for start in (1, 3, 5))
        for place, opacity in ((0, 0), (_FULL, 1)):
            where = ((_FULL + 1) * index + place) / last
            result.append((where, f"rgba({red}, {green}, {blue}, {opacity})"))
    return result


def heatmap_caption(run: Run) -> tuple[str, str]:
    """Return the caption: the pattern to look for, and the method."""
    if run.task.subset is not None:
        return (
            f"The {len(run.task.subset)} coordinates of the parity should share every row equally, and "
            "all other columns should be empty.",
            "Rows are live neurons; a cell is as opaque as the coordinate's share of the energy of "
            "the neuron's input weights.",
        )
    return (
        "A staircase of full cells is a network in which every neuron has one feature; a row with "
        "several pale cells is a neuron that mixes them.",
        "Rows are live neurons, sorted by dominant feature and power; a cell is as opaque as the "
        "feature's share of the energy of the neuron's weights (u, v and w together).",
    )
