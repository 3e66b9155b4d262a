"""Figure of the number of frequencies against the order of the cyclic group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float, Int

from marginlens.figures import style
from marginlens.figures.sweep.selection import headed, legend_below, legend_label, percent
from marginlens.measures.ensembles.intervals import mean_interval

__all__ = ["SpectralCounts", "spectral_counts_figure"]


@dataclass(frozen=True, eq=False)
class SpectralCounts:
    """Numbers of frequencies of trained networks, by order of the group.

    Attributes
    ----------
    order
        Order p of each group.
    counts
        Number of frequencies of every seed, for each order.
    what
        Name of the number, such as "key frequencies".
    fit
        Coefficients a and b and the standard error of b of a fitted a + b ln p, or ``None``.

    Raises
    ------
    ValueError
        The numbers of arrays and orders differ, an order is below 2, or an order has no seed.
    """

    order: tuple[int, ...]
    counts: tuple[Int[np.ndarray, " seed"] | Float[np.ndarray, " seed"], ...]
    what: str
    fit: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        if len(self.counts) != len(self.order):
            raise ValueError(
                f"{self.what}: {len(self.counts)} arrays of counts for {len(self.order)} orders; "
                "give one for each"
            )
        for order, counts in zip(self.order, self.counts, strict=True):
            if order < 2 or len(counts) == 0:
                raise ValueError(
                    f"{self.what}: expected an order of at least 2 with a seed, got order "
                    f"{order} with {len(counts)}; for example 59"
                )

    @property
    def formula(self) -> str | None:
        """Formula of the fitted line for readers.

        Examples
        --------
        >>> SpectralCounts((5,), (np.array([1]),), "key", (-1.04, 2.3, 0.1)).formula
        '−1.04 + (2.30 ± 0.10) ln p'
        """
        if self.fit is None:
            return None
        a, b, error = self.fit
        return f"{a:.2f} + ({b:.2f} ± {error:.2f}) ln p".replace("-", "−")


def spectral_counts_figure(
    record: SpectralCounts | Sequence[SpectralCounts], title: str, *, confidence: float = 0.95
) -> go.Figure:
    """Draw the number of frequencies against p: every seed, means with intervals, the fit.

    The axis of p is logarithmic. Seeds are moved aside, always in the same way, so that equal
    counts
    do not hide each other; several records stand side by side. A line is drawn only where a record
    has
    a fit, with its formula.

    Parameters
    ----------
    record
        Counts to draw: one record, or several such as key frequencies and spectral count.
    title
        Title of the figure, shown unchanged.
    confidence
        Confidence level of the means' intervals (Student's).

    Raises
    ------
    ValueError
        The counts are empty.
    """
    series = [record] if isinstance(record, SpectralCounts) else list(record)
    if not any(one.order for one in series):
        raise ValueError("expected counts of at least one order p to draw")
    orders = sorted({order for one in series for order in one.order})
    gaps = np.diff(np.log(orders))
    room = 0.7 * float(gaps.min()) if len(gaps) else 0.2
    room = min(room, 0.2) / len(series)
    figure = go.Figure()
    labels = []
    for index, one in enumerate(series):
        color = style.CATEGORICAL[index % len(style.CATEGORICAL)]
        middle = (index + 0.5 - len(series) / 2) * room
        name = style.plain(one.what)
        places = [float(order * np.exp(middle)) for order in one.order]
        dots = [
            (order * float(np.exp(middle + shift)), float(count), order, seed)
            for order, counts in zip(one.order, one.counts, strict=True)
            for seed, (count, shift) in enumerate(
                zip(counts, _shifts(len(counts), 0.7 * room), strict=True)
            )
        ]
        figure.add_scatter(
            x=[dot[0] for dot in dots],
            y=[dot[1] for dot in dots],
            mode="markers",
            name=f"{name}, each seed",
            showlegend=False,
            legendgroup=name,
            marker={"size": 4, "color": color, "opacity": 0.45},
            cliponaxis=False,
            customdata=[f"p = {dot[2]}, run {dot[3] + 1}: {dot[1]:g} {name}" for dot in dots],
            hovertemplate="%{customdata}<extra></extra>",
        )
        mean, low, high = (
            np.array([mean_interval(counts, confidence=confidence) for counts in one.counts])
            .reshape(-1, 3)
            .T
        )
        about = [
            f"p = {order}, {name}: mean {m:.3g}"
            + (f"<br>{a:.3g} to {b:.3g}" if np.isfinite(a) else "")
            for order, m, a, b in zip(one.order, mean, low, high, strict=True)
        ]
        label = one.what
        if one.formula is not None:  # which is not broken in two
            label += ": " + one.formula.replace(" ", "\N{NO-BREAK SPACE}")
        label = legend_label(label)
        labels.append(label)
        figure.add_scatter(
            x=places,
            y=mean,
            mode="markers",
            name=label,
            legendgroup=name,
            marker={
                "size": 9,
                "color": color,
                "symbol": ("circle", "square", "diamond")[index % 3],
            },
            error_y={
                "type": "data",
                "array": np.nan_to_num(high - mean),
                "color": color,
                "arrayminus": np.nan_to_num(mean - low),
                "width": 0,
                "thickness": 2,
            },
            customdata=about,
            hovertemplate="%{customdata}<extra></extra>",
        )
        if one.fit is not None:
            along = np.geomspace(orders[0], orders[-1], 50)
            figure.add_scatter(
                x=along,
                y=one.fit[0] + one.fit[1] * np.log(along),
                mode="lines",
                name=f"{name}, fit",
                showlegend=False,
                legendgroup=name,
                hoverinfo="skip",
                line={"color": color, "width": 1.6, "dash": "dash"},
            )
    figure.update_xaxes(
        type="log",
        title_text="order p of the cyclic group",
        tickvals=orders,
        ticktext=[str(order) for order in orders],
        range=[np.log10(orders[0]) - 0.06, np.log10(orders[-1]) + 0.06],
    )
    figure.update_yaxes(title_text="number of frequencies", rangemode="tozero")
    legend = legend_below(figure, labels)
    note = f"Dots: single runs; marks: means with {percent(confidence)} t intervals"
    note += (
        "; dashed: a fitted line, ± its standard error." if any(one.fit for one in series) else "."
    )
    return headed(figure, title, note, height=340 + legend, legend=8, below=62 + legend)


def _shifts(count: int, room: float) -> np.ndarray:
    """Places of seeds around 0: steps of the golden ratio, which fill the room evenly."""
    golden = (np.sqrt(5) - 1) / 2
    return room * ((np.arange(count) * golden + 0.5) % 1 - 0.5)
