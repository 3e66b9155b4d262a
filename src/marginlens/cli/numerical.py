"""Verbs that search by computing: what they find is a maximum found, not one proved."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from marginlens.cli.app import app, err, out
from marginlens.cli.options import AsJson, TaskSpec
from marginlens.cli.show import check_file, print_json, write_figure, written

_FigureFile = Annotated[Path | None, typer.Option(help="Write the figure (.html).")]


@app.command(
    epilog="Examples:\n\n  marginlens widths C5\n\n"
    "  marginlens widths C7 --widths 4-20 --seeds 32 --figure widths.html"
)
def widths(
    spec: TaskSpec,
    chosen_widths: Annotated[
        str | None,
        typer.Option("--widths", help="Such as 2,4,8 or 2-18; default: to what suffices."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Networks at each width.")] = 16,
    steps: Annotated[int, typer.Option(min=1, help="Of each of three stages.")] = 1500,
    figure: _FigureFile = None,
    as_json: AsJson = False,
) -> None:
    """What networks narrower than the sufficient width still reach, by training many."""
    import numpy as np
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from marginlens.figures import widths_figure
    from marginlens.runs import train_narrow
    from marginlens.tasks import task
    from marginlens.theory import predict

    problem = task(spec)
    problem.require_rows()
    if figure is not None:
        check_file(figure)
    sufficient = predict(problem).sufficient_width or 1
    step = max(1, sufficient // 20)
    asked = (
        _ranges(chosen_widths)
        if chosen_widths
        else sorted({*range(step, sufficient + 1, step), sufficient})
    )
    bar = Progress(
        TextColumn("widths"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=err, transient=True, disable=as_json,
    )  # fmt: skip
    with bar:
        job = bar.add_task("widths", total=len(set(asked)))
        found = train_narrow(
            problem, asked, seeds=seeds, steps=steps,
            progress=lambda done: bar.update(job, completed=done),
        )  # fmt: skip
    if figure is not None:
        write_figure(widths_figure(found), figure)
    if as_json:
        print_json(
            {
                "task": problem.name,
                "margin": found.prediction.margin,
                "sufficient_width": sufficient,
                "widths": found.widths.tolist(),
                "margin_ratio": found.margin_ratio.tolist(),
                "best_counts": found.best_counts.tolist(),
            }
        )
        return
    table = Table(
        "width", "best share of γ*", "median", "neurons by feature, in the best",
        title=f"{problem.name}: found by training {seeds} networks a width; {sufficient} suffice",
    )  # fmt: skip
    medians = np.median(found.margin_ratio, axis=1)
    for i, width in enumerate(found.widths.tolist()):
        counts = " ".join(str(count) for count in found.best_counts[i].tolist() if count)
        table.add_row(str(width), f"{found.best[i]:.6f}", f"{medians[i]:.4f}", counts or "–")
    out.print(table)
    out.print("numerical: maxima found, not proved", style="dim")
    written(figure)


def _ranges(text: str) -> list[int]:
    """Whole numbers and ranges, such as 2,4-8."""
    found: list[int] = []
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        if not low.isdecimal() or (dash and not high.isdecimal()):
            raise ValueError(f"{text!r} is no list of widths; write e.g. 2,4,8 or 2-18")
        found.extend(range(int(low), int(high or low) + 1))
    return found
