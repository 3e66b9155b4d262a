"""The commands ``predict``, ``run``, ``train``, ``verify`` and ``report``."""

from __future__ import annotations

import os
import tomllib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marginlens.cli.app import app, err, out
from marginlens.cli.arguments import AsJson, FigureFile, OptionalTask, RunFolder, TaskSpec
from marginlens.cli.console import printable
from marginlens.cli.options import (
    Activation,
    AnnealTo,
    Attention,
    Batch,
    Beta1,
    Beta2,
    Biases,
    CheckpointEvery,
    Compile,
    Corrupt,
    Device,
    DryRun,
    Dtype,
    Embedding,
    ExchangeEvery,
    Heads,
    Hidden,
    InitScale,
    LayerNorm,
    Layers,
    LossName,
    Members,
    Memory,
    Momentum,
    NetworkKind,
    Online,
    Optimizer,
    Out,
    Overwrite,
    PatienceSteps,
    PenaltyName,
    Previous,
    Rate,
    RecordEvery,
    Resume,
    RowsFile,
    Schedule,
    Seed,
    Sequence,
    SharpnessEnd,
    SharpnessStart,
    Snapshots,
    SplitSeed,
    Steps,
    StepSize,
    Stop,
    Strength,
    TestRowsFile,
    Tf32,
    Tied,
    Tolerance,
    Track,
    TrainFraction,
    TrainLength,
    UntilOptimal,
    Warmup,
    WeightDecay,
    Width,
)
from marginlens.cli.sweep.run import duration
from marginlens.cli.text_output import (
    check_file,
    file_name,
    print_exact,
    print_json,
    print_prediction,
    print_run,
    print_verdict,
    progress,
    text,
    written,
)

if TYPE_CHECKING:
    from marginlens.runs import Run
    from marginlens.runs.pipeline import Plan
    from marginlens.tasks import Task
    from marginlens.theory import Prediction
    from marginlens.training import Recipe


@app.command(
    examples=("predict C71", "predict A5 --strength 1e-5 --json", "predict S5 --figure S5.svg")
)
def predict(
    spec: TaskSpec,
    activation: Activation = None,
    penalty: PenaltyName = None,
    strength: Strength = None,
    figure: FigureFile = None,
    as_json: AsJson = False,
) -> None:
    """Predict margin, width and features of the trained network, without training."""
    from marginlens.runs.prediction_for import predict_training
    from marginlens.tasks import task

    if figure is not None:
        check_file(figure)
    chosen = task(spec)
    prediction = predict_training(
        chosen, activation=activation, penalty=penalty, strength=strength
    )[1]
    if figure is not None:
        from marginlens.images import write_figure

        write_figure(prediction.plot(), figure)
    if as_json:
        print_json(prediction.to_dict())
    else:
        print_prediction(prediction)
        written(figure)


def _training_command(with_report: bool) -> Callable[..., None]:
    """Make the command ``run``, which writes a report, or ``train``, which has the same options."""

    def command(
        spec: OptionalTask = None,
        out: Out = None,
        overwrite: Overwrite = False,
        dry_run: DryRun = False,
        resume: Resume = None,
        previous: Previous = False,
        checkpoint_every: CheckpointEvery = None,
        track: Track = None,
        record_every: RecordEvery = None,
        snapshots: Snapshots = None,
        activation: Activation = None,
        width: Width = None,
        network: NetworkKind = None,
        tied: Tied = False,
        embedding: Embedding = None,
        heads: Heads = None,
        hidden: Hidden = None,
        sequence: Sequence = None,
        attention: Attention = None,
        biases: Biases = None,
        layers: Layers = None,
        layer_norm: LayerNorm = None,
        init_scale: InitScale = None,
        seed: Seed = None,
        members: Members = None,
        loss: LossName = None,
        sharpness_start: SharpnessStart = None,
        sharpness_end: SharpnessEnd = None,
        penalty: PenaltyName = None,
        strength: Strength = None,
        anneal_to: AnnealTo = None,
        optimizer: Optimizer = None,
        learning_rate: Rate = None,
        schedule: Schedule = None,
        warmup: Warmup = None,
        step_size: StepSize = None,
        momentum: Momentum = None,
        beta1: Beta1 = None,
        beta2: Beta2 = None,
        exchange_every: ExchangeEvery = None,
        weight_decay: WeightDecay = None,
        steps: Steps = None,
        stop_share: Stop = None,
        until_optimal: UntilOptimal = None,
        tolerance: Tolerance = None,
        patience: PatienceSteps = None,
        batch: Batch = None,
        online: Online = False,
        train_fraction: TrainFraction = None,
        train_length: TrainLength = None,
        rows: RowsFile = None,
        test_rows: TestRowsFile = None,
        split_seed: SplitSeed = None,
        corrupt: Corrupt = None,
        dtype: Dtype = None,
        tf32: Tf32 = False,
        device: Device = None,
        compile: Compile = None,
        memory: Memory = None,
        as_json: AsJson = False,
    ) -> None:
        from marginlens.training import process_group

        if with_report and network == "transformer":
            raise ValueError(
                "run expects an MLP, as its report shows neurons, got a transformer; for example "
                f"marginlens train {quote(spec or 'C113')} --network transformer"
            )
        betas = None if beta1 is beta2 is None else (beta1, beta2)
        fields = {
            "activation": activation,
            "width": width,
            "network": network,
            "tied": tied or None,
            "embedding": embedding,
            "heads": heads,
            "hidden": hidden,
            "sequence": sequence,
            "attention": attention,
            "biases": biases,
            "layers": layers,
            "layer_norm": layer_norm,
            "loss_function": loss,
            "sharpness_start": sharpness_start,
            "sharpness_end": sharpness_end,
            "penalty": penalty,
            "strength": strength,
            "anneal_to": anneal_to,
            "optimizer": optimizer,
            "learning_rate": learning_rate,
            "momentum": momentum,
            "betas": betas,
            "exchange_every": exchange_every,
            "weight_decay": weight_decay,
            "schedule": schedule,
            "warmup": warmup,
            "step_size": step_size,
            "steps": steps,
            "stop_share": stop_share,
            "until_optimal": until_optimal,
            "tolerance": tolerance,
            "patience": patience,
            "seed": seed,
            "members": members,
            "batch": batch,
            "online": online or None,
            "train_fraction": train_fraction,
            "train_length": train_length,
            "rows": rows,
            "test_rows": test_rows,
            "split_seed": split_seed,
            "corrupt": corrupt,
            "dtype": dtype,
            "tf32": tf32 or None,
            "compile": compile,
            "memory": memory,
            "device": device,
            "record_every": record_every,
            "snapshots": snapshots,
            "init_scale": init_scale,
        }
        options: dict[str, Any] = {"checkpoint_every": checkpoint_every, "track": track}
        if dry_run and resume is not None:
            raise ValueError(f"--dry-run expects a new run, got --resume {resume}; leave one out")
        if resume is None and previous:
            raise ValueError(
                "--previous expects --resume, got a new run; for example --resume runs/C23"
            )
        with process_group(device or _device_of(resume)) as ranks:
            quiet = as_json or not ranks.leads
            with _plain_warnings():
                if dry_run:
                    _show_plan(spec, out, overwrite, fields, with_report, as_json=as_json)
                    return
                if resume is None:
                    finished = _start(spec, out, overwrite, fields, options, quiet, with_report)
                else:
                    fixed = {"TASK": spec, "out": out, "overwrite": overwrite or None}
                    finished = _go_on(resume, previous, fixed | fields, options, quiet)
            if not ranks.leads:
                return
            folder = finished.folder
            assert folder is not None
            # the page of a run that went on must not stay the one from before
            page = (with_report or (folder / "report.html").exists()) and finished.is_measured
            if page:
                from marginlens.report import write_report

                write_report(finished, folder / "report.html")
            print_run(finished, folder, as_json=as_json, page=page)

    return command


def _planned(spec: str | None, fields: dict[str, Any], with_report: bool) -> Plan:
    """Read and check the task, recipe and prediction of a new run."""
    from marginlens.runs.pipeline import plan_for
    from marginlens.tasks import task
    from marginlens.theory import Predictions
    from marginlens.training import recipe_for
    from marginlens.training.row_files import read_rows

    if spec is None:
        raise ValueError("expected TASK or --resume FOLDER; for example marginlens train C23")
    chosen = task(spec)
    if not fields["online"]:
        chosen.require_rows()
    if with_report and not chosen.features:
        raise ValueError(
            f"run expects a task with features, as its report shows them, got {chosen.name}; for "
            f"example marginlens train {quote(spec)}"
        )
    for name, field in (("rows", "train_rows"), ("test_rows", "test_rows")):
        if fields[name] is not None:
            fields[name] = read_rows(fields[name], chosen, field=field)
    predictions = Predictions(chosen)
    if fields["betas"] is not None:  # one alone leaves the other as it is by default
        usual = recipe_for(chosen, predictions=predictions, **{**fields, "betas": None}).betas
        given = zip(fields["betas"], usual, strict=True)
        fields["betas"] = tuple(other if beta is None else beta for beta, other in given)
    recipe = recipe_for(chosen, predictions=predictions, **fields)
    _require_memory(chosen, recipe)
    return plan_for(recipe, chosen, predictions)


def _require_memory(task: Task, recipe: Recipe) -> None:
    """Refuse a training on the CPU that needs more than twice the memory of the machine."""
    from marginlens.training.cost import estimated_megabytes

    if recipe.device != "cpu" or not hasattr(os, "sysconf"):
        return
    needed = estimated_megabytes(task, recipe) / 1024
    present = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    if needed > 2 * present:
        raise ValueError(
            f"the training needs about {needed:.0f} GB of memory and this machine has {present:.0f} GB; "
            "use a smaller --width or fewer --seeds, for example --width 500"
        )


def _show_plan(
    spec: str | None,
    folder: Path | None,
    overwrite: bool,
    fields: dict[str, Any],
    with_report: bool,
    *,
    as_json: bool,
) -> None:
    """Print recipe, prediction, expected time and folder of a run, without training."""
    from marginlens.runs import check_folder
    from marginlens.training.cost import estimated_megabytes, estimated_seconds

    planned = _planned(spec, fields, with_report)
    chosen, recipe, prediction = planned.task, planned.recipe, planned.prediction
    where = folder or Path("runs") / file_name(chosen.name)
    try:
        check_folder(where, overwrite=overwrite)
        refusal = ""
    except ValueError as error:
        refusal = str(error)
    on_cpu = recipe.device == "cpu"
    seconds = estimated_seconds(chosen, recipe) if on_cpu else None
    if as_json:
        print_json(
            {
                "recipe": recipe.model_dump(mode="json"),
                "folder": str(where),
                "refused": refusal or None,
                "expected_seconds": seconds,
                "expected_megabytes": estimated_megabytes(chosen, recipe) if on_cpu else None,
                "prediction": prediction.to_dict(),
            }
        )
        return
    known = "maximum margin" if prediction.proved else "largest margin found"
    lines = [
        f"{known}: " + ("unknown" if prediction.margin is None else f"{prediction.margin:.10g}"),
        f"rests on: {prediction.theorem}",
        f"width that suffices: {text(prediction.sufficient_width)}; here {recipe.width}",
    ]
    if prediction.at_penalty is not None:
        lines.append(f"loss at strength {recipe.strength:g}: {prediction.at_penalty.loss:.6g}")
    if seconds is None:
        lines.append(f"expected time: not estimated for device {recipe.device}")
    else:
        lines.append(
            f"expected time: about {duration(seconds)} of one CPU core, to a factor of 3, for all "
            f"{recipe.steps} steps; memory about {estimated_megabytes(chosen, recipe):.0f} MB"
        )
    lines.append(f"folder: {where}" + (f" (refused: {refusal})" if refusal else ""))
    unset = [name for name, value in recipe.model_dump().items() if value is None]
    comments = [*lines, "the recipe of this run; nothing was trained or written:"]
    document = "".join(f"# {printable(' '.join(line.split()))}\n" for line in comments)
    document += recipe.to_toml() + "".join(f"# {name}: not set\n" for name in unset)
    print_exact(document)


def _start(
    spec: str | None,
    out: Path | None,
    overwrite: bool,
    fields: dict[str, Any],
    options: dict[str, Any],
    quiet: bool,
    with_report: bool,
) -> Run:
    from marginlens.runs import check_folder, follow
    from marginlens.runs.pipeline import by_leader
    from marginlens.training.trackers import require_tracker

    planned = _planned(spec, fields, with_report)
    recipe, prediction = planned.recipe, planned.prediction
    if options["track"] is not None:
        require_tracker(options["track"])
    folder = out or Path("runs") / file_name(planned.task.name)
    by_leader(lambda: check_folder(folder, overwrite=overwrite))
    if not quiet and recipe.network != "transformer":
        print_prediction(prediction, brief=True)
    minimum = _minimum_shown(recipe, prediction)
    with progress(recipe.steps, prediction.margin, minimum, quiet=quiet) as show:
        return follow(planned, out=folder, overwrite=overwrite, progress=show, **options)


def _minimum_shown(recipe: Recipe, prediction: Prediction) -> float | None:
    """Known minimum of the loss, if the progress bar is to show the excess over it."""
    is_known = recipe.until_optimal is not None and prediction.at_penalty is not None
    return prediction.at_penalty.loss if is_known and prediction.at_penalty else None


def _device_of(folder: Path | None) -> str:
    """Device of a run to resume, read before processes join and the recipe is checked."""
    try:
        recipe = {} if folder is None else tomllib.loads((folder / "recipe.toml").read_text())
    except (OSError, ValueError):
        recipe = {}
    return str(recipe.get("device", "cpu"))


def _go_on(
    folder: Path, previous: bool, fields: dict[str, Any], options: dict[str, Any], quiet: bool
) -> Run:
    from contextlib import ExitStack

    from marginlens.runs import resume
    from marginlens.runs.checkpoint import MAY_CHANGE

    fixed = [name for name, value in fields.items() if value is not None and name not in MAY_CHANGE]
    if fixed:
        name = {"TASK": "TASK", "betas": "--beta1 and --beta2"}.get(
            fixed[0], f"--{fixed[0].replace('_', '-')}"
        )
        raise ValueError(
            f"--resume keeps the recipe of the run: leave {name} out; only --learning-rate, "
            "--strength, --steps and --device may change"
        )
    with ExitStack() as stack:

        def show(recipe: Recipe, prediction: Prediction, step: int) -> Any:
            if not quiet:
                print_line(f"resuming {recipe.task} at step {step} of {recipe.steps}")
            minimum = _minimum_shown(recipe, prediction)
            shown = progress(recipe.steps, prediction.margin, minimum, quiet=quiet)
            return stack.enter_context(shown)

        changes = {name: fields[name] for name in MAY_CHANGE}
        return resume(folder, previous=previous, progress=show, **options, **changes)


def print_line(words: str) -> None:
    """Print one line on standard output."""
    out.print(words)


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Print warnings as one line on standard error, without file and line number."""

    def show(message: Warning | str, *details: object, **more: object) -> None:
        err.print(f"marginlens: {message}", style="yellow", soft_wrap=True)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


_NOTES = (
    "Ctrl-C saves the run so far; --resume FOLDER continues it with the recipe of that run. Under "
    "torchrun several processes share the rows of one network."
)
app.command(
    "run",
    help="Run the whole pipeline and write a run folder with an HTML report.",
    examples=(
        "run C71",
        "run S5 --width 2000 --out runs/S5",
        "run C71 --activation relu --out runs/relu",
        "run S4 --loss margin",
        "run A5 --dry-run",
        "run C23 --strength 1e-3 --anneal-to 1e-6 --steps 6000",
    ),
    notes=_NOTES,
)(_training_command(with_report=True))
app.command(
    "train",
    help="Train a network and write a run folder, without the HTML report.",
    examples=(
        "train C23 --steps 3000 --dtype float64 --out runs/C23",
        "train --resume runs/C23",
        "train C5 --width 8 --seeds 100 --tolerance 1e-6",
        "train C97 --train-fraction 0.4 --optimizer adamw --weight-decay 1",
        "train C113 --network transformer --train-fraction 0.3",
        'train "addition(10,2)" --network transformer --train-length 1',
        'train "parity(50,3)" --online --batch 32 --loss hinge --activation relu --biases '
        "--optimizer sgd --learning-rate 0.1",
    ),
    notes="  torchrun --nproc-per-node 2 -m marginlens train C97 --out runs/C97\n\n" + _NOTES,
)(_training_command(with_report=False))


@app.command(
    examples=("verify runs/C71", "verify runs/C71 --json"),
    notes="Exit codes: 0 every claim passes, or no theorem covers the run; 1 a claim is contradicted; "
    "2 wrong input; 3 a premise is not met: too narrow, or not trained to the end.",
)
def verify(folder: RunFolder, as_json: AsJson = False) -> None:
    """Recompute the verdict on a saved run: each claim of the theory against its measurement."""
    from marginlens.runs import load_verdict

    verdict = load_verdict(folder)
    if as_json:
        print_json(verdict.to_dict())
    else:
        print_verdict(verdict)
    raise typer.Exit(verdict.exit_code)


@app.command(examples=("report runs/C71", "report runs/C71 --out page.html"))
def report(
    folder: RunFolder,
    out_file: Annotated[
        Path | None,
        typer.Option("--out", help="File for the report.", show_default="FOLDER/report.html"),
    ] = None,
) -> None:
    """Write the HTML report of a saved run: verdict, figures, recipe and tables."""
    from marginlens.report import write_report
    from marginlens.runs import load_run

    finished = load_run(folder)
    path = out_file or Path(folder) / "report.html"
    if not path.absolute().parent.is_dir():
        raise ValueError(
            f"--out expected a file in an existing folder, got {str(path)!r}; for example report.html"
        )
    write_report(finished, path)
    out.print(f"wrote {path}")
