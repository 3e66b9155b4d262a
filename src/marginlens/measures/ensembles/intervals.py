"""Confidence intervals of proportions, means and medians."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy import special

__all__ = ["clopper_pearson", "mean_interval", "median_interval", "wilson"]

Counts = Int[np.ndarray, "*shape"]
Bounds = tuple[Float[np.ndarray, "*shape"], Float[np.ndarray, "*shape"]]


def clopper_pearson(count: Counts, runs: int, *, confidence: float = 0.95, sets: int = 1) -> Bounds:
    r"""Return the exact interval of a proportion, which has at least the confidence.

    The bounds are quantiles of beta distributions, $B_{\alpha/2}(x, n - x + 1)$ and
    $B_{1-\alpha/2}(x + 1, n - x)$ (Clopper & Pearson 1934).

    Parameters
    ----------
    count, runs
        Number x of successes, and number n of runs.
    confidence
        Confidence level, 1 - alpha.
    sets
        Number of proportions to be covered simultaneously: alpha is divided by it (Bonferroni).

    Raises
    ------
    ValueError
        The runs are 0, a count is not in 0 to runs, or the confidence is invalid.

    Examples
    --------
    >>> low, high = clopper_pearson(np.array([0, 50]), 100)
    >>> low.round(4), high.round(4)
    (array([0.    , 0.3983]), array([0.0362, 0.6017]))
    """
    count = _checked(count, runs, confidence)
    if sets < 1:
        raise ValueError(f"sets is {sets}, but must be at least 1: take 1 for a single proportion")
    tail = (1 - confidence) / 2 / sets
    low = np.where(
        count == 0, 0.0, special.betaincinv(np.maximum(count, 1), runs - count + 1, tail)
    )
    high = np.where(
        count == runs, 1.0, special.betainccinv(count + 1, np.maximum(runs - count, 1), tail)
    )
    return low, high


def wilson(count: Counts, runs: int, *, confidence: float = 0.95) -> Bounds:
    r"""Return the interval of a proportion from inverting the normal test (Wilson 1927).

    $\big(\hat p + z^2/2n \pm z\sqrt{\hat p(1-\hat p)/n + z^2/4n^2}\big) / (1 + z^2/n)$: narrower
    than Clopper and Pearson's, and right on average, not always.

    Parameters
    ----------
    count, runs
        Number of successes, and number n of runs.
    confidence
        Confidence level, 1 - alpha.

    Examples
    --------
    >>> low, high = wilson(np.array([50]), 100)
    >>> low.round(4), high.round(4)
    (array([0.4038]), array([0.5962]))
    """
    share = _checked(count, runs, confidence) / runs
    z = float(special.ndtri((1 + confidence) / 2))
    centre = share + z**2 / (2 * runs)
    width = z * np.sqrt(share * (1 - share) / runs + z**2 / (4 * runs**2))
    scale = 1 + z**2 / runs
    low, high = (centre - width) / scale, (centre + width) / scale
    return np.asarray(np.maximum(low, 0.0)), np.asarray(np.minimum(high, 1.0))


def mean_interval(
    values: Float[np.ndarray, " run"] | Int[np.ndarray, " run"], *, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Return a mean with its Student interval; the bounds are NaN for a single run.

    The interval of identical values has width 0, although their mean may be uncertain.

    Parameters
    ----------
    values
        One value per run, shape (run,).
    confidence
        Confidence level, 1 - alpha.

    Raises
    ------
    ValueError
        The values are empty, or the confidence is invalid.

    Examples
    --------
    >>> [round(x, 3) for x in mean_interval(np.array([1.0, 2.0, 3.0]))]
    [2.0, -0.484, 4.484]
    """
    runs = len(values)
    if runs == 0:
        raise ValueError("a mean needs at least one run")
    _check_confidence(confidence)
    mean = float(np.mean(values))
    if runs == 1:
        return mean, float("nan"), float("nan")
    quantile = special.stdtrit(runs - 1, (1 + confidence) / 2)
    half = float(quantile * np.std(values, ddof=1) / np.sqrt(runs))
    return mean, mean - half, mean + half


def median_interval(
    values: Float[np.ndarray, " run"], *, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Return a median with an exact, distribution-free interval from order statistics.

    The k-th least and k-th greatest value, with the largest k for which P(Bin(n, 1/2) < k) is at
    most half of 1 - confidence. Values may be infinite: an event outside the training counts as
    later than all others. With fewer than 6 runs the 95 % interval does not exist: its ends are
    NaN.

    Parameters
    ----------
    values
        One value per run, shape (run,); infinity for an event outside the training.
    confidence
        Confidence level, 1 - alpha.

    Raises
    ------
    ValueError
        The values are empty, one is NaN, or the confidence is invalid.

    Examples
    --------
    >>> median_interval(np.array([3.0, 1.0, 2.0, 5.0, 4.0, np.inf]))
    (3.5, 1.0, inf)
    """
    runs = len(values)
    if runs == 0 or np.isnan(values).any():
        raise ValueError(
            "expected values of at least one run without NaN; for an event outside the "
            "training give inf"
        )
    _check_confidence(confidence)
    ordered = np.sort(values)
    below, above = float(ordered[(runs - 1) // 2]), float(ordered[runs // 2])
    median = above if np.isinf(above) else (below + above) / 2
    tails = special.bdtr(np.arange(runs), runs, 0.5)  # P(Bin <= 0), P(Bin <= 1), ...
    k = int((tails <= (1 - confidence) / 2).sum())
    if k == 0:
        return median, float("nan"), float("nan")
    return median, float(ordered[k - 1]), float(ordered[runs - k])


def _checked(count: Counts, runs: int, confidence: float) -> Counts:
    if runs < 1:
        raise ValueError("a proportion needs at least one run")
    _check_confidence(confidence)
    counts = np.asarray(count)
    if (counts < 0).any() or (counts > runs).any():
        raise ValueError(f"counts must be from 0 to {runs}, the number of runs")
    return counts


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, but must lie between 0 and 1: take 0.95")
