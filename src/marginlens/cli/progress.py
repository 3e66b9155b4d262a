"""The verb that shows what grows in a parity network before its accuracy does."""

from __future__ import annotations

import numpy as np

from marginlens.cli.app import app, out
from marginlens.cli.options import AsJson, Folder
from marginlens.cli.tables import Table
from marginlens.cli.text_output import print_json


@app.command(
    rich_help_panel="Against the textbook",
    epilog="Examples:\n\n  marginlens progress runs/parity-50-3",
)
def progress(folder: Folder, as_json: AsJson = False) -> None:
    """Hidden progress of a parity run: Fourier gap and weight on the relevant bits, step by step."""
    from marginlens.measures import parity_progress, time_to_learn
    from marginlens.runs import load_run
    from marginlens.training import recorded_rows

    run = load_run(folder)
    rows = recorded_rows(run.task, run.recipe)
    found = parity_progress(run.task, run.training, rows=rows)
    learned = time_to_learn(run.training)[0]
    columns = {
        "step": found.steps,
        "accuracy": found.accuracy,
        "weight_on_relevant": found.total_share,
        "largest_neuron_share": found.shares.max(1),
        "largest_gap": found.gaps.max(1),
        "share_with_gap": (found.gaps > 0).mean(1),
    }
    if as_json:
        print_json(
            {
                "task": run.task.name,
                "hidden_step": found.hidden_step,
                "neuron_step": found.neuron_step,
                "accuracy_step": found.accuracy_step,
                "threshold": found.threshold,
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
    for words in (
        f"weight on the relevant bits half of its way: {_at(found.hidden_step)}",
        f"that of the neuron with the largest share: {_at(found.neuron_step)}",
        f"accuracy above {found.threshold:g}: {_at(found.accuracy_step)}",
        f"accuracy at least .99: {_at(None if np.isnan(learned) else int(learned))}",
    ):
        out.print(words)
    if rows is not None:
        out.print(f"accuracy and gaps are over {len(rows)} inputs drawn once", style="dim")


def _at(step: int | None) -> str:
    return "never" if step is None else f"step {step}"
