"""The command line: one verb a step; no logic. A verb lives in a file of its topic, imported here."""

from marginlens.cli import (  # noqa: F401  (they register their verbs)
    atlas,
    dynamics,
    explore,
    figure,
    measure,
    numerical,
    progress,
    reproduce,
    results,
    runs,
    sweeps,
    textbook,
    theory,
)
from marginlens.cli.app import app, main
from marginlens.public_names import keep_public_names

keep_public_names(__name__)
__all__ = ["app", "main"]
