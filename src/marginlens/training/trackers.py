"""Curves of a training for TensorBoard, Weights & Biases or MLflow, while it runs.

Each is an optional extra and imported only when asked for. What can go wrong before a training raises
a ValueError of one line; what goes wrong during it is said once and never stops it.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Shaped

from marginlens.files import write_whole

__all__ = ["MEMBERS", "TRACKERS", "Tracker", "open_tracker"]

MEMBERS = 16
"""Members with curves of their own; all members count in the mean."""

_PROJECT = "marginlens"
_MLFLOW_BATCH = 1000
"""Metrics that MLflow takes in one call."""
_MLFLOW_SECONDS = 5.0
"""Time between two calls of MLflow: one for every row would cost more than many a training step."""

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


@runtime_checkable
class _Backend(Protocol):
    """One library; ``last`` is the last step that its run holds, -1 if none."""

    last: int

    def write(self, step: int, scalars: dict[str, float]) -> None: ...
    def close(self, status: str) -> None: ...


def open_tracker(
    kind: str,
    *,
    folder: Path,
    name: str,
    config: Mapping[str, Any],
    resume_step: int | None = None,
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
    if kind not in TRACKERS:
        *others, last = TRACKERS
        raise ValueError(f"--track takes {', '.join(others)} or {last}, got {kind!r}")
    title, backend, hint = TRACKERS[kind]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _Guarded(kind, backend(folder, name, _flat(config), resume_step))
    except ImportError:
        raise ValueError(
            f"--track {kind} needs {title}; install it with: pip install 'marginlens[{kind}]'"
        ) from None
    except Exception as error:
        raise ValueError(f"--track {kind} could not start: {_line(error)}; {hint}") from error


class _Guarded:
    """A tracker whose failure stops itself, never the training."""

    def __init__(self, kind: str, backend: _Backend) -> None:
        self._kind = kind
        self._backend: _Backend | None = backend

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

    def _give_up(self, backend: _Backend, error: Exception) -> None:
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


class _TensorBoard:
    """Event files; a resumed run marks the points that it will write again as void."""

    def __init__(
        self, folder: Path, name: str, config: dict[str, Any], resume_step: int | None
    ) -> None:
        import_module("tensorboard")
        library = import_module("torch.utils.tensorboard")
        self._protocol = import_module("tensorboard.compat.proto.summary_pb2")
        files = folder / "tensorboard"
        self.last = -1 if resume_step is None else _last_event(files, resume_step)
        before = _event_files(files)
        if before and int(time.time()) <= int(before[-1].name.split(".")[3]):
            time.sleep(1)  # names, and so their order, tell seconds apart
        self._hook = threading.excepthook
        threading.excepthook = self._excepthook
        self._writer = library.SummaryWriter(
            str(files), purge_step=self.last + 1 if before else None, flush_secs=5
        )
        if self.last < 0:
            lines = [f"|{key}|{value}|" for key, value in config.items()]
            text = "\n".join([f"|{name}||", "|---|---|", *lines])
            self._writer.add_text("config", text, 0)

    def write(self, step: int, scalars: dict[str, float]) -> None:
        # One event a row: add_scalar makes an event of each value and takes many times as long.
        summary = self._protocol.Summary(
            value=[
                self._protocol.Summary.Value(tag=tag, simple_value=value)
                for tag, value in scalars.items()
            ]
        )
        self._writer.file_writer.add_summary(summary, step)

    def close(self, status: str) -> None:
        try:
            self._writer.add_text("stopped", status, max(self.last, 0))
            self._writer.close()
        finally:
            threading.excepthook = self._hook

    def _excepthook(self, failure: Any) -> None:
        """Keep the writer's thread quiet: its error is raised again here, at the next row."""
        if type(failure.thread).__module__.startswith("tensorboard."):
            return
        self._hook(failure)


def _event_files(files: Path) -> list[Path]:
    return sorted(files.glob("events.out.tfevents.*"))


def _last_event(files: Path, resume_step: int) -> int:
    """Last step, up to the given one, of which TensorBoard shows a point."""
    loader = import_module("tensorboard.backend.event_processing.event_file_loader")
    protocol = import_module("tensorboard.compat.proto.event_pb2")
    last = -1
    for path in _event_files(files):
        for event in loader.LegacyEventFileLoader(str(path)).Load():
            if event.session_log.status == protocol.SessionLog.START:
                last = min(last, event.step - 1)
            elif event.step <= resume_step and any(
                value.HasField("simple_value") for value in event.summary.value
            ):
                last = max(last, event.step)
    return last


class _Wandb:
    """A run of Weights & Biases; ``wandb/run-id`` and ``wandb/last-step`` say where it stands."""

    def __init__(
        self, folder: Path, name: str, config: dict[str, Any], resume_step: int | None
    ) -> None:
        wandb = import_module("wandb")
        files = folder / "wandb"
        files.mkdir(exist_ok=True)
        identity, mark = files / "run-id", files / "last-step"
        going_on = resume_step is not None and identity.exists()
        run_id = identity.read_text() if going_on else secrets.token_hex(4)
        self.last = int(mark.read_text()) if going_on and mark.exists() else -1
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            dir=str(folder),
            id=run_id,
            name=name,
            config=config,
            # Offline there is no one to ask; the same id joins the parts when they are synchronised.
            resume="allow" if going_on and not self._offline(wandb) else None,
            settings=wandb.Settings(console="off"),
        )
        self.last = max(self.last, self._run.step - 1)
        write_whole(identity, run_id)
        self._mark = mark.open("w")

    @staticmethod
    def _offline(wandb: Any) -> bool:
        return wandb.setup().settings.mode == "offline"

    def write(self, step: int, scalars: dict[str, float]) -> None:
        self._run.log(scalars, step=step)
        self._mark.seek(0)
        self._mark.write(f"{step:20d}")
        self._mark.flush()

    def close(self, status: str) -> None:
        self._mark.close()
        self._run.summary["stopped"] = status
        self._run.finish(exit_code=0 if _ENDS.get(status, "FINISHED") == "FINISHED" else 1)


class _MLflow:
    """A run of MLflow; ``mlflow/run-id`` says which."""

    def __init__(
        self, folder: Path, name: str, config: dict[str, Any], resume_step: int | None
    ) -> None:
        # No report of its use, and minutes of retries would be minutes without training.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        self._entities = import_module("mlflow.entities")
        files = folder / "mlflow"
        files.mkdir(exist_ok=True)
        identity = files / "run-id"
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        local = f"sqlite:///{(files / 'mlflow.db').resolve()}"
        self._waiting: list[Any] = []
        self._sent = time.monotonic()
        self.last = -1
        with _quiet(logging.CRITICAL):
            client = import_module("mlflow.tracking").MlflowClient(
                tracking_uri=uri or local, registry_uri=None
            )
            self._client = client
            if resume_step is not None and identity.exists():
                self._id = identity.read_text()
                metrics = client.get_run(self._id).data.metrics
                for key in list(metrics)[:1]:
                    points = client.get_metric_history(self._id, key)
                    self.last = max(point.step for point in points)
                client.update_run(self._id, status="RUNNING")
                return
            artifacts = None if uri else (files / "artifacts").resolve().as_uri()
            title = os.environ.get("MLFLOW_EXPERIMENT_NAME", _PROJECT)
            self._id = client.create_run(
                _experiment(client, title, artifacts), run_name=name
            ).info.run_id
            params = [self._entities.Param(key, str(value)[:6000]) for key, value in config.items()]
            for first in range(0, len(params), 100):
                client.log_batch(self._id, params=params[first : first + 100])
        write_whole(identity, self._id)

    def write(self, step: int, scalars: dict[str, float]) -> None:
        now = int(1e3 * time.time())
        if len(self._waiting) + len(scalars) > _MLFLOW_BATCH:
            self._send()
        self._waiting += [
            self._entities.Metric(key, value, now, step) for key, value in scalars.items()
        ]
        if time.monotonic() - self._sent > _MLFLOW_SECONDS:
            self._send()

    def _send(self) -> None:
        # Taken off the list first: what an interruption cuts off is lost, rather than sent twice.
        batch, self._waiting = self._waiting, []
        with _quiet(logging.CRITICAL):
            for first in range(0, len(batch), _MLFLOW_BATCH):
                self._client.log_batch(self._id, metrics=batch[first : first + _MLFLOW_BATCH])
        self._sent = time.monotonic()

    def close(self, status: str) -> None:
        self._send()
        with _quiet(logging.CRITICAL):
            self._client.set_tag(self._id, "stopped", status)
            self._client.set_terminated(self._id, status=_ENDS.get(status, "FINISHED"))


def _experiment(client: Any, title: str, artifacts: str | None) -> str:
    found = client.get_experiment_by_name(title)
    if found is None:
        return client.create_experiment(title, artifact_location=artifacts)
    return found.experiment_id


TRACKERS: dict[str, tuple[str, type[Any], str]] = {
    "tensorboard": ("TensorBoard", _TensorBoard, "a folder that can be written to is needed"),
    "wandb": ("Weights & Biases", _Wandb, "WANDB_MODE=offline does without the server"),
    "mlflow": (
        "MLflow",
        _MLflow,
        "without MLFLOW_TRACKING_URI a store in the run's folder is made",
    ),
}
"""For each kind its library's name, what writes it, and what helps where it cannot start."""

_ENDS = {"interrupted": "KILLED", "failed": "FAILED", "tracking failed": "FAILED"}
"""MLflow's word for how a training ended, where it did not end by itself."""


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


@contextmanager
def _quiet(level: int) -> Iterator[None]:
    """Hide what MLflow and its database tell below a level: an error they raise is told once, here."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
