"""Comparison of a prediction with a measurement: claims, premises, and a summary."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from marginlens.errors import MarginLensError
from marginlens.measures import Measurement
from marginlens.theory import Prediction
from marginlens.verdict.claims import Claim, claim
from marginlens.verdict.excess import BELOW, Excess
from marginlens.verdict.premises import FOLDER, Premise, TrainingFacts
from marginlens.verdict.record import Verdict
from marginlens.verdict.summary import summarize

__all__ = ["compare"]

_PAPER = "Morwani et al. 2024"
_PROGRAM = "convex program of the irrep masses (marginlens.theory)"
_LOSS = 1e-3  # relative tolerance of the loss
_MARGIN = 5e-3  # tolerance of the share of the maximum margin
_TRAINED_MARGIN = 1e-3  # the same where the margin itself is trained
_TRAINED = "objective of the smoothed least margin (marginlens.training)"


def compare(
    prediction: Prediction,
    measurement: Measurement,
    *,
    training_seconds: float | None = None,
    facts: TrainingFacts | None = None,
) -> Verdict:
    """Compare a measurement with a prediction, claim by claim.

    A failing claim is contradicted only if no network with a loss that close to the minimum can
    have this measurement (:class:`marginlens.verdict.excess.Excess`). Otherwise a premise is not
    met, at least that training has reached the minimum. So unfinished, stuck and narrow networks
    never contradict the theory. A claim without a measurement, such as one about the neurons of a
    black box, is unknown, with the reason.

    Parameters
    ----------
    prediction
        Prediction for the task, activation and penalty that the network was trained with.
    measurement
        Measurement of the network over all rows.
    training_seconds
        Duration of training, in seconds.
    facts
        Facts about the training of the network; ``None`` stands for finished training on all rows.

    Returns
    -------
    Verdict
        Claims with their statuses, premises, and a summary of the outcome.

    Raises
    ------
    MarginLensError
        The measurement is of another task, or is not a measurement.

    Examples
    --------
    >>> from marginlens.networks import construct
    >>> from marginlens.tasks import task
    >>> from marginlens.measures import measure
    >>> from marginlens.theory import predict
    >>> c5 = task("C5")
    >>> verdict = compare(predict(c5), measure(construct(c5), c5))
    >>> verdict.holds, verdict.status, round(verdict.margin_ratio, 12)
    (True, 'passes', 1.0)
    """
    _require_comparable(prediction, measurement)
    facts = _completed(facts or TrainingFacts(), prediction, measurement)
    setting = _Setting.of(prediction, measurement, facts)
    at = prediction.at_penalty
    # where the network is predicted to collapse, what is left of it has no direction
    has_ratio = (
        prediction.margin is not None and (at is None or at.norm > 0) and not measurement.non_finite
    )
    ratio = None
    if has_ratio and prediction.margin and measurement.normalized_margin is not None:
        ratio = measurement.normalized_margin / prediction.margin
    is_parity = any(feature.type == "coordinate" for feature in prediction.features)
    # irreps are named by frequencies where the group is cyclic
    is_cyclic = all(name.startswith("k=") for name in measurement.features)
    claims = [
        *_at_penalty(prediction, measurement, ratio, setting, has_ratio=has_ratio),
        *_adversary(prediction, facts, setting),
        *_features(prediction, measurement, setting),
        *_neurons(measurement, setting, is_parity=is_parity, is_cyclic=is_cyclic),
    ]
    claims = [_with_reason(one, measurement) for one in claims]
    premises = _premises(prediction, measurement, facts, setting)
    excess = None
    known = measurement.neurons is not None and measurement.norm is not None
    if setting.covered and known and not measurement.sampled and not measurement.non_finite:
        excess = Excess(prediction, measurement, facts.upper_bound)
    claims = [_costed(one, excess, setting) for one in claims]
    if setting.covered and not measurement.non_finite:
        premises.append(_minimum(claims, excess, setting, limit=at is None))
    claims = [_with_status(one, premises, excess, setting) for one in claims]
    verdict = Verdict(
        measurement.task, ratio, training_seconds, tuple(claims), tuple(premises), "-"
    )
    words = summarize(verdict, prediction, measurement, facts)
    here = words if facts.folder is None else words.replace(FOLDER, shlex.quote(facts.folder))
    return replace(verdict, summary=here, portable_summary=words)


def _require_comparable(prediction: Prediction, measurement: Measurement) -> None:
    if not isinstance(measurement, Measurement):
        raise MarginLensError(
            f"expected a measurement, got {type(measurement).__name__}; for example "
            "ml.compare(prediction, ml.measure(model, task))"
        )
    if tuple(feature.name for feature in prediction.features) != measurement.features:
        raise MarginLensError(
            f"expected a prediction and a measurement of one task, got {prediction.task} and "
            f"{measurement.task}; for example ml.measure(model, {prediction.task!r})"
        )


def _completed(
    facts: TrainingFacts, prediction: Prediction, measurement: Measurement
) -> TrainingFacts:
    """Complete the facts by the reason why no theorem covers the network, from its weights."""
    if facts.uncovered:
        return facts
    why = measurement.uncovered
    if measurement.activation is not None and measurement.activation != prediction.activation:
        why = f"the activation {measurement.activation} on {measurement.task}"
    return replace(facts, uncovered=why)


_PARTS = {
    **dict.fromkeys(("loss", "norm"), "norm"),
    "margin_ratio": "normalized_margin",
    **dict.fromkeys(("accuracy", "cross_entropy", "margin", "upper_bound"), ""),
}
"""What a claim needs of a measurement, by the claim's name; ``neurons`` where it is not here."""


def _with_reason(one: Claim, measurement: Measurement) -> Claim:
    """Add the reason to a claim whose measurement needs unknown weights."""
    reason = measurement.unknown.get(_PARTS.get(one.name, "neurons"), "")
    return replace(one, reason=reason) if one.measured is None and reason else one


@dataclass(frozen=True)
class _Setting:
    """Guarantees of the theorems for a network, its features, and its rows."""

    covered: bool  # a theorem speaks of this task, activation, network and penalty
    guaranteed: bool  # and of its rows, and of the strength to which the penalty fell
    collapses: bool  # the minimum is the zero network
    all_must: bool = True  # at this strength each feature that must be used in the limit is used
    margin_tolerance: float = _MARGIN  # of the share of the maximum margin

    @classmethod
    def of(cls, prediction: Prediction, measurement: Measurement, facts: TrainingFacts) -> _Setting:
        at = prediction.at_penalty
        covered = (
            prediction.margin is not None
            and prediction.proved
            and not facts.uncovered
            and (prediction.penalty is None or at is not None)
        )
        rows = not facts.other_rows and not measurement.sampled
        all_must = True
        if at is not None and at.shares:
            must = [one.name for one in prediction.features if one.status == "must"]
            least = 0.01 / max(1, len(prediction.features))
            all_must = all(at.shares[name] > least for name in must)
        return cls(
            covered=covered,
            guaranteed=covered and rows and facts.path_ended,
            collapses=at is not None and at.norm == 0,
            all_must=all_must,
            margin_tolerance=_TRAINED_MARGIN if facts.trains_margin else _MARGIN,
        )

    @property
    def promised(self) -> bool:
        """True if a theorem guarantees claims about a nonzero network."""
        return self.guaranteed and not self.collapses


def _premises(
    prediction: Prediction, measured: Measurement, facts: TrainingFacts, setting: _Setting
) -> list[Premise]:
    """Return all premises except that of the minimum."""
    found = [
        Premise(
            "finite",
            "Every weight is a finite number",
            not measured.non_finite,
            float(measured.non_finite),
            0.0,
        ),
        Premise(
            "theorem",
            "A theorem covers the task, the activation, the network and the penalty",
            setting.covered,
        ),
    ]
    if not setting.covered:
        return found
    rows = not facts.other_rows and not measured.sampled
    found.append(
        Premise(
            "rows", "Every row is trained on, with its right answer", rows, facts.rows_share, 1.0
        )
    )
    penalty, collapse = prediction.penalty, prediction.collapse_penalty
    if penalty is not None and collapse is not None:
        found.append(
            Premise(
                "strength",
                "The penalty's strength is below the one at which networks collapse",
                penalty.strength < collapse,
                penalty.strength,
                collapse,
            )
        )
    if not facts.path_ended:
        found.append(
            Premise(
                "path",
                "The penalty has fallen to the strength that is predicted for",
                False,
                float(facts.step),
                0.75 * facts.steps,
            )
        )
    if facts.last_loss and penalty is not None:
        loss = measured.objective(penalty.strength)
        apart = abs(loss / facts.last_loss - 1)
        if apart > _LOSS:
            words = (
                "The weights are those that training ended with: their loss is the last recorded"
            )
            found.append(Premise("weights", words, False, loss, facts.last_loss))
    if prediction.sufficient_width is not None:
        neurons, needed = measured.neurons, prediction.sufficient_width
        width = None if neurons is None else float(len(neurons.live))
        found.append(
            Premise(
                "width",
                "The width suffices for a network of maximum margin",
                None if width is None else width >= needed,
                width,
                float(needed),
            )
        )
    return found


def _costed(one: Claim, excess: Excess | None, setting: _Setting) -> Claim:
    """Add the least excess of networks with this measurement to a failing claim."""
    if one.holds or one.measured is None or excess is None or not setting.covered:
        return one
    least = excess.least(one.name)
    return replace(one, least_excess=least if math.isfinite(least) else None)


def _is_impossible(one: Claim, excess: Excess | None) -> bool:
    """Return whether no network that close to the minimum can have this measurement."""
    if one.holds or one.measured is None or excess is None:
        return False
    return excess.relative < excess.least(one.name) - excess.noise


def _minimum(
    claims: list[Claim], excess: Excess | None, setting: _Setting, *, limit: bool
) -> Premise:
    """Return the premise that training has reached the minimum, as closely as the claims need."""
    words = "Training has reached the minimum of the loss"
    if limit:
        words = "The network has the maximum margin"
    if excess is None:
        return Premise("minimum", words, None)
    needed = setting.margin_tolerance if limit else _LOSS
    failing = [
        one.least_excess
        for one in claims
        if one.promised
        and one.least_excess is not None
        and not _is_impossible(one, excess)
        and one.name not in ("loss", "margin_ratio" if limit else "")
    ]
    if excess.relative > needed:
        return Premise("minimum", words, False, excess.relative, needed)
    return Premise(
        "minimum", words, not failing, excess.relative, max(0.0, min([needed, *failing]))
    )


def _with_status(
    one: Claim, premises: list[Premise], excess: Excess | None, setting: _Setting
) -> Claim:
    absent = one.name == "must_features" and not setting.all_must and not setting.collapses
    if not setting.covered or absent:
        return replace(one, status="not covered")
    if one.holds:
        return replace(one, status="passes")
    if one.reason:
        return replace(one, status="unknown")
    if _is_impossible(one, excess):
        return replace(one, status="contradicted")
    if any(premise.met is False for premise in premises):
        return replace(one, status="premise not met")
    return replace(one, status="unknown")


def _at_penalty(
    prediction: Prediction,
    measured: Measurement,
    ratio: float | None,
    setting: _Setting,
    *,
    has_ratio: bool,
) -> Iterator[Claim]:
    """Yield claims on loss, norm, margin and shares at the run's penalty; share of gamma*."""
    every = f"Every input of {measured.sampled} drawn" if measured.sampled else "Every input"
    yield claim(
        "accuracy",
        f"{every} is answered correctly",
        1.0,
        measured.accuracy,
        0.0,
        prediction.theorem,
        promised=setting.promised,
    )
    at = prediction.at_penalty
    source = _PROGRAM if prediction.proved else prediction.theorem
    if at is not None:
        strength = 0.0 if prediction.penalty is None else prediction.penalty.strength
        loss = claim(
            "loss",
            "Cross-entropy + penalty at its minimum",
            at.loss,
            measured.objective(strength),
            _LOSS,
            source,
            promised=setting.guaranteed,
            relative=True,
        )
        # within the tolerance, and still below what any network can reach
        below = loss.measured is not None and loss.measured < at.loss * (1 - BELOW)
        yield replace(loss, holds=False) if below and setting.covered else loss
        for name, words, tolerance in (
            ("cross_entropy", "Cross-entropy at this penalty", 1e-3),
            ("norm", "Sum of the neurons' norms to the power nu at this penalty", 1e-3),
            ("margin", "Margin of the logits at this penalty", 5e-3),
        ):
            yield claim(
                name,
                words,
                getattr(at, name),
                getattr(measured, name),
                tolerance,
                source,
                promised=setting.guaranteed,
                relative=True,
            )
    if has_ratio:
        expected = 1.0 if at is None or at.margin_ratio is None else at.margin_ratio
        reached = claim(
            "margin_ratio",
            "Share of the maximum normalized margin reached",
            expected,
            ratio,
            setting.margin_tolerance,
            prediction.theorem,
            promised=setting.promised,
        )
        above = ratio is not None and ratio > 1 + BELOW and setting.covered
        yield replace(reached, holds=False) if above else reached


def _adversary(prediction: Prediction, facts: TrainingFacts, setting: _Setting) -> Iterator[Claim]:
    """Yield the claim on the upper bound of gamma* that margin training proved."""
    if facts.upper_bound is None or prediction.margin is None:
        return
    yield claim(
        "upper_bound",
        "Upper bound of γ* from the learned adversary, over γ*",
        1.0,
        facts.upper_bound / prediction.margin,
        _TRAINED_MARGIN,
        _TRAINED,
        promised=setting.promised,
    )


def _features(prediction: Prediction, measured: Measurement, setting: _Setting) -> Iterator[Claim]:
    """Yield claims on the used features and their shares of the norm."""
    known = all(feature.least_share is not None for feature in prediction.features)
    promised = setting.promised
    statuses = [feature.status for feature in prediction.features]
    must = np.array([status == "must" for status in statuses])
    share = None if measured.neurons is None else measured.neurons.share
    at = prediction.at_penalty
    shares = None
    if at is not None and at.shares:
        shares = np.array([at.shares[name] for name in measured.features])
    if must.any():
        yield claim(
            "must_features",
            "Number of features that every maximum-margin network uses, used here",
            float(must.sum()),
            None if share is None else float(((share > 0) & must).sum()),
            0.0,
            prediction.theorem,
            promised=promised and setting.all_must,
        )
    cannot = np.array([status == "cannot" for status in statuses])
    if cannot.any():
        expected = 0.0 if shares is None else float(shares[cannot].sum())
        yield claim(
            "cannot_features",
            "Share of the norm on features that no maximum-margin network uses",
            expected,
            None if share is None else float(share[cannot].sum()),
            0.01,
            prediction.theorem,
            promised=promised,
        )
    if shares is not None:
        worst = None if share is None else float(np.abs(share - shares).max())
        yield claim(
            "shares",
            "Largest difference between a feature's share of the norm and its prediction",
            0.0,
            worst,
            0.01,
            _PROGRAM,
            promised=promised,
        )
    elif known:
        least = np.array([feature.least_share for feature in prediction.features], dtype=float)
        most = np.array([feature.greatest_share for feature in prediction.features], dtype=float)
        outside = None
        if share is not None:
            outside = max(0.0, float(np.maximum(least - share, share - most).max()))
        yield claim(
            "shares",
            "Largest distance of a feature's share of the norm from its predicted range",
            0.0,
            outside,
            0.01,
            prediction.theorem,
            promised=promised,
        )


def _neurons(
    measured: Measurement, setting: _Setting, *, is_parity: bool, is_cyclic: bool
) -> Iterator[Claim]:
    """Yield claims on the shape of each live neuron."""
    neurons, promised = measured.neurons, setting.promised

    def least(name: str, sign: float = 1.0) -> float | None:
        values = None if neurons is None else getattr(neurons, name)
        if neurons is None or values is None or not neurons.live.any():
            return None
        return float((sign * values[neurons.live]).min())

    if is_parity:
        source = f"{_PAPER}, Theorem 8"
        for name, words, part, tolerance in (
            (
                "on_subset",
                "Least share of a neuron's input energy on the relevant coordinates",
                "subset_power",
                0.01,
            ),
            (
                "equal_magnitudes",
                "Least ratio of the smallest to the largest relevant weight",
                "magnitude_ratio",
                0.05,
            ),
            (
                "signs",
                "Every neuron's output sign is the product of its input signs",
                "signs_agree",
                0.0,
            ),
        ):
            yield claim(name, words, 1.0, least(part), tolerance, source, promised=promised)
        return
    source = f"{_PAPER}, Theorems 7 and 9; extended in marginlens.theory"
    agreeing = None
    if neurons is not None and neurons.live.any():
        agreeing = float(neurons.agrees[neurons.live].mean())
    yield claim(
        "one_feature",
        "Least share of a live neuron's energy in a single feature",
        1.0,
        least("max_power"),
        0.01,
        source,
        promised=promised,
    )
    yield claim(
        "same_feature",
        "Share of live neurons whose inputs and output have the same feature",
        1.0,
        agreeing,
        0.0,
        source,
        promised=promised,
    )
    if is_cyclic:
        source = f"{_PAPER}, Theorem 7"
        yield claim(
            "sinusoidal",
            "Least share of variance of a neuron's u, v and w explained by the best cosine",
            1.0,
            least("cosine_fit"),
            0.01,
            source,
            promised=promised,
        )
        worst = least("phase_error", -1.0)
        yield claim(
            "phases_add",
            "Largest difference of a live neuron's input phases, added, from its "
            "output's, in radians",
            0.0,
            None if worst is None else -worst,
            0.05,
            source,
            promised=promised,
        )
