"""Subject of a figure: a run, or those parts of one that are there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from marginlens.errors import MarginLensError
from marginlens.measures import Measurement, displacement, measure
from marginlens.networks import MLP, Network
from marginlens.runs import LoadedNetwork, Run, load
from marginlens.tasks import Task, task_of
from marginlens.theory import Prediction

if TYPE_CHECKING:
    from marginlens.measures import Displacement

__all__ = ["MissingPartError", "Subject", "subject_of"]

_PARTS = {
    "prediction": "a prediction",
    "measurement": "a measurement",
    "network": "a network",
    "task": "the task of a network or of a task that its name does not say",
    "displacement": "a network",
    "recipe": "a run",
    "training": "a run",
    "history": "the history of a run",
    "first": "the network before training, which a run has",
    "snapshots": "the snapshots of a run",
    "snapshot_steps": "the snapshots of a run",
    "lottery": "the network before training, which a run has",
    "grokking": "the history of a run",
}
"""Parts of a run by name, in words."""


class MissingPartError(MarginLensError):
    """A figure needs a part of a run that was not given."""


class Subject:
    """Parts of a run that a figure may be drawn of, under the names that they have in a run.

    Parameters
    ----------
    parts
        ``task``, ``prediction``, ``measurement`` and ``network``, those that are there.

    Raises
    ------
    MissingPartError
        When a part is asked for that is not there.
    """

    def __init__(self, **parts: Any) -> None:
        self._parts = parts

    @property
    def only_prediction(self) -> Prediction | None:
        """Prediction, if nothing was measured; else None."""
        return None if "measurement" in self._parts else self._parts.get("prediction")

    def __getattr__(self, name: str) -> Any:
        """Part of that name, made from another one where that is possible."""
        if name.startswith("__"):
            raise AttributeError(name)
        parts = self._parts
        if name not in parts and name == "displacement" and "network" in parts:
            return _displacement(parts["network"], self.task)
        if name not in parts:
            given = ", ".join(_PARTS[one] for one in parts if one != "task")
            raise MissingPartError(f"needs {_PARTS.get(name, name)}, got {given}")
        return parts[name]


def _displacement(network: Network, task: Task) -> Displacement | None:
    if task.group is None or not task.is_listed:
        return None
    return displacement(network, task)


def subject_of(*of: Any, task: Task | str | None = None) -> Run | Subject:
    """Run, or the parts of one that are given.

    Parameters
    ----------
    of
        A run or its folder; or predictions, measurements and networks (also of other projects, and
        files of them), at most one of each.
    task
        Task of a network, or of a prediction or measurement of a table whose name does not say it.

    Raises
    ------
    MarginLensError
        If something else is given, two of a kind, or a network without its task.
    """
    if not of:
        raise MarginLensError("expected a run, a prediction, a measurement or a network, got none")
    chosen = None if task is None else task_of(task)
    parts: dict[str, Any] = {}
    for one in of:
        found = load(one) if isinstance(one, str | Path) else one
        if isinstance(found, Run):
            if len(of) > 1:
                raise MarginLensError(f"expected a run alone, got {len(of)} things")
            return found
        new = _parts_of(found, chosen)
        if new.keys() & parts.keys() - {"task"}:
            raise MarginLensError("expected at most one prediction, measurement and network")
        parts |= new
    if chosen is not None:
        parts["task"] = chosen
    elif "task" not in parts and parts:
        named = parts.get("measurement") or parts["prediction"]
        names = [getattr(one, "name", one) for one in named.features]
        try:
            known = task_of(named.task)
        except (ValueError, OSError):
            known = None
        if known is not None and names == [feature.name for feature in known.features]:
            parts["task"] = known
    return Subject(**parts)


def _parts_of(found: Any, task: Task | None) -> dict[str, Any]:
    if isinstance(found, Prediction):
        return {"prediction": found}
    if isinstance(found, Measurement):
        network = found.network
        known = {"network": network} if isinstance(network, MLP) else {}
        return {"measurement": found} | known
    if isinstance(found, LoadedNetwork):
        parts = {"task": found.task, "measurement": found.measure()}
        return parts | ({} if found.network is None else {"network": found.network})
    if isinstance(found, Network) or callable(found):
        if task is None:
            raise MarginLensError("a network has no task by itself; say it, for example task='C5'")
        parts = {"measurement": measure(found, task)}
        return parts | ({"network": found} if isinstance(found, Network) else {})
    raise MarginLensError(
        "expected a run, its folder, a prediction, a measurement or a network, got "
        f"{type(found).__name__}"
    )
