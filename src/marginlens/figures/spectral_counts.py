"""How many frequencies a network uses, against p."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float, Int

from marginlens.figures import style
from marginlens.figures.selection import headed
from marginlens.measures.intervals import mean_interval

__all__ = ["SpectralCounts", "spectral_counts_figure"]

_JITTER = 0.04


@dataclass(frozen=True, eq=False)
class SpectralCounts:
    """Numbers of frequencies of trained networks.

    Attributes
    ----------
    order
        p of each.
    counts
        By p: the number of every seed.
    what
        Which number it is, in words.
    fit
        (a, b, standard error of b) of a fitted a + b ln p; None where none was fitted.
    """

    order: tuple[int, ...]
    counts: tuple[Int[np.ndarray, " seed"] | Float[np.ndarray, " seed"], ...]
    what: str
    fit: tuple[float, float, float] | None = None


def spectral_counts_figure(record: SpectralCounts, title: str) -> go.Figure:
    """Draw the number of frequencies against p: every seed, means with intervals, and the fit.

    Raises
    ------
    ValueError
        If there are no counts.
    """
    if not record.order:
        raise ValueError("there are no counts to draw")
    figure = go.Figure()
    x, y = [], []
    for p, counts in zip(record.order, record.counts, strict=True):
        places = np.linspace(-_JITTER, _JITTER, len(counts)) if len(counts) > 1 else np.zeros(1)
        x += (p * (1 + places)).tolist()
        y += counts.astype(float).tolist()
    figure.add_scatter(
        x=x, y=y, mode="markers", name="one network", marker={"size": 5, "color": style.START},
        opacity=0.6, hovertemplate="%{y:g}<extra></extra>",
    )  # fmt: skip
    stats = [mean_interval(counts) for counts in record.counts]
    figure.add_scatter(
        x=record.order, y=[mean for mean, _, _ in stats], mode="markers", name="mean, 95 % interval",
        marker={"size": 10, "color": style.MEASURED, "symbol": "diamond"},
        error_y={
            "type": "data", "color": style.MEASURED, "thickness": 2, "width": 0,
            "array": [high - mean if np.isfinite(high) else 0.0 for mean, _, high in stats],
        },
        hovertemplate="p = %{x}: %{y:.2f}<extra></extra>",
    )  # fmt: skip
    if record.fit is not None:
        a, b, error = record.fit
        curve = np.geomspace(min(record.order), max(record.order), 50)
        figure.add_scatter(
            x=curve, y=a + b * np.log(curve), mode="lines", hoverinfo="skip", line={"dash": "dash"},
            name=f"{a:.2f} + ({b:.2f} ± {error:.2f}) ln p",
        )  # fmt: skip
    figure.update_xaxes(
        type="log", title_text="p", tickvals=list(record.order),
        ticktext=[str(p) for p in record.order],
    )  # fmt: skip
    figure.update_yaxes(title_text=style.plain(record.what), rangemode="tozero")
    note = "Dots: single networks, beside each other. ± is a standard error."
    return headed(figure, title, note, height=330, legend=30)
