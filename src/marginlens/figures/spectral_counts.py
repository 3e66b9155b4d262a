"""How many frequencies a network uses, against the order of the cyclic group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Int

from marginlens.figures import style
from marginlens.figures.selection import headed, legend_below, mean_interval, percent

__all__ = ["CountSeries", "LogFit", "spectral_count_figure"]


@dataclass(frozen=True)
class LogFit:
    """A line fitted in the logarithm of the order: count = intercept + slope * ln p."""

    intercept: float
    slope: float

    @property
    def formula(self) -> str:
        """The line, as people read it.

        Examples
        --------
        >>> LogFit(-1.04, 2.3).formula
        '2.3 ln p − 1.04'
        """
        sign = "−" if self.intercept < 0 else "+"
        return (
            f"{style.number(self.slope, 3)} ln p {sign} {style.number(abs(self.intercept), 3)}"
        ).replace("-", "−")


@dataclass(frozen=True, eq=False)
class CountSeries:
    """A number of frequencies of each network, by the order of its group.

    Parameters
    ----------
    name
        What is counted: `"key features"`, `"spectral count"`.
    orders
        The order p of each group.
    counts
        For each order, the count of each seed.
    fit
        The line that was fitted to them, if one was.

    Raises
    ------
    ValueError
        If there is not one array of counts an order, an order is below 2, or one has no seed.
    """

    name: str
    orders: tuple[int, ...]
    counts: tuple[Int[np.ndarray, " seed"], ...]
    fit: LogFit | None = None

    def __post_init__(self) -> None:
        if not self.orders or len(self.counts) != len(self.orders):
            raise ValueError(
                f"{self.name}: give one array of counts for each order, at least one; got "
                f"{len(self.counts)} for {len(self.orders)}"
            )
        for order, counts in zip(self.orders, self.counts, strict=True):
            if order < 2 or len(counts) == 0:
                raise ValueError(
                    f"{self.name}: an order must be at least 2, such as 59, and have a seed; got "
                    f"order {order} with {len(counts)}"
                )


def spectral_count_figure(
    series: tuple[CountSeries, ...] | list[CountSeries], title: str, *, confidence: float = 0.95
) -> go.Figure:
    """Draw the number of frequencies against p: a dot a seed, means with t intervals, fitted lines.

    The axis of p is logarithmic. Dots are moved aside, seed after seed, always in the same way, so
    that equal counts do not hide each other; the series stand side by side. A line is drawn only
    where the record has a fit, with its formula.

    Parameters
    ----------
    series
        What was counted.
    title
        Task, activation and penalty: shown as it is.
    confidence
        Of the intervals of the means.

    Raises
    ------
    ValueError
        If there is no series.
    """
    if not series:
        raise ValueError("there is nothing to draw; give at least one CountSeries")
    orders = sorted({order for one in series for order in one.orders})
    gaps = np.diff(np.log(orders))
    room = 0.7 * float(gaps.min()) if len(gaps) else 0.2
    room = min(room, 0.2) / len(series)
    figure = go.Figure()
    labels = []
    for index, one in enumerate(series):
        color = style.CATEGORICAL[index % len(style.CATEGORICAL)]
        middle = (index + 0.5 - len(series) / 2) * room
        name = style.plain(one.name)
        places = [float(order * np.exp(middle)) for order in one.orders]
        dots = [
            (order * float(np.exp(middle + shift)), int(count), order, seed)
            for order, counts in zip(one.orders, one.counts, strict=True)
            for seed, (count, shift) in enumerate(
                zip(counts, _shifts(len(counts), 0.7 * room), strict=True)
            )
        ]
        figure.add_scatter(
            x=[dot[0] for dot in dots], y=[dot[1] for dot in dots], mode="markers",
            name=f"{name}, each seed", showlegend=False, legendgroup=name,
            marker={"size": 4, "color": color, "opacity": 0.45}, cliponaxis=False,
            customdata=[f"p = {dot[2]}, run {dot[3] + 1}: {dot[1]} {name}" for dot in dots],
            hovertemplate="%{customdata}<extra></extra>",
        )  # fmt: skip
        mean, low, high = np.array([mean_interval(counts, confidence) for counts in one.counts]).T
        about = [
            f"p = {order}, {name}: mean {m:.3g}"
            + (f"<br>{a:.3g} to {b:.3g}" if np.isfinite(a) else "")
            for order, m, a, b in zip(one.orders, mean, low, high, strict=True)
        ]
        label = f"{name}: {one.fit.formula}" if one.fit is not None else name
        labels.append(label)
        figure.add_scatter(
            x=places, y=mean, mode="markers", name=label, legendgroup=name,
            marker={"size": 9, "color": color, "symbol": ("circle", "square", "diamond")[index % 3]},
            error_y={
                "type": "data", "array": np.nan_to_num(high - mean), "color": color,
                "arrayminus": np.nan_to_num(mean - low), "width": 0, "thickness": 2,
            },
            customdata=about, hovertemplate="%{customdata}<extra></extra>",
        )  # fmt: skip
        if one.fit is not None:
            along = np.geomspace(orders[0], orders[-1], 50)
            figure.add_scatter(
                x=along, y=one.fit.intercept + one.fit.slope * np.log(along), mode="lines",
                name=f"{name}, fit", showlegend=False, legendgroup=name, hoverinfo="skip",
                line={"color": color, "width": 1.6, "dash": "dash"},
            )  # fmt: skip
    figure.update_xaxes(
        type="log", title_text="order p of the cyclic group", tickvals=orders,
        ticktext=[str(order) for order in orders],
        range=[np.log10(orders[0]) - 0.06, np.log10(orders[-1]) + 0.06],
    )  # fmt: skip
    figure.update_yaxes(title_text="number of frequencies", rangemode="tozero")
    legend = legend_below(figure, labels)
    note = f"Dots: single runs; marks: means with {percent(confidence)} t intervals"
    note += "; dashed: the fitted line." if any(one.fit for one in series) else "."
    return headed(figure, title, note, height=340 + legend, legend=8, below=62 + legend)


def _shifts(count: int, room: float) -> np.ndarray:
    """Places of seeds around 0: steps of the golden ratio, which fill the room evenly."""
    golden = (np.sqrt(5) - 1) / 2
    return room * ((np.arange(count) * golden + 0.5) % 1 - 0.5)
