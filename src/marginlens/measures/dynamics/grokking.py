"""Grokking: when a network has memorised, when it generalises, and the stages between."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from marginlens.measures.ensembles.intervals import clopper_pearson, median_interval

__all__ = ["Grokking", "Stages", "find_stages", "first_held", "grokking", "onset_of_fall"]

THRESHOLD = 0.99
HOLD = 5

Steps = Int[np.ndarray, " record"]
Curve = Float[np.ndarray, " record"]


@dataclass(frozen=True)
class Stages:
    """First and last steps of one member's stages; ``None`` for stages outside the training.

    Attributes
    ----------
    memorised, generalised
        First step at which train and test accuracy are held (:func:`first_held`).
    formation
        Step at which memorisation ends and circuit formation begins: ``memorised``, or, given the
        excluded loss, the step of its minimum before the clean-up.
    clean_up
        Step at which the steep fall of the test cross-entropy begins (:func:`onset_of_fall`);
        clean-up ends at ``generalised``. ``None`` if the network does not generalise after it
        memorised.
    circuit
        Step at which the restricted loss begins to fall, if it is given.
    last
        Last step of the curves.
    """

    memorised: int | None
    generalised: int | None
    formation: int | None
    clean_up: int | None
    circuit: int | None
    last: int

    @property
    def delay(self) -> int | None:
        """Steps from train to test accuracy."""
        if self.memorised is None or self.generalised is None:
            return None
        return self.generalised - self.memorised

    @property
    def ratio(self) -> float | None:
        """Ratio of the steps until generalisation to the steps until memorisation."""
        if self.memorised is None or self.generalised is None or self.memorised == 0:
            return None
        return self.generalised / self.memorised

    def spans(self) -> list[tuple[str, int, int]]:
        """Name, first and last step of each observed stage; the last may be unfinished.

        If both accuracies are held at the same time, the only stage is memorisation. Circuit
        formation is named only once the network has generalised.
        """
        ends = [
            ("memorisation", self.formation),
            ("circuit formation", self.clean_up),
            ("clean-up", self.generalised),
        ]
        if self.generalised is None:
            ends[1] = ("not generalised yet", None)
        elif self.clean_up is None:
            ends = ends[:1]
        found, start = [], 0
        for name, end in ends:
            stop = self.last if end is None else end
            if stop > start:
                found.append((name, start, stop))
            if end is None:
                break
            start = stop
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the stages as plain values for JSON."""
        return {
            "memorised": self.memorised,
            "generalised": self.generalised,
            "delay": self.delay,
            "ratio": self.ratio,
            "formation": self.formation,
            "clean_up": self.clean_up,
            "circuit": self.circuit,
            "last": self.last,
        }


@dataclass(frozen=True, eq=False)
class Grokking:
    """Stages of every member, with statistics over the members.

    Attributes
    ----------
    stages
        Stages of each member.
    threshold
        Accuracy that counts as learned.
    grokked
        Whether the member both memorised and generalised within the steps.
    share
        Share of members that grokked, and its 95 % interval (Clopper and Pearson).
    delay, ratio
        Median over members and its 95 % interval, from order statistics: a member that did not
        generalise counts as one whose delay is longer than all seen, so a median or bound may be
        infinite ("not within the steps"); nan where no member memorised, or they are too few.
    """

    stages: tuple[Stages, ...]
    threshold: float
    grokked: Bool[np.ndarray, " member"]
    share: tuple[float, float, float]
    delay: tuple[float, float, float]
    ratio: tuple[float, float, float]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; infinity is null, with the number of steps beside it."""
        names = ("median", "low", "high")
        return {
            "members": len(self.stages),
            "threshold": self.threshold,
            "grokked": int(self.grokked.sum()),
            "share": dict(zip(("share", "low", "high"), self.share, strict=True)),
            "delay": dict(zip(names, map(_finite, self.delay), strict=True)),
            "ratio": dict(zip(names, map(_finite, self.ratio), strict=True)),
            "steps": max(one.last for one in self.stages),
            "stages": [one.to_dict() for one in self.stages],
        }


def first_held(
    steps: Steps, accuracy: Curve, *, threshold: float = THRESHOLD, hold: int = HOLD
) -> int | None:
    """Return the first step from which an accuracy stays above a threshold for some records.

    Towards the end of training the remaining records suffice. A single record above the threshold
    may be luck; a later one below it (such as a spike of Adam's loss) does not count as forgetting.

    Parameters
    ----------
    steps
        Steps of the records, shape (record,).
    accuracy
        Accuracy at each record, shape (record,).
    threshold
        Least accuracy that counts as learned.
    hold
        Number of consecutive records above the threshold.

    Examples
    --------
    >>> accuracy = np.array([0.2, 1.0, 0.5, 0.99, 1.0, 1.0])
    >>> first_held(np.arange(6) * 10, accuracy, hold=3)
    30
    """
    if hold < 1 or not 0 < threshold <= 1:
        raise ValueError(
            f"threshold {threshold} and hold {hold} must be in (0, 1] and at least 1: take 0.99 and 5"
        )
    above = accuracy >= threshold
    for i in np.flatnonzero(above):
        if above[i : i + hold].all():
            return int(steps[i])
    return None


def onset_of_fall(
    steps: Steps, loss: Curve, *, start: int = 0, end: int | None = None
) -> int | None:
    r"""Return the step at which the steep fall of a loss begins, by the tangent method.

    The tangent method estimates the lag of a growth curve. With $y = \log$ loss between ``start``
    and ``end``: the tangent where y falls fastest, its slope taken over a hundredth of the records
    to either side (at least one), is followed back to the height of the greatest y before it. It is
    no earlier than that.

    Parameters
    ----------
    steps, loss
        Steps and values of the curve, shape (record,); the loss is above 0.
    start, end
        First and last step of the search; all steps by default.

    Returns
    -------
    int or None
        Step, or ``None`` if the loss never falls or fewer than three records are finite.

    Examples
    --------
    A plateau until step 500, then an exponential fall:

    >>> steps = np.arange(0, 1000, 10)
    >>> onset_of_fall(steps, np.exp(-np.maximum(steps - 500, 0) / 20.0))
    500
    """
    inside = (steps >= start) & np.isfinite(loss) & (loss > 0)
    inside &= True if end is None else steps <= end
    x, y = steps[inside].astype(float), np.log(loss[inside].astype(float))
    if len(x) < 3:
        return None
    reach = max(1, len(x) // 100)
    low = np.maximum(np.arange(len(x)) - reach, 0)
    high = np.minimum(np.arange(len(x)) + reach, len(x) - 1)
    slope = (y[high] - y[low]) / (x[high] - x[low])
    steepest = int(slope.argmin())
    if slope[steepest] >= 0:
        return None
    peak = int(y[: steepest + 1].argmax())
    begin = x[steepest] - (y[peak] - y[steepest]) / -slope[steepest]
    return round(max(begin, x[peak]))


def find_stages(
    steps: Steps,
    train_accuracy: Curve,
    test_accuracy: Curve,
    test_loss: Curve,
    *,
    threshold: float = THRESHOLD,
    hold: int = HOLD,
    excluded: Curve | None = None,
    restricted: Curve | None = None,
) -> Stages:
    """Return memorisation, circuit formation and clean-up of one network.

    The stages are those of Nanda et al. 2023, section 5.2. Memorisation lasts until the train
    accuracy is held; clean-up is the steep fall of the test cross-entropy up to where the test
    accuracy is held; circuit formation lies between. With the excluded loss, circuit formation is
    where that rises: from its least value before the clean-up on.

    Parameters
    ----------
    steps
        Steps of the records, shape (record,).
    train_accuracy, test_accuracy, test_loss
        Curves ``accuracy``, ``test_accuracy`` and ``test_cross_entropy`` of the history, shape
        (record,).
    threshold, hold
        Accuracy threshold and number of records, as for :func:`first_held`.
    excluded, restricted
        Progress measures at the same steps, shape (record,), or ``None``; NaN where they were not
        computed.

    Raises
    ------
    ValueError
        The curves are empty or have different lengths.

    Examples
    --------
    >>> steps = np.arange(0, 2000, 10)
    >>> stages = find_stages(steps, np.where(steps < 100, 0.1, 1.0),
    ...     np.where(steps < 1500, 0.1, 1.0), 5 * np.exp(-np.maximum(steps - 1200, 0) / 50.0))
    >>> [(name, first, last) for name, first, last in stages.spans()]
    [('memorisation', 0, 100), ('circuit formation', 100, 1200), ('clean-up', 1200, 1500)]
    """
    curves = {
        "train_accuracy": train_accuracy,
        "test_accuracy": test_accuracy,
        "test_loss": test_loss,
        "excluded": excluded,
        "restricted": restricted,
    }
    lengths = {name: len(curve) for name, curve in curves.items() if curve is not None}
    if len(steps) == 0 or set(lengths.values()) != {len(steps)}:
        raise ValueError(
            f"curves must have a value at each of the steps, at least one: {len(steps)} steps, {lengths}"
        )
    memorised = first_held(steps, train_accuracy, threshold=threshold, hold=hold)
    generalised = first_held(steps, test_accuracy, threshold=threshold, hold=hold)
    formation = clean_up = circuit = None
    if memorised is not None:
        formation = memorised
        if generalised is not None and generalised > memorised:
            clean_up = onset_of_fall(steps, test_loss, start=memorised, end=generalised)
        if restricted is not None:
            circuit = onset_of_fall(steps, restricted, end=generalised)
        if excluded is not None:
            seen = np.where(
                (steps <= (clean_up or steps[-1])) & np.isfinite(excluded), excluded, np.inf
            )
            formation = int(steps[int(seen.argmin())])
    return Stages(memorised, generalised, formation, clean_up, circuit, int(steps[-1]))


def grokking(
    steps: Steps,
    history: Mapping[str, Float[np.ndarray, "record member"]],
    *,
    threshold: float = THRESHOLD,
    hold: int = HOLD,
) -> Grokking:
    """Return the stages of every member of a training with held-out rows.

    Parameters
    ----------
    steps, history
        Steps and history of a :class:`marginlens.training.Training`, shape (record, member) each.
    threshold, hold
        Accuracy threshold and number of records, as for :func:`first_held`.

    Raises
    ------
    ValueError
        The training held out no rows, or recorded no step.

    Examples
    --------
    >>> steps = np.arange(0, 1000, 10)
    >>> def member(late):
    ...     return np.where(steps < late, 0.1, 1.0)
    >>> history = {"accuracy": np.stack([member(100), member(50)], 1),
    ...     "test_accuracy": np.stack([member(600), member(5000)], 1)}
    >>> history["test_cross_entropy"] = 2 - history["test_accuracy"]
    >>> found = grokking(steps, history)
    >>> found.grokked, found.stages[0].delay, found.stages[1].delay
    (array([ True, False]), 500, None)
    """
    needed = ("accuracy", "test_accuracy", "test_cross_entropy")
    missing = [name for name in needed if name not in history]
    if missing:
        raise ValueError(
            f"the history has no {missing[0]}: grokking is seen on rows held back; train with, say, "
            "--train-fraction 0.3"
        )
    curves = [np.asarray(history[name], dtype=float) for name in needed]
    stages = tuple(
        find_stages(steps, *(curve[:, i] for curve in curves), threshold=threshold, hold=hold)
        for i in range(curves[0].shape[1])
    )
    grokked = np.array([one.delay is not None for one in stages])
    low, high = clopper_pearson(np.array(int(grokked.sum())), len(stages))
    known = [one for one in stages if one.memorised is not None]
    delays = np.array([math.inf if one.delay is None else float(one.delay) for one in known])
    ratios = np.array(
        [math.inf if one.generalised is None else one.ratio or math.nan for one in known]
    )
    return Grokking(
        stages=stages,
        threshold=threshold,
        grokked=grokked,
        share=(float(grokked.mean()), float(low), float(high)),
        delay=_median(delays),
        ratio=_median(ratios[~np.isnan(ratios)]),
    )


def _median(values: Float[np.ndarray, " member"]) -> tuple[float, float, float]:
    return median_interval(values) if len(values) else (math.nan, math.nan, math.nan)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
