"""The noun `Foreign`: a network that other code trained, as this project sees it."""

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
    """What a file may leave open, and a user may say.

    Attributes
    ----------
    group
        The group whose table the network learned, as ``tasks.task`` reads it; None: what the file or
        its sizes say.
    activation
        None: the file's, or the one of its project.
    attention
        Attention rate of a transformer, for ``pizza``.
    layer_norm
        ``"none"`` or ``"pre"``: whether a transformer normalizes what its parts read, where the file
        does not say; None: as the file says, or as its answers clearly do.
    """

    group: str | None = None
    activation: str | None = None
    attention: float | None = None
    layer_norm: str | None = None


@dataclass(frozen=True, eq=False)
class Foreign:
    """A network of another project, or a table of logits alone.

    Attributes
    ----------
    form
        Name of the format it was read from.
    task
        The table it learned, with its elements in the network's own order.
    logits
        Of every row of the task, in float64.
    network
        The same function as one of our networks, an ensemble of one, in float64; None where there are
        logits alone.
    train
        Rows that it was trained on, where the file or its project say which.
    stored
        Numbers that its authors stored beside it.
    notes
        What had to be decided to read it.
    warning
        Sentence that says that it answers fewer than half the rows, and why that may be; else empty.
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
    """A way in which other projects store networks.

    Attributes
    ----------
    name
        What ``--as`` takes.
    words
        What it is, and whose.
    marks
        Names of tensors that only such files have; by them a file is recognised.
    read
        From the file to the network.
    other_marks
        Sets of names that files of the same project may have instead.
    """

    name: str
    words: str
    marks: frozenset[str]
    read: Callable[[File, Choices], Foreign]
    other_marks: tuple[frozenset[str], ...] = ()

    @property
    def all_marks(self) -> tuple[frozenset[str], ...]:
        """The sets of names by which a file is recognised."""
        return (self.marks, *self.other_marks)

    def fits(self, names: Collection[str]) -> bool:
        """Return whether a file with tensors of these names may be one.

        Parameters
        ----------
        names
            Names of the file's tensors.
        """
        return any(marks <= set(names) for marks in self.all_marks)
