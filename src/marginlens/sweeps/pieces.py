"""Computation of one piece of a sweep: train and observe seeds, return its files as bytes."""

from __future__ import annotations

import io
import threading
import time
import traceback
import warnings
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import save

from marginlens.errors import MarginLensError
from marginlens.groups import FiniteGroup
from marginlens.measures import Observables, norm_shares, observe
from marginlens.networks import Network
from marginlens.runs.prediction_for import prediction_for
from marginlens.sweeps.schema import FEATURES, MEMBERS, recipe_values
from marginlens.sweeps.spec import Piece, Thresholds
from marginlens.tasks import Task, task, task_over
from marginlens.theory import default_activation, is_covered, parse_activation, predict
from marginlens.training import Recipe, Training, train

__all__ = ["compute_piece", "payload_of", "tables_of"]

_VERSION = version("marginlens")
_ONE_AT_A_TIME = threading.Lock()
"""A worker may have several threads, but PyTorch's settings are the whole process's."""


def payload_of(piece: Piece, thresholds: Thresholds) -> dict[str, Any]:
    """Return the input of :func:`compute_piece` as plain values.

    It includes the group's table, since the worker may lack GAP and this machine's files.
    """
    problem = piece.configuration.task
    table = None
    if problem.elements is not None:
        buffer = io.BytesIO()
        np.save(buffer, problem.elements.table.astype(np.int32))
        table = buffer.getvalue()
    return {
        "version": _VERSION,
        "configuration": piece.configuration.digest,
        "recipe": piece.recipe.model_dump(mode="json"),
        "thresholds": thresholds.model_dump(),
        "table": table,
        "group": None if problem.elements is None else problem.elements.name,
    }


def compute_piece(payload: dict[str, Any]) -> dict[str, Any]:
    """Train and observe the seeds of a piece; each process computes one piece at a time.

    Parameters
    ----------
    payload
        Plain values made by :func:`payload_of`.

    Returns
    -------
    dict
        ``files``, from names to bytes, which are bit-identical between computations on one kind of
        processor; or ``reason``, the error in one line. Also ``seconds``.
    """
    with _ONE_AT_A_TIME:
        return _attempt(payload)


def _attempt(payload: dict[str, Any]) -> dict[str, Any]:
    started = time.perf_counter()
    threads = torch.get_num_threads()
    try:
        if payload["version"] != _VERSION:
            raise MarginLensError(
                f"expected marginlens {payload['version']} on the worker, got {_VERSION}: install the "
                "same version everywhere"
            )
        torch.set_num_threads(1)  # the number of threads changes the rounding of sums
        made: dict[str, Any] = {"files": _compute(payload)}
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        words = " ".join(str(error).split()) or type(error).__name__
        if not isinstance(error, ValueError | ArithmeticError | OSError | MemoryError):
            words = f"{type(error).__name__}: {words}"
        made = {"reason": words, "traceback": traceback.format_exc()}
    finally:
        torch.set_num_threads(threads)
    return made | {"seconds": time.perf_counter() - started}


def _compute(payload: dict[str, Any]) -> dict[str, bytes]:
    recipe = Recipe(**payload["recipe"])
    if payload["table"] is None:
        problem = task(recipe.task)
    else:
        table = np.load(io.BytesIO(payload["table"]), allow_pickle=False)
        problem = task_over(recipe.task, FiniteGroup(table, payload["group"]))
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # a missing compiler is slower, and the same for every piece
        margin = None if recipe.stop_share is None else prediction_for(problem, recipe).margin
        training = train(problem, recipe, margin=margin)
    if training.stopped == "interrupted":
        raise OSError("interrupted")
    thresholds = Thresholds(**payload["thresholds"])
    members, features = tables_of(payload["configuration"], recipe, problem, training, thresholds)
    tensors = training.network.tensors
    parameters = {name: tensors[name].contiguous() for name in sorted(tensors)}
    return {
        "members.parquet": _parquet(members),
        "features.parquet": _parquet(features),
        "parameters.safetensors": save(parameters),
        "recipe.toml": recipe.to_toml().encode(),
    }


def tables_of(
    configuration: str, recipe: Recipe, problem: Task, training: Training, thresholds: Thresholds
) -> tuple[pa.Table, pa.Table]:
    """Return the tables of a training's members and features (``MEMBERS`` and ``FEATURES``)."""
    network, count = training.network, recipe.members
    seeds = np.arange(recipe.seed, recipe.seed + count)
    found = _observed(network, problem, thresholds)
    last = {name: values[-1] for name, values in training.history.items()}
    neurons = None if found is None else found.pure
    columns: dict[str, Any] = {
        "configuration": [configuration] * count,
        "seed": seeds,
        **{name: [value] * count for name, value in recipe_values(recipe).items()},
        "key_threshold": [thresholds.key] * count,
        "count_threshold": [thresholds.count] * count,
        "purity_threshold": [thresholds.pure] * count,
        "end": list(training.ends),
        "end_step": training.end_steps,
        **last,
    }
    maximum = _maximum_margin(problem, recipe)
    if maximum is not None:
        columns["maximum_margin"] = [maximum] * count
        columns["margin_share"] = last["normalized_margin"] / maximum
    if found is not None:
        columns |= {
            "collapsed": found.collapsed,
            "key_set": list(found.key_sets),
            "key_count": found.key.sum(1),
            "spectral_count": found.spectral_count,
            "spectral_total": found.spectral_total,
        }
        if neurons is not None and found.dead is not None:
            columns |= {
                "dead_neurons": found.dead.sum(1),
                "pure_neurons": (neurons >= 0).sum(1),
                "same_feature": found.same_feature,
            }
    return _table(MEMBERS, columns, count), _features(configuration, seeds, network, problem, found)


def _maximum_margin(problem: Task, recipe: Recipe) -> float | None:
    """Return gamma* of the network, or None if no theorem gives it."""
    plain = recipe.network == "mlp" and not recipe.biases
    if not plain or not is_covered(problem):
        return None
    if parse_activation(recipe.activation) != default_activation(problem):
        return None
    return predict(problem).margin


def _observed(network: Network, problem: Task, thresholds: Thresholds) -> Observables | None:
    if problem.group is None:  # logits of other tasks have no characters
        return None
    return observe(network, problem, **thresholds.model_dump())


def _features(
    configuration: str,
    seeds: np.ndarray,
    network: Network,
    problem: Task,
    found: Observables | None,
) -> pa.Table:
    features, count = problem.features, len(seeds)
    size = count * len(features)
    columns: dict[str, Any] = {
        "configuration": [configuration] * size,
        "seed": np.repeat(seeds, len(features)),
        "feature": [feature.name for feature in features] * count,
        "position": np.tile(np.arange(len(features)), count),
        "type": [feature.type for feature in features] * count,
        "degree": [None if f.irrep is None else f.irrep.degree for f in features] * count,
        "dimension": [feature.dimension for feature in features] * count,
    }
    if found is not None:
        columns |= {"spectral_weight": found.spectral_weights.ravel(), "key": found.key.ravel()}
        pure, multiplicity = found.pure_neurons, found.multiplicity
        if pure is not None and multiplicity is not None:  # not of a transformer
            columns |= {
                "pure_neurons": pure.ravel(),
                "multiplicity": multiplicity.ravel(),
                "norm_share": norm_shares(network.as_mlp(), problem).ravel(),
            }
    return _table(FEATURES, columns, size)


def _table(schema: pa.Schema, columns: dict[str, Any], size: int) -> pa.Table:
    """Return a table in the schema's order and types; missing columns and NaN become null."""
    arrays = []
    for field in schema:
        values = columns.get(field.name)
        if values is None:
            arrays.append(pa.nulls(size, field.type))
        elif isinstance(values, np.ndarray):
            missing = np.isnan(values) if values.dtype.kind == "f" else None
            arrays.append(pa.array(values, field.type, mask=missing))
        else:
            arrays.append(pa.array(values, field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()
