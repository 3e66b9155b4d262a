"""The command ``theory widths``: margins of networks narrower than the sufficient width."""

from __future__ import annotations

from typing import Annotated

import typer

from marginlens.cli.app import out, theory_commands
from marginlens.cli.arguments import AsJson, FigureFile, TaskSpec
from marginlens.cli.tables import Table
from marginlens.cli.text_output import (
    check_file,
    counting,
    print_json,
    quoted,
    write_figure,
    written,
)

_GREATEST_COUNT = 1000
"""Largest number of widths in one command."""


@theory_commands.command(
    examples=("theory widths C5", "theory widths C7 --widths 4-20 --seeds 32 --figure widths.html"),
    notes="The margins are maxima found by training, not proved ones.",
)
def widths(
    spec: TaskSpec,
    chosen_widths: Annotated[
        str | None,
        typer.Option(
            "--widths",
            help="Numbers of neurons, for example 2,4,8 or 2-18.",
            show_default="about 20 up to the sufficient width",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Networks trained at each width.")] = 16,
    steps: Annotated[
        int, typer.Option(min=1, help="Training steps in each of three stages.")
    ] = 1500,
    figure: FigureFile = None,
    as_json: AsJson = False,
) -> None:
    """Estimate the maximum margin at widths below the sufficient width, by training."""
    import numpy as np

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
    scanned = (
        _ranges(chosen_widths)
        if chosen_widths
        else sorted({*range(step, sufficient + 1, step), sufficient})
    )
    total = len(set(scanned))
    with counting("widths", quiet=as_json) as show:
        found = train_narrow(
            problem, scanned, seeds=seeds, steps=steps, progress=lambda done: show(done, total)
        )
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
        "width",
        "best share of γ*",
        "median share",
        "neurons of each feature, best network",
        title=f"{problem.name}: {seeds} networks trained at each width; sufficient width {sufficient}",
    )
    medians = np.median(found.margin_ratio, axis=1)
    for i, width in enumerate(found.widths.tolist()):
        counts = " ".join(str(count) for count in found.best_counts[i].tolist() if count)
        table.add_row(str(width), f"{found.best[i]:.6f}", f"{medians[i]:.4f}", counts or "–")
    out.print(table)
    out.print("numerical: maxima found, not proved", style="dim")
    written(figure)


def _ranges(text: str) -> list[int]:
    """Read whole numbers and ranges, such as 2,4-8."""
    found: list[int] = []
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        if not low.isdecimal() or (dash and not high.isdecimal()):
            raise ValueError(
                f"--widths expected whole numbers, got {quoted(text)}; for example 2,4,8 or 2-18"
            )
        first, last = int(low), int(high or low)
        if last < first:
            raise ValueError(
                f"--widths expected a rising range, got {quoted(part.strip())}; for example "
                f"{last}-{first}"
            )
        if len(found) + last - first >= _GREATEST_COUNT:
            raise ValueError(
                f"--widths expected at most {_GREATEST_COUNT} widths, got {quoted(text)}; for example "
                "2,4,8"
            )
        found.extend(range(first, last + 1))
    return found
