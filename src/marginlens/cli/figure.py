"""Verbs that draw: figure, animate."""

from __future__ import annotations

import json
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from marginlens.cli.app import app, out
from marginlens.cli.options import Folder
from marginlens.cli.tables import Table
from marginlens.cli.text_output import check_file, counting, print_json, written

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from marginlens.measures import ClockPizza

_PANEL = "Figures"
_MOST_FRAMES = 200

Dark = Annotated[bool, typer.Option("--dark", help="Dark background.")]
Wide = Annotated[
    int | None, typer.Option("--width", min=100, help="Width in pixels.", show_default="900")
]
High = Annotated[
    int | None,
    typer.Option("--height", min=100, help="Height in pixels.", show_default="the figure's own"),
]
Scale = Annotated[
    float,
    typer.Option(min=0.1, max=10, help="Pixels of a PNG for each pixel of width; pages ignore it."),
]


@app.command(
    rich_help_panel=_PANEL,
    epilog="Examples:\n\n  marginlens figure --list\n\n"
    "  marginlens figure neurons runs/C23 --out neurons.svg\n\n"
    "  marginlens figure heatmap runs/S5 --out heatmap.pdf --width 420\n\n"
    "  marginlens figure logits runs/C71 --out logits.png --dark\n\n"
    "  marginlens figure margins runs/S4 runs/S4-margin --out margins.svg\n\n"
    "  marginlens figure plane runs/C59 runs/C53 model.pt --out plane.svg\n\n"
    "  marginlens figure atlas atlas --out atlas.html\n\n"
    "Pages need nothing else; .svg, .pdf and .png need pip install 'marginlens[images]' and a Chrome "
    "or Chromium.",
)
def figure(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="Name of a figure; see --list.", show_default="the list"
        ),
    ] = None,
    of: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN",
            help="Folder of a run; several runs for margins; several runs or other projects' files "
            "for plane; an atlas's folder for atlas.",
            show_default=False,
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--out", help="File to write: .html, .svg, .pdf or .png.", show_default=False),
    ] = None,
    dark: Dark = False,
    width: Wide = None,
    height: High = None,
    scale: Scale = 2.0,
    names: Annotated[bool, typer.Option("--list", help="List the figures.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The figure, or list, as JSON.")] = False,
) -> None:
    """Draw one figure of a run, of several, or of an atlas, as a page or an image."""
    from marginlens import images

    if names or name is None:
        _print_names(as_json=as_json)
        return
    draw = _drawer(name)
    if not of:
        raise ValueError(f"say of which run: marginlens figure {name} runs/C23 --out {name}.svg")
    if file is None and not as_json:
        raise ValueError(
            f"say where it goes: marginlens figure {name} {' '.join(map(quote, of))} --out {name}.svg"
        )
    if file is not None:
        check_file(file)
    drawn = _themed(draw(of), dark=dark)
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
    """What draws a figure of this name."""
    from marginlens.figures import FIGURES

    if name in FIGURES:
        return lambda of: _of_run(name, of)
    if name in _OTHERS:
        return _OTHERS[name][1]
    close = get_close_matches(name, [*FIGURES, *_OTHERS], n=3, cutoff=0.4)
    near = f"did you mean {' or '.join(close)}? " if close else ""
    raise ValueError(
        f"there is no figure {name!r}; {near}marginlens figure --list names all, "
        "for example neurons"
    )


def _of_run(name: str, of: list[str]) -> go.Figure:
    from marginlens.figures import FIGURES
    from marginlens.runs import load_run

    if len(of) > 1:
        raise ValueError(
            f"the figure {name} is of one run, and {len(of)} were given: {', '.join(of)}"
        )
    drawn = FIGURES[name].draw(load_run(of[0]))
    if drawn is None:
        raise ValueError(f"{of[0]!r} has no figure {name}: it needs {FIGURES[name].needs}")
    return drawn


def _plane(of: list[str]) -> go.Figure:
    from marginlens.figures import plane_figure

    found: list[tuple[str, ClockPizza]] = []
    with counting("networks", quiet=False) as show:
        for what in of:
            show(len(found), len(of))
            found.append((Path(what).stem or what, _clock_or_pizza(what)))
    return plane_figure(found)


def _clock_or_pizza(what: str) -> ClockPizza:
    from marginlens.formats import read_network
    from marginlens.measures import OperationMeasures, examine_network, examine_table
    from marginlens.runs import load_run
    from marginlens.training import trained_rows

    if Path(what).is_file():
        found = read_network(what)
        seen = examine_table(found.logits, found.task, network=found.network)
        if not isinstance(seen, OperationMeasures):
            return seen.clock_pizza
        if seen.on_group is None:
            raise ValueError(
                f"{what} learned {seen.task}, which is no group's product; expected one"
            )
        return seen.on_group.clock_pizza
    run = load_run(what)
    train = trained_rows(run.task, run.recipe)
    return examine_network(run.training.network, run.task, train=train).clock_pizza


def _margins(of: list[str]) -> go.Figure:
    from marginlens.figures.run.compare import Compared, margins_figure
    from marginlens.runs import load_run

    drawn = margins_figure([Compared(Path(what).name, load_run(what)) for what in of])
    if drawn is None:
        raise ValueError(
            "the figure margins is of runs whose maximum margin is known, got none; take runs of C23"
        )
    return drawn


def _atlas(of: list[str]) -> go.Figure:
    from marginlens.atlas import read_atlas
    from marginlens.figures import atlas_figure

    if len(of) > 1:
        raise ValueError(f"the figure atlas is of one atlas, and {len(of)} were given")
    return atlas_figure(read_atlas(of[0]).to_pylist())


_OTHERS: dict[str, tuple[str, Callable[[list[str]], go.Figure]]] = {
    "margins": ("Margins of several runs on their way to the maximum, with upper bounds", _margins),
    "plane": ("Clocks and pizzas, network by network (runs or files)", _plane),
    "atlas": ("The maximum margin of every group of an atlas (its folder)", _atlas),
}


def _themed(drawn: go.Figure, *, dark: bool) -> go.Figure:
    from marginlens.figures import DARK, template

    return drawn.update_layout(template=template(DARK)) if dark else drawn


def _print_names(*, as_json: bool) -> None:
    from marginlens.figures import FIGURES

    headings = {name: entry.heading for name, entry in FIGURES.items()}
    headings |= {name: heading for name, (heading, _) in _OTHERS.items()}
    if as_json:
        print_json(headings)
        return
    table = Table("name", "what it shows", title="marginlens figure NAME RUN --out FILE")
    for name, heading in headings.items():
        table.add_row(name, heading)
    out.print(table)


@app.command(
    rich_help_panel=_PANEL,
    epilog="Examples:\n\n  marginlens animate runs/C23 --out film.html\n\n"
    "  marginlens animate runs/relu --out film.mp4 --seconds 8 --neurons 6\n\n"
    "  marginlens animate runs/C23 --out film.gif --width 640 --dark\n\n"
    "A film has a frame a snapshot: train with --snapshots 120 for a smooth one. MP4 and GIF need "
    "pip install 'marginlens[images]' and a Chrome or Chromium.",
)
def animate(
    folder: Folder,
    file: Annotated[Path, typer.Option("--out", help="File to write: .html, .mp4 or .gif.")],
    seconds: Annotated[
        float | None,
        typer.Option(min=0.1, help="Length of the film in seconds.", show_default="0.15 a frame"),
    ] = None,
    neurons: Annotated[
        int, typer.Option(min=1, max=12, help="Number of neurons that are shown.")
    ] = 4,
    slot: Annotated[
        str | None,
        typer.Option(help="Weights that are shown: u, v or w.", show_default="u, the first input"),
    ] = None,
    dark: Dark = False,
    width: Wide = None,
    scale: Scale = 1.0,
) -> None:
    """Film weights and power spectra of a run's neurons through training."""
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
            f"{folder!r} has nothing to animate: it kept no snapshots of its weights, or no neuron is "
            "live; train with --snapshots 60"
        )
    with counting("frames", quiet=False) as show:
        write_film(
            _themed(drawn, dark=dark),
            file,
            seconds=seconds,
            width=width,
            scale=scale,
            progress=show,
        )
    written(file)
