"""Arguments and options that commands of several groups share, with their completion."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marginlens.cli.completion import complete_run, complete_sweep, complete_task

__all__ = ["AsJson", "FigureFile", "OptionalTask", "RunFolder", "SweepFolder", "TaskSpec"]

_TASK = typer.Argument(
    metavar="TASK",
    help='Group: C71, D5 (order 10), S5, Q8, "PSL(2,7)", C7:C3, S3xC4, "SmallGroup(24,3)" or '
    'generators "<(1,2,3),(1,2)>". Other tasks: "parity(10,4)", "x/y mod 97", "xyx^-1 in S5", '
    '"compose(C7,3)", "addition(10,2)", "random(97,0)". Or a file with a table: .csv, .json, .npy '
    "or GAP.",
    show_default=False,
    autocompletion=complete_task,
)
TaskSpec = Annotated[str, _TASK]
OptionalTask = Annotated[str | None, _TASK]
RunFolder = Annotated[
    str,
    typer.Argument(
        metavar="FOLDER",
        help="Folder of a saved run, for example runs/C71.",
        autocompletion=complete_run,
    ),
]
SweepFolder = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER",
        help="Folder of a sweep, for example sweeps/pilot.",
        autocompletion=complete_sweep,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for programs.")]
FigureFile = Annotated[
    Path | None,
    typer.Option(
        "--figure",
        help="File for the figure: .html; also .svg, .pdf or .png with pip install "
        "'marginlens[images]'.",
        show_default="no figure",
    ),
]
