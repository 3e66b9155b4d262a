"""Frames of a training: its curves, weights of some neurons, and their power spectra."""

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
"""Largest number of history rows in a frame."""
SHOWN = 12
"""Largest number of neurons whose weights are in a frame."""

_NESTED = ("history", "weights", "spectra")


@dataclass(frozen=True, eq=False)
class Frame:
    """State of a training at one step, as the browser shows it (member 0 only).

    Attributes
    ----------
    step, seconds, steps_per_second
        Steps taken, seconds spent on them, and steps per second over the last second or two (0 until
        known).
    history
        ``step`` and the columns of the history (:class:`marginlens.training.Training`): at most
        ``POINTS`` evenly spaced rows, and the last one.
    neurons
        Indices of the neurons in ``weights`` and ``spectra``.
    weights
        Weights of these neurons for each of ``"u"``, ``"v"``, ..., ``"w"``, of shape
        (element, shown neuron).
    spectra
        Share of the energy of ``"u"``, ..., ``"all"`` in each feature, of shape
        (shown neuron, feature); nan for dead neurons.
    dominant, max_power
        For each neuron of the network: the feature with the largest share (-1 if dead), and that share
        (nan if dead).
    share, count
        For each feature: its share of the norm, and the number of neurons dominated by it.

    Notes
    -----
    All arrays except the history are empty for a transformer, and for tasks without features.
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
        """Return the frame as plain numbers and named arrays, for example ``"weights/u"``."""
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
        """Rebuild a frame from the output of :meth:`to_message`; its arrays are read-only."""
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
    """Maker of the successive frames of one training.

    Neurons are chosen once, the largest of each feature in turn. A neuron keeps its place until it dies,
    so that the picture does not jump.

    Parameters
    ----------
    task
        Task that the network learns.
    shown
        Largest number of neurons in a frame.
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
        """Return steps per second since the last frame that is at least one second older."""
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
    """Return evenly spaced rows of member 0 and the last; frames share the same spacing."""
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
