"""Verbs about how a training went: lottery, grokking."""

from __future__ import annotations

from dataclasses import replace
from math import isinf, isnan
from typing import Annotated

import typer

from marginlens.cli.app import app, out
from marginlens.cli.options import AsJson, FigureFile, Folder
from marginlens.cli.tables import Table
from marginlens.cli.text_output import check_file, print_json, text, write_figure, written

_PANEL = "Dynamics"

OneMember = Annotated[
    int | None,
    typer.Option(min=0, help="Number of the one member to score.", show_default="all together"),
]


@app.command(
    rich_help_panel=_PANEL,
    epilog="Examples:\n\n  marginlens lottery runs/C23 --figure lottery.html\n\n"
    "A run it is made for:\n\n  marginlens train C23 --width 512 --init-scale 0.1 --optimizer sgd "
    "--learning-rate 1 --schedule constant --strength 0 --steps 3000 --dtype float64",
)
def lottery(
    folder: Folder,
    member: OneMember = None,
    alone: Annotated[
        bool, typer.Option("--alone", help="Also let each neuron grow alone (seconds).")
    ] = False,
    figure: FigureFile = None,
    as_json: AsJson = False,
) -> None:
    """Which frequency each neuron ends with, predicted from its initial weights, and how often right."""
    from marginlens.figures import lottery_chart
    from marginlens.measures import departures, score_tickets
    from marginlens.runs import load_run
    from marginlens.training import initial_network

    if figure is not None:
        check_file(figure)
    run = load_run(folder)
    start, final = initial_network(run.task, run.recipe), run.training.network
    if final.homogeneity is None:
        raise ValueError(
            f"{folder!r} is a {run.recipe.network}; the lottery is one of an MLP's neurons, such as "
            "those of: marginlens train C23"
        )
    chosen = None if member is None else [member]
    found = score_tickets(start.as_mlp(), final.as_mlp(), run.task, members=chosen, alone=alone)
    apart = departures(run.recipe)
    if figure is not None:
        write_figure(lottery_chart(found), figure)
    if as_json:
        print_json(found.to_dict() | {"departures": apart})
        return
    table = Table(
        "rule",
        "right",
        "share",
        "95 % interval",
        title=f"{found.task}: the frequency of {found.live} live neurons, told from the start",
    )
    for name, score in found.scores.items():
        interval = f"{score.low:.2%} to {score.high:.2%}"
        table.add_row(name, str(score.right), f"{score.share:.2%}", interval)
    table.add_row("chance", "", f"{found.chance:.2%}", "", style="dim")
    table.add_row(
        "commonest frequency, had one known it", "", f"{found.commonest:.2%}", "", style="dim"
    )
    out.print(table)
    out.print(
        f"{len(found.final) - found.live} neurons are dead; a live one holds {found.purity:.1%} of its "
        "energy at its frequency (median)"
    )
    for words in apart:
        out.print(f"not derived for {words}", style="dim")
    written(figure)


@app.command(
    rich_help_panel=_PANEL,
    epilog="Examples:\n\n  marginlens grokking runs/C113 --figure grokking.html\n\n"
    "A run to look at:\n\n  marginlens train C113 --network transformer --train-fraction 0.3 "
    "--steps 20000",
)
def grokking(
    folder: Folder,
    member: Annotated[int, typer.Option(min=0, help="Member that the figure shows.")] = 0,
    threshold: Annotated[float, typer.Option(help="Accuracy that counts as learned.")] = 0.99,
    losses: Annotated[
        bool,
        typer.Option(
            "--losses",
            help="Also restricted and excluded loss at each snapshot of member 0 (slower).",
        ),
    ] = False,
    figure: FigureFile = None,
    as_json: AsJson = False,
) -> None:
    """When a network memorised and when it generalised, its stages, and how it is over members."""
    from marginlens.figures import grokking_chart
    from marginlens.measures import find_stages, progress_path
    from marginlens.measures import grokking as stages_of
    from marginlens.runs import load_run
    from marginlens.training import trained_rows

    if figure is not None:
        check_file(figure)
    run = load_run(folder)
    training = run.training
    found = stages_of(training.steps, training.history, threshold=threshold)
    if member >= len(found.stages):
        raise ValueError(
            f"member {member} is not there: members are 0 to {len(found.stages) - 1}, such as 0"
        )
    history = {name: values[:, member] for name, values in training.history.items()}
    stages = found.stages[member]
    if losses:
        if member:
            raise ValueError("snapshots are of member 0; leave --member out")
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
        found = replace(found, stages=(stages, *found.stages[1:]))
    if figure is not None:
        columns = {"step": training.steps, **history}
        write_figure(grokking_chart(run.task.name, columns, stages), figure)
    if as_json:
        print_json({"task": run.task.name, **found.to_dict()})
        return
    late = f"not within {max(one.last for one in found.stages)}"
    table = Table(
        "member",
        "memorised",
        "clean-up begins",
        "generalised",
        "delay",
        "ratio",
        title=f"{run.task.name}: steps until an accuracy of {threshold:.0%} is held",
    )
    for index, one in enumerate(found.stages):
        cells = (one.memorised, one.clean_up, one.generalised)
        words = [late if cell is None else str(cell) for cell in cells]
        if one.clean_up is None:
            words[1] = "–"
        ratio = "–" if one.ratio is None else f"{one.ratio:.3g}"
        table.add_row(str(index), *words, text(one.delay), ratio)
    out.print(table)
    share, low, high = found.share
    out.print(
        f"{int(found.grokked.sum())} of {len(found.stages)} generalised: {share:.1%} (95 % interval "
        f"{low:.1%} to {high:.1%})"
    )
    if len(found.stages) > 1:
        for name, (middle, least, most) in (("delay", found.delay), ("ratio", found.ratio)):
            between = f"{_or_late(least)} to {_or_late(most)}"
            if isnan(least):
                between = "none: it takes 6 members that memorised"
            words = f"median {name} {_or_late(middle)}"
            if not isinf(least):
                words += f" (95 % interval {between})"
            out.print(words)
    written(figure)


def _or_late(value: float) -> str:
    return "–" if isnan(value) else "not within the steps" if isinf(value) else f"{value:.5g}"
