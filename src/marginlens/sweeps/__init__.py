"""Sweeps: many configurations and seeds, on a cluster, into tables that can be asked."""

from marginlens.sweeps.cluster import SchedulerError
from marginlens.sweeps.run import SweepProgress, SweepSummary, run_sweep
from marginlens.sweeps.spec import Configuration, Piece, Sweep, Thresholds, read_sweep

__all__ = [
    "Configuration", "Piece", "SchedulerError", "Sweep", "SweepProgress", "SweepSummary",
    "Thresholds", "read_sweep", "run_sweep",
]  # fmt: skip
