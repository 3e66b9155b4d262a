"""What every page shares: templates, safe script contents, files written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

__all__ = ["inside_script", "page_environment", "write_whole"]


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


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file: whole, or not at all; an older file there is replaced.

    Raises
    ------
    OSError
        If the folder does not exist or cannot be written to.
    """
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        # mkstemp makes private files: this one is as readable as any other file of the folder.
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
