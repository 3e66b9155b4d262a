"""A run on disk.

While it is trained: ``recipe.toml``, ``table.npy`` if the task came from a table, and
``checkpoint.safetensors`` with the one before it. When it is finished, in place of the checkpoints:
``history.parquet`` (one row a record and member), ``snapshots.safetensors``,
``parameters.safetensors`` (every member), ``prediction.json``, ``verdict.json`` and ``times.json``.
An interrupted run has all of these. ``changes.json`` is there where a recipe was changed on the way.
The header of the parameters says the program's version, and has the SHA-256 of the recipe and of the
weights: while they are the same, prediction and verdict are read back. Else they are made again.
No pickles. Equal runs have equal files, byte for byte, but for times: those are in ``times.json``,
``verdict.json``, ``report.html`` and checkpoints alone.
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
_BEGUN = f".{MARK}.begun"  # is there while a folder is emptied, and until the recipe is in it
_CURVES = ("history.parquet", "snapshots.safetensors")
_FINISHING = ".finishing"  # where the files of a finished run are written before they are moved


def check_folder(out: str | Path, *, overwrite: bool) -> Path:
    """Return the folder if a run may be written there.

    Raises
    ------
    ValueError
        If it exists and is not to be replaced, is something other than a run, or cannot be made.
    """
    folder = Path(out)
    if folder.exists():
        ours = folder.is_dir() and ((folder / MARK).exists() or (folder / _BEGUN).exists())
        if not ours and (not folder.is_dir() or any(folder.iterdir())):
            raise MarginLensError(
                f"{str(folder)!r} exists and is not a run's folder; it is left alone: choose another "
                "--out, for example runs/C5"
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
                f"{str(folder)!r} also holds {foreign[0]!r}, which is not of a run; move it away, "
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
    """Whether it is a file of ours that a killed process had not finished."""
    return path.name.startswith((_FINISHING, f".{CHECKPOINT}.", f".{MARK}."))


@contextmanager
def begin_run(recipe: Recipe, chosen: Task, folder: Path, *, overwrite: bool) -> Iterator[None]:
    """Make a run's folder, or empty an older one, and hold it: from here on it can be resumed."""
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        check_folder(folder, overwrite=overwrite or not any(folder.iterdir()))
        (folder / _BEGUN).touch()
        (folder / MARK).unlink(missing_ok=True)  # the first: it must not meet another run's files
        for path in folder.iterdir():
            if path.name != _BEGUN:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        _write_table(chosen, folder)
        write_whole(folder / MARK, recipe.to_toml())  # the last: what has it can be resumed
        (folder / _BEGUN).unlink()
        yield


def note_changes(folder: Path, step: int, was: Recipe, now: Recipe) -> None:
    """Write the recipe that holds from a step on, and which of its fields changed there.

    ``changes.json`` is a list of ``{"step", "field", "from", "to"}``, in the order of the changes.

    Raises
    ------
    OSError
        If they cannot be written.
    """
    before, after = was.model_dump(mode="json"), now.model_dump(mode="json")
    path = folder / CHANGES
    try:
        changes = json.loads(path.read_text())
    except (OSError, ValueError):  # the first change; or a damaged list, which nothing depends on
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
    """Whether nothing is left to be trained."""
    pending = (folder / CHECKPOINT).exists() or (folder / PREVIOUS).exists()
    return (folder / "parameters.safetensors").exists() and not pending


def finish_run(run: Run, folder: Path) -> None:
    """Write what a run ends with into its folder; the checkpoints go when all else is there.

    Those of an interrupted run stay, so that it can be resumed.
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
            f"a run keeps a group's table by its name, and {chosen.elements.name[:60]!r} reads as an "
            "operation; expected a plain name, for example mine"
        )
    np.save(folder / "table.npy", chosen.elements.table)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n")


def _is_made_by_its_name(learned: FiniteGroup) -> bool:
    """Whether the name gives this very table; a file's name does not, as the file may change."""
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
        """Whether the folder was written by this version of the program, with this content.

        Parameters
        ----------
        what
            ``"recipe"`` or ``"weights"``.
        digest
            SHA-256 of what is there now.
        """
        return self.metadata.get("version") == _VERSION and self.metadata.get(what) == digest


def _digest_of_recipe(recipe: str, task: Task) -> str:
    """SHA-256 of a recipe's text and of its task's table, which decide the prediction."""
    sha = hashlib.sha256(recipe.encode())
    if task.elements is not None:
        sha.update(task.elements.table.astype("<i8").tobytes())
    return sha.hexdigest()


def _digest_of_weights(network: Network) -> str:
    """SHA-256 of all weights."""
    return hashlib.sha256(tensor_bytes(network.tensors, {})).hexdigest()


def load_run(folder: str | Path) -> Run:
    """Read a run's folder with its prediction and verdict; measurements are made when asked for.

    A prediction or verdict that is missing or damaged, of another version of the program, or of a
    recipe or weights that were changed since, is made again.

    Raises
    ------
    ValueError
        If the folder is not a run's, or a file in it is damaged.
    """
    return _read_or_refuse(Path(folder), _read)


def load_weights(folder: str | Path) -> Weights:
    """Read a run's trained network by its recipe and table; history and snapshots may be missing.

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
    """Refuse a trained network with a weight that is infinite or no number.

    Parameters
    ----------
    weights
        Network as :func:`load_weights` reads it.
    folder
        Folder of the run, for the message.

    Raises
    ------
    ValueError
        In one line, with the first tensor and place.
    """
    for name, tensor in weights.network.tensors.items():
        bad = ~torch.isfinite(tensor)
        if bad.any():
            place = torch.nonzero(bad)[0].tolist()
            member = f" of member {place[0]}" if weights.network.members > 1 else ""
            raise MarginLensError(
                f"weights that are not finite in {str(folder)!r}: {name}{place[1:]}{member} is "
                f"{tensor[tuple(place)].item()} ({int(bad.sum())} of {tensor.numel()} numbers); nothing "
                f"is measured; if the training diverged, use a smaller --learning-rate than "
                f"{weights.recipe.learning_rate:g}"
            )


def _read_or_refuse(path: Path, read: Callable[[Path], _T]) -> _T:
    if not (path / MARK).is_file():
        why = f"no {MARK}" if path.exists() else "no such file or folder"
        raise MarginLensError(
            f"{str(path)!r} is not a run's folder ({why}); make one with: marginlens run C23"
        )
    if not (path / "parameters.safetensors").is_file():
        raise MarginLensError(
            f"the run in {str(path)!r} is not finished, or is damaged (no parameters.safetensors); "
            f"go on with it: marginlens train --resume {quote(str(path))}"
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
            f"{MARK} says {recipe.members} members, but there are parameters of {network.members}"
        )
    return Weights(recipe, chosen, network, metadata)


def _read_times(path: Path, metadata: Mapping[str, str]) -> dict[str, float]:
    """Seconds by name; runs of earlier versions have them in the header of their parameters."""
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
    """Fields of a training in the header of the parameters' file, and its times."""
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
    """Run with the prediction and the verdict of its folder, or with a new prediction."""
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
    """Values of a file that can be made again; None where it is missing or damaged."""
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
        Network as :func:`load_weights` reads it.
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
