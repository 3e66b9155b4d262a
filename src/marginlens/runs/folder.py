"""A run on disk.

``recipe.toml``, ``history.parquet`` (one row a record and member), ``snapshots.safetensors``,
``parameters.safetensors`` (every member), ``prediction.json``, ``verdict.json``, and ``table.npy`` if
the task came from a table. No pickles.
"""

from __future__ import annotations

import json
import tempfile
import tomllib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file as save_tensors

from marginlens.groups import FiniteGroup, group
from marginlens.networks import MLP
from marginlens.runs.run import Run, prediction_for, run_record
from marginlens.tasks import Task, task
from marginlens.theory import parse_activation
from marginlens.training import Recipe, Training

__all__ = ["check_folder", "load_run", "save_run"]

_MARK = "recipe.toml"
_FILES = {
    _MARK, "history.parquet", "snapshots.safetensors", "parameters.safetensors",
    "prediction.json", "verdict.json", "table.npy", "report.html",
}  # fmt: skip


def check_folder(out: str | Path, *, overwrite: bool) -> Path:
    """Return the folder if a run may be written there.

    Raises
    ------
    ValueError
        If it exists and is not to be replaced, is something other than a run, or cannot be made.
    """
    folder = Path(out)
    if folder.exists():
        if not overwrite:
            raise ValueError(f"{str(folder)!r} exists; choose another --out, or add --overwrite")
        if not folder.is_dir() or (any(folder.iterdir()) and not (folder / _MARK).exists()):
            raise ValueError(f"{str(folder)!r} exists and is not a run's folder; it is left alone")
        foreign = sorted(path.name for path in folder.iterdir() if path.name not in _FILES)
        if foreign:
            raise ValueError(
                f"{str(folder)!r} also holds {foreign[0]!r}, which is not of a run; move it away, "
                "or choose another --out"
            )
    parent = folder.absolute().parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise ValueError(f"{str(parent)!r} is not a folder; choose another --out")
    try:
        tempfile.TemporaryDirectory(prefix=".marginlens.", dir=parent).cleanup()
    except OSError as error:
        raise ValueError(
            f"cannot write in {str(parent)!r} ({error.strerror}); choose another --out"
        ) from None
    return folder


def save_run(run: Run, folder: Path, *, overwrite: bool = False) -> None:
    """Write a run's folder: whole, or not at all."""
    folder = check_folder(folder, overwrite=overwrite)
    folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f".{folder.name}.", dir=folder.absolute().parent
    ) as temporary:
        new = Path(temporary) / "run"
        new.mkdir()
        _write(run, new)
        old = Path(temporary) / "old"
        if folder.exists():
            folder.rename(old)
        try:
            new.rename(folder)
        except BaseException:
            if old.exists():
                old.rename(folder)
            raise


def _write(run: Run, folder: Path) -> None:
    training = run.training
    run.recipe.write(folder / _MARK)
    members = run.recipe.members
    columns: dict[str, np.ndarray] = {
        "step": np.repeat(training.steps, members),
        "member": np.tile(np.arange(members), len(training.steps)),
        **{name: values.ravel() for name, values in training.history.items()},
    }
    pq.write_table(pa.table(columns), folder / "history.parquet")
    save_arrays(
        {"step": training.snapshot_steps, **training.snapshots}, folder / "snapshots.safetensors"
    )
    save_tensors(
        {name: p.contiguous() for name, p in training.network.parameters.items()},
        folder / "parameters.safetensors",
        metadata={"seconds": repr(training.seconds), "stopped": training.stopped},
    )
    _write_json(folder / "prediction.json", run.prediction.to_dict())
    _write_json(folder / "verdict.json", run.verdict.to_dict())
    if run.task.group is not None and not _is_made_by_its_name(run.task.group):
        np.save(folder / "table.npy", run.task.group.table)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n")


def _is_made_by_its_name(learned: FiniteGroup) -> bool:
    """Whether the name gives this very table: a file may be called S3.csv, and hold another one."""
    try:
        return np.array_equal(group(learned.name).table, learned.table)
    except (ValueError, OSError):
        return False


def load_run(folder: str | Path) -> Run:
    """Read a run's folder; prediction, measurement and verdict are computed anew.

    Raises
    ------
    ValueError
        If the folder is not a run's, or a file in it is damaged.
    """
    path = Path(folder)
    if not (path / _MARK).is_file():
        raise ValueError(
            f"{str(folder)!r} is not a run's folder (no {_MARK}); make one with: marginlens run C23"
        )
    try:
        return _read(path)
    except (ValueError, OSError, KeyError, SafetensorError, pa.ArrowException) as error:
        words = " ".join(str(error).split())
        raise ValueError(f"the run in {str(folder)!r} is damaged: {words}") from None


def _read(path: Path) -> Run:
    recipe = Recipe(**tomllib.loads((path / _MARK).read_text()))
    with safe_open(path / "parameters.safetensors", framework="pt") as file:
        metadata = file.metadata() or {}
        chosen = _task_of(recipe, path, inputs=len(file.keys()) - 1)
        parameters: dict[str, torch.Tensor] = {
            name: file.get_tensor(name) for name in (*chosen.slots, "w")
        }
    with safe_open(path / "snapshots.safetensors", framework="np") as file:
        snapshots: dict[str, np.ndarray] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    table = pq.read_table(path / "history.parquet")
    members = recipe.members
    history = {
        name: table[name].to_numpy().reshape(-1, members)
        for name in table.column_names
        if name not in ("step", "member")
    }
    training = Training(
        network=MLP(parameters, parse_activation(recipe.activation)),
        steps=table["step"].to_numpy().reshape(-1, members)[:, 0],
        history=history,
        snapshot_steps=snapshots.pop("step"),
        snapshots=snapshots,
        seconds=float(metadata.get("seconds", "nan")),
        stopped=metadata.get("stopped", "unknown"),
    )
    return run_record(chosen, recipe, prediction_for(chosen, recipe), training, path)


def _task_of(recipe: Recipe, folder: Path, *, inputs: int) -> Task:
    """The task of a recipe; a table of its own was learned with one input for each slot."""
    table = folder / "table.npy"
    if not table.is_file():
        return task(recipe.task)
    name = recipe.task
    if inputs != 2:
        name = name.removeprefix("compose(").removesuffix(f",{inputs})")
    return task(group(table, name=name), inputs=inputs)
