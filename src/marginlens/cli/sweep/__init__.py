"""Commands of ``marginlens sweep``: trainings of many configurations, and their results."""

from marginlens.cli.sweep import law, query, run, table

__all__ = ["law", "query", "run", "table"]
