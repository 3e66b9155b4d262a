"""The command line: one verb a step; no logic. A verb lives in a file of its topic, imported here."""

from marginlens.cli import atlas, numerical, runs, textbook, theory  # noqa: F401  (they register their verbs)
from marginlens.cli.app import app, main

__all__ = ["app", "main"]
