"""Scan of widths below the sufficient one: largest margins found by training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from marginlens.errors import MarginLensError
from marginlens.measures import measure
from marginlens.tasks import Task
from marginlens.theory import Prediction, Predictions
from marginlens.training import recipe_for, train

__all__ = ["NarrowNetworks", "train_narrow"]

_STAGES = (30.0, 1e3, 1e5)  # divisors of the collapse strength, stage by stage
_RATE = 0.03


@dataclass(frozen=True, eq=False)
class NarrowNetworks:
    """Networks found at each width of a scan.

    The margins come from gradient descent with random starts and are not proved maximal: more seeds or
    steps may find better networks.

    Attributes
    ----------
    prediction
        Prediction of the task, with gamma* and the sufficient width.
    widths
        Numbers of neurons in ascending order, of shape (width,).
    margin_ratio
        Normalized margin divided by gamma* of every trained network, of shape (width, seed); negative if
        some input is answered wrongly.
    counts
        Number of live neurons per dominant feature, of shape (width, seed, feature).
    """

    prediction: Prediction
    widths: Int[np.ndarray, " width"]
    margin_ratio: Float[np.ndarray, "width seed"]
    counts: Int[np.ndarray, "width seed feature"]

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features, in the order of ``counts``."""
        return tuple(feature.name for feature in self.prediction.features)

    @property
    def best(self) -> Float[np.ndarray, " width"]:
        """Largest share of gamma* found at each width."""
        return self.margin_ratio.max(axis=1)

    @property
    def best_counts(self) -> Int[np.ndarray, "width feature"]:
        """Neurons per feature in the best network of each width, largest number first."""
        chosen = self.counts[np.arange(len(self.widths)), self.margin_ratio.argmax(axis=1)]
        return -np.sort(-chosen, axis=1)


def train_narrow(
    task: Task,
    widths: Sequence[int],
    *,
    seeds: int = 16,
    steps: int = 1500,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> NarrowNetworks:
    """Train many networks at each width, with a penalty that decreases in three stages.

    Each stage continues the previous one in float64, at 1/30, 1/1000 and 1e-5 of the strength at which
    networks collapse. The last one is near the limit in which the minimum has the maximum margin for its
    width. Each neuron settles on one feature, so a network's margin depends on the number of neurons per
    feature, which varies with the seed.

    Parameters
    ----------
    task
        Table of a group, or sparse parity.
    widths
        Numbers of neurons to train, each at least 1.
    seeds
        Number of networks at each width.
    steps
        Number of training steps in each stage.
    seed
        First seed; network i starts from ``seed + i``.
    progress
        Function called with the number of finished widths.

    Raises
    ------
    ValueError
        If a number is below one or invalid, the task's rows are not listed, or no theorem gives its
        maximum margin.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> found = train_narrow(task("C3"), [2, 6], seeds=4, steps=300)
    >>> found.widths.tolist(), bool(found.best[1] > found.best[0])
    ([2, 6], True)
    """
    if not widths or min(widths) < 1 or seeds < 1 or steps < 1:
        raise MarginLensError("widths, seeds and steps must be at least 1, e.g. widths 2, 4, 6")
    task.require_rows()
    predictions = Predictions(task)
    prediction = predictions.at()
    edge = prediction.collapse_penalty
    if edge is None or prediction.margin is None:
        raise MarginLensError(
            f"no sufficient width is known for {task.name}. {prediction.note}".rstrip()
        )
    ordered = sorted(set(widths))
    recipes = [
        [
            recipe_for(
                task,
                predictions=predictions,
                width=width,
                members=seeds,
                seed=seed,
                steps=steps,
                strength=edge / below,
                learning_rate=_RATE / 3**stage,
                dtype="float64",
                snapshots=0,
                record_every=steps,
            )
            for stage, below in enumerate(_STAGES)
        ]
        for width in ordered
    ]
    ratios, counts = [], []
    for done, stages in enumerate(recipes, start=1):
        network = None
        for recipe in stages:
            network = train(task, recipe, start=network).network
        assert network is not None
        found = [measure(network.as_mlp(), task, member=member) for member in range(seeds)]
        ratios.append([(one.normalized_margin or 0.0) / prediction.margin for one in found])
        counts.append([one.count for one in found])
        if progress is not None:
            progress(done)
    return NarrowNetworks(prediction, np.array(ordered), np.array(ratios), np.array(counts))
