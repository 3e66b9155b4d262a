"""Reproductions of published results: sweeps and runs with expected claims.

To add a question about many seeds: a TOML file of a sweep here, a function from its results to
claims,
and a line in ``REPRODUCTIONS``. To add another paper's system: a TOML file of runs, functions from
the
runs to claims and rows in ``mechanisms.py``, and a line in ``STUDIES``.
"""

from marginlens.reproduce.registry import REPRODUCTIONS, Reproduction
from marginlens.reproduce.run import reproduce, write_page
from marginlens.reproduce.studies import Study, StudyInterrupted, run_study, write_study
from marginlens.reproduce.systems import STUDIES

__all__ = [
    "REPRODUCTIONS",
    "STUDIES",
    "Reproduction",
    "Study",
    "StudyInterrupted",
    "reproduce",
    "run_study",
    "write_page",
    "write_study",
]
