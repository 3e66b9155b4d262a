"""The command ``analyze grokking``: steps at which each member memorised and generalised."""

from __future__ import annotations

from dataclasses import replace
from math import isinf, isnan
from typing import Annotated

import typer

from marginlens.cli.app import analyze_commands, out
from marginlens.cli.arguments import AsJson, FigureFile, RunFolder
from marginlens.cli.tables import Table
from marginlens.cli.text_output import check_file, print_json, text, write_figure, written


@analyze_commands.command(
    examples=(
        "analyze grokking runs/C113 --figure grokking.html",
        "analyze grokking runs/C113 --threshold 0.95 --losses",
    ),
    run="train C113 --network transformer --train-fraction 0.3 --steps 20000",
)
def grokking(
    folder: RunFolder,
    member: Annotated[
        int, typer.Option(min=0, help="Number of the member that the figure shows.")
    ] = 0,
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Accuracy from which rows count as learned.")
    ] = 0.99,
    losses: Annotated[
        bool,
        typer.Option(
            "--losses",
            help="Also compute restricted and excluded loss at each snapshot of member 0 (slower).",
        ),
    ] = False,
    figure: FigureFile = None,
    as_json: AsJson = False,
) -> None:
    """Find the steps at which each member memorised, began its clean-up and generalised."""
    from marginlens.figures import grokking_chart
    from marginlens.measures import find_stages, progress_path
    from marginlens.measures import grokking as stages_of
    from marginlens.runs import load_run
    from marginlens.training import trained_rows

    if figure is not None:
        check_file(figure)
    run = load_run(folder)
    training = run.training
    report = stages_of(training.steps, training.history, threshold=threshold)
    if member >= len(report.stages):
        raise ValueError(
            f"--member expected 0 to {len(report.stages) - 1}, got {member}; for example 0"
        )
    history = {name: values[:, member] for name, values in training.history.items()}
    stages = report.stages[member]
    if losses:
        if member:
            raise ValueError(
                f"--losses expects member 0, which has snapshots, got {member}; for example --member 0"
            )
        history |= progress_path(run.task, training, trained_rows(run.task, run.recipe))
        stages = find_stages(
            training.steps,
            history["accuracy"],
            history["test_accuracy"],
            history["test_cross_entropy"],
            threshold=threshold,
            excluded=history["excluded"],
            restricted=history["restricted"],
        )
        report = replace(report, stages=(stages, *report.stages[1:]))
    if figure is not None:
        columns = {"step": training.steps, **history}
        write_figure(grokking_chart(run.task.name, columns, stages), figure)
    if as_json:
        print_json({"task": run.task.name, **report.to_dict()})
        return
    late = f"not within {max(one.last for one in report.stages)}"
    table = Table(
        "member",
        "memorised",
        "clean-up begins",
        "generalised",
        "delay",
        "ratio",
        title=f"{run.task.name}: steps until an accuracy of {threshold:.0%} is held",
    )
    for index, one in enumerate(report.stages):
        cells = (one.memorised, one.clean_up, one.generalised)
        line = [late if cell is None else str(cell) for cell in cells]
        if one.clean_up is None:
            line[1] = "–"
        ratio = "–" if one.ratio is None else f"{one.ratio:.3g}"
        table.add_row(str(index), *line, text(one.delay), ratio)
    out.print(table)
    share, low, high = report.share
    out.print(
        f"{int(report.grokked.sum())} of {len(report.stages)} generalised: {share:.1%} (95 % interval "
        f"{low:.1%} to {high:.1%})"
    )
    if len(report.stages) > 1:
        for name, (middle, least, most) in (("delay", report.delay), ("ratio", report.ratio)):
            between = f"{_or_late(least)} to {_or_late(most)}"
            if isnan(least):
                between = "unknown: needs 6 members that memorised"
            line = f"median {name} {_or_late(middle)}"
            if not isinf(least):
                line += f" (95 % interval {between})"
            out.print(line)
    written(figure)


def _or_late(value: float) -> str:
    return "–" if isnan(value) else "not within the steps" if isinf(value) else f"{value:.5g}"
