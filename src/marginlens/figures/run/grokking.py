"""Train and test curves over logarithmic steps, with the stages of grokking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float, Int
from plotly.subplots import make_subplots

from marginlens.figures import style

if TYPE_CHECKING:
    from marginlens.measures import Stages
    from marginlens.runs import Run

__all__ = ["grokking_caption", "grokking_chart", "grokking_figure"]

TRAIN, TEST = style.CATEGORICAL[0], style.CATEGORICAL[1]
BANDS = {
    "memorisation": "#8a93a3",
    "circuit formation": "#a67c00",
    "not generalised yet": "#a67c00",
    "clean-up": "#0c9468",
}
FURTHER = {"restricted": style.CATEGORICAL[2], "excluded": style.CATEGORICAL[3]}
NARROW = 0.2
"Width of a band, as a share of the axis, below which its name has a separate line."
MOST_POINTS = 1000
"""Points of a curve: evenly spread over the logarithm of the step."""


def grokking_figure(run: Run) -> go.Figure | None:
    """Draw the curves of a run's first member, or return ``None`` without held-out rows.

    Parameters
    ----------
    run
        Finished run to draw.
    """
    if run.grokking is None:
        return None
    return grokking_chart(run.task.name, run.history, run.grokking.stages[0])


def grokking_chart(
    name: str,
    history: Mapping[str, Float[np.ndarray, " record"] | Int[np.ndarray, " record"]],
    stages: Stages,
) -> go.Figure:
    """Draw cross-entropy and accuracy of train and test rows, with the stages as bands.

    Parameters
    ----------
    name
        Name of the task.
    history
        Columns ``step``, ``cross_entropy``, ``accuracy``, ``test_cross_entropy`` and
        ``test_accuracy``, optionally ``restricted`` and ``excluded`` (losses; NaN where they were
        not computed).
    stages
        Stages that the bands show.
    """
    steps = np.asarray(history["step"])
    kept = _thinned(steps)
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, row_heights=[0.6, 0.4], vertical_spacing=0.14
    )
    curves = [
        ("train", "cross_entropy", "accuracy", TRAIN),
        ("test", "test_cross_entropy", "test_accuracy", TEST),
    ]
    for label, loss, accuracy, color in curves:
        for row, column, form in ((1, loss, "%{y:.4g} nats"), (2, accuracy, "%{y:.2%} right")):
            figure.add_scatter(
                x=steps[kept],
                y=_short(np.asarray(history[column])[kept]),
                mode="lines",
                name=label,
                legendgroup=label,
                showlegend=row == 1,
                line={"color": color, "width": 2},
                row=row,
                col=1,
                hovertemplate=f"step %{{x}}<br>{label}: {form}<extra></extra>",
            )
    for label, color in FURTHER.items():
        if label in history:
            y = np.asarray(history[label])
            seen = np.isfinite(y) & (steps > 0)
            figure.add_scatter(
                x=steps[seen],
                y=_short(y[seen]),
                mode="lines+markers",
                name=f"{label} loss",
                line={"color": color, "width": 2},
                marker={"size": 4, "color": color},
                row=1,
                col=1,
                hovertemplate=f"step %{{x}}<br>{label}: %{{y:.4g}} nats<extra></extra>",
            )
    losses = ("cross_entropy", "test_cross_entropy", *FURTHER)
    _fit_losses(figure, *(np.asarray(history[name]) for name in losses if name in history))
    _mark(figure, stages, steps)
    figure.update_yaxes(title_text="cross-entropy (nats)", type="log", row=1, col=1)
    figure.update_yaxes(
        title_text="accuracy", tickformat=".0%", range=[-0.04, 1.08], nticks=4, row=2, col=1
    )
    figure.update_xaxes(type="log", dtick=1, exponentformat="none")
    figure.update_xaxes(title_text="training step", row=2, col=1)
    return style.styled(figure, f"{style.plain(name)}: {_sentence(stages)}", height=500)


def _thinned(steps: np.ndarray) -> np.ndarray:
    """Indices of records after step 0, no more than are told apart on a logarithmic axis."""
    later = np.flatnonzero(steps > 0)
    if len(later) <= MOST_POINTS:
        return later
    wanted = np.geomspace(steps[later[0]], steps[later[-1]], MOST_POINTS)
    return np.unique(later[np.searchsorted(steps[later], wanted).clip(max=len(later) - 1)])


def _fit_losses(figure: go.Figure, *losses: np.ndarray) -> None:
    """Range and ticks of the upper row."""
    seen = np.concatenate([np.asarray(loss, dtype=float) for loss in losses])
    seen = seen[np.isfinite(seen) & (seen > 0)]
    if len(seen):
        low, high = float(seen.min()) / 1.25, float(seen.max()) * 1.25
        figure.update_yaxes(
            range=[np.log10(low), np.log10(high)], **style.decades(low, high), row=1, col=1
        )


def _mark(figure: go.Figure, stages: Stages, steps: np.ndarray) -> None:
    """Bands behind the curves, named between the rows; a narrow one's name is a line lower."""
    later = steps[steps > 0]
    if not len(later):
        return
    first, last = int(later[0]), int(later[-1])
    whole, lowered = np.log(last / first) or 1.0, 0
    for name, start, end in stages.spans():
        left, right = max(start, first), min(end, last)
        if right <= left:
            continue
        for axis in ("", "2"):
            figure.add_shape(
                type="rect",
                x0=left,
                x1=right,
                xref=f"x{axis}",
                y0=0,
                y1=1,
                yref=f"y{axis} domain",
                fillcolor=BANDS[name],
                opacity=0.13,
                line={"width": 0},
                layer="below",
            )
        narrow = np.log(right / left) / whole < NARROW
        lowered = lowered + 1 if narrow else 0
        figure.add_annotation(
            x=np.log10(left * right) / 2,
            xref="x",
            y=0,
            yref="y domain",
            yanchor="top",
            yshift=-4 - 14 * lowered,
            text=name,
            font={"color": BANDS[name]},
        )


def _sentence(stages: Stages) -> str:
    if stages.memorised is None:
        return f"not memorised within {stages.last} steps"
    if stages.generalised is None:
        return f"memorised at step {stages.memorised}, not generalised within {stages.last} steps"
    return f"memorised at step {stages.memorised}, generalised at step {stages.generalised}"


def _short(values: np.ndarray) -> np.ndarray:
    return np.array([float(f"{value:.5g}") for value in values.astype(float)])


def grokking_caption(run: Run) -> tuple[str, str]:
    """Return the caption: the pattern to look for, and the method."""
    found = run.grokking
    if found is None:
        return "No rows were held back.", "Grokking is seen on rows held back from training."
    stages = found.stages[0]
    words = f"{_sentence(stages)[0].upper()}{_sentence(stages)[1:]}"
    if stages.ratio is not None:
        words += f": {stages.ratio:.3g} times as many steps"
    return (
        "The train rows are learned first and the test rows, if the network groks, long after: their "
        f"cross-entropy falls when the general solution has formed. {words}.",
        f"An accuracy counts from the step at which it is at least {found.threshold:.0%} for five "
        "records in a row. Memorisation ends there for the train rows; clean-up begins where the "
        "tangent to the steepest fall of the logarithm of the test cross-entropy meets its greatest "
        "value before, and ends where the test rows count; circuit formation lies between.",
    )
