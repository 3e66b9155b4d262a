"""Components shared by all pages: cards, headline numbers, figures, messages, tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import dash_mantine_components as dmc
import numpy as np
from dash import dcc, html

from marginlens.figures.style import title_text

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from dash.development.base_component import Component

__all__ = [
    "ACTIVATIONS",
    "address",
    "aria",
    "card",
    "chip",
    "figure",
    "figure_data",
    "heading",
    "headlines",
    "message",
    "no_message",
    "table",
]

ACTIVATIONS = {"": "default of the task", "x^2": "x²", "x^3": "x³", "relu": "ReLU", "abs": "|x|"}
"""Activations in the forms' lists, with their labels."""

GRAPH: Any = {
    "displaylogo": False,
    "responsive": True,
    "scrollZoom": False,
    "displayModeBar": "hover",
    "modeBarButtons": [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
    "toImageButtonOptions": {"format": "svg"},
}

_EMPTY = {  # layout before the first figure arrives
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "xaxis": {"visible": False},
    "yaxis": {"visible": False},
}


def address(path: str, **query: object) -> str:
    """Return the address of a view with its query; entries that are None or empty are omitted.

    Examples
    --------
    >>> address("/predict", task="SL(2,3)", strength=None)
    '/predict?task=SL%282%2C3%29'
    """
    given = {name: str(value) for name, value in query.items() if value not in (None, "")}
    return path + ("?" + urlencode(given) if given else "")


def heading(title: str, words: str) -> Component:
    """Return a page's title with one sentence about its purpose."""
    return html.Div(
        [dmc.Title(title, order=1), html.P(words, className="lead")], className="page-heading"
    )


def aria(**words: str) -> Any:
    """Return attributes for screen readers (ARIA), as keyword arguments of components.

    Examples
    --------
    >>> aria(label="Pages")
    {'aria-label': 'Pages'}
    """
    return {f"aria-{name}": value for name, value in words.items()}


def card(
    *children: Component | str, title: str | None = None, label: str | None = None
) -> Component:
    """Return a card; ``title`` adds a heading, ``label`` a name for screen readers."""
    head = [] if title is None else [dmc.Title(title, order=2)]
    named = aria(label=label) if label else {}
    return html.Section([*head, *children], className="card", **named)


def headlines(numbers: Iterable[tuple[str, str, str]]) -> Component:
    """Return headline numbers: label, value, and reference for each."""
    return html.Dl(
        [
            html.Div([html.Dt(label), html.Dd(value, className="value"), html.Dd(against)])
            for label, value, against in numbers
        ],
        className="headlines",
    )


def chip(text: str, mood: str = "neutral") -> Component:
    """Return a short text on a coloured background: good, bad or neutral."""
    return html.Span(text, className=f"chip {mood}")


def message(error: object, *, title: str = "Request not accepted") -> Component:
    """Return an alert with the error's text, announced to screen readers."""
    return dmc.Alert(str(error), title=title, color="red", variant="light")


def no_message() -> list[Any]:
    """Return the empty content that clears a message."""
    return []


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    label: str,
    numeric: Iterable[int] = (),
) -> Component:
    """Return a table that scrolls if wider than the page; first cells are row headings."""
    right = set(numeric)
    style = ["n" if index in right else "" for index in range(len(columns))]
    head = html.Thead(
        html.Tr([html.Th(c, scope="col", className=s) for c, s in zip(columns, style, strict=True)])
    )
    body = html.Tbody(
        [
            html.Tr(
                [
                    html.Th(cell, scope="row", className=s)
                    if index == 0
                    else html.Td(cell, className=s)
                    for index, (cell, s) in enumerate(zip(row, style, strict=True))
                ]
            )
            for row in rows
        ]
    )
    return html.Div(
        html.Table([head, body]), className="scroll", tabIndex=0, role="region", **aria(label=label)
    )


def figure_data(drawn: go.Figure) -> dict[str, Any]:
    """Return a figure's data for the browser, without the template, which the browser adds.

    The title is taken out of the layout too: the page shows it above the figure.
    """
    content = json.loads(drawn.to_json() or "{}")
    layout = content["layout"]
    layout.pop("template", None)
    title = layout.pop("title", {}).get("text", "")
    margin = layout.setdefault("margin", {})
    above = 40 if layout.get("showlegend", True) else 28
    layout["height"] = layout.get("height", 400) - margin.get("t", 76) + above
    margin["t"] = above
    for control in ("sliders", "updatemenus"):
        if layout.pop(control, None) is not None and control == "sliders":
            layout["height"] -= 76
            margin["b"] = 56
    return {"title": title_text(title), "data": content["data"], "layout": layout}


def heights_data(
    name: str, heights: Iterable[Any], layout: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return new heights of a figure's traces in order, to four digits, and layout changes."""
    rounded = [[float(f"{value:.4g}") for value in np.asarray(trace)] for trace in heights]
    return {"name": name, "y": rounded, "layout": dict(layout or {})}


def figure(
    name: str, drawn: go.Figure | None, *, caption: Sequence[str] = (), title: str | None = None
) -> Component:
    """Return a figure that follows the page's light or dark theme.

    Its content is in the store ``{"part": "figure", "name": name}``; to change it, set the store's data
    to a :func:`figure_data`. If only heights of its traces change, set the data of the store
    ``{"part": "heights", "name": name}`` to a :func:`heights_data`, which is many times faster.

    Parameters
    ----------
    name
        Name of the figure, unique on the page.
    drawn
        Plotly figure to show; None for a placeholder that a callback fills later.
    caption
        Sentences below the figure: the finding to look for, then the computation.
    title
        Title above the figure; defaults to the Plotly figure's title.
    """
    content = None if drawn is None else figure_data(drawn)
    words = title if title is not None else ("" if content is None else content["title"])
    height = 320 if content is None else content["layout"]["height"]
    return html.Figure(
        [
            html.P(words, className="what", id={"part": "title", "name": name}),
            dcc.Store(id={"part": "figure", "name": name}, data=content),
            dcc.Store(id={"part": "heights", "name": name}),
            html.Div(
                dcc.Graph(
                    id={"part": "graph", "name": name},
                    figure={"data": [], "layout": {"height": height, **_EMPTY}},
                    config=GRAPH,
                    responsive=True,
                    style={"height": height},
                ),
                id={"part": "plot", "name": name},
                style={"minHeight": height},  # keeps the layout still when the figure arrives
                role="group",
                **aria(label=f"Figure: {words or name}"),
            ),
            html.Figcaption(
                [html.Span(part, className="note" if i else "") for i, part in enumerate(caption)]
            ),
        ],
        className="figure",
    )


def options(names: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the options of a select from values and labels."""
    return [{"value": value, "label": label} for value, label in names.items()]
