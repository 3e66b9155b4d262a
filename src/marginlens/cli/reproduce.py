"""The verb reproduce."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marginlens.cli.app import app, err, out
from marginlens.cli.arguments import AsJson
from marginlens.cli.sweep.run import Scheduler, Slurm, Workers, print_summary, swept
from marginlens.cli.text_output import print_json, print_verdict, progress

if TYPE_CHECKING:
    from marginlens.reproduce import Reproduction, Study
    from marginlens.training import Recipe


@app.command(
    epilog="Examples:\n\n  marginlens reproduce o61\n\n  marginlens reproduce o59 --seeds 100\n\n"
    "  marginlens reproduce o52 --device cuda --scheduler tcp://10.0.0.1:8786\n\n"
    "  marginlens reproduce o61 --show > pilot.toml\n\n"
    "  marginlens reproduce pizza\n\n  marginlens reproduce nanda --full --device cuda\n\n"
    "Questions, as sweeps: o61 (the pilot of the selection law), o54 (neurons by irrep), o59 (one "
    "frequency on C5), o52 (frequencies against p), o58 (exchangeability).\n\n"
    "Systems of other papers, as runs: power, nanda, pizza, chughtai, gromov, barak, lottery; --full "
    "has the papers' sizes. Ctrl-C keeps what is finished; the same command goes on."
)
def reproduce(
    name: Annotated[str, typer.Argument(metavar="NAME", help="o61, nanda, …; listed below.")],
    folder: Annotated[
        Path | None, typer.Option("--out", help="Folder to write.", show_default="results/NAME")
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1, help="Seeds of each configuration of a sweep.", show_default="the recipe's"
        ),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Train a system at the paper's sizes.")
    ] = False,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Training steps of a system.", show_default="the recipe's"),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda.", show_default="the recipe's")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Print the recipe and stop.")] = False,
    workers: Workers = None,
    scheduler: Scheduler = None,
    slurm: Slurm = None,
    as_json: AsJson = False,
) -> None:
    """Answer one of the field's questions, or train another paper's system: recipe, verdict."""
    from marginlens.reproduce import REPRODUCTIONS, STUDIES

    what = REPRODUCTIONS.get(name) or STUDIES.get(name)
    if what is None:
        known = [*REPRODUCTIONS, *STUDIES]
        close = get_close_matches(name.lower(), known, n=1, cutoff=0.5)
        near = f"did you mean {close[0]}? " if close else ""
        raise ValueError(
            f"unknown reproduction {name!r}; {near}expected one that marginlens reproduce --help names, "
            "for example nanda"
        )
    if show:
        out.print(what.toml, soft_wrap=True, end="")
        return
    where = folder or Path("results") / name
    if name in STUDIES:
        if seeds is not None or workers is not None or scheduler is not None or slurm is not None:
            raise ValueError(
                f"{name} is a few runs, not a sweep: --seeds, --workers, --scheduler and --slurm are "
                "for sweeps such as o61"
            )
        changes = {key: v for key, v in {"steps": steps, "device": device}.items() if v is not None}
        _reproduce_study(STUDIES[name], where, changes, full=full, as_json=as_json)
    else:
        if full or steps is not None:
            raise ValueError(f"{name} is a sweep: --full and --steps are for systems such as nanda")
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
            err.print(f"interrupted in {error.args[0]}; the same command goes on from there")
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
    out.print(f"everything is in {page}, and the figures beside it", soft_wrap=True)
