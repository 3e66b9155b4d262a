"""The process of one training: ``python -m marginlens.explorer.jobs.worker``.

It reads commands from standard input, one line of JSON each; the first one holds the task, the recipe
and the folder. It answers on standard output (:mod:`marginlens.explorer.jobs.ipc`). When standard input
ends, the parent process has ended, and this process exits at once.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any

from marginlens.explorer.jobs.frames import Frames
from marginlens.explorer.jobs.ipc import Writable, send
from marginlens.groups import group
from marginlens.measures import measure
from marginlens.runs.folder import begin_run, note_changes
from marginlens.runs.pipeline import Plan, conclude, plan_for, train_plan
from marginlens.tasks import Task, name_of_elements, task
from marginlens.theory import Prediction
from marginlens.training import DivergedError, Recipe, TrainingState, recipe_for, train
from marginlens.training.recipe import checked_recipe

__all__ = ["FRAME_SECONDS", "Worker", "main"]

FRAME_SECONDS = 0.1
"""Smallest number of seconds between two frames."""
_WANTED = 2.0  # seconds for which frames are made after a request
_COST = 15  # frames take at most a fifteenth of the time


class Worker:
    """One training that obeys commands and sends messages.

    Parameters
    ----------
    job
        ``recipe`` (its fields), ``prediction`` (its values, or none), ``folder`` of the run, ``paused``
        (whether it starts paused), and the Cayley ``table`` of an uploaded group.
    commands
        Queue of commands: ``{"do": "look" | "pause" | "go_on" | "stop"}`` or
        ``{"do": "strength", "value": 1e-3, "prediction": {...}}``.
    out
        Stream for messages: ``frame``, ``paused`` and ``strength`` (with the new value), ``end``.
    """

    def __init__(self, job: dict[str, Any], commands: queue.Queue, out: Writable) -> None:
        recipe, self.folder = Recipe(**job["recipe"]), Path(job["folder"])
        table = job.get("table")  # of an uploaded group
        name = recipe.task
        learned = task(name if table is None else group(table, name=name_of_elements(name)))
        self.planned = _plan(learned, recipe, job.get("prediction"))
        self.commands, self.out = commands, out
        self.paused = self.told = bool(job["paused"])
        self.stopped = False
        self.change: dict[str, Any] | None = None
        self.state: TrainingState | None = None
        self.frames = Frames(learned)
        self.looked = time.monotonic()
        self.next_frame, self.shown = 0.0, -1

    def run(self) -> None:
        """Train to the end and write the run; send any error as a message."""
        status, why = "failed", ""
        try:
            with begin_run(self.planned.recipe, self.planned.task, self.folder, overwrite=False):
                status, why = self._train()
        except DivergedError as error:
            self._show(error.state)
            why = str(error)
        except MemoryError:
            why = "out of memory; choose a smaller task or width"
        except OSError as error:
            why = f"the run could not be written: {error.strerror or error}"
        except Exception as error:  # the page shows the reason
            why = f"{type(error).__name__}: {error}"
        send(self.out, {"kind": "end", "status": status, "message": " ".join(why.split())[:500]})

    def _train(self) -> tuple[str, str]:
        while True:
            training = train_plan(
                self.planned,
                self.folder,
                state=self.state,
                watch=self.watch,
                watch_seconds=FRAME_SECONDS,
            )
            interrupted = training.stopped == "interrupted"
            if not interrupted or self.stopped or self.change is None:
                break
            self._change_strength(self.change)
        if self.state is not None:
            self._show(self.state)
        conclude(self.planned, training, self.folder)
        return ("stopped", "") if interrupted else ("finished", training.stopped)

    def watch(self, state: TrainingState) -> bool:
        """Run commands, send frames, wait while paused; return False to stop training."""
        self.state = state
        self._obey()
        if not len(state.active):
            self._show(state)
            return True
        while not self.stopped and self.change is None:
            if self.told != self.paused:
                self._show(state)  # the frame at the pause precedes its message
                self.told = self.paused
                send(self.out, {"kind": "paused", "paused": self.paused})
            now = time.monotonic()
            if now - self.looked < _WANTED and now >= self.next_frame and state.step != self.shown:
                self._show(state)
            if not self.paused:
                return True
            self._obey(wait=FRAME_SECONDS)
        return False

    def _obey(self, wait: float | None = None) -> None:
        """Run all pending commands; with ``wait``, wait that many seconds for the first."""
        try:
            command = self.commands.get(block=wait is not None, timeout=wait)
            while True:
                what = command["do"]
                if what == "look":
                    self.looked = time.monotonic()
                elif what == "stop":
                    self.stopped = True
                elif what == "strength":
                    self.change = command
                elif what in ("pause", "go_on"):
                    self.paused = what == "pause"
                command = self.commands.get_nowait()
        except queue.Empty:
            pass

    def _change_strength(self, change: dict[str, Any]) -> None:
        state = self.state
        assert state is not None
        self.change = None
        learned, was, strength = self.planned.task, self.planned.recipe, float(change["value"])
        now = checked_recipe({**was.model_dump(), "strength": strength})
        note_changes(self.folder, state.step, was, now)
        self.planned = _plan(learned, now, change.get("prediction"))
        send(self.out, {"kind": "strength", "value": strength})

    def _show(self, state: TrainingState) -> None:
        if state.step == self.shown:
            return
        begun = time.perf_counter()
        header, arrays = self.frames.of(state).to_message()
        send(self.out, {"kind": "frame", **header}, arrays)
        self.shown = state.step
        cost = time.perf_counter() - begun
        self.next_frame = time.monotonic() + max(0.9 * FRAME_SECONDS, _COST * cost)


def _plan(task: Task, recipe: Recipe, prediction: dict[str, Any] | None) -> Plan:
    """Plan with the prediction that was sent; one that was not is made."""
    if prediction is None:
        return plan_for(recipe, task)
    return Plan(task, recipe, Prediction.from_dict(prediction, task))


def main() -> None:
    """Import and warm up, then run the training of the first command."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # libraries print to standard error, not into the messages
    sys.stdout = sys.stderr
    commands: queue.Queue = queue.Queue()
    folders: list[Path] = []
    threading.Thread(target=_listen, args=(commands, folders), daemon=True).start()
    try:
        _warm_up()
        send(out, {"kind": "ready"})
        job = commands.get()
        folders.append(Path(job["folder"]))
        Worker(job, commands, out).run()
        os._exit(0)  # all files are written
    except (BrokenPipeError, KeyboardInterrupt):
        os._exit(1)


def _listen(commands: queue.Queue, folders: list[Path]) -> None:
    for line in sys.stdin.buffer:
        commands.put(json.loads(line))
    for folder in folders:  # the parent has ended; its unsaved runs are useless
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def _warm_up() -> None:
    """Train and measure a tiny network, so that slow first-time imports happen now."""
    small = task("C5")
    recipe = recipe_for(small, width=4, steps=2, strength=1e-3, learning_rate=0.01)
    network = train(small, recipe, watch=lambda state: bool(Frames(small).of(state))).network
    measure(network.as_mlp(), small)


if __name__ == "__main__":
    main()
