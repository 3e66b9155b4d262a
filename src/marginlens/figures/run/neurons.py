"""Figure of selected neurons: weights, spectra, and their development."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float, Int, Num
from plotly.subplots import make_subplots

from marginlens.figures import style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from marginlens.groups import FiniteGroup
    from marginlens.measures import Measurement
    from marginlens.runs import Run
    from marginlens.tasks import Task

__all__ = [
    "DrawnNeurons",
    "band_limited",
    "choose_neurons",
    "element_order",
    "label_row",
    "neurons_caption",
    "neurons_figure",
    "round_below",
    "spectra",
]

MOST_FRAMES = 40
CURVE_POINTS = 600
MOST_SEPARATORS = 24


def choose_neurons(measurement: Measurement, count: int = 4) -> list[int]:
    """Choose large live neurons with different features, spread over the features.

    Candidates are each feature's neuron of largest norm. If more than ``count`` of them have at
    least
    half of the largest norm, ``count`` of those are taken at equal distances in the order of
    features; else the largest candidates, and after them the next largest neurons. The answer is
    sorted by feature.

    Parameters
    ----------
    measurement
        Measurement of a network with neurons.
    count
        Number of neurons; fewer are returned if fewer are live.
    """
    norms, dominant = measurement.neuron_norms, measurement.dominant
    live = np.flatnonzero(measurement.live)
    by_norm = [int(neuron) for neuron in live[np.argsort(-norms[live], kind="stable")]]
    champions: dict[int, int] = {}
    for neuron in by_norm:
        champions.setdefault(int(dominant[neuron]), neuron)
    ranked = list(champions.values())
    large = [neuron for neuron in ranked if norms[neuron] >= norms[by_norm[0]] / 2]
    candidates = large if len(large) > count else ranked[:count]
    candidates.sort(key=lambda neuron: int(dominant[neuron]))
    places = np.linspace(0, len(candidates) - 1, min(count, len(candidates))).round().astype(int)
    chosen = [candidates[place] for place in places]
    chosen += [neuron for neuron in by_norm if neuron not in chosen][: count - len(chosen)]
    return sorted(chosen, key=lambda neuron: (int(dominant[neuron]), neuron))


def band_limited(
    values: Float[np.ndarray, "... point"], factor: int
) -> Float[np.ndarray, "... fine"]:
    """Interpolate one period by the trigonometric polynomial of least degree.

    With c = FFT(values) / n, the curve is f(t) = sum_{|k| <= n/2} c_k exp(2 pi i k t / n), the
    highest frequency of an even n being shared by its two signs; f(j) = values[j].

    Parameters
    ----------
    values
        Values of one period, at t = 0, 1, ..., n - 1.
    factor
        Number of points of the curve per value. The curve is closed: it includes t = n, and has
        ``factor * n + 1`` points.

    Raises
    ------
    ValueError
        The factor is not positive.

    Examples
    --------
    >>> curve = band_limited(np.array([1.0, 0.0, -1.0, 0.0]), 2)
    >>> (curve.round(3) + 0.0).tolist()
    [1.0, 0.707, 0.0, -0.707, -1.0, -0.707, 0.0, 0.707, 1.0]
    """
    if factor < 1:
        raise ValueError(
            f"factor: expected a positive number of points, got {factor}; for example 8"
        )
    count = values.shape[-1]
    coefficients = np.fft.rfft(values)
    if count % 2 == 0 and factor > 1:
        coefficients[..., -1] /= 2
    fine = factor * np.fft.irfft(coefficients, n=factor * count)
    return np.concatenate([fine, fine[..., :1]], axis=-1)


def element_order(group: FiniteGroup) -> Int[np.ndarray, " element"]:
    """Return the elements in the order of the figure's axis.

    A cyclic group's are the powers 1, g, g², ... of its generator, so that a feature is a cosine of
    the position; another group's are sorted by conjugacy class.

    Parameters
    ----------
    group
        Finite group with a Cayley table.
    """
    if group.generator is None:
        return np.argsort(group.class_of, kind="stable")
    return group.powers(group.generator)


def spectra(
    task: Task, weights: Num[np.ndarray, "... element"]
) -> Float[np.ndarray, "... feature"]:
    """Return the energy share of each feature: centred for a table, whole for parity.

    A zero vector has no spectrum: its shares are 0.

    Parameters
    ----------
    task
        Task with features of the weights.
    weights
        Weight vectors, shape (..., element).
    """
    vectors = np.asarray(weights, dtype=float)
    if task.elements is not None:
        vectors = vectors - vectors.mean(-1, keepdims=True)
    energy = (vectors**2).sum(-1)
    power = np.stack([feature.power(vectors) for feature in task.features], axis=-1)
    return power / np.where(energy > 0, energy, 1.0)[..., None]


def neurons_figure(
    run: Run,
    *,
    chosen: Sequence[int] | None = None,
    slot: str | None = None,
    most_frames: int = MOST_FRAMES,
) -> go.Figure | None:
    """Draw selected neurons' weights and power spectra, with a slider over training steps.

    One row a neuron. Left, its weight on every element (or coordinate); for a cyclic group with the
    band-limited curve through the points. Right, the share of the centred weights' energy on each
    feature, in the features' colours.

    Parameters
    ----------
    run
        Finished run with snapshots.
    chosen
        Indices of neurons; :func:`choose_neurons` of the final network by default.
    slot
        Slot of the weights (by default the first), or ``"w"`` (the output weights of a table).
    most_frames
        Greatest number of frames; of more snapshots some are shown, the first and the last among
        them.

    Returns
    -------
    Figure or None
        Figure, or ``None`` if every neuron is dead or the run kept no snapshots.

    Raises
    ------
    ValueError
        The slot's weights are not a function of the elements.
    """
    task = run.task
    allowed = (*task.slots, "w") if task.kind == "table" else task.slots
    slot = task.slots[0] if slot is None else slot
    if slot not in allowed:
        raise ValueError(f"slot must be one of {', '.join(allowed)}, got {slot!r}")
    shown = choose_neurons(run.measurement) if chosen is None else list(chosen)
    if not shown or not len(run.snapshot_steps):
        return None
    frames = _frame_indices(len(run.snapshot_steps), most_frames)
    steps = [int(step) for step in np.asarray(run.snapshot_steps)[frames]]
    weights = np.moveaxis(np.asarray(run.snapshots[slot])[frames][:, :, shown], 1, 2)
    order = np.arange(task.size) if task.elements is None else element_order(task.elements)
    data = DrawnNeurons(task, weights[..., order], spectra(task, weights), order)

    figure = make_subplots(
        rows=len(shown),
        cols=2,
        column_widths=[0.66, 0.34],
        horizontal_spacing=0.05,
        vertical_spacing=0.36 / max(len(shown), 3),
        shared_xaxes=True,
    )
    features = run.measurement.dominant[shown]
    for row, neuron in enumerate(shown):
        for column, trace in data.traces(row, int(features[row])):
            figure.add_trace(trace, row=row + 1, col=column)
        name = "" if task.elements is None else task.features[int(features[row])].name
        label_row(figure, row, neuron, name)
        reach = 1.12 * float(np.abs(weights[:, row]).max()) or 1.0
        tick = round_below(0.9 * reach)
        figure.update_yaxes(range=[-reach, reach], tickvals=[-tick, 0, tick], row=row + 1, col=1)
        figure.update_yaxes(
            range=[0, 1.04],
            tickvals=[0, 0.5, 1],
            tickformat=".0%",
            side="right",
            row=row + 1,
            col=2,
        )
    data.axes(figure, len(shown))
    traces = list(range(len(list(figure.select_traces()))))
    figure.frames = [
        go.Frame(name=str(step), data=data.updates(index), traces=traces)
        for index, step in enumerate(steps)
    ]
    _add_player(figure, steps)
    title = (
        f"{style.plain(task.name)}: weights {slot} of {len(shown)} neurons, and their power spectra"
    )
    style.styled(figure, title, height=150 + 168 * len(shown))
    return figure.update_layout(showlegend=False, bargap=0.15, margin={"l": 40, "t": 76, "b": 132})


class DrawnNeurons:
    """Data of the rows: weights in axis order and spectra, by frame and neuron."""

    def __init__(
        self,
        task: Task,
        weights: Num[np.ndarray, "frame neuron element"],
        power: Float[np.ndarray, "frame neuron feature"],
        order: Int[np.ndarray, " element"],
    ) -> None:
        self.task, self.order = task, order
        self.weights = weights.astype(np.float32)
        self.power = power.astype(np.float32)
        self.cyclic = task.elements is not None and task.elements.generator is not None
        self.factor = max(2, min(8, CURVE_POINTS // task.size))
        self.curve = band_limited(weights.astype(float), self.factor).astype(np.float32)

    def traces(self, row: int, feature: int) -> list[tuple[int, Any]]:
        """Return the traces of a row at the last step, with columns, in the order of `updates`."""
        task, total = self.task, len(self.task.features)
        color = style.feature_color(feature, total)
        colors = [style.feature_color(index, total) for index in range(total)]
        names = [style.plain(f.name) for f in task.features]
        result: list[tuple[int, Any]] = []
        if task.elements is None:
            bars = go.Bar(
                x=names,
                y=self.weights[-1, row],
                marker_color=colors,
                hovertemplate="coordinate %{x}<br>weight %{y:.4f}<extra></extra>",
            )
            result.append((1, bars))
        else:
            if self.cyclic:
                fine = (np.arange(self.curve.shape[-1]) / self.factor).astype(np.float32)
                curve = go.Scatter(
                    x=fine,
                    y=self.curve[-1, row],
                    mode="lines",
                    hoverinfo="skip",
                    line={"color": color, "width": 1.5},
                    opacity=0.75,
                )
                result.append((1, curve))
            points = go.Scatter(
                x=np.arange(task.size),
                y=self.weights[-1, row],
                mode="markers",
                marker={"color": color, "size": 5 if task.size <= 150 else 3.5},
                customdata=np.stack([self.order, task.elements.class_of[self.order]], axis=-1),
                hovertemplate="element %{customdata[0]}"
                + ("" if self.cyclic else ", conjugacy class %{customdata[1]}")
                + "<br>weight %{y:.4f}<extra></extra>",
            )
            result.append((1, points))
        spectrum = go.Bar(
            x=self._feature_axis(),
            y=self.power[-1, row],
            marker_color=colors,
            marker_line_width=0,
            customdata=names,
            hovertemplate="%{customdata}<br>%{y:.2%} of the energy<extra></extra>",
        )
        result.append((2, spectrum))
        return result

    def heights(self, frame: int) -> list[Float[np.ndarray, " point"]]:
        """Heights of every trace at a frame, in the order of `traces`."""
        result = []
        for row in range(self.weights.shape[1]):
            if self.cyclic:
                result.append(self.curve[frame, row])
            result += [self.weights[frame, row], self.power[frame, row]]
        return result

    def updates(self, frame: int) -> list[Any]:
        """New heights of every trace at a frame."""
        heights = iter(self.heights(frame))
        result: list[Any] = []
        for _ in range(self.weights.shape[1]):
            if self.task.elements is None:
                result.append(go.Bar(y=next(heights)))
            else:
                if self.cyclic:
                    result.append(go.Scatter(y=next(heights)))
                result.append(go.Scatter(y=next(heights)))
            result.append(go.Bar(y=next(heights)))
        return result

    def axes(self, figure: go.Figure, rows: int) -> None:
        """Name the axes, under the lowest row."""
        task = self.task
        if task.elements is None:
            left, right = "coordinate", "coordinate"
        elif self.cyclic:
            generator = task.elements.generator
            left = "element a" if generator == 1 else f"power of the generator, element {generator}"
            right = "frequency k"
            figure.update_xaxes(range=[-0.5, task.size + 0.5], col=1)
        else:
            left, right = "element, by class", "feature"
            figure.update_xaxes(range=[-0.7, task.size - 0.3], col=1)
            self._separate_classes(figure, rows)
        total = len(task.features)
        low, high = (0.3, total + 0.7) if self.cyclic else (-0.7, total - 0.3)
        # Shared axes leave the range to the first row's bars: set it.
        figure.update_xaxes(range=[low, high], col=2)
        figure.update_xaxes(title_text=left, row=rows, col=1)
        figure.update_xaxes(title_text=right, row=rows, col=2)

    def _separate_classes(self, figure: go.Figure, rows: int) -> None:
        """Mark where one conjugacy class ends and the next begins."""
        group = self.task.elements
        if group is None:
            return
        classes = group.class_of[self.order]
        borders = np.flatnonzero(np.diff(classes)) + 0.5
        figure.update_xaxes(showticklabels=False, ticks="", col=1)
        if len(borders) > MOST_SEPARATORS:
            return
        for row in range(1, rows + 1):
            for border in borders:
                figure.add_shape(
                    type="line",
                    x0=border,
                    x1=border,
                    y0=0,
                    y1=1,
                    yref="y domain",
                    opacity=0.5,
                    line={"width": 1, "dash": "dot"},
                    row=row,
                    col=1,
                )

    def _feature_axis(self) -> list[Any]:
        if self.cyclic:
            return [feature.frequency for feature in self.task.features]
        return [style.plain(feature.name) for feature in self.task.features]


def round_below(value: float) -> float:
    """Return the largest of 1, 2, 5 times a power of ten below a positive value."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(max(digit * power for digit in (1, 2, 5) if digit * power <= value))


def _frame_indices(snapshots: int, most: int) -> Int[np.ndarray, " frame"]:
    """At most so many snapshots, the first and the last among them."""
    return np.unique(np.linspace(0, snapshots - 1, min(snapshots, most)).round().astype(int))


def label_row(figure: go.Figure, row: int, neuron: int, feature: str) -> None:
    """Label the neuron of a row, and its bars."""
    axis = "" if row == 0 else str(2 * row + 1)
    label = f"<b>neuron {neuron}</b>" + (f" · {style.plain(feature)}" if feature else "")
    texts = [(axis, label)]
    texts.append((str(2 * row + 2), "power" if row == 0 else ""))
    for name, text in texts:
        if text:
            figure.add_annotation(
                x=0,
                y=1.03,
                xref=f"x{name} domain",
                yref=f"y{name} domain",
                text=text,
                xanchor="left",
                yanchor="bottom",
            )


def _add_player(figure: go.Figure, steps: list[int]) -> None:
    """Add a slider over the steps and a play button."""
    now = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}}
    still = {**now, "transition": {"duration": 0}}
    play = {
        "mode": "immediate",
        "fromcurrent": True,
        "frame": {"duration": 110, "redraw": True},
        "transition": {"duration": 0},
    }
    figure.update_layout(
        sliders=[
            {
                "active": len(steps) - 1,
                "currentvalue": {"prefix": "training step "},
                "x": 0.16,
                "len": 0.84,
                "y": 0,
                "pad": {"t": 56, "b": 0},
                "steps": [
                    {"label": str(step), "method": "animate", "args": [[str(step)], still]}
                    for step in steps
                ],
            }
        ],
        updatemenus=[
            {
                "type": "buttons",
                "direction": "left",
                "showactive": False,
                "x": 0,
                "xanchor": "left",
                "y": 0,
                "yanchor": "top",
                "pad": {"t": 74, "r": 8},
                "buttons": [
                    {"label": "▶", "method": "animate", "args": [None, play]},
                    {"label": "❚❚", "method": "animate", "args": [[None], still]},
                ],
            }
        ],
    )


def neurons_caption(run: Run) -> tuple[str, str]:
    """Return the caption: the pattern to look for, and the method."""
    task = run.task
    if task.subset is not None:
        return (
            "Move the slider or press play: weights that begin as noise should end equal in size on "
            f"the {len(task.subset)} coordinates of the parity and zero on all others.",
            "Left the input weights of live neurons of the largest norms; right the share of their "
            "energy on each coordinate.",
        )
    end = (
        "The curve is the Fourier interpolation of all points."
        if task.elements is not None and task.elements.generator is not None
        else "Dotted lines separate the conjugacy classes."
    )
    return (
        "Move the slider or press play: weights that begin as noise settle into a single feature, "
        "while their power spectrum collapses onto one bar.",
        "Points are the input weights u of live neurons of the largest norms with different "
        f"features; bars the share of their centred energy in each feature. {end}",
    )
