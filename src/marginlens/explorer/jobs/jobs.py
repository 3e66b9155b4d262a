"""Trainings outside the web process: start, watch, pause, change, stop and save them."""

from __future__ import annotations

import atexit
import secrets
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from marginlens.explorer.form_values import Tables
from marginlens.explorer.job_request import asked
from marginlens.explorer.jobs.frames import Frame
from marginlens.explorer.jobs.job import Entry, Live, Status
from marginlens.explorer.jobs.limits import Limits
from marginlens.explorer.jobs.process import Process
from marginlens.explorer.jobs.temporary_runs import Scratch
from marginlens.runs.pipeline import plan_for
from marginlens.tasks import Task
from marginlens.theory import Prediction, Predictions
from marginlens.training.recipe import checked_recipe

__all__ = ["GoneError", "Live", "Status", "Trainings"]

_LOOK = 0.5  # seconds between two requests for frames
_TICK = 0.2  # seconds between two checks for idle owners
_CALM = 1.0  # seconds without a start before a spare process is started
_ENDS = {
    "steps": "all steps are taken",
    "converged": "it has converged",
    "optimal": "its loss is within the tolerance of the minimum",
    "share of the margin": "it has reached the required share of the maximum margin",
    "diverged": "it has diverged; the last finite state is kept",
}


class GoneError(ValueError):
    """Error for a training that the explorer no longer keeps; one line gives the reason."""


class Trainings:
    """Trainings of an explorer, each in a separate process; safe to use from several threads.

    Parameters
    ----------
    folder
        Folder that runs are saved in. Unsaved trainings lie in ``folder/.live``, which is emptied at the
        end; the start removes leftovers of dead servers.
    limits
        Limits on the number and size of trainings; defaults to :class:`Limits`.

    Notes
    -----
    One spare process is kept ready while a visitor is present and a training could begin, so that the
    next training begins at once.
    An owner is a browser tab or session, identified by the ``owner`` string. Every method that takes an
    owner, and :meth:`state`, counts as a sign of life of that owner.
    """

    def __init__(self, folder: Path, *, limits: Limits | None = None) -> None:
        self.folder, self.limits = folder, limits or Limits()
        self._scratch = Scratch(folder)
        self._lock = threading.RLock()
        self._entries: dict[str, Entry] = {}
        self._queue: list[Entry] = []
        self._seen: dict[str, float] = {}
        self._gone: dict[str, str] = {}
        self._warm: Process | None = None
        self._started = -_CALM
        self._closed = threading.Event()
        self._keeper = threading.Thread(target=self._keep_house, daemon=True)
        self._keeper.start()
        atexit.register(self.close)

    def start(
        self, owner: str, recipe_fields: Mapping[str, object], tables: Tables | None = None
    ) -> str:
        """Start a training, or put it into the queue; return its id.

        Parameters
        ----------
        owner
            Browser tab or session that the training belongs to.
        recipe_fields
            ``task``, and any other field of :class:`marginlens.training.Recipe`; fields that are None or
            missing get the task's defaults.
        tables
            Uploaded Cayley tables, whose names are valid tasks too.

        Raises
        ------
        ValueError
            In one line, if the request is invalid or too large, or too many trainings are active.
        """
        self.seen(owner)
        with self._lock:
            self._require_place(owner)
        planned = asked(recipe_fields, tables or Tables())
        self.limits.check(planned.task, planned.recipe)
        with self._lock:
            self._require_place(owner)
            name = secrets.token_hex(6)
            entry = Entry(
                name,
                owner,
                planned,
                self._scratch.new(name),
                str(recipe_fields.get("task", "")).strip(),
            )
            self._entries[name] = entry
            self._queue.append(entry)
            self._forget_old(owner)
            self._advance()
        return name

    def state(self, id: str) -> Live:
        """Return the present state; while this is called, frames are made ten times a second.

        Raises
        ------
        GoneError
            If the training is unknown or was discarded.
        """
        with self._lock:
            entry = self._entry(id)
            self._look(entry)
            return entry.shown(self._place(entry))

    def task(self, id: str) -> Task:
        """Return the task that a training learns."""
        with self._lock:
            return self._entry(id).task

    def prediction(self, id: str) -> Prediction:
        """Return the prediction at the present penalty strength of a training."""
        with self._lock:
            return self._entry(id).planned.prediction

    def spec(self, id: str) -> str:
        """Return the task's name as the visitor typed it."""
        with self._lock:
            return self._entry(id).spec

    def of_owner(self, owner: str) -> list[Live]:
        """Return all kept trainings of an owner, oldest first."""
        self.seen(owner)
        with self._lock:
            mine = [entry for entry in self._entries.values() if entry.owner == owner]
            for entry in mine:
                self._look(entry)
            return [entry.shown(self._place(entry)) for entry in mine]

    def pause(self, id: str) -> None:
        """Pause a training; a queued one then starts paused."""
        self._hold(id, True)

    def go_on(self, id: str) -> None:
        """Continue a paused training."""
        self._hold(id, False)

    def stop(self, id: str) -> None:
        """Stop a training; its state so far can be saved."""
        with self._lock:
            self._stop(self._entry(id), "stopped by hand")

    def set_strength(self, id: str, strength: float) -> None:
        """Continue training with another penalty strength, which the saved recipe records.

        Raises
        ------
        ValueError
            If the strength is invalid, the training has ended, or the recipe anneals the penalty.
        """
        with self._lock:
            entry = self._at_work(id)
            if entry.recipe.anneal_to is not None:
                raise ValueError(
                    f"this training anneals its penalty to {entry.recipe.anneal_to:g}; to change it "
                    "by hand, start a training without anneal_to"
                )
            fields = {**entry.recipe.model_dump(), "strength": float(strength)}
            predictions = Predictions(entry.task, entry.planned.prediction)
            changed = plan_for(checked_recipe(fields), entry.task, predictions)
            if entry.process is None:
                entry.planned = changed
                entry.version += 1
            else:
                entry.changes.append(changed)
                prediction = changed.prediction.to_dict()
                strength = changed.recipe.strength
                command = {"do": "strength", "value": strength, "prediction": prediction}
                entry.process.tell(command)

    def save(self, id: str, name: str) -> Path:
        """Save an ended training as the run ``folder/name``; return that folder.

        Raises
        ------
        ValueError
            If it has not ended, has no parameters to save, or the name is invalid or taken.
        """
        with self._lock:
            entry = self._entry(id)
            if entry.saved_as is not None:
                raise ValueError(f"this training is already saved as {entry.saved_as!r}")
            if not entry.ended:
                raise ValueError(
                    f"this training is {entry.status}; stop it or wait for its end, then save it"
                )
            if entry.status == "failed" or not (entry.run / "parameters.safetensors").is_file():
                raise ValueError(f"this training left no network to save: {entry.message}")
            path = self._scratch.keep(entry.run, name)
            entry.saved_as = path.name
            entry.version += 1
            return path

    def seen(self, owner: str) -> None:
        """Record a sign of life of an owner; the first one starts a spare process."""
        with self._lock:
            if self._closed.is_set():
                raise GoneError(
                    "the explorer is being shut down; start it again: marginlens explore"
                )
            self._seen[owner] = time.monotonic()

    def alive(self, owner: str) -> None:
        """Record that a tab is open on any page; ignored for owners without trainings."""
        with self._lock:
            if owner in self._seen:
                self._seen[owner] = time.monotonic()

    def leaving(self, owner: str, *, grace: float = 15.0) -> None:
        """Record that an owner's page was closed or reloaded.

        Without a sign of life within ``grace`` seconds, the owner counts as gone.
        """
        with self._lock:
            if owner in self._seen:
                gone = time.monotonic() - self.limits.idle_seconds + grace
                self._seen[owner] = min(self._seen[owner], gone)

    def leave(self, owner: str) -> None:
        """Stop the trainings of an owner, and discard the unsaved ones."""
        self._discard_owner(owner, "its page was closed")

    def close(self) -> None:
        """Stop all trainings, and remove the unsaved ones."""
        if self._closed.is_set():
            return
        self._closed.set()
        atexit.unregister(self.close)
        with self._lock:
            for entry in list(self._entries.values()):
                self._discard(entry, "the explorer was shut down")
            if self._warm is not None:
                self._warm.kill()
                self._warm = None
            self._scratch.close()
        if threading.current_thread() is not self._keeper:
            self._keeper.join(timeout=5)

    # the methods below are called with the lock held

    def _entry(self, id: str) -> Entry:
        entry = self._entries.get(id)
        if entry is None:
            why = self._gone.get(id, "it was stopped, or the explorer was restarted")
            raise GoneError(f"this training was discarded: {why}; start another one")
        self._seen[entry.owner] = time.monotonic()
        return entry

    def _at_work(self, id: str) -> Entry:
        entry = self._entry(id)
        if entry.ended:
            raise ValueError(f"this training has ended ({entry.message}); start another one")
        return entry

    def _place(self, entry: Entry) -> int:
        return self._queue.index(entry) + 1 if entry in self._queue else 0

    def _look(self, entry: Entry) -> None:
        now = time.monotonic()
        if entry.process is not None and now - entry.looked > _LOOK:
            entry.looked = now
            entry.process.tell({"do": "look"})

    def _require_place(self, owner: str) -> None:
        of_owner = sum(e.owner == owner and not e.ended for e in self._entries.values())
        if of_owner >= self.limits.per_owner:
            raise ValueError(
                f"you have {of_owner} active trainings of at most {self.limits.per_owner}: stop one, or "
                "wait for its end"
            )
        if len(self._queue) >= self.limits.queued:
            raise ValueError(
                f"the queue is full ({len(self._queue)} of {self.limits.queued} trainings): try again "
                "in a minute, or train outside the browser: marginlens train C23"
            )

    def _forget_old(self, owner: str) -> None:
        ended = [e for e in self._entries.values() if e.owner == owner and e.ended]
        for entry in ended[: max(0, len(ended) - self.limits.kept)]:
            self._discard(entry, f"only the last {self.limits.kept} ended trainings are kept")

    def _at_once(self) -> int:
        return sum(entry.process is not None for entry in self._entries.values())

    def _advance(self) -> None:
        """Start queued trainings up to the limit of running ones."""
        while self._queue and self._at_once() < self.limits.running:
            entry = self._queue.pop(0)
            try:
                process = self._warm or Process(self._heard)
            except OSError as error:
                self._end(entry, "failed", f"no process could be started ({error.strerror})")
                continue
            self._warm, entry.process = None, process
            entry.began = self._started = time.monotonic()
            entry.status = "paused" if entry.hold else "running"
            entry.version += 1
            process.tell(
                {
                    "recipe": entry.recipe.model_dump(mode="json"),
                    "folder": str(entry.run),
                    "prediction": entry.planned.prediction.to_dict(),
                    "paused": entry.hold,
                    "table": entry.table,
                }
            )
        for waiting in self._queue:
            waiting.version += 1  # its position may have changed

    def _hold(self, id: str, hold: bool) -> None:
        with self._lock:
            entry = self._at_work(id)
            entry.hold = hold
            entry.version += 1
            if entry.process is not None:
                entry.process.tell({"do": "pause" if hold else "go_on"})

    def _stop(self, entry: Entry, reason: str) -> None:
        if entry.ended:
            return
        entry.reason = entry.reason or reason
        if entry.process is None:
            self._queue.remove(entry)
            self._end(entry, "stopped", f"{reason} before it started")
        else:
            entry.process.tell({"do": "stop"})

    def _end(self, entry: Entry, status: Status, message: str) -> None:
        entry.status, entry.message, entry.process = status, message, None
        entry.version += 1
        if status == "failed":
            self._scratch.remove(entry.run)

    def _discard_owner(self, owner: str, why: str) -> None:
        with self._lock:
            for entry in [e for e in self._entries.values() if e.owner == owner]:
                self._discard(entry, why)
            self._seen.pop(owner, None)
            self._advance()

    def _discard(self, entry: Entry, why: str) -> None:
        process, entry.process = entry.process, None
        if process is not None:
            process.kill()
        if entry in self._queue:
            self._queue.remove(entry)
        self._entries.pop(entry.id, None)
        self._gone[entry.id] = why
        while len(self._gone) > 1000:
            self._gone.pop(next(iter(self._gone)))
        self._scratch.remove(entry.run)

    # the methods below run in background threads

    def _heard(
        self, process: Process, header: dict[str, Any] | None, arrays: dict[str, np.ndarray]
    ) -> None:
        """Handle a message of a process, or its end."""
        with self._lock:
            entry = next((e for e in self._entries.values() if e.process is process), None)
            if header is None:
                self._has_ended(process, entry)
            elif entry is not None:
                self._take_in(entry, header, arrays)

    def _has_ended(self, process: Process, entry: Entry | None) -> None:
        if process is self._warm:
            self._warm = None
            self._started = time.monotonic() + 10  # wait before the next spare process
        if entry is not None:
            self._end(entry, "failed", process.why_ended())
        if not self._closed.is_set():
            self._advance()

    def _take_in(self, entry: Entry, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        kind = header["kind"]
        if kind == "frame":
            entry.frame = Frame.from_message(header, arrays)
        elif kind == "paused":
            entry.status = "paused" if header["paused"] else "running"
        elif kind == "strength":
            entry.take_strength(header["value"])
        elif kind == "end":
            message: str = header["message"]
            if header["status"] == "finished":
                message = _ENDS.get(message, message)  # the training's own reason for its end
            elif header["status"] == "stopped":
                message = entry.reason or "its process received a stop command"
            self._end(entry, header["status"], message)
            self._advance()
        entry.version += 1

    def _keep_house(self) -> None:
        """Background loop: drop idle owners, enforce the time limit, keep one spare process."""
        while not self._closed.wait(_TICK):
            now = time.monotonic()
            with self._lock:
                for owner, last in list(self._seen.items()):
                    if now - last > self.limits.idle_seconds:
                        self._discard_owner(
                            owner,
                            f"its page sent no sign of life for {self.limits.idle_seconds:g} seconds",
                        )
                for entry in list(self._entries.values()):
                    if entry.process is not None and now - entry.began > 3600 * self.limits.hours:
                        self._stop(entry, f"stopped at the limit of {self.limits.hours:g} hours")
                self._make_ready(now)

    def _make_ready(self, now: float) -> None:
        wanted = bool(self._seen) and not self._queue and self._at_once() < self.limits.running
        if self._closed.is_set() or not wanted:
            if self._warm is not None:
                process, self._warm = self._warm, None
                process.kill()
        elif self._warm is None and now - self._started > _CALM:
            try:
                self._warm = Process(self._heard)
            except OSError:
                self._started = now + 10
