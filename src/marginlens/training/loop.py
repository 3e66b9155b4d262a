"""The training loop: from a state to the next record, snapshot or checkpoint, until all is done."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from marginlens.errors import MarginLensError
from marginlens.kernels.passes import compiled_passes
from marginlens.networks import Network
from marginlens.tasks import Task, task_of
from marginlens.theory import Penalty, Predictions
from marginlens.training.engine import Kept, steps_for, way_of
from marginlens.training.initial_state import copy_of, find_device, initial_network, known_minimum
from marginlens.training.process_group import Ranks
from marginlens.training.process_settings import Signals, settings
from marginlens.training.recipe import Recipe, recipe_for
from marginlens.training.state import Training, TrainingState, snapshot_steps

__all__ = ["CHECKPOINT_SECONDS", "DivergedError", "Watch", "train"]

CHECKPOINT_SECONDS = 60.0
_WORTH_THREADS = 1 << 17  # hidden activations a step
_WINDOW = 100  # steps over which convergence is judged
_EXPLODED = 1e12  # times the first norm

Watch = Callable[[TrainingState], bool]
"""Looks at a training while it runs; says whether it is to go on."""


Record = Callable[[Network], Mapping[str, Any]]
"""Computes further columns of a history from the network."""


class DivergedError(FloatingPointError):
    """Training left the finite numbers; ``state`` is the last good one."""

    def __init__(self, words: str, state: TrainingState) -> None:
        super().__init__(words)
        self.state = state


def train(
    task: Task | str,
    recipe: Recipe | None = None,
    *,
    margin: float | None = None,
    minimum: float | None = None,
    start: Network | None = None,
    progress: Callable[[int, dict[str, np.ndarray]], None] | None = None,
    state: TrainingState | None = None,
    checkpoint: Callable[[TrainingState], None] | None = None,
    checkpoint_every: int | None = None,
    watch: Watch | None = None,
    watch_seconds: float = 0.1,
    record: Record | None = None,
    **fields: Any,
) -> Training:
    """Minimise mean cross-entropy + penalty over the rows to train on.

    Where a process group of ``torch.distributed`` is set up, its processes share the rows.

    Parameters
    ----------
    task
        Task that is learned, or its spec.
    recipe
        Recipe of the training; None: the one that suits the task, with these ``fields``.
    margin
        The maximum normalized margin, to stop at a share of it; with ``fields`` the
        predicted one by default.
    minimum
        Least objective of any network at the last strength, for ``until_optimal``; None: predicted.
    start
        A network to go on from, in place of the recipe's initial one; it is not changed.
    progress
        Called with the step and the latest row of the history at each record.
    state
        Where an earlier training by the same recipe was, to go on from.
    checkpoint
        Called with the state every minute, every ``checkpoint_every`` steps, and when interrupted.
    watch, watch_seconds
        Called with the state at the start, whenever so many seconds have passed since it last
        returned, and at the end. Where it returns False training stops as after Ctrl-C; what it
        returns at the end is ignored. Its own time is none of the state's ``seconds``, and numbers
        are the same to the bit with it and without. Of several processes the first one's is called,
        between records. The state is the training's own: to keep one, copy it.
    record
        Function of the network, with the members still trained, that returns numbers by name, one each
        or one a member: they become columns of the history. It is called at each record, and changes
        no number of the training.
    fields
        Fields of the recipe, in place of ``recipe``: ``width=60, penalty=1e-3``; also ``rows`` and
        ``test_rows``, and a function as ``activation`` (:func:`marginlens.training.recipe_for`).

    Returns
    -------
    Training
        Also after Ctrl-C or SIGTERM, which take effect after the step in progress: what was learned
        until then is kept, and ``stopped`` says so. A second signal stops at once.

    Raises
    ------
    ValueError
        If the device is not there, ``stop_share`` is asked for where the maximum is unknown or
        ``until_optimal`` where the minimum is, or
        ``start`` is a network of another task or recipe.
    DivergedError
        If the loss of every member stops being finite or its norm explodes, naming the step; it
        holds the last good state. One member of several stops alone, as it last was.

    Examples
    --------
    >>> training = train("C5", width=40, steps=300)
    >>> training.history["accuracy"][-1]
    array([1.])
    """
    task = task_of(task)
    predictions = Predictions(task)
    if recipe is None:
        recipe = recipe_for(task, predictions=predictions, **fields)
        if margin is None and recipe.stop_share is not None:
            margin = predictions.at(recipe.activation).margin
    elif fields:
        raise MarginLensError(
            f"expected a recipe or fields of one, got both ({', '.join([*fields][:4])}): take "
            "recipe.model_copy(update=...)"
        )
    if recipe.stop_share is not None and margin is None:
        raise ValueError(
            "stop_share needs a known maximum margin; leave it out for this activation"
        )
    if minimum is None and recipe.until_optimal is not None:
        penalty = Penalty(recipe.penalty, recipe.final_strength)
        minimum = known_minimum(task, recipe, predictions.at(recipe.activation, penalty))
    started = time.perf_counter()
    device = find_device(recipe.device)
    if state is None:
        network = (
            initial_network(task, recipe, device)
            if start is None
            else copy_of(start, task, recipe, device)
        )
        state = TrainingState.start(recipe, network)
    else:
        state.network = state.network.copy().to(device)
    way = state.compiled = way_of(task, recipe, state, Ranks.here())
    work = recipe.members * recipe.neurons * recipe.rows(task)
    with (
        torch.no_grad(),
        settings(recipe, one_thread=work < _WORTH_THREADS),
        Signals() as signals,
        compiled_passes(way == "passes") as compile_seconds,
    ):
        loop = _Loop(
            task,
            recipe,
            state,
            margin,
            minimum,
            progress,
            checkpoint,
            checkpoint_every,
            signals,
            started,
            watch,
            watch_seconds,
            record,
        )
        stopped = loop.run()
    return state.finish(stopped, compile_seconds + loop.steps.compile_seconds)


class _Loop:
    """One call of :func:`train`."""

    def __init__(
        self,
        task: Task,
        recipe: Recipe,
        state: TrainingState,
        margin: float | None,
        minimum: float | None,
        progress: Callable[[int, dict[str, np.ndarray]], None] | None,
        checkpoint: Callable[[TrainingState], None] | None,
        checkpoint_every: int | None,
        signals: Signals,
        started: float,
        watch: Watch | None,
        watch_seconds: float,
        record: Record | None,
    ) -> None:
        self.recipe, self.state, self.margin, self.minimum = recipe, state, margin, minimum
        self.progress, self.checkpoint, self.every = progress, checkpoint, checkpoint_every
        self.signals, self.ranks = signals, Ranks.here()
        self.steps = steps_for(task, recipe, state, self.ranks, state.compiled, margin)
        self.snapshots = snapshot_steps(recipe, state.network)
        self.good: tuple[int, Kept] | None = None
        if state.step:  # that of a checkpoint is good until the next record
            self.good = state.step, self.steps.kept()
        self.before, self.started = state.seconds, started
        self.saved = time.perf_counter()
        self.watch = watch if self.ranks.leads else None
        self.watch_seconds, self.watched = watch_seconds, -math.inf
        self.own_record, self.own_names = record, set[str]()

    def run(self) -> str:
        state, recipe = self.state, self.recipe
        try:
            while True:
                step = state.step
                if step in self.snapshots and step not in state.snapshot_steps:
                    self._gather()
                    state.snapshot()
                recorded = bool(state.steps) and state.steps[-1] == step
                if not recorded and (step % recipe.record_every == 0 or step == recipe.steps):
                    self._record()
                if step == recipe.steps:
                    self._gather()
                    state.end(state.active, step, "steps")
                if not len(state.active):
                    self._look()
                    return "steps"
                if self.ranks.any(not self._look_if_due() or self.signals.received):
                    self._save()
                    return "interrupted"
                self._save_if_due()
                state.step = self.steps.advance(step, self._next(), self._proceed)
        except KeyboardInterrupt:  # not by our handler: a step may be half done
            self._back_to_good()
            self._write()
            return "interrupted"

    def _next(self) -> int:
        """The next step at which something is to be done."""
        step, every = self.state.step, self.recipe.record_every
        stops = [self.recipe.steps, (step // every + 1) * every]
        if self.every:
            stops.append((step // self.every + 1) * self.every)
        stops += [s for s in self.snapshots if s > step]
        return min(stops)

    def _proceed(self) -> bool:
        if self.ranks.world > 1:  # all of them stop at the same step: at the next record
            return True
        return not (self.signals.received or self._is_due() or self._is_look_due())

    def _is_look_due(self) -> bool:
        if self.watch is None:
            return False
        return time.perf_counter() - self.watched >= self.watch_seconds

    def _look_if_due(self) -> bool:
        """Whether training is to go on."""
        return not self._is_look_due() or self._look()

    def _look(self) -> bool:
        """Show the state to whom watches; whether training is to go on."""
        if self.watch is None:
            return True
        self._gather()
        begun = time.perf_counter()
        try:
            return self.watch(self.state)
        finally:
            self.watched = time.perf_counter()
            self.started += self.watched - begun  # its time is not training's

    def _is_due(self) -> bool:
        return self.checkpoint is not None and time.perf_counter() - self.saved > CHECKPOINT_SECONDS

    def _save_if_due(self) -> None:
        step = self.state.step
        if self._is_due() or (self.every and step and step % self.every == 0):
            self._save()

    def _save(self) -> None:
        self._gather()
        self._write()

    def _write(self) -> None:
        if self.checkpoint is not None and self.ranks.leads:
            self.checkpoint(self.state)
        self.saved = time.perf_counter()

    def _gather(self) -> None:
        """Put what is being trained into the state."""
        state = self.state
        state.seconds = self.before + time.perf_counter() - self.started
        self._take(self.steps.kept())

    def _take(self, kept: Kept) -> None:
        """Set the state of the members still trained."""
        state = self.state
        parameters, state.optimizer = kept()
        active = torch.as_tensor(state.active)
        if len(active) == state.network.members:
            state.network = state.network.with_parameters(parameters)
        elif len(active):
            for name, tensor in state.network.tensors.items():
                tensor[active.to(tensor.device)] = parameters[name]

    def _record(self) -> None:
        """Add a row to the history; members that are done, or diverged, stop."""
        state, step = self.state, self.state.step
        latest = {
            name: value.cpu().numpy().astype(np.float64)
            for name, value in self.steps.evaluate(step).items()
        }
        if self.own_record is not None:
            latest |= self._own_columns(latest)
        active = state.active
        bad = ~np.isfinite(latest["loss"])
        if state.steps:
            bad |= latest["norm"] > _EXPLODED * np.maximum(state.rows["norm"][0][active], 1)
        if bad.any():
            self._diverged(step, bad, latest)
            latest = {name: value[~bad] for name, value in latest.items()}
            active = state.active
        state.steps.append(step)
        for name, value in latest.items():
            if name not in state.rows:  # of an own record: unknown before it began
                none = np.full(len(state.ends), np.nan)
                state.rows[name] = [none] * (len(state.steps) - 1)
            if len(active) < len(state.ends):
                rows = state.rows[name]
                row = rows[-1].copy() if rows else np.full(len(state.ends), np.nan)
                row[active] = value
                value = row
            state.rows[name].append(value)
        self.good = step, self.steps.kept()
        if self.progress is not None:
            self.progress(step, {name: rows[-1] for name, rows in state.rows.items()})
        self._stop_members(active)

    def _own_columns(self, latest: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Numbers of the caller's function, one for each member still trained."""
        assert self.own_record is not None
        count = len(latest["loss"])
        parameters = self.steps.kept()()[0]
        with torch.enable_grad():
            given = self.own_record(self.state.network.with_parameters(parameters))
        found: dict[str, np.ndarray] = {}
        for name, value in given.items():
            if name in self.state.rows and name not in self.own_names:
                raise MarginLensError(f"expected another name than {name!r}, which the history has")
            tensor = torch.as_tensor(value).detach().cpu().double()
            if tensor.numel() not in (1, count):
                raise MarginLensError(
                    f"expected one number or {count} of {name!r}, one a member, got shape "
                    f"{tuple(tensor.shape)}"
                )
            found[name] = np.broadcast_to(tensor.flatten().numpy(), count).copy()
        self.own_names |= found.keys()
        return found

    def _stop_members(self, active: np.ndarray) -> None:
        """Let members go that have converged, are optimal, or have their share of the margin."""
        state, recipe = self.state, self.recipe
        reasons = np.full(len(active), "", dtype=object)
        last = np.full(len(active), state.step)
        if recipe.patience:
            ended = self.steps.ended().numpy().astype(np.int64)
            reasons[ended >= 0] = "converged"
            last[ended >= 0] = ended[ended >= 0]
        if recipe.anneal_to is not None and state.step < 0.75 * recipe.steps:
            return  # the minimum moves on
        if recipe.tolerance and not recipe.patience:
            back = math.ceil(_WINDOW / recipe.record_every)
            loss = state.rows["loss"]
            if len(loss) > back:
                change = np.abs(loss[-1][active] / loss[-1 - back][active] - 1)
                reasons[change < recipe.tolerance] = "converged"
        if recipe.until_optimal is not None and self.minimum is not None:
            excess = state.rows["loss"][-1][active] / self.minimum - 1
            reasons[(excess < recipe.until_optimal) & (reasons == "")] = "optimal"
        if recipe.stop_share is not None and self.margin is not None:
            reached = state.rows["normalized_margin"][-1][active] / self.margin
            reasons[(reached >= recipe.stop_share) & (reasons == "")] = "share of the margin"
        gone = reasons != ""
        if gone.any():
            self._gather()
            for reason in set(reasons[gone]):
                state.end(active[reasons == reason], last[reasons == reason], reason)
            self._keep(~gone)
            self.good = state.step, self.steps.kept()  # of those that are left

    def _diverged(self, step: int, bad: np.ndarray, latest: dict[str, np.ndarray]) -> None:
        """Let diverged members go as they last were; raise if none is left."""
        state = self.state
        good = self.good[0] if self.good is not None else 0
        self._back_to_good(forget=bool(bad.all()))
        if bad.all():
            what = "the norm has exploded"
            if not np.isfinite(latest["loss"]).all():
                what = "the loss is not finite"
            raise DivergedError(
                f"training diverged: {what} at step {step}; try a smaller learning rate, "
                f"for example {self.recipe.learning_rate / 10:g}",
                state,
            )
        state.end(state.active[bad], good, "diverged")
        state.step = step
        self._keep(~bad)

    def _back_to_good(self, *, forget: bool = True) -> None:
        """Set the state, not what is being trained, to the last record, where all was finite.

        Later snapshots are forgotten, unless others go on.
        """
        if self.good is None:
            return
        self.state.step, kept = self.good
        self._take(kept)
        late = forget * sum(s > self.state.step for s in self.state.snapshot_steps)
        for kept in (self.state.snapshot_steps, *self.state.snapshots.values()):
            del kept[len(kept) - late :]

    def _keep(self, kept: np.ndarray) -> None:
        if kept.any() and not kept.all():
            self.steps.keep(torch.as_tensor(np.flatnonzero(kept)))
