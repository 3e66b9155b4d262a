"""Writers of training curves: one class for each library, which is imported only here.

Libraries are imported by name, since none need be there. A class raises whatever its library raises;
``trackers`` turns that into one line.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from marginlens.files import write_whole

__all__ = ["Backend", "MLflow", "TensorBoard", "Wandb"]

_PROJECT = "marginlens"
_MLFLOW_BATCH = 1000
"""Metrics that MLflow takes in one call."""
_MLFLOW_SECONDS = 5.0
"""Time between two calls of MLflow: one for every row would cost more than many a training step."""

_ENDS = {"interrupted": "KILLED", "failed": "FAILED", "tracking failed": "FAILED"}
"""MLflow's word for how a training ended, where it did not end by itself."""


@runtime_checkable
class Backend(Protocol):
    """One library; ``last`` is the last step that its run holds, -1 if none."""

    last: int

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """Add a point to each curve."""
        ...

    def close(self, status: str) -> None:
        """Say why the training ended, and write what is left."""
        ...


class TensorBoard:
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
        self._writer = library.SummaryWriter(
            str(files), purge_step=self.last + 1 if before else None, flush_secs=5
        )
        threading.excepthook = self._excepthook
        if self.last < 0:
            lines = [f"|{key}|{value}|" for key, value in config.items()]
            text = "\n".join([f"|{name}||", "|---|---|", *lines])
            self._writer.add_text("config", text, 0)

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """Add a point to each curve."""
        # One event a row: add_scalar makes an event of each value and takes many times as long.
        summary = self._protocol.Summary(
            value=[
                self._protocol.Summary.Value(tag=tag, simple_value=value)
                for tag, value in scalars.items()
            ]
        )
        self._writer.file_writer.add_summary(summary, step)

    def close(self, status: str) -> None:
        """Say why the training ended, and write what is left."""
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


class Wandb:
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
        """Add a point to each curve."""
        self._run.log(scalars, step=step)
        self._mark.seek(0)
        self._mark.write(f"{step:20d}")
        self._mark.flush()

    def close(self, status: str) -> None:
        """Say why the training ended, and write what is left."""
        self._mark.close()
        self._run.summary["stopped"] = status
        self._run.finish(exit_code=0 if _ENDS.get(status, "FINISHED") == "FINISHED" else 1)


class MLflow:
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
        """Add a point to each curve."""
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
        """Say why the training ended, and write what is left."""
        self._send()
        with _quiet(logging.CRITICAL):
            self._client.set_tag(self._id, "stopped", status)
            self._client.set_terminated(self._id, status=_ENDS.get(status, "FINISHED"))


def _experiment(client: Any, title: str, artifacts: str | None) -> str:
    found = client.get_experiment_by_name(title)
    if found is None:
        return client.create_experiment(title, artifact_location=artifacts)
    return found.experiment_id


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
