"""Specification of a sweep: the content of its TOML file, validated before any run."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import tomli_w
from pydantic import BaseModel, ConfigDict, Field

from marginlens.errors import MarginLensError
from marginlens.measures.ensembles.observables import COUNT, KEY, PURE
from marginlens.tasks import Task, task
from marginlens.training import Recipe, check_trainable, estimated_seconds, recipe_for

__all__ = ["Configuration", "Piece", "Sweep", "Thresholds"]

_RECORDS = 20
_SAMPLE = 20
_TOGETHER = 1000


class Thresholds(BaseModel):
    """Thresholds for key features, spectral count and purity.

    They are arguments of :func:`marginlens.measures.observe`.

    Attributes
    ----------
    key
        Least spectral weight of a key feature, in (0, 1).
    count
        Energy share that the spectral count may leave out, in [0, 1).
    pure
        Energy share outside its feature that a pure neuron may have, in (0, 0.5).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: float = Field(KEY, gt=0, lt=1)
    count: float = Field(COUNT, ge=0, lt=1)
    pure: float = Field(PURE, gt=0, lt=0.5)


@dataclass(frozen=True, eq=False)
class Configuration:
    """Configuration of a sweep: one recipe, trained from every seed.

    Attributes
    ----------
    recipe
        Complete recipe for one member.
    task
        Task that the networks learn.
    digest
        Hash of recipe, thresholds and table, as twelve hexadecimal digits.
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
        Configuration that is trained.
    first, count
        First seed and number of seeds: first, first + 1, ..., first + count - 1.
    """

    configuration: Configuration
    first: int
    count: int

    @property
    def id(self) -> str:
        """Identifier of the piece, part of its folder's name."""
        return f"{self.configuration.digest}-{self.first}-{self.count}"

    @property
    def recipe(self) -> Recipe:
        """Recipe of the piece's training."""
        return self.configuration.recipe.model_copy(
            update={"seed": self.first, "members": self.count}
        )

    @cached_property
    def seconds(self) -> float:
        """Expected cost in seconds of one core."""
        return estimated_seconds(self.configuration.task, self.recipe)


class Sweep(BaseModel):
    """Specification of a sweep: values for the fields of a recipe, and seeds.

    Attributes
    ----------
    name
        Title of the sweep in tables and reports.
    seeds, seed
        Number of seeds and first seed: each configuration is trained from seed, seed + 1, ...,
        seed + seeds - 1.
    together
        Largest number of seeds that one worker trains together; None means all, up to a thousand.
    recipe
        Fields that all configurations share; missing fields get the task's defaults.
    grid
        Lists of values by field; every combination is trained.
    points
        Configurations as mappings of fields; each is combined with the whole grid.
    observe
        Thresholds for key features, spectral count and purity.
    slurm
        Arguments of ``dask_jobqueue.SLURMCluster``, and ``jobs``.

    Examples
    --------
    >>> from marginlens.sweeps import read_sweep
    >>> sweep = read_sweep({"seeds": 3, "recipe": {"task": "C5"}, "grid": {"width": [2, 8]}})
    >>> sweep.size, sweep.runs, [c.recipe.width for c in sweep.configurations()]
    (2, 6, [2, 8])
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "sweep"
    seeds: int = Field(1, ge=1, le=1_000_000)
    seed: int = Field(0, ge=0, lt=2**61)
    together: int | None = Field(None, ge=1, le=100_000)
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

    @property
    def piece_count(self) -> int:
        """Number of pieces."""
        return self.size * -(-self.seeds // self._at_most)

    def combinations(self) -> Iterator[dict[str, Any]]:
        """Yield the given fields of each configuration."""
        return (self._fields(number) for number in range(self.size))

    def _fields(self, number: int) -> dict[str, Any]:
        """Return the fields of one configuration; the grid's last field changes fastest."""
        chosen = {}
        for name, values in reversed(self.grid.items()):
            number, position = divmod(number, len(values))
            chosen[name] = values[position]
        point = self.points[number] if self.points else {}
        return {**self.recipe, **point, **{name: chosen[name] for name in self.grid}}

    def configurations(self) -> tuple[Configuration, ...]:
        """Return every configuration, completed and checked.

        Raises
        ------
        ValueError
            In one line that names the configuration, if a value is invalid or two are the same.
        """
        tasks: dict[str, Task] = {}
        found: dict[str, dict[str, Any]] = {}
        made = []
        for fields in self.combinations():
            one = self.configuration(fields, tasks)
            if one.digest in found:
                raise MarginLensError(
                    f"two configurations are the same: {_words(found[one.digest])}, and "
                    f"{_words(fields)}; remove one"
                )
            found[one.digest] = fields
            made.append(one)
        return tuple(made)

    def configuration(self, fields: Mapping[str, Any], tasks: dict[str, Task]) -> Configuration:
        """Return the configuration for given fields; ``tasks`` caches tasks by name."""
        try:
            spec = fields["task"]
            if not isinstance(spec, str):
                raise MarginLensError(f'task must be a name such as "C5", got {spec!r}')
            if spec not in tasks:
                tasks[spec] = task(spec)
            chosen = tasks[spec]
            if chosen.kind == "table" or not fields.get("online"):
                chosen.require_rows()  # key features are measured on the group's table
            given = {name: _plain(value) for name, value in fields.items() if name != "task"}
            # defaults of an ensemble: seeds are trained together, many tiny ones in one kernel
            recipe = recipe_for(chosen, **{"snapshots": 0, "members": 2, **given})
            recipe = recipe.model_copy(update={"members": given.get("members", 1)})
            looked_at = recipe.stop_share is not None or (recipe.tolerance and not recipe.patience)
            if "record_every" not in given and not looked_at:  # no history is kept
                every = max(recipe.record_every, recipe.steps // _RECORDS)
                recipe = recipe.model_copy(update={"record_every": every})
            check_trainable(chosen, recipe)
        except (ValueError, OSError) as error:
            raise MarginLensError(f"{_words(fields)}: {error}") from None
        return Configuration(recipe, chosen, self._digest(recipe, chosen))

    def _digest(self, recipe: Recipe, chosen: Task) -> str:
        what = recipe.model_dump(mode="json", exclude={"seed", "members"})
        sha = hashlib.sha256(json.dumps(what, sort_keys=True).encode())
        sha.update(self.observe.model_dump_json().encode())
        if chosen.elements is not None:  # a file of the same name may hold another table
            sha.update(chosen.elements.table.astype("<i4").tobytes())
        return sha.hexdigest()[:12]

    def pieces(self, configurations: tuple[Configuration, ...]) -> tuple[Piece, ...]:
        """Return the pieces of all configurations; a worker computes one at a time."""
        step = self._at_most
        return tuple(
            Piece(one, self.seed + first, min(step, self.seeds - first))
            for one in configurations
            for first in range(0, self.seeds, step)
        )

    @property
    def _at_most(self) -> int:
        """Largest number of seeds in a piece."""
        return min(self.together or _TOGETHER, self.seeds)

    def estimated_seconds(self) -> float:
        """Return the sweep's expected cost in seconds of one core, from at most 20 configurations."""
        some = random.Random(0).sample(range(min(self.size, 2**62)), min(_SAMPLE, self.size))
        tasks: dict[str, Task] = {}
        total = 0.0
        for number in sorted(some):
            one = self.configuration(self._fields(number), tasks)
            total += Piece(one, 0, self._at_most).seconds * self.seeds / self._at_most
        return total / len(some) * self.size

    def to_toml(self) -> str:
        """Return the sweep as TOML text."""
        return tomli_w.dumps(self.model_dump(exclude_none=True, exclude_defaults=True))


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _words(fields: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in fields.items())
