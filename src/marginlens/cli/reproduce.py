"""The command ``reproduce``: published experiments, with a verdict on their claims."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marginlens.cli.app import app, err, out
from marginlens.cli.arguments import AsJson
from marginlens.cli.completion import REPRODUCTION_NAMES, complete_reproduction
from marginlens.cli.sweep.run import Scheduler, Slurm, Workers, print_summary, swept
from marginlens.cli.text_output import print_json, print_verdict, progress, quoted

if TYPE_CHECKING:
    from marginlens.reproduce import Reproduction, Study
    from marginlens.training import Recipe


_OTHER_NAMES = {"article": "morwani"}


@app.command(
    examples=(
        "reproduce o61",
        "reproduce o59 --seeds 100",
        "reproduce o52 --device cuda --scheduler tcp://10.0.0.1:8786",
        "reproduce o61 --show > pilot.toml",
        "reproduce morwani",
        "reproduce pizza",
        "reproduce nanda --full --device cuda",
    ),
    notes="Sweeps: o61 (pilot of the selection law), o54 (neurons by irrep), o59 (one frequency on C5), "
    "o52 (frequencies against p), o58 (exchangeability).\n\n"
    "Systems of papers: morwani (also: article), power, nanda, pizza, chughtai, gromov, barak, lottery. "
    "Ctrl-C keeps the finished runs; the same command continues with the rest.",
)
def reproduce(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Name of the experiment, for example o61 or nanda; all names are below.",
            autocompletion=complete_reproduction,
        ),
    ],
    folder: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder for runs, page and figures.", show_default="results/NAME"
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of seeds of each configuration; for sweeps only.",
            show_default="by the recipe",
        ),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Train a system at the sizes of the paper.")
    ] = False,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Training steps; overrides the default of the system.",
            show_default="by the recipe",
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="Device of the training: cpu or cuda.", show_default="by the recipe"),
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="Print the recipe as TOML, without training.")
    ] = False,
    workers: Workers = None,
    scheduler: Scheduler = None,
    slurm: Slurm = None,
    as_json: AsJson = False,
) -> None:
    """Reproduce a published experiment and test its claims."""
    name = _OTHER_NAMES.get(name.lower(), name)
    if name not in REPRODUCTION_NAMES:
        close = get_close_matches(name.lower(), REPRODUCTION_NAMES, n=1, cutoff=0.5)
        near = f"did you mean {close[0]}?" if close else "for example nanda"
        raise ValueError(
            f"NAME expected an experiment of marginlens reproduce --help, got {quoted(name)}; {near}"
        )
    from marginlens.reproduce import REPRODUCTIONS, STUDIES

    if show:
        experiment = REPRODUCTIONS.get(name) or STUDIES[name]
        out.print(experiment.toml, soft_wrap=True, end="")
        return
    where = folder or Path("results") / name
    if name in STUDIES:
        if seeds is not None or workers is not None or scheduler is not None or slurm is not None:
            raise ValueError(
                "--seeds, --workers, --scheduler and --slurm expect a sweep, got the system "
                f"{name}; for example o61"
            )
        changes = {key: v for key, v in {"steps": steps, "device": device}.items() if v is not None}
        _reproduce_study(STUDIES[name], where, changes, full=full, as_json=as_json)
    else:
        if full or steps is not None:
            raise ValueError(
                f"--full and --steps expect a system of a paper, got the sweep {name}; for example nanda"
            )
        changes = {key: v for key, v in {"seeds": seeds, "device": device}.items() if v is not None}
        options = {"workers": workers, "scheduler": scheduler, "slurm": slurm}
        _reproduce_sweep(REPRODUCTIONS[name], where, changes, options, as_json=as_json)


def _reproduce_sweep(
    what: Reproduction,
    where: Path,
    changes: dict[str, Any],
    options: dict[str, Any],
    *,
    as_json: bool,
) -> None:
    from marginlens.reproduce import write_page
    from marginlens.sweeps import Results

    summary = swept(what.sweep(**changes), where, **options, quiet=as_json)
    results = Results(where)
    verdict = what.verdict(results)
    page = write_page(what, verdict, results)
    if as_json:
        print_json(verdict.to_dict())
    else:
        print_summary(summary)
        print_verdict(verdict)
        _say_where(page)
    raise typer.Exit(0 if verdict.holds and not summary.failures else 1)


def _reproduce_study(
    what: Study, where: Path, changes: dict[str, Any], *, full: bool, as_json: bool
) -> None:
    from marginlens.reproduce import StudyInterrupted, run_study, write_study

    with ExitStack() as stack:

        def shown(label: str, recipe: Recipe) -> Callable[..., None] | None:
            stack.close()  # the bar of the run before
            if not as_json:
                err.print(f"{what.name}: {label}")
            return stack.enter_context(progress(recipe.steps, None, quiet=as_json))

        try:
            runs = run_study(what, where, full=full, progress=shown, **changes)
        except StudyInterrupted as error:
            stack.close()
            err.print(f"interrupted in {error.args[0]}; the same command continues from there")
            raise typer.Exit(130) from None
    verdict = what.verdict(runs)
    page = write_study(what, verdict, runs, where, full=full)
    if as_json:
        print_json(verdict.to_dict())
    else:
        print_verdict(verdict)
        _say_where(page)
    raise typer.Exit(0 if verdict.holds else 1)


def _say_where(page: Path) -> None:
    out.print(f"wrote {page}, with the figures beside it", soft_wrap=True)
