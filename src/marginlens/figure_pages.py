"""Figures inside larger pages: their JSON without title and player, and plotly.js."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from plotly.offline import get_plotlyjs

from marginlens.figures.style import DARK, LIGHT, template, title_text
from marginlens.pages import inside_script

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["figure_payload", "page_payload", "plotly_script"]


def figure_payload(figure: go.Figure) -> dict[str, Any]:
    """A figure's JSON with title, theme and player taken out: the page has its own."""
    content = json.loads(figure.to_json() or "{}")
    layout = content["layout"]
    layout.pop("template", None)
    title = layout.pop("title", {}).get("text", "")
    if layout.pop("sliders", None):
        layout["height"] -= 76
        layout["margin"]["b"] = 56
    layout.pop("updatemenus", None)
    margin = layout.setdefault("margin", {})
    lines_above = 36 if layout.get("showlegend", True) else 24
    layout["height"] -= margin.get("t", 76) - lines_above
    margin["t"] = lines_above
    return {
        "title": title_text(title),
        "data": content["data"],
        "layout": layout,
        "frames": content.get("frames", []),
    }


def page_payload(figures: Mapping[str, dict[str, Any]]) -> Markup:
    """Return the JSON of a page's figures by name, with the light and dark templates.

    Parameters
    ----------
    figures
        Contents of the figures by name, as :func:`figure_payload` returns them.
    """
    templates = {palette.name: template(palette).to_plotly_json() for palette in (LIGHT, DARK)}
    payload = {"figures": figures, "templates": templates}
    return inside_script(json.dumps(payload, default=lambda value: value.to_plotly_json()))


@cache
def plotly_script() -> Markup:
    """plotly.js, made safe for a script element."""
    return Markup(re.sub(r"</(script)", r"<\\/\1", get_plotlyjs(), flags=re.IGNORECASE))
