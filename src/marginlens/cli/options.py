"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from marginlens.cli.completion import complete_run

__all__ = [
    "Activation",
    "AnnealTo",
    "AsJson",
    "Attention",
    "Batch",
    "Beta1",
    "Beta2",
    "Biases",
    "CheckpointEvery",
    "Compile",
    "Corrupt",
    "Device",
    "DryRun",
    "Dtype",
    "Embedding",
    "ExchangeEvery",
    "FigureFile",
    "Folder",
    "Heads",
    "Hidden",
    "InitScale",
    "LayerNorm",
    "Layers",
    "LossName",
    "Members",
    "Memory",
    "Momentum",
    "NetworkKind",
    "Online",
    "Optimizer",
    "OptionalTask",
    "Out",
    "Overwrite",
    "PatienceSteps",
    "PenaltyName",
    "Previous",
    "Rate",
    "RecordEvery",
    "Resume",
    "RowsFile",
    "Schedule",
    "Seed",
    "Sequence",
    "SharpnessEnd",
    "SharpnessStart",
    "Snapshots",
    "SplitSeed",
    "StepSize",
    "Steps",
    "Stop",
    "Strength",
    "TaskSpec",
    "TestRowsFile",
    "Tf32",
    "Tied",
    "Tolerance",
    "Track",
    "TrainFraction",
    "TrainLength",
    "UntilOptimal",
    "Warmup",
    "WeightDecay",
    "Width",
]

_RUN, _NETWORK, _PENALTY, _OPTIMIZER = "Run", "Network", "Penalty", "Optimizer"
_STOPPING, _DATA, _ENGINE = "Stopping", "Data", "Engine"


def _option(panel: str, help: str, default: str, *names: str, **more: Any) -> Any:
    """Option whose default is shown, though None stands for it until the recipe is made."""
    return typer.Option(*names, rich_help_panel=panel, help=help, show_default=default, **more)


_TASK = typer.Argument(
    metavar="TASK",
    help='C71 (or Z/71), D5 (order 10), S5, Q8, "PSL(2,7)", C7:C3, S3xC4, "<(1,2,3),(1,2)>", '
    '"SmallGroup(24,3)", "compose(C7,3)", "parity(10,4)", "x/y mod 97", "x^2+xy+y^2 mod 97", '
    '"xyx^-1 in S5", "random(97,0)", "addition(10,2)", or a file with a Cayley '
    "table (.csv, .json, .npy, GAP).",
    show_default=False,
)
TaskSpec = Annotated[str, _TASK]
OptionalTask = Annotated[str | None, _TASK]
Folder = Annotated[str, typer.Argument(metavar="FOLDER", help="Folder of a run.")]

Out = Annotated[
    Path | None, _option(_RUN, "Folder that the run is written to.", "runs/TASK", "--out")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", rich_help_panel=_RUN, help="Replace an older run there.")
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        rich_help_panel=_RUN,
        help="Print the full recipe as TOML with prediction, expected time and folder; write nothing.",
    ),
]
Resume = Annotated[
    Path | None,
    _option(
        _RUN,
        "Continue the run in FOLDER from its last checkpoint.",
        "a new run",
        metavar="FOLDER",
        autocompletion=complete_run,
    ),
]
Previous = Annotated[
    bool,
    typer.Option(
        "--previous",
        rich_help_panel=_RUN,
        help="With --resume: start from the checkpoint before the last.",
    ),
]
CheckpointEvery = Annotated[
    int | None,
    _option(
        _RUN,
        "Steps between checkpoints, besides one a minute.",
        "once a minute",
        min=1,
        metavar="STEPS",
    ),
]
RecordEvery = Annotated[
    int | None, _option(_RUN, "Steps between rows of the history.", "10", metavar="STEPS")
]
Snapshots = Annotated[
    int | None,
    _option(_RUN, "Snapshots of the first member's weights, on a log scale of steps.", "30"),
]
Track = Annotated[
    str | None, _option(_RUN, "Mirror the history to tensorboard, wandb or mlflow.", "none")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

NetworkKind = Annotated[
    str | None,
    _option(
        _NETWORK, "mlp; factored (an MLP on learned embeddings); transformer.", "mlp", "--network"
    ),
]
Activation = Annotated[
    str | None,
    _option(
        _NETWORK,
        "x^2, x^k, relu, abs, leaky_relu(0.1), relu^1.5 or |x|^3.",
        "the theorem's, x^2 or x^k; relu where none applies",
    ),
]
Width = Annotated[
    int | None,
    _option(
        _NETWORK,
        "Neurons of an MLP; length of a transformer's residual stream.",
        "2 to 5 times the sufficient width; 512, or 128 if no mlp, where no theorem applies",
    ),
]
Tied = Annotated[
    bool, typer.Option("--tied", rich_help_panel=_NETWORK, help="One embedding for all inputs.")
]
Embedding = Annotated[
    int | None, _option(_NETWORK, "Coordinates of a factored network's embedding.", "256")
]
Heads = Annotated[int | None, _option(_NETWORK, "Attention heads of a transformer.", "4")]
Hidden = Annotated[int | None, _option(_NETWORK, "Neurons of a transformer's MLP.", "512")]
Sequence = Annotated[
    str | None, _option(_NETWORK, 'Tokens that a transformer reads: "ab=" or "ab".', "ab=")
]
Attention = Annotated[
    float | None, _option(_NETWORK, "Attention rate in [0, 1]: 1 = softmax, 0 = uniform.", "1")
]
Biases = Annotated[
    bool | None,
    _option(
        _NETWORK,
        "Biases of the hidden neurons.",
        "yes for a transformer, no otherwise",
        "--biases/--no-biases",
    ),
]
Layers = Annotated[int | None, _option(_NETWORK, "Layers of a transformer.", "1")]
LayerNorm = Annotated[
    str | None, _option(_NETWORK, "Layer norm of a transformer: none, pre or post.", "none")
]
InitScale = Annotated[
    float | None,
    _option(
        _NETWORK,
        "Standard deviation of an MLP's initial weights.",
        "1/sqrt(size of the input); 0.1 for parity",
    ),
]
Seed = Annotated[int | None, _option(_NETWORK, "Member i starts from seed + i.", "0")]
Members = Annotated[
    int | None, _option(_NETWORK, "Networks trained side by side.", "1", "--seeds", "--members")
]

LossName = Annotated[
    str | None,
    _option(
        _PENALTY,
        "cross_entropy, squared, hinge, logistic (two classes), or margin: maximise the least margin "
        "at norm 1, without a penalty.",
        "cross_entropy",
        "--loss",
    ),
]
SharpnessStart = Annotated[
    float | None,
    _option(
        _PENALTY,
        "With --loss margin: sharpness of the smoothed minimum in the first 40 % of the steps, in "
        "units of 1 / margin.",
        "10",
    ),
]
SharpnessEnd = Annotated[
    float | None,
    _option(_PENALTY, "With --loss margin: last sharpness; rises geometrically to it.", "2000"),
]
PenaltyName = Annotated[
    str | None,
    _option(
        _PENALTY,
        "homogeneous (strength * sum ||omega||^nu) or l2 (strength * ||theta||^2).",
        "homogeneous; l2 with biases, and where no theorem applies",
        "--penalty",
    ),
]
Strength = Annotated[
    float | None,
    _option(
        _PENALTY,
        "Strength of the penalty, for example 1e-4; --resume may change it.",
        "a power of ten below the collapse; 0 where no theorem applies",
    ),
]
AnnealTo = Annotated[
    float | None,
    _option(
        _PENALTY,
        "Regularization path: lower the strength to this value during training.",
        "constant strength",
    ),
]

Optimizer = Annotated[
    str | None,
    _option(
        _OPTIMIZER,
        "adam, adamw, sgd, muon or neuronwise-adam.",
        "neuronwise-adam; adam for --seeds and other losses; adamw where no theorem applies",
    ),
]
Rate = Annotated[
    float | None,
    _option(
        _OPTIMIZER,
        "Learning rate; --resume may change it.",
        "0.1; 0.01 or 0.03 with adam; 0.001 where no theorem applies",
        "--learning-rate",
    ),
]
Schedule = Annotated[
    str | None,
    _option(
        _OPTIMIZER,
        "decay (to 0 in the second half), cosine or constant.",
        "decay; constant where no theorem applies",
    ),
]
Warmup = Annotated[
    int | None,
    _option(_OPTIMIZER, "Steps in which the rate rises from 0.", "0; 10 where no theorem applies"),
]
StepSize = Annotated[
    str | None,
    _option(
        _OPTIMIZER, "plain; normalized (gradient / its norm); loss (gradient / loss).", "plain"
    ),
]
Momentum = Annotated[
    float | None, _option(_OPTIMIZER, "Momentum of sgd or muon.", "0 for sgd, 0.95 for muon")
]
Beta1 = Annotated[
    float | None,
    _option(
        _OPTIMIZER,
        "First beta of adam, adamw and neuronwise-adam.",
        "0.9; 0.97 for neuronwise-adam",
    ),
]
Beta2 = Annotated[
    float | None,
    _option(
        _OPTIMIZER,
        "Second beta of adam, adamw and neuronwise-adam.",
        "0.999; 0.98 where no theorem applies; 0.95 for neuronwise-adam",
    ),
]
ExchangeEvery = Annotated[
    int | None,
    _option(
        _OPTIMIZER,
        "Steps after which the least useful neurons are exchanged for the best ones; 0: never.",
        "50 where --optimizer is left out and a theorem applies; else 0",
    ),
]
WeightDecay = Annotated[
    float | None,
    _option(
        _OPTIMIZER,
        "Decoupled weight decay of adamw and muon, apart from the penalty.",
        "0; 1 where no theorem applies",
    ),
]

Steps = Annotated[
    int | None,
    _option(
        _STOPPING,
        "Step limit; --resume may change it.",
        "1000 to 6000, by the task; 10000 where no theorem applies",
    ),
]
Stop = Annotated[
    float | None,
    _option(_STOPPING, "Stop at this share of the maximum margin.", "no stop", "--stop-share"),
]
UntilOptimal = Annotated[
    float | None,
    _option(
        _STOPPING,
        "Stop when the loss is within this relative excess of the known minimum, for example 1e-6.",
        "no stop",
    ),
]
Tolerance = Annotated[
    float | None,
    _option(_STOPPING, "Stop when the loss changes less, relatively, in 100 steps.", "0: no stop"),
]
PatienceSteps = Annotated[
    int | None,
    _option(
        _STOPPING,
        "Stop after this many steps in which loss and weights change less than the tolerance.",
        "0: not used",
        "--patience",
    ),
]

Batch = Annotated[int | None, _option(_DATA, "Rows of a mini-batch.", "all rows")]
Online = Annotated[
    bool,
    typer.Option(
        "--online",
        rich_help_panel=_DATA,
        help="Draw each batch anew from all inputs, listed or not.",
    ),
]
TrainFraction = Annotated[float | None, _option(_DATA, "Share of the rows to train on.", "1")]
TrainLength = Annotated[
    int | None,
    _option(_DATA, "Train on numbers of so many digits, test on longer ones.", "all lengths"),
]
RowsFile = Annotated[
    Path | None,
    _option(
        _DATA,
        "File with the rows to train on: .npy or .csv of row numbers or inputs.",
        "by --train-fraction",
    ),
]
TestRowsFile = Annotated[
    Path | None, _option(_DATA, "The same for the rows to test on.", "all other rows")
]
SplitSeed = Annotated[
    int | None, _option(_DATA, "Seed of the choice of rows that are trained on.", "0")
]
Corrupt = Annotated[
    float | None, _option(_DATA, "Share of the training rows given a wrong label.", "0")
]

Dtype = Annotated[str | None, _option(_ENGINE, "float32 or float64.", "float32")]
Tf32 = Annotated[
    bool, typer.Option("--tf32", rich_help_panel=_ENGINE, help="Faster, coarser float32 on a GPU.")
]
Device = Annotated[str | None, _option(_ENGINE, "cpu or cuda; --resume may change it.", "cpu")]
Compile = Annotated[
    str | None, _option(_ENGINE, "Compile steps: auto (where it pays), always or never.", "auto")
]
Memory = Annotated[
    float | None,
    _option(_ENGINE, "Megabytes of hidden activations held at a time.", "what fits the cache"),
]

FigureFile = Annotated[
    Path | None,
    typer.Option(
        "--figure",
        help="File for the figure: .html, or .svg, .pdf, .png (with pip install 'marginlens[images]').",
        show_default="no figure",
    ),
]
