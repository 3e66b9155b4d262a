"""The maximum margin of every group of an atlas, against its order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from marginlens.figures import style

__all__ = ["ATLAS_KINDS", "atlas_figure", "atlas_kind"]

ATLAS_KINDS = (
    "Theorem 9 applies",
    "another closed form applies",
    "an irrep cannot be used",
)
"""What tells groups apart in the figure, in the order of its traces."""

_COLORS = (style.CATEGORICAL[0], style.CATEGORICAL[7], style.CATEGORICAL[1])
_SYMBOLS = ("circle", "diamond", "x")


def atlas_kind(row: Mapping[str, Any]) -> str:
    """Which of ``ATLAS_KINDS`` a group is: where no irrep is forbidden there is a closed form.

    Examples
    --------
    >>> atlas_kind({"theorem9": False, "cannot": 2})
    'an irrep cannot be used'
    """
    return ATLAS_KINDS[0 if row["theorem9"] else 2 if row["cannot"] else 1]


def atlas_figure(
    rows: Sequence[Mapping[str, Any]], links: Sequence[str] | None = None
) -> go.Figure:
    """Draw gamma* n^(3/2) against the order n of the group, by what theorem gives gamma*.

    gamma* = 2 / (3 sqrt(3) n^(3/2)) t*, so that the height is t* up to a constant: what is left of the
    margin when its fall with the order is taken away.

    Parameters
    ----------
    rows
        Rows of the atlas, with ``order``, ``number``, ``structure``, ``margin``, ``theorem9`` and
        ``cannot``.
    links
        Where a point leads, kept in its ``customdata``.
    """
    figure = go.Figure()
    heights = [row["margin"] * row["order"] ** 1.5 for row in rows]
    for kind, color, symbol in zip(ATLAS_KINDS, _COLORS, _SYMBOLS, strict=True):
        chosen = [index for index, row in enumerate(rows) if atlas_kind(row) == kind]
        names = [
            f"<b>{style.plain(rows[i]['structure'])}</b>, order {rows[i]['order']}, "
            f"number {rows[i]['number']}<br>γ* = {style.number(rows[i]['margin'], 6)}<br>{kind}"
            for i in chosen
        ]
        figure.add_scatter(
            x=[rows[i]["order"] for i in chosen], y=[heights[i] for i in chosen],
            mode="markers", name=f"{kind}: {len(chosen)}", hovertext=names,
            hovertemplate="%{hovertext}<extra></extra>",
            customdata=None if links is None else [links[i] for i in chosen],
            marker={"color": color, "symbol": symbol, "size": 7, "opacity": 0.8},
        )  # fmt: skip
    if len(rows):
        low, high = (float(end([row["order"] for row in rows])) for end in (min, max))
        figure.update_xaxes(
            range=[np.log10(0.93 * low), np.log10(1.07 * high)], **style.decades(low, high)
        )
        low, high = min(heights), max(heights)
        figure.update_yaxes(
            range=[np.log10(0.93 * low), np.log10(1.07 * high)],
            **style.decades(low / 1.2, high * 1.2),
        )
    figure.update_xaxes(title_text="order n of the group", type="log")
    figure.update_yaxes(title_text="γ* · n³ᐟ²", type="log")
    return style.styled(
        figure, "Maximum margin of every group, less its fall with the order", height=440
    )
