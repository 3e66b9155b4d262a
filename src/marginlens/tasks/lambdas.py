"""Parser of binary operations written as Python lambdas; nothing is executed."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from marginlens.errors import MarginLensError
from marginlens.groups import group
from marginlens.tasks.operations import Operation
from marginlens.tasks.polynomials import read_formula
from marginlens.tasks.rows import all_rows

__all__ = ["lambda_operation"]

_LONGEST = 300  # characters
_MOST_BITS = 1 << 14
"""Bits of a number that an operation may reach: 600 ** 600 has 5,500."""

Value = Callable[[int, int], int]

_GOOD = 'for example "lambda x: (x[0]*x[1])%59"'


def lambda_operation(text: str, order: int) -> Operation:
    """Parse a Python function of two numbers and tabulate it on 0, ..., order - 1.

    The grammar has whole numbers, the two inputs, + - * // % ** and other operators on whole
    numbers, comparisons, ``a if condition else b`` and the functions ``pow``, ``abs``, ``min``,
    ``max`` and ``int``. Rows at which Python would raise (a division by zero, a missing inverse)
    are left out.

    Parameters
    ----------
    text
        Source of the function, for example ``"lambda x: (x[0]+x[1])%59"`` or ``"lambda a, b:
        a*pow(b, -1, 59) % 59"``.
    order
        Number of elements n.

    Returns
    -------
    Operation
        Tabulated operation; its name is one that ``task`` reads, if it has one, otherwise the text.

    Raises
    ------
    MarginLensError
        The text holds anything else, or a value is not an element.

    Examples
    --------
    >>> lambda_operation("lambda x: (x[0]*x[1])%11", 11).name
    'xy mod 11'
    >>> made = lambda_operation("lambda x: x[0] * pow(x[1], -1, 7) % 7", 7)
    >>> made.name, len(made.answers)
    ('x/y mod 7', 42)
    """
    shown = repr(text if len(text) <= _LONGEST else f"{text[:60]}...")
    if len(text) > _LONGEST:
        raise MarginLensError(
            f"the operation {shown}: expected at most {_LONGEST} characters, got {len(text)}"
        )
    body, letters = _body(text, shown)
    value = _Reader(letters, shown).value(body)
    rows, answers = [], []
    for row in all_rows(order, 2).tolist():
        try:
            answer = value(*row)
        except (ZeroDivisionError, ValueError) as error:
            if isinstance(error, _TooLargeError):
                raise MarginLensError(
                    f"the operation {shown} reaches numbers too large to compute"
                ) from None
            continue
        if isinstance(answer, bool) or not 0 <= answer < order:
            raise MarginLensError(
                f"the operation {shown}: expected an element 0 to {order - 1}, got {answer} "
                f"for {tuple(row)}"
            )
        rows.append(row)
        answers.append(answer)
    if not rows:
        raise MarginLensError(
            f"the operation {shown} is undefined for every pair of 0 to {order - 1}"
        )
    inputs, found = np.array(rows), np.array(answers)
    name = _formula_name(body, letters, order, inputs, found) or ast.unparse(body)
    return Operation(name, group(f"C{order}"), inputs, found)


class _TooLargeError(ValueError):
    """Error for a number above the limit of bits."""


def _body(text: str, shown: str) -> tuple[ast.expr, tuple[str, ...]]:
    """Return the body of the function and the names of its arguments."""
    try:
        tree = ast.parse(text.strip().rstrip(","), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise MarginLensError(
            f"the operation {shown}: expected a Python function; {_GOOD}"
        ) from None
    if not isinstance(tree, ast.Lambda):
        raise MarginLensError(f"the operation {shown}: expected a lambda; {_GOOD}")
    given = tree.args
    others = given.posonlyargs or given.kwonlyargs or given.vararg or given.kwarg or given.defaults
    if others or len(given.args) not in (1, 2):
        raise MarginLensError(
            f"the operation {shown}: expected a function of one pair or two numbers; {_GOOD}"
        )
    return tree.body, tuple(one.arg for one in given.args)


_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.BitXor: operator.xor,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.Invert: operator.invert,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


class _Reader:
    """Compiler from syntax nodes to closures on two whole numbers."""

    def __init__(self, letters: tuple[str, ...], shown: str) -> None:
        self.letters, self.shown = letters, shown

    def value(self, node: ast.expr) -> Value:
        """Return the closure of a node.

        Raises
        ------
        MarginLensError
            The node is outside the grammar.
        """
        place = _place(node, self.letters)
        if place is not None:
            return (lambda x, _: x) if place == 0 else (lambda _, y: y)
        match node:
            case ast.Constant(value=int() as number) if abs(number).bit_length() <= _MOST_BITS:
                return lambda _x, _y: number
            case ast.UnaryOp(op=sign, operand=operand):
                of, inside = _UNARY[type(sign)], self.value(operand)
                return lambda x, y: of(inside(x, y))
            case ast.BinOp(left=left, op=ast.Pow(), right=right):
                base, power = self.value(left), self.value(right)
                return lambda x, y: _power(base(x, y), power(x, y))
            case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _BINARY:
                of, first, second = _BINARY[type(sign)], self.value(left), self.value(right)
                return lambda x, y: _bounded(of(first(x, y), second(x, y)))
            case ast.IfExp(test=test, body=body, orelse=orelse):
                condition, yes, no = self.value(test), self.value(body), self.value(orelse)
                return lambda x, y: yes(x, y) if condition(x, y) else no(x, y)
            case ast.Compare(left=left, ops=[sign], comparators=[right]) if type(sign) in _COMPARE:
                of, first, second = _COMPARE[type(sign)], self.value(left), self.value(right)
                return lambda x, y: of(first(x, y), second(x, y))
            case ast.BoolOp(op=sign, values=nodes):
                parts = [self.value(one) for one in nodes]
                every = all if isinstance(sign, ast.And) else any
                return lambda x, y: every(part(x, y) for part in parts)
            case ast.Call(func=ast.Name(id=name), args=nodes, keywords=[]):
                return self._call(name, [self.value(one) for one in nodes])
        raise MarginLensError(
            f"the operation {self.shown}: expected whole numbers, the two inputs, + - * // % "
            f"** and pow, got {ast.unparse(node)[:40]!r}; {_GOOD}"
        )

    def _call(self, name: str, parts: list[Value]) -> Value:
        count = len(parts)
        if name == "pow" and count == 2:
            return lambda x, y: _power(parts[0](x, y), parts[1](x, y))
        if name == "pow" and count == 3:
            return lambda x, y: pow(*(part(x, y) for part in parts))
        if (name in ("abs", "int") and count == 1) or (name in ("min", "max") and count > 1):
            of = {"abs": abs, "int": int, "min": min, "max": max}[name]
            return lambda x, y: of(*(part(x, y) for part in parts))
        raise MarginLensError(
            f"the operation {self.shown}: expected a call of pow, abs, min, max or int, got "
            f"{name!r} with {count} arguments"
        )


def _place(node: ast.expr, letters: tuple[str, ...]) -> int | None:
    """Return 0 or 1 if the node is the first or the second input, else ``None``."""
    if isinstance(node, ast.Name) and len(letters) == 2 and node.id in letters:
        return letters.index(node.id)
    match node:
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=0 | 1 as place)):
            if len(letters) == 1 and name == letters[0] and type(place) is int:
                return place
    return None


def _bounded(value: int) -> int:
    if value.bit_length() > _MOST_BITS:
        raise _TooLargeError
    return value


def _power(base: int, power: int) -> int:
    """Return an integer power; raises ValueError where Python would return a fraction."""
    if power < 0:
        raise MarginLensError("expected a power that is a whole number, got a negative power")
    if abs(base) > 1 and abs(base).bit_length() * power > _MOST_BITS:
        raise _TooLargeError
    return base**power


def _formula_name(
    body: ast.expr, letters: tuple[str, ...], order: int, inputs: np.ndarray, answers: np.ndarray
) -> str | None:
    """Return a name such as ``x*y mod 11`` if the function equals that formula, else ``None``."""
    try:
        written = ast.unparse(_AsFormula(letters, order).visit(_copy(body)))
        # as papers write it: xy^2 for x*y**2
        formula = read_formula(re.sub(r"(?<=[\dxy)]) \* (?=[xy(])", "", written))
    except (ValueError, RecursionError):
        return None
    x, y = all_rows(order, 2).T
    values, defined = formula(x, y, order)
    kept = np.stack([x, y], 1)[defined]
    same = kept.shape == inputs.shape and (kept == inputs).all()
    return f"{formula} mod {order}" if same and (values[defined] == answers).all() else None


def _copy(body: ast.expr) -> ast.expr:
    return ast.parse(ast.unparse(body), mode="eval").body


class _AsFormula(ast.NodeTransformer):
    """Rewriter from a lambda's body to a formula in x and y."""

    def __init__(self, letters: tuple[str, ...], order: int) -> None:
        self.letters, self.order = letters, order

    def visit(self, node: Any) -> Any:
        """Return the node as a formula writes it."""
        if isinstance(node, ast.expr) and (place := _place(node, self.letters)) is not None:
            return ast.Name(id="xy"[place], ctx=ast.Load())
        match node:
            case ast.BinOp(left=left, op=ast.Mod(), right=ast.Constant(value=self.order)):
                return self.visit(left)
            case ast.Call(
                func=ast.Name(id="pow"), args=[base, power, ast.Constant(value=self.order)]
            ):
                base = self.visit(base)
                if isinstance(power, ast.UnaryOp) and ast.unparse(power) == "-1":
                    return ast.BinOp(left=ast.Constant(value=1), op=ast.Div(), right=base)
                return ast.BinOp(left=base, op=ast.Pow(), right=self.visit(power))
        node = self.generic_visit(node)
        match node:  # a times 1/b is a/b
            case (
                ast.BinOp(
                    left=left,
                    op=ast.Mult(),
                    right=ast.BinOp(left=ast.Constant(value=1), op=ast.Div(), right=by),
                )
                | ast.BinOp(
                    left=ast.BinOp(left=ast.Constant(value=1), op=ast.Div(), right=by),
                    op=ast.Mult(),
                    right=left,
                )
            ):
                return ast.BinOp(left=left, op=ast.Div(), right=by)
        return node
