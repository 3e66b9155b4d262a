"""The verb reproduce."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marginlens.cli.app import app, out
from marginlens.cli.options import AsJson
from marginlens.cli.show import print_json, print_verdict
from marginlens.cli.sweeps import Scheduler, Slurm, Workers, print_summary, swept

_PANEL = "Sweeps"


@app.command(
    rich_help_panel=_PANEL,
    epilog="Examples:\n\n  marginlens reproduce o61\n\n  marginlens reproduce o59 --seeds 100\n\n"
    "  marginlens reproduce o52 --device cuda --scheduler tcp://10.0.0.1:8786\n\n"
    "  marginlens reproduce o61 --show > pilot.toml\n\n"
    "Recipes: o61 (the pilot of the selection law), o54 (neurons by irrep), o59 (one frequency on C5), "
    "o52 (frequencies against p), o58 (exchangeability). Ctrl-C keeps what is finished.",
)
def reproduce(
    name: Annotated[str, typer.Argument(metavar="NAME", help="o61, o54, o59, o52 or o58.")],
    folder: Annotated[
        Path | None, typer.Option("--out", help="Folder to write; default results/NAME.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Other than the recipe's.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda.")] = None,
    show: Annotated[bool, typer.Option("--show", help="Print the recipe, and do nothing.")] = False,
    workers: Workers = None,
    scheduler: Scheduler = None,
    slurm: Slurm = None,
    as_json: AsJson = False,
) -> None:
    """Answer one of the field's questions: a sweep, its expectations, a verdict."""
    from marginlens.reproduce import REPRODUCTIONS, write_page
    from marginlens.sweeps import Results

    if name not in REPRODUCTIONS:
        raise ValueError(f"unknown reproduction {name!r}; there are {', '.join(REPRODUCTIONS)}")
    what = REPRODUCTIONS[name]
    if show:
        out.print(what.toml, markup=False, highlight=False, soft_wrap=True, end="")
        return
    changes = {"seeds": seeds, "device": device}
    asked = what.sweep(**{key: value for key, value in changes.items() if value is not None})
    where = folder or Path("results") / name
    summary = swept(asked, where, workers=workers, scheduler=scheduler, slurm=slurm, quiet=as_json)
    results = Results(where)
    verdict = what.verdict(results)
    page = write_page(what, verdict, results)
    if as_json:
        print_json(verdict.to_dict())
    else:
        print_summary(summary)
        print_verdict(verdict)
        out.print(
            f"everything is in {page}, and the figures beside it", highlight=False, soft_wrap=True
        )
    raise typer.Exit(0 if verdict.holds and not summary.failures else 1)
