"""Atlas page: self-contained HTML, sortable, with filters that a link can store."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from marginlens.figures import DARK, LIGHT
from marginlens.pages import inside_script, page_environment

__all__ = ["atlas_page"]


def atlas_page(rows: Sequence[Mapping[str, Any]], totals: Mapping[str, int]) -> str:
    """Render the atlas as one HTML page.

    Parameters
    ----------
    rows
        Rows of the atlas.
    totals
        Counts of groups from :func:`marginlens.atlas.atlas_totals`.

    Returns
    -------
    str
        HTML without external resources.
    """
    payload = json.dumps([_compact(row) for row in rows], separators=(",", ":"))
    return (
        page_environment()
        .get_template("atlas/atlas.html")
        .render(
            palettes=(LIGHT, DARK),
            totals=totals,
            greatest=max((row["order"] for row in rows), default=0),
            payload=inside_script(payload),
        )
    )


def _compact(row: Mapping[str, Any]) -> list[Any]:
    """Return the values of a row that the page needs, in the order of its script."""
    irreps = [
        [
            irrep["name"],
            irrep["type"],
            *(
                None if irrep[name] is None else round(irrep[name], 6)
                for name in ("least_share", "greatest_share")
            ),
            irrep["status"],
        ]
        for irrep in row["irreps"]
    ]
    return [
        row["order"],
        row["number"],
        row["structure"],
        row["classes"],
        float(f"{row['margin']:.9g}"),
        int(row["theorem9"]),
        int(row["closed_form"]),
        row["cannot"],
        row["may"],
        row["width"],
        irreps,
    ]
