"""Curves of a training for TensorBoard, Weights & Biases or MLflow, while it runs.

Each is an optional extra and imported only when asked for. What can go wrong before a training raises
a ValueError of one line; what goes wrong during it is said once and never stops it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Shaped

from marginlens.training.tracker_backends import Backend, MLflow, TensorBoard, Wandb

__all__ = ["MEMBERS", "TRACKERS", "Tracker", "open_tracker", "require_tracker"]

MEMBERS = 16
"""Members with curves of their own; all members count in the mean."""

_log = logging.getLogger(__name__)


@runtime_checkable
class Tracker(Protocol):
    """Takes a training's rows as they come."""

    def log(self, step: int, row: dict[str, np.ndarray]) -> None:
        """Take one row: for each name one value a member.

        A step at or before the last one recorded is passed over, so that rows may be given again after
        a resume.
        """
        ...

    def close(self, status: str) -> None:
        """Say why the training ended, as ``Training.stopped`` does, and write what is left."""
        ...


def open_tracker(
    kind: str, *, folder: Path, name: str, config: Mapping[str, Any], resume_step: int | None = None
) -> Tracker:
    """Start to track a training, or go on after it was interrupted.

    One member has curves named as the row's entries (``margin``); several have ``margin/member0`` and
    so on for the first 16, and ``margin/mean`` over all of them.

    Parameters
    ----------
    kind
        ``"tensorboard"`` writes event files into ``folder/tensorboard``. ``"wandb"`` writes into
        ``folder/wandb`` and, unless ``WANDB_MODE`` is ``offline``, to the server. ``"mlflow"`` writes
        to ``MLFLOW_TRACKING_URI`` or, if that is not set, to ``folder/mlflow/mlflow.db``.
    folder
        The run's folder; made if it is missing.
    name
        What the run is called.
    config
        Settings to show beside the curves; a mapping inside is shown as ``outer.inner``.
    resume_step
        Step at which an interrupted training goes on: its run in ``folder`` is continued, and keeps
        its points up to here. TensorBoard's later points are replaced as the training passes them
        again; in Weights & Biases and MLflow, where a point is never taken back, they stay as they
        are. None starts a new run.

    Raises
    ------
    ValueError
        In one line, if there is no such kind, its library is not installed, or it cannot start.

    Examples
    --------
    >>> open_tracker("paper", folder=Path("."), name="C5", config={})
    Traceback (most recent call last):
    ValueError: --track takes tensorboard, wandb or mlflow, got 'paper'
    """
    require_tracker(kind)
    title, backend, hint = TRACKERS[kind]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _Guarded(kind, backend(folder, name, _flat(config), resume_step))
    except ImportError:
        raise ValueError(_missing(kind, title)) from None
    except Exception as error:
        raise ValueError(f"--track {kind} could not start: {_line(error)}; {hint}") from error


def require_tracker(kind: str) -> None:
    """Refuse an unknown kind, or one whose library is not there, before anything is written.

    Raises
    ------
    ValueError
        In one line that says what helps.
    """
    if kind not in TRACKERS:
        *others, last = TRACKERS
        raise ValueError(f"--track takes {', '.join(others)} or {last}, got {kind!r}")
    if find_spec(kind) is None:
        raise ValueError(_missing(kind, TRACKERS[kind][0]))


def _missing(kind: str, title: str) -> str:
    return f"--track {kind} needs {title}; install it with: pip install 'marginlens[{kind}]'"


class _Guarded:
    """A tracker whose failure stops itself, never the training."""

    def __init__(self, kind: str, backend: Backend) -> None:
        self._kind = kind
        self._backend: Backend | None = backend

    def log(self, step: int, row: dict[str, np.ndarray]) -> None:
        backend = self._backend
        if backend is None or step <= backend.last:
            return
        scalars = _scalars(row)
        try:
            backend.write(step, scalars)
            backend.last = step
        except Exception as error:
            self._give_up(backend, error)

    def close(self, status: str) -> None:
        backend, self._backend = self._backend, None
        if backend is None:
            return
        try:
            backend.close(status)
        except Exception as error:
            self._warn(error)

    def _give_up(self, backend: Backend, error: Exception) -> None:
        self._backend = None
        self._warn(error)
        try:
            backend.close("tracking failed")
        except Exception as second:
            _log.debug("closing %s after its failure: %s", self._kind, second)

    def _warn(self, error: Exception) -> None:
        _log.warning(
            "--track %s failed and stops here; the training goes on: %s", self._kind, _line(error)
        )


TRACKERS: dict[str, tuple[str, type[Any], str]] = {
    "tensorboard": ("TensorBoard", TensorBoard, "a folder that can be written to is needed"),
    "wandb": ("Weights & Biases", Wandb, "WANDB_MODE=offline does without the server"),
    "mlflow": ("MLflow", MLflow, "without MLFLOW_TRACKING_URI a store in the run's folder is made"),
}
"""For each kind its library's name, what writes it, and what helps where it cannot start."""


def _scalars(row: Mapping[str, Shaped[np.ndarray, " member"]]) -> dict[str, float]:
    """The points of one row.

    Examples
    --------
    >>> _scalars({"margin": np.array([2.0])})
    {'margin': 2.0}
    >>> _scalars({"margin": np.array([2.0, 4.0])})
    {'margin/member0': 2.0, 'margin/member1': 4.0, 'margin/mean': 3.0}
    """
    scalars = {}
    for name, values in row.items():
        if len(values) == 1:
            scalars[name] = float(values[0])
            continue
        for member, value in enumerate(values[:MEMBERS]):
            scalars[f"{name}/member{member}"] = float(value)
        scalars[f"{name}/mean"] = float(np.mean(values, dtype=np.float64))
    return scalars


def _flat(config: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Settings without mappings inside.

    Examples
    --------
    >>> _flat({"width": 8, "penalty": {"norm": "l2", "strength": 0.1}})
    {'width': 8, 'penalty.norm': 'l2', 'penalty.strength': 0.1}
    """
    flat: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{before}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat


def _line(error: Exception) -> str:
    """An error in one line, without a full stop."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:300].rstrip(".")
