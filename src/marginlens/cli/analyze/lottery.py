"""The command ``analyze lottery``: final frequency of each neuron, predicted from its start."""

from __future__ import annotations

from typing import Annotated

import typer

from marginlens.cli.app import analyze_commands, out
from marginlens.cli.arguments import AsJson, FigureFile, RunFolder
from marginlens.cli.tables import Table
from marginlens.cli.text_output import check_file, print_json, write_figure, written


@analyze_commands.command(
    examples=(
        "analyze lottery runs/C23 --figure lottery.html",
        "analyze lottery runs/C23 --alone --json",
    ),
    run="train C23 --width 512 --init-scale 0.1 --optimizer sgd --learning-rate 1 "
    "--schedule constant --strength 0 --steps 3000 --dtype float64",
)
def lottery(
    folder: RunFolder,
    member: Annotated[
        int | None,
        typer.Option(min=0, help="Number of the only member to score.", show_default="all members"),
    ] = None,
    alone: Annotated[
        bool, typer.Option("--alone", help="Also train each neuron alone and score the result.")
    ] = False,
    figure: FigureFile = None,
    as_json: AsJson = False,
) -> None:
    """Predict the final frequency of each neuron from its initial weights, and score the rules."""
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
            f"analyze lottery expects a run of an mlp, got {folder!r} with network "
            f"{run.recipe.network}; for example marginlens train C23"
        )
    members = None if member is None else [member]
    tickets = score_tickets(start.as_mlp(), final.as_mlp(), run.task, members=members, alone=alone)
    differences = departures(run.recipe)
    if figure is not None:
        write_figure(lottery_chart(tickets), figure)
    if as_json:
        print_json(tickets.to_dict() | {"departures": differences})
        return
    table = Table(
        "rule",
        "right",
        "share",
        "95 % interval",
        title=f"{tickets.task}: final frequency of {tickets.live} live neurons, predicted at the start",
    )
    for name, score in tickets.scores.items():
        interval = f"{score.low:.2%} to {score.high:.2%}"
        table.add_row(name, str(score.right), f"{score.share:.2%}", interval)
    table.add_row("chance", "", f"{tickets.chance:.2%}", "", style="dim")
    table.add_row(
        "always the most common frequency", "", f"{tickets.commonest:.2%}", "", style="dim"
    )
    out.print(table)
    out.print(
        f"dead neurons: {len(tickets.final) - tickets.live}; median share of a live neuron's energy at "
        f"its frequency: {tickets.purity:.1%}"
    )
    for difference in differences:
        out.print(f"not covered by the theory: {difference}", style="dim")
    written(figure)
