"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "Activation", "AsJson", "Device", "Dtype", "FigureFile", "Folder", "Members", "Optimizer", "Out",
    "Overwrite", "PenaltyName", "Rate", "Schedule", "Seed", "Steps", "Stop", "Strength",
    "TaskSpec", "Tolerance", "Width",
]  # fmt: skip

TaskSpec = Annotated[
    str,
    typer.Argument(
        metavar="TASK",
        help='C71, D5, S5, A5, Q8, Dic3, SL(2,3), S3xC4, "<(1,2,3),(1,2)>", "SmallGroup(24,3)", '
        '"compose(C7,3)", "parity(10,4)", or a .csv/.npy Cayley table.',
    ),
]
Folder = Annotated[str, typer.Argument(metavar="FOLDER", help="A run's folder.")]
Activation = Annotated[
    str | None,
    typer.Option(
        help="x^2, x^k, relu, abs, leaky_relu(0.1), relu^1.5, |x|^3; default: what the theory covers."
    ),
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
FigureFile = Annotated[Path | None, typer.Option("--figure", help="Write the figure (.html).")]
