"""Dash application: one page whose content follows the address."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import dash_mantine_components as dmc
from dash import ALL, MATCH, Dash, Input, Output, State, dcc, html, set_props
from dash.exceptions import PreventUpdate

from marginlens.explorer import components
from marginlens.explorer.downloads import connect_downloads
from marginlens.explorer.jobs.pictures import connect_pictures
from marginlens.explorer.pages import VIEWS
from marginlens.explorer.uploads import LARGEST_UPLOAD
from marginlens.figures import DARK, LIGHT, Palette, template
from marginlens.figures.style import FONT

if TYPE_CHECKING:
    from dash.development.base_component import Component

    from marginlens.explorer.context import Site, View

__all__ = ["make_app"]

_log = logging.getLogger(__name__)

# Mantine's dark colour scale, from text to background, around the figures' dark palette
_DARK_SHADES = (
    DARK.ink,
    "#c3cbd8",
    DARK.muted,
    "#6b7688",
    "#3a4557",
    DARK.line,
    "#1b2330",
    DARK.card,
    DARK.page,
    "#07090e",
)
_THEME: Any = {
    "primaryColor": "indigo",
    "fontFamily": FONT,
    "defaultRadius": "md",
    "autoContrast": True,
    "colors": {"dark": list(_DARK_SHADES)},
}
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
{%metas%}
<title>{%title%}</title>
<link rel="icon" href="data:,">
{%css%}
<style>PALETTES</style>
<script>
document.documentElement.setAttribute("data-mantine-color-scheme", (() => {
  let chosen = null;
  try { chosen = localStorage.getItem("mantine-color-scheme-value"); } catch { }
  if (chosen === "light" || chosen === "dark") return chosen;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
})());
</script>
</head>
<body>
{%app_entry%}
<footer>{%config%}{%scripts%}{%renderer%}</footer>
</body>
</html>"""


def make_app(site: Site) -> Dash:
    """Build the Dash application.

    Parameters
    ----------
    site
        Runs, trainings and uploaded tables that the pages show.

    Returns
    -------
    A Dash application whose ``server`` is served by :func:`marginlens.explorer.server.explore`.
    The browser loads all its files from that server.
    """
    app = Dash(
        "marginlens.explorer",
        title="MarginLens",
        update_title="",
        serve_locally=True,
        suppress_callback_exceptions=True,
        index_string=_PAGE.replace("PALETTES", _variables()),
        meta_tags=[
            {"name": "viewport", "content": "width=device-width, initial-scale=1"},
            {"name": "color-scheme", "content": "light dark"},
        ],
        add_log_handler=False,
        on_error=_report,
        compress=False,
    )
    # built once, before other threads start: Plotly's imports at its first figure are not thread-safe
    app.layout = _shell()

    @app.callback(
        Output("page", "children"),
        Output("page", "data-path"),
        Output({"nav": ALL}, "active"),
        Output("problem", "children", allow_duplicate=True),
        Input("url", "pathname"),
        Input("url", "search"),
        State({"nav": ALL}, "id"),
        prevent_initial_call="initial_duplicate",
    )
    def route(path: str | None, search: str | None, links: list[dict[str, str]]) -> Any:
        path = (path or "/").rstrip("/") or "/"
        active = [link["nav"] == path for link in links]
        view = VIEWS.get(path)
        if view is None:
            return _missing(path), path, active, []
        return _drawn(view, site, search), path, active, []

    app.clientside_callback(
        "window.dash_clientside.marginlens.draw",
        Output({"part": "graph", "name": MATCH}, "figure"),
        Output({"part": "title", "name": MATCH}, "children"),
        Output({"part": "graph", "name": MATCH}, "style"),
        Input({"part": "figure", "name": MATCH}, "data"),
        State("templates", "data"),
    )
    app.clientside_callback(
        "window.dash_clientside.marginlens.opened",
        Output("shell", "navbar"),
        Input("burger", "opened"),
        State("shell", "navbar"),
    )
    app.clientside_callback(
        "window.dash_clientside.watching.owner",
        Output("owner", "data"),
        Input("owner", "modified_timestamp"),
        State("owner", "data"),
    )
    app.clientside_callback(
        "window.dash_clientside.marginlens.heights",
        Output({"part": "plot", "name": MATCH}, "data-drawn"),
        Input({"part": "heights", "name": MATCH}, "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        "window.dash_clientside.marginlens.arrived",
        Output("page", "data-arrived"),
        Input("page", "children"),
        State("largest-upload", "data"),
    )
    app.clientside_callback(
        "() => false",
        Output("burger", "opened"),
        Input("url", "pathname"),
        prevent_initial_call=True,
    )
    connect_downloads(app.server, site.library)
    connect_pictures(app.server, site.trainings)
    for view in VIEWS.values():
        view.connect(app, site)
    return app


def _drawn(view: View, site: Site, search: str | None) -> Any:
    """Return the content of a view, or a message with the reason for its failure."""
    query = dict(parse_qsl((search or "").lstrip("?"), keep_blank_values=True))
    try:
        return view.draw(site, query)
    except (ValueError, OSError) as error:
        return [
            components.heading(view.label, "The address of this page is not valid."),
            components.message(error),
        ]
    except Exception:
        _log.exception("the page %s failed", view.path)
        return [
            components.heading(view.label, "This page failed to load."),
            components.message("The explorer's log has the details.", title="Internal error"),
        ]


def _missing(path: str) -> Component:
    return html.Div(
        [
            components.heading("Page not found", f"The explorer has no page {path!r}."),
            html.P(["Return to ", dcc.Link("the start page", href="/"), "."]),
        ]
    )


def _shell() -> Component:
    listed = [view for view in VIEWS.values() if view.listed]

    def links() -> list[Component]:
        return [
            dmc.NavLink(
                label=view.label, href=view.path, id={"nav": view.path}, variant="light", py=6
            )
            for view in listed
        ]

    return dmc.MantineProvider(
        [
            dcc.Location(id="url", refresh="callback-nav"),
            dcc.Store(id="owner", storage_type="session"),
            dcc.Store(id="watch-drawn"),
            dcc.Store(id="watch-strength-now"),
            dcc.Store(
                id="templates",
                data={
                    palette.name: json.loads(json.dumps(template(palette), default=_as_json))
                    for palette in (LIGHT, DARK)
                },
            ),
            dcc.Store(id="largest-upload", data=LARGEST_UPLOAD),
            html.A("Skip to the page", href="#page", className="skip"),
            dmc.AppShell(
                [
                    dmc.AppShellHeader(
                        dmc.Group(
                            [
                                dmc.Burger(
                                    id="burger",
                                    size="sm",
                                    hiddenFrom="sm",
                                    opened=False,
                                    **components.aria(label="Navigation"),
                                ),
                                dcc.Link(
                                    [html.B("MarginLens"), html.Span("predict · train · verdict")],
                                    href="/",
                                    className="brand",
                                ),
                                dmc.ColorSchemeToggle(
                                    id="scheme",
                                    lightIcon="☀",
                                    darkIcon="☾",
                                    variant="default",
                                    size="lg",
                                    ml="auto",
                                    **components.aria(label="Switch between light and dark theme"),
                                ),
                            ],
                            h="100%",
                            px="md",
                        )
                    ),
                    dmc.AppShellNavbar(html.Nav(links(), **components.aria(label="Pages")), p="sm"),
                    dmc.AppShellMain(
                        [
                            html.Div(id="problem", **components.aria(live="polite")),
                            html.Main(html.Div(className="waiting"), id="page", tabIndex=-1),
                        ]
                    ),
                ],
                id="shell",
                header={"height": 56},
                navbar={
                    "width": 190,
                    "breakpoint": "sm",
                    "collapsed": {"mobile": True, "desktop": False},
                },
                padding="md",
            ),
        ],
        defaultColorScheme="auto",
        theme=_THEME,
    )


def _as_json(value: Any) -> Any:
    return value.to_plotly_json()


def _variables() -> str:
    """Return CSS variables with the colours of the figures' light and dark palettes."""

    def one(palette: Palette) -> str:
        names = ("page", "card", "ink", "muted", "line", "accent", "good", "bad")
        return "".join(f"--{name}:{getattr(palette, name)};" for name in names)

    dark = ':root[data-mantine-color-scheme="dark"]'
    return f":root{{{one(LIGHT)}}}{dark}{{{one(DARK)}}}"


def _report(error: Exception) -> None:
    """Log a failed callback, and show a message on the page."""
    _log.error("a callback failed", exc_info=error)
    known = isinstance(error, ValueError | OSError)
    words = str(error) if known else "The explorer's log has the details."
    title = "Request failed" if known else "Internal error"
    set_props("problem", {"children": components.message(words, title=title)})
    raise PreventUpdate
