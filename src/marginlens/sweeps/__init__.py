"""Sweeps: many configurations and seeds, trained on a cluster, queried as tables."""

from marginlens.sweeps.cluster import SchedulerError
from marginlens.sweeps.reading import read_sweep
from marginlens.sweeps.results import Results
from marginlens.sweeps.run import SweepProgress, SweepSummary, run_sweep
from marginlens.sweeps.spec import Configuration, Piece, Sweep, Thresholds
from marginlens.sweeps.tables import TABLES, ResultTable

__all__ = [
    "TABLES",
    "Configuration",
    "Piece",
    "ResultTable",
    "Results",
    "SchedulerError",
    "Sweep",
    "SweepProgress",
    "SweepSummary",
    "Thresholds",
    "read_sweep",
    "run_sweep",
]
