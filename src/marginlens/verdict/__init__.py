"""Verdict: comparison of a prediction with a measurement, claim by claim."""

from marginlens.verdict.claims import Claim, Status, at_least, claim
from marginlens.verdict.compare import compare
from marginlens.verdict.premises import FOLDER, Advice, Premise, TrainingFacts
from marginlens.verdict.record import Verdict

__all__ = [
    "FOLDER",
    "Advice",
    "Claim",
    "Premise",
    "Status",
    "TrainingFacts",
    "Verdict",
    "at_least",
    "claim",
    "compare",
    "judge",
]

judge = compare
"""Earlier name of :func:`compare`."""
