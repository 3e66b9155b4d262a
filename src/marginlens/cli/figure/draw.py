"""The command ``figure draw``: one figure of a run, several runs, networks or an atlas."""

from __future__ import annotations

import json
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from marginlens.cli.app import figure_commands
from marginlens.cli.completion import FIGURE_NAMES, complete_figure, complete_network
from marginlens.cli.text_output import check_file, counting, print_json, quoted, written

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from marginlens.measures import ClockPizza

__all__ = ["OTHER_FIGURES", "Dark", "Width", "draw", "themed"]

Dark = Annotated[bool, typer.Option("--dark", help="Draw on a dark background.")]
Width = Annotated[
    int | None,
    typer.Option("--width", min=100, help="Width of the figure in pixels.", show_default="900"),
]


@figure_commands.command(
    examples=(
        "figure draw neurons runs/C23 --out neurons.svg",
        "figure draw heatmap runs/S5 --out heatmap.pdf --width 420",
        "figure draw logits runs/C71 --out logits.png --dark",
        "figure draw margins runs/S4 runs/S4-margin --out margins.svg",
        "figure draw shares S5 --out predicted.html",
        "figure draw plane runs/C59 runs/C53 model.pt --out plane.svg",
        "figure draw atlas atlas --out atlas.html",
    ),
    notes="Pages (.html) need no other file. Images need pip install 'marginlens[images]' and Chrome or "
    "Chromium.",
)
def draw(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Name of a figure; marginlens figure list shows all.",
            autocompletion=complete_figure,
        ),
    ],
    of: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="Folder of a run, or a network's file. For shares: also a task, for its prediction. "
            "For margins and plane: several runs. For atlas: folder of an atlas.",
            autocompletion=complete_network,
        ),
    ],
    file: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="File for the figure: .html, .svg, .pdf or .png.",
            show_default="required without --json",
        ),
    ] = None,
    dark: Dark = False,
    width: Width = None,
    height: Annotated[
        int | None,
        typer.Option(
            "--height",
            min=100,
            help="Height of the figure in pixels.",
            show_default="by the figure's contents",
        ),
    ] = None,
    scale: Annotated[
        float,
        typer.Option(min=0.1, max=10, help="Resolution of a PNG: image pixels for each pixel."),
    ] = 2.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the figure as Plotly JSON, for programs.")
    ] = False,
) -> None:
    """Draw a figure of runs, a network, a prediction or an atlas, as a page or an image."""
    from marginlens import images

    drawer = _drawer(name)
    if file is None and not as_json:
        raise ValueError(
            "expected --out FILE or --json, got neither; for example marginlens figure draw "
            f"{name} {' '.join(map(quote, of[:8]))} --out {name}.svg"
        )
    if file is not None:
        check_file(file)
    drawn = themed(drawer(of), dark=dark)
    if width is not None:
        drawn.update_layout(width=width)
    if height is not None:
        drawn.update_layout(height=height)
    if file is not None:
        images.write_figure(drawn, file, width=width, height=height, scale=scale)
        if not as_json:
            written(file)
    if as_json:
        print_json(json.loads(drawn.to_json() or "{}"))


def _drawer(name: str) -> Callable[[list[str]], go.Figure]:
    """Function that draws the figure of a name from folders and files."""
    if name in OTHER_FIGURES:
        return OTHER_FIGURES[name][1]
    if name in FIGURE_NAMES:
        return lambda of: _of_subject(name, of)
    close = get_close_matches(name, FIGURE_NAMES, n=3, cutoff=0.4)
    near = f"did you mean {' or '.join(close)}? " if close else ""
    raise ValueError(
        f"NAME expected a figure, got {quoted(name)}; {near}marginlens figure list shows all, for "
        "example neurons"
    )


def _of_subject(name: str, of: list[str]) -> go.Figure:
    """Figure of a run, of a network's file, or of the prediction for a task."""
    from marginlens.figures import FIGURES
    from marginlens.figures.subject import MissingPartError, subject_of
    from marginlens.runs import load_run
    from marginlens.runs.prediction_for import predict_training
    from marginlens.tasks import task

    if len(of) > 1:
        raise ValueError(
            f"figure {name} expects one run, got {len(of)}; for example marginlens figure draw {name} "
            f"{quote(of[0])}"
        )
    entry, source = FIGURES[name], Path(of[0])
    try:
        if source.is_file():
            drawn = entry.draw_of(subject_of(source))
        elif entry.draw_predicted is None or source.exists() or len(source.parts) > 1:
            drawn = entry.draw(load_run(source))
        else:
            drawn = entry.draw_predicted(predict_training(task(of[0]))[1])
    except MissingPartError as error:
        raise ValueError(
            f"figure {name} expects a run, got {of[0]!r}: it {error}; for example runs/C23"
        ) from None
    if drawn is None:
        raise ValueError(
            f"figure {name} expects a run with {entry.needs}, got {of[0]!r}; see marginlens figure list"
        )
    return drawn


def _plane(of: list[str]) -> go.Figure:
    from marginlens.figures import plane_figure

    found: list[tuple[str, ClockPizza]] = []
    with counting("networks", quiet=False) as show:
        for source in of:
            show(len(found), len(of))
            found.append((Path(source).stem or source, _clock_or_pizza(source)))
    return plane_figure(found)


def _clock_or_pizza(source: str) -> ClockPizza:
    from marginlens.formats import read_network
    from marginlens.measures import OperationMeasures, examine_network, examine_table
    from marginlens.runs import load_run
    from marginlens.training import trained_rows

    if Path(source).is_file():
        found = read_network(source)
        seen = examine_table(found.logits, found.task, network=found.network)
        if not isinstance(seen, OperationMeasures):
            return seen.clock_pizza
        if seen.on_group is None:
            raise ValueError(
                f"figure plane expects networks of a group, got {source} of {seen.task}; for example C59"
            )
        return seen.on_group.clock_pizza
    run = load_run(source)
    train = trained_rows(run.task, run.recipe)
    return examine_network(run.training.network, run.task, train=train).clock_pizza


def _margins(of: list[str]) -> go.Figure:
    from marginlens.figures.run.compare import Compared, margins_figure
    from marginlens.runs import load_run

    drawn = margins_figure([Compared(Path(source).name, load_run(source)) for source in of])
    if drawn is None:
        raise ValueError(
            "figure margins expects runs whose maximum margin is known, got others; for example C23"
        )
    return drawn


def _atlas(of: list[str]) -> go.Figure:
    from marginlens.atlas import read_atlas
    from marginlens.figures import atlas_figure

    if len(of) > 1:
        raise ValueError(f"figure atlas expects one folder, got {len(of)}; for example atlas")
    return atlas_figure(read_atlas(of[0]).to_pylist())


OTHER_FIGURES: dict[str, tuple[str, Callable[[list[str]], go.Figure]]] = {
    "margins": ("Margins of several runs during training, with upper bounds", _margins),
    "plane": ("Clocks and pizzas, one point for each network (runs or files)", _plane),
    "atlas": ("Maximum margin of every group of an atlas", _atlas),
}


def themed(drawn: go.Figure, *, dark: bool) -> go.Figure:
    """Give a figure the dark theme, if wanted.

    Parameters
    ----------
    drawn
        Figure in the light theme; it is changed in place.
    dark
        Whether to use the dark theme.
    """
    from marginlens.figures import DARK, template

    return drawn.update_layout(template=template(DARK)) if dark else drawn
