"""Figures of the guided tour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from marginlens.figures import style
from marginlens.theory import Interference, Prediction, averaged_cosine

__all__ = [
    "answer_figure",
    "cancelling_figure",
    "dial_figure",
    "frequencies_figure",
    "ranges_figure",
    "signs_figure",
]

_HANDS = (style.CATEGORICAL[2], style.CATEGORICAL[3])  # a and b
_RIGHT = style.CATEGORICAL[1]
_OTHER = style.START
_LABELLED = 24  # numbers round a dial that all have a label


def dial_figure(order: int, frequency: int, first: int, second: int) -> go.Figure:
    """Draw addition modulo n as hands on a dial: x is the angle 2 pi k x / n, clockwise.

    Parameters
    ----------
    order, frequency
        Modulus n, and frequency k.
    first, second
        Summands a and b.
    """
    total = (first + second) % order
    ring = _place(np.arange(order), order, frequency)
    figure = go.Figure()
    step = 1 if order <= _LABELLED else int(np.ceil(order / 16))
    # a place of the dial has several numbers where k and n have a common divisor: the first names it
    period = order // int(np.gcd(order, frequency))
    named = [
        str(x) if x < period and (x * frequency % order) % step == 0 else "" for x in range(order)
    ]
    figure.add_scatter(
        x=ring[0],
        y=ring[1],
        mode="markers",
        marker={"size": 5, "color": _OTHER},
        showlegend=False,
        customdata=np.arange(order),
        hovertemplate="%{customdata}<extra></extra>",
    )
    figure.add_scatter(
        x=1.15 * ring[0],
        y=1.15 * ring[1],
        mode="text",
        text=named,
        showlegend=False,
        hoverinfo="skip",
        textfont={"size": 11},
    )
    hands = (
        (f"a = {first}", first, _HANDS[0], 0.62, "dot"),
        (f"b = {second}", second, _HANDS[1], 0.8, "dash"),
        (f"a + b = {total}", total, _RIGHT, 0.96, "solid"),
    )
    for name, value, color, length, dash in hands:
        x, y = _place(np.array([value]), order, frequency)
        figure.add_scatter(
            x=[0, length * x[0]],
            y=[0, length * y[0]],
            mode="lines+markers",
            name=name,
            line={"color": color, "width": 4, "dash": dash},
            marker={"color": color, "size": [0, 9], "opacity": 1},
            hoverinfo="name",
        )
    across = {"visible": False, "range": [-1.3, 1.3], "fixedrange": True}
    figure.update_xaxes(**across)
    figure.update_yaxes(**across, scaleanchor="x")
    return style.styled(figure, f"Hands of a clock of {order} hours", height=430)


def _place(numbers: np.ndarray, order: int, frequency: int) -> tuple[np.ndarray, np.ndarray]:
    angle = 2 * np.pi * (numbers * frequency % order) / order
    return np.sin(angle), np.cos(angle)


def answer_figure(order: int, frequency: int, first: int, second: int) -> go.Figure:
    """Draw cos(2 pi k (a + b - c) / n) of each answer c, with the right one marked.

    Parameters
    ----------
    order, frequency
        Modulus n, and frequency k.
    first, second
        Summands a and b.
    """
    total = (first + second) % order
    answers = np.arange(order)
    scores = averaged_cosine(order, [frequency])[(first + second - answers) % order]
    figure = go.Figure(
        go.Bar(
            x=answers,
            y=scores,
            marker_line_width=0,
            showlegend=False,
            marker_color=[_RIGHT if c == total else style.MEASURED for c in answers],
            hovertemplate="answer %{x}: %{y:.4f}<extra></extra>",
        )
    )
    figure.add_annotation(x=total, y=1, text=f"c = {total}", yanchor="bottom")
    figure.update_xaxes(title_text="answer c", range=[-0.8, order - 0.2])
    figure.update_yaxes(title_text="cos of the difference", range=[-1.12, 1.25])
    return style.styled(figure, "What each answer is given", height=380)


def cancelling_figure(order: int, frequencies: Sequence[int]) -> go.Figure:
    """Draw cosines of some frequencies (faint) and their average against c - (a + b).

    Parameters
    ----------
    order
        Modulus n of the addition.
    frequencies
        Frequencies k of the cosines.
    """
    half = order // 2
    differences = np.arange(-half, order - half)
    figure = go.Figure()
    for index, k in enumerate(frequencies[:12]):
        figure.add_scatter(
            x=differences,
            y=averaged_cosine(order, [k])[differences % order],
            mode="lines",
            opacity=0.28,
            hoverinfo="skip",
            name="each" if index == 0 else f"k={k}",
            line={"color": style.MEASURED, "width": 1},
            showlegend=index == 0 and len(frequencies) > 1,
        )
    average = averaged_cosine(order, frequencies)[differences % order]
    figure.add_scatter(
        x=differences,
        y=average,
        mode="lines+markers",
        name="average",
        line={"color": style.MEASURED, "width": 2.5},
        marker={
            "opacity": 1,
            "size": [10 if d == 0 else 5 for d in differences],
            "color": [_RIGHT if d == 0 else style.MEASURED for d in differences],
        },
        hovertemplate="%{x} off: %{y:.4f}<extra></extra>",
    )
    wrong = float(np.delete(average, half).max())
    style.reference_line(figure, wrong, f"best wrong answer: {wrong:.3f}", dash="dash", end="right")
    figure.update_xaxes(title_text="how far an answer is off, c − (a + b)")
    figure.update_yaxes(title_text="averaged cosine", range=[-1.1, 1.15])
    words = "1 frequency" if len(frequencies) == 1 else f"{len(frequencies)} frequencies"
    return style.styled(figure, f"{words} modulo {order}, averaged", height=400)


def frequencies_figure(found: Interference, chosen: int) -> go.Figure:
    """Draw the margin of the best set of m frequencies, as a share of gamma*, against m.

    With equal shares of the norm, m frequencies that lead by l reach l (n - 1) / n of gamma*.

    Parameters
    ----------
    found
        Lead of the right answer for each number of frequencies.
    chosen
        Number of frequencies to mark.
    """
    share = found.best * (found.order - 1) / found.order
    figure = go.Figure(
        go.Scatter(
            x=found.sizes,
            y=share,
            mode="lines+markers",
            showlegend=False,
            line={"color": style.MEASURED, "width": 2},
            marker={
                "opacity": 1,
                "size": [13 if m == chosen else 6 for m in found.sizes],
                "color": [_RIGHT if m == chosen else style.MEASURED for m in found.sizes],
            },
            hovertemplate="%{x} frequencies: %{y:.2%} of γ*<extra></extra>",
        )
    )
    style.reference_line(figure, 1.0, "maximum γ*: all frequencies", dash="dash")
    figure.update_xaxes(title_text="number of frequencies used")
    figure.update_yaxes(title_text="margin / γ*", tickformat=".0%", range=[-0.03, 1.18])
    return style.styled(figure, "Margin, for weights of the same size", height=400)


def ranges_figure(prediction: Prediction, chosen: int) -> go.Figure:
    """Draw each feature's share of the norm at the maximum margin, with its range.

    Parameters
    ----------
    prediction
        Prediction with the shares of features.
    chosen
        Index of the feature to mark.
    """
    features = prediction.features
    low = np.array([feature.least_share or 0.0 for feature in features])
    high = np.array([feature.greatest_share or 0.0 for feature in features])
    names = [style.plain(feature.name) for feature in features]
    labels = [
        "cannot" if feature.status == "cannot" else f"{most:.1%}"
        for feature, most in zip(features, high, strict=True)
    ]
    figure = go.Figure(
        go.Bar(
            x=names,
            y=high,
            marker_line_width=0,
            showlegend=False,
            textposition="outside",
            text=labels,
            cliponaxis=False,
            textangle=0,
            marker_color=[style.feature_color(i, len(features)) for i in range(len(features))],
            marker_opacity=[1.0 if i == chosen else 0.45 for i in range(len(features))],
            customdata=[
                f"{name}, dimension {f.dimension}: <i>{f.status}</i><br>{a:.3%} to {b:.3%}"
                for name, f, a, b in zip(names, features, low, high, strict=True)
            ],
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
    figure.update_xaxes(title_text="irrep class, by degree")
    figure.update_yaxes(
        title_text="share of norm", tickformat=".0%", range=[0, 1.18 * float(high.max(initial=0.1))]
    )
    title = f"{style.plain(prediction.task)}: share of each irrep at the maximum margin"
    return style.styled(figure, title, height=380)


def signs_figure(weights: Float[np.ndarray, "coordinate neuron"]) -> go.Figure:
    """Draw the input weights of a parity's neurons: a row a neuron, a column a coordinate.

    Parameters
    ----------
    weights
        Input weights of a parity network, shape (coordinate, neuron).
    """
    size = float(np.abs(weights).max()) or 1.0
    coordinates, neurons = weights.shape
    figure = go.Figure(
        go.Heatmap(
            z=weights.T / size,
            zmin=-1,
            zmax=1,
            xgap=3,
            ygap=3,
            showscale=False,
            x=[f"x{i + 1}".translate(_SUBSCRIPTS) for i in range(coordinates)],
            y=[str(i + 1) for i in range(neurons)],
            colorscale=[(0, _RIGHT), (0.5, "rgba(138,147,163,0.16)"), (1, style.MEASURED)],
            text=[["" if not v else "+" if v > 0 else "−" for v in row] for row in weights.T],
            texttemplate="%{text}" if neurons <= 16 else None,
            textfont={"color": "#ffffff", "size": 15 if neurons <= 8 else 12},
            customdata=weights.T,
            hovertemplate="neuron %{y}, %{x}: %{customdata:.4f}<extra></extra>",
        )
    )
    figure.update_xaxes(title_text="coordinate", showline=False, ticks="")
    figure.update_yaxes(
        title_text="neuron",
        type="category",
        autorange="reversed",
        showgrid=False,
        ticks="",
        nticks=9,
    )
    height = 150 + 34 * min(neurons, 8) if neurons <= 8 else 460
    return style.styled(figure, "Input weights of every neuron", height=height)


_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
