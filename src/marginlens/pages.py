"""What every page shares: templates, safe script contents."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

__all__ = ["inside_script", "page_environment"]


def page_environment() -> Environment:
    """Templates of the package, with everything escaped and nothing undefined."""
    return Environment(
        loader=PackageLoader("marginlens", package_path="."),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def inside_script(text: str) -> Markup:
    """JSON that cannot end the script element it stands in."""
    for character, escape in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(character, escape)
    return Markup(text)
