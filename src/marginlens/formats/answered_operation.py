"""Readings of a file held against the network's own answers: which one fits, and what is odd."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from marginlens.errors import MarginLensError
from marginlens.formats.foreign import Choices, Foreign
from marginlens.formats.network_table import own_group, same_group
from marginlens.tasks import Task, task

__all__ = [
    "CLEAR",
    "HALF",
    "NOT_TRAINED",
    "Candidate",
    "accuracy",
    "clear_winner",
    "few_answers",
    "settled",
    "shares",
    "warned",
]

HALF = 0.5
"""Share of the rows that a network must answer to be taken for one that has learned the task."""

CLEAR = 0.1
"""Lead in accuracy by which one reading of a file clearly wins against the others."""

NOT_TRAINED = "it is not trained to the end, or too narrow for the task"
"""Why a run of this program may answer little."""

_OPERATIONS = (
    "x+y",
    "x-y",
    "y-x",
    "xy",
    "x/y",
    "x^2+y^2",
    "x^2+xy+y^2",
    "x^2+y",
    "x^2-y^2",
    "x^3+xy",
    "x^3+xy^2+y",
)
"""Operations that a network that answers little is held against, to say what it may have learned."""


@dataclass(frozen=True)
class Candidate:
    """One way to read a file, and how many rows it then answers.

    Attributes
    ----------
    words
        Name of the reading, as a user may choose it.
    found
        The network that it gives.
    """

    words: str
    found: Foreign

    @property
    def accuracy(self) -> float:
        """Share of the rows that are answered rightly."""
        return accuracy(self.found.logits, self.found.task)


def accuracy(logits: Float[np.ndarray, "row class"], known: Task) -> float:
    """Share of the rows whose right logit is greater than every other.

    Parameters
    ----------
    logits
        In the task's row order.
    known
        Task whose answers are the right ones.
    """
    rows = np.arange(len(logits))
    others = logits.copy()
    others[rows, known.answers] = -np.inf
    return float((logits[rows, known.answers] > others.max(1)).mean())


def clear_winner(candidates: Sequence[Candidate], what: str, how: str, name: str) -> Candidate:
    """The reading that answers at least half the rows, and clearly more than each other one.

    Parameters
    ----------
    candidates
        Readings of the file, at least one.
    what
        Name of what is open, such as ``"the activation"``.
    how
        Advice on how to say it, such as ``"--activation relu"``.
    name
        Name of the file.

    Raises
    ------
    ValueError
        Naming each reading's share of rows, if none clearly wins.
    """
    ordered = sorted(candidates, key=lambda one: -one.accuracy)
    best = ordered[0]
    if len(ordered) == 1 or (
        best.accuracy >= HALF and best.accuracy - ordered[1].accuracy >= CLEAR
    ):
        return best
    raise MarginLensError(
        f"{name} does not say {what}, and its answers do not: {shares(candidates)}; say it, "
        f"for example {how}"
    )


def shares(candidates: Sequence[Candidate]) -> str:
    """Each reading's share of rows, ``"4.3 % of the rows with relu, 4.5 % with x^2"``."""
    first, *others = candidates
    words = [f"{first.accuracy:.1%} of the rows with {first.words}"]
    return ", ".join(words + [f"{one.accuracy:.1%} with {one.words}" for one in others])


def settled(found: Foreign, choices: Choices, *, stated: bool) -> Foreign:
    """The network with its elements in its own order, where its answers form a group's table.

    Parameters
    ----------
    found
        Network as it was read, on the group that the file or the user names, or on C_n.
    choices
        What the user said.
    stated
        Whether the file says which operation it learned.

    Returns
    -------
    Foreign
        The same where all rows are right already, or the answers are no table. Tables of two groups
        may agree in three rows of four, so that a share of the rows decides nothing.
    """
    known = found.task
    if known.group is None or accuracy(found.logits, known) == 1:
        return found
    own = own_group(found.logits, known.name)
    if own is None:
        return found
    if same_group(own, known.group):
        words = "the elements' order is that of the network's own answers, which form the group"
        return replace(found, task=task(own), notes=(*found.notes, words))
    if choices.group is None and not stated:
        made = own_group(found.logits, f"own group of order {known.size}")
        assert made is not None
        words = (
            f"the file names no group; the network's own answers form one of order {known.size}, "
            f"not {known.name}: that is its task (name it with --group)"
        )
        return replace(found, task=task(made), notes=(*found.notes, words))
    return found


def warned(found: Foreign) -> Foreign:
    """The network with a warning, if it answers fewer than half the rows, or all rows of another task.

    Parameters
    ----------
    found
        Network with its logits on the task it is measured as.
    """
    right = accuracy(found.logits, found.task)
    words = few_answers(right, found.task)
    if found.form == "run":
        return replace(found, warning=f"{words}: {NOT_TRAINED}") if words else found
    if not words:
        other = "" if right == 1 else _other_operation(found, least=1.0)
        words = f"the network answers {right:.1%} of the rows of {found.task.name}"
        return replace(found, warning=f"{words}: {other}") if other else found
    return replace(found, warning=f"{words}: {_other_operation(found) or _general(found)}")


def few_answers(right: float, known: Task) -> str:
    """Words that say that fewer than half the rows are right; empty if at least half are.

    Parameters
    ----------
    right
        Share of the rows that are answered rightly.
    known
        Task that the rows are of.
    """
    if right >= HALF:
        return ""
    chance = 1 / known.classes
    return f"the network answers {right:.1%} of the rows of {known.name} (chance {chance:.1%})"


def _other_operation(found: Foreign, least: float = HALF) -> str:
    """What else the answers agree with, in at least this share of the rows."""
    known, given = found.task, found.logits.argmax(1)
    if known.factors != 2 or known.kind != "table":
        return ""
    if known.group is not None and (own := own_group(found.logits, "own")) is not None:
        kind = (
            "a cyclic"
            if own.generator is not None
            else "an abelian"
            if own.is_abelian
            else "a non-abelian"
        )
        return (
            f"its answers form the table of another group of order {own.order}, {kind} one; "
            "name it with --group"
        )
    table = np.full((known.size, known.size), -1)
    table[known.inputs[:, 0], known.inputs[:, 1]] = given
    best, name = 0.0, ""
    for formula in _OPERATIONS:
        other = task(f"{formula} mod {known.size}")
        share = float((table[other.inputs[:, 0], other.inputs[:, 1]] == other.answers).mean())
        if share > best and other.name != known.name:
            best, name = share, other.name
    if best < least:
        return ""
    return f'it answers {best:.1%} of {name}; measure it as that with --group "{name}"'


def _general(found: Foreign) -> str:
    causes = ["it is not trained", "it learned another operation or order of elements (--group)"]
    if found.network is not None:
        causes.append("its activation or layer norm is another (--activation, --layer-norm)")
    return ", or ".join(causes)
