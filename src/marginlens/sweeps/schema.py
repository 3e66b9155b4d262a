"""Schemas of a sweep's tables: one row per member, and one per member and feature.

A member is one network: a configuration (a recipe without its seeds) trained from one seed. Both
tables are keyed by ``configuration`` and ``seed``.
"""

from __future__ import annotations

import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pyarrow as pa

from marginlens.training import Recipe

__all__ = ["FEATURES", "MEMBERS", "RECIPE", "recipe_values"]

_NOT_RESULTS = {
    "seed",
    "members",
    "compile",
    "memory",
    "device",
    "tf32",
    "record_every",
    "snapshots",
    "train_rows",
    "test_rows",
}
"""Recipe fields without effect on the results; the seed is a separate column."""


def _arrow(annotation: Any) -> pa.DataType:
    """Return the Arrow type of a recipe field."""
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        (annotation,) = (
            part
            for part in get_args(annotation)
            if part is not type(None) and get_origin(part) is not Annotated  # a user's function
        )
        return _arrow(annotation)
    if origin is Literal:
        return pa.string()
    if origin is tuple:
        return pa.list_(pa.float64())
    return {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}[annotation]


RECIPE = pa.schema(
    [
        pa.field(name, _arrow(field.annotation))
        for name, field in Recipe.model_fields.items()
        if name not in _NOT_RESULTS
    ]
)
"""Recipe fields that each member's row repeats."""

MEMBERS = pa.schema(
    [
        (
            "configuration",
            pa.string(),
        ),  # digest of the recipe without its seeds, and of the thresholds
        ("seed", pa.int64()),
        *RECIPE,
        ("key_threshold", pa.float64()),
        ("count_threshold", pa.float64()),
        ("purity_threshold", pa.float64()),
        ("end", pa.string()),  # "converged", "steps", "diverged", ... (training.state.ENDS)
        ("end_step", pa.int64()),
        ("loss", pa.float64()),
        ("cross_entropy", pa.float64()),
        ("accuracy", pa.float64()),
        ("margin", pa.float64()),
        ("norm", pa.float64()),
        ("normalized_margin", pa.float64()),
        ("maximum_margin", pa.float64()),  # gamma*; null where no theorem gives it, with the next
        ("margin_share", pa.float64()),  # normalized_margin / maximum_margin
        ("test_cross_entropy", pa.float64()),  # these three null without held-out rows
        ("test_accuracy", pa.float64()),
        ("test_margin", pa.float64()),
        ("collapsed", pa.bool_()),
        ("key_set", pa.string()),  # "{k=1, k=2}", features in the task's order; "{}" if empty
        ("key_count", pa.int64()),
        ("spectral_count", pa.int64()),
        ("spectral_total", pa.float64()),  # sum over features of b^2: share of the logits explained
        ("dead_neurons", pa.int64()),  # null for a transformer, with the two below
        ("pure_neurons", pa.int64()),
        ("same_feature", pa.bool_()),  # whether all neurons are pure for one and the same feature
    ]
)
"""Schema of the table with one row per member."""

FEATURES = pa.schema(
    [
        ("configuration", pa.string()),
        ("seed", pa.int64()),
        ("feature", pa.string()),
        ("position", pa.int64()),  # of the feature in the task, from 0
        ("type", pa.string()),
        ("degree", pa.int64()),
        ("dimension", pa.int64()),
        ("spectral_weight", pa.float64()),  # b
        ("key", pa.bool_()),
        ("pure_neurons", pa.int64()),  # null for a transformer, with the two below
        ("multiplicity", pa.float64()),  # pure_neurons / width
        (
            "norm_share",
            pa.float64(),
        ),  # of sum ||omega||^nu on neurons of which it is the dominant feature
    ]
)
"""Schema of the table with one row per member and feature."""


def recipe_values(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe's values for the columns of ``RECIPE``.

    Examples
    --------
    >>> recipe_values(Recipe(task="C5"))["width"]
    500
    """
    values = recipe.model_dump()
    return {name: values[name] for name in RECIPE.names}
