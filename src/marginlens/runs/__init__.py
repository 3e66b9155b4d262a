"""Runs: predict, train and measure a task, and keep the results in a folder."""

from typing import TYPE_CHECKING

from marginlens.lazy_names import lazy_names
from marginlens.public_names import keep_public_names

if TYPE_CHECKING:
    from marginlens.runs.folder import check_folder, is_finished, load_run, load_verdict, save_run
    from marginlens.runs.load import LoadedNetwork, load
    from marginlens.runs.penalty_scan import train_at
    from marginlens.runs.pipeline import execute, follow
    from marginlens.runs.resuming import resume
    from marginlens.runs.run import Run
    from marginlens.runs.width_scan import NarrowNetworks, train_narrow

keep_public_names(__name__)
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "pipeline": "execute follow",
        "folder": "check_folder is_finished load_run load_verdict save_run",
        "load": "LoadedNetwork load",
        "width_scan": "NarrowNetworks train_narrow",
        "penalty_scan": "train_at",
        "resuming": "resume",
        "run": "Run",
    },
)
__all__ = [
    "LoadedNetwork",
    "NarrowNetworks",
    "Run",
    "check_folder",
    "execute",
    "follow",
    "is_finished",
    "load",
    "load_run",
    "load_verdict",
    "resume",
    "save_run",
    "train_at",
    "train_narrow",
]
