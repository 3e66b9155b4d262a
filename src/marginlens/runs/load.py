"""Load a network from a file, a state_dict, or the folder of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from marginlens.display import Displayed, Shown
from marginlens.errors import MarginLensError
from marginlens.formats import Foreign, read_network, read_state_dict
from marginlens.measures import Measurement, measure
from marginlens.measures.recognition import recognize_weights
from marginlens.networks import Network
from marginlens.runs.folder import MARK, load_run
from marginlens.runs.run import Run
from marginlens.tasks import Task, task_of

__all__ = ["LoadedNetwork", "load"]


@dataclass(frozen=True, eq=False)
class LoadedNetwork(Displayed):
    """Network of another project, with the task that it learned.

    Attributes
    ----------
    task
        Task that the network learned, with elements in the network's order.
    network
        Same function as a network of this package, an ensemble of one; None for logits only.
    logits
        Logits in float64, of shape (row, class), for every row of the task.
    train
        Indices of the training rows, if the file or its project states them.
    form
        Name of the file's format.
    stored
        Numbers that the authors stored with the network.
    notes
        Assumptions made while reading, one phrase each.
    warning
        Sentence with the likely reason if fewer than half the rows are right; else empty.
    """

    task: Task
    network: Network | None
    logits: Float[np.ndarray, "row class"]
    train: Int[np.ndarray, " train_row"] | None = None
    form: str = ""
    stored: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warning: str = ""

    def measure(self) -> Measurement:
        """Measure the network on its task; for logits only, metrics of weights are None."""
        x = self.logits if self.network is None else self.network
        return measure(x, self.task, train=self.train)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, without tensors."""
        return {
            "task": self.task.name,
            "network": None if self.network is None else type(self.network).__name__,
            "format": self.form,
            "train_rows": None if self.train is None else len(self.train),
            "stored": dict(self.stored),
            "notes": list(self.notes),
            "warning": self.warning or None,
        }

    def to_records(self) -> list[dict[str, Any]]:
        """Return the single row of :meth:`to_frame`: format, assumptions and notes."""
        values = self.to_dict()
        return [values | {"stored": None, "notes": "; ".join(self.notes)}]

    def shown(self) -> Shown:
        """Return heading, format and notes for notebooks."""
        values = self.to_dict()
        facts = [
            (name.replace("_", " "), values[name]) for name in ("network", "format", "train_rows")
        ]
        facts += [("read", note) for note in self.notes]
        return Shown(f"{self.task.name}: a loaded network", facts, lead=self.warning)


def load(
    x: Any,
    task: Task | str | None = None,
    *,
    form: str | None = None,
    activation: str | None = None,
    attention: float | None = None,
    layer_norm: str | None = None,
) -> LoadedNetwork | Run:
    """Load a network from a file, a state_dict, or the folder of a run.

    No code in a file is executed. A file or state_dict is recognised by the names of its tensors
    (``marginlens.formats.FORMATS``), or else by their shapes: the roles of the tensors of a network with
    one hidden layer are found by trial, as those that solve the task.

    Parameters
    ----------
    x
        Path of a .pt, .pth, .ckpt, .bin, .safetensors or .npz file; tensors by name; or a run's folder.
    task
        Group or operation that the network learned, or its name; None takes it from the file.
    form
        Name of the format; None detects it.
    activation, attention, layer_norm
        Settings that the file lacks, the same as for ``marginlens measure``.

    Returns
    -------
    LoadedNetwork
        Network with ``measure()``, ``task`` and ``network``. For a run's folder a :class:`Run`, which
        has them too.

    Raises
    ------
    MarginLensError
        If the file is missing or damaged, would execute code, or holds no network.

    Examples
    --------
    >>> from marginlens.networks import construct
    >>> weights = {name: p[0] for name, p in construct(task_of("C5")).tensors.items()}
    >>> load(weights).measure().accuracy
    1.0
    """
    spec = task.name if isinstance(task, Task) else task
    if isinstance(x, str | Path):
        path = Path(x)
        if path.is_dir() and (path / MARK).is_file():
            if any(
                option is not None for option in (task, form, activation, attention, layer_norm)
            ):
                raise MarginLensError(
                    f"the recipe in {str(path)!r} sets task and activation: leave these options out"
                )
            return load_run(path)
        return _loaded(
            read_network(
                path,
                form,
                group=spec,
                activation=activation,
                attention=attention,
                layer_norm=layer_norm,
            )
        )
    if not isinstance(x, Mapping):
        raise MarginLensError(
            f"expected a path or a state_dict, got {type(x).__name__}; for a module use "
            "ml.measure(model, task)"
        )
    try:
        found = read_state_dict(
            x, form, group=spec, activation=activation, attention=attention, layer_norm=layer_norm
        )
    except ValueError as error:
        if form is not None or "of no known format" not in str(error):
            raise
        loaded = _by_shapes(x, task, activation)
        if loaded is None:
            raise
        return loaded
    return _loaded(found)


def _loaded(found: Foreign) -> LoadedNetwork:
    return LoadedNetwork(
        found.task,
        found.network,
        found.logits,
        found.train,
        found.form,
        found.stored,
        found.notes,
        found.warning,
    )


def _by_shapes(
    x: Mapping[str, Any], task: Task | str | None, activation: str | None
) -> LoadedNetwork | None:
    """Return the one-hidden-layer network whose tensors solve the task, or None."""
    if task is None:
        raise MarginLensError(
            "the names of the tensors are of no known format; state the task, for example "
            'ml.load(state_dict, "S5")'
        )
    known = task_of(task)
    found = recognize_weights(x, known, activation)
    if found.network is None:
        raise MarginLensError(f"these tensors do not solve {known.name}: {found.words}")
    logits = found.network.logits(known)[0].numpy()
    return LoadedNetwork(known, found.network, logits, form="shapes", notes=(found.words,))
