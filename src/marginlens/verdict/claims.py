"""One sentence of the theory against one measured number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

__all__ = ["Claim", "Status", "at_least", "claim"]

Status = Literal["passes", "contradicted", "premise not met", "not covered", "unknown"]
"""Outcome of a claim or a verdict.

``"passes"``: the measurement lies within the tolerance. ``"contradicted"``: it does not, and no
network that close to the minimum can measure that. ``"premise not met"``: it does not, and a premise
of the claim does not hold. ``"not covered"``: no theorem covers this setting; the claim is reported,
not scored. ``"unknown"``: nothing was measured.
"""


@dataclass(frozen=True)
class Claim:
    """One sentence of the theory, held against the network.

    Attributes
    ----------
    name, statement
        Short name, and the sentence.
    predicted, measured
        Numbers, or None where there is nothing to compare.
    tolerance, relative
        How far apart they may be; if ``relative``, as a share of the prediction.
    holds
        Whether the measurement lies within the tolerance.
    promised
        Whether a theorem guarantees it in this setting, of a network at the minimum.
    source
        The theorem or program that the claim comes from.
    status
        Outcome, see :data:`Status`. Where it is not given: ``"not covered"`` if not promised, else
        ``"passes"`` or ``"contradicted"``.
    least_excess
        Of a claim that fails: the least excess over the minimum, relative, of any network that
        measures this; a smaller one contradicts the theory. None where the claim holds, where no
        minimum is known, and where no network can measure this.
    """

    name: str
    statement: str
    predicted: float | None
    measured: float | None
    tolerance: float
    relative: bool
    holds: bool
    promised: bool
    source: str
    status: Status = "unknown"
    least_excess: float | None = None

    def __post_init__(self) -> None:
        """Derive the status where none is given."""
        if self.status != "unknown":
            return
        if not self.promised:
            object.__setattr__(self, "status", "not covered")
        elif self.measured is not None:
            object.__setattr__(self, "status", "passes" if self.holds else "contradicted")


def claim(
    name: str,
    statement: str,
    predicted: float | None,
    measured: float | None,
    tolerance: float,
    source: str,
    *,
    promised: bool,
    relative: bool = False,
) -> Claim:
    """Compare two numbers; a value that is missing or not a number does not hold."""
    holds = False
    if measured is not None and not math.isfinite(measured):
        measured = None
    if predicted is not None and measured is not None:
        scale = abs(predicted) if relative and predicted else 1.0
        holds = abs(measured - predicted) <= tolerance * scale
    return Claim(name, statement, predicted, measured, tolerance, relative, holds, promised, source)


def at_least(
    name: str, statement: str, measured: float | None, least: float, source: str, *, promised: bool
) -> Claim:
    """Hold a number against a lower bound, which is kept as the tolerance; no number does not hold."""
    if measured is not None and not math.isfinite(measured):
        measured = None
    holds = measured is not None and measured >= least
    return Claim(name, statement, None, measured, least, False, holds, promised, source)
