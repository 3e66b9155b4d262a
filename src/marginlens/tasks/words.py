"""Words in x, y and their powers, over a group."""

from __future__ import annotations

import re

import numpy as np
from jaxtyping import Int

from marginlens.errors import MarginLensError
from marginlens.groups import FiniteGroup

__all__ = ["Word", "read_word", "word_name", "word_values"]

Word = tuple[tuple[str, int], ...]
"""Letters with their powers: x y x^-1 is (("x", 1), ("y", 1), ("x", -1))."""

_SYLLABLE = re.compile(r"[\s*·]*([xy])(?:\s*\^\s*(-?\d{1,9}))?", flags=re.ASCII)
_LONGEST = 200  # characters
_GREATEST_POWER = 1000
_GOOD = "write e.g. xyx^-1 in S5"


def read_word(text: str) -> Word:
    """Read a word such as ``xyx^-1``.

    Raises
    ------
    ValueError
        If it is empty, too long, or has anything but x, y and whole powers in it.

    Examples
    --------
    >>> read_word("x y^2 x^-1")
    (('x', 1), ('y', 2), ('x', -1))
    """
    if len(text) > _LONGEST:
        raise MarginLensError(
            f"{text[:30]!r}... has {len(text)} characters, at most {_LONGEST} are read; {_GOOD}"
        )
    syllables, place = [], 0
    stripped = text.strip()
    while place < len(stripped):
        match = _SYLLABLE.match(stripped, place)
        if match is None:
            raise MarginLensError(
                f"{stripped!r}: {stripped[place:].strip()[:1]!r} is not read; a word has x, y and their "
                f"whole powers; {_GOOD}"
            )
        letter, power = match.group(1), int(match.group(2) or 1)
        if abs(power) > _GREATEST_POWER:
            raise MarginLensError(
                f"{stripped!r}: powers run from {-_GREATEST_POWER} to {_GREATEST_POWER}; {_GOOD}"
            )
        syllables.append((letter, power))
        place = match.end()
    if not syllables:
        raise MarginLensError(f"there is no word in x and y; {_GOOD}")
    return tuple(syllables)


def word_name(word: Word) -> str:
    """The word as it is written.

    Examples
    --------
    >>> word_name((("x", 1), ("y", 1), ("x", -1)))
    'xyx^-1'
    """
    return "".join(letter if power == 1 else f"{letter}^{power}" for letter, power in word)


def word_values(
    word: Word, over: FiniteGroup, x: Int[np.ndarray, " row"], y: Int[np.ndarray, " row"]
) -> Int[np.ndarray, " row"]:
    """Value of a word at pairs of elements, from left to right.

    Examples
    --------
    >>> from marginlens.groups import group
    >>> word_values(read_word("xyx^-1"), group("C5"), np.array([1, 2]), np.array([3, 4])).tolist()
    [3, 4]
    """
    letters = {"x": x, "y": y}
    product = np.full(len(x), over.identity)
    for letter, power in word:
        product = over.table[product, _powers(over, power)[letters[letter]]]
    return product


def _powers(over: FiniteGroup, power: int) -> Int[np.ndarray, " element"]:
    """g^power for every element g, by repeated squaring."""
    base = np.arange(over.order) if power >= 0 else over.inverses
    power = abs(power)
    result = np.full(over.order, over.identity)
    while power:
        if power % 2:
            result = over.table[result, base]
        base, power = over.table[base, base], power // 2
    return result
