"""Commands of ``marginlens theory``: results computed from a task alone."""

from marginlens.cli.theory import (
    algorithms,
    certify,
    degrees,
    interference,
    memorizing,
    path,
    waveform,
    widths,
)

__all__ = [
    "algorithms",
    "certify",
    "degrees",
    "interference",
    "memorizing",
    "path",
    "waveform",
    "widths",
]
