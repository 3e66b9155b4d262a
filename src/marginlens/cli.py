"""The command line: one verb a step; no logic."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer.exceptions import TyperException

from marginlens import __version__

if TYPE_CHECKING:
    import numpy as np

    from marginlens.runs import Run
    from marginlens.theory import Prediction
    from marginlens.verdict import Verdict

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Predict which features a network learns on an algebraic task, train it, measure what it "
    "learned, and hold the two against each other.\n\n"
    "[bold]Examples[/bold]\n\n  marginlens run C71\n\n  marginlens predict A5 --strength 1e-5\n\n"
    '  marginlens run "parity(10,4)" --out runs/parity',
)
out = Console()
err = Console(stderr=True)

TaskSpec = Annotated[
    str,
    typer.Argument(
        metavar="TASK",
        help="C71, D5, S5, A5, Q8, Dic3, SL(2,3), S3xC4, parity(10,4), or a .csv/.npy Cayley table.",
    ),
]
Folder = Annotated[str, typer.Argument(metavar="FOLDER", help="A run's folder.")]
Activation = Annotated[
    str | None, typer.Option(help="x^2, relu or x^k (k = 1..16); default: what the theory covers.")
]
PenaltyName = Annotated[
    str | None,
    typer.Option("--penalty", help="homogeneous (strength * sum ||omega||^nu) or l2."),
]
Strength = Annotated[float | None, typer.Option(help="Strength of the penalty, such as 1e-4.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Out = Annotated[Path | None, typer.Option(help="Folder to write; default runs/TASK.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an older run there.")]
Width = Annotated[int | None, typer.Option(help="Number of neurons.")]
Optimizer = Annotated[str | None, typer.Option(help="adam or sgd.")]
Rate = Annotated[float | None, typer.Option("--learning-rate", help="Learning rate.")]
Schedule = Annotated[str | None, typer.Option(help="decay (second half to 0) or constant.")]
Steps = Annotated[int | None, typer.Option(help="Step limit.")]
Stop = Annotated[float | None, typer.Option("--stop-share", help="Stop at this share of gamma*.")]
Tolerance = Annotated[
    float | None, typer.Option(help="Stop when the loss changes less, relatively, in 100 steps.")
]
Seed = Annotated[int | None, typer.Option(help="Member i starts from seed + i.")]
Members = Annotated[int | None, typer.Option(help="Networks trained side by side.")]
Dtype = Annotated[str | None, typer.Option(help="float32 or float64.")]
Device = Annotated[str | None, typer.Option(help="cpu or cuda.")]


def _print_version(wanted: bool) -> bool:
    if wanted:
        out.print(f"marginlens {__version__}", highlight=False)
        raise typer.Exit
    return wanted


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


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
        _print_json(prediction.to_dict())
    else:
        _print_prediction(prediction)


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
        fields = {
            "activation": activation, "width": width, "penalty": penalty, "strength": strength,
            "optimizer": optimizer, "learning_rate": learning_rate, "schedule": schedule,
            "steps": steps, "stop_share": stop_share, "tolerance": tolerance, "seed": seed,
            "members": members, "dtype": dtype, "device": device,
        }  # fmt: skip
        recipe = recipe_for(chosen, **fields)
        find_device(recipe.device)
        folder = check_folder(out or Path("runs") / _file_name(chosen.name), overwrite=overwrite)
        prediction = prediction_for(chosen, recipe)
        if not as_json:
            _print_prediction(prediction, brief=True)
        with _progress(recipe.steps, prediction.margin, quiet=as_json) as show:
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
        _print_run(finished, folder, as_json=as_json, page=with_report)

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
        _print_json(summary)
        return
    features = summary.pop("features")
    table = Table("quantity", "value", title=f"{summary['task']}: what was learned")
    for name, value in summary.items():
        table.add_row(name.replace("_", " "), _text(value))
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
        _print_json(verdict.to_dict())
    else:
        _print_verdict(verdict)
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


def main() -> None:
    """Run the command line; bad input gives one line and exit code 2."""
    try:
        result = app(standalone_mode=False)
        sys.exit(result if isinstance(result, int) else 0)
    except typer.Abort:
        sys.exit(130)
    except TyperException as error:
        _fail(f"{error.format_message().rstrip('.')}; see marginlens --help")
    except (ValueError, OSError, FloatingPointError, ArithmeticError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(message: str) -> None:
    line = " ".join(message.split())
    err.print(f"marginlens: {line}", style="red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(2)


def _file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")


def _print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.7g}"
    return str(value)


def _print_prediction(prediction: Prediction, *, brief: bool = False) -> None:
    at = prediction.at_penalty
    grid = Table.grid(padding=(0, 2))
    rows: list[tuple[str, Any]] = [
        ("maximum margin γ*", prediction.margin),
        ("rests on", prediction.theorem),
        ("width that suffices", prediction.sufficient_width),
        ("collapse above strength", prediction.collapse_penalty),
    ]
    if prediction.certificate is not None:
        rows.append(("certificate's relative gap", f"{prediction.certificate.gap:.1e}"))
    if prediction.penalty is not None and at is not None:
        words = f"loss {at.loss:.6g}, norm {at.norm:.6g}, margin {at.margin:.6g}"
        if at.margin_ratio is not None:
            words += f" ({at.margin_ratio:.5f} of γ*)"
        rows.append((f"at strength {prediction.penalty.strength:g}", words))
    for name, value in rows:
        grid.add_row(f"[bold]{name}[/bold]", _text(value))
    out.print(f"[bold]{prediction.task}[/bold], activation {prediction.activation}: the prediction")
    out.print(grid)
    if prediction.note:
        out.print(prediction.note)
    if brief:
        return
    table = Table(
        "feature", "dimension", "type", "status", "share in the limit", "at this strength"
    )
    for feature in prediction.features:
        low, high = feature.least_share, feature.greatest_share
        share = "–"
        if low is not None and high is not None:
            share = f"{low:.6f}" if high - low < 5e-7 else f"{low:.6f} to {high:.6f}"
        table.add_row(
            feature.name, str(feature.dimension), feature.type, feature.status, share,
            "–" if at is None else f"{at.shares[feature.name]:.6f}",
        )  # fmt: skip
    out.print(table)


def _print_verdict(verdict: Verdict) -> None:
    table = Table(
        "", "claim", "predicted", "measured", "tolerance", title=f"{verdict.task}: verdict"
    )
    for claim in verdict.claims:
        mark = "[green]✓[/green]" if claim.holds else "[red]✗[/red]"
        if not claim.promised:
            mark = "[dim]–[/dim]" if not claim.holds else "[dim]✓[/dim]"
        words = claim.statement + ("" if claim.promised else " [dim](not promised here)[/dim]")
        tolerance = _text(claim.tolerance) + (" relative" if claim.relative else "")
        table.add_row(mark, words, _text(claim.predicted), _text(claim.measured), tolerance)
    out.print(table)
    promised = [claim for claim in verdict.claims if claim.promised]
    holding = sum(claim.holds for claim in promised)
    style = "green" if verdict.holds else "red"
    if promised:
        out.print(f"[{style}]{holding} of {len(promised)} promised claims hold[/{style}]")
    else:
        out.print("the theory promises nothing in this setting; the measurements stand above")


def _print_run(run: Run, folder: Path, *, as_json: bool, page: bool) -> None:
    if as_json:
        _print_json(run.verdict.to_dict())
        return
    training = run.training
    out.print(
        f"trained {training.steps[-1] if len(training.steps) else 0} steps in "
        f"{training.seconds:.1f} s; stopped: {training.stopped}",
        highlight=False,
    )
    _print_verdict(run.verdict)
    if run.recipe.members > 1:
        out.print(
            f"of {run.recipe.members} members, the first is judged and drawn; the history has all"
        )
    out.print(f"everything is in {folder}", highlight=False, soft_wrap=True)
    if page:
        out.print(f"open {folder / 'report.html'}", highlight=False, soft_wrap=True)


@contextmanager
def _progress(
    steps: int, margin: float | None, *, quiet: bool
) -> Iterator[Callable[[int, dict[str, np.ndarray]], None] | None]:
    """A live bar with loss, accuracy and margin (of the worst member)."""
    if quiet:
        yield None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[now]}"),
        TimeRemainingColumn(), console=err, transient=True,
    )  # fmt: skip
    with bar:
        job = bar.add_task("training", total=steps, now="")

        def show(step: int, row: dict[str, np.ndarray]) -> None:
            least = float(row["normalized_margin"].min())
            share = f"margin {least:.3g}" if margin is None else f"margin {least / margin:.4f} γ*"
            words = f"loss {row['loss'].max():.5g}  accuracy {row['accuracy'].min():.3f}  {share}"
            bar.update(job, completed=step, now=words)

        yield show
