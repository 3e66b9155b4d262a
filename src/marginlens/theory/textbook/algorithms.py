"""Textbook algorithms for modular addition and group composition, with their logits."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from jaxtyping import Float, Int

from marginlens.errors import MarginLensError
from marginlens.groups import FiniteGroup

__all__ = ["ALGORITHMS", "Algorithm", "algorithm", "same_logits"]

Logits = Float[np.ndarray, "first second answer"]


@dataclass(frozen=True, eq=False)
class Algorithm:
    """Algorithm that computes the product of two elements.

    Attributes
    ----------
    name
        Name of the algorithm, one of ``ALGORITHMS``.
    statement
        Sentence that describes the method.
    source
        Publication that describes the algorithm.
    run
        Function of two elements that returns their product by executing the algorithm.
    logits
        Logit of each answer c, shape (a, b, c); its largest entry over c is the result of ``run``.
    steps
        Function of two elements that returns the steps of the calculation in words, for
        :meth:`worked`.
    """

    name: str
    statement: str
    source: str
    run: Callable[[int, int], int]
    logits: Logits
    steps: Callable[[int, int], tuple[str, ...]]

    def worked(self, a: int, b: int) -> tuple[str, ...]:
        """Return the calculation of one product, step by step, in words.

        Parameters
        ----------
        a, b
            Element numbers from 0 to n - 1.

        Raises
        ------
        ValueError
            An element is out of range.

        Examples
        --------
        >>> from marginlens.groups import group
        >>> for name in ("counting", "subtracting", "memorizing"):
        ...     print(name, *algorithm(name, group("C12")).worked(9, 5), sep=": ")
        counting: 9, then 10, 11, 0, 1, 2
        subtracting: 9 + 5 = 14: 14 - 12 = 2
        memorizing: the list says (9, 5): 2
        >>> algorithm("clock", group("C12"), frequencies=[1]).worked(9, 5)[0]
        'k = 1: the hand at 9 points to 270 degrees, 5 turns it by 150: 420 - 360 = 60 degrees'
        """
        n = len(self.logits)
        if not (0 <= a < n and 0 <= b < n):
            raise MarginLensError(
                f"expected two elements from 0 to {n - 1}, got {a} and {b}; for example 0 and {n - 1}"
            )
        return self.steps(a, b)


def algorithm(
    name: str,
    group: FiniteGroup,
    *,
    frequencies: Sequence[int] | None = None,
    irreps: Sequence[str] | None = None,
) -> Algorithm:
    """Return an algorithm on a group.

    Parameters
    ----------
    name
        Name of the algorithm, one of ``ALGORITHMS``.
    group
        Finite group; all algorithms but ``"memorizing"`` and ``"representations"`` need a cyclic
        group.
    frequencies
        Frequencies of the clock and the pizza, averaged over; by default 1 to (n - 1) / 2.
    irreps
        Names of the classes of irreps used by ``"representations"``; by default all but the
        trivial.

    Raises
    ------
    ValueError
        The algorithm is unknown or inapplicable to the group, or the frequencies or irreps cannot
        distinguish all elements.

    Examples
    --------
    >>> from marginlens.groups import group
    >>> clock = algorithm("clock", group("C7"), frequencies=[2])
    >>> clock.run(3, 6), clock.logits.shape, int(clock.logits[3, 6].argmax())
    (2, (7, 7, 7), 2)
    """
    if name not in ALGORITHMS:
        raise ValueError(f"unknown algorithm {name!r}; known: {', '.join(ALGORITHMS)}")
    return ALGORITHMS[name](group, _Options(frequencies, irreps))


def same_logits(algorithms: Sequence[Algorithm]) -> tuple[tuple[str, ...], ...]:
    """Group algorithms by their logits, which a network's logits cannot tell apart.

    Parameters
    ----------
    algorithms
        On the same group.

    Returns
    -------
    tuple
        Names, those with the same centred logits up to a factor (cosine above 1 - 1e-9) together.

    Examples
    --------
    >>> from marginlens.groups import group
    >>> same_logits([algorithm(name, group("C7")) for name in ALGORITHMS])
    (('counting', 'subtracting', 'memorizing', 'clock', 'representations'), ('pizza',))
    """
    sets: list[tuple[Algorithm, list[str]]] = []
    for one in algorithms:
        for first, names in sets:
            if _cosine(one.logits, first.logits) > 1 - 1e-9:
                names.append(one.name)
                break
        else:
            sets.append((one, [one.name]))
    return tuple(tuple(names) for _, names in sets)


def _cosine(first: Logits, second: Logits) -> float:
    """Cosine similarity of two tables of logits, each centred over the answers."""
    x, y = (table - table.mean(axis=2, keepdims=True) for table in (first, second))
    return float((x * y).sum() / (np.linalg.norm(x) * np.linalg.norm(y)))


@dataclass(frozen=True)
class _Options:
    frequencies: Sequence[int] | None
    irreps: Sequence[str] | None


def _integers(group: FiniteGroup, name: str) -> Int[np.ndarray, " element"]:
    """Return the integer modulo n of each element: j for g^j with the least generator g."""
    if group.generator is None:
        raise ValueError(
            f"the algorithm {name!r} adds integers modulo n, and {group.name} is not cyclic; "
            "take C23, or the algorithm 'representations'"
        )
    integers = np.empty(group.order, dtype=np.int64)
    integers[group.powers(group.generator)] = np.arange(group.order)
    return integers


def _exact(group: FiniteGroup) -> Logits:
    """1 for the right answer and 0 for all others."""
    return np.eye(group.order)[group.table]


def _counting(group: FiniteGroup, _: _Options) -> Algorithm:
    n, integers = group.order, _integers(group, "counting")
    elements = np.argsort(integers)

    def run(a: int, b: int) -> int:
        total = int(integers[a])
        for _ in range(int(integers[b])):
            total += 1
            if total == n:
                total = 0
        return int(elements[total])

    def steps(a: int, b: int) -> tuple[str, ...]:
        start, times = int(integers[a]), int(integers[b])
        passed = [str((start + j) % n) for j in range(1, times + 1)]
        if len(passed) > 12:
            passed = [*passed[:6], "...", *passed[-6:]]
        return (f"{start}, then {', '.join(passed)}" if passed else f"{start}, and no more",)

    return Algorithm(
        "counting",
        "Start at a and count up b times; after n - 1 comes 0.",
        "textbook",
        run,
        _exact(group),
        steps,
    )


def _subtracting(group: FiniteGroup, _: _Options) -> Algorithm:
    n, integers = group.order, _integers(group, "subtracting")
    elements = np.argsort(integers)

    def run(a: int, b: int) -> int:
        total = int(integers[a]) + int(integers[b])
        return int(elements[total - n if total >= n else total])

    def steps(a: int, b: int) -> tuple[str, ...]:
        total = int(integers[a]) + int(integers[b])
        added = f"{integers[a]} + {integers[b]} = {total}"
        return (added, f"{total} - {n} = {total - n}") if total >= n else (added,)

    return Algorithm(
        "subtracting",
        "Add the integers; if the sum is n or more, subtract n.",
        "textbook",
        run,
        _exact(group),
        steps,
    )


def _memorizing(group: FiniteGroup, _: _Options) -> Algorithm:
    seen = {(a, b): int(group.table[a, b]) for a in range(group.order) for b in range(group.order)}
    return Algorithm(
        "memorizing",
        "Look the pair up in a list of all pairs.",
        "textbook",
        lambda a, b: seen[int(a), int(b)],
        _exact(group),
        lambda a, b: (f"the list says ({a}, {b}): {seen[a, b]}",),
    )


def _checked(group: FiniteGroup, options: _Options) -> list[int]:
    n = group.order
    if options.frequencies is None:
        return list(range(1, (n - 1) // 2 + 1)) or [1]
    chosen = list(dict.fromkeys(options.frequencies))
    if not chosen or not all(0 < k < n for k in chosen):
        raise ValueError(f"frequencies: expected 1 to {n - 1}, got {chosen}; for example 1,2")
    if math.gcd(n, *chosen) != 1:
        raise ValueError(
            f"expected frequencies that distinguish all elements, got {chosen} with the common "
            f"factor {math.gcd(n, *chosen)} of {n}; for example 1"
        )
    return chosen


def _waves(order: int, frequencies: Sequence[int], integers: np.ndarray) -> tuple[np.ndarray, ...]:
    """Cosine and sine of every frequency (row) at the integer of every element (column)."""
    angles = 2 * np.pi * (np.outer(frequencies, integers) % order) / order
    return np.cos(angles), np.sin(angles)


def _clock(group: FiniteGroup, options: _Options) -> Algorithm:
    integers, chosen = _integers(group, "clock"), _checked(group, options)
    cos, sin = _waves(group.order, chosen, integers)

    def run(a: int, b: int) -> int:
        cos_sum = cos[:, a] * cos[:, b] - sin[:, a] * sin[:, b]
        sin_sum = sin[:, a] * cos[:, b] + cos[:, a] * sin[:, b]
        return int((cos_sum @ cos + sin_sum @ sin).argmax())

    difference = integers[group.table][:, :, None] - integers
    turns = np.multiply.outer(np.array(chosen), difference) % group.order
    logits = np.cos(2 * np.pi * turns / group.order).mean(axis=0)

    def steps(a: int, b: int) -> tuple[str, ...]:
        lines = []
        for k in chosen[:_MOST_STEPS]:
            first, second = (360 * (k * int(integers[x]) % group.order) for x in (a, b))
            total, full = first + second, 360 * group.order
            sums = _number(total, group.order)
            if total >= full:
                sums += f" - 360 = {_number(total - full, group.order)}"
            lines.append(
                f"k = {k}: the hand at {a} points to {_number(first, group.order)} degrees, {b} turns "
                f"it by {_number(second, group.order)}: {sums} degrees"
            )
        return (*lines, *_left_out(chosen), _best_answers(logits[a, b], "averaged cosine"))

    return Algorithm(
        "clock",
        "Turn a hand by k a and by k b, with the rules for the cosine and sine of a sum, and ask how "
        "near it is to k c: cos(2 pi k (a + b - c) / n), averaged over the frequencies k.",
        "Nanda et al. 2023; Zhong et al. 2023",
        run,
        logits,
        steps,
    )


def _pizza(group: FiniteGroup, options: _Options) -> Algorithm:
    integers, chosen = _integers(group, "pizza"), _checked(group, options)
    n = group.order
    if n % 2 == 0:
        raise ValueError(
            f"the algorithm 'pizza' needs an odd order: in {group.name} some pairs have opposite "
            "embeddings, whose sum is zero; take C23, or the algorithm 'clock'"
        )
    cos, sin = _waves(n, chosen, integers)

    def run(a: int, b: int) -> int:
        x, y = cos[:, a] + cos[:, b], sin[:, a] + sin[:, b]
        length = np.hypot(x, y)  # 2 |cos(pi k (a - b) / n)|
        # a vector of twice the angle, which is that of a + b, and of the same length
        return int(((x**2 - y**2) / length @ cos + 2 * x * y / length @ sin).argmax())

    sums = integers[group.table]
    difference = integers[:, None] - integers
    logits = np.zeros((n, n, n))
    for k in chosen:
        length = np.abs(np.cos(np.pi * (k * difference % (2 * n)) / n))
        logits += length[:, :, None] * np.cos(
            2 * np.pi * (k * (sums[:, :, None] - integers) % n) / n
        )
    logits /= len(chosen)

    def steps(a: int, b: int) -> tuple[str, ...]:
        lines = []
        for index, k in enumerate(chosen[:_MOST_STEPS]):
            x, y = cos[index, a] + cos[index, b], sin[index, a] + sin[index, b]
            half = math.degrees(math.atan2(y, x)) % 360
            lines.append(
                f"k = {k}: the points of {a} and {b} add up to a vector of length "
                f"{math.hypot(x, y):.3f} at {half:.1f} degrees; doubled: {2 * half % 360:.1f} degrees"
            )
        return (*lines, *_left_out(chosen), _best_answers(logits[a, b], "averaged logit"))

    return Algorithm(
        "pizza",
        "Add the points of a and b on the circle, which points half way between them, and double "
        "the angle: |cos(pi k (a - b) / n)| cos(2 pi k (a + b - c) / n), averaged over k.",
        "Zhong et al. 2023",
        run,
        logits,
        steps,
    )


def _representations(group: FiniteGroup, options: _Options) -> Algorithm:
    classes = {irrep.name: irrep for irrep in group.irrep_classes[1:]}
    names = list(classes) if options.irreps is None else list(options.irreps)
    unknown = [name for name in names if name not in classes]
    if unknown or not names:
        raise ValueError(
            f"irreps must be among {', '.join(classes)}, got {', '.join(unknown) or 'none'}"
        )
    chosen = [classes[name] for name in names]
    weights = [len(irrep.members) * irrep.degree for irrep in chosen]
    by_class = sum(
        weight * irrep.degree * irrep.normalized_character
        for weight, irrep in zip(weights, chosen, strict=True)
    )
    by_element = np.asarray(by_class)[group.class_of]
    wrong = np.arange(group.order) != group.identity
    if by_element[wrong].max(initial=-np.inf) > by_element[group.identity] - 1e-9:
        raise ValueError(
            f"the irreps {', '.join(names)} of {group.name} cannot tell all elements apart; "
            "add a faithful one"
        )
    matrices = [irrep.unitary for irrep in chosen]

    def run(a: int, b: int) -> int:
        scores = np.zeros(group.order)
        for weight, rho in zip(weights, matrices, strict=True):
            product = rho[a] @ rho[b]
            # tr(rho(a) rho(b) rho(c)^-1), the inverse of a unitary matrix being its adjoint
            scores += weight * np.real(np.einsum("ij,cij->c", product, rho.conj()))
        return int(scores.argmax())

    quotients = group.table[group.table[:, :, None], group.inverses]
    logits = by_element[quotients] / sum(weights)

    def steps(a: int, b: int) -> tuple[str, ...]:
        product = group.table[a, b]
        lines = []
        for irrep in chosen[:_MOST_STEPS]:
            traces = irrep.degree * irrep.normalized_character[group.class_of]
            most = traces[wrong].max()
            lines.append(
                f"{irrep.name}, degree {irrep.degree}: rho({a}) rho({b}) rho(c)^-1 has trace "
                f"{traces[group.identity]:g} at c = {product}, at most {most:.3g} elsewhere"
            )
        return (*lines, *_left_out(chosen), _best_answers(logits[a, b], "weighted trace"))

    return Algorithm(
        "representations",
        "Multiply the matrices rho(a) and rho(b) and ask how near the product is to rho(c): "
        "chi(a b c^-1), with weight d.",
        "Chughtai et al. 2023",
        run,
        logits,
        steps,
    )


_MOST_STEPS = 8
"""Frequencies or irreps that a worked example lists."""


def _left_out(chosen: Sequence[object]) -> tuple[str, ...]:
    more = len(chosen) - _MOST_STEPS
    return (f"and {more} more alike",) if more > 0 else ()


def _number(numerator: int, denominator: int) -> str:
    return f"{numerator / denominator:.6g}"


def _best_answers(logits: Float[np.ndarray, " answer"], name: str) -> str:
    """Return the answer with the largest logit, and the largest logit of the others."""
    best = int(logits.argmax())
    others = np.delete(logits, best)
    second = f", at most {round(others.max(), 9) + 0.0:.3g} at the others" if len(others) else ""
    return f"{name}: {logits[best]:.3g} at {best}{second}: the answer is {best}"


ALGORITHMS: Mapping[str, Callable[[FiniteGroup, _Options], Algorithm]] = MappingProxyType(
    {
        "counting": _counting,
        "subtracting": _subtracting,
        "memorizing": _memorizing,
        "clock": _clock,
        "pizza": _pizza,
        "representations": _representations,
    }
)
"""Algorithms by name; make one with :func:`algorithm`."""
