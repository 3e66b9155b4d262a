r"""Progress measures of grokking: restricted and excluded loss, Gini coefficient."""

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
    r"""Losses with only the key features of the logits, and without them.

    With $\bar\ell(g, c)$ the mean of the logits of class c over the pairs with product g, less
    their
    mean, and $P_\rho$ the projection onto the matrix elements of $\rho$ as functions of g (cosine
    and
    sine of w(a + b) on a cyclic group),

    * the *restricted* (or *trig*) loss is the cross-entropy of $\sum_{\rho\ \mathrm{key}} (P_\rho
      \bar\ell)(ab, c)$ plus the mean logits, over all rows: low once the features compute the
      answer;
    * the *excluded* loss is that of $\ell - P_\rho\bar\ell$: high once the answers on the rows
      trained
      on no longer come from memory. One feature at a time, as the authors, and for all together.

    Attributes
    ----------
    restricted, excluded
        With all key features, and without them.
    excluded_each
        Excluded loss of each single feature; excluded losses are over the training rows if these
        are given, else over all rows.

    Notes
    -----
    Nanda, Chan, Lieberum, Smith and Steinhardt 2023, *Progress measures for grokking via
    mechanistic
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
    """Return the progress measures of a table of logits.

    Parameters
    ----------
    logits
        Logits in the task's row order, shape (row, class).
    key
        Mask of the key features, shape (feature,).
    train
        Numbers of the training rows; ``None`` for all rows.
    task
        Group task of the logits.

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
    """Return restricted and excluded loss of member 0 at its snapshots, as history columns.

    The key features are those of the last snapshot. A snapshot's values are at the latest record up
    to it; other records are NaN.

    Parameters
    ----------
    task, training
        Group task, and a training on it with snapshots.
    train
        Numbers of the training rows; ``None`` for all rows.

    Raises
    ------
    ValueError
        The task is not a group's table, or the training has no snapshots.

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
    r"""Return the Gini coefficient of nonnegative values: 0 if equal, near 1 if concentrated.

    $\frac{\sum_i (2i - m - 1) x_{(i)}}{m \sum_i x_i}$, with the m values in rising order.

    Parameters
    ----------
    values
        Values of at least 0, shape (value,).

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
    """Return the Gini coefficient of the embedding's norms along the features' bases.

    On C_p the bases are the cosines and sines without the constant. With separate tables the result
    is the mean over slots.

    Parameters
    ----------
    network
        Ensemble of one network.
    task
        Group task of the network.
    """
    tables = element_tables(network, task)
    basis = np.concatenate([feature.basis for feature in task.features], axis=1)
    found = [gini(np.linalg.norm(basis.T @ table, axis=1)) for table in tables.values()]
    return float(np.mean(found))
