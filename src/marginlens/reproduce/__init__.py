"""Recipes for the field's questions, each with what is expected of its results.

To add one: a TOML file of a sweep here, a function from its results to claims, and a line in
``REPRODUCTIONS``.
"""

from marginlens.reproduce.registry import REPRODUCTIONS, Reproduction
from marginlens.reproduce.run import reproduce, write_page

__all__ = ["REPRODUCTIONS", "Reproduction", "reproduce", "write_page"]
