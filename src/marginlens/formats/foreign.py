"""Network of another project, its format, and the user's choices."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from marginlens.formats.files import File
from marginlens.networks import Network
from marginlens.tasks import Task

__all__ = ["Choices", "Foreign", "Format"]


@dataclass(frozen=True)
class Choices:
    """Settings that a file may leave open and a user may choose.

    Attributes
    ----------
    group
        Group whose table the network learned, as ``tasks.task`` reads it; ``None`` for the file's
        or the one of its sizes.
    activation
        Name of the activation; ``None`` for the file's or its project's.
    attention
        Attention rate of a transformer, for ``pizza``.
    layer_norm
        Layer norm ``"none"`` or ``"pre"`` of a transformer whose file does not state it; ``None``
        for the file's, or the one that its answers clearly support.
    """

    group: str | None = None
    activation: str | None = None
    attention: float | None = None
    layer_norm: str | None = None


@dataclass(frozen=True, eq=False)
class Foreign:
    """Network of another project, or a table of logits.

    Attributes
    ----------
    form
        Name of the format of the file.
    task
        Task that it learned, with its elements in the network's own order.
    logits
        Logits of every row of the task, in float64, shape (row, class).
    network
        Network of the same function, an ensemble of one, in float64; ``None`` for logits alone.
    train
        Numbers of the training rows, if the file or its project state them.
    stored
        Numbers that its authors stored with it.
    notes
        Phrases on decisions made in reading it.
    warning
        Sentence with a possible reason if it answers fewer than half the rows; else empty.
    """

    form: str
    task: Task
    logits: Float[np.ndarray, "row class"]
    network: Network | None = None
    train: Int[np.ndarray, " train_row"] | None = None
    stored: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warning: str = ""


@dataclass(frozen=True)
class Format:
    """Storage format of another project's networks.

    Attributes
    ----------
    name
        Value of the option ``--as``.
    words
        Description of the format and its project.
    marks
        Tensor names that identify the format.
    read
        Function from the file to the network.
    other_marks
        Alternative sets of tensor names of the same project.
    """

    name: str
    words: str
    marks: frozenset[str]
    read: Callable[[File, Choices], Foreign]
    other_marks: tuple[frozenset[str], ...] = ()

    @property
    def all_marks(self) -> tuple[frozenset[str], ...]:
        """Sets of names that identify the format."""
        return (self.marks, *self.other_marks)

    def fits(self, names: Collection[str]) -> bool:
        """Return whether a file with tensors of these names may be one.

        Parameters
        ----------
        names
            Names of the file's tensors.
        """
        return any(marks <= set(names) for marks in self.all_marks)
