"""The command ``theory path``: minimum of the loss at every strength of the penalty."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from marginlens.cli.app import out, theory_commands
from marginlens.cli.arguments import AsJson, FigureFile, TaskSpec
from marginlens.cli.options import Steps, Width
from marginlens.cli.tables import Table
from marginlens.cli.text_output import (
    check_file,
    file_name,
    numbers,
    print_json,
    progress,
    write_figure,
    written,
)

if TYPE_CHECKING:
    from marginlens.runs import Run
    from marginlens.theory import PenaltyPath

_BELOW = (3, 10, 30, 100, 300)
"""Default strengths: the collapse strength divided by these."""


@theory_commands.command(
    examples=(
        "theory path A5 --figure a5.html",
        "theory path A5 --train --strengths 1e-4,1e-5 --out runs/A5-path",
        "theory path S4 --train --limit --strengths 1e-4,1e-5 --figure s4.html",
    ),
    notes="Ctrl-C keeps the finished runs; the same command continues with the rest.",
)
def path(
    spec: TaskSpec,
    strengths: Annotated[
        str | None,
        typer.Option(
            help="Strengths of the penalty to print and to train at, for example 1e-3,1e-4.",
            show_default="5 values below the collapse strength",
        ),
    ] = None,
    train: Annotated[
        bool, typer.Option("--train", help="Also train a network at each strength.")
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--out", help="With --train: folder for the runs.", show_default="runs/TASK-path"
        ),
    ] = None,
    limit: Annotated[
        bool,
        typer.Option(
            "--limit",
            help="With --train: also train the margin itself (--loss margin), the limit that the "
            "strength 0 stands for.",
        ),
    ] = False,
    figure: FigureFile = None,
    width: Width = None,
    steps: Steps = None,
    as_json: AsJson = False,
) -> None:
    """Compute loss, norm, margin and feature shares at the minimum, for each penalty strength."""
    from marginlens.tasks import task
    from marginlens.theory import penalty_path

    if figure is not None:
        check_file(figure)
    if not train and (limit or (folder or width or steps) is not None):
        raise ValueError(
            "--out, --width, --steps and --limit are options of a training; add --train, for example "
            "marginlens theory path A5 --train --width 900"
        )
    chosen = task(spec)
    if train:
        chosen.require_rows()
    whole = penalty_path(chosen)
    edge = float(whole.strengths.max())
    asked = numbers(strengths) if strengths else [float(f"{edge / d:.1e}") for d in _BELOW]
    points = penalty_path(chosen, asked)
    runs: list[Run] = []
    target = folder or Path("runs") / f"{file_name(chosen.name)}-path"
    if train:
        from marginlens.runs import train_at
        from marginlens.training import recipe_for

        objectives: list[tuple[float, dict[str, Any]]] = [
            (s, {}) for s in points.strengths.tolist()
        ]
        objectives += [(0.0, {"loss_function": "margin"})] if limit else []
        for strength, objective in objectives:
            fields: dict[str, Any] = {**objective, "width": width, "steps": steps}
            steps_to_do = recipe_for(chosen, strength=strength, **fields).steps
            with progress(steps_to_do, whole.limit.margin, quiet=as_json) as show:
                run = train_at(chosen, strength, out=target, progress=show, **fields)
            runs.append(run)
            if run.training.stopped == "interrupted":
                break
    if figure is not None:
        from marginlens.figures import penalty_path_figure

        write_figure(penalty_path_figure(whole, runs), figure)
    if as_json:
        print_json(_path_record(points, runs))
        return
    out.print(_path_table(points, runs))
    if train:
        out.print(f"the runs are in {target}", soft_wrap=True)
    written(figure)


def _path_record(path: PenaltyPath, runs: list[Run]) -> dict[str, Any]:
    columns = {name: column.tolist() for name, column in path.columns().items()}
    columns["margin_ratio"] = [None if r != r else r for r in columns["margin_ratio"]]
    return {
        "task": path.limit.task,
        "margin": path.limit.margin,
        "collapse_penalty": path.limit.collapse_penalty,
        "predicted": columns,
        "trained": [
            {
                "strength": run.recipe.strength,
                "loss": run.measurement.objective(run.recipe.strength),
                "cross_entropy": run.measurement.cross_entropy,
                "norm": run.measurement.norm,
                "margin": run.measurement.margin,
                "margin_ratio": run.verdict.margin_ratio,
                "shares": run.measurement.share.tolist(),
                "holds": run.verdict.holds,
            }
            for run in runs
            if run.recipe.loss_function != "margin"
        ],
        "limit": [
            {
                "margin": run.measurement.margin,
                "norm": run.measurement.norm,
                "margin_ratio": run.verdict.margin_ratio,
                "shares": run.measurement.share.tolist(),
                "holds": run.verdict.holds,
            }
            for run in runs
            if run.recipe.loss_function == "margin"
        ],
    }


def _path_table(path: PenaltyPath, runs: list[Run]) -> Table:
    title = f"{path.limit.task}: the minimum at each strength" + (", and trained" if runs else "")
    table = Table("strength", "", "loss", "norm", "share of γ*", "shares of the norm", title=title)
    trained = {run.recipe.strength: run for run in runs}

    def shares(values: np.ndarray) -> str:
        return " ".join(f"{value:.4f}" for value in values[:8]) + (" …" if len(values) > 8 else "")

    for i, strength in enumerate(path.strengths.tolist()):
        ratio = path.margin_ratio[i]
        table.add_row(
            f"{strength:g}",
            "predicted",
            f"{path.loss[i]:.6g}",
            f"{path.norm[i]:.6g}",
            "–" if np.isnan(ratio) else f"{ratio:.5f}",
            shares(path.shares[i]),
        )
        run = trained.get(strength)
        if run is None:
            continue
        found, ratio = run.measurement, run.verdict.margin_ratio
        table.add_row(
            "",
            "trained",
            f"{found.objective(strength):.6g}",
            f"{found.norm:.6g}",
            "–" if ratio is None else f"{ratio:.5f}",
            shares(found.share) if ratio is not None else "–",
        )
    limit = trained.get(0.0)
    if limit is not None and limit.verdict.margin_ratio is not None:
        share = f"{limit.verdict.margin_ratio:.5f}"
        table.add_row("→ 0", "margin trained", "", "", share, shares(limit.measurement.share))
    return table
