"""What a sweep consists of: a TOML file, validated whole before anything runs."""

from __future__ import annotations

import difflib
import hashlib
import itertools
import json
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from marginlens.measures.observables import COUNT, KEY, PURE
from marginlens.tasks import Task, task
from marginlens.training import Recipe, check_trainable, estimated_seconds, recipe_for

__all__ = ["Configuration", "Piece", "Sweep", "Thresholds", "read_sweep"]

_FIELDS = tuple(name for name in Recipe.model_fields if name not in ("seed", "members"))
_SEEDS = {
    "seed": 'write seed = 0 above the tables: the first of the "seeds"',
    "members": "write seeds = 100 above the tables",
    "seeds": "write seeds = 100 above the tables",
}
_RECORDS = 20


class Thresholds(BaseModel):
    """When a feature is key, and what the spectral count and purity leave out (``observe``)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: float = Field(KEY, gt=0, lt=1)
    count: float = Field(COUNT, ge=0, lt=1)
    pure: float = Field(PURE, gt=0, lt=0.5)


@dataclass(frozen=True, eq=False)
class Configuration:
    """One recipe, to be trained from every seed.

    Attributes
    ----------
    recipe
        Complete, for one member.
    task
        What is learned.
    digest
        Twelve hexadecimal digits that stand for recipe, thresholds and table.
    """

    recipe: Recipe
    task: Task
    digest: str

    def __str__(self) -> str:
        r = self.recipe
        return f"{r.task}, {r.activation}, width {r.width}, strength {r.strength:g}"


@dataclass(frozen=True, eq=False)
class Piece:
    """Seeds of one configuration that are trained together.

    Attributes
    ----------
    configuration
        How.
    first, count
        The seeds: first, first + 1, ...
    """

    configuration: Configuration
    first: int
    count: int

    @property
    def id(self) -> str:
        """Name of its folder."""
        return f"{self.configuration.digest}-{self.first}-{self.count}"

    @property
    def recipe(self) -> Recipe:
        """The recipe of its training."""
        return self.configuration.recipe.model_copy(
            update={"seed": self.first, "members": self.count}
        )

    @property
    def seconds(self) -> float:
        """Its expected cost, in seconds of one core."""
        return estimated_seconds(self.configuration.task, self.recipe)


class Sweep(BaseModel):
    """Values for the fields of a recipe, and seeds.

    Attributes
    ----------
    name
        For people.
    seeds, seed
        Each configuration is trained from seed, seed + 1, ..., seed + seeds - 1.
    together
        Most seeds of a configuration that are trained by one worker; None: all.
    recipe
        Fields that all configurations share; those given nowhere suit the task, as everywhere.
    grid
        Lists of values: every combination.
    points
        Configurations, field by field; each is combined with the whole grid.
    observe
        Thresholds.
    slurm
        Arguments of ``dask_jobqueue.SLURMCluster``, and ``jobs``.

    Examples
    --------
    >>> sweep = read_sweep({"seeds": 3, "recipe": {"task": "C5"}, "grid": {"width": [2, 8]}})
    >>> sweep.size, sweep.runs, [c.recipe.width for c in sweep.configurations()]
    (2, 6, [2, 8])
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "sweep"
    seeds: int = Field(1, ge=1, le=1_000_000)
    seed: int = Field(0, ge=0, lt=2**61)
    together: int | None = Field(None, ge=1)
    recipe: dict[str, Any] = Field(default_factory=dict)
    grid: dict[str, list[Any]] = Field(default_factory=dict)
    points: list[dict[str, Any]] = Field(default_factory=list)
    observe: Thresholds = Thresholds()  # type: ignore[call-arg]
    slurm: dict[str, Any] = Field(default_factory=dict)

    @property
    def size(self) -> int:
        """Number of configurations."""
        return max(1, len(self.points)) * math.prod(len(values) for values in self.grid.values())

    @property
    def runs(self) -> int:
        """Number of networks to train."""
        return self.size * self.seeds

    def combinations(self) -> Iterator[dict[str, Any]]:
        """The fields of each configuration, as given."""
        for point in self.points or [{}]:
            for values in itertools.product(*self.grid.values()):
                yield {**self.recipe, **point, **dict(zip(self.grid, values, strict=True))}

    def configurations(self) -> tuple[Configuration, ...]:
        """Every configuration, complete and checked.

        Raises
        ------
        ValueError
            In one line that names the configuration, if a value is impossible or two are the same.
        """
        tasks: dict[str, Task] = {}
        found: dict[str, dict[str, Any]] = {}
        made = []
        for fields in self.combinations():
            one = self.configuration(fields, tasks)
            if one.digest in found:
                raise ValueError(
                    f"two configurations are the same: {_words(found[one.digest])}, and "
                    f"{_words(fields)}; leave one out"
                )
            found[one.digest] = fields
            made.append(one)
        return tuple(made)

    def configuration(self, fields: Mapping[str, Any], tasks: dict[str, Task]) -> Configuration:
        """One configuration from its fields; tasks made before are used again."""
        try:
            spec = fields["task"]
            if not isinstance(spec, str):
                raise ValueError(f'a task is named by text such as "C5", got {spec!r}')
            if spec not in tasks:
                tasks[spec] = task(spec)
            chosen = tasks[spec]
            chosen.require_rows()
            given = {name: _plain(value) for name, value in fields.items() if name != "task"}
            recipe = recipe_for(chosen, **{"snapshots": 0, **given})
            looked_at = recipe.stop_share is not None or (recipe.tolerance and not recipe.patience)
            if "record_every" not in given and not looked_at:  # no history is kept
                every = max(recipe.record_every, recipe.steps // _RECORDS)
                recipe = recipe.model_copy(update={"record_every": every})
            check_trainable(chosen, recipe)
        except (ValueError, OSError) as error:
            raise ValueError(f"{_words(fields)}: {error}") from None
        return Configuration(recipe, chosen, self._digest(recipe, chosen))

    def _digest(self, recipe: Recipe, chosen: Task) -> str:
        what = recipe.model_dump(mode="json", exclude={"seed", "members"})
        sha = hashlib.sha256(json.dumps(what, sort_keys=True).encode())
        sha.update(self.observe.model_dump_json().encode())
        if chosen.group is not None:  # a file of the same name may hold another table
            sha.update(chosen.group.table.astype("<i4").tobytes())
        return sha.hexdigest()[:12]

    def pieces(self, configurations: tuple[Configuration, ...]) -> tuple[Piece, ...]:
        """What is computed at a time."""
        step = self.together or self.seeds
        return tuple(
            Piece(one, self.seed + first, min(step, self.seeds - first))
            for one in configurations
            for first in range(0, self.seeds, step)
        )

    def estimated_seconds(self) -> float:
        """Expected cost of the sweep in seconds of one core, from at most 20 of its configurations."""
        step = max(1, self.size // 20)
        some = list(
            itertools.islice(self.combinations(), 0, 20 * step if self.size > 20 else None, step)
        )
        tasks: dict[str, Task] = {}
        total = 0.0
        for fields in some:
            one = self.configuration(fields, tasks)
            count = min(self.together or self.seeds, self.seeds)
            total += Piece(one, 0, count).seconds * self.seeds / count
        return total / len(some) * self.size

    def to_toml(self) -> str:
        """The sweep as TOML text."""
        return tomli_w.dumps(self.model_dump(exclude_none=True, exclude_defaults=True))


def read_sweep(source: str | Path | Mapping[str, Any]) -> Sweep:
    """Read a sweep from a TOML file, or from what such a file holds.

    Raises
    ------
    ValueError
        If the file cannot be read, a field is unknown (with the nearest that there is), or a value
        has another type than its field.
    """
    if isinstance(source, Mapping):
        data, where = dict(source), ""
    else:
        path = Path(source)
        where = f"{str(path)!r}: "
        try:
            data = tomllib.loads(path.read_text())
        except FileNotFoundError:
            raise ValueError(
                f"there is no file {str(path)!r}; see marginlens sweep --help"
            ) from None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ValueError(f"{where}not readable as TOML: {error}") from None
    try:
        sweep = _sweep(data)
    except ValueError as error:
        raise ValueError(f"{where}{error}") from None
    return sweep


def _sweep(data: dict[str, Any]) -> Sweep:
    for name in data:
        if name in Sweep.model_fields:
            continue
        if name in _FIELDS:
            raise ValueError(
                f"{name} is a recipe's field: write it below [recipe], or as a list below [grid]"
            )
        _refuse(name, tuple(Sweep.model_fields), "")
    try:
        sweep = Sweep(**data)
    except ValidationError as error:
        problem = error.errors()[0]
        loc = ".".join(str(part) for part in problem["loc"])
        raise ValueError(f"{loc}: {problem['msg'].lower()}, got {problem['input']!r}") from None
    tables = [("[recipe]", sweep.recipe), ("[grid]", sweep.grid)]
    tables += [(f"[[points]] number {i}", point) for i, point in enumerate(sweep.points, start=1)]
    for table, fields in tables:
        for name in fields:
            if name not in _FIELDS:
                _refuse(name, _FIELDS, table)
    for name, values in sweep.grid.items():
        if not values:
            raise ValueError(f"[grid] {name} is an empty list; give it a value, or leave it out")
        if name in sweep.recipe:
            raise ValueError(f"{name} is in [recipe] and in [grid]; keep one of them")
        if any(name in point for point in sweep.points):
            raise ValueError(f"{name} is in [[points]] and in [grid]; keep one of them")
    named = "task" in sweep.recipe or "task" in sweep.grid
    if not named and not (sweep.points and all("task" in point for point in sweep.points)):
        raise ValueError(
            'no task is named: write task = "C5" below [recipe], or a list below [grid]'
        )
    return sweep


def _refuse(name: str, known: tuple[str, ...], table: str) -> None:
    place = f" in {table}" if table else ""
    if table and name in _SEEDS:
        raise ValueError(f"{name}{place}: {_SEEDS[name]}")
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    raise ValueError(f"unknown field {name!r}{place}; {hint}")


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _words(fields: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in fields.items())
