"""The command line: one verb a step; no logic. A verb lives in a file of its topic, imported here."""

from marginlens.cli import runs  # noqa: F401  (registers its verbs)
from marginlens.cli.app import app, main

__all__ = ["app", "main"]
