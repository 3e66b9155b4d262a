"""Animated figures as pages, MP4 and GIF files."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from marginlens import pages
from marginlens.files import write_whole
from marginlens.images import FILMS, Progress, figure_images, still, suffix_of

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["at_frame", "write_film"]

RATE = 25
"""Pictures a second of an MP4; a frame that is to stand longer is repeated."""
COLORS = 64
"""Colours of a GIF: those of its first, middle and last frame."""
PACE = 0.15
"""Seconds of a frame, unless told."""


def at_frame(figure: go.Figure, index: int, *, prefix: str = "training step ") -> go.Figure:
    """Return one frame of an animated figure, with its name below the plot.

    Parameters
    ----------
    figure
        Figure with frames, each naming the traces that it changes.
    index
        Index of the frame.
    prefix
        Text before the frame's name.

    Examples
    --------
    >>> frames = [go.Frame(name=str(s), data=[go.Bar(y=[s])], traces=[0]) for s in (1, 5)]
    >>> figure = go.Figure(data=[go.Bar(y=[5])], frames=frames)
    >>> at_frame(figure, 0).data[0].y, at_frame(figure, 0).layout.annotations[0].text
    ((1,), 'training step <b>1</b>')
    """
    frame: Any = figure.frames[index]
    one = still(figure)
    for place, change in zip(frame.traces or (), frame.data, strict=False):
        one.data[place].update(
            {name: value for name, value in change.to_plotly_json().items() if name != "type"}
        )
    if one.layout.height is not None:
        below = one.layout.margin.b or 56
        one.update_layout(height=one.layout.height + 28, margin={"b": below + 28})
    return one.add_annotation(
        x=0,
        y=0,
        xref="paper",
        yref="paper",
        xanchor="left",
        yanchor="top",
        yshift=-52,
        text=f"{prefix}<b>{frame.name}</b>",
        showarrow=False,
        font={"size": 14},
    )


def write_film(
    figure: go.Figure,
    path: Path,
    *,
    seconds: float | None = None,
    width: int | None = None,
    scale: float = 1.0,
    progress: Progress | None = None,
) -> None:
    """Write an animated figure as a film, atomically.

    Parameters
    ----------
    figure
        Figure with at least two frames.
    path
        File to write, ending in .html (a page with a slider and a play button), .mp4 or .gif.
    seconds
        Duration in seconds; by default 0.15 seconds per frame. The last frame stays a second
        longer.
    width, scale, progress
        Width in pixels, scale and progress callback, as in :func:`figure_images`.

    Raises
    ------
    ValueError
        The figure has no frames, the ending is another, or images cannot be drawn here.
    """
    suffix = suffix_of(path, FILMS)
    frames: Any = figure.frames
    count = len(frames)
    if not count:
        raise ValueError("expected a figure with frames to animate, got one without")
    if suffix == ".html":
        if seconds is not None:
            figure = _paced(figure, 1000 * seconds / count)
        pages.write_figure(figure, path)
        return
    each = (PACE * count if seconds is None else seconds) / count
    drawn = figure_images(
        [at_frame(figure, index) for index in range(count)],
        ".png",
        width=width,
        scale=scale,
        progress=progress,
    )
    write_whole(path, _gif(drawn, each) if suffix == ".gif" else _mp4(drawn, each))


def _paced(figure: go.Figure, milliseconds: float) -> go.Figure:
    """Return the figure with another speed of its play button."""
    paced = go.Figure(figure)
    for menu in paced.layout.updatemenus:
        for button in menu.buttons:
            if button.args and button.args[0] is None:
                frame = {**button.args[1]["frame"], "duration": milliseconds}
                button.args = [None, {**button.args[1], "frame": frame}]
    return paced


def _pictures(drawn: Sequence[bytes]) -> list[Image.Image]:
    """PNGs as pictures whose sides are even, as films need them."""
    from PIL import Image

    pictures = [Image.open(io.BytesIO(one)).convert("RGB") for one in drawn]
    width, height = pictures[0].size
    return [picture.crop((0, 0, width - width % 2, height - height % 2)) for picture in pictures]


def _gif(drawn: Sequence[bytes], each: float) -> bytes:
    """Write a repeating film; all frames share the colours of three, to avoid flicker."""
    from PIL import Image

    pictures = _pictures(drawn)
    width, height = pictures[0].size
    places = sorted({0, len(pictures) // 2, len(pictures) - 1})
    some = Image.new("RGB", (width, height * len(places)))
    for row, place in enumerate(places):
        some.paste(pictures[place], (0, row * height))
    palette = some.quantize(COLORS)
    flat = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    times = [round(1000 * each)] * len(flat)
    times[-1] += 1000
    target = io.BytesIO()
    flat[0].save(
        target,
        format="GIF",
        save_all=True,
        append_images=flat[1:],
        duration=times,
        loop=0,
        optimize=True,
        disposal=1,
    )
    return target.getvalue()


def _mp4(drawn: Sequence[bytes], each: float) -> bytes:
    """H.264 that every browser plays."""
    import imageio_ffmpeg

    pictures = _pictures(drawn)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "film.mp4"
        writer = imageio_ffmpeg.write_frames(
            str(file),
            pictures[0].size,
            fps=RATE,
            codec="libx264",
            macro_block_size=2,
            pix_fmt_out="yuv420p",
            quality=7,
            output_params=["-movflags", "+faststart"],
            ffmpeg_log_level="error",
        )
        writer.send(None)
        shown = 0
        for index, picture in enumerate(pictures):
            end = round(RATE * (each * (index + 1) + (index == len(pictures) - 1)))
            for _ in range(max(end - shown, 0)):
                writer.send(picture.tobytes())
            shown = max(end, shown)
        writer.close()
        return file.read_bytes()
