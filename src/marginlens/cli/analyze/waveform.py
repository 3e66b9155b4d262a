"""The command ``analyze waveform``: share of a run's neurons that the best neuron explains."""

from __future__ import annotations

from marginlens.cli.app import analyze_commands
from marginlens.cli.arguments import AsJson, FigureFile, RunFolder
from marginlens.cli.text_output import check_file, write_figure, written
from marginlens.cli.theory.waveform import print_waveform


@analyze_commands.command(
    examples=("analyze waveform runs/relu", "analyze waveform runs/relu --figure waveform.html"),
    run="run C23 --activation relu --out runs/relu",
    notes="The run must be of addition modulo a prime with an activation other than x^2.",
)
def waveform(folder: RunFolder, figure: FigureFile = None, as_json: AsJson = False) -> None:
    """Compare the neurons of a run with the best neuron of its task and activation."""
    from marginlens.figures import waveform_figure
    from marginlens.measures import fit_waveform
    from marginlens.runs import load_run

    if figure is not None:
        check_file(figure)
    run = load_run(folder)
    neuron = run.prediction.waveform
    if neuron is None:
        raise ValueError(
            "analyze waveform expects a run of addition modulo a prime with an activation other than "
            f"x^2, got {run.task.name} with {run.recipe.activation}; for example C23 with relu"
        )
    fit = fit_waveform(run.network, run.task, neuron)
    drawn = None if figure is None else waveform_figure(run)
    if figure is not None and drawn is not None:
        write_figure(drawn, figure)
    print_waveform(neuron, fit, as_json=as_json)
    if not as_json:
        written(figure)
