"""One sentence of the theory against one measured number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, cast

__all__ = ["Claim", "Status", "at_least", "claim"]

Status = Literal["passes", "contradicted", "premise not met", "not covered", "unknown"]
"""Outcome of a claim or a verdict.

``"passes"``: the measurement lies within the tolerance. ``"contradicted"``: it does not, and no
network that close to the minimum can measure that. ``"premise not met"``: it does not, and a premise
of the claim does not hold. ``"not covered"``: no theorem covers this setting; the claim is reported,
not scored. ``"unknown"``: nothing was measured, as of a black box whose weights are not known, or it
does not lie within the tolerance and nobody knows whether the premises hold.
"""


_DERIVED = cast("Status", "")


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
        ``"passes"``, ``"contradicted"``, or ``"unknown"`` where nothing was measured.
    least_excess
        Of a claim that fails: the least excess over the minimum, relative, of any network that
        measures this; a smaller one contradicts the theory. None where the claim holds, where no
        minimum is known, and where no network can measure this.
    reason
        Reason why nothing was measured; empty where something was.
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
    status: Status = _DERIVED
    least_excess: float | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        """Derive the status where none is given."""
        if self.status != _DERIVED:
            return
        status: Status = "not covered"
        if self.promised:
            status = "passes" if self.holds else "contradicted"
            status = status if self.measured is not None else "unknown"
        object.__setattr__(self, "status", status)


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
