"""Digits of sums against Python's own numbers."""

import re
import sys

import numpy as np
import pytest

from marginlens.tasks import addition, task

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def written(number, base, places):
    text = ""
    while number:
        number, digit = divmod(number, base)
        text = DIGITS[digit] + text
    return text.rjust(places, "0")


@pytest.mark.parametrize(("base", "digits"), [(2, 3), (3, 2), (10, 1), (10, 2), (16, 1)])
def test_rows_are_all_sums_digit_by_digit(base, digits):
    t = task(f"addition({base},{digits})")
    count = base**digits
    assert len(t.answers) == count**2 * (digits + 1)
    assert (t.classes, t.size, t.factors) == (base, base + digits + 1, 2 * digits + 1)
    assert not t.is_whole
    assert t.features == ()
    seen = set()
    for row, answer, length in zip(t.inputs.tolist(), t.answers, t.lengths, strict=True):
        text = "".join(DIGITS[digit] for digit in row[:-1])
        a, b = int(text[:digits], base), int(text[digits:], base)
        place = row[-1] - base
        total = written(a + b, base, digits + 1)
        assert DIGITS[answer] == total[-1 - place]
        assert length == max(len(text[:digits].lstrip("0")), len(text[digits:].lstrip("0")), 1)
        seen.add((a, b, place))
    assert len(seen) == len(t.answers)


def test_decimal_sums_are_str_and_int():
    t = task("addition(10,2)")
    for row in np.random.default_rng(0).integers(len(t.answers), size=300):
        *digits, asked = t.inputs[row].tolist()
        total = str(10 * digits[0] + digits[1] + 10 * digits[2] + digits[3]).zfill(3)
        assert str(t.answers[row]) == total[::-1][asked - 10]


@pytest.mark.parametrize(
    ("base", "digits", "words"),
    [
        (1, 2, "expected a base of 2 or more, got 1"),
        (10, 0, "at least 1 digit"),
        (10, 4, r"expected at most 4194304 rows, got 10\^8 \* 5 rows"),
        (2, 10, r"expected at most 4194304 rows, got 2\^20 \* 11 rows"),
        (1449, 1, r"expected at most 4194304 rows, got 1449\^2 \* 2 rows"),
        (999_999_999, 999_999_999, r"expected at most 4194304 rows, got 999999999\^1999999998 \*"),
    ],
)
def test_impossible_additions_say_what_is_possible(base, digits, words):
    with pytest.raises(ValueError, match=words):
        addition(base, digits)
    with pytest.raises(ValueError, match=words):
        task(f"addition({base},{digits})")


def test_the_most_that_is_listed_is_listed(monkeypatch):
    monkeypatch.setattr(sys.modules["marginlens.tasks.addition"], "GREATEST_LISTED", 288)
    assert len(addition(12, 1).answers) == 288
    assert len(addition(3, 2).answers) == 243
    for base, digits, good in ((13, 1, "10,2"), (3, 3, "3,2"), (12, 2, "12,1"), (2, 4, "2,3")):
        with pytest.raises(ValueError, match=rf"for example addition\({good}\)"):
            addition(base, digits)


@pytest.mark.parametrize("spec", ["addition(10)", "addition(10,x)", "addition", "addition(-2,3)"])
def test_other_additions_are_not_read(spec):
    with pytest.raises(
        ValueError, match=rf"expected addition\(base,digits\), got '{re.escape(spec)}'"
    ):
        task(spec)
