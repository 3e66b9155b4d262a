"""Groups by the names of Chughtai et al.'s settings, and the order of their elements."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from marginlens.errors import MarginLensError
from marginlens.formats.answered_operation import accuracy, settled
from marginlens.formats.files import File
from marginlens.formats.foreign import Choices, Foreign
from marginlens.formats.network_table import own_group, same_group
from marginlens.formats.stated_settings import Stated, whole
from marginlens.groups import FiniteGroup
from marginlens.tasks import Task, task

__all__ = ["in_their_order", "permutation_task", "stated_group", "stored_numbers"]

_LETTERS = {
    "SymmetricGroup": "S",
    "AlternatingGroup": "A",
    "CyclicGroup": "C",
    "DihedralGroup": "D",
    "QuaternionGroup": "Q",
    "DicyclicGroup": "Dic",
}
_SYMPY = {"S": "SymmetricGroup", "A": "AlternatingGroup", "D": "DihedralGroup"}
_LARGEST_DEGREE = 6


def stated_group(stated: Stated, order: int) -> Task | None:
    """Return the group that cfg.json names, or ``None``.

    Parameters
    ----------
    stated
        Settings ``group`` and ``group_parameter`` of cfg.json.
    order
        Number of elements in the network's tables.

    Raises
    ------
    ValueError
        The group is unknown, or has another order.
    """
    name = stated.get("group")
    if name is None:
        return None
    if not isinstance(name, str) or name not in _LETTERS:
        raise MarginLensError(
            f"{stated.where('group')}: expected {', '.join([*_LETTERS][:4])} or "
            f"{[*_LETTERS][4]}, or a group by --group; for example --group C{order}"
        )
    have = f"the tables have {order} elements"
    if "group_parameter" not in stated:
        raise MarginLensError(
            f"{stated.where('group')} without group_parameter, and {have}; say it with --group"
        )
    where = f"{stated.where('group')}, {stated.where('group_parameter')}"
    number = whole(stated.get("group_parameter"), where, have, order)
    refusal = ValueError(f"{where}, but {have}; expected a group of order {order}")
    if number > 2 * order + _LARGEST_DEGREE:
        raise refusal
    try:
        found = task(f"{_LETTERS[name]}{number}")
    except ValueError as error:
        raise MarginLensError(f"{where}: {error}") from None
    if found.size != order:
        raise refusal
    return found


def in_their_order(found: Foreign, choices: Choices, *, stated: bool) -> Foreign:
    """Return the network on its group's table in the authors' order of elements.

    The network's own answers determine the order if they form the group's table; otherwise the
    order with more right rows is chosen from this package's and SymPy's.

    Parameters
    ----------
    found
        Network on the group's table in the order of this package.
    choices
        Choices of the user.
    stated
        Whether cfg.json names the group.

    Raises
    ------
    ValueError
        The answers form the table of another group than cfg.json names.
    """
    start = found.task
    if start.group is None:
        return found
    own = own_group(found.logits, start.name)
    if own is not None and same_group(own, start.group):
        note = "the elements' order is that of the network's own answers, which form the group"
        return replace(found, task=task(own), notes=(note, *found.notes))
    if own is not None and choices.group is None and not stated:
        return settled(found, choices, stated=False)
    if own is not None and choices.group is None:
        kind = "cyclic" if own.generator is not None else "another"
        raise MarginLensError(
            f"cfg.json says {start.name}, but the network's answers form the table of {kind} group of "
            f"order {own.order}; expected both to agree, or name the group with --group"
        )
    orders = {f"that of {start.name} here": start}
    letter, degree = start.name[:1], start.name[1:]
    if letter in _SYMPY and degree.isdigit():
        orders["SymPy's, left factor first"] = permutation_task(letter, int(degree))
    right = {words: accuracy(found.logits, one) for words, one in orders.items()}
    best = max(right, key=right.__getitem__)
    note = (
        f"the elements' order is taken to be {best}: {right[best]:.1%} of the rows are then right"
    )
    return replace(found, task=orders[best], notes=(note, *found.notes))


def permutation_task(letter: str, degree: int) -> Task:
    """Return S_n, A_n or D_n with elements in SymPy's order, the left factor applied first.

    A_5 is generated from (0 1 2 3 4) and (1 2)(3 4), as by the authors.

    Parameters
    ----------
    letter
        Family letter ``"S"``, ``"A"`` or ``"D"``.
    degree
        Number of permuted points.
    """
    from sympy.combinatorics import Permutation, PermutationGroup, named_groups

    if (letter, degree) == ("A", 5):
        group = PermutationGroup(Permutation(0, 1, 2, 3, 4), Permutation(1, 2)(3, 4))
    else:
        group = getattr(named_groups, _SYMPY[letter])(degree)
    elements = np.array([Permutation(p).array_form for p in group.generate()])
    weights = degree ** np.arange(degree)
    number = {int(key): index for index, key in enumerate(elements @ weights)}
    keys = elements[:, elements].swapaxes(0, 1) @ weights  # of (i, j): first i, then j, as j[i]
    table = np.array([[number[int(key)] for key in row] for row in keys])
    return task(FiniteGroup(table, f"{letter}{degree}"))


def stored_numbers(file: File) -> dict[str, float]:
    """Finite numbers in the authors' summary_metrics.json beside a file.

    Parameters
    ----------
    file
        The file that lies beside it.
    """
    found = {}
    for name, value in file.beside("summary_metrics.json").items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if isinstance(value, int) and value.bit_length() > 1000:
            continue
        if math.isfinite(value):
            found[name] = float(value)
    return found
