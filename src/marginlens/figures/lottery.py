"""Initial magnitude against misalignment: which frequency of each neuron wins the lottery."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from marginlens.figures import style
from marginlens.measures import ticket_time

if TYPE_CHECKING:
    from marginlens.measures import Lottery
    from marginlens.runs import Run

__all__ = ["lottery_caption", "lottery_chart", "lottery_figure"]

LOSER = "#8a93a3"
RIGHT = style.CATEGORICAL[0]
WRONG = style.CATEGORICAL[1]
MOST_POINTS = 4000
"""Tickets drawn: as many neurons as have no more than these."""


def lottery_figure(run: Run) -> go.Figure | None:
    """Draw the lottery of a run's first member; None where there is none (:attr:`Run.lottery`)."""
    if run.lottery is None or not run.lottery.live:
        return None
    return lottery_chart(run.lottery)


def lottery_chart(lottery: Lottery) -> go.Figure:
    """Draw each neuron's tickets before training, and mark the frequency that it ended with.

    Across: the misalignment |D|; up: the geometric mean of the three magnitudes. The dashed line
    holds tickets of three equal magnitudes that grow in the same time, that of the median neuron's
    first.

    Parameters
    ----------
    lottery
        With at least one live neuron.
    """
    tickets, features = lottery.tickets, len(lottery.frequencies)
    neurons = np.flatnonzero(lottery.final >= 0)[: max(1, MOST_POINTS // features)]
    final = lottery.final[neurons]
    predicted = tickets.winner("time")[neurons]
    size = np.cbrt(tickets.product[neurons])
    angle = np.abs(tickets.misalignment[neurons])
    rows = np.arange(len(neurons))
    lost = np.ones(size.shape, dtype=bool)
    lost[rows, final] = False
    figure = go.Figure()
    figure.add_scatter(
        x=_short(angle[lost]), y=_short(size[lost]), mode="markers", name="another frequency",
        marker={"size": 4, "color": LOSER, "opacity": 0.3}, hoverinfo="skip",
    )  # fmt: skip
    for right, name, color in (
        (True, "where the neuron ended, as predicted", RIGHT),
        (False, "where it ended, not as predicted", WRONG),
    ):
        chosen = (predicted == final) == right
        if not chosen.any():
            continue
        k = np.array(lottery.frequencies)
        figure.add_scatter(
            x=_short(angle[rows, final][chosen]), y=_short(size[rows, final][chosen]),
            mode="markers", name=name, marker={"size": 7, "color": color, "opacity": 0.85},
            customdata=np.stack([neurons, k[final], k[predicted]], axis=-1)[chosen],
            hovertemplate="neuron %{customdata[0]}: k = %{customdata[1]}, predicted "
            "%{customdata[2]}<br>misalignment %{x:.3f}<br>magnitude %{y:.4g}<extra></extra>",
        )  # fmt: skip
    top = 1.06 * float(size.max())
    _add_front(figure, tickets.time.min(axis=1), lottery, top)
    figure.update_xaxes(
        title_text="misalignment |θ<sub>u</sub> + θ<sub>v</sub> − θ<sub>w</sub>| at the start",
        range=[-0.06, np.pi + 0.06], tickvals=[0, np.pi / 4, np.pi / 2, 3 * np.pi / 4, np.pi],
        ticktext=["0", "π/4", "π/2", "3π/4", "π"],
    )  # fmt: skip
    figure.update_yaxes(title_text="magnitude at the start (|û| |v̂| |ŵ|)<sup>1/3</sup>",
                        range=[0, top])  # fmt: skip
    best = lottery.scores["time"]
    title = (
        f"{style.plain(lottery.task)}: the lottery of frequencies, {best.share:.1%} of "
        f"{lottery.live} neurons predicted from the start (chance {lottery.chance:.1%})"
    )
    return style.styled(figure, title, height=460)


def _add_front(figure: go.Figure, first: np.ndarray, lottery: Lottery, top: float) -> None:
    """The line of equal magnitudes whose time is the median neuron's."""
    angles = np.linspace(0, np.pi, 181)[:-1]
    ones = np.ones_like(angles)
    alone = ticket_time(
        ones, ones, ones, angles, order=lottery.order, tied=lottery.tied
    )  # at magnitude 1, and 1 / m of it at m
    middle = float(np.median(first[lottery.final >= 0]))
    line = alone / middle
    shown = line <= top
    figure.add_scatter(
        x=_short(angles[shown]), y=_short(line[shown]), mode="lines", hoverinfo="skip",
        name="equal time to grow", line={"dash": "dash", "width": 1.5},
    )  # fmt: skip


def _short(values: np.ndarray) -> np.ndarray:
    return np.array([float(f"{value:.4g}") for value in values])


def lottery_caption(run: Run) -> tuple[str, str]:
    """What to look for, and how it is computed."""
    lottery = run.lottery
    if lottery is None or not lottery.scores:
        return (
            "No neuron is alive, or this task has no lottery of frequencies.",
            "The lottery is one of two inputs of a cyclic group.",
        )
    words = ", ".join(f"{name} {score.share:.1%}" for name, score in lottery.scores.items())
    best = lottery.scores["time"]
    return (
        "Each neuron starts with a little of every frequency, and ends with one: it should be a point "
        "to the upper left, large and well aligned, near or above the dashed line.",
        "The frequency predicted is the one that would be infinite first under gradient flow from small "
        "weights, a closed form of the three magnitudes and the misalignment; it is right for "
        f"{best.right} of {lottery.live} live neurons (95 % interval {best.low:.1%} to "
        f"{best.high:.1%}). Shares right by rule: {words}; chance {lottery.chance:.1%}. It is "
        "derived for x^2, gradient descent and small initial weights, and only measured elsewhere.",
    )
