"""One picture of a training: its curves, some of its neurons, and what each neuron holds."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from marginlens.measures.neurons.weights import Neurons, neurons_of
from marginlens.tasks import Task
from marginlens.training import TrainingState

__all__ = ["POINTS", "SHOWN", "Frame", "Frames"]

POINTS = 400
"""Rows of a history that are shown, at most."""
SHOWN = 12
"""Neurons whose weights are shown, at most."""

_NESTED = ("history", "weights", "spectra")


@dataclass(frozen=True, eq=False)
class Frame:
    """What is shown of a training at a step; of member 0.

    Attributes
    ----------
    step, seconds, steps_per_second
        Steps taken, time spent on them, and the rate over the last second or two (0: not known yet).
    history
        ``step`` and the columns of the history (:class:`marginlens.training.Training`), at most
        ``POINTS`` rows: every so many, and the last.
    neurons
        Which neurons ``weights`` and ``spectra`` are of.
    weights
        ``"u"``, ``"v"``, ..., ``"w"``, (element, neuron).
    spectra
        Share of the energy of ``"u"``, ..., ``"all"`` in each feature, (neuron, feature); nan of dead
        ones.
    dominant, max_power
        Of all neurons: the feature with the largest share (-1 if dead), and that share (nan).
    share, count
        Of all features: their share of the norm, and their neurons.

    All but the history are empty for a transformer, and for tasks without features.
    """

    step: int = 0
    seconds: float = 0.0
    steps_per_second: float = 0.0
    history: dict[str, Float[np.ndarray, " record"] | Int[np.ndarray, " record"]] = field(
        default_factory=dict
    )
    neurons: Int[np.ndarray, " shown"] = field(default_factory=lambda: np.empty(0, np.int64))
    weights: dict[str, Float[np.ndarray, "element shown"]] = field(default_factory=dict)
    spectra: dict[str, Float[np.ndarray, "shown feature"]] = field(default_factory=dict)
    dominant: Int[np.ndarray, " neuron"] = field(default_factory=lambda: np.empty(0, np.int64))
    max_power: Float[np.ndarray, " neuron"] = field(default_factory=lambda: np.empty(0, np.float32))
    share: Float[np.ndarray, " feature"] = field(default_factory=lambda: np.empty(0))
    count: Int[np.ndarray, " feature"] = field(default_factory=lambda: np.empty(0, np.int64))

    def to_message(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Plain numbers, and arrays by names such as ``"weights/u"``."""
        header, arrays = {}, {}
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name in _NESTED:
                arrays |= {f"{one.name}/{key}": array for key, array in value.items()}
            elif isinstance(value, np.ndarray):
                arrays[one.name] = value
            else:
                header[one.name] = value
        return header, arrays

    @classmethod
    def from_message(cls, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Frame:
        """The frame that :meth:`to_message` took apart; its arrays cannot be written to."""
        values: dict[str, Any] = {name: {} for name in _NESTED}
        for name, array in arrays.items():
            array.flags.writeable = False
            group, _, key = name.partition("/")
            if key:
                values[group][key] = array
            else:
                values[name] = array
        numbers = ("step", "seconds", "steps_per_second")
        return cls(**{name: header[name] for name in numbers}, **values)


class Frames:
    """Makes the frames of one training, one after the other.

    Neurons are chosen once, the largest of each feature in turn, and stay where they are as long as they
    live, so that a picture of them does not jump.

    Parameters
    ----------
    task
        What is learned.
    shown
        How many neurons, at most.
    """

    def __init__(self, task: Task, shown: int = SHOWN) -> None:
        self.task, self.shown = task, shown
        self._chosen: list[int] = []
        self._times: deque[tuple[int, float]] = deque(maxlen=32)

    def of(self, state: TrainingState) -> Frame:
        """Return the frame of a state."""
        known: dict[str, Any] = {
            "step": state.step,
            "seconds": float(state.seconds),
            "steps_per_second": self._rate(state.step, state.seconds),
            "history": _curves(state),
        }
        if not state.network.neurons_are_measured or not self.task.features:
            return Frame(**known)
        network = state.network.as_mlp()
        found = neurons_of(network, self.task)
        self._choose(found)
        chosen = np.array(self._chosen, dtype=np.int64)
        slots = [name for name in found.weights if name != "bias"]
        return Frame(
            **known,
            neurons=chosen,
            weights={name: found.weights[name][:, chosen].astype(np.float32) for name in slots},
            spectra={name: s[chosen].astype(np.float32) for name, s in found.spectrum.items()},
            dominant=found.dominant.astype(np.int64),
            max_power=found.max_power.astype(np.float32),
            share=found.share.astype(np.float64),
            count=found.count.astype(np.int64),
        )

    def _rate(self, step: int, seconds: float) -> float:
        """Steps a second since the frame that is the last one at least a second older, or the first."""
        while len(self._times) > 1 and seconds - self._times[1][1] >= 1:
            self._times.popleft()
        self._times.append((step, seconds))
        first, began = self._times[0]
        return (step - first) / (seconds - began) if seconds > began else 0.0

    def _choose(self, found: Neurons) -> None:
        places = min(self.shown, len(found.live))
        kept = [neuron for neuron in self._chosen if found.live[neuron]]
        seen = np.bincount(found.dominant[kept], minlength=len(self.task.features))
        order = [int(i) for i in np.argsort(-found.masses, kind="stable") if i not in kept]
        for place in range(places):
            old = self._chosen[place] if place < len(self._chosen) else None
            if old is not None and found.live[old]:
                continue
            living = [i for i in order[: 8 * places] if found.live[i]]
            if living:
                new = min(living, key=lambda i: seen[found.dominant[i]])
                seen[found.dominant[new]] += 1
            elif old is None:
                new = order[0]
            else:
                continue  # it is dead, and so are all others
            order.remove(new)
            self._chosen[place : place + 1] = [new]


def _curves(state: TrainingState) -> dict[str, np.ndarray]:
    """Every so many rows of member 0, and the last: the same ones from frame to frame."""
    records = len(state.steps)
    every = 1
    while records > every * (POINTS - 1):
        every *= 2
    rows = list(range(0, records, every))
    if rows and rows[-1] != records - 1:
        rows.append(records - 1)
    curves: dict[str, np.ndarray] = {
        "step": np.array([state.steps[i] for i in rows], dtype=np.int64)
    }
    for name, values in state.rows.items():
        curves[name] = np.array([values[i][0] for i in rows], dtype=np.float64)
    return curves
