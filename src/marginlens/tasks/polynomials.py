"""Parser and evaluator of polynomials and quotients in x and y modulo n."""

from __future__ import annotations

import ast
import math
import re
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from marginlens.errors import MarginLensError

__all__ = ["Formula", "read_formula"]

_TOKEN = re.compile(r"\s*(\d+|[xy]|\*\*|[-+*/^()])", flags=re.ASCII)
_CONDITION = re.compile(r"(.+)\bif\s+([xy])\s+(?:is\s+)?(odd|even)\s+else\b(.+)", flags=re.DOTALL)
_LONGEST = 200  # characters
_GREATEST_POWER = 1000
_GOOD = "for example x^2+xy+y^2 mod 97, or x/y mod 97"


@dataclass(frozen=True)
class Formula:
    """Polynomial or quotient in x and y, or two of them chosen by the parity of x or y.

    Attributes
    ----------
    name
        Text of the formula without spaces, such as ``"x^2+xy+y^2"``.
    tree
        Syntax tree of the formula, with explicit products.
    letter, odd, otherwise
        Condition ``name if letter odd else otherwise``; `letter` and `otherwise` are ``None``
        without a condition.
    """

    name: str
    tree: ast.expr
    letter: str | None = None
    odd: bool = True
    otherwise: Formula | None = None

    def __call__(
        self, x: Int[np.ndarray, " row"], y: Int[np.ndarray, " row"], n: int
    ) -> tuple[Int[np.ndarray, " row"], Bool[np.ndarray, " row"]]:
        """Return the values modulo n, and the mask of rows whose divisors are all invertible.

        Parameters
        ----------
        x, y
            First and second inputs, shape (row,).
        n
            Modulus of the operation.

        Examples
        --------
        >>> x, y = np.array([3, 3, 1]), np.array([2, 0, 4])
        >>> values, defined = read_formula("x/y")(x, y, 5)
        >>> values[defined].tolist(), defined.tolist()
        ([4, 4], [True, False, True])
        """
        defined = np.ones(x.shape, dtype=bool)
        values = _Evaluation({"x": x, "y": y}, n, defined).value(self.tree)
        if self.otherwise is None:
            return values, defined
        first = ((x if self.letter == "x" else y) % 2 == 1) == self.odd
        others, others_defined = self.otherwise(x, y, n)
        return np.where(first, values, others), np.where(first, defined, others_defined)

    def __str__(self) -> str:
        if self.otherwise is None:
            return self.name
        parity = "odd" if self.odd else "even"
        return f"{self.name} if {self.letter} {parity} else {self.otherwise}"


def read_formula(text: str) -> Formula:
    """Parse a polynomial or quotient in x and y, such as ``x^3+xy^2+y``.

    Products need no sign: ``2xy^2`` is 2*x*(y^2); products and quotients are taken from left to
    right,
    so that ``x/2y`` is (x/2)*y. Nothing of the text is executed: it becomes a syntax tree, in which
    only numbers, x, y, sums, products, quotients and powers may occur.

    Parameters
    ----------
    text
        Text of the formula.

    Raises
    ------
    MarginLensError
        The text holds anything else, is too long, or has a power above 1,000.

    Examples
    --------
    >>> print(read_formula("x / y  if y odd else x - y"))
    x/y if y odd else x-y
    >>> values, _ = read_formula("x^2 + 3x(y-1)")(np.array([2]), np.array([5]), 97)
    >>> values.tolist()
    [28]
    """
    if len(text) > _LONGEST:
        raise MarginLensError(
            f"expected a formula of at most {_LONGEST} characters, got {len(text)} in "
            f"{text[:30]!r}...; {_GOOD}"
        )
    match = _CONDITION.fullmatch(text)
    if match is None:
        return Formula(*_read(text))
    first, letter, parity, other = match.groups()
    return Formula(*_read(first), letter, parity == "odd", Formula(*_read(other)))


def _read(text: str) -> tuple[str, ast.expr]:
    """Return the name and the syntax tree of a formula without a condition."""
    tokens = _tokens(text)
    if not {"x", "y"} & set(tokens):
        raise MarginLensError(f"expected a formula in x and y, got {text.strip()!r}; {_GOOD}")
    explicit = []
    for before, token in zip(["", *tokens], tokens, strict=False):
        left, right = before.isdecimal() or before in ("x", "y", ")"), token in ("x", "y", "(")
        explicit.append("*" if left and right and before else "")
        explicit.append(str(int(token)) if token.isdecimal() else token.replace("^", "**"))
    try:
        tree = ast.parse(" ".join(explicit).strip(), mode="eval").body
    except (SyntaxError, MemoryError, RecursionError):
        raise MarginLensError(
            f"expected a polynomial in x and y, got {text.strip()!r}; {_GOOD}"
        ) from None
    _check(tree, text.strip())
    return "".join(tokens).replace("**", "^"), tree


def _tokens(text: str) -> list[str]:
    tokens, place, end = [], 0, len(text.rstrip())
    while place < end:
        match = _TOKEN.match(text, place)
        if match is None:
            strange = text[place:].lstrip()[0]
            raise MarginLensError(
                f"{text.strip()!r}: expected whole numbers, x, y, + - * / ^ and brackets, got "
                f"{strange!r}; {_GOOD}"
            )
        tokens.append(match.group(1))
        place = match.end()
    return tokens


_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div)


def _check(node: ast.expr, text: str) -> None:
    """Refuse every node but those of a polynomial or quotient."""
    match node:
        case ast.Name(id="x" | "y"):
            return
        case ast.Constant(value=int()):
            return
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            _check(operand, text)
        case ast.BinOp(left=base, op=ast.Pow(), right=power):
            _check(base, text)
            if not isinstance(power, ast.Constant):
                raise MarginLensError(
                    f"{text!r}: expected a power that is a whole number, such as x^2 (and 1/x "
                    f"for x^-1); {_GOOD}"
                )
            if not isinstance(power.value, int) or power.value > _GREATEST_POWER:
                raise MarginLensError(
                    f"{text!r}: expected powers of at most {_GREATEST_POWER}; modulo a prime "
                    f"p, x^p is x; {_GOOD}"
                )
        case ast.BinOp(left=left, op=operator, right=right) if isinstance(operator, _OPERATORS):
            _check(left, text)
            _check(right, text)
        case _:
            raise MarginLensError(f"expected a polynomial in x and y, got {text!r}; {_GOOD}")


@dataclass(frozen=True, eq=False)
class _Evaluation:
    """Evaluator of a tree modulo n; ``defined`` becomes False where a divisor has no inverse."""

    letters: dict[str, Int[np.ndarray, " row"]]
    n: int
    defined: Bool[np.ndarray, " row"]

    def value(self, node: ast.expr) -> np.ndarray:
        """Return the value of a checked tree, between 0 and n - 1."""
        match node:
            case ast.Name(id=letter):
                return self.letters[letter] % self.n
            case ast.Constant(value=int() as number):
                return np.full(self.defined.shape, number % self.n)
            case ast.UnaryOp(op=sign, operand=operand):
                value = self.value(operand)
                return -value % self.n if isinstance(sign, ast.USub) else value
            case ast.BinOp(left=base, op=ast.Pow(), right=ast.Constant(value=int() as power)):
                return self._power(self.value(base), power)
            case ast.BinOp(left=left, op=operator, right=right):
                return self._combine(operator, self.value(left), self.value(right))
        raise MarginLensError(f"expected a polynomial in x and y, got {ast.dump(node)}; {_GOOD}")

    def _combine(self, operator: ast.operator, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        if isinstance(operator, ast.Add):
            return (a + b) % self.n
        if isinstance(operator, ast.Sub):
            return (a - b) % self.n
        if isinstance(operator, ast.Mult):
            return a * b % self.n
        inverses = np.array(
            [pow(r, -1, self.n) if math.gcd(r, self.n) == 1 else 0 for r in range(self.n)]
        )
        self.defined[...] &= inverses[b] > 0
        return a * inverses[b] % self.n

    def _power(self, base: np.ndarray, power: int) -> np.ndarray:
        """Return a power by repeated squaring; x^0 is 1."""
        result = np.ones_like(base)
        while power:
            if power % 2:
                result = result * base % self.n
            base, power = base * base % self.n, power // 2
        return result % self.n
