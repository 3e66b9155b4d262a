"""Groups from generators: permutations in cycle notation, and matrices modulo m."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from typing import NoReturn

import numpy as np
from jaxtyping import Int

from marginlens.errors import MarginLensError
from marginlens.groups.permutation_order import permutation_order
from marginlens.groups.table import GREATEST_ORDER, check_order

__all__ = ["closure_table", "generated_table", "is_generated", "table_from_translations"]

_GREATEST_POINT = 100
_GREATEST_MODULUS = 10**6
_GREATEST_SIZE = 12
_EXAMPLES = "for example <(1,2,3),(1,2)> or <[[1,1],[0,1]],[[0,1],[1,0]]> mod 5"


def is_generated(spec: str) -> bool:
    """Return whether a spec lists generators: it starts with `<`.

    Parameters
    ----------
    spec
        Spec of a group.
    """
    return spec.lstrip().startswith("<")


def generated_table(spec: str) -> Int[np.ndarray, "element element"]:
    """Return the Cayley table of the group that generators in a spec generate.

    `<(1,2,3),(1,2)>`: permutations of the points 1, 2, … in cycle notation; products of cycles, as
    in `(1,2)(3,4)`, and products in the group are composed from the right, (pq)(i) = p(q(i)).
    `<[[1,1],[0,1]],[[0,1],[1,0]]> mod 5`: square matrices modulo m, invertible.

    Elements are numbered in the order in which a breadth-first search from the identity finds them,
    multiplying by the generators from the right in the order given.

    Parameters
    ----------
    spec
        List of generators in angle brackets, as above.

    Raises
    ------
    MarginLensError
        The cycles or matrices are malformed, a matrix is singular, or the group is too large.

    Examples
    --------
    >>> generated_table("<(1,2)>").tolist()
    [[0, 1], [1, 0]]
    >>> generated_table("<[[1,1],[0,1]]> mod 3").tolist()
    [[0, 1, 2], [1, 2, 0], [2, 0, 1]]
    """
    match = re.fullmatch(r"\s*<(.*)>\s*(?:mod\s*(\d+))?\s*", spec, flags=re.DOTALL | re.ASCII)
    if match is None:
        raise MarginLensError(f"expected a list of generators, got {spec[:60]!r}; {_EXAMPLES}")
    inside, modulus = match.group(1).strip(), match.group(2)
    if not inside:
        raise MarginLensError(f"expected at least one generator, got {spec[:60]!r}; {_EXAMPLES}")
    if inside.startswith("["):
        return _matrix_table(inside, modulus, spec)
    if modulus is not None:
        raise MarginLensError(
            f"{spec[:60]!r}: expected a modulus for matrices only, got one for permutations; "
            "for example <[[1,1],[0,1]]> mod 5"
        )
    return _permutation_table(inside, spec)


def table_from_translations(
    translations: Sequence[Int[np.ndarray, " element"]], identity: int = 0
) -> Int[np.ndarray, "element element"]:
    """Return the Cayley table from right multiplications x → x·g by generators g.

    Column y of the table is the right multiplication by y, and that by y·g is that by y, then that
    by g; so each column is one lookup away from one that is known.

    Parameters
    ----------
    translations
        Permutation x → x·g for each generator g, as an array of element indices of shape
        (element,).
    identity
        Index of the identity.

    Raises
    ------
    MarginLensError
        The generators do not reach every element.
    """
    order = len(translations[0])
    columns = np.empty((order, order), dtype=np.int64)  # row y: x·y for each x
    columns[identity] = np.arange(order)
    known = np.zeros(order, dtype=bool)
    known[identity] = True
    queue = [identity]
    for element in queue:
        for translation in translations:
            product = int(translation[element])
            if not known[product]:
                known[product] = True
                columns[product] = translation[columns[element]]
                queue.append(product)
    if not known.all():
        raise MarginLensError(
            f"expected generators of all {order} elements, got {int(known.sum())} elements"
        )
    return columns.T.copy()


def closure_table(
    identity: Int[np.ndarray, " entry"],
    multiply: Callable[[Int[np.ndarray, " entry"]], Int[np.ndarray, "generator entry"]],
    refuse: Callable[[], NoReturn],
    *,
    in_order: bool = False,
) -> Int[np.ndarray, "element element"]:
    """Return the Cayley table of the group that generators generate.

    Parameters
    ----------
    identity
        Identity as an array of integers; elements are equal if their arrays are.
    multiply
        Function that returns the products of one element with each generator, from the right.
    refuse
        Function that raises the error for a group that is too large.
    in_order
        Number the elements in the lexicographic order of their arrays, instead of the order of the
        search.
    """
    elements = [identity]
    index = {identity.tobytes(): 0}
    images: list[list[int]] = []
    for element in elements:  # which grows
        images.append([])
        for product in multiply(element):
            key = product.tobytes()
            if key not in index:
                if len(elements) == GREATEST_ORDER:
                    refuse()
                index[key] = len(elements)
                elements.append(product)
            images[-1].append(index[key])
    translations = np.array(images).T
    if not in_order:
        return table_from_translations(list(translations))
    order = np.lexsort(np.array(elements).T[::-1])
    rank = np.argsort(order)
    return table_from_translations(list(rank[translations[:, order]]), int(rank[0]))


def _permutation_table(inside: str, spec: str) -> np.ndarray:
    cycle = r"\(\s*(?:\d+\s*(?:,\s*\d+\s*)*)?\)"
    permutation = rf"{cycle}(?:\s*{cycle})*"
    if re.fullmatch(rf"{permutation}(?:\s*,\s*{permutation})*", inside, re.ASCII) is None:
        raise MarginLensError(
            f"expected permutations separated by commas, got malformed cycles {spec[:60]!r}; "
            f"{_EXAMPLES}"
        )
    longest = max(
        (digits.lstrip("0") for digits in re.findall(r"\d+", inside)), key=len, default=""
    )
    if len(longest) > len(str(_GREATEST_POINT)):
        raise _too_great(f"{longest[:20]}{'…' * (len(longest) > 20)}", spec)
    written = [
        [[int(point) for point in re.findall(r"\d+", c)] for c in re.findall(cycle, generator)]
        for generator in re.findall(permutation, inside)
    ]
    points = [point for generator in written for c in generator for point in c]
    degree = max(points, default=1)
    if points and min(points) < 1:
        raise MarginLensError(f"{spec[:60]!r}: expected points from 1, got 0; for example (1,2,3)")
    if degree > _GREATEST_POINT:
        raise _too_great(str(degree), spec)
    generators = np.array([_composed(generator, degree, spec) for generator in written])

    def refuse() -> NoReturn:
        order = permutation_order(list(generators))
        check_order(math.log10(order), f"the group of {spec[:60]}")
        raise AssertionError("the elements that were listed are more than there are")

    return closure_table(np.arange(degree), lambda element: element[generators], refuse)


def _too_great(point: str, spec: str) -> ValueError:
    return ValueError(
        f"{spec[:60]!r}: expected points up to {_GREATEST_POINT}, got {point}; renumber the "
        "points or give a Cayley table"
    )


def _composed(cycles: list[list[int]], degree: int, spec: str) -> np.ndarray:
    """Return a product of cycles, the rightmost applied first, as images of 0, …, degree − 1."""
    result = np.arange(degree)
    for cycle in cycles:
        if len(set(cycle)) < len(cycle):
            repeated = next(point for point in cycle if cycle.count(point) > 1)
            raise MarginLensError(
                f"{spec[:60]!r}: expected each point once in a cycle, got {repeated} twice; "
                "for example (1,2,3)"
            )
        step = np.arange(degree)
        points = np.array(cycle, dtype=np.int64) - 1
        step[points] = np.roll(points, -1)
        result = result[step]
    return result


def _matrix_table(inside: str, modulus: str | None, spec: str) -> np.ndarray:
    if modulus is None:
        raise MarginLensError(
            f"{spec[:60]!r}: expected matrices with a modulus; for example "
            "<[[1,1],[0,1]],[[0,1],[1,0]]> mod 5"
        )
    m = int(modulus[:20])
    if not 2 <= m <= _GREATEST_MODULUS:
        raise MarginLensError(
            f"{spec[:60]!r}: expected a modulus from 2 to {_GREATEST_MODULUS}, got "
            f"{modulus[:20]}{'…' * (len(modulus) > 20)}"
        )
    try:
        written = json.loads(f"[{inside}]")
    except (ValueError, RecursionError):  # also of numbers with thousands of digits
        raise MarginLensError(
            f"expected matrices as rows in brackets, got malformed matrices {spec[:60]!r}; "
            f"{_EXAMPLES}"
        ) from None
    matrices = [_matrix(entry, spec) % m for entry in written]
    sizes = {len(matrix) for matrix in matrices}
    if len(sizes) > 1:
        raise MarginLensError(
            f"{spec[:60]!r}: expected matrices of one size, got "
            f"{', '.join(map(str, sorted(sizes)[:8]))} rows"
        )
    for matrix in matrices:
        _check_invertible(matrix, m, spec)
    (size,) = sizes

    generators = np.array(matrices)

    def multiply(element: np.ndarray) -> np.ndarray:
        products = element.reshape(size, size) @ generators % m
        return products.reshape(len(generators), size * size)

    def refuse() -> NoReturn:
        raise MarginLensError(
            f"the group of {spec[:60]}: expected at most {GREATEST_ORDER} elements, got more; "
            f"its table would take over {80e-9 * GREATEST_ORDER**2:.2g} GB of memory"
        )

    identity = np.eye(size, dtype=np.int64).reshape(-1)
    return closure_table(identity, multiply, refuse)


def _matrix(entry: object, spec: str) -> np.ndarray:
    rows = entry if isinstance(entry, list) else []
    square = 0 < len(rows) <= _GREATEST_SIZE and all(
        isinstance(row, list)
        and len(row) == len(rows)
        and all(type(x) is int and abs(x) < 2**53 for x in row)
        for row in rows
    )
    if not square:
        raise MarginLensError(
            f"{spec[:60]!r}: expected a square integer matrix of at most {_GREATEST_SIZE} "
            f"rows, got {json.dumps(entry)[:60]}; for example [[1,1],[0,1]]"
        )
    return np.array(rows, dtype=np.int64)


def _check_invertible(matrix: np.ndarray, m: int, spec: str) -> None:
    determinant = _determinant(matrix.tolist()) % m
    if math.gcd(determinant, m) != 1:
        raise MarginLensError(
            f"{spec[:60]!r}: expected invertible matrices modulo {m}, got {matrix.tolist()} "
            f"with determinant {determinant}"
        )


def _determinant(rows: list[list[int]]) -> int:
    """Return the determinant of an integer matrix, by Bareiss's exact elimination."""
    sign, previous = 1, 1
    while len(rows) > 1:
        pivot = next((i for i, row in enumerate(rows) if row[0]), None)
        if pivot is None:
            return 0
        if pivot:
            rows[0], rows[pivot], sign = rows[pivot], rows[0], -sign
        (head, *top), *rest = rows
        rows = [
            [(head * x - row[0] * t) // previous for x, t in zip(row[1:], top, strict=True)]
            for row in rest
        ]
        previous = head
    return sign * rows[0][0]
