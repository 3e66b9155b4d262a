"""Records compared number by number: sums of the same weights may be taken in another order."""

from dataclasses import fields, replace
from typing import Any

import pytest

__all__ = ["changed", "require_same_record"]

_ROUNDING = 1e-12


def changed(measurement: Any, **values: Any) -> Any:
    """The measurement with other values of its own fields or of its neurons'."""
    own = {field.name for field in fields(measurement)}
    inside = {name: values.pop(name) for name in list(values) if name not in own}
    neurons = measurement.neurons
    if inside:
        neurons = replace(neurons, **inside)
    return replace(measurement, neurons=neurons, **values)


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
