"""Claim: one sentence of the theory compared with one measured number."""

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
    """One sentence of the theory, compared with a network.

    Attributes
    ----------
    name, statement
        Short name, and the sentence.
    predicted, measured
        Predicted and measured number; ``None`` where either is unknown.
    tolerance, relative
        Greatest accepted difference, as a share of the prediction if ``relative``.
    holds
        Whether the measurement lies within the tolerance.
    promised
        Whether a theorem guarantees the claim in this setting, for a network at the minimum.
    source
        Theorem or program that the claim comes from.
    status
        Outcome, see :data:`Status`. Default: ``"not covered"`` without a guarantee, else
        ``"passes"``, ``"contradicted"``, or ``"unknown"`` without a measurement.
    least_excess
        For a failing claim, the least relative excess over the minimum of any network with this
        measurement; an observed smaller excess contradicts the theory. ``None`` if the claim holds,
        if no minimum is known, and if no network can have this measurement.
    reason
        Reason why the measurement is missing; empty otherwise.
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
        """Derive the status where it is not given."""
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
    """Return the claim that compares two numbers; a missing value or NaN does not hold.

    Parameters
    ----------
    name, statement
        Short name, and the sentence.
    predicted, measured
        Predicted and measured number, or ``None``.
    tolerance
        Greatest accepted difference from the prediction.
    source
        Theorem or program that the claim comes from.
    promised
        Whether a theorem guarantees the claim in this setting.
    relative
        Whether the tolerance is a share of the prediction.
    """
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
    """Return the claim that a number reaches a lower bound; a missing value does not hold.

    Parameters
    ----------
    name, statement
        Short name, and the sentence.
    measured
        Measured number, or ``None``.
    least
        Lower bound, stored as the tolerance.
    source
        Theorem or program that the claim comes from.
    promised
        Whether a theorem guarantees the claim in this setting.
    """
    if measured is not None and not math.isfinite(measured):
        measured = None
    holds = measured is not None and measured >= least
    return Claim(name, statement, None, measured, least, False, holds, promised, source)
