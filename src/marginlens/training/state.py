"""Everything that training needs to go on where it was, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from marginlens.display import Displayed, Shown
from marginlens.networks import Network
from marginlens.training.recipe import Recipe

__all__ = ["ENDS", "HISTORY", "Training", "TrainingState"]

HISTORY = ("loss", "cross_entropy", "accuracy", "margin", "norm", "normalized_margin")
MARGIN = ("sharpness", "upper_bound")
HELD_OUT = ("test_cross_entropy", "test_accuracy", "test_margin")

ENDS = ("", "steps", "share of the margin", "converged", "diverged", "interrupted", "optimal")
"""Why a member stopped; nothing while it is trained."""

_SNAPSHOT_BYTES = 64 << 20

Way = Literal["", "passes", "steps"]
_WAYS: tuple[Way, ...] = ("", "passes", "steps")


@dataclass(frozen=True, eq=False)
class Training(Displayed):
    """What training leaves behind.

    Attributes
    ----------
    network
        The last state, every member.
    steps
        Steps at which ``history`` was recorded.
    history
        Columns ``loss`` (what is minimised: the recipe's loss, by default cross-entropy, + penalty),
        ``cross_entropy``, ``accuracy``, ``margin``, ``norm`` (sum ||omega_i||^nu) and
        ``normalized_margin`` (margin / norm), over the rows trained on; where rows are held back also
        ``test_cross_entropy``, ``test_accuracy``, ``test_margin``, and ``test_loss`` (without penalty)
        where the loss is not cross-entropy. With the loss ``margin``, ``loss`` is minus the smoothed
        minimum of the margins; ``sharpness`` (beta) and ``upper_bound`` (the least bound of
        gamma* that an adversary has proved so far; nan where no theorem gives one) are recorded too.
        Trained online, over the whole table where it is listed, else over a fixed sample
        (:func:`marginlens.training.recorded_rows`). A member that has stopped keeps its values.
    snapshot_steps, snapshots
        Parameters of member 0 through training, on a logarithmic scale of steps.
    seconds
        Time spent training, in seconds of wall clock.
    stopped
        ``"steps"``, ``"share of the margin"``, ``"converged"``, ``"optimal"``, ``"diverged"`` or
        ``"interrupted"``:
        of the member that was trained longest.
    ends, end_steps
        The same for each member, and the step of its last state.
    compile_seconds
        Time spent compiling the step, part of ``seconds``; 0 where it was not compiled.
    """

    network: Network
    steps: Int[np.ndarray, " record"]
    history: dict[str, Float[np.ndarray, "record member"]]
    snapshot_steps: Int[np.ndarray, " snapshot"]
    snapshots: dict[str, Float[np.ndarray, "snapshot ..."]]
    seconds: float
    stopped: str
    ends: tuple[str, ...] = ()
    end_steps: Int[np.ndarray, " member"] = field(default_factory=lambda: np.empty(0, np.int64))
    compile_seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold: how it ended, and the last record of each member."""
        last = {name: values[-1] for name, values in self.history.items() if len(values)}
        return {
            "network": type(self.network).__name__,
            "members": self.network.members,
            "steps": int(self.end_steps.max(initial=0)),
            "seconds": self.seconds if np.isfinite(self.seconds) else None,
            "stopped": self.stopped,
            "ends": list(self.ends),
            "last": {
                name: [float(value) if np.isfinite(value) else None for value in values]
                for name, values in last.items()
            },
        }

    def to_records(self) -> list[dict[str, Any]]:
        """Rows of :meth:`to_frame`: the history, one a record and member."""
        return [
            {"step": int(step), "member": member}
            | {name: float(values[row, member]) for name, values in self.history.items()}
            for row, step in enumerate(self.steps)
            for member in range(self.network.members)
        ]

    def shown(self) -> Shown:
        """Heading, how it ended, and the last record of each member."""
        values = self.to_dict()
        names = ("network", "members", "steps", "seconds", "stopped")
        last = values["last"]
        rows = [
            [member, *(column[member] for column in last.values())]
            for member in range(self.network.members)
        ]
        columns = ["member", *(name.replace("_", " ") for name in last)]
        facts = [(name, values[name]) for name in names]
        return Shown(
            "a training", facts, columns, rows if last else [], "Last record of each member."
        )


@dataclass(eq=False)
class TrainingState:
    """A training at a step: everything that decides how it goes on.

    Attributes
    ----------
    step
        Number of steps taken.
    network
        Every member; those that have stopped as they were then.
    optimizer
        What the optimizer remembers of the members still trained.
    end_steps, ends
        Of each member: the step of its last state (-1 while it is trained), and why.
    steps, rows
        The history so far.
    snapshot_steps, snapshots
        Member 0 so far.
    seconds
        Time spent so far.
    compiled
        ``"passes"`` or ``"steps"`` where these are compiled, which round otherwise; empty if nothing is.
    """

    step: int
    network: Network
    optimizer: dict[str, Tensor]
    end_steps: Int[np.ndarray, " member"]
    ends: list[str]
    steps: list[int]
    rows: dict[str, list[np.ndarray]]
    snapshot_steps: list[int]
    snapshots: dict[str, list[np.ndarray]]
    seconds: float = 0.0
    compiled: Way = ""

    @classmethod
    def start(cls, recipe: Recipe, network: Network) -> TrainingState:
        """Before the first step."""
        columns = HISTORY + (HELD_OUT if recipe.holds_out else ())
        if recipe.loss_function == "margin":
            columns = (*HISTORY, *MARGIN, *columns[len(HISTORY) :])
        elif recipe.holds_out and recipe.loss_function != "cross_entropy":
            columns += ("test_loss",)
        return cls(
            step=0,
            network=network,
            optimizer={},
            end_steps=np.full(network.members, -1),
            ends=[""] * network.members,
            steps=[],
            rows={name: [] for name in columns},
            snapshot_steps=[],
            snapshots={name: [] for name in network.tensors},
        )

    @classmethod
    def after(cls, training: Training) -> TrainingState:
        """State in which a finished training goes on: its members, history and snapshots.

        Members that took all steps are trained further; others stay as they stopped. The optimizer
        starts anew, as a finished training does not keep its moments.
        """
        ends = ["" if end == "steps" else end for end in training.ends]
        active = np.array([not end for end in ends], dtype=bool)
        return cls(
            step=int(training.end_steps.max(initial=0)),
            network=training.network,
            optimizer={},
            end_steps=np.where(active, -1, training.end_steps),
            ends=ends,
            steps=training.steps.tolist(),
            rows={name: list(rows) for name, rows in training.history.items()},
            snapshot_steps=training.snapshot_steps.tolist(),
            snapshots={name: list(values) for name, values in training.snapshots.items()},
            seconds=training.seconds,
        )

    @property
    def active(self) -> Int[np.ndarray, " active"]:
        """Indices of the members still trained."""
        return np.flatnonzero(self.end_steps < 0)

    def end(
        self, members: Int[np.ndarray, " some"], step: int | Int[np.ndarray, " some"], reason: str
    ) -> None:
        """Note that members have stopped, at a step or one step each."""
        self.end_steps[members] = step
        for member in members:
            self.ends[member] = reason

    def snapshot(self) -> None:
        """Keep member 0 as it is now."""
        self.snapshot_steps.append(self.step)
        for name, parameter in self.network.tensors.items():
            self.snapshots[name].append(parameter[0].detach().float().cpu().numpy().copy())

    def finish(self, stopped: str, compile_seconds: float = 0.0) -> Training:
        """What training leaves behind."""
        ends = tuple(end or stopped for end in self.ends)
        end_steps = np.where(self.end_steps < 0, self.step, self.end_steps)
        parameters = {name: p.detach().cpu() for name, p in self.network.tensors.items()}
        return Training(
            network=self.network.with_parameters(parameters),
            steps=np.array(self.steps, dtype=np.int64),
            history={name: np.array(rows) for name, rows in self.rows.items()},
            snapshot_steps=np.array(self.snapshot_steps, dtype=np.int64),
            snapshots={
                name: np.array(values, np.float32).reshape(-1, *parameters[name].shape[1:])
                for name, values in self.snapshots.items()
            },
            seconds=self.seconds,
            stopped=stopped if (self.end_steps < 0).any() else ends[int(end_steps.argmax())],
            ends=ends,
            end_steps=end_steps,
            compile_seconds=compile_seconds,
        )

    def to_tensors(self) -> dict[str, Tensor]:
        """As named tensors that a file can hold."""
        numbers = {
            "step": torch.tensor(self.step),
            "seconds": torch.tensor(self.seconds, dtype=torch.float64),
            "compiled": torch.tensor(_WAYS.index(self.compiled)),
            "end_steps": torch.tensor(self.end_steps),
            "ends": torch.tensor([ENDS.index(end) for end in self.ends]),
            "steps": torch.tensor(self.steps, dtype=torch.int64),
            "snapshot_steps": torch.tensor(self.snapshot_steps, dtype=torch.int64),
        }
        groups: dict[str, Mapping[str, Tensor]] = {
            "parameters": self.network.tensors,
            "optimizer": self.optimizer,
            "history": {n: torch.as_tensor(np.array(rows)) for n, rows in self.rows.items()},
            "snapshots": {n: torch.as_tensor(np.array(v)) for n, v in self.snapshots.items()},
        }
        for group, values in groups.items():
            for name, value in values.items():
                numbers[f"{group}/{name}"] = value.detach().cpu().clone().contiguous()
        return numbers

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], like: Network) -> TrainingState:
        """The state that :meth:`to_tensors` wrote, of a network with the same shapes as ``like``.

        Raises
        ------
        ValueError
            If a tensor is missing, or has another shape than the recipe's network.
        """

        def group(name: str) -> dict[str, Tensor]:
            start = name + "/"
            return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}

        parameters = group("parameters")
        got = {name: (tuple(p.shape), p.dtype) for name, p in parameters.items()}
        wanted = {name: (tuple(p.shape), p.dtype) for name, p in like.tensors.items()}
        if got != wanted:
            raise ValueError(f"its parameters are {got}, but the recipe says {wanted}")
        members = like.members
        optimizer = group("optimizer")
        try:
            rows = {name: list(rows.numpy()) for name, rows in group("history").items()}
            lengths = {len(tensors["end_steps"]), len(tensors["ends"])} | {
                row.size for values in rows.values() for row in values[:1]
            }
            if lengths != {members} or {len(v) for v in rows.values()} != {len(tensors["steps"])}:
                raise ValueError(
                    f"its history is not one of {members} members at {len(tensors['steps'])} steps"
                )
            return cls(
                step=int(tensors["step"]),
                # a sum over parameters rounds by their order, and a file may have another
                network=like.with_parameters({name: parameters[name] for name in wanted}),
                optimizer=optimizer,
                end_steps=tensors["end_steps"].numpy().copy(),
                ends=[ENDS[int(end)] for end in tensors["ends"]],
                steps=tensors["steps"].tolist(),
                rows=rows,
                snapshot_steps=tensors["snapshot_steps"].tolist(),
                snapshots={name: list(v.numpy()) for name, v in group("snapshots").items()},
                seconds=float(tensors["seconds"]),
                compiled=_WAYS[int(tensors["compiled"])],
            )
        except (KeyError, IndexError) as error:
            raise ValueError(f"it lacks {error.args[0]!r}") from None


def snapshot_steps(recipe: Recipe, network: Network) -> set[int]:
    """Steps at which member 0 is kept: on a logarithmic scale, within 64 MB in all."""
    one = sum(p[0].numel() for p in network.tensors.values()) * 4
    count = max(2, min(recipe.snapshots, _SNAPSHOT_BYTES // one)) if recipe.snapshots else 0
    wanted = np.geomspace(1, recipe.steps + 1, count).round().astype(int) - 1
    return set(wanted.tolist())
