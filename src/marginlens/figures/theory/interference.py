"""Figure of the clock's logits and their lead by the number of frequencies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from marginlens.figures import style
from marginlens.theory import averaged_cosine

if TYPE_CHECKING:
    from marginlens.theory import Interference

__all__ = ["interference_figure"]


def interference_figure(found: Interference) -> go.Figure:
    """Draw the clock's logit by answer (top) and its lead by number of frequencies.

    Top: (1/m) sum_k cos(2 pi k d / n) at d = c - (a + b), for best sets of one, a few and all
    frequencies: the right answer keeps 1 while wrong ones cancel. Bottom: 1 minus the largest wrong
    logit, for the best, the median and the worst set of each size.

    Parameters
    ----------
    found
        Lead of the right answer for each number of frequencies.
    """
    n = found.order
    figure = make_subplots(rows=2, cols=1, row_heights=[0.55, 0.45], vertical_spacing=0.16)
    differences = np.arange(n) - n // 2
    places = sorted({0, _near(found.sizes, 3), len(found.sizes) - 1})
    for rank, place in enumerate(places):
        chosen = found.best_sets[place]
        curve = averaged_cosine(n, chosen)[differences % n]
        words = "1 frequency" if len(chosen) == 1 else f"{len(chosen)} frequencies"
        figure.add_scatter(
            x=differences,
            y=curve,
            mode="lines+markers",
            name=words,
            line={"color": style.feature_color(rank, 4), "width": 1.5},
            marker={"size": 4, "color": style.feature_color(rank, 4)},
            hovertemplate=f"{words}<br>d = %{{x}}: %{{y:.4f}}<extra></extra>",
            row=1,
            col=1,
        )
    for words, values, dash in (
        ("best set", found.best, "solid"),
        ("median", found.median, "dash"),
        ("worst", found.worst, "dot"),
    ):
        figure.add_scatter(
            x=found.sizes,
            y=values,
            mode="lines+markers",
            name=words,
            line={"color": style.MEASURED, "dash": dash},
            marker={"size": 5, "color": style.MEASURED},
            hovertemplate=f"%{{x}} frequencies, {words}: lead %{{y:.4f}}<extra></extra>",
            row=2,
            col=1,
        )
    figure.update_xaxes(title_text="answer c − (a + b)", row=1, col=1)
    figure.update_yaxes(title_text="averaged cosine", row=1, col=1)
    figure.update_xaxes(title_text="number of frequencies", row=2, col=1)
    figure.update_yaxes(title_text="lead of the right answer", rangemode="tozero", row=2, col=1)
    title = f"Modulo {n}: frequencies cancel but at the answer"
    return style.styled(figure, title, height=640)


def _near(sizes: np.ndarray, wanted: int) -> int:
    return int(np.abs(sizes - wanted).argmin())
