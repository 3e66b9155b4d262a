"""Measures of a function on the table of any binary operation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from marginlens.display import Displayed
from marginlens.measures.logits.clock_pizza import (
    TRIPLES,
    Symmetricity,
    circularity,
    gradient_symmetricity,
)
from marginlens.measures.logits.losses import mean_cross_entropy
from marginlens.measures.logits.mechanism import Mechanism, examine, finite
from marginlens.networks import Network
from marginlens.tasks import GroupCoordinates, Task, group_coordinates

__all__ = ["OperationMeasures", "examine_operation", "examine_table"]

_NO_GROUP = "the operation is no group's product, on all elements or on the units"


@dataclass(frozen=True, eq=False)
class OperationMeasures(Displayed):
    """Measures on an operation's table, and on its group in other coordinates.

    Attributes
    ----------
    task
        Name of the operation.
    accuracy, loss, margin
        Share of right answers, mean cross-entropy and least lead of the right logit, over all rows
        of the operation.
    train_loss, test_loss
        Mean cross-entropy over the training rows and over the others; ``None`` if unknown.
    symmetricity
        Gradient symmetricity over all rows; ``None`` without weights.
    circularity
        Circularity of the embedding, elements 0, 1, 2, ... in order; ``None`` without weights or
        for other elements.
    coordinates
        Group of the operation in other coordinates, or ``None``.
    on_group
        Measures of the same function on that group's table.
    unknown
        Reasons for missing measures, by name.
    """

    task: str
    accuracy: float
    loss: float
    margin: float
    train_loss: float | None
    test_loss: float | None
    symmetricity: Symmetricity | None
    circularity: float | None
    coordinates: GroupCoordinates | None
    on_group: Mechanism | None
    unknown: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the measures as plain values for JSON; unknown ones are null."""
        known = self.symmetricity
        values = {
            "task": self.task,
            "algorithm": None if self.on_group is None else self.on_group.learned.algorithm,
            "summary": None if self.on_group is None else self.on_group.learned.summary,
            "accuracy": self.accuracy,
            "loss": self.loss,
            "margin": self.margin,
            "train_loss": self.train_loss,
            "test_loss": self.test_loss,
            "gradient_symmetricity": None if known is None else known.mean,
            "gradient_symmetricity_error_of_100": None
            if known is None
            else known.standard_error(100),
            "circularity": self.circularity,
            "group_coordinates": None if self.coordinates is None else self.coordinates.words,
            "on_group": None if self.on_group is None else self.on_group.to_dict(),
            "unknown": dict(self.unknown),
        }
        return finite(values)


def examine_operation(
    logits: Float[np.ndarray, "row class"],
    task: Task,
    *,
    network: Network | None = None,
    train: Int[np.ndarray, " chosen"] | None = None,
    triples: int = TRIPLES,
) -> OperationMeasures:
    """Measure a function on the table of any operation on pairs.

    Parameters
    ----------
    logits
        Logits in the task's row order, shape (row, class), from any code.
    task
        Task over pairs, such as ``xy mod 59``.
    network
        Network of the same function, as an ensemble of one; ``None`` for the logits alone.
    train
        Numbers of the training rows, if known.
    triples
        Triples (a, b, c) of the gradient symmetricity.

    Raises
    ------
    ValueError
        The task is not a table of pairs, or the logits have another shape or are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from marginlens.tasks import task
    >>> times = task("xy mod 11")
    >>> found = examine_operation(np.eye(11)[times.answers], times)
    >>> found.accuracy, found.on_group.task, found.on_group.accuracy
    (1.0, 'C10', 1.0)
    """
    if task.kind != "table" or task.factors != 2:
        raise ValueError(f"{task.name} has no table of pairs; for example xy mod 59, or C59")
    task.require_rows()
    logits = np.asarray(logits, dtype=np.float64)
    rows = len(task.answers)
    if logits.shape != (rows, task.classes):
        raise ValueError(
            f"{task.name} has {rows} rows of {task.classes} logits, got shape {logits.shape}"
        )
    if not np.isfinite(logits).all():
        raise ValueError(f"the logits on {task.name} are not all finite")
    network = None if network is None else network.copy().to(torch.float64)
    margins = _margins(logits, task)
    test = None if train is None else np.setdiff1d(np.arange(rows), train)
    coordinates = group_coordinates(task)
    unknown = {}
    if network is None:
        why = "needs the weights; the file has logits alone"
        unknown |= dict.fromkeys(("gradient_symmetricity", "circularity"), why)
    in_order = task.elements is not None and task.elements.name == f"C{task.size}"
    if network is not None and not in_order:
        unknown["circularity"] = "is one of numbers 0, 1, 2, ... in order"
    if coordinates is None:
        unknown["on_group"] = _NO_GROUP
    return OperationMeasures(
        task=task.name,
        accuracy=float((margins > 0).mean()),
        loss=mean_cross_entropy(logits, task.answers),
        margin=float(margins.min()),
        train_loss=None if train is None else mean_cross_entropy(logits, task.answers, train),
        test_loss=None if test is None else mean_cross_entropy(logits, task.answers, test),
        symmetricity=None
        if network is None
        else gradient_symmetricity(network, task, triples=triples),
        circularity=circularity(network) if network is not None and in_order else None,
        coordinates=coordinates,
        on_group=None
        if coordinates is None
        else _on_group(logits, task, coordinates, network, train, triples),
        unknown=unknown,
    )


def examine_table(
    logits: Float[np.ndarray, "row class"],
    task: Task,
    *,
    network: Network | None = None,
    train: Int[np.ndarray, " chosen"] | None = None,
) -> Mechanism | OperationMeasures:
    """Measure a function by :func:`examine` on a group, by `examine_operation` elsewhere.

    Parameters
    ----------
    logits, task, network, train
        Logits, task, network and training rows, as for :func:`examine_operation`.
    """
    of = examine if task.group is not None or task.kind != "table" else examine_operation
    return of(logits, task, network=network, train=train)


def _margins(logits: np.ndarray, task: Task) -> Float[np.ndarray, " row"]:
    """Lead of the right logit over the largest wrong one, in each row."""
    rows = np.arange(len(logits))
    others = logits.copy()
    others[rows, task.answers] = -np.inf
    return logits[rows, task.answers] - others.max(1)


def _on_group(
    logits: np.ndarray,
    task: Task,
    coordinates: GroupCoordinates,
    network: Network | None,
    train: np.ndarray | None,
    triples: int,
) -> Mechanism:
    """Return the measures on the group's table, with rows and classes in its order."""
    from marginlens.tasks import task as task_of

    left, right, classes = coordinates.left, coordinates.right, coordinates.classes
    row_of = np.full((task.size, task.size), -1)
    row_of[task.inputs[:, 0], task.inputs[:, 1]] = np.arange(len(task.answers))
    rows = row_of[np.ix_(left, right)].ravel()
    chosen = None if train is None else np.flatnonzero(np.isin(rows, train))
    return examine(
        logits[rows][:, classes],
        task_of(coordinates.group),
        network=None if network is None else network.relabelled(left, right, classes),
        train=None if chosen is None or not len(chosen) else chosen,
        triples=triples,
    )
