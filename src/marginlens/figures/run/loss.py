"""Figure of the objective and the accuracy against training step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from marginlens.figures import style

if TYPE_CHECKING:
    from marginlens.runs import Run

__all__ = ["loss_caption", "loss_figure"]


_LOSSES = {
    "cross_entropy": ("cross-entropy", "nats"),
    "logistic": ("logistic loss", "nats"),
    "squared": ("squared error", ""),
    "hinge": ("hinge loss", ""),
    "margin": ("smoothed least margin", ""),
}
"""What a recipe's loss is called, and its unit."""


def loss_figure(run: Run, *, log_steps: bool = True) -> go.Figure:
    """Draw the objective (top, logarithmic) and accuracy (bottom) against training step.

    The dotted line is the loss predicted at the run's penalty, where the theory gives it. Where the
    margin itself was trained, the smoothed least margin is drawn, on a linear axis, with gamma*.

    Parameters
    ----------
    run
        Finished run to draw.
    log_steps
        Whether steps are on a logarithmic axis, which omits step 0.
    """
    steps = np.asarray(run.history["step"])
    shown = steps > 0 if log_steps else np.ones(len(steps), dtype=bool)
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, row_heights=[0.64, 0.36], vertical_spacing=0.08
    )
    name, unit = _LOSSES[run.recipe.loss_function]
    for row, column, form in (
        (1, "loss", f"loss %{{y:.5g}} {unit}"),
        (2, "accuracy", "%{y:.2%} right"),
    ):
        figure.add_scatter(
            x=steps[shown],
            y=np.asarray(run.history[column])[shown],
            mode="lines",
            name=column,
            line={"color": style.MEASURED, "width": 2.5},
            row=row,
            col=1,
            hovertemplate=f"step %{{x}}<br>{form}<extra></extra>",
        )
    figure.update_xaxes(type="log" if log_steps else "linear")
    if log_steps:
        figure.update_xaxes(dtick=1, exponentformat="none")
    figure.update_xaxes(title_text="training step", row=2, col=1)
    figure.update_yaxes(
        title_text="accuracy", tickformat=".0%", range=[-0.04, 1.08], nticks=4, row=2, col=1
    )
    if run.recipe.loss_function == "margin":
        return _soft_margin(run, figure)
    losses = np.asarray(run.history["loss"], dtype=float)[shown]
    predicted = None if run.prediction.at_penalty is None else run.prediction.at_penalty.loss
    seen = np.append(losses, [] if predicted is None else predicted)
    seen = seen[np.isfinite(seen) & (seen > 0)]
    if len(seen):
        low, high = float(seen.min()) / 1.25, float(seen.max()) * 1.25
        figure.update_yaxes(
            range=[np.log10(low), np.log10(high)], **style.decades(low, high), row=1, col=1
        )
    if predicted is not None and predicted > 0:
        label = f"predicted at this penalty: {style.number(predicted)}"
        style.reference_line(figure, predicted, label, dash="dot", end="right", logarithmic=True)
    figure.update_yaxes(title_text=f"loss ({unit or name})", type="log", row=1, col=1)
    title = f"{style.plain(run.task.name)}: loss and accuracy over training"
    return style.styled(figure, title, height=460).update_layout(showlegend=False)


def _soft_margin(run: Run, figure: go.Figure) -> go.Figure:
    """Turn the minimised negative smoothed margin into the margin itself."""
    curve: Any = figure.data[0]
    curve.y, curve.name = -np.asarray(curve.y, dtype=float), "smoothed least margin"
    curve.hovertemplate = "step %{x}<br>smoothed least margin %{y:.5g}<extra></extra>"
    best = run.prediction.margin
    top = max(float(np.nanmax(curve.y, initial=0.0)), best or 0.0) or 1.0
    if best is not None:
        label = "maximum γ*" if run.prediction.proved else "largest margin found"
        style.reference_line(figure, best, f"{label} = {style.number(best)}", dash="dash")
    figure.update_yaxes(
        title_text="smoothed margin",
        range=[-0.37 * top, 1.24 * top],
        tickformat=".3~g",
        exponentformat="power",
        row=1,
        col=1,
    )
    title = f"{style.plain(run.task.name)}: smoothed least margin and accuracy over training"
    return style.styled(figure, title, height=460).update_layout(showlegend=False)


def loss_caption(run: Run) -> tuple[str, str]:
    """Return the caption: the pattern to look for, and the method."""
    rows = "the whole table of inputs"
    if run.recipe.online and not run.task.is_listed:
        rows = "a sample of the inputs, drawn once"
    if run.recipe.loss_function == "margin":
        return (
            "The smoothed margin should rise to γ* as its sharpness grows: at sharpness β it lies at "
            "most log(inputs · wrong answers) / β below the least margin.",
            "The smoothed margin is −log Σ exp(−β m) / β over the margins m of all inputs and wrong "
            "answers, at norm 1; accuracy is the share of right answers.",
        )
    return (
        "The loss should settle on the dotted line: with a penalty its least value is not zero, and "
        "the theory predicts it."
        if run.prediction.at_penalty is not None
        else "The loss should fall and level off; the theory gives no value for it in this setting.",
        f"The loss is what training minimises, mean {_LOSSES[run.recipe.loss_function][0]} + "
        f"penalty; accuracy is the share of right answers; both over {rows}.",
    )
