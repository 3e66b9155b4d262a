"""Commands of ``marginlens figure``: figures and films of saved runs, networks and atlases."""

from marginlens.cli.figure import animate, draw, list

__all__ = ["animate", "draw", "list"]
