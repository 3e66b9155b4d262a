"""The selection law: which sets of features training selects, how often, over seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from marginlens.measures.ensembles.intervals import clopper_pearson, mean_interval
from marginlens.measures.ensembles.observables import key_set_name

__all__ = ["KeySet", "SelectionLaw", "selection_law"]

_MOST_FEATURES = 200  # 2^f sets; beyond, a tail of 1e-62 is as good as none


@dataclass(frozen=True)
class KeySet:
    """Set of features, with the frequency at which it is the key set.

    Attributes
    ----------
    features
        Positions of its features among the task's features.
    name
        Notation of the set, ``"{k=1, k=2}"``.
    count, probability
        Number of runs of which it is the key set, and their share.
    low, high
        Bounds of Clopper and Pearson's interval of this probability.
    simultaneous_low, simultaneous_high
        Bounds for all 2^f sets of f features simultaneously (Bonferroni), for comparisons between
        sets.
    """

    features: tuple[int, ...]
    name: str
    count: int
    probability: float
    low: float
    high: float
    simultaneous_low: float
    simultaneous_high: float


@dataclass(frozen=True, eq=False)
class SelectionLaw:
    """Distribution of the key set over seeds, estimated from runs.

    Attributes
    ----------
    features
        Names of the task's features.
    runs, confidence
        Number of runs, and the confidence of every interval.
    sets
        Observed key sets, the most frequent first.
    feature_count, feature_probability, feature_low, feature_high
        Runs in which each feature is key, their share, and its interval (Clopper & Pearson).
    expected_count, expected_low, expected_high
        Mean number of key features, with Student's interval.
    co_occurrence
        Runs in which two features are both key; on the diagonal ``feature_count``.

    Notes
    -----
    Levine, MAIS-A5, section 4.
    """

    features: tuple[str, ...]
    runs: int
    confidence: float
    sets: tuple[KeySet, ...]
    feature_count: Int[np.ndarray, " feature"]
    feature_probability: Float[np.ndarray, " feature"]
    feature_low: Float[np.ndarray, " feature"]
    feature_high: Float[np.ndarray, " feature"]
    expected_count: float
    expected_low: float
    expected_high: float
    co_occurrence: Int[np.ndarray, "feature feature"]

    @property
    def lift(self) -> Float[np.ndarray, "feature feature"]:
        """Ratio P(both key) / (P(one) P(other)): 1 for independent features; NaN if one never is."""
        expected = np.outer(self.feature_probability, self.feature_probability)
        seen = self.co_occurrence / self.runs
        return np.divide(seen, expected, out=np.full_like(expected, np.nan), where=expected > 0)

    @property
    def unseen_high(self) -> float:
        """Upper bound of the probability of a set never observed, at once with the sets' bounds."""
        _, high = clopper_pearson(
            np.array(0), self.runs, confidence=self.confidence, sets=_possible(len(self.features))
        )
        return float(high)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        return {
            "runs": self.runs,
            "confidence": self.confidence,
            "expected_count": self.expected_count,
            "expected_low": None if np.isnan(self.expected_low) else self.expected_low,
            "expected_high": None if np.isnan(self.expected_high) else self.expected_high,
            "sets": [asdict(one) for one in self.sets],
            "features": [
                {
                    "name": name,
                    "count": int(c),
                    "probability": float(p),
                    "low": float(lo),
                    "high": float(hi),
                }
                for name, c, p, lo, hi in zip(
                    self.features,
                    self.feature_count,
                    self.feature_probability,
                    self.feature_low,
                    self.feature_high,
                    strict=True,
                )
            ],
            "co_occurrence": self.co_occurrence.tolist(),
        }


def selection_law(
    key: Bool[np.ndarray, "run feature"], features: Sequence[str], *, confidence: float = 0.95
) -> SelectionLaw:
    """Return the selection law of the key features of all runs.

    Parameters
    ----------
    key
        Whether each feature is key in each run, shape (run, feature).
    features
        Names of the features.
    confidence
        Confidence level of the intervals.

    Raises
    ------
    ValueError
        The runs are 0, or the number of features differs from the number of columns.

    Examples
    --------
    >>> key = np.array([[True, False], [True, False], [False, True], [True, True]])
    >>> law = selection_law(key, ["k=1", "k=2"])
    >>> [(one.name, one.count) for one in law.sets], law.expected_count
    ([('{k=1}', 2), ('{k=2}', 1), ('{k=1, k=2}', 1)], 1.25)
    """
    runs, size = key.shape
    if len(features) != size:
        raise ValueError(f"{len(features)} names for {size} features; give one for each column")
    if runs == 0:
        raise ValueError("a selection law needs at least one run")
    observed = Counter(tuple(np.flatnonzero(row).tolist()) for row in key)
    ordered = sorted(observed, key=lambda one: (-observed[one], len(one), one))
    counts = np.array([observed[one] for one in ordered])
    low, high = clopper_pearson(counts, runs, confidence=confidence)
    wide = clopper_pearson(counts, runs, confidence=confidence, sets=_possible(size))
    of_feature = key.sum(0)
    feature_low, feature_high = clopper_pearson(of_feature, runs, confidence=confidence)
    mean, mean_low, mean_high = mean_interval(key.sum(1), confidence=confidence)
    numbers = key.astype(np.int64)
    return SelectionLaw(
        features=tuple(features),
        runs=runs,
        confidence=confidence,
        sets=tuple(
            KeySet(
                features=one,
                name=key_set_name(features, np.isin(np.arange(size), one)),
                count=observed[one],
                probability=observed[one] / runs,
                low=float(low[i]),
                high=float(high[i]),
                simultaneous_low=float(wide[0][i]),
                simultaneous_high=float(wide[1][i]),
            )
            for i, one in enumerate(ordered)
        ),
        feature_count=of_feature,
        feature_probability=of_feature / runs,
        feature_low=feature_low,
        feature_high=feature_high,
        expected_count=mean,
        expected_low=mean_low,
        expected_high=mean_high,
        co_occurrence=numbers.T @ numbers,
    )


def _possible(size: int) -> int:
    """Number of sets of so many features."""
    return 2 ** min(size, _MOST_FEATURES)
