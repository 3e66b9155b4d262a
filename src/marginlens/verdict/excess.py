"""Excess of a network over the minimum, and the least excess at which a claim may fail."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float

from marginlens.errors import MarginLensError
from marginlens.measures import Measurement
from marginlens.theory import AtPenalty, MassBounds, Prediction

__all__ = ["BELOW", "Excess"]

BELOW = 1e-6
"""A loss so much below the minimum, relatively, is no rounding error of float32."""

_NOISE = 1e-9
_DISAGREEING = math.sqrt(0.5)  # the most that a neuron earns whose slots peak at different features


class Excess:
    """Excess of a network over the minimum, and the least excess of each failing claim.

    At a penalty the objective is convex in the measure of neurons, and at its minimum every unit
    neuron earns at most lambda. For every network, of any width and however it was trained,

        objective - minimum = mean KL(p* || p) + sum_i ||omega_i||^nu (lambda - g(omega_i)),

    with p* the softmax at the minimum and g <= lambda the gain of a unit neuron against it. Both
    sums are at least 0, so each failing claim has a cost: defective neurons have a smaller gain, a
    wrong answer has a KL divergence, and by :class:`marginlens.theory.MassBounds` so do features
    with other masses. A network whose excess is below the cost of its measurement contradicts the
    theory; one with a larger excess is too far from the minimum for the claim.

    Without a penalty the minimum is the maximum margin, the excess is 1 - margin / gamma*, and the
    same inequality reads sum_i ||omega_i||^nu (1 - g(omega_i) / gamma*) <= excess * norm.

    Parameters
    ----------
    prediction
        Prediction with a maximum margin, and with the minimum at the penalty if one is given.
    measured
        Measurement over all rows of the table, with its norm and neurons.
    upper_bound
        Upper bound of gamma* that training proved, or ``None``.

    Attributes
    ----------
    relative
        Relative excess: (objective - minimum) / minimum, or 1 - margin / gamma* without a penalty.

    Notes
    -----
    Derived in :mod:`marginlens.theory`, "How far a network is from the minimum".
    """

    def __init__(
        self, prediction: Prediction, measured: Measurement, upper_bound: float | None = None
    ) -> None:
        if prediction.margin is None or prediction.mass_bounds is None:
            raise MarginLensError(f"no theorem gives the minimum of {prediction.task}")
        if measured.norm is None or measured.normalized_margin is None or measured.degree is None:
            raise MarginLensError(f"the norm of {measured.subject} is unknown")
        self._norm, self._normalized = measured.norm, measured.normalized_margin
        self._degree = float(measured.degree)
        self._measured = measured
        self._bounds: MassBounds = prediction.mass_bounds
        self._at: AtPenalty | None = prediction.at_penalty
        self._margin = prediction.margin
        self._bound = math.inf if upper_bound is None else upper_bound / prediction.margin
        self._strength = 0.0 if prediction.penalty is None else prediction.penalty.strength
        self._norm_masses = measured.neuron_norms**self._degree
        if self._at is None:
            self.relative = 1.0 - self._normalized / self._margin
        else:
            loss = measured.objective(self._strength)
            self.relative = (loss - self._at.loss) / self._at.loss
        self.noise = _NOISE + (0.0 if self._at is None else self._at.gap)

    def least(self, name: str) -> float:
        """Return the least relative excess of any network with a failing claim's measurement.

        It is infinite if no network has this measurement, and 0 if the claim is about the excess
        itself.

        Parameters
        ----------
        name
            Name of the claim, as in :func:`marginlens.verdict.compare`.
        """
        match name:
            case "loss":
                return math.inf if self.relative < -BELOW else 0.0
            case "upper_bound":
                # no network is too bad for its adversary; but what is proved cannot be below gamma*
                return math.inf if self._bound < 1 - BELOW else 0.0
            case "accuracy":
                return self._wrong_answers()
            case "margin" | "margin_ratio":
                return max(self._of_margin(), self._of_masses())
            case "norm" | "cross_entropy" | "shares" | "must_features" | "cannot_features":
                return self._of_masses()
            case _:
                return self._of_neurons(name)

    def _of_masses(self) -> float:
        """Return the excess of the best network with these masses."""
        measured = self._measured
        masses = measured.share * self._norm
        live = measured.live
        if measured.subset_power is None and live.any():
            # what a neuron earns in a feature is at most its mass times the energy there to the power
            # nu / 2: less in its dominant feature than its mass, and a little in the others
            own = self._norm_masses[live]
            earned = own[:, None] * measured.spectrum["all"][live] ** (self._degree / 2)
            rows, dominant = np.arange(len(own)), measured.dominant[live]
            count = len(masses)
            pure = np.bincount(dominant, earned[rows, dominant], count)
            whole = np.bincount(dominant, own, count)
            masses = masses * np.where(whole > 0, pure / np.maximum(whole, 1e-300), 1.0)
            earned[rows, dominant] = 0.0
            masses = masses + earned.sum(0)
        masses = masses + float(self._norm_masses[~live].sum())  # of features that are not measured
        if self._at is None:
            norm = max(self._norm, 1e-300)
            return 1.0 - self._bounds.greatest_margin(masses) / (norm * self._margin)
        least = self._bounds.least_cross_entropy(masses) + self._strength * self._norm
        return (least - self._at.loss) / self._at.loss

    def _of_margin(self) -> float:
        """Return the excess due to the margin: by a bound above, by the divergence on either side."""
        at = self._at
        margin = self._normalized * self._norm
        if margin > self._margin * self._norm * (1 + BELOW):
            return math.inf
        if at is None:
            return 0.0
        cost = self._divergence(margin) / at.loss
        return cost if margin > at.margin else cost / self._bounds.rows

    def _wrong_answers(self) -> float:
        measured, at = self._measured, self._at
        if at is None:
            return math.inf if measured.margin > 0 else 1.0
        return (1.0 - measured.accuracy) * self._divergence(0.0) / at.loss

    def _divergence(self, lead: float) -> float:
        """Return the least KL divergence from p* of a row with this lead of the right answer."""
        at = self._at
        assert at is not None
        total = math.exp(-at.cross_entropy) * (1 + math.exp(-at.margin))
        here, there = -np.logaddexp(0.0, at.margin), -np.logaddexp(0.0, lead)  # log of wrong
        here_right, there_right = here + at.margin, there + lead
        kl = math.exp(here) * (here - there) + math.exp(here_right) * (here_right - there_right)
        return total * max(0.0, float(kl))

    def _of_neurons(self, name: str) -> float:
        """Return the excess due to defective neurons."""
        measured = self._measured
        chosen, defect = self._defects(name)
        chosen = chosen & measured.live
        cost = float((self._norm_masses[chosen] * defect[chosen]).sum())
        if self._at is None:
            return cost / max(self._norm, 1e-300)
        return self._strength * cost / self._at.loss

    def _defects(
        self, name: str
    ) -> tuple[Bool[np.ndarray, " neuron"], Float[np.ndarray, " neuron"]]:
        """Return the neurons that fail a claim, and the least relative loss of gain of each."""
        measured, nu = self._measured, self._degree
        power = np.nan_to_num(measured.max_power)
        if name == "one_feature":
            return power < 0.99, 1 - power ** (nu / 2 - 1)
        if name == "same_feature":
            return ~measured.agrees, np.full(len(power), 1 - _DISAGREEING if nu > 2 else 0.0)
        if name == "sinusoidal" and measured.cosine_fit is not None:
            fit = np.nan_to_num(measured.cosine_fit)
            least = 1 - np.sqrt(np.maximum(fit, 0.5))
            return fit < 0.99, least if nu > 2 else np.zeros_like(least)
        if name == "phases_add" and measured.phase_error is not None:
            error = np.nan_to_num(measured.phase_error)
            # with the cosine below 0 it earns most where one of its slots is next to nothing
            aligned = np.maximum(np.cos(error), 0.0)
            earned = power ** (nu / 2) * aligned + (1 - power) ** (nu / 2)
            return error > 0.05, 1 - earned
        assert measured.subset_power is not None
        assert measured.magnitude_ratio is not None
        assert measured.signs_agree is not None
        if name == "on_subset":
            share = measured.subset_power
            return share < 0.99, 1 - share ** ((nu - 1) / 2)
        if name == "equal_magnitudes":
            ratio = measured.magnitude_ratio
            return ratio < 0.95, (1 - ratio) ** 2 / (1 + ratio**2)
        return ~measured.signs_agree, np.ones(len(power))
