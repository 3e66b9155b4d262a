"""Logits by displacement from the right answer, with their characters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float, Int

from marginlens.figures import style
from marginlens.figures.run.neurons import band_limited, element_order

if TYPE_CHECKING:
    from marginlens.runs import Run
    from marginlens.tasks import Task

__all__ = ["logits_caption", "logits_figure"]

KEY = 0.01
"""A feature's character is drawn if it explains at least this share of the logits' variance."""
MOST_CURVES = 40
CURVE_POINTS = 400


def logits_figure(run: Run) -> go.Figure | None:
    """Draw the mean logit of each displacement, with deviations and characters.

    Points are centred logits averaged over all rows and classes with a b c^-1 = g; their bars are
    one standard deviation. On a cyclic group g has its position among the generator's powers,
    around the right answer at 0, and each key feature's part is a cosine; on another group elements
    are sorted by conjugacy class, the right answer first, and the part is its character, constant
    on classes. The thick line is the sum of all features' parts.

    Parameters
    ----------
    run
        Finished run to draw.

    Returns
    -------
    Figure or None
        Figure, or ``None`` if the task is not a group's table.
    """
    found, task = run.displacement, run.task
    if found is None:
        return None
    group = task.group
    assert group is not None  # or there were no displacements
    places, order, factor = _axis(task)
    cyclic = group.generator is not None
    total = len(task.features)
    figure = go.Figure()
    keys = np.flatnonzero(found.explained >= KEY)
    keys = keys[np.argsort(-found.explained[keys], kind="stable")][:MOST_CURVES]
    for index in sorted(int(key) for key in keys):
        name = style.plain(task.features[index].name)
        figure.add_scatter(
            **_curve(found.parts[index], places, order, factor),
            mode="lines",
            line=_line(style.feature_color(index, total), 1.5, cyclic=cyclic),
            opacity=0.8 if len(keys) <= 8 else 0.45,
            name=f"{name}: {found.explained[index]:.0%}",
            legendgroup=name,
            showlegend=len(keys) <= 8,
            hovertemplate=f"{name}, {found.explained[index]:.1%} of the variance<br>%{{y:.4f}}"
            "<extra></extra>",
        )
    share = float(found.explained.sum())
    words = "all cosines together" if cyclic else "all characters together"
    figure.add_scatter(
        **_curve(found.parts.sum(0), places, order, factor),
        mode="lines",
        name=f"{words}: {share:.1%}",
        hoverinfo="skip",
        opacity=0.75,
        line={"width": 2, "dash": "dot", **({} if cyclic else {"shape": "hvh"})},
    )
    figure.add_scatter(
        x=places,
        y=found.mean[order],
        mode="markers",
        name="mean logit ± deviation",
        marker={"size": 6 if len(order) <= 80 else 4},
        error_y={"type": "data", "array": found.deviation[order], "thickness": 1, "width": 0},
        customdata=np.stack([order, found.deviation[order]], axis=-1),
        hovertemplate="displacement %{customdata[0]}<br>mean logit %{y:.4f} ± %{customdata[1]:.4f}"
        "<extra></extra>",
    )
    _label(figure, task, order)
    figure.update_yaxes(title_text="centred logit")
    title = f"{style.plain(task.name)}: logits by displacement from the answer, and their " + (
        "cosines" if cyclic else "characters"
    )
    style.styled(figure, title, height=460)
    return figure.update_layout(
        legend={"y": -0.2, "yanchor": "top"}, margin={"t": 60 if len(title) < 64 else 76, "b": 110}
    )


def _axis(task: Task) -> tuple[np.ndarray, Int[np.ndarray, " element"], int]:
    """Return the elements' positions and order, and the number of points of a curve."""
    group = task.group
    assert group is not None
    order = element_order(group)
    if group.generator is None:
        return np.arange(group.order), order, 1
    half = group.order // 2
    places = np.arange(-half, group.order - half)
    return places, order[places % group.order], max(2, CURVE_POINTS // group.order)


def _curve(
    values: Float[np.ndarray, " element"], places: np.ndarray, order: np.ndarray, factor: int
) -> dict[str, Any]:
    """Return a part along the axis, interpolated on a cyclic group by its own cosine."""
    y = values[order]
    if factor > 1:
        y = band_limited(y, factor)[:-factor]
    return {"x0": int(places[0]), "dx": 1 / factor, "y": y.astype(np.float32)}


def _line(color: str, width: float, *, cyclic: bool) -> dict[str, Any]:
    return {"color": color, "width": width, **({} if cyclic else {"shape": "hvh"})}


def _label(figure: go.Figure, task: Task, order: np.ndarray) -> None:
    group = task.group
    assert group is not None
    if group.generator is not None:
        words = "a + b − c" if task.factors == 2 else "sum of inputs − c"
        power = "" if group.generator == 1 else f", as a power of {group.generator}"
        figure.update_xaxes(title_text=f"displacement {words}{power}")
        return
    product = "a b c⁻¹" if task.factors == 2 else "product of inputs · c⁻¹"
    figure.update_xaxes(
        title_text=f"displacement {product}, by conjugacy class", showticklabels=False, ticks=""
    )
    borders = np.flatnonzero(np.diff(group.class_of[order])) + 0.5
    for border in borders if len(borders) <= 24 else ():
        figure.add_shape(
            type="line",
            x0=border,
            x1=border,
            y0=0,
            y1=1,
            yref="y domain",
            opacity=0.4,
            line={"width": 1, "dash": "dot"},
        )


def logits_caption(run: Run) -> tuple[str, str]:
    """Return the caption: the pattern to look for, and the method."""
    group = run.task.group
    if group is not None and group.generator is not None:
        return (
            "The right answer, at 0, stands out because the cosines agree there and cancel elsewhere; "
            "where the points have no bars, the logit depends on a + b − c alone.",
            "Points are logits, centred over the classes, averaged over all rows and classes of the "
            "same displacement; lines are the parts of that mean at single frequencies, with their "
            "share of the logits' variance.",
        )
    return (
        "The right answer, first, stands out because the characters agree there and cancel elsewhere; "
        "points of one class are equal where the logits are sums of characters.",
        "Points are logits, centred over the classes, averaged over all rows and classes c with the "
        "same a b c⁻¹; lines are the parts of that mean that are one irrep's real character, with their "
        "share of the logits' variance. Dotted lines separate the conjugacy classes.",
    )
