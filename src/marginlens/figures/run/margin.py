"""Figure of the normalized margin against training step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from marginlens.figures import style

if TYPE_CHECKING:
    from marginlens.runs import Run

__all__ = ["margin_caption", "margin_figure"]

DEEPEST = -0.35
"""How far below zero the axis may reach, in units of its top: early margins can be any negative."""
INDISTINGUISHABLE = 0.998
"Share of gamma* above which the value at the penalty has no separate line."


def margin_figure(run: Run, *, log_steps: bool = True) -> go.Figure:
    """Draw the normalized margin against training step, with gamma* and the predicted value.

    The normalized margin is min over inputs of (right logit - best wrong logit) divided by
    sum_i ||omega_i||^nu. The dashed line is gamma*; where no theorem gives it, the line is absent
    and the title says so. The dotted line is the value predicted at the run's penalty, where the
    two
    can be told apart. Where the margin itself was trained, the thin line is the least upper bound
    of
    gamma* that the adversary has proved so far.

    Parameters
    ----------
    run
        Finished run to draw.
    log_steps
        Whether steps are on a logarithmic axis, which omits step 0.
    """
    prediction, history = run.prediction, run.history
    steps, margins = np.asarray(history["step"]), np.asarray(history["normalized_margin"])
    best = prediction.margin
    ratio = "<br>%{customdata:.4%} of γ*" if best is not None else ""
    shown = (steps > 0) & np.isfinite(margins) if log_steps else np.isfinite(margins)
    bounds = np.asarray(history["upper_bound"])[shown] if "upper_bound" in history else None
    steps, margins = steps[shown], margins[shown]
    figure = go.Figure(
        go.Scatter(
            x=steps,
            y=margins,
            mode="lines",
            name="measured",
            line={"color": style.MEASURED, "width": 2.5},
            customdata=None if best is None else margins / best,
            hovertemplate="step %{x}<br>normalized margin %{y:.5g}" + ratio + "<extra></extra>",
        )
    )
    if bounds is not None and np.isfinite(bounds).any():
        figure.add_scatter(
            x=steps,
            y=bounds,
            mode="lines",
            name="upper bound",
            line={"color": style.START, "width": 1.5},
            customdata=None if best is None else bounds / best,
            hovertemplate="step %{x}<br>γ* ≤ %{y:.5g}" + ratio + "<extra></extra>",
        )
    top = max([float(margins.max(initial=0.0)), best or 0.0]) or 1.0
    if best is not None:
        reached = None if prediction.at_penalty is None else prediction.at_penalty.margin_ratio
        same = reached is not None and reached > INDISTINGUISHABLE
        label = "maximum γ*" if prediction.proved else "largest margin found, taken as γ*"
        label += f" = {style.number(best)}"
        label += ",<br>also predicted at this penalty" if same else ""
        style.reference_line(figure, best, label, dash="dash")
        if reached is not None and not same:
            label = f"predicted at this penalty: {style.number(reached * best)}"
            style.reference_line(figure, reached * best, label, dash="dot", side="below")
    lowest = float(margins.min(initial=0.0))
    figure.update_yaxes(
        title_text=f"normalized margin ({style.plain(prediction.norm)})",
        range=[max(1.1 * lowest, DEEPEST * top) - 0.02 * top, 1.24 * top],
        tickformat=".3~g",
        exponentformat="power",
    )
    figure.update_xaxes(title_text="training step", type="log" if log_steps else "linear")
    if log_steps:
        figure.update_xaxes(dtick=1, exponentformat="none")
    name = style.plain(run.task.name)
    title = (
        f"{name}: normalized margin on its way to the maximum γ*"
        if best is not None
        else f"{name}: normalized margin (no theorem gives its maximum here)"
    )
    return style.styled(figure, title, height=400).update_layout(showlegend=False)


def margin_caption(run: Run) -> tuple[str, str]:
    """Return the caption: the pattern to look for, and the method."""
    known = run.prediction.margin is not None
    how = (
        "The normalized margin is the least lead of the right logit over the best wrong one, over "
        f"all inputs, divided by the sum of the neurons' norms to the power {run.measurement.degree}."
    )
    if run.recipe.loss_function == "margin" and known and run.prediction.proved:
        return (
            "The curve should rise to γ*, and the thin line, the upper bound that the adversary "
            "proves, fall to it: between them lies the maximum.",
            f"{how} The adversary is the softmax over inputs and wrong answers that training "
            "minimises against; the best single neuron against it bounds γ* from above.",
        )
    return (
        "The curve should rise to the value predicted for this penalty, and can never cross γ*."
        if known and run.prediction.proved
        else "The curve should rise to the line, the largest margin that was found before training; "
        "that no network has a larger one is not proved."
        if known
        else (
            "No theorem gives the maximum in this setting, so the curve has no reference; it "
            "should rise and level off."
        ),
        how,
    )
