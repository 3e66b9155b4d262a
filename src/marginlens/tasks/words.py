"""Words in x, y and their powers, evaluated over a group."""

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
_GOOD = "for example xyx^-1 in S5"


def read_word(text: str) -> Word:
    """Parse a word such as ``xyx^-1``.

    Parameters
    ----------
    text
        Word in x, y and whole powers of them.

    Raises
    ------
    MarginLensError
        The text is empty, too long, or holds anything else.

    Examples
    --------
    >>> read_word("x y^2 x^-1")
    (('x', 1), ('y', 2), ('x', -1))
    """
    if len(text) > _LONGEST:
        raise MarginLensError(
            f"expected a word of at most {_LONGEST} characters, got {len(text)} in "
            f"{text[:30]!r}...; {_GOOD}"
        )
    syllables, place = [], 0
    stripped = text.strip()
    while place < len(stripped):
        match = _SYLLABLE.match(stripped, place)
        if match is None:
            raise MarginLensError(
                f"{stripped!r}: expected x, y and their whole powers, got "
                f"{stripped[place:].strip()[:1]!r}; {_GOOD}"
            )
        letter, power = match.group(1), int(match.group(2) or 1)
        if abs(power) > _GREATEST_POWER:
            raise MarginLensError(
                f"{stripped!r}: expected powers from {-_GREATEST_POWER} to {_GREATEST_POWER}; "
                f"{_GOOD}"
            )
        syllables.append((letter, power))
        place = match.end()
    if not syllables:
        raise MarginLensError(f"expected a word in x and y, got an empty text; {_GOOD}")
    return tuple(syllables)


def word_name(word: Word) -> str:
    """Return the canonical text of a word.

    Parameters
    ----------
    word
        Letters with their powers.

    Examples
    --------
    >>> word_name((("x", 1), ("y", 1), ("x", -1)))
    'xyx^-1'
    """
    return "".join(letter if power == 1 else f"{letter}^{power}" for letter, power in word)


def word_values(
    word: Word, over: FiniteGroup, x: Int[np.ndarray, " row"], y: Int[np.ndarray, " row"]
) -> Int[np.ndarray, " row"]:
    """Return the value of a word at pairs of elements, multiplied from left to right.

    Parameters
    ----------
    word
        Letters with their powers.
    over
        Group of the elements.
    x, y
        First and second elements of each pair, shape (row,).

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
    """Return g^power for every element g, by repeated squaring."""
    base = np.arange(over.order) if power >= 0 else over.inverses
    power = abs(power)
    result = np.full(over.order, over.identity)
    while power:
        if power % 2:
            result = over.table[result, base]
        base, power = over.table[base, base], power // 2
    return result
