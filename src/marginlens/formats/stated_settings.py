"""Settings stated in a file and in JSON files beside it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from marginlens.errors import MarginLensError
from marginlens.formats.files import File

__all__ = ["Stated", "whole"]

_INSIDE = ("config", "cfg", "model_cfg", "model_config")
_BESIDE = ("cfg.json", "config.json")


@dataclass(frozen=True)
class Stated:
    """Settings by name, each with the place that states it.

    Attributes
    ----------
    values
        By name: the value, and the file or mapping that it is from.
    """

    values: Mapping[str, tuple[Any, str]]

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def get(self, *names: str, default: Any = None) -> Any:
        """Return the value of the first stated setting, or ``default``.

        Parameters
        ----------
        names
            Names that projects give the setting.
        default
            Value without such a setting.
        """
        return next((self.values[name][0] for name in names if name in self.values), default)

    def where(self, *names: str) -> str:
        """Return a phrase with the first stated setting and its place: ``"cfg.json says C = 9"``."""
        name = next(name for name in names if name in self.values)
        value, place = self.values[name]
        return f"{place} says {name} = {_short(value)}"

    def agree(self, have: int, what: str, *names: str) -> None:
        """Refuse a stated number that contradicts the tables.

        Parameters
        ----------
        have
            Number in the tables.
        what
            Phrase with that number, such as ``"embed.W_E has 11 tokens"``.
        names
            Names that projects give the setting.

        Raises
        ------
        ValueError
            The numbers differ; the message has both.
        """
        for name in names:
            if name in self.values and self.values[name][0] is not None:
                number = whole(self.values[name][0], self.where(name), what, have)
                if number != have:
                    raise MarginLensError(f"{self.where(name)}, but {what}; expected both to agree")

    @classmethod
    def of(cls, file: File, *beside: str) -> Stated:
        """Return the settings inside a file and in JSON files beside it.

        Settings inside the file take precedence over ``beside``, and these over cfg.json and
        config.json.

        Parameters
        ----------
        file
            File with the values at its top level.
        beside
            Names of JSON files that belong to this file alone.

        Raises
        ------
        ValueError
            The files cfg.json and config.json state different values of a setting that is stated
            nowhere else.
        """
        values: dict[str, tuple[Any, str]] = {}
        for key, value, name in _flat(file.values):
            values.setdefault(key, (value, f"{file.name}{f' ({name})' if name else ''}"))
        for name in beside:
            for key, value, _ in _flat(file.beside(name)):
                values.setdefault(key, (value, name))
        common: dict[str, tuple[Any, str]] = {}
        for name in _BESIDE:
            for key, value, _ in _flat(file.beside(name)):
                if key in values:
                    continue
                if key in common and common[key][0] != value:
                    raise MarginLensError(
                        f"{common[key][1]} says {key} = {_short(common[key][0])}, and {name} says "
                        f"{_short(value)}; expected one file of settings beside {file.name}"
                    )
                common.setdefault(key, (value, name))
        return cls(values | common)


def _flat(values: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """Yield settings in known mappings, and plain ones beside them: name, value, mapping."""
    for name in _INSIDE:
        inside = values.get(name)
        inside = vars(inside) if isinstance(inside, argparse.Namespace) else inside
        if isinstance(inside, Mapping):
            for key, value in inside.items():
                yield str(key), value, name
    for key, value in values.items():
        if value is None or isinstance(value, bool | int | float | str | list):
            yield str(key), value, ""


def _short(value: Any) -> str:
    words = repr(value)
    return words if len(words) <= 40 else f"{words[:37]}..."


def whole(value: Any, words: str, what: str, good: int = 4) -> int:
    """Return a stated value as a whole number of at least 1.

    Parameters
    ----------
    value
        Stated value of any type.
    words
        Phrase with the setting, its value and place.
    what
        Phrase with the number in the tables.
    good
        Number for the example in the message.

    Raises
    ------
    ValueError
        The value is a truth value, a text, a fraction or less than 1.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise MarginLensError(f"{words}, but {what}; expected a whole number, for example {good}")
    return value
