"""Figure of the objective's excess over the known minimum against training step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from marginlens.figures import style

if TYPE_CHECKING:
    from marginlens.runs import Run

__all__ = ["excess_caption", "excess_figure"]


def excess_figure(run: Run) -> go.Figure | None:
    r"""Draw the relative excess $(F - F^*) / F^*$ against training step, both logarithmic.

    F is the objective (cross-entropy + penalty), $F^*$ its predicted minimum at the run's strength.
    Records at or below the minimum, as rounding allows, are left out.

    Parameters
    ----------
    run
        Finished run to draw.

    Returns
    -------
    Figure
        The curve; ``None`` where no minimum is known, or the objective is not that of the prediction
        (another loss, another penalty on the way, rows held back).
    """
    at_penalty, recipe = run.prediction.at_penalty, run.recipe
    other = recipe.loss_function != "cross_entropy" or recipe.anneal_to is not None
    if at_penalty is None or not at_penalty.loss > 0 or other or not recipe.is_population:
        return None
    steps = np.asarray(run.history["step"])
    excess = np.asarray(run.history["loss"], dtype=float) / at_penalty.loss - 1
    shown = (steps > 0) & np.isfinite(excess) & (excess > 0)
    if not shown.any():
        return None
    figure = go.Figure()
    figure.add_scatter(
        x=steps[shown],
        y=excess[shown],
        mode="lines",
        line={"color": style.MEASURED, "width": 2.5},
        hovertemplate="step %{x}<br>%{y:.3g} above the minimum<extra></extra>",
    )
    low, high = float(excess[shown].min()) / 1.5, float(excess[shown].max()) * 1.5
    figure.update_xaxes(title_text="training step", type="log", dtick=1, exponentformat="none")
    figure.update_yaxes(
        title_text="excess over the minimum",
        type="log",
        range=[np.log10(low), np.log10(high)],
        **style.decades(low, high),
    )
    title = f"{style.plain(run.task.name)}: distance of the objective from its minimum"
    return style.styled(figure, title, height=380).update_layout(showlegend=False)


def excess_caption(run: Run) -> tuple[str, str]:
    """Return the expected pattern, and the method.

    Parameters
    ----------
    run
        Finished run that is drawn.
    """
    return (
        "Training that approaches the predicted network falls by orders of magnitude and ends near "
        "the rounding of its precision.",
        "Objective over its predicted minimum at this penalty, minus 1, at each recorded step of "
        f"{run.recipe.optimizer}.",
    )
