"""HTML pages: templates, script contents, and figures as separate pages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from marginlens.files import write_whole

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["inside_script", "page_environment", "write_figure"]


def page_environment() -> Environment:
    """Return the templates of the package, which escape values and refuse undefined ones."""
    return Environment(
        loader=PackageLoader("marginlens", package_path="."),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def inside_script(text: str) -> Markup:
    """Return JSON that cannot end the surrounding script element.

    Parameters
    ----------
    text
        JSON text of the script.
    """
    for character, escape in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(character, escape)
    return Markup(text)


def write_figure(figure: go.Figure, path: Path) -> None:
    """Write a figure as a self-contained page, atomically.

    Parameters
    ----------
    figure
        Figure to write as a page.
    path
        Page to write, ending in .html.
    """
    page = figure.to_html(include_plotlyjs=True, config={"displaylogo": False, "responsive": True})
    behind = figure.layout.template.layout.paper_bgcolor or "#ffffff"
    head = (
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
    )
    page = page.replace("<head>", f"<head>{head}", 1)
    write_whole(path, page.replace("<body>", f'<body style="margin: 0; background: {behind}">', 1))
