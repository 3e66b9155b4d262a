"""Folder of a run on disk.

During training: ``recipe.toml``, ``table.npy`` if the task came from a table, and
``checkpoint.safetensors`` with the previous checkpoint. After training, instead of the checkpoints:
``history.parquet`` (one row per record and member), ``snapshots.safetensors``,
``parameters.safetensors`` (every member), ``prediction.json``, ``verdict.json`` and ``times.json``.
An interrupted run has all of these. ``changes.json`` records changes of the recipe during training.
The header of the parameters holds the program's version and the SHA-256 of the recipe and of the
weights: while they agree, prediction and verdict are read from the folder, else they are recomputed.
The files contain no pickles. Equal runs have byte-identical files, except for times, which are only in
``times.json``, ``verdict.json``, ``report.html`` and checkpoints.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from shlex import quote
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as array_bytes

from marginlens.errors import MarginLensError
from marginlens.files import write_whole
from marginlens.groups import FiniteGroup, group, is_table_file
from marginlens.networks import Network
from marginlens.runs.checkpoint import CHECKPOINT, PREVIOUS, locked
from marginlens.runs.prediction_for import prediction_for
from marginlens.runs.run import Run
from marginlens.runs.training_facts import conclusive
from marginlens.tasks import Task, name_of_elements
from marginlens.tensor_bytes import tensor_bytes
from marginlens.theory import Prediction
from marginlens.training import Recipe, Training, initial_network
from marginlens.training.state import HISTORY
from marginlens.training.task_of_folder import task_of_folder
from marginlens.verdict import Verdict

__all__ = [
    "CHANGES",
    "MARK",
    "begin_run",
    "check_folder",
    "finish_run",
    "is_finished",
    "load_run",
    "load_verdict",
    "load_weights",
    "note_changes",
    "read_training",
    "require_finite_weights",
    "save_run",
    "task_of_folder",
]

_T = TypeVar("_T")
_VERSION = version("marginlens")
MARK = "recipe.toml"
CHANGES = "changes.json"
TIMES = "times.json"
_SECONDS = ("seconds", "compile_seconds")
_FILES = {
    MARK,
    "history.parquet",
    "snapshots.safetensors",
    "parameters.safetensors",
    "prediction.json",
    "verdict.json",
    "table.npy",
    "report.html",
    CHANGES,
    CHECKPOINT,
    PREVIOUS,
    TIMES,
    "tensorboard",
    "mlflow",
    "wandb",
}
_BEGUN = f".{MARK}.begun"  # exists while a folder is emptied, until the recipe is written
_CURVES = ("history.parquet", "snapshots.safetensors")
_FINISHING = ".finishing"  # subfolder for the files of a finished run before they are moved


def check_folder(out: str | Path, *, overwrite: bool) -> Path:
    """Return the folder if a run may be written there.

    Parameters
    ----------
    out
        Folder that the run is to be written to.
    overwrite
        Whether an older run in the folder may be replaced.

    Raises
    ------
    ValueError
        If the folder exists without ``overwrite``, is not a run's, or cannot be created.
    """
    folder = Path(out)
    if folder.exists():
        ours = folder.is_dir() and ((folder / MARK).exists() or (folder / _BEGUN).exists())
        if not ours and (not folder.is_dir() or any(folder.iterdir())):
            raise MarginLensError(
                f"{str(folder)!r} exists and is not a run's folder; choose another --out, for example "
                "runs/C5"
            )
        if not overwrite:
            raise MarginLensError(
                f"{str(folder)!r} exists; choose another --out, or add --overwrite"
            )
        foreign = sorted(
            path.name
            for path in folder.iterdir()
            if path.name not in _FILES and not _is_left_over(path)
        )
        if foreign:
            raise MarginLensError(
                f"{str(folder)!r} also holds {foreign[0]!r}, which is not a run's file; move it away, "
                "or choose another --out"
            )
    parent = folder.absolute().parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise MarginLensError(f"{str(parent)!r} is not a folder; choose another --out")
    try:
        tempfile.TemporaryDirectory(prefix=".marginlens.", dir=parent).cleanup()
    except OSError as error:
        raise MarginLensError(
            f"cannot write in {str(parent)!r} ({error.strerror}); choose another --out"
        ) from None
    return folder


def _is_left_over(path: Path) -> bool:
    """Return whether the path is an unfinished file of a killed process."""
    return path.name.startswith((_FINISHING, f".{CHECKPOINT}.", f".{MARK}."))


@contextmanager
def begin_run(recipe: Recipe, chosen: Task, folder: Path, *, overwrite: bool) -> Iterator[None]:
    """Create a run's folder, or empty an older one, and lock it; then it can be resumed."""
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        check_folder(folder, overwrite=overwrite or not any(folder.iterdir()))
        (folder / _BEGUN).touch()
        (folder / MARK).unlink(missing_ok=True)  # first, so that it never lies beside foreign files
        for path in folder.iterdir():
            if path.name != _BEGUN:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        _write_table(chosen, folder)
        write_whole(folder / MARK, recipe.to_toml())  # last: it marks a folder that can be resumed
        (folder / _BEGUN).unlink()
        yield


def note_changes(folder: Path, step: int, was: Recipe, now: Recipe) -> None:
    """Write the recipe that holds from a step on, and its changed fields.

    ``changes.json`` is a list of ``{"step", "field", "from", "to"}``, in the order of the changes.

    Raises
    ------
    OSError
        If the files cannot be written.
    """
    before, after = was.model_dump(mode="json"), now.model_dump(mode="json")
    path = folder / CHANGES
    try:
        changes = json.loads(path.read_text())
    except (OSError, ValueError):  # the first change, or a damaged list, which is not essential
        changes = []
    changes += [
        {"step": step, "field": name, "from": before[name], "to": after[name]}
        for name in after
        if after[name] != before[name]
    ]
    if changes:
        write_whole(path, json.dumps(changes, indent=2) + "\n")
    write_whole(folder / MARK, now.to_toml())


def is_finished(folder: Path) -> bool:
    """Return whether the run in a folder has finished training.

    Parameters
    ----------
    folder
        Folder of the run.
    """
    pending = (folder / CHECKPOINT).exists() or (folder / PREVIOUS).exists()
    return (folder / "parameters.safetensors").exists() and not pending


def finish_run(run: Run, folder: Path) -> None:
    """Write the final files of a run into its folder, then remove its checkpoints.

    The checkpoints of an interrupted run are kept, so that it can be resumed.
    """
    for path in folder.iterdir():
        if _is_left_over(path):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    new = folder / _FINISHING
    new.mkdir()
    try:
        _write(run, new)
        for path in sorted(new.iterdir(), key=lambda path: path.name == "parameters.safetensors"):
            path.replace(folder / path.name)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    if run.training.stopped != "interrupted":
        for name in (CHECKPOINT, PREVIOUS):
            (folder / name).unlink(missing_ok=True)


def save_run(run: Run, folder: Path, *, overwrite: bool = False) -> None:
    """Write a run's folder in one atomic step.

    Parameters
    ----------
    run
        Finished run to save.
    folder
        Folder that the run is written to.
    overwrite
        Whether to replace an older run in the folder.

    Raises
    ------
    ValueError
        If the folder exists without ``overwrite``, is not a run's, or cannot be created.
    """
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
    run.recipe.write(folder / MARK)
    members = run.recipe.members
    columns: dict[str, np.ndarray] = {
        "step": np.repeat(training.steps, members),
        "member": np.tile(np.arange(members), len(training.steps)),
        **{name: values.ravel() for name, values in training.history.items()},
    }
    pq.write_table(pa.table(columns), folder / "history.parquet")
    snapshots = array_bytes({"step": training.snapshot_steps, **training.snapshots})
    (folder / "snapshots.safetensors").write_bytes(snapshots)
    metadata = {
        "stopped": training.stopped,
        "ends": json.dumps(training.ends),
        "end_steps": json.dumps(training.end_steps.tolist()),
        "version": _VERSION,
        "recipe": _digest_of_recipe(run.recipe.to_toml(), run.task),
        "weights": _digest_of_weights(training.network),
    }
    content = tensor_bytes(training.network.tensors, metadata)
    (folder / "parameters.safetensors").write_bytes(content)
    times = {name: getattr(training, name) for name in _SECONDS}
    _write_json(folder / TIMES, {name: s for name, s in times.items() if np.isfinite(s)})
    _write_json(folder / "prediction.json", run.prediction.to_dict())
    if run.is_measured:
        _write_json(folder / "verdict.json", run.verdict.to_dict())
    _write_table(run.task, folder)


def _write_table(chosen: Task, folder: Path) -> None:
    if chosen.elements is None or _is_made_by_its_name(chosen.elements):
        return
    if name_of_elements(chosen.name) != chosen.elements.name:
        raise MarginLensError(
            "expected a plain name for the group of a saved run, for example mine; got "
            f"{chosen.elements.name[:60]!r}, which reads as an operation"
        )
    np.save(folder / "table.npy", chosen.elements.table)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n")


def _is_made_by_its_name(learned: FiniteGroup) -> bool:
    """Return whether the name determines this table; a file's name does not."""
    if is_table_file(learned.name):
        return False
    try:
        return np.array_equal(group(learned.name).table, learned.table)
    except (ValueError, OSError):
        return False


@dataclass(frozen=True, eq=False)
class Weights:
    """Trained network of a run's folder, without its history.

    Attributes
    ----------
    recipe, task, network
        Recipe of the run, its task, and the trained network of all members.
    metadata
        Texts in the header of ``parameters.safetensors``: why training stopped, and at which steps.
    """

    recipe: Recipe
    task: Task
    network: Network
    metadata: Mapping[str, str]

    def is_unchanged(self, what: str, digest: str) -> bool:
        """Return whether the folder was written by this program version, with this content.

        Parameters
        ----------
        what
            Kind of content, ``"recipe"`` or ``"weights"``.
        digest
            SHA-256 of the present content.
        """
        return self.metadata.get("version") == _VERSION and self.metadata.get(what) == digest


def _digest_of_recipe(recipe: str, task: Task) -> str:
    """Return the SHA-256 of a recipe's text and of its task's table."""
    sha = hashlib.sha256(recipe.encode())
    if task.elements is not None:
        sha.update(task.elements.table.astype("<i8").tobytes())
    return sha.hexdigest()


def _digest_of_weights(network: Network) -> str:
    """Return the SHA-256 of all weights."""
    return hashlib.sha256(tensor_bytes(network.tensors, {})).hexdigest()


def load_run(folder: str | Path) -> Run:
    """Read a run's folder with its prediction and verdict; measurements are computed lazily.

    A prediction or verdict is recomputed if its file is missing or damaged, if another version of the
    program wrote it, or if the recipe or the weights were changed since.

    Parameters
    ----------
    folder
        Folder of the run.

    Raises
    ------
    ValueError
        If the folder is not a run's, or a file in it is damaged.
    """
    return _read_or_refuse(Path(folder), _read)


def load_weights(folder: str | Path) -> Weights:
    """Read a run's trained network; history and snapshots may be missing.

    Parameters
    ----------
    folder
        Folder of the run.

    Raises
    ------
    ValueError
        If the folder is not a run's, or a file in it is damaged.
    """
    return _read_or_refuse(Path(folder), _read_weights)


def require_finite_weights(weights: Weights, folder: str | Path) -> None:
    """Raise an error if a weight of a trained network is infinite or NaN.

    Parameters
    ----------
    weights
        Network read by :func:`load_weights`.
    folder
        Folder of the run, for the message.

    Raises
    ------
    ValueError
        In one line, with the first such tensor and index.
    """
    for name, tensor in weights.network.tensors.items():
        bad = ~torch.isfinite(tensor)
        if bad.any():
            place = torch.nonzero(bad)[0].tolist()
            member = f" of member {place[0]}" if weights.network.members > 1 else ""
            raise MarginLensError(
                f"expected finite weights in {str(folder)!r}, got {name}{place[1:]}{member} = "
                f"{tensor[tuple(place)].item()} ({int(bad.sum())} of {tensor.numel()} numbers); if the "
                f"training diverged, use a smaller --learning-rate than "
                f"{weights.recipe.learning_rate:g}"
            )


def _read_or_refuse(path: Path, read: Callable[[Path], _T]) -> _T:
    if not (path / MARK).is_file():
        why = f"no {MARK}" if path.exists() else "no such file or folder"
        raise MarginLensError(
            f"{str(path)!r} is not a run's folder ({why}); create one with: marginlens run C23"
        )
    if not (path / "parameters.safetensors").is_file():
        raise MarginLensError(
            f"the run in {str(path)!r} is not finished, or is damaged (no parameters.safetensors); "
            f"resume it with: marginlens train --resume {quote(str(path))}"
        )
    try:
        return read(path)
    except (ValueError, OSError, KeyError, SafetensorError, pa.ArrowException) as error:
        words = " ".join(str(error).split())
        raise MarginLensError(f"the run in {str(path)!r} is damaged: {words}") from None


def _read_weights(path: Path) -> Weights:
    recipe = Recipe.from_toml((path / MARK).read_text())
    with safe_open(path / "parameters.safetensors", framework="pt") as file:
        metadata = dict(file.metadata() or {})
        chosen = task_of_folder(recipe, path)
        like = initial_network(chosen, recipe.model_copy(update={"members": 1}))
        parameters: dict[str, torch.Tensor] = {name: file.get_tensor(name) for name in like.tensors}
    network = like.with_parameters(parameters)
    network.require_task(chosen)
    if network.members != recipe.members:
        raise MarginLensError(
            f"expected parameters of {recipe.members} members, as in {MARK}, got {network.members}"
        )
    return Weights(recipe, chosen, network, metadata)


def _read_times(path: Path, metadata: Mapping[str, str]) -> dict[str, float]:
    """Return seconds by name; runs of earlier versions store them with the parameters."""
    times: object = metadata
    if (path / TIMES).exists():
        times = json.loads((path / TIMES).read_text())
    if not isinstance(times, Mapping):
        raise MarginLensError(f"{TIMES} must hold seconds by name, got {type(times).__name__}")
    return {name: float(times[name]) for name in _SECONDS if name in times}


def load_verdict(folder: str | Path) -> Verdict:
    """Measure a run and compute its verdict; history and snapshots may be missing.

    Parameters
    ----------
    folder
        Folder of the run.

    Raises
    ------
    ValueError
        If the folder is not a run's, a file in it is damaged, or its neurons are not measured.
    """
    path = Path(folder)
    complete = all((path / name).is_file() for name in _CURVES)
    run = _read_or_refuse(path, _read if complete else _read_without_curves)
    return run.judged()


def _read_without_curves(path: Path) -> Run:
    weights = _read_weights(path)
    parameters = weights.network.tensors
    none = np.empty(0, dtype=np.int64)
    training = Training(
        network=weights.network,
        steps=none,
        history={name: np.empty((0, weights.recipe.members)) for name in HISTORY},
        snapshot_steps=none,
        snapshots={n: np.empty((0, *p.shape[1:]), np.float32) for n, p in parameters.items()},
        **_ending(path, weights.metadata),
    )
    return _run_of(weights, training, path)


def _ending(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of a training in the parameters' header, and its times."""
    times = _read_times(path, metadata)
    return {
        "seconds": times.get("seconds", np.nan),
        "stopped": metadata.get("stopped", "unknown"),
        "ends": tuple(json.loads(metadata.get("ends", "[]"))),
        "end_steps": np.array(json.loads(metadata.get("end_steps", "[]")), dtype=np.int64),
        "compile_seconds": times.get("compile_seconds", 0.0),
    }


def _read(path: Path) -> Run:
    weights = _read_weights(path)
    return _run_of(weights, read_training(weights, path), path)


def _run_of(weights: Weights, training: Training, path: Path) -> Run:
    """Return the run with its folder's prediction and verdict, or with new ones."""
    recipe, task = weights.recipe, weights.task
    prediction, verdict = None, None
    if weights.is_unchanged("recipe", _digest_of_recipe((path / MARK).read_text(), task)):
        values = _read_json(path / "prediction.json")
        with suppress(ValueError):
            prediction = None if values is None else Prediction.from_dict(values, task)
    if prediction is None:
        prediction = conclusive(prediction_for(task, recipe), recipe, training)
    elif weights.is_unchanged("weights", _digest_of_weights(weights.network)):
        values = _read_json(path / "verdict.json")
        with suppress(ValueError):
            verdict = None if values is None else Verdict.from_dict(values, str(path))
    return Run(path, recipe, task, prediction, training, verdict)


def _read_json(path: Path) -> dict[str, Any] | None:
    """Return the values of a JSON file, or None if it is missing or damaged."""
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def read_training(weights: Weights, path: Path) -> Training:
    """Read the history and snapshots that belong to a finished run's network.

    Parameters
    ----------
    weights
        Network read by :func:`load_weights`.
    path
        Folder of the run.
    """
    recipe = weights.recipe
    with safe_open(path / "snapshots.safetensors", framework="np") as file:
        snapshots: dict[str, np.ndarray] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    table = pq.read_table(path / "history.parquet")
    members = recipe.members
    history = {
        name: table[name].to_numpy().reshape(-1, members)
        for name in table.column_names
        if name not in ("step", "member")
    }
    return Training(
        network=weights.network,
        steps=table["step"].to_numpy().reshape(-1, members)[:, 0],
        history=history,
        snapshot_steps=snapshots.pop("step"),
        snapshots=snapshots,
        **_ending(path, weights.metadata),
    )
