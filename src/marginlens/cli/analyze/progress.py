"""The command ``analyze progress``: quantities that grow in a parity network before its accuracy."""

from __future__ import annotations

import numpy as np

from marginlens.cli.app import analyze_commands, out
from marginlens.cli.arguments import AsJson, RunFolder
from marginlens.cli.tables import Table
from marginlens.cli.text_output import print_json


@analyze_commands.command(
    examples=("analyze progress runs/parity-50-3", "analyze progress runs/parity-50-3 --json"),
    run='train "parity(50,3)" --online --batch 32 --loss hinge --activation relu --biases '
    "--optimizer sgd --learning-rate 0.1",
)
def progress(folder: RunFolder, as_json: AsJson = False) -> None:
    """Compute Fourier gap and weight on the relevant bits of a parity run, snapshot by snapshot."""
    from marginlens.measures import parity_progress, time_to_learn
    from marginlens.runs import load_run
    from marginlens.training import recorded_rows

    run = load_run(folder)
    rows = recorded_rows(run.task, run.recipe)
    curves = parity_progress(run.task, run.training, rows=rows)
    learned = time_to_learn(run.training)[0]
    columns = {
        "step": curves.steps,
        "accuracy": curves.accuracy,
        "weight_on_relevant": curves.total_share,
        "largest_neuron_share": curves.shares.max(1),
        "largest_gap": curves.gaps.max(1),
        "share_with_gap": (curves.gaps > 0).mean(1),
    }
    if as_json:
        print_json(
            {
                "task": run.task.name,
                "hidden_step": curves.hidden_step,
                "neuron_step": curves.neuron_step,
                "accuracy_step": curves.accuracy_step,
                "threshold": curves.threshold,
                "time_to_learn": None if np.isnan(learned) else int(learned),
                "sampled_rows": 0 if rows is None else len(rows),
                "snapshots": {name: values.tolist() for name, values in columns.items()},
            }
        )
        return
    table = Table(*(name.replace("_", " ") for name in columns), title=f"{run.task.name}: progress")
    for step, *values in zip(*columns.values(), strict=True):
        table.add_row(str(step), *(f"{value:.4f}" for value in values))
    out.print(table)
    for line in (
        f"half of the final weight on the relevant bits: {_at(curves.hidden_step)}",
        f"the same for the neuron with the largest share: {_at(curves.neuron_step)}",
        f"accuracy above {curves.threshold:g}: {_at(curves.accuracy_step)}",
        f"accuracy at least 0.99: {_at(None if np.isnan(learned) else int(learned))}",
    ):
        out.print(line)
    if rows is not None:
        out.print(f"accuracy and gaps: over {len(rows)} inputs, drawn once", style="dim")


def _at(step: int | None) -> str:
    return "never" if step is None else f"step {step}"
