"""Recorded training for the tour's first step: weights of three neurons over time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Float, Int

from marginlens.figures import choose_neurons
from marginlens.measures import measure
from marginlens.runs import execute

__all__ = ["Recorded", "record", "recorded"]

_TASK, _STEPS, _MOMENTS = "C23", 1000, 40  # marginlens train C23 --steps 1000 --snapshots 40
_FILE = "neurons.parquet"
_NEURONS = 3


@dataclass(frozen=True, eq=False)
class Recorded:
    """Weights of a few neurons at recorded steps of a training.

    Attributes
    ----------
    steps
        Training steps of the snapshots, of shape (moment,).
    accuracy, margin_ratio
        Accuracy of the whole network at these steps, and its normalized margin divided by gamma*.
    neurons
        Indices of the neurons in the network.
    weights
        Input weights u of these neurons, of shape (moment, element, neuron).
    """

    steps: Int[np.ndarray, " moment"]
    accuracy: Float[np.ndarray, " moment"]
    margin_ratio: Float[np.ndarray, " moment"]
    neurons: tuple[int, ...]
    weights: Float[np.ndarray, "moment element neuron"]


@cache
def recorded() -> Recorded:
    """Return the recorded training that comes with the package.

    Examples
    --------
    >>> recorded().weights.shape[1:], int(recorded().steps[0])
    ((23, 3), 0)
    """
    table = pq.read_table(str(files("marginlens.explorer") / _FILE))
    neurons = tuple(int(n) for n in (table.schema.metadata or {})[b"neurons"].split(b","))
    flat = np.array(table["weights"].to_pylist(), dtype=np.float64)
    return Recorded(
        steps=np.array(table["step"].to_pylist()),
        accuracy=np.array(table["accuracy"].to_pylist()),
        margin_ratio=np.array(table["margin_ratio"].to_pylist()),
        neurons=neurons,
        weights=flat.reshape(len(flat), -1, len(neurons)),
    )


def record(file: str | Path) -> None:
    """Train a network and write the file that :func:`recorded` reads (a few kilobytes).

    To reproduce the packaged file, run
    ``python -c "from marginlens.explorer.jobs.recorded_neurons import record;
    record('src/marginlens/explorer/neurons.parquet')"``.

    Parameters
    ----------
    file
        Path of the parquet file to write.
    """
    run = execute(_TASK, steps=_STEPS, snapshots=_MOMENTS, seed=0)
    neurons = choose_neurons(run.measurement, _NEURONS)
    network, rows = run.training.network.as_mlp(), []
    for moment, step in enumerate(run.snapshot_steps):
        parameters = {
            name: torch.as_tensor(values[moment])[None] for name, values in run.snapshots.items()
        }
        found = measure(network.with_parameters(parameters), run.task)
        rows.append(
            {
                "step": int(step),
                "accuracy": found.accuracy,
                "margin_ratio": (found.normalized_margin or 0.0)
                / (run.prediction.margin or np.nan),
                "weights": run.snapshots["u"][moment][:, neurons]
                .astype(np.float32)
                .ravel()
                .tolist(),
            }
        )
    schema = pa.schema(
        [
            ("step", pa.int64()),
            ("accuracy", pa.float64()),
            ("margin_ratio", pa.float64()),
            ("weights", pa.list_(pa.float32())),
        ],
        metadata={"neurons": ",".join(map(str, neurons)), "recipe": run.recipe.to_toml()},
    )
    pq.write_table(
        pa.Table.from_pylist(rows, schema=schema), file, compression="zstd", compression_level=19
    )
