"""Reader of sweep files: checks every field, suggests the nearest name for a wrong one."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from marginlens.errors import MarginLensError
from marginlens.sweeps.spec import Sweep, Thresholds
from marginlens.training import Recipe
from marginlens.training.recipe import in_one_line

__all__ = ["read_sweep"]

_FIELDS = tuple(name for name in Recipe.model_fields if name not in ("seed", "members"))
_SEEDS = {
    "seed": 'write seed = 0 above the tables: the first of the "seeds"',
    "members": "write seeds = 100 above the tables",
    "seeds": "write seeds = 100 above the tables",
}
_LISTS = ("betas",)  # fields whose values are lists


def read_sweep(source: str | Path | Mapping[str, Any]) -> Sweep:
    """Read a sweep from a TOML file, or from a mapping with the content of such a file.

    Parameters
    ----------
    source
        Path of a TOML file, or mapping from its top-level names to values.

    Raises
    ------
    ValueError
        If the file cannot be read, a field is unknown (the message suggests the nearest one), or a value
        has the wrong type.
    """
    if isinstance(source, Mapping):
        data, where = dict(source), ""
    else:
        path = Path(source)
        where = f"{str(path)!r}: "
        try:
            data = tomllib.loads(path.read_text())
        except FileNotFoundError:
            raise MarginLensError(
                f"expected a sweep's TOML file, found no file {str(path)!r}; see marginlens sweep run "
                "--help"
            ) from None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise MarginLensError(f"{where}not readable as TOML: {error}") from None
    try:
        sweep = _sweep(data)
    except ValueError as error:
        raise MarginLensError(f"{where}{error}") from None
    return sweep


def _sweep(data: dict[str, Any]) -> Sweep:
    for name in data:
        if name in Sweep.model_fields:
            continue
        if name in _FIELDS:
            raise MarginLensError(
                f"{name} is a field of the recipe: write it below [recipe], or as a list below [grid]"
            )
        _refuse(name, tuple(Sweep.model_fields), "")
    if isinstance(data.get("observe"), dict):
        for name in data["observe"]:
            if name not in Thresholds.model_fields:
                _refuse(name, tuple(Thresholds.model_fields), "[observe]")
    try:
        sweep = Sweep(**data)
    except ValidationError as error:
        raise MarginLensError(in_one_line(error)) from None
    tables = [("[recipe]", sweep.recipe), ("[grid]", sweep.grid)]
    tables += [(f"[[points]] number {i}", point) for i, point in enumerate(sweep.points, start=1)]
    for table, fields in tables:
        for name in fields:
            if name not in _FIELDS:
                _refuse(name, _FIELDS, table)
            if table != "[grid]" and isinstance(fields[name], list) and name not in _LISTS:
                raise MarginLensError(f"{name} in {table} is a list; write it below [grid]")
    for name, values in sweep.grid.items():
        if not values:
            raise MarginLensError(
                f"[grid] {name} is an empty list; add a value, or remove the list"
            )
        if name in sweep.recipe:
            raise MarginLensError(f"{name} is in [recipe] and in [grid]; keep one of them")
        if any(name in point for point in sweep.points):
            raise MarginLensError(f"{name} is in [[points]] and in [grid]; keep one of them")
    named = "task" in sweep.recipe or "task" in sweep.grid
    if not named and not (sweep.points and all("task" in point for point in sweep.points)):
        raise MarginLensError(
            'the task is missing: write task = "C5" below [recipe], or a list below [grid]'
        )
    return sweep


def _refuse(name: str, known: tuple[str, ...], table: str) -> None:
    place = f" in {table}" if table else ""
    if table and name in _SEEDS:
        raise MarginLensError(f"{name}{place}: {_SEEDS[name]}")
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"expected for example {', '.join(known[:8])}"
    raise MarginLensError(f"unknown field {name!r}{place}; {hint}")
