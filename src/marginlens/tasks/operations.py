"""Binary operations: polynomials and quotients modulo n, and words over a group."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from marginlens.errors import MarginLensError
from marginlens.groups import GREATEST_ORDER, FiniteGroup, group, is_table_file, plain_text
from marginlens.tasks.polynomials import read_formula
from marginlens.tasks.rows import all_rows
from marginlens.tasks.words import read_word, word_name, word_values

__all__ = ["POWER_OPERATIONS", "Operation", "operation", "split_operation"]

POWER_OPERATIONS = (
    "x+y mod 97",
    "x-y mod 97",
    "xy mod 97",
    "x/y mod 97",
    "x/y if y odd else x-y mod 97",
    "x^2+y mod 97",
    "x^2+y^2 mod 97",
    "x^2+xy+y^2 mod 97",
    "x^2+xy+y^2+x mod 97",
    "x^3+xy mod 97",
    "x^3+xy^2+y mod 97",
    "xy in S5",
    "xyx^-1 in S5",
    "xyx in S5",
)
"""Binary operations of Power et al. 2022, *Grokking* (arXiv 2201.02177), in paper and code."""

_IN_BRACKETS = re.compile(r"\(\s*(mod[^()]*)\)\s*$", flags=re.IGNORECASE)  # x+y (mod 97)
_MODULUS = re.compile(  # x+y % 97, x+y mod(97), x+y modulo 97
    r"(?<=[\w)])\s*(?:mod(?:ulo)?|%)\s*\(?\s*(\d+)\s*\)?\s*$", flags=re.IGNORECASE
)
_LETTERS = ("xy", "ab", "ij", "mn", "uv")  # of the two inputs
_KEYWORDS = ("if", "is", "odd", "even", "else")
_MOD = re.compile(r"(?:(.*)\s)?\s*mod(?:\s+(.*))?", flags=re.DOTALL)
_IN = re.compile(r"(?:(.*?)\s)?\s*in\s+(.+)", flags=re.DOTALL)
_WORD_ALONE = re.compile(r"[xy\d^*·\s-]+")


@dataclass(frozen=True, eq=False)
class Operation:
    """Binary operation, row by row.

    Attributes
    ----------
    name
        Canonical name, such as ``"x/y mod 97"`` or ``"xyx^-1 in S5"``.
    elements
        Group of the inputs and answers: C_n for operations modulo n.
    inputs, answers
        Pairs (x, y) in the domain, shape (row, 2), the last one fastest, and x∘y, shape (row,).
    """

    name: str
    elements: FiniteGroup
    inputs: Int[np.ndarray, "row 2"]
    answers: Int[np.ndarray, " row"]

    @property
    def is_product(self) -> bool:
        """True if the operation is the product of the group itself, as x+y modulo n is."""
        table = self.elements.table
        return len(self.answers) == table.size and bool((self.answers == table.ravel()).all())


def split_operation(spec: str) -> tuple[str, str, str] | None:
    """Split a spec into formula, ``"mod"`` or ``"in"``, and modulus or group, or ``None``.

    Parameters
    ----------
    spec
        Spec of a task.

    Examples
    --------
    >>> split_operation("x/y mod 97"), split_operation("xyx in S5"), split_operation("S5")
    (('x/y', 'mod', '97'), ('xyx', 'in', 'S5'), None)
    >>> split_operation("a*b (mod 97)"), split_operation("(x + y) % 7")
    (('a*b', 'mod', '97'), ('(x + y)', 'mod', '7'))
    """
    if spec.startswith("<"):  # matrices modulo m
        return None
    is_file = is_table_file(spec)
    if not is_file:
        spec = _MODULUS.sub(r" mod \1", _IN_BRACKETS.sub(r" \1", spec))
    inside = _IN.fullmatch(spec)
    if inside is not None:
        word = inside.group(1) or ""
        if "mod" not in word and (not is_file or _WORD_ALONE.fullmatch(word)):
            return word.strip(), "in", inside.group(2).strip()
    modulo = _MOD.fullmatch(spec)
    if modulo is None or is_file:
        return None
    return (modulo.group(1) or "").strip(), "mod", (modulo.group(2) or "").strip()


def operation(formula: str, elements: FiniteGroup | int) -> Operation:
    """Return an operation: a polynomial or quotient modulo a number, or a word over a group.

    Rows with a divisor that is not invertible modulo n are left out, such as y = 0 in x/y modulo a
    prime.

    Parameters
    ----------
    formula
        Formula that :func:`read_formula` reads, or word that :func:`read_word` reads.
    elements
        Modulus n, or group of the inputs.

    Raises
    ------
    MarginLensError
        The formula is malformed, the table is too large or too small, or no row is left.

    Examples
    --------
    >>> made = operation("x/y", 5)
    >>> made.name, len(made.answers), made.inputs[4].tolist(), int(made.answers[4])
    ('x/y mod 5', 20, [1, 1], 1)
    >>> operation("yx", group("S3")).is_product, operation("y + x", 5).is_product
    (False, True)
    """
    formula = _usual(formula)
    if isinstance(elements, FiniteGroup):
        return _word(formula, elements)
    read = read_formula(formula)
    name = f"{read} mod {elements}"
    _check_order(elements, name, "mod 97")
    inputs = all_rows(elements, 2)
    answers, defined = read(inputs[:, 0], inputs[:, 1], elements)
    if not defined.any():
        raise MarginLensError(
            f"{name} is undefined everywhere: every row divides by an element without an inverse"
        )
    return Operation(name, group(f"C{elements}"), inputs[defined], answers[defined])


def _usual(formula: str) -> str:
    """Rewrite a formula in x and y, from any letters, signs and powers.

    Examples
    --------
    >>> _usual("A² × b^{-1}"), _usual("i+j if j odd else i")
    ('x^2 * y^-1', 'x+y if y odd else x')
    """
    text = re.sub("[×·⋅∙∗]", "*", plain_text(formula).lower())
    text = re.sub(r"(?:\^|\*\*)\s*[({]\s*(-?\d+)\s*[)}]", r"^\1", text)
    words = re.compile(rf"\b(?:{'|'.join(_KEYWORDS)})\b|[a-z]")
    letters = {word for word in words.findall(text) if len(word) == 1}
    pair = next((pair for pair in _LETTERS if letters <= set(pair)), "xy")
    other = dict(zip(pair, "xy", strict=True))
    return words.sub(lambda match: other.get(match.group(), match.group()), text)


def _word(text: str, over: FiniteGroup) -> Operation:
    word = read_word(text.replace("**", "^"))
    name = f"{word_name(word)} in {over.name}"
    _check_order(over.order, name, "in S5")
    inputs = all_rows(over.order, 2)
    return Operation(name, over, inputs, word_values(word, over, inputs[:, 0], inputs[:, 1]))


def _check_order(n: int, name: str, good: str) -> None:
    if n < 2:
        raise MarginLensError(
            f"{name}: expected a table of at least 2 elements; for example {good}"
        )
    if n > GREATEST_ORDER:
        raise MarginLensError(
            f"{name}: expected an order of at most {GREATEST_ORDER}, got a table of {n}^2 "
            f"rows; for example {good}"
        )
