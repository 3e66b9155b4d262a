"""Figure of the maximum margins of all groups in an atlas."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from marginlens.figures import style

__all__ = ["atlas_figure", "margin_times_power"]

_KINDS: tuple[tuple[str, str, str, Callable[[Mapping[str, Any]], bool]], ...] = (
    ("an irrep cannot be used", "#d0590e", "diamond", lambda row: row["cannot"] > 0),
    ("Theorem 9 applies", "#3b74e0", "circle", lambda row: bool(row["theorem9"])),
    ("every irrep must be used", "#0c9468", "circle-open", lambda row: row["may"] == 0),
    ("shares are not unique", "#b8559a", "square", lambda row: True),
)
"""Kinds of groups; a group is of the first that it fits."""


def margin_times_power(row: Mapping[str, Any]) -> float:
    """Return the maximum margin times n^(3/2), which removes the order's own decrease.

    The margin's linear program has the factor 2 / (3 √3 n^(3/2)) in front, so that this is
    2 / (3 √3) times the value of a game over classes and irreps.

    Parameters
    ----------
    row
        Row of an atlas, with ``margin`` and ``order``.

    Examples
    --------
    >>> round(margin_times_power({"order": 4, "margin": 0.1}), 6)
    0.8
    """
    return row["margin"] * row["order"] ** 1.5


def atlas_figure(
    rows: Sequence[Mapping[str, Any]], links: Sequence[str] | None = None
) -> go.Figure:
    """Draw the scaled maximum margin of every group against its order.

    The vertical axis is γ* n^(3/2), the horizontal one the order, with groups of one order slightly
    apart. Colours and shapes show whether an irrep cannot be used, the hypotheses of Theorem 9
    (Morwani et al. 2024) hold, all irreps must be used, or shares are not unique; a diamond grows
    with the number of irreps that cannot.

    Parameters
    ----------
    rows
        Rows of an atlas (:func:`marginlens.atlas.read_atlas`, ``.to_pylist()``).
    links
        Link target of each row's point, kept in its ``customdata``.

    Raises
    ------
    ValueError
        The rows are empty.
    """
    if not rows:
        raise ValueError(
            "expected an atlas with rows, got an empty one; build one with: marginlens atlas "
            "--max-order 31"
        )
    figure = go.Figure()
    leads = [""] * len(rows) if links is None else links
    left = list(zip(rows, leads, strict=True))
    for name, color, symbol, fits in _KINDS:
        found = [(row, link) for row, link in left if fits(row)]
        left = [(row, link) for row, link in left if not fits(row)]
        if not found:
            continue
        some = [row for row, _ in found]
        same = {
            order: [r for r in rows if r["order"] == order] for order in {r["order"] for r in some}
        }
        spread = [_apart(row, same[row["order"]]) for row in some]
        figure.add_scatter(
            x=np.array(spread, dtype=np.float32),
            y=np.array([margin_times_power(row) for row in some], dtype=np.float32),
            mode="markers",
            name=f"{name} ({len(some)})",
            marker={
                "color": color,
                "symbol": symbol,
                "opacity": 0.8,
                "size": [7 + 1.5 * min(row["cannot"], 6) for row in some],
                "line": {"width": 1},
            },
            hovertext=[_about(row) for row in some],
            customdata=None if links is None else [link for _, link in found],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    figure.update_xaxes(title_text="order n of the group")
    figure.update_yaxes(title_text="maximum margin γ* · n<sup>3/2</sup>")
    title = f"Maximum margins of {len(rows)} groups, and the irreps that their networks use"
    style.styled(figure, title, height=520)
    return figure.update_layout(
        legend={"y": -0.16, "yanchor": "top", "itemsizing": "constant"}, margin={"t": 60, "b": 120}
    )


def _apart(row: Mapping[str, Any], same: Sequence[Mapping[str, Any]]) -> float:
    """Return the order, moved by less than a half so that equal orders lie side by side."""
    return row["order"] + 0.7 * ((row["number"] - 0.5) / max(len(same), row["number"]) - 0.5)


def _about(row: Mapping[str, Any]) -> str:
    return (
        f"<b>{style.plain(row['structure'])}</b>, order {row['order']}, number {row['number']}<br>"
        f"γ* = {style.number(row['margin'], 6)}<br>irreps: {row['must']} must, {row['may']} may, "
        f"{row['cannot']} cannot"
    )
