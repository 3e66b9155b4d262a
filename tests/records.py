"""Records compared number by number: sums of the same weights may be taken in another order."""

from typing import Any

import pytest

__all__ = ["require_same_record"]

_ROUNDING = 1e-12


def require_same_record(found: Any, expected: Any) -> None:
    """Fail unless two records of plain values agree, floats up to a relative 1e-12."""
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for name, value in expected.items():
            require_same_record(found[name], value)
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            require_same_record(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=_ROUNDING, abs=_ROUNDING, nan_ok=True)
    else:
        assert found == expected
