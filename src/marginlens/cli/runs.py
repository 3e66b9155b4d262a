"""Verbs of the main job: predict, run, train, measure, verify, report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from marginlens.cli.app import app, out
from marginlens.cli.options import (
    Activation,
    AsJson,
    Device,
    Dtype,
    Folder,
    Members,
    Optimizer,
    Out,
    Overwrite,
    PenaltyName,
    Rate,
    Schedule,
    Seed,
    Steps,
    Stop,
    Strength,
    TaskSpec,
    Tolerance,
    Width,
)
from marginlens.cli.show import (
    file_name,
    print_json,
    print_prediction,
    print_run,
    print_verdict,
    progress,
    text,
)


@app.command(
    epilog="Examples:\n\n  marginlens predict C71\n\n  marginlens predict A5 --strength 1e-5 --json"
)
def predict(
    spec: TaskSpec,
    activation: Activation = None,
    penalty: PenaltyName = None,
    strength: Strength = None,
    as_json: AsJson = False,
) -> None:
    """Say what a network will learn, before any training."""
    from marginlens.runs.run import prediction_for
    from marginlens.tasks import task
    from marginlens.training import recipe_for

    chosen = task(spec)
    recipe = recipe_for(chosen, activation=activation, penalty=penalty, strength=strength)
    prediction = prediction_for(chosen, recipe)
    if as_json:
        print_json(prediction.to_dict())
    else:
        print_prediction(prediction)


def _training_command(with_report: bool) -> Callable[..., None]:
    """`run` and `train` take the same options; `run` also writes the page."""

    def command(
        spec: TaskSpec,
        out: Out = None,
        overwrite: Overwrite = False,
        activation: Activation = None,
        width: Width = None,
        penalty: PenaltyName = None,
        strength: Strength = None,
        optimizer: Optimizer = None,
        learning_rate: Rate = None,
        schedule: Schedule = None,
        steps: Steps = None,
        stop_share: Stop = None,
        tolerance: Tolerance = None,
        seed: Seed = None,
        members: Members = None,
        dtype: Dtype = None,
        device: Device = None,
        as_json: AsJson = False,
    ) -> None:
        from marginlens.runs import check_folder, follow
        from marginlens.runs.run import prediction_for
        from marginlens.tasks import task
        from marginlens.training import find_device, recipe_for

        chosen = task(spec)
        chosen.require_rows()
        fields = {
            "activation": activation, "width": width, "penalty": penalty, "strength": strength,
            "optimizer": optimizer, "learning_rate": learning_rate, "schedule": schedule,
            "steps": steps, "stop_share": stop_share, "tolerance": tolerance, "seed": seed,
            "members": members, "dtype": dtype, "device": device,
        }  # fmt: skip
        recipe = recipe_for(chosen, **fields)
        find_device(recipe.device)
        folder = check_folder(out or Path("runs") / file_name(chosen.name), overwrite=overwrite)
        prediction = prediction_for(chosen, recipe)
        if not as_json:
            print_prediction(prediction, brief=True)
        with progress(recipe.steps, prediction.margin, quiet=as_json) as show:
            finished = follow(
                recipe,
                chosen,
                prediction=prediction,
                out=folder,
                overwrite=overwrite,
                progress=show,
            )
        if with_report:
            from marginlens.report import write_report

            write_report(finished, folder / "report.html")
        print_run(finished, folder, as_json=as_json, page=with_report)

    return command


app.command(
    "run",
    help="Predict, train, measure and judge; leave a folder with a page.",
    epilog="Examples:\n\n  marginlens run C71\n\n  marginlens run S5 --width 2000 --out runs/S5\n\n"
    "  marginlens run C71 --activation relu --out runs/relu\n\nCtrl-C keeps what was learned.",
)(_training_command(with_report=True))
app.command(
    "train",
    help="As run, without the page.",
    epilog="Examples:\n\n  marginlens train C23 --steps 3000 --dtype float64 --out runs/C23\n\n"
    "Ctrl-C keeps what was learned.",
)(_training_command(with_report=False))


@app.command(
    epilog="Examples:\n\n  marginlens measure runs/C71\n\n  marginlens measure runs/C71 --json"
)
def measure(folder: Folder, as_json: AsJson = False) -> None:
    """Measure a saved network."""
    from marginlens.runs import load_run

    summary = load_run(folder).measurement.to_dict()
    if as_json:
        print_json(summary)
        return
    features = summary.pop("features")
    table = Table("quantity", "value", title=f"{summary['task']}: what was learned")
    for name, value in summary.items():
        table.add_row(name.replace("_", " "), text(value))
    out.print(table)
    shares = Table("feature", "neurons", "share of the norm")
    for feature in features:
        shares.add_row(feature["name"], str(feature["neurons"]), f"{feature['share']:.5f}")
    out.print(shares)


@app.command(epilog="Examples:\n\n  marginlens verify runs/C71 || echo a promised claim fails")
def verify(folder: Folder, as_json: AsJson = False) -> None:
    """Judge a saved run anew; exit code 1 if a promised claim does not hold."""
    from marginlens.runs import load_run

    verdict = load_run(folder).verdict
    if as_json:
        print_json(verdict.to_dict())
    else:
        print_verdict(verdict)
    raise typer.Exit(0 if verdict.holds else 1)


@app.command(
    epilog="Examples:\n\n  marginlens report runs/C71\n\n  marginlens report runs/C71 --out page.html"
)
def report(
    folder: Folder,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="File to write; default FOLDER/report.html.")
    ] = None,
) -> None:
    """Write the page of a saved run."""
    from marginlens.report import write_report
    from marginlens.runs import load_run

    finished = load_run(folder)
    path = out_file or Path(folder) / "report.html"
    if not path.absolute().parent.is_dir():
        raise ValueError(f"the folder {str(path.absolute().parent)!r} does not exist")
    write_report(finished, path)
    out.print(f"wrote {path}", highlight=False)
