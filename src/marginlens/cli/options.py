"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
    "Dtype",
    "Embedding",
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
    "Schedule",
    "Seed",
    "Sequence",
    "Snapshots",
    "SplitSeed",
    "StepSize",
    "Steps",
    "Stop",
    "Strength",
    "TaskSpec",
    "Tf32",
    "Tied",
    "Tolerance",
    "Track",
    "TrainFraction",
    "TrainLength",
    "Warmup",
    "WeightDecay",
    "Width",
]  # fmt: skip

_RUN, _NETWORK, _PENALTY, _OPTIMIZER = "Run", "Network", "Penalty", "Optimizer"
_STOPPING, _DATA, _ENGINE = "Stopping", "Data", "Engine"

_TASK = typer.Argument(
    metavar="TASK",
    help='C71, D5, S5, A5, Q8, Dic3, SL(2,3), S3xC4, "<(1,2,3),(1,2)>", "SmallGroup(24,3)", '
    '"compose(C7,3)", "parity(10,4)", "x/y mod 97", "x^2+xy+y^2 mod 97", "xyx^-1 in S5", '
    '"random(97,0)", "addition(10,2)", or a .csv/.npy Cayley table.',
)
TaskSpec = Annotated[str, _TASK]
OptionalTask = Annotated[str | None, _TASK]
Resume = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        rich_help_panel=_RUN,
        help="Go on with the run there, from its last checkpoint.",
    ),
]
Previous = Annotated[
    bool,
    typer.Option(
        "--previous",
        rich_help_panel=_RUN,
        help="With --resume: from the checkpoint before the last.",
    ),
]
Folder = Annotated[str, typer.Argument(metavar="FOLDER", help="A run's folder.")]
Activation = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=_NETWORK,
        help="x^2, x^k, relu, abs, leaky_relu(0.1), relu^1.5, |x|^3; default: what the theory covers.",
    ),
]
PenaltyName = Annotated[
    str | None,
    typer.Option(
        "--penalty",
        rich_help_panel=_PENALTY,
        help="homogeneous (strength * sum ||omega||^nu) or l2.",
    ),
]
Strength = Annotated[
    float | None,
    typer.Option(
        rich_help_panel=_PENALTY,
        help="Strength of the penalty, such as 1e-4; --resume may change it.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Out = Annotated[
    Path | None, typer.Option(rich_help_panel=_RUN, help="Folder to write; default runs/TASK.")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", rich_help_panel=_RUN, help="Replace an older run there.")
]
Width = Annotated[
    int | None,
    typer.Option(rich_help_panel=_NETWORK, help="Number of neurons; a transformer's stream."),
]
Optimizer = Annotated[
    str | None, typer.Option(rich_help_panel=_OPTIMIZER, help="adam, adamw, sgd or muon.")
]
Rate = Annotated[
    float | None, typer.Option("--learning-rate", rich_help_panel=_OPTIMIZER, help="Learning rate.")
]
Schedule = Annotated[
    str | None,
    typer.Option(rich_help_panel=_OPTIMIZER, help="decay (second half to 0), cosine or constant."),
]
Steps = Annotated[int | None, typer.Option(rich_help_panel=_STOPPING, help="Step limit.")]
Stop = Annotated[
    float | None,
    typer.Option("--stop-share", rich_help_panel=_STOPPING, help="Stop at this share of gamma*."),
]
Tolerance = Annotated[
    float | None,
    typer.Option(
        rich_help_panel=_STOPPING, help="Stop when the loss changes less, relatively, in 100 steps."
    ),
]
PatienceSteps = Annotated[
    int | None,
    typer.Option(
        "--patience",
        rich_help_panel=_STOPPING,
        help="Stop after this many steps in which loss and weights change less than the tolerance.",
    ),
]
Seed = Annotated[
    int | None, typer.Option(rich_help_panel=_NETWORK, help="Member i starts from seed + i.")
]
Members = Annotated[
    int | None,
    typer.Option(
        "--seeds", "--members", rich_help_panel=_NETWORK, help="Networks trained side by side."
    ),
]
Dtype = Annotated[str | None, typer.Option(rich_help_panel=_ENGINE, help="float32 or float64.")]
Device = Annotated[str | None, typer.Option(rich_help_panel=_ENGINE, help="cpu or cuda.")]
NetworkKind = Annotated[
    str | None,
    typer.Option(
        "--network",
        rich_help_panel=_NETWORK,
        help="mlp; factored (MLP on learned embeddings); transformer.",
    ),
]
Embedding = Annotated[
    int | None, typer.Option(rich_help_panel=_NETWORK, help="Coordinates of a factored embedding.")
]
Heads = Annotated[
    int | None, typer.Option(rich_help_panel=_NETWORK, help="A transformer's attention heads.")
]
Hidden = Annotated[
    int | None, typer.Option(rich_help_panel=_NETWORK, help="Neurons of a transformer's MLP.")
]
Sequence = Annotated[
    str | None, typer.Option(rich_help_panel=_NETWORK, help='A transformer reads "ab=" or "ab".')
]
Attention = Annotated[
    float | None,
    typer.Option(rich_help_panel=_NETWORK, help="1: softmax; 0: constant; or between."),
]
Biases = Annotated[
    bool | None,
    typer.Option(
        "--biases/--no-biases",
        rich_help_panel=_NETWORK,
        help="Hidden neurons have biases; default: a transformer's have, an mlp's have not.",
    ),
]
InitScale = Annotated[
    float | None,
    typer.Option(rich_help_panel=_NETWORK, help="Standard deviation of an mlp's initial weights."),
]
LossName = Annotated[
    str | None,
    typer.Option(
        "--loss",
        rich_help_panel=_PENALTY,
        help="cross_entropy, squared, hinge, or logistic (of two classes).",
    ),
]
Layers = Annotated[
    int | None, typer.Option(rich_help_panel=_NETWORK, help="A transformer's layers: 1, 2, ...")
]
LayerNorm = Annotated[
    str | None,
    typer.Option(rich_help_panel=_NETWORK, help="A transformer's layer norm: none, pre or post."),
]
AnnealTo = Annotated[
    float | None,
    typer.Option(
        rich_help_panel=_PENALTY, help="Regularization path: let the strength fall to this one."
    ),
]
Tied = Annotated[
    bool, typer.Option("--tied", rich_help_panel=_NETWORK, help="One embedding for all inputs.")
]
Momentum = Annotated[
    float | None, typer.Option(rich_help_panel=_OPTIMIZER, help="Of sgd (default 0) or muon (.95).")
]
Beta1 = Annotated[
    float | None, typer.Option(rich_help_panel=_OPTIMIZER, help="Of adam and adamw; default .9.")
]
Beta2 = Annotated[
    float | None, typer.Option(rich_help_panel=_OPTIMIZER, help="Of adam and adamw; default .999.")
]
WeightDecay = Annotated[
    float | None,
    typer.Option(rich_help_panel=_OPTIMIZER, help="Decoupled decay of adamw and muon, no penalty."),
]
Warmup = Annotated[
    int | None,
    typer.Option(rich_help_panel=_OPTIMIZER, help="Steps in which the rate rises from 0."),
]
StepSize = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=_OPTIMIZER,
        help="plain; normalized (gradient / its norm); loss (gradient / loss).",
    ),
]
Batch = Annotated[
    int | None, typer.Option(rich_help_panel=_DATA, help="Rows of a mini-batch; default all.")
]
Online = Annotated[
    bool,
    typer.Option(
        "--online",
        rich_help_panel=_DATA,
        help="Draw each batch anew from all inputs, listed or not.",
    ),
]
TrainFraction = Annotated[
    float | None, typer.Option(rich_help_panel=_DATA, help="Share of the rows to train on.")
]
TrainLength = Annotated[
    int | None,
    typer.Option(
        rich_help_panel=_DATA, help="Train on numbers of so many digits, test on longer ones."
    ),
]
SplitSeed = Annotated[
    int | None, typer.Option(rich_help_panel=_DATA, help="Decides which rows are trained on.")
]
Corrupt = Annotated[
    float | None,
    typer.Option(rich_help_panel=_DATA, help="Share of the training rows given a wrong label."),
]
Tf32 = Annotated[
    bool, typer.Option("--tf32", rich_help_panel=_ENGINE, help="Faster, coarser float32 on a GPU.")
]
Compile = Annotated[
    str | None,
    typer.Option(rich_help_panel=_ENGINE, help="Compile: auto (where it pays), always, never."),
]
Memory = Annotated[
    float | None,
    typer.Option(rich_help_panel=_ENGINE, help="MB of hidden activations held at a time."),
]
CheckpointEvery = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="STEPS",
        rich_help_panel=_RUN,
        help="Steps between checkpoints, besides one a minute.",
    ),
]
RecordEvery = Annotated[
    int | None,
    typer.Option(
        metavar="STEPS", rich_help_panel=_RUN, help="Steps between rows of the history; default 10."
    ),
]
Snapshots = Annotated[
    int | None,
    typer.Option(
        rich_help_panel=_RUN,
        help="How often weights are kept, on a log scale of steps; default 30.",
    ),
]
Track = Annotated[
    str | None,
    typer.Option(rich_help_panel=_RUN, help="Mirror the history: tensorboard, wandb or mlflow."),
]
FigureFile = Annotated[
    Path | None,
    typer.Option(
        "--figure", help="Write the figure (.html; .svg, .pdf, .png by a Chrome there is)."
    ),
]
