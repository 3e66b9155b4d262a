"""Page "Runs": list of the finished runs in the folder."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import dash_mantine_components as dmc
from dash import Input, Output, dcc, html

from marginlens.explorer import components
from marginlens.explorer.context import Query, Site, View
from marginlens.figures.style import number

if TYPE_CHECKING:
    from dash import Dash

    from marginlens.explorer.library import RunSummary

__all__ = ["RUNS"]

_MOST = 500
_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"))


def _draw(site: Site, query: Query) -> list[Any]:
    entries = site.library.entries()
    top = components.heading(
        "Runs", "Finished runs in this folder. Choose one to see its figures and its verdict."
    )
    if not entries:
        return [
            top,
            components.card(
                html.P("This folder has no runs yet."),
                html.P(
                    [
                        dcc.Link("Train a network", href="/watch"),
                        ", or type ",
                        html.Code("marginlens run C23"),
                        " in a terminal.",
                    ]
                ),
            ),
        ]
    wanted = query.get("search", "").strip()
    return [
        top,
        components.card(
            dmc.TextInput(
                id="runs-search",
                label="Search",
                description="Name, task, activation or network",
                value=wanted,
                debounce=300,
                maw="20rem",
                mb="sm",
            ),
            html.Div(_table(entries, wanted), id="runs-table"),
            label="Runs",
        ),
    ]


def _table(entries: list[RunSummary], wanted: str) -> Any:
    words = wanted.lower().split()
    found = [entry for entry in entries if all(word in _text(entry) for word in words)]
    if not found:
        return html.P(f"No run matches {wanted!r}.", role="status")
    rows = [
        [
            dcc.Link(entry.name, href=components.address("/run", name=entry.name)),
            str(entry.recipe.get("task", "–")),
            str(entry.recipe.get("network", "mlp")),
            str(entry.recipe.get("activation", "–")),
            str(entry.recipe.get("width", "–")),
            _strength(entry.recipe),
            str(entry.recipe.get("seed", 0)),
            _ago(time.time() - entry.changed),
        ]
        for entry in found[:_MOST]
    ]
    columns = ("Run", "Task", "Network", "Activation", "Width", "Strength", "Seed", "Finished")
    shown = components.table(columns, rows, label="Runs", numeric=(4, 5, 6, 7))
    if len(found) <= _MOST:
        return shown
    return [shown, html.P(f"The latest {_MOST} of {len(found)} runs; search for the others.")]


def _text(entry: RunSummary) -> str:
    recipe = entry.recipe
    words = (entry.name, *(recipe.get(field) for field in ("task", "activation", "network")))
    return " ".join(map(str, words)).lower()


def _strength(recipe: dict[str, Any]) -> str:
    value = recipe.get("strength")
    return number(float(value), 4) if isinstance(value, int | float) else "–"


def _ago(seconds: float) -> str:
    """Return an age in seconds as text, in the largest unit that fits.

    Examples
    --------
    >>> _ago(30.0), _ago(90.0), _ago(7300.0), _ago(200_000.0)
    ('just now', '1 minute ago', '2 hours ago', '2 days ago')
    """
    for size, unit in _UNITS:
        count = int(seconds // size)
        if count:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def _connect(app: Dash, site: Site) -> None:
    @app.callback(
        Output("runs-table", "children"), Input("runs-search", "value"), prevent_initial_call=True
    )
    def search(wanted: str | None) -> Any:
        return _table(site.library.entries(), (wanted or "")[:100])


RUNS = View("/runs", "Runs", "Runs", _draw, _connect)
