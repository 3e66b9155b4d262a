"""Several trained networks in one figure: margins, losses and shares, a colour a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float, Int

from marginlens.figures import style
from marginlens.figures.run.margin import DEEPEST
from marginlens.figures.sweep.selection import SYMBOLS
from marginlens.measures import Measurement, measure
from marginlens.training import recorded_rows

if TYPE_CHECKING:
    from marginlens.runs import Run

__all__ = ["Compared", "losses_figure", "margins_figure", "shares_by_run_figure"]

_MARKS = 7  # symbols along a line


@dataclass(frozen=True, eq=False)
class Compared:
    """One network of a comparison: a run's member and its label.

    Attributes
    ----------
    label
        Label of the network in legends.
    run
        Run that the network belongs to.
    member
        Index of the member of the run.
    """

    label: str
    run: Run
    member: int = 0

    @property
    def steps(self) -> Int[np.ndarray, " record"]:
        """Steps at which the history was recorded."""
        return np.asarray(self.run.training.steps)

    def curve(self, column: str) -> Float[np.ndarray, " record"]:
        """Return a column of the member's history, such as ``loss``."""
        return np.asarray(self.run.training.history[column], dtype=float)[:, self.member]

    @property
    def margin_ratio(self) -> Float[np.ndarray, " record"]:
        """Normalized margin over gamma*; nan where gamma* is unknown."""
        best = self.run.prediction.margin
        return self.curve("normalized_margin") / (np.nan if best is None else best)

    @cached_property
    def measurement(self) -> Measurement | None:
        """Measurement of the member's neurons, or ``None``."""
        run = self.run
        if not run.is_measured or self.member == 0:
            return run.measurement if run.is_measured else None
        rows = recorded_rows(run.task, run.recipe)
        return measure(run.training.network.as_mlp(), run.task, member=self.member, rows=rows)


def margins_figure(compared: Sequence[Compared]) -> go.Figure | None:
    """Draw each network's normalized margin as a share of gamma* against training step.

    Where the margin itself was trained, a dotted line of the same colour is the upper bound of
    gamma* that its adversary has proved. Networks with unknown gamma* are left out; the figure is
    ``None`` if it is unknown for all.

    Parameters
    ----------
    compared
        Networks to compare, with their labels.
    """
    figure, lowest, highest = go.Figure(), 0.0, 1.0
    for index, one in enumerate(compared):
        steps, ratio = one.steps, one.margin_ratio
        shown = (steps > 0) & np.isfinite(ratio)
        if not shown.any():
            continue
        _line(figure, index, one, steps[shown], ratio[shown], "%{y:.3%} of γ*")
        lowest, highest = min(lowest, float(ratio[shown].min())), max(highest, ratio[shown].max())
        _bound(figure, index, one, shown)
    if not figure.data:
        return None
    style.reference_line(figure, 1.0, "maximum γ*", dash="dash")
    figure.update_yaxes(
        title_text="normalized margin / γ*",
        tickformat=".0%",
        range=[max(1.1 * lowest, DEEPEST) - 0.02, 1.16 * highest],
    )
    _steps(figure)
    return style.styled(figure, "Margins on their way to the maximum", height=420)


def losses_figure(compared: Sequence[Compared]) -> go.Figure:
    """Draw each network's training objective, penalty included, against the step.

    Parameters
    ----------
    compared
        Networks to compare, with their labels.
    """
    figure, seen = go.Figure(), []
    for index, one in enumerate(compared):
        steps, loss = one.steps, one.curve("loss")
        shown = (steps > 0) & np.isfinite(loss) & (loss > 0)
        _line(figure, index, one, steps[shown], loss[shown], "loss %{y:.5g}")
        seen.append(loss[shown])
    values = np.concatenate(seen) if seen else np.empty(0)
    if len(values):
        low, high = float(values.min()) / 1.25, float(values.max()) * 1.25
        figure.update_yaxes(range=[np.log10(low), np.log10(high)], **style.decades(low, high))
    figure.update_yaxes(title_text="loss", type="log")
    _steps(figure)
    return style.styled(figure, "What each network minimises", height=400)


def shares_by_run_figure(compared: Sequence[Compared], colors: Sequence[int]) -> go.Figure | None:
    """Draw each feature's share of the norm, one bar per network, with a common prediction.

    Ticks are the range of shares at the maximum margin, if it is the same for all.

    Parameters
    ----------
    compared
        Networks of one task.
    colors
        Indices of their colours, equal to those of the other figures.

    Returns
    -------
    Figure or None
        Figure, or ``None`` if no neurons are measured or the task has no features.

    Raises
    ------
    ValueError
        The tasks differ.
    """
    names = {one.run.task.name for one in compared}
    if len(names) > 1:
        raise ValueError(f"shares are compared within one task, got {', '.join(sorted(names))}")
    measured = [
        (index, one) for index, one in zip(colors, compared, strict=True) if one.measurement
    ]
    if not measured:
        return None
    task = measured[0][1].run.task
    features = task.features
    cyclic = all(feature.frequency is not None for feature in features)
    labels = [style.plain(feature.name) for feature in features]
    axis: list[Any] = [feature.frequency for feature in features] if cyclic else labels
    figure = go.Figure()
    for index, one in measured:
        assert one.measurement is not None
        figure.add_bar(
            x=axis,
            y=one.measurement.share,
            name=style.plain(one.label),
            customdata=labels,
            marker_color=style.feature_color(index, len(SYMBOLS)),
            marker_line_width=0,
            hovertemplate="%{customdata}: %{y:.3%}<extra>%{fullData.name}</extra>",
        )
    _ranges(figure, [one for _, one in measured], axis)
    kind = "frequency k" if cyclic else "coordinate" if task.kind == "parity" else "feature"
    figure.update_xaxes(title_text=kind)
    if cyclic:
        figure.update_xaxes(dtick=max(1, len(axis) // 12))
    figure.update_yaxes(title_text="share of norm", tickformat=".2~%", rangemode="tozero")
    title = f"{style.plain(task.name)}: share of the norm of each feature"
    return style.styled(figure, title, height=400).update_layout(barmode="group", bargap=0.25)


def _ranges(figure: go.Figure, compared: Sequence[Compared], axis: list[Any]) -> None:
    """Return the range of shares at the maximum margin if all predictions agree."""
    ranges = [
        tuple((f.least_share, f.greatest_share) for f in one.run.prediction.features)
        for one in compared
    ]
    if len(set(ranges)) != 1 or any(None in one for one in ranges[0]):
        return
    low, high = np.array(ranges[0], dtype=float).reshape(-1, 2).T
    figure.add_scatter(
        x=axis,
        y=(low + high) / 2,
        mode="markers",
        name="at γ*",
        error_y={"type": "data", "array": (high - low) / 2},
        marker={"symbol": "line-ew", "size": 16 if len(axis) <= 24 else 7, "line": {"width": 2}},
        customdata=np.stack([low, high], axis=-1),
        hovertemplate="at the maximum margin: %{customdata[0]:.3%} to %{customdata[1]:.3%}"
        "<extra></extra>",
    )


def _line(figure: go.Figure, index: int, one: Compared, x: Any, y: Any, form: str) -> None:
    color = style.feature_color(index, len(SYMBOLS))
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines+markers",
        name=style.plain(one.label),
        line={"color": color, "width": 2},
        marker={"color": color, "symbol": SYMBOLS[index], "size": 7, "maxdisplayed": _MARKS},
        hovertemplate=f"step %{{x}}<br>{form}<extra>%{{fullData.name}}</extra>",
    )


def _bound(figure: go.Figure, index: int, one: Compared, shown: np.ndarray) -> None:
    """Draw the upper bound that a training of the margin proved, where it did."""
    best = one.run.prediction.margin
    if best is None or "upper_bound" not in one.run.training.history:
        return
    bound = one.curve("upper_bound") / best
    figure.add_scatter(
        x=one.steps[shown],
        y=bound[shown],
        mode="lines",
        showlegend=False,
        name=f"{style.plain(one.label)}: upper bound",
        line={"color": style.feature_color(index, len(SYMBOLS)), "width": 1.5, "dash": "dot"},
        hovertemplate="step %{x}<br>γ* ≤ %{y:.3%} of γ*<extra>%{fullData.name}</extra>",
    )


def _steps(figure: go.Figure) -> None:
    figure.update_xaxes(title_text="training step", type="log", dtick=1, exponentformat="none")
