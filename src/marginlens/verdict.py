"""Prediction against measurement: every sentence of the theory as a claim."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from marginlens.display import Displayed, Shown
from marginlens.measures import Measurement
from marginlens.theory import Prediction

__all__ = ["Claim", "Verdict", "at_least", "claim", "judge"]

_PAPER = "Morwani et al. 2024"
_PROGRAM = "convex program of the irrep masses (marginlens.theory)"


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
        Whether the theory promises it in this setting; what is not promised is reported, and does
        not count for the verdict.
    source
        Where the claim comes from.
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


@dataclass(frozen=True)
class Verdict(Displayed):
    """All claims about one network.

    Attributes
    ----------
    task
        The task's name.
    margin_ratio
        Measured normalized margin over the maximum, None where the maximum is unknown.
    training_seconds
        Time that training took.
    claims
        The claims.
    """

    task: str
    margin_ratio: float | None
    training_seconds: float | None
    claims: tuple[Claim, ...]

    @property
    def holds(self) -> bool:
        """Whether every promised claim holds."""
        return all(claim.holds for claim in self.claims if claim.promised)

    def shown(self) -> Shown:
        """What a notebook shows: every claim, and how many hold."""
        rows = [
            [
                ("✓" if claim.holds else "✗") if claim.promised else "·", claim.statement,
                claim.predicted, claim.measured,
                f"{claim.tolerance:g}{' relative' if claim.relative else ''}",
            ]
            for claim in self.claims
        ]  # fmt: skip
        promised = [claim for claim in self.claims if claim.promised]
        sentence = (
            f"{sum(claim.holds for claim in promised)} of {len(promised)} promised claims hold"
        )
        if not promised:
            sentence = "the theory promises nothing in this setting; the measurements stand above"
        columns = ["", "claim", "predicted", "measured", "tolerance"]
        return Shown(f"{self.task}: verdict", (), columns, rows, sentence)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        return {
            "task": self.task,
            "margin_ratio": self.margin_ratio,
            "training_seconds": self.training_seconds,
            "holds": self.holds,
            "claims": [asdict(claim) for claim in self.claims],
        }


def judge(
    prediction: Prediction, measurement: Measurement, *, training_seconds: float | None = None
) -> Verdict:
    """Hold a measurement against a prediction.

    Examples
    --------
    >>> from marginlens.networks import construct
    >>> from marginlens.tasks import task
    >>> from marginlens.measures import measure
    >>> from marginlens.theory import predict
    >>> c5 = task("C5")
    >>> verdict = judge(predict(c5), measure(construct(c5), c5))
    >>> verdict.holds, round(verdict.margin_ratio, 12)
    (True, 1.0)
    """
    ratio = None
    at = prediction.at_penalty
    # where the network is predicted to collapse, what is left of it has no direction
    if prediction.margin is not None and (at is None or at.norm > 0):
        ratio = measurement.normalized_margin / prediction.margin
    claims = (
        *_at_penalty(prediction, measurement, ratio),
        *_features(prediction, measurement),
        *_neurons(prediction, measurement),
    )
    return Verdict(measurement.task, ratio, training_seconds, claims)


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
    if predicted is not None and measured is not None and math.isfinite(measured):
        scale = abs(predicted) if relative and predicted else 1.0
        holds = abs(measured - predicted) <= tolerance * scale
    return Claim(name, statement, predicted, measured, tolerance, relative, holds, promised, source)


def at_least(
    name: str, statement: str, measured: float | None, least: float, source: str, *, promised: bool
) -> Claim:
    """Hold a number against a lower bound, which is kept as the tolerance; no number does not hold."""
    holds = measured is not None and math.isfinite(measured) and measured >= least
    return Claim(name, statement, None, measured, least, False, holds, promised, source)


def _promised(prediction: Prediction) -> bool:
    """Whether a theorem speaks about the network that this training approaches.

    It does where the maximum margin is proved, if the penalty is the one whose limit it is and is
    too weak to make the network collapse; without a penalty named, of the maximum-margin network.
    """
    if prediction.margin is None or not prediction.proved:
        return False
    at = prediction.at_penalty
    return prediction.penalty is None or (at is not None and at.norm > 0)


def _at_penalty(
    prediction: Prediction, measured: Measurement, ratio: float | None
) -> Iterator[Claim]:
    """Loss, norm, margin and shares at the strength of the run; share of gamma*."""
    promised = _promised(prediction)
    every = f"Every input of {measured.sampled} drawn" if measured.sampled else "Every input"
    yield claim(
        "accuracy", f"{every} is answered correctly", 1.0, measured.accuracy, 0.0,
        prediction.theorem, promised=promised,
    )  # fmt: skip
    at = prediction.at_penalty
    source = _PROGRAM if prediction.proved else prediction.theorem
    if at is not None:
        strength = 0.0 if prediction.penalty is None else prediction.penalty.strength
        yield claim(
            "loss", "Cross-entropy + penalty at its minimum", at.loss,
            measured.cross_entropy + strength * measured.norm, 1e-3, source,
            promised=prediction.proved, relative=True,
        )  # fmt: skip
        for name, words, tolerance in (
            ("cross_entropy", "Cross-entropy at this penalty", 1e-3),
            ("norm", "Sum of the neurons' norms to the power nu at this penalty", 1e-3),
            ("margin", "Margin of the logits at this penalty", 5e-3),
        ):
            yield claim(
                name, words, getattr(at, name), getattr(measured, name), tolerance, source,
                promised=prediction.proved, relative=True,
            )  # fmt: skip
    if ratio is not None:
        expected = 1.0 if at is None or at.margin_ratio is None else at.margin_ratio
        yield claim(
            "margin_ratio", "Share of the maximum normalized margin reached", expected, ratio, 5e-3,
            prediction.theorem, promised=promised,
        )  # fmt: skip


def _features(prediction: Prediction, measured: Measurement) -> Iterator[Claim]:
    """Which features are used, and how much."""
    known = all(feature.least_share is not None for feature in prediction.features)
    promised = _promised(prediction)
    statuses = [feature.status for feature in prediction.features]
    must = np.array([status == "must" for status in statuses])
    used = measured.share > 0
    at = prediction.at_penalty
    shares = None
    if at is not None and at.shares:
        shares = np.array([at.shares[name] for name in measured.features])
    if must.any():
        # at a finite strength a feature of the limit may still be absent
        present = shares is None or bool((shares[must] > 0.01 / len(statuses)).all())
        yield claim(
            "must_features", "Number of features that every maximum-margin network uses, used here",
            float(must.sum()), float((used & must).sum()), 0.0, prediction.theorem,
            promised=promised and present,
        )  # fmt: skip
    cannot = np.array([status == "cannot" for status in statuses])
    if cannot.any():
        expected = 0.0 if shares is None else float(shares[cannot].sum())
        yield claim(
            "cannot_features", "Share of the norm on features that no maximum-margin network uses",
            expected, float(measured.share[cannot].sum()), 0.01, prediction.theorem, promised=promised,
        )  # fmt: skip
    if shares is not None:
        worst = float(np.abs(measured.share - shares).max())
        yield claim(
            "shares", "Largest difference between a feature's share of the norm and its prediction",
            0.0, worst, 0.01, _PROGRAM, promised=promised,
        )  # fmt: skip
    elif known:
        least = np.array([feature.least_share for feature in prediction.features], dtype=float)
        most = np.array([feature.greatest_share for feature in prediction.features], dtype=float)
        outside = np.maximum(least - measured.share, measured.share - most).max()
        yield claim(
            "shares", "Largest distance of a feature's share of the norm from its predicted range",
            0.0, max(0.0, float(outside)), 0.01, prediction.theorem,
            promised=promised,
        )  # fmt: skip


def _neurons(prediction: Prediction, measured: Measurement) -> Iterator[Claim]:
    """What each live neuron looks like."""
    live = measured.live
    promised = _promised(prediction)

    def least(values: np.ndarray) -> float | None:
        return float(values[live].min()) if live.any() else None

    if measured.subset_power is not None:
        source = f"{_PAPER}, Theorem 8"
        assert measured.magnitude_ratio is not None
        assert measured.signs_agree is not None
        for name, words, values, tolerance in (
            ("on_subset", "Least share of a neuron's input energy on the relevant coordinates",
             measured.subset_power, 0.01),
            ("equal_magnitudes", "Least ratio of the smallest to the largest relevant weight",
             measured.magnitude_ratio, 0.05),
            ("signs", "Every neuron's output sign is the product of its input signs",
             measured.signs_agree.astype(float), 0.0),
        ):  # fmt: skip
            yield claim(name, words, 1.0, least(values), tolerance, source, promised=promised)
        return
    source = f"{_PAPER}, Theorems 7 and 9; extended in marginlens.theory"
    agreeing = float(measured.agrees[live].mean()) if live.any() else None
    yield claim(
        "one_feature", "Least share of a live neuron's energy in a single feature", 1.0,
        least(measured.max_power), 0.01, source, promised=promised,
    )  # fmt: skip
    yield claim(
        "same_feature", "Share of live neurons whose inputs and output have the same feature", 1.0,
        agreeing, 0.0, source, promised=promised,
    )  # fmt: skip
    if measured.cosine_fit is not None and measured.phase_error is not None:
        source = f"{_PAPER}, Theorem 7"
        yield claim(
            "sinusoidal", "Least share of variance of a neuron's u, v and w explained by the best "
            "cosine", 1.0, least(measured.cosine_fit), 0.01, source, promised=promised,
        )  # fmt: skip
        worst = least(-measured.phase_error)
        yield claim(
            "phases_add", "Largest difference of a live neuron's input phases, added, from its "
            "output's, in radians", 0.0, None if worst is None else -worst, 0.05, source,
            promised=promised,
        )  # fmt: skip
