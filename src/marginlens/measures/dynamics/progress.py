r"""Progress measures of grokking: restricted and excluded loss, and the embedding's Gini coefficient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from marginlens.measures.ensembles.observables import KEY
from marginlens.measures.logits.losses import ablate_products, mean_by_product
from marginlens.measures.logits.spectrum import group_of, logit_spectrum
from marginlens.measures.neurons.representations import element_tables
from marginlens.networks import Network
from marginlens.tasks import Task
from marginlens.training import Training

__all__ = ["Progress", "embedding_gini", "gini", "progress", "progress_path"]


@dataclass(frozen=True, eq=False)
class Progress:
    r"""Losses with the key features of the logits alone, and without them.

    With $\bar\ell(g, c)$ the mean of the logits of class c over the pairs with product g, less their
    mean, and $P_\rho$ the projection onto the matrix elements of $\rho$ as functions of g (cosine and
    sine of w(a + b) on a cyclic group),

    * the *restricted* (or *trig*) loss is the cross-entropy of $\sum_{\rho\ \mathrm{key}} (P_\rho
      \bar\ell)(ab, c)$ plus the mean logits, over all rows: low once the features compute the answer;
    * the *excluded* loss is that of $\ell - P_\rho\bar\ell$: high once the answers on the rows trained
      on no longer come from memory. One feature at a time, as the authors, and for all together.

    Attributes
    ----------
    restricted, excluded
        With all key features, and without them.
    excluded_each
        Without one feature at a time; the excluded losses are over the rows trained on where these are
        known, else over all.

    Notes
    -----
    Nanda, Chan, Lieberum, Smith and Steinhardt 2023, *Progress measures for grokking via mechanistic
    interpretability*, section 5.
    """

    restricted: float
    excluded: float
    excluded_each: Float[np.ndarray, " feature"]


def progress(
    logits: Float[np.ndarray, "row class"],
    task: Task,
    key: Bool[np.ndarray, " feature"],
    train: Int[np.ndarray, " chosen"] | None = None,
) -> Progress:
    """The progress measures of a table of logits.

    Parameters
    ----------
    logits
        In the task's row order.
    key
        The key features.
    train
        Rows trained on; None: all.

    Examples
    --------
    >>> import numpy as np
    >>> from marginlens.groups import group
    >>> from marginlens.tasks import task
    >>> from marginlens.theory import algorithm
    >>> clock = 50 * algorithm("clock", group("C7"), frequencies=[2]).logits.reshape(49, 7)
    >>> found = progress(clock, task("C7"), np.array([False, True, False]))
    >>> found.restricted < found.excluded, round(found.excluded, 6)
    (True, 1.94591)
    """
    group_of(task)
    mean = logits.mean(0)
    by_product = mean_by_product(logits - mean, task)
    parts = [feature.project(by_product.T).T for feature in task.features]
    found = ablate_products(logits, task, parts, key, train, kept=mean)
    return Progress(found.total_restricted, found.total_excluded, found.excluded)


def progress_path(
    task: Task, training: Training, train: Int[np.ndarray, " chosen"] | None = None
) -> dict[str, Float[np.ndarray, " record"]]:
    """Restricted and excluded loss of member 0 at its snapshots, as columns beside the history's.

    The key features are those of the last snapshot. A snapshot's values stand at the latest record up to
    it; elsewhere they are nan.

    Parameters
    ----------
    task, training
        A group's table, and a training on it with snapshots.
    train
        Rows trained on; None: all.

    Raises
    ------
    ValueError
        If the task is no group's table, or there are no snapshots.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> from marginlens.training import recipe_for, train
    >>> training = train(task("C5"), recipe_for(task("C5"), width=40, steps=300, snapshots=4))
    >>> path = progress_path(task("C5"), training)
    >>> bool(path["excluded"][-1] > path["restricted"][-1])
    True
    """
    group_of(task)
    if not len(training.snapshot_steps):
        raise ValueError("the training kept no snapshots; train with --snapshots 30")
    network = training.network.member(0)
    found = {name: np.full(len(training.steps), np.nan) for name in ("restricted", "excluded")}
    key = None
    for number in reversed(range(len(training.snapshot_steps))):
        kept = {name: torch.as_tensor(v[number])[None] for name, v in training.snapshots.items()}
        logits = network.with_parameters(kept).logits(task)[0].double().numpy()
        if key is None:
            key = logit_spectrum(logits[None], task).spectral_weights[0] >= KEY
        one = progress(logits, task, key, train)
        place = int(np.searchsorted(training.steps, training.snapshot_steps[number], "right")) - 1
        found["restricted"][max(place, 0)] = one.restricted
        found["excluded"][max(place, 0)] = one.excluded
    return found


def gini(values: Float[np.ndarray, " value"]) -> float:
    r"""Gini coefficient of values that are not negative: 0 if all are equal, near 1 if one has it all.

    $\frac{\sum_i (2i - m - 1) x_{(i)}}{m \sum_i x_i}$, with the m values in rising order.

    Examples
    --------
    >>> import numpy as np
    >>> gini(np.array([1.0, 1.0])), gini(np.array([0.0, 0.0, 0.0, 4.0]))
    (0.0, 0.75)
    """
    ordered = np.sort(values)
    count, total = len(ordered), float(ordered.sum())
    if total <= 0:
        return 0.0
    return float(((2 * np.arange(1, count + 1) - count - 1) * ordered).sum() / (count * total))


def embedding_gini(network: Network, task: Task) -> float:
    """Gini coefficient of the embedding's norms along every vector of the features' bases.

    On C_p these are the cosines and sines, the constant left out; with a table for each slot, the mean.
    """
    tables = element_tables(network, task)
    basis = np.concatenate([feature.basis for feature in task.features], axis=1)
    found = [gini(np.linalg.norm(basis.T @ table, axis=1)) for table in tables.values()]
    return float(np.mean(found))
