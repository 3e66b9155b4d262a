"""The command ``figure animate``: film of a run's neurons through training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marginlens.cli.app import figure_commands
from marginlens.cli.arguments import RunFolder
from marginlens.cli.figure.draw import Dark, Width, themed
from marginlens.cli.text_output import check_file, counting, written

_MOST_FRAMES = 200


@figure_commands.command(
    examples=(
        "figure animate runs/C23 --out film.html",
        "figure animate runs/relu --out film.mp4 --seconds 8 --neurons 6",
        "figure animate runs/C23 --out film.gif --width 640 --dark",
    ),
    notes="A film has one frame for each snapshot: train with --snapshots 120 for a smooth one. MP4 and "
    "GIF need pip install 'marginlens[images]' and Chrome or Chromium.",
)
def animate(
    folder: RunFolder,
    file: Annotated[Path, typer.Option("--out", help="File for the film: .html, .mp4 or .gif.")],
    seconds: Annotated[
        float | None,
        typer.Option(
            min=0.1, help="Length of the film in seconds.", show_default="0.15 for each frame"
        ),
    ] = None,
    neurons: Annotated[int, typer.Option(min=1, max=12, help="Number of neurons in the film.")] = 4,
    slot: Annotated[
        str | None,
        typer.Option(help="Weights in the film: u, v or w.", show_default="u, of the first input"),
    ] = None,
    dark: Dark = False,
    width: Width = None,
    scale: Annotated[
        float,
        typer.Option(
            min=0.1, max=10, help="Resolution of MP4 and GIF: film pixels for each pixel."
        ),
    ] = 1.0,
) -> None:
    """Animate weights and power spectra of a run's neurons through training."""
    from marginlens.figures import choose_neurons, neurons_figure
    from marginlens.films import write_film
    from marginlens.images import FILMS
    from marginlens.runs import load_run

    check_file(file, suffixes=FILMS)
    run = load_run(folder)
    chosen = choose_neurons(run.measurement, neurons)
    drawn = neurons_figure(run, chosen=chosen, slot=slot, most_frames=_MOST_FRAMES)
    if drawn is None:
        raise ValueError(
            f"figure animate expects a run with snapshots and live neurons, got {folder!r}; for example "
            "marginlens train C23 --snapshots 60"
        )
    with counting("frames", quiet=False) as show:
        write_film(
            themed(drawn, dark=dark), file, seconds=seconds, width=width, scale=scale, progress=show
        )
    written(file)
