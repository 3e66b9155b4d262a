"""Figure of the lottery of frequencies."""

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
    """Draw the lottery of a run's first member, or return ``None`` (:attr:`Run.lottery`).

    Parameters
    ----------
    run
        Finished run to draw.
    """
    if run.lottery is None or not run.lottery.live:
        return None
    return lottery_chart(run.lottery)


def lottery_chart(lottery: Lottery) -> go.Figure:
    """Draw each neuron's tickets before training, and mark its final frequency.

    Across: the misalignment |D|; up: the geometric mean of the three magnitudes, in units of what
    would grow, aligned and of three equal magnitudes, at the time of the neuron's first frequency.
    The dashed line holds all tickets of equal magnitudes that grow at that time.

    Parameters
    ----------
    lottery
        Lottery with at least one live neuron.
    """
    tickets, features = lottery.tickets, len(lottery.frequencies)
    neurons = np.flatnonzero(lottery.final >= 0)[: max(1, MOST_POINTS // features)]
    final = lottery.final[neurons]
    predicted = tickets.winner("time")[neurons]
    aligned, front, angles = _front(lottery)
    size = np.cbrt(tickets.product[neurons]) * tickets.time[neurons].min(axis=1, keepdims=True)
    size = size / aligned
    angle = np.abs(tickets.misalignment[neurons])
    rows = np.arange(len(neurons))
    lost = np.ones(size.shape, dtype=bool)
    lost[rows, final] = False
    figure = go.Figure()
    figure.add_scatter(
        x=_short(angle[lost]),
        y=_short(size[lost]),
        mode="markers",
        name="its other frequencies",
        marker={"size": 4, "color": LOSER, "opacity": 0.3},
        hoverinfo="skip",
    )
    for right, name, color in (
        (True, "where a neuron ended, as predicted", RIGHT),
        (False, "not as predicted", WRONG),
    ):
        chosen = (predicted == final) == right
        if not chosen.any():
            continue
        k = np.array(lottery.frequencies)
        figure.add_scatter(
            x=_short(angle[rows, final][chosen]),
            y=_short(size[rows, final][chosen]),
            mode="markers",
            name=name,
            marker={"size": 7, "color": color, "opacity": 0.85},
            customdata=np.stack([neurons, k[final], k[predicted]], axis=-1)[chosen],
            hovertemplate="neuron %{customdata[0]}: k = %{customdata[1]}, predicted "
            "%{customdata[2]}<br>misalignment %{x:.3f}<br>relative magnitude %{y:.4g}<extra></extra>",
        )
    top = 1.06 * float(size.max())
    shown = front <= top
    figure.add_scatter(
        x=_short(angles[shown]),
        y=_short(front[shown]),
        mode="lines",
        hoverinfo="skip",
        name="grows at the time of the first",
        line={"dash": "dash", "width": 1.5},
    )
    figure.update_xaxes(
        title_text="misalignment |θ<sub>u</sub> + θ<sub>v</sub> − θ<sub>w</sub>| at the start",
        range=[-0.06, np.pi + 0.06],
        tickvals=[0, np.pi / 4, np.pi / 2, 3 * np.pi / 4, np.pi],
        ticktext=["0", "π/4", "π/2", "3π/4", "π"],
    )
    figure.update_yaxes(title_text="relative magnitude (|û| |v̂| |ŵ|)<sup>1/3</sup>", range=[0, top])
    best = lottery.scores["time"]
    title = (
        f"{style.plain(lottery.task)}: the lottery of frequencies, {best.share:.1%} of "
        f"{lottery.live} neurons predicted from the start (chance {lottery.chance:.1%})"
    )
    style.styled(figure, title, height=480)
    return figure.update_layout(margin={"t": 104})  # the legend has two lines


def _front(lottery: Lottery) -> tuple[float, np.ndarray, np.ndarray]:
    """Return time, relative magnitudes and misalignments of equally fast tickets."""
    angles = np.linspace(0, np.pi, 181)[:-1]
    ones = np.ones_like(angles)
    alone = ticket_time(ones, ones, ones, angles, order=lottery.order, tied=lottery.tied)
    return float(alone[0]), alone / alone[0], angles


def _short(values: np.ndarray) -> np.ndarray:
    return np.array([float(f"{value:.4g}") for value in values])


def lottery_caption(run: Run) -> tuple[str, str]:
    """Return the caption: the pattern to look for, and the method."""
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
        "to the upper left, large and well aligned, near the dashed line, with its others below it.",
        "The frequency predicted is the one that would be infinite first under gradient flow "
        "from small weights, a closed form of the three magnitudes and the misalignment; it "
        f"is right for {best.right} of {lottery.live} live neurons (95 % interval "
        f"{best.low:.1%} to {best.high:.1%}). Shares right by rule: {words}; chance "
        f"{lottery.chance:.1%}. It is derived for x^2, gradient descent and small initial "
        "weights, and only measured elsewhere.",
    )
