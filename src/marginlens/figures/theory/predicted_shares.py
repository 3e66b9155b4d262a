"""Shares of the features in networks of maximum margin, and the neurons that they take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from marginlens.figures import style
from marginlens.theory.group.widths import construction_width

if TYPE_CHECKING:
    from marginlens.theory import Prediction

__all__ = ["predicted_shares_figure"]

_MOST_NAMES = 40
_OPACITY = {"must": 1.0, "may": 0.45, "cannot": 1.0}


def predicted_shares_figure(prediction: Prediction) -> go.Figure | None:
    """Draw the neurons (top) and the predicted share of the norm (bottom) of each feature.

    Bars of shares reach from the least to the greatest share among networks of maximum margin; a line
    marks a share that is the same in all of them. Full colour is a feature that every one uses, pale
    colour one that some do; a feature that none uses has no bar. Diamonds are shares at the penalty's
    strength. Neurons are those of the explicit network of maximum margin.

    Parameters
    ----------
    prediction
        Prediction whose shares are known.

    Returns
    -------
    plotly.graph_objects.Figure
        Figure; None where no theorem gives the shares, or no solver determined one.
    """
    features = prediction.features
    if not features or any(one.least_share is None for one in features):
        return None
    names = [style.plain(one.name) for one in features]
    frequencies = [int(name[2:]) for name in names if name[2:].isdigit() and name[:2] == "k="]
    cyclic = len(frequencies) == len(names)
    axis: list[int] | list[str] = frequencies if cyclic else names
    colors = [style.feature_color(index, len(names)) for index in range(len(names))]
    opacity = [_OPACITY.get(one.status, 1.0) for one in features]
    low = np.array([one.least_share for one in features], dtype=float)
    high = np.array([one.greatest_share for one in features], dtype=float)
    neurons = _neurons(prediction)
    rows = 1 if neurons is None else 2
    heights = [1.0] if neurons is None else [0.34, 0.66]
    figure = make_subplots(
        rows=rows, cols=1, shared_xaxes=True, row_heights=heights, vertical_spacing=0.07
    )
    about = [
        f"{name}, dimension {one.dimension}: {_USES.get(one.status, one.status)}"
        for name, one in zip(names, features, strict=True)
    ]
    if neurons is not None:
        figure.add_bar(
            x=axis,
            y=neurons,
            marker={"color": colors, "opacity": opacity, "line": {"width": 0}},
            customdata=about,
            showlegend=False,
            row=1,
            col=1,
            hovertemplate="%{customdata}<br>%{y} neurons in the explicit network<extra></extra>",
        )
        figure.update_yaxes(title_text="neurons", rangemode="tozero", nticks=4, row=1, col=1)
    figure.add_bar(
        x=axis,
        y=high,
        marker={"color": colors, "opacity": 0.3, "line": {"width": 0}},
        customdata=[
            f"{words}<br>share {_range(*bounds)}"
            for words, *bounds in zip(about, low.tolist(), high.tolist(), strict=True)
        ],
        name="greatest share",
        showlegend=False,
        row=rows,
        col=1,
        hovertemplate="%{customdata}<extra></extra>",
    )
    figure.add_bar(
        x=axis,
        y=low,
        marker={"color": colors, "opacity": 1.0, "line": {"width": 0}},
        name="least share",
        showlegend=False,
        hoverinfo="skip",
        row=rows,
        col=1,
    )
    at = prediction.at_penalty
    if at is not None and at.shares and prediction.penalty is not None:
        size = 9 if len(names) <= 24 else 5
        figure.add_scatter(
            x=axis,
            y=[at.shares[one.name] for one in features],
            mode="markers",
            name=f"at strength {prediction.penalty.strength:g}",
            marker={"symbol": "diamond-open", "size": size, "line": {"width": 1.5}},
            showlegend=True,
            cliponaxis=False,
            row=rows,
            col=1,
            hovertemplate=f"at strength {prediction.penalty.strength:g}: %{{y:.3%}}<extra></extra>",
        )
    figure.update_yaxes(
        title_text="share of norm", tickformat=".2~%", rangemode="tozero", row=rows, col=1
    )
    parity = features[0].type == "coordinate"
    kind = "frequency k" if cyclic else "coordinate" if parity else "feature"
    figure.update_xaxes(title_text=kind, type=None if cyclic else "category", row=rows, col=1)
    if not cyclic and len(names) > _MOST_NAMES:
        figure.update_xaxes(nticks=20)
    width = (
        "" if prediction.sufficient_width is None else f", {prediction.sufficient_width} neurons"
    )
    title = (
        f"{style.plain(prediction.task)}: predicted shares at γ* = "
        f"{style.number(prediction.margin or 0.0, 4)}{width}"
    )
    styled = style.styled(figure, title, height=480 if rows == 2 else 380)
    return styled.update_layout(barmode="overlay", bargap=0.2)


_USES = {
    "must": "every network of maximum margin uses it",
    "may": "some networks of maximum margin use it",
    "cannot": "no network of maximum margin uses it",
}


def _neurons(prediction: Prediction) -> list[int] | None:
    """Return the number of explicit neurons on each feature, or ``None`` if unknown."""
    if prediction.certificate is None:  # a parity's neurons use all its coordinates
        return None
    program, masses = prediction.certificate.program, prediction.certificate.masses
    return [
        construction_width([irrep], masses[[index]], inputs=program.inputs)
        for index, irrep in enumerate(program.group.irrep_classes[1:])
    ]


def _range(low: float, high: float) -> str:
    least, greatest = f"{low:.3%}", f"{high:.3%}"
    return least if least == greatest else f"{least} to {greatest}"
