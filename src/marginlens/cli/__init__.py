"""Command line: a file for each command, a folder for each group of commands.

Importing a module of this package registers its commands with the application.
"""

import marginlens.cli.analyze
import marginlens.cli.atlas
import marginlens.cli.explore
import marginlens.cli.figure
import marginlens.cli.measure
import marginlens.cli.reproduce
import marginlens.cli.runs
import marginlens.cli.sweep
import marginlens.cli.theory  # noqa: F401
from marginlens.cli.app import app, main
from marginlens.public_names import keep_public_names

keep_public_names(__name__)
__all__ = ["app", "main"]
