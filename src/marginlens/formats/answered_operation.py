"""Choice between readings of a file, by the network's own answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from marginlens.errors import MarginLensError
from marginlens.formats.foreign import Choices, Foreign
from marginlens.formats.network_table import own_group, same_group
from marginlens.tasks import Task, task
from marginlens.theory import Activation, parse_activation

__all__ = [
    "CLEAR",
    "HALF",
    "NOT_TRAINED",
    "Candidate",
    "accuracy",
    "choose_activation",
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
    """Reading of a file, with the share of rows that it answers.

    Attributes
    ----------
    words
        Name of the reading, as a user may select it.
    found
        Network that the reading gives.
    """

    words: str
    found: Foreign

    @property
    def accuracy(self) -> float:
        """Share of the rows that are answered rightly."""
        return accuracy(self.found.logits, self.found.task)


def accuracy(logits: Float[np.ndarray, "row class"], known: Task) -> float:
    """Return the share of rows whose right logit exceeds every other.

    Parameters
    ----------
    logits
        Logits in the task's row order, shape (row, class).
    known
        Task with the right answers.
    """
    rows = np.arange(len(logits))
    others = logits.copy()
    others[rows, known.answers] = -np.inf
    return float((logits[rows, known.answers] > others.max(1)).mean())


def clear_winner(candidates: Sequence[Candidate], what: str, how: str, name: str) -> Candidate:
    """Return the reading that answers at least half the rows and clearly the most.

    Parameters
    ----------
    candidates
        Readings of the file, at least one.
    what
        Name of the open choice, such as ``"the activation"``.
    how
        Example of an option that decides it, such as ``"--activation relu"``.
    name
        Name of the file in the message.

    Raises
    ------
    ValueError
        No reading clearly wins; the message has each one's share of rows.
    """
    ordered = sorted(candidates, key=lambda one: -one.accuracy)
    best = ordered[0]
    if len(ordered) == 1 or (
        best.accuracy >= HALF and best.accuracy - ordered[1].accuracy >= CLEAR
    ):
        return best
    raise MarginLensError(
        f"expected {what} for {name}, which its answers do not decide: {shares(candidates)}; "
        f"for example {how}"
    )


def choose_activation(
    read: Callable[[Activation], Foreign],
    names: Sequence[str],
    reason: str,
    file_name: str,
    choices: Choices,
) -> tuple[Foreign, str]:
    """Read a network by each activation, and choose the reading that clearly answers best.

    Parameters
    ----------
    read
        Function from an activation to the network.
    names
        Names of the activations that are possible, at least one.
    reason
        Reason for the only name, such as ``"as asked for"``.
    file_name
        Name of the file, for error messages.
    choices
        Settings that the user gave.

    Returns
    -------
    network, note
        The chosen reading, and a phrase with its activation and the reason.

    Raises
    ------
    ValueError
        If no reading clearly answers best.
    """
    candidates = [
        Candidate(name, settled(read(parse_activation(name)), choices, stated=False))
        for name in names
    ]
    best = clear_winner(candidates, "its activation", "--activation relu", file_name)
    if len(names) > 1:
        reason = f"which clearly answers best: {shares(candidates)}"
    return best.found, f"activation {best.words}, {reason}"


def shares(candidates: Sequence[Candidate]) -> str:
    """Return each reading's share of rows, ``"4.3 % of the rows with relu, 4.5 % with x^2"``."""
    first, *others = candidates
    words = [f"{first.accuracy:.1%} of the rows with {first.words}"]
    return ", ".join(words + [f"{one.accuracy:.1%} with {one.words}" for one in others])


def settled(found: Foreign, choices: Choices, *, stated: bool) -> Foreign:
    """Return the network with its elements in its own order, if its answers form a group.

    Parameters
    ----------
    found
        Network on the group that the file or the user names, or on C_n.
    choices
        Choices of the user.
    stated
        Whether the file states the operation that the network learned.

    Returns
    -------
    Foreign
        Network on the group of its answers; unchanged if all rows are right already or the answers
        form no group. Tables of two groups may agree in three rows of four, so that a share of the
        rows does not decide.
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
    """Add a warning if the network answers fewer than half the rows, or another task.

    Parameters
    ----------
    found
        Network with its logits on the measured task.
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
    """Return a phrase if fewer than half the rows are right, else an empty text.

    Parameters
    ----------
    right
        Share of right answers.
    known
        Task of the rows.
    """
    if right >= HALF:
        return ""
    chance = 1 / known.classes
    return f"the network answers {right:.1%} of the rows of {known.name} (chance {chance:.1%})"


def _other_operation(found: Foreign, least: float = HALF) -> str:
    """Return another operation that the answers agree with in a given share of the rows."""
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
