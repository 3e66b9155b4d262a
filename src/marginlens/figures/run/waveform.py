"""Figure of the predicted waveform with the trained neurons fitted to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from marginlens.figures import style
from marginlens.measures import WaveformFit, fit_waveform

if TYPE_CHECKING:
    from marginlens.runs import Run

__all__ = ["waveform_caption", "waveform_figure"]

MOST_NEURONS = 60
_SLOTS = ("u", "v", "w")


def waveform_figure(run: Run) -> go.Figure | None:
    """Draw the predicted best neuron, and a run's live neurons fitted to it.

    Each trained neuron is brought to frequency 1, its u and v to the phase of the prediction, and
    all of
    it to the prediction's size by one factor. The dashed line is the cosine that fits the
    prediction
    best. At most 60 neurons are drawn, evenly spaced by the share of their variance that is
    explained.

    Parameters
    ----------
    run
        Finished run to draw.

    Returns
    -------
    Figure or None
        Figure, or ``None`` without a predicted waveform or a live neuron.
    """
    neuron = run.prediction.waveform
    if neuron is None or not np.asarray(run.measurement.live).any():
        return None
    fit = fit_waveform(run.network, run.task, neuron)
    p = neuron.order
    place = np.arange(p) - p // 2
    order = place % p
    figure = make_subplots(rows=1, cols=3, shared_xaxes=True, horizontal_spacing=0.06)
    shown = _shown(fit)
    frames = np.stack([fit.in_frame(index) for index in shown.tolist()])
    for column, slot in enumerate(_SLOTS, start=1):
        weights = getattr(neuron, slot)
        _trained(figure, column, place, frames[:, column - 1][:, order], shown, fit)
        first = column == 1
        figure.add_scatter(
            x=place,
            y=_cosine(weights)[order],
            mode="lines",
            name="its best cosine",
            line={"dash": "dot", "width": 1.6},
            legendgroup="cosine",
            showlegend=first,
            hoverinfo="skip",
            row=1,
            col=column,
        )
        figure.add_scatter(
            x=place,
            y=weights[order],
            mode="lines+markers",
            name="predicted",
            line={"width": 2},
            marker={"size": 4},
            legendgroup="predicted",
            showlegend=first,
            hovertemplate=f"position %{{x}}<br>predicted {slot} = %{{y:.5f}}<extra></extra>",
            row=1,
            col=column,
        )
        figure.update_xaxes(title_text="position × frequency, modulo p", row=1, col=column)
        figure.add_annotation(
            text=f"<b>{slot}</b>",
            x=0.03,
            y=0.98,
            xref="x domain",
            yref="y domain",
            yanchor="top",
            font={"size": 16},
            row=1,
            col=column,
        )
    figure.update_yaxes(title_text="weight, at the prediction's size", row=1, col=1)
    title = (
        f"{style.plain(run.task.name)}, {style.plain(neuron.activation)}: the predicted waveform "
        f"explains {fit.total():.1%} of the variance of the trained neurons, cosines "
        f"{fit.total('cosine'):.1%}"
    )
    return style.styled(figure, title, height=420)


def waveform_caption(run: Run) -> tuple[str, str]:
    """Return the caption: the pattern to look for, and the method."""
    neuron = run.prediction.waveform
    if neuron is None:
        return "No waveform is predicted in this setting.", ""
    return (
        "Thin lines are trained neurons, the thick one was computed before training: the best single "
        f"neuron against the uniform adversary ({neuron.describe()}). Where it leaves the dotted "
        "cosine, trained neurons should follow it.",
        "Each neuron is moved by a frequency, two translations, one amplitude and, where the activation "
        "allows, a sign; a cosine may choose amplitude and phase for u, v and w separately. Shares are "
        "of the variance of u, v and w together, over all live neurons.",
    )


def _trained(
    figure: go.Figure,
    column: int,
    place: np.ndarray,
    values: np.ndarray,
    shown: np.ndarray,
    fit: WaveformFit,
) -> None:
    """Return all trained neurons of one panel as a single trace with gaps."""
    count = len(shown)
    gap = np.full((count, 1), np.nan)
    about = [
        f"neuron {index}, {fit.explained[index]:.2%} explained (cosines {fit.cosine[index]:.2%})"
        for index in shown
    ]
    figure.add_scatter(
        x=np.hstack([np.tile(place.astype(float), (count, 1)), gap]).ravel(),
        y=np.hstack([values, gap]).ravel(),
        text=np.repeat(about, len(place) + 1),
        mode="lines",
        name="trained",
        legendgroup="trained",
        showlegend=column == 1,
        line={"color": style.MEASURED, "width": 0.8},
        opacity=0.45,
        hovertemplate="%{text}<br>position %{x}: %{y:.5f}<extra></extra>",
        row=1,
        col=column,
    )


def _shown(fit: WaveformFit) -> np.ndarray:
    """Live neurons to draw: all, or some at even distances in the order of their fit."""
    live = np.flatnonzero(fit.live)
    ranked = live[np.argsort(fit.explained[live], kind="stable")]
    places = np.linspace(0, len(ranked) - 1, min(MOST_NEURONS, len(ranked))).round().astype(int)
    return ranked[places]


def _cosine(weights: np.ndarray) -> np.ndarray:
    """Mean and dominant frequency of a weight vector."""
    transform = np.fft.rfft(weights)
    kept = np.zeros_like(transform)
    kept[0] = transform[0]
    k = int(np.abs(transform[1:]).argmax()) + 1
    kept[k] = transform[k]
    return np.fft.irfft(kept, n=len(weights))
