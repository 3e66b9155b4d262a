"""Figures of irrep matrices, and of neurons in their coordinates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots

from marginlens.figures import style
from marginlens.measures.neurons.irrep_matrices import coefficient_matrix, rank_one_share

if TYPE_CHECKING:
    from marginlens.groups import FiniteGroup, IrrepClass
    from marginlens.runs import Run

__all__ = ["irreps_caption", "irreps_figure", "matrices_caption", "matrices_figure", "run_irreps"]

MOST_CLASSES = 8
MOST_IRREPS = 7
GREATEST_SIZE = 24
"""Rows of a matrix that can still be told apart."""

DIVERGING = [(0.0, "#c2500a"), (0.5, "rgba(128, 138, 155, 0.10)"), (1.0, "#2f66d0")]
"""Negative amber, positive blue, zero nearly the background, in light and in dark."""


def irreps_figure(group: FiniteGroup) -> go.Figure:
    """Draw the matrices of a group's irreps at one element of each conjugacy class.

    One row an irrep (the real one: of complex and quaternionic type the real form, twice as large),
    one column per class; the character (of the irrep and its conjugate) is below each matrix. Of
    too many irreps or classes, the first by degree and class are drawn, and the title says so.

    Parameters
    ----------
    group
        Finite group with a Cayley table.
    """
    whole = [i for i in group.irrep_classes if len(i.orthogonal[0]) <= GREATEST_SIZE]
    irreps = whole[:MOST_IRREPS]
    classes = len(group.class_sizes)
    representatives = [int(np.flatnonzero(group.class_of == c)[0]) for c in range(classes)]
    shown = representatives[:MOST_CLASSES]
    rows, columns = len(irreps), len(shown)
    figure = make_subplots(
        rows=rows, cols=columns, horizontal_spacing=0.18 / columns, vertical_spacing=0.28 / rows
    )
    for row, irrep in enumerate(irreps, start=1):
        for column, element in enumerate(shown, start=1):
            matrix = irrep.orthogonal[element]
            axis = _axis(columns, row, column)
            words = f"{irrep.name} at element {element}"
            _draw_matrix(figure, matrix, row, column, axis, 1.0, words)
            figure.add_annotation(
                x=0.5,
                xref=f"x{axis} domain",
                y=0,
                yref=f"y{axis} domain",
                yanchor="top",
                yshift=-1,
                text=_short(float(np.trace(matrix))),
                font={"size": 10.5},
            )
            if row == 1:
                about = f"{group.class_sizes[group.class_of[element]]} ×<br>order "
                about += str(group.element_orders[element])
                figure.add_annotation(
                    x=0.5,
                    xref=f"x{axis} domain",
                    y=1,
                    yref=f"y{axis} domain",
                    yanchor="bottom",
                    yshift=4,
                    text=about,
                    font={"size": 10},
                )
            if column == 1:
                figure.add_annotation(
                    x=0,
                    xref=f"x{axis} domain",
                    y=0.5,
                    yref=f"y{axis} domain",
                    xanchor="right",
                    xshift=-6,
                    text=f"<b>{style.plain(irrep.name)}</b>",
                )
    parts = []
    if rows < len(group.irrep_classes):
        parts.append(f"{rows} of {len(group.irrep_classes)} irreps")
    if columns < classes:
        parts.append(f"{columns} of {classes} classes")
    name = style.plain(group.name)
    title = (
        f"{name}: irreps at an element of each conjugacy class (its size and order above), and "
        "their characters"
    )
    if parts:
        title += f" ({', '.join(parts)})"
    style.styled(figure, title, height=110 + 96 * rows)
    return figure.update_layout(margin={"l": 52, "r": 16, "t": 112, "b": 28}, showlegend=False)


def run_irreps(run: Run) -> go.Figure | None:
    """Draw the irreps of a run's group, or return ``None`` without one of degree 2 or more.

    Parameters
    ----------
    run
        Finished run to draw.
    """
    group = run.task.elements
    if group is None or group.is_abelian:
        return None
    return irreps_figure(group)


def matrices_figure(run: Run) -> go.Figure | None:
    """Draw trained neurons as matrices in the coordinates of their irrep.

    One row a neuron, of the largest in irreps of degree 2 or more, each irrep in turn; one column
    for
    u, v (or more inputs) and w: the matrix A with the neuron's weights tr(R(g)ᵀ A), and the share
    of its
    energy that is of rank one.

    Parameters
    ----------
    run
        Finished run to draw.

    Returns
    -------
    Figure or None
        Figure, or ``None`` if the group is abelian or no neuron has an irrep of degree 2 or more.
    """
    task = run.task
    group = task.elements
    if group is None or group.is_abelian:
        return None
    chosen = _choose(run)
    if not chosen or not len(run.snapshot_steps):
        return None
    slots = [slot for slot in (*task.slots, "w") if run.snapshots[slot].shape[1] == task.size]
    figure = make_subplots(
        rows=len(chosen),
        cols=len(slots),
        horizontal_spacing=0.06,
        vertical_spacing=0.4 / max(len(chosen), 3),
    )
    for row, (neuron, irrep) in enumerate(chosen, start=1):
        for column, slot in enumerate(slots, start=1):
            weights = np.asarray(run.snapshots[slot][-1][:, neuron], dtype=float)
            matrix = coefficient_matrix(weights, irrep)
            share = rank_one_share(matrix, irrep)
            reach = float(np.abs(matrix).max()) or 1.0
            axis = _axis(len(slots), row, column)
            _draw_matrix(figure, matrix, row, column, axis, reach, slot)
            figure.add_annotation(
                x=0.5,
                xref=f"x{axis} domain",
                y=0,
                yref=f"y{axis} domain",
                yanchor="top",
                yshift=-2,
                text=f"rank one: {share:.1%}",
                font={"size": 11},
            )
            if row == 1:
                figure.add_annotation(
                    x=0.5,
                    xref=f"x{axis} domain",
                    y=1,
                    yref=f"y{axis} domain",
                    yanchor="bottom",
                    yshift=3,
                    text=f"<b>{slot}</b>",
                )
            if column == 1:
                figure.add_annotation(
                    x=0,
                    xref=f"x{axis} domain",
                    y=0.5,
                    yref=f"y{axis} domain",
                    xanchor="right",
                    xshift=-6,
                    align="right",
                    text=f"<b>neuron {neuron}</b><br>{style.plain(irrep.name)}",
                )
    title = f"{style.plain(task.name)}: neurons as matrices of their irreps"
    style.styled(figure, title, height=100 + 170 * len(chosen))
    return figure.update_layout(margin={"l": 100, "r": 16, "t": 76, "b": 36}, showlegend=False)


def _choose(run: Run, count: int = 4) -> list[tuple[int, IrrepClass]]:
    """Return large live neurons of readable irreps: one of each first, then the next."""
    measurement, features = run.measurement, run.task.features
    ranked: list[tuple[int, float, int, IrrepClass]] = []
    seen: dict[int, int] = {}
    for neuron in np.argsort(-measurement.neuron_norms, kind="stable"):
        index = int(measurement.dominant[neuron])
        irrep = features[index].irrep if measurement.live[neuron] else None
        if irrep is None or irrep.degree < 2 or len(irrep.orthogonal[0]) > GREATEST_SIZE:
            continue
        turn = seen[index] = seen.get(index, -1) + 1
        ranked.append((turn, -float(measurement.neuron_norms[neuron]), int(neuron), irrep))
    first = sorted(ranked, key=lambda entry: entry[:3])[:count]
    return [(neuron, irrep) for _, _, neuron, irrep in sorted(first, key=lambda e: e[3].index)]


def _draw_matrix(
    figure: go.Figure,
    matrix: Float[np.ndarray, "row column"],
    row: int,
    column: int,
    axis: str,
    reach: float,
    words: str,
) -> None:
    """Draw a matrix as squares, row 1 on top."""
    size = len(matrix)
    figure.add_heatmap(
        z=matrix.astype(np.float32),
        zmin=-reach,
        zmax=reach,
        colorscale=DIVERGING,
        showscale=False,
        xgap=0.5,
        ygap=0.5,
        row=row,
        col=column,
        hovertemplate=style.plain(words) + ", row %{y}, column %{x}: %{z:.4f}<extra></extra>",
        x0=1,
        y0=1,
        dx=1,
        dy=1,
    )
    hidden = {"showticklabels": False, "ticks": "", "showgrid": False, "showline": False}
    figure.update_xaxes(range=[0.5, size + 0.5], constrain="domain", **hidden, row=row, col=column)
    figure.update_yaxes(
        range=[size + 0.5, 0.5],
        scaleanchor=f"x{axis}",
        constrain="domain",
        **hidden,
        row=row,
        col=column,
    )


def _axis(columns: int, row: int, column: int) -> str:
    """Plotly's suffix of the axes of a place in a grid."""
    number = (row - 1) * columns + column
    return "" if number == 1 else str(number)


def _short(value: float) -> str:
    """Format a character with two decimals, or as a whole number."""
    words = str(round(value)) if abs(value - round(value)) < 5e-3 else f"{value:.2f}"
    return words.replace("-", "−")


def matrices_caption(run: Run) -> tuple[str, str]:
    """Return the caption: the pattern to look for, and the method."""
    return (
        "In a network of maximum margin every neuron is of rank one: its matrices look like a column "
        "times a row, and v's row pattern continues u's column pattern.",
        "A = d/n Σ f(g) R(g) of the neuron's weights f in its dominant irrep R, in an "
        "arbitrary basis; blue is positive, amber negative.",
    )


def irreps_caption(run: Run) -> tuple[str, str]:
    """Return the caption: the pattern to look for, and the method."""
    return (
        "Each row is one way to write the group as matrices; a neuron's weights are sums of the entries "
        "of one of them.",
        "The real irreps at the first element of each conjugacy class, in an arbitrary basis, "
        "with the trace below; blue is positive, amber negative.",
    )
