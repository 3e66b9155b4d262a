"""Figures as files: pages, SVG, PDF and PNG.

Images are drawn by an installed Chrome or Chromium through Kaleido, the extra
``marginlens[images]``. Drawing needs no network access, and files are written atomically.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import Any

import plotly.graph_objects as go

from marginlens import pages
from marginlens.files import write_whole

__all__ = [
    "FILMS",
    "IMAGES",
    "Progress",
    "figure_images",
    "fitted",
    "missing",
    "still",
    "suffix_of",
    "write_figure",
]

IMAGES = (".html", ".svg", ".pdf", ".png")
"""Endings of files that a figure can be written to."""
FILMS = (".html", ".mp4", ".gif")
"""Endings of files that an animation can be written to."""

WIDTH = 900
"""Pixels of a figure's width, unless told."""
TABS = 2
"""Pages of the browser that draw at the same time."""
LETTER, LINE, EDGE = 8.2, 22, 44
"""Pixels of a letter of a title and of its lines, and left and right of it."""

Progress = Callable[[int, int], None]


def missing(suffix: str) -> str | None:
    """Return the reason why files of an ending cannot be written here, or ``None``.

    Parameters
    ----------
    suffix
        Ending of the file name, such as ``".svg"``.

    Examples
    --------
    >>> missing(".html") is None
    True
    """
    if suffix == ".html":
        return None
    instead = f"or end the file's name in .html, which needs nothing ({suffix} was asked for)"
    try:
        import kaleido  # noqa: F401  (is it there?)

        if suffix in FILMS:
            import imageio_ffmpeg  # noqa: F401
            import PIL  # noqa: F401
    except ImportError:
        return f"images need an extra: pip install 'marginlens[images]', {instead}"
    if _browser() is None:
        return (
            "images are drawn by Chrome or Chromium, and none was found: install one (for example "
            "with plotly_get_chrome, or apt install chromium), or set BROWSER_PATH to where it is, "
            + instead
        )
    return None


def _browser() -> str | None:
    """Return the path of a browser that can draw, found by Kaleido's search."""
    from choreographer.browsers.chromium import Chromium

    try:
        found = Chromium.find_browser(skip_local=False)
    except (RuntimeError, ValueError, OSError):
        return None
    return str(found) if found and Path(found).exists() else None


def still(figure: go.Figure) -> go.Figure:
    """Return a figure without a page's slider and buttons.

    Parameters
    ----------
    figure
        Figure with or without a player.

    Examples
    --------
    >>> figure = go.Figure(layout={"height": 500, "margin": {"b": 132}, "sliders": [{}]})
    >>> bare = still(figure)
    >>> len(bare.layout.sliders), bare.layout.height, bare.layout.margin.b
    (0, 424, 56)
    """
    content = figure.to_dict()
    layout = content["layout"]
    if layout.pop("sliders", None) and layout.get("height"):
        below = layout.get("margin", {}).get("b", 132)
        layout["height"] -= below - 56
        layout["margin"] = {**layout.get("margin", {}), "b": 56}
    layout.pop("updatemenus", None)
    return go.Figure({"data": content["data"], "layout": layout}, skip_invalid=True)


def fitted(figure: go.Figure, width: int) -> go.Figure:
    """Return the figure with its title broken into lines that fit a width.

    Parameters
    ----------
    figure
        Figure with a title.
    width
        Width of the column in pixels.

    Examples
    --------
    >>> figure = go.Figure(layout={"title": {"text": "a title<br>in so many words"}, "height": 300})
    >>> fitted(figure, 140).layout.title.text
    'a title in<br>so many<br>words'
    """
    if not figure.layout.title.text or not figure.layout.height:
        return figure
    before = figure.layout.title.text.split("<br>")
    room = max(12, int((width - 2 * EDGE) / LETTER))
    lines = [""]
    for word in " ".join(before).split():
        joined = f"{lines[-1]} {word}".strip()
        if lines[-1] and len(re.sub(r"<[^>]*>|&[a-z]+;", "", joined)) > room:
            lines.append(word)
        else:
            lines[-1] = joined
    more = LINE * (len(lines) - len(before))
    height = figure.layout.height + more
    top = figure.layout.margin.t or figure.layout.template.layout.margin.t or 100
    figure = go.Figure(figure)
    figure.update_layout(
        height=height,
        title={"text": "<br>".join(lines), "y": 0.985 - LINE / 2 * (len(lines) - 1) / height},
        margin={"t": top + more},
    )
    return figure


def figure_images(
    figures: Sequence[go.Figure],
    suffix: str,
    *,
    width: int | None = None,
    height: int | None = None,
    scale: float = 1.0,
    progress: Progress | None = None,
) -> list[bytes]:
    """Draw figures in one browser, in their order.

    Parameters
    ----------
    figures
        Figures without players to draw.
    suffix
        Ending of the file name: ``".svg"``, ``".pdf"`` or ``".png"``.
    width, height
        Size in pixels; by default the figures' own, or 900 wide.
    scale
        Number of pixels of a PNG per pixel of the figure.
    progress
        Function called with the numbers of drawn figures and of all.

    Raises
    ------
    ValueError
        The extra is not installed, or no browser can draw.
    """
    reason = missing(suffix)
    if reason is not None:
        raise ValueError(reason)
    form = suffix.removeprefix(".")
    return _Drawing(
        lambda drawing: _draw(drawing, list(figures), form, width, height, scale, progress)
    ).finished()


class _Drawing:
    """Thread that draws figures, which also works under a running event loop.

    Kaleido waits for a page that is being drawn when it is cancelled, and may wait for ever. So an
    interrupted drawing is not cancelled: its browser is ended, and its thread left behind.
    """

    def __init__(self, work: Callable[[_Drawing], Coroutine[Any, Any, list[bytes]]]) -> None:
        self.work = work
        self.browser: subprocess.Popen[Any] | None = None
        self.result: Future[list[bytes]] = Future()

    def finished(self) -> list[bytes]:
        Thread(target=self._run, daemon=True).start()
        try:
            return self.result.result()
        except BaseException:
            if self.browser is not None and self.browser.poll() is None:
                self.browser.kill()
            raise

    def _run(self) -> None:
        try:
            self.result.set_result(asyncio.run(self.work(self)))
        except BaseException as error:  # it is raised where it is waited for
            self.result.set_exception(error)


async def _draw(
    drawing: _Drawing,
    figures: list[go.Figure],
    form: str,
    width: int | None,
    height: int | None,
    scale: float,
    progress: Progress | None,
) -> list[bytes]:
    from kaleido import Kaleido

    done = 0

    async def draw(browser: Kaleido, figure: go.Figure) -> bytes:
        nonlocal done
        wide = width or figure.layout.width or WIDTH
        figure = fitted(figure, wide)
        options: Any = {
            "format": form,
            "scale": scale,
            "width": wide,
            "height": height or figure.layout.height or 450,
        }
        try:
            drawn = await browser.calc_fig(figure, opts=options)
        except (RuntimeError, TimeoutError) as error:
            raise ValueError(f"the browser could not draw the figure: {error}") from error
        done += 1
        if progress is not None:
            progress(done, len(figures))
        return drawn

    # MathJax would be fetched from a network
    async with Kaleido(n=min(TABS, len(figures)), mathjax=False, timeout=90) as browser:
        drawing.browser = browser.subprocess
        return await asyncio.gather(*(draw(browser, figure) for figure in figures))


def write_figure(
    figure: go.Figure,
    path: Path,
    *,
    width: int | None = None,
    height: int | None = None,
    scale: float = 2.0,
) -> None:
    """Write a figure by the ending of the file's name, atomically.

    Parameters
    ----------
    figure
        Figure to write; a page fits its window, other files have the given size.
    path
        File to write, ending in .html (a self-contained page), .svg, .pdf or .png.
    width, height, scale
        Size in pixels and scale, as in :func:`figure_images`; a page has no scale.

    Raises
    ------
    ValueError
        The ending is another, or images cannot be drawn here; the message has a remedy.
    """
    suffix = suffix_of(path, IMAGES)
    if suffix != ".html":
        (drawn,) = figure_images([still(figure)], suffix, width=width, height=height, scale=scale)
        write_whole(path, drawn)
        return
    if width or height:
        figure = go.Figure(figure).update_layout(width=width, height=height or figure.layout.height)
    pages.write_figure(figure, path)


def suffix_of(path: Path, known: tuple[str, ...]) -> str:
    """Return the ending of a file's name if it is one of those supported.

    Parameters
    ----------
    path
        Path of the file to write.
    known
        Supported endings of file names.

    Raises
    ------
    ValueError
        The ending is another.
    """
    suffix = path.suffix.lower()
    if suffix not in known:
        words = f"{', '.join(known[:-1])} or {known[-1]}"
        raise ValueError(f"{str(path)!r} must end in {words}")
    return suffix
