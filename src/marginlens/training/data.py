"""Rows of a training: split, labels and batches, as functions of the recipe's seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from marginlens.errors import MarginLensError
from marginlens.networks import Rows
from marginlens.tasks import Task, row_numbers
from marginlens.training.recipe import Recipe

__all__ = [
    "SAMPLE",
    "Batches",
    "Data",
    "OnlineBatches",
    "drawn_rows",
    "recorded_rows",
    "split",
    "trained_rows",
]

SAMPLE = 4096
"""Rows of the fixed sample that an online training on unlisted inputs is recorded on."""

_BATCH, _SAMPLE = 1, 2  # streams of random numbers, none of them an epoch's


@dataclass(frozen=True, eq=False)
class Data:
    """Rows to train on and rows to test on.

    Attributes
    ----------
    train
        None where it is the whole table with its right answers. Trained online on inputs that are not
        listed: the sample that the history is recorded on.
    test
        None where nothing is held back.
    """

    train: Rows | None
    test: Rows | None


def split(task: Task, recipe: Recipe) -> Data:
    """Split the table, and corrupt labels, as the recipe says.

    The rows are permuted by a generator of ``split_seed``; the first round(fraction * rows) are
    trained on, in the table's order; with ``train_length`` those of numbers that short. Of these,
    round(corrupt * rows) get another label.

    Raises
    ------
    ValueError
        If no row would be left to train on, or to test on, or the task's rows have no lengths.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> data = split(task("C5"), Recipe(task="C5", train_fraction=0.4))
    >>> len(data.train), len(data.test)
    (10, 15)
    >>> data = split(task("addition(3,2)"), Recipe(task="addition(3,2)", train_length=1))
    >>> len(data.train), len(data.test)  # 3 digits of the sums of 3 * 3 pairs, of 9 * 9
    (27, 216)
    """
    if recipe.is_population:
        return Data(recorded_rows(task, recipe), None)
    task.require_rows()
    random = np.random.default_rng(recipe.split_seed)
    order = random.permutation(len(task.answers))
    train, test = _parted(task, recipe, order)
    kept = len(train)
    answers = np.array(task.answers)
    if recipe.corrupt and not round(recipe.corrupt * kept):
        raise ValueError(
            f"to corrupt a share of {recipe.corrupt:g} of {kept} rows changes none; "
            f"try {math.ceil(100 / kept) / 100:g}"
        )
    if recipe.corrupt:
        wrong = random.permutation(train)[: round(recipe.corrupt * kept)]
        answers[wrong] = (
            answers[wrong] + random.integers(1, task.classes, len(wrong))
        ) % task.classes
    return Data(Rows.of(task, train, answers=answers), Rows.of(task, test) if len(test) else None)


def trained_rows(task: Task, recipe: Recipe) -> Int[np.ndarray, " row"] | None:
    """Indices of the task's rows that the recipe trains on; None for all.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> len(trained_rows(task("C5"), Recipe(task="C5", train_fraction=0.4)))
    10
    """
    if not recipe.holds_out:
        return None
    order = np.random.default_rng(recipe.split_seed).permutation(len(task.answers))
    return _parted(task, recipe, order)[0]


def _parted(task: Task, recipe: Recipe, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on, and the others."""
    if recipe.chooses_rows:
        return _by_numbers(task, recipe)
    if recipe.train_length is not None:
        return _by_length(task, recipe.train_length)
    return _by_share(order, recipe.train_fraction)


def _by_numbers(task: Task, recipe: Recipe) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and to test on by their numbers; where one is not given, all others."""
    train, test = (
        None if rows is None else np.sort(np.array(row_numbers(task, rows), dtype=np.int64))
        for rows in (recipe.train_rows, recipe.test_rows)
    )
    every = np.arange(len(task.answers))
    if train is None or test is None:
        given = train if test is None else test
        others = np.setdiff1d(every, np.empty(0, dtype=np.int64) if given is None else given)
        if not len(others):
            raise MarginLensError(
                f"rows are all {len(every)} of {task.name}, which leaves none to "
                f"{'test' if test is None else 'train'} on: leave some out"
            )
        train, test = (train, others) if test is None else (others, test)
    assert train is not None
    both = np.intersect1d(train, test)
    if len(both):
        raise MarginLensError(
            f"expected other rows to test on than to train on; row {both[0]} is in both"
            + (f", and {len(both) - 1} more" if len(both) > 1 else "")
        )
    return train, test


def _by_share(order: np.ndarray, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """The first rows of an order to train on, and the others."""
    count = len(order)
    kept = round(fraction * count)
    if kept == 0 or (fraction < 1 and kept == count):
        raise ValueError(
            f"a train fraction of {fraction:g} of {count} rows leaves none "
            f"{'to train on' if kept == 0 else 'to test on'}; try 0.5"
        )
    return np.sort(order[:kept]), np.sort(order[kept:])


def _by_length(task: Task, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of numbers of at most so many digits, and of longer ones."""
    if task.lengths is None:
        raise ValueError(
            f"train_length is for additions, whose numbers have lengths, and {task.name} is none: "
            "take e.g. addition(10,2), or train_fraction"
        )
    longest = int(task.lengths.max())
    if length >= longest:
        good = f"try {longest - 1}" if longest > 1 else "take e.g. addition(10,2)"
        raise ValueError(
            f"a train length of {length} leaves no row of {task.name} to test on: its numbers have up "
            f"to {longest} digits; {good}"
        )
    short = task.lengths <= length
    return np.flatnonzero(short), np.flatnonzero(~short)


def recorded_rows(task: Task, recipe: Recipe) -> Rows | None:
    """The rows that stand for the whole table in a history; None where it is the table itself.

    Trained online on inputs that are not listed: ``SAMPLE`` rows drawn like the batches, with
    replacement, but from a stream of their own that depends on ``split_seed`` alone.

    Raises
    ------
    ValueError
        If the task's rows are not listed, and it is not trained online or they cannot be drawn.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> recipe = Recipe(task="parity(50,3)", batch=32, online=True)
    >>> recorded_rows(task("parity(50,3)"), recipe).inputs.shape
    torch.Size([4096, 50])
    """
    if not recipe.is_sampled(task):
        return None
    return drawn_rows(task, SAMPLE, np.random.default_rng([recipe.split_seed, 0, _SAMPLE]))


def drawn_rows(task: Task, count: int, random: np.random.Generator) -> Rows:
    """Rows drawn from all inputs alike, with replacement; the inputs need not be listed.

    Raises
    ------
    ValueError
        If the task is known by its characters alone: there is nothing to multiply.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> rows = drawn_rows(task("parity(50,3)"), 5, np.random.default_rng(0))
    >>> bool(((-1.0) ** rows.answers == rows.inputs[:, :3].prod(1)).all())
    True
    """
    if task.is_listed:
        return Rows.of(task, random.integers(len(task.answers), size=count))
    if task.subset is not None:
        flipped = random.integers(2, size=(count, task.size))
        answers = flipped[:, list(task.subset)].sum(1) % 2
        return Rows(torch.from_numpy(1.0 - 2.0 * flipped), torch.from_numpy(answers))
    if task.group is None:
        task.require_rows()  # says so
        raise ValueError(f"{task.name} has no group to draw products from; take C23")
    inputs = random.integers(task.size, size=(count, task.factors))
    answers = inputs[:, 0]
    for column in inputs.T[1:]:
        answers = task.group.table[answers, column]
    return Rows(torch.from_numpy(inputs), torch.from_numpy(answers.astype(np.int64)))


class OnlineBatches:
    """Batches drawn anew at each step; a batch depends on the seed and the step alone.

    So training goes on bitwise from a checkpoint, and processes that share the rows draw the same.
    """

    def __init__(self, task: Task, size: int, seed: int, device: torch.device) -> None:
        self.task, self.size, self.seed, self.device = task, size, seed, device

    def at(self, step: int) -> Rows:
        """The batch of a step."""
        random = np.random.default_rng([self.seed, step, _BATCH])
        return drawn_rows(self.task, self.size, random).to(self.device)


class Batches:
    """Mini-batches without replacement; the order of an epoch depends on the seed and epoch alone.

    So nothing has to be remembered for training to go on where it was: the batch of any step is known.
    """

    def __init__(self, rows: Rows, size: int, seed: int) -> None:
        if size > len(rows):
            raise ValueError(
                f"a batch of {size} is larger than the {len(rows)} rows to train on; "
                f"leave batch out, or choose at most {len(rows)}"
            )
        self.rows, self.size, self.seed = rows, size, seed
        self.each = len(rows) // size  # batches of an epoch; what is left over waits for the next
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def at(self, step: int) -> Rows:
        """The batch of a step."""
        return self.rows.take(self.indices(step))

    def indices(self, step: int) -> Tensor:
        """Indices of the batch's rows among the training rows."""
        epoch, place = divmod(step, self.each)
        if epoch != self._epoch:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.rows))
            self._order = torch.as_tensor(order, device=self.rows.answers.device)
            self._epoch = epoch
        return self._order[place * self.size : (place + 1) * self.size]
