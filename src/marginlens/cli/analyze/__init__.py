"""Commands of ``marginlens analyze``: one saved run or foreign network, examined."""

from marginlens.cli.analyze import algorithms, grokking, lottery, progress, waveform

__all__ = ["algorithms", "grokking", "lottery", "progress", "waveform"]
