"""Figure of the exact minimum against the penalty strength, with trained networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from marginlens.figures import style

if TYPE_CHECKING:
    from marginlens.runs import Run
    from marginlens.theory import PenaltyPath

__all__ = ["penalty_path_figure"]

_ROWS = (("share of γ*", "margin_ratio"), ("cross-entropy + penalty", "loss"), ("norm", "norm"))

_DASHES = ("solid", "dash", "dot", "dashdot")  # equal shares would hide each other


def penalty_path_figure(path: PenaltyPath, runs: Sequence[Run] = ()) -> go.Figure:
    """Draw the minimum at every strength: share of the maximum margin, loss, norm, shares.

    Lines are computed before any training; open circles are trained networks. The strength falls
    from left to right, from the collapse at lambda_c to the limit in which the network has the
    maximum margin. Diamonds on the right edge of the lowest panel are the shares in that limit.

    Parameters
    ----------
    path
        Minima at each strength.
    runs
        Trained networks on the same task, at any strengths. One that was trained on the margin itself,
        which has no strength, is a level line in the panel of the share of the maximum margin.
    """
    limits = [run for run in runs if run.recipe.loss_function == "margin"]
    runs = [run for run in runs if run.recipe.loss_function != "margin"]
    total = len(path.features)
    figure = make_subplots(
        rows=4, cols=1, shared_xaxes=True, vertical_spacing=0.035, row_heights=[0.2, 0.2, 0.2, 0.4]
    )
    live = path.norm > 0
    for row, (words, name) in enumerate(_ROWS, start=1):
        values = getattr(path, name)
        shown = live if name != "loss" else np.ones_like(live)
        figure.add_scatter(
            x=path.strengths[shown],
            y=values[shown],
            mode="lines",
            name="predicted",
            line={"width": 2},
            legendgroup="predicted",
            showlegend=row == 1,
            row=row,
            col=1,
            hovertemplate=f"strength %{{x:.3g}}<br>{words} %{{y:.6g}}<extra>predicted</extra>",
        )
        _overlay(figure, row, [_measured(run, name) for run in runs], words, legend=row == 1)
        figure.update_yaxes(title_text=words, row=row, col=1)
    for index, name in enumerate(path.features):
        color = style.feature_color(index, total)
        label = style.plain(name)
        figure.add_scatter(
            x=path.strengths[live],
            y=path.shares[live, index],
            mode="lines",
            name=label,
            line={"color": color, "width": 2, "dash": _DASHES[index % len(_DASHES)]},
            showlegend=total <= 8,
            row=4,
            col=1,
            hovertemplate=f"strength %{{x:.3g}}<br>{label}: %{{y:.3%}}<extra>predicted</extra>",
        )
        measured = [
            (run.recipe.strength, float(run.measurement.share[index]))
            for run in runs
            if run.prediction.at_penalty is not None and run.prediction.at_penalty.norm > 0
        ]
        _overlay(figure, 4, measured, label, color=color)
    _limit_shares(figure, path)
    for run in limits:
        ratio = run.verdict.margin_ratio
        if ratio is None:
            continue
        figure.add_scatter(
            x=path.strengths[[0, -1]],
            y=[ratio, ratio],
            mode="lines",
            name="margin itself trained",
            line={"width": 1.5, "dash": "dash"},
            row=1,
            col=1,
            hovertemplate=f"the margin itself trained: share of γ* {ratio:.5f}<extra></extra>",
        )
    edge = path.limit.collapse_penalty
    if edge is not None:
        figure.add_vline(x=edge, line={"dash": "dot", "width": 1.2})
        figure.add_annotation(
            x=np.log10(edge),
            y=0.2,
            yref="y domain",
            xanchor="left",
            xshift=4,
            text="λ<sub>c</sub>: at this strength and above, the minimum is zero",
        )
    figure.update_yaxes(range=[-0.03, 1.06], row=1, col=1)
    for row, values in ((2, path.loss), (3, path.norm[live])):
        ticks = style.decades(float(values.min()), float(values.max())) if len(values) else {}
        figure.update_yaxes(type="log", row=row, col=1, **ticks)
    figure.update_yaxes(
        title_text="share of norm", tickformat=".2~%", range=[-0.03, None], row=4, col=1
    )
    low, high = float(path.strengths.min()), max(float(path.strengths.max()), edge or 0.0)
    figure.update_xaxes(
        type="log", range=[np.log10(high) + 0.1, np.log10(low) - 0.1], **style.decades(low, high)
    )
    figure.update_xaxes(title_text="strength λ of the penalty", row=4, col=1)
    title = f"{style.plain(path.limit.task)}: the minimum of loss + penalty at every strength"
    return style.styled(figure, title, height=860)


def _measured(run: Run, name: str) -> tuple[float, float]:
    """Strength and measurement of a trained network."""
    measurement = run.measurement
    if name == "margin_ratio":
        ratio = run.verdict.margin_ratio
        return run.recipe.strength, np.nan if ratio is None else ratio
    if name == "loss":
        return run.recipe.strength, measurement.objective(run.recipe.strength)
    norm = None if run.verdict.margin_ratio is None else measurement.norm
    return run.recipe.strength, np.nan if norm is None else norm


def _overlay(
    figure: go.Figure,
    row: int,
    points: list[tuple[float, float]],
    words: str,
    *,
    color: str | None = None,
    legend: bool = False,
) -> None:
    if not points:
        return
    x, y = zip(*points, strict=True)
    marker = {"symbol": "circle-open", "size": 9, "line": {"width": 2}}
    figure.add_scatter(
        x=x,
        y=y,
        mode="markers",
        name="trained",
        showlegend=legend,
        legendgroup="trained",
        marker=marker if color is None else {**marker, "color": color},
        row=row,
        col=1,
        hovertemplate=f"strength %{{x:.3g}}<br>{words} %{{y:.6g}}<extra>trained</extra>",
    )


def _limit_shares(figure: go.Figure, path: PenaltyPath) -> None:
    """Range of each feature's share among maximum-margin networks, at the right edge."""
    known = [
        (index, feature.least_share, feature.greatest_share)
        for index, feature in enumerate(path.limit.features)
        if feature.least_share is not None and feature.greatest_share is not None
    ]
    if not known:
        return
    index, least, greatest = (np.array(column) for column in zip(*known, strict=True))
    figure.add_scatter(
        x=np.full(len(index), path.strengths.min() * 10**-0.05),
        y=(least + greatest) / 2,
        error_y={"type": "data", "array": (greatest - least) / 2},
        mode="markers",
        marker={
            "symbol": "diamond",
            "size": 7,
            "color": [style.feature_color(int(i), len(path.features)) for i in index],
        },
        name="in the limit",
        text=[path.features[int(i)] for i in index],
        row=4,
        col=1,
        hovertemplate="%{text} in the limit: %{y:.3%}<extra></extra>",
    )
