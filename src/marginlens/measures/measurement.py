"""Measurement of a network, a module, or logits on a task."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from marginlens.display import Displayed, Shown
from marginlens.errors import MarginLensError
from marginlens.measures.dynamics.grokking import Grokking, grokking
from marginlens.measures.logits.losses import mean_cross_entropy
from marginlens.measures.logits.mechanism import Mechanism
from marginlens.measures.logits.module_logits import has_equals_sign, module_logits
from marginlens.measures.logits.operation_measures import OperationMeasures, examine_table
from marginlens.measures.neurons.parity import measure_parity
from marginlens.measures.neurons.phases import cyclic_phases
from marginlens.measures.neurons.weights import LIVE, Neurons, neurons_of
from marginlens.measures.recognition import recognize
from marginlens.networks import MLP, Network, Rows, evaluate
from marginlens.tasks import Task
from marginlens.tasks import task as task_of
from marginlens.theory import Activation, default_activation, parse_activation
from marginlens.training import Training

__all__ = ["LIVE", "Measurement", "measure"]

_EXPECTED = "expected a network, module, callable, logits or weights u, v, w"
_ONE_MOMENT = "a network at one moment has none; measure a training that held rows back"
_OF_WEIGHTS = ("activation", "degree", "norm", "normalized_margin", "neurons")
_FEW = 0.5
"""Share of the rows below which a module may read its rows in another form."""


@dataclass(frozen=True, eq=False)
class Measurement(Displayed):
    """Measurement of one function on a task; unknown values are ``None``.

    The margin's numbers are fields of the record; ``neurons``, ``logits`` and ``dynamics`` are
    further sections. The reason for each ``None`` is in ``unknown``, under the same name.

    Attributes
    ----------
    task
        Name of the task.
    subject
        Phrase that describes the measured object and how it was read.
    features
        Names of the task's features.
    accuracy, cross_entropy, margin
        Share of right answers, mean cross-entropy and least lead of the right logit, over the whole
        table or a sample.
    sampled
        Number of rows of the sample if the task's rows are not listed; 0 for the whole table.
    activation, degree
        Activation of the hidden layer; degree nu of homogeneity in the parameters.
    norm, normalized_margin
        Norm power sum sum_i ||omega_i||^nu, and margin / norm.
    neurons
        Weights of the neurons and the features that they hold (:class:`Neurons`). Its attributes
        (``live``, ``spectrum``, ``share`` ...) can be read from the measurement too; this raises
        a MarginLensError with the reason where the neurons are unknown.
    dynamics
        Stages of a training (:class:`Grokking`).
    uncovered
        Reason why no theorem covers the network, in a phrase; empty if one may.
    non_finite
        Number of weights or logits that are NaN or infinite; if it is positive, accuracy,
        cross-entropy, margin and norm are NaN.
    unknown
        Reasons for missing values, by their names.
    notes
        Phrases on how a module was interpreted.
    network
        Measured network, an ensemble of one in float64; ``None`` for a black box.
    """

    task: str
    subject: str
    features: tuple[str, ...]
    accuracy: float
    cross_entropy: float
    margin: float
    sampled: int = 0
    activation: str | None = None
    degree: int | float | None = None
    norm: float | None = None
    normalized_margin: float | None = None
    neurons: Neurons | None = None
    dynamics: Grokking | None = None
    uncovered: str = ""
    non_finite: int = 0
    unknown: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    network: Network | None = field(default=None, repr=False)
    _examine: Callable[[], Mechanism | OperationMeasures] | None = field(default=None, repr=False)

    @cached_property
    def logits(self) -> Mechanism | OperationMeasures | None:
        """Published measures of the logits, and of the weights where known; computed at first use."""
        return None if self._examine is None else self._examine()

    @property
    def neuron_norms(self) -> Float[np.ndarray, " neuron"]:
        """||omega_i|| of each neuron."""
        return self._known.neuron_norms

    @property
    def live(self) -> Bool[np.ndarray, " neuron"]:
        """True if each neuron is live."""
        return self._known.live

    @property
    def spectrum(self) -> dict[str, Float[np.ndarray, "neuron feature"]]:
        """Share of each neuron's energy in each feature, by slot, and of ``"all"`` together."""
        return self._known.spectrum

    @property
    def dominant(self) -> Int[np.ndarray, " neuron"]:
        """Index of each neuron's strongest feature; -1 if it is dead."""
        return self._known.dominant

    @property
    def max_power(self) -> Float[np.ndarray, " neuron"]:
        """Share of each neuron's energy in its strongest feature; nan if it is dead."""
        return self._known.max_power

    @property
    def agrees(self) -> Bool[np.ndarray, " neuron"]:
        """True if all weights of a neuron have the same strongest feature."""
        return self._known.agrees

    @property
    def share(self) -> Float[np.ndarray, " feature"]:
        """Share of the norm of each feature."""
        return self._known.share

    @property
    def count(self) -> Int[np.ndarray, " feature"]:
        """Live neurons of each feature."""
        return self._known.count

    @property
    def phases(self) -> Float[np.ndarray, "neuron slot"] | None:
        """Phases of each neuron's weights in radians; ``None`` where the group is not cyclic."""
        return self._known.phases

    @property
    def phase_error(self) -> Float[np.ndarray, " neuron"] | None:
        """Distance of the inputs' phases, added, from the output's; ``None`` as for ``phases``."""
        return self._known.phase_error

    @property
    def cosine_fit(self) -> Float[np.ndarray, " neuron"] | None:
        """Least share of variance that the best cosine explains; ``None`` as for ``phases``."""
        return self._known.cosine_fit

    @property
    def subset_power(self) -> Float[np.ndarray, " neuron"] | None:
        """Share of a parity neuron's input energy on the relevant coordinates; else ``None``."""
        return self._known.subset_power

    @property
    def magnitude_ratio(self) -> Float[np.ndarray, " neuron"] | None:
        """Least over largest relevant weight of a parity neuron; else ``None``."""
        return self._known.magnitude_ratio

    @property
    def signs_agree(self) -> Bool[np.ndarray, " neuron"] | None:
        """True if a parity neuron's output sign is the product of its inputs'; else ``None``."""
        return self._known.signs_agree

    @property
    def _known(self) -> Neurons:
        if self.neurons is None:
            raise MarginLensError(
                f"the neurons of {self.subject} are unknown: {self.unknown['neurons']}; read "
                "measurement.logits, or measure a network with one hidden layer"
            )
        return self.neurons

    def objective(self, strength: float) -> float:
        """Return cross-entropy + strength * norm, the training objective; NaN for unknown norm.

        Parameters
        ----------
        strength
            Strength of the homogeneous penalty.
        """
        return self.cross_entropy + strength * (math.nan if self.norm is None else self.norm)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold: totals and one entry for each feature; unknown is null.

        The measures of the logits take longer: ``measurement.logits.to_dict()``.
        """
        neurons = self.neurons
        none = [None] * len(self.features)
        shares = none if neurons is None else neurons.share.tolist()
        counts = none if neurons is None else neurons.count.tolist()
        return {
            "task": self.task,
            "activation": self.activation,
            **({"sampled_rows": self.sampled} if self.sampled else {}),
            **({"non_finite_weights": self.non_finite} if self.non_finite else {}),
            "accuracy": _finite(self.accuracy),
            "cross_entropy": _finite(self.cross_entropy),
            "norm": _finite(self.norm),
            "margin": _finite(self.margin),
            "normalized_margin": _finite(self.normalized_margin),
            **_totals(neurons),
            "features": [
                {"name": name, "share": share, "neurons": count}
                for name, share, count in zip(self.features, shares, counts, strict=True)
            ],
            "subject": self.subject,
            "notes": list(self.notes),
            "unknown": dict(self.unknown),
        }

    def to_records(self) -> list[dict[str, Any]]:
        """Return the rows of :meth:`to_frame`: one per feature, with norm share and live neurons."""
        return [
            {
                "task": self.task,
                "feature": one["name"],
                "share": one["share"],
                "neurons": one["neurons"],
            }
            for one in self.to_dict()["features"]
        ]

    def shown(self) -> Shown:
        """Return the notebook display: totals, a row for each feature, and unknown values."""
        values = self.to_dict()
        left_out = ("task", "features", "subject", "notes", "unknown")
        facts = [("measured", self.subject), *(("read", note) for note in self.notes)]
        facts += [
            (name.replace("_", " "), value)
            for name, value in values.items()
            if name not in left_out and value is not None
        ]
        rows = (
            []
            if self.neurons is None
            else [
                [one["name"], one["neurons"], f"{one['share']:.5f}"] for one in values["features"]
            ]
        )
        groups: dict[str, list[str]] = {}
        for name, reason in self.unknown.items():
            groups.setdefault(reason, []).append(name.replace("_", " "))
        words = [f"{', '.join(names)} ({reason})" for reason, names in groups.items()]
        sentence = f"Unknown: {'; '.join(words)}." if words else ""
        columns = ["feature", "neurons", "share of the norm"]
        return Shown(f"{self.task}: a measurement", facts, columns, rows, sentence)


def measure(
    x: Any = None,
    task: Task | str | None = None,
    *,
    member: int = 0,
    rows: Rows | None = None,
    train: Int[np.ndarray, " chosen"] | None = None,
    activation: str | Activation | Callable[..., Any] | None = None,
    logits: Any = None,
) -> Measurement:
    """Measure a network, a module, a function or logits on a task, in float64.

    A ``nn.Module`` is evaluated on every row in evaluation mode, without gradients, and left as it
    was (:mod:`marginlens.measures.logits.module_logits` lists the forms of rows that are tried). If
    its tensors form a network with one hidden layer and the same logits, it is measured like a
    network of this package (:func:`marginlens.measures.recognition.recognize`); otherwise by its
    logits alone, and sections that need weights are ``None``.

    Parameters
    ----------
    x
        MLP, Factored or Transformer; ``nn.Module`` or callable: integer rows (n, k) -> logits
        (n, classes); logits of the whole table as an array (row, class), (a, b, class) or (member,
        row,
        class); weights as a tuple (u, v, w) or a mapping by these names, each (element, neuron) or
        (member, element, neuron), with w (class, neuron); or a Training.
    task
        Task that the network learned, or its spec. For logits alone the default is addition modulo
        the number of classes.
    member
        Index of the measured member of an ensemble.
    rows
        Rows for accuracy, cross-entropy and margin if the task's rows are not listed
        (:func:`marginlens.training.recorded_rows`).
    train
        Numbers of the training rows, for losses on the others in ``logits``.
    activation
        Activation of a module or of weights; ``None`` to find it by trial for a module, and to use
        the theory's for weights.
    logits
        Logits of the whole table, as a keyword instead of ``x``.

    Returns
    -------
    Measurement
        Measurement, the same record for every kind of ``x``; ``unknown`` has the reason for each
        missing section.

    Raises
    ------
    MarginLensError
        The shapes differ from the task's, logits in an array are not finite, or the task's rows are
        not listed and `rows` is not given.

    References
    ----------
    Isotypic power of a weight vector: Chughtai, Chan and Nanda 2023, A toy model of universality.
    For
    cyclic groups it is the power at a frequency, cosine and sine together.

    Examples
    --------
    >>> from marginlens.networks import construct
    >>> from marginlens.tasks import task
    >>> found = measure(construct(task("C5")), task("C5"))
    >>> found.count, found.max_power.min().round(12)
    (array([6, 6]), np.float64(1.0))
    >>> logits = construct(task("C5")).logits(task("C5"))[0]
    >>> found = measure(logits, "C5")
    >>> found.neurons, found.logits.key_features
    (None, ('k=1', 'k=2'))
    """
    if logits is not None:
        if x is not None:
            raise MarginLensError("give a network or logits, not both")
        x = _array(logits)
        if x is None:
            raise MarginLensError(f"expected logits as an array, got {type(logits).__name__}")
    known = _task(x, task)
    if isinstance(x, Training):
        found = measure(x.network, known, member=member, rows=rows, train=train)
        return _with_dynamics(found, x)
    if isinstance(x, Network):
        return _of_network(x, known, member, rows, train)
    if isinstance(x, Mapping) or (isinstance(x, list | tuple) and len(x) >= 2 and _is_weights(x)):
        return _of_network(_mlp(x, known, activation), known, member, rows, train)
    values = _array(x)
    if values is not None:
        return _of_logits(_whole_table(values, known, member), known, "logits", train=train)
    if callable(x):
        return _of_callable(x, known, rows, train, activation)
    raise MarginLensError(
        f"{_EXPECTED}, got {type(x).__name__}; for example ml.measure(model, {known.name!r})"
    )


def _task(x: Any, task: Task | str | None) -> Task:
    """Return the task, or addition modulo the number of classes of logits."""
    if isinstance(task, Task):
        return task
    if task is not None:
        return task_of(task)
    values = None if isinstance(x, Mapping | Training) else _array(x)
    if values is None:
        raise MarginLensError(
            "expected a network and its task, for example ml.measure(model, 'S5')"
        )
    _require_table(values)
    return task_of(f"C{values.shape[-1]}")


def _array(x: Any) -> np.ndarray | None:
    """Return the numbers of any library that NumPy can read, else ``None``."""
    if isinstance(x, Tensor):
        x = x.detach().cpu()
        x = x.double() if x.is_floating_point() else x
    elif isinstance(x, nn.Module | Mapping | str | int | float | Network) or not (
        hasattr(x, "__array__") or isinstance(x, list | tuple)
    ):
        return None
    try:
        values = np.asarray(x)
    except (TypeError, ValueError):
        return None
    if values.dtype.kind not in "fiub":
        return None
    return values.astype(np.float64)


def _require_table(values: np.ndarray) -> None:
    if values.ndim not in (2, 3):
        raise MarginLensError(
            f"logits have shape {values.shape}; expected (a, b, class) or (row, class)"
        )


def _whole_table(values: np.ndarray, task: Task, member: int) -> np.ndarray:
    """Logits (row, class) of one member."""
    task.require_rows()
    rows, classes = len(task.answers), task.classes
    grid = (*(task.size,) * task.factors, classes) if task.kind == "table" else ()
    if values.shape == grid:
        return values[tuple(task.inputs.T)]
    if values.ndim == len(grid) + 1 and values.shape[1:] == grid and member < len(values):
        return values[member][tuple(task.inputs.T)]
    if values.ndim == 3 and values.shape[1:] == (rows, classes) and member < len(values):
        return values[member]
    if values.shape != (rows, classes):
        needs = f"{grid} or ({rows}, {classes})" if grid else f"({rows}, {classes})"
        raise MarginLensError(
            f"logits have shape {values.shape}, but {task.name} needs {needs}"
            + (f"; member {member} does not exist" if member else "")
        )
    return values


def _is_weights(x: Sequence[Any]) -> bool:
    """Return whether items are matrices of weights, and not the rows of a table of logits."""
    arrays = [_array(one) for one in x]
    shapes = [one.shape for one in arrays if one is not None]
    matrices = len(shapes) == len(x) and all(len(shape) in (2, 3) for shape in shapes)
    return matrices and all(isinstance(one, np.ndarray | Tensor) for one in x)


def _mlp(x: Any, task: Task, activation: str | Activation | Callable[..., Any] | None) -> MLP:
    """Network of weights u, v, w in a tuple or by name."""
    sigma = default_activation(task) if activation is None else parse_activation(activation)
    names = (*task.slots, "w")
    if isinstance(x, Mapping):
        given = dict(x)
    elif len(x) in (2, len(names)):
        given = dict(zip(names if len(x) == len(names) else ("u", "w"), x, strict=True))
    else:
        raise MarginLensError(
            f"expected weights ({', '.join(names)}) of {task.name}, got {len(x)} arrays"
        )
    tied = set(given) - {"bias"} == {"u", "w"} and task.factors > 1
    needed = ("u", "w") if tied else names
    if set(given) - {"bias"} != set(needed):
        have = ", ".join(map(str, list(given)[:8]))
        more = f" and {len(given) - 8} more" if len(given) > 8 else ""
        raise MarginLensError(
            f"expected weights {', '.join(names)} of {task.name}, got {have}{more}; read a state_dict "
            "by ml.load(state_dict)"
        )
    weights: dict[str, Tensor] = {}
    for name in (*needed, *(("bias",) if "bias" in given else ())):
        values = _array(given[name])
        if values is None:
            raise MarginLensError(f"expected {name} as an array, got {type(given[name]).__name__}")
        if name == "bias" and values.ndim == 1:
            values = values[None]
        values = values if values.ndim == 3 else values[None]
        length = 1 if name == "bias" else task.classes if name == "w" else task.size
        if values.ndim != 3 or values.shape[1] != length:
            shape = values.shape[1:] if values.shape[0] == 1 else values.shape
            turned = "; transpose it" if values.shape[2:] == (length,) else ""
            raise MarginLensError(
                f"expected {name} of shape ({length}, neurons) or (members, {length}, neurons) for "
                f"{task.name}, got {shape}{turned}"
            )
        weights[name] = torch.tensor(values)
    if len({(len(p), p.shape[2]) for p in weights.values()}) > 1:
        shapes = ", ".join(f"{name} {tuple(p.shape)}" for name, p in weights.items())
        raise MarginLensError(f"expected weights of as many members and neurons, got {shapes}")
    return MLP(weights, sigma, task.slots if tied else ())


def _of_network(
    network: Network, task: Task, member: int, rows: Rows | None, train: np.ndarray | None
) -> Measurement:
    network.require_task(task)
    if not -network.members <= member < network.members:
        raise MarginLensError(f"expected a member from 0 to {network.members - 1}, got {member}")
    member %= network.members
    one = network.member(member).to(torch.float64)
    if not network.neurons_are_measured:
        return _of_transformer(one, task, rows, train)
    kind = type(network).__name__
    layers = one.as_mlp()
    words = f"{kind} of {layers.width} neurons"
    return _of_mlp(layers, task, words, rows, train, one, factored=network.has_separate_embeddings)


def _of_mlp(
    network: MLP,
    task: Task,
    words: str,
    rows: Rows | None,
    train: np.ndarray | None,
    whole: Network | None = None,
    *,
    factored: bool = False,
    notes: tuple[str, ...] = (),
) -> Measurement:
    """Measure an ensemble of one in float64."""
    whole = network if whole is None else whole
    one = network.untied()
    non_finite = sum(int((~p.isfinite()).sum()) for p in network.tensors.values())
    if non_finite:  # such a network answers nothing: it has no live neuron
        network = network.with_parameters(
            {name: torch.zeros_like(p) for name, p in network.tensors.items()}
        )
        one = network.untied()
    result = evaluate(one, task, rows=rows)
    margin, accuracy = float(result.margin[0]), float(result.accuracy[0])
    cross_entropy = float(result.cross_entropy[0])
    neurons, norm, unknown = None, None, {"dynamics": _ONE_MOMENT}
    if task.features:
        neurons = _neurons(network, task)
        norm = float(neurons.masses.sum())
    else:
        unknown["neurons"] = f"{task.name} has no features that neurons could hold"
        norm = float(_masses(one).sum())
    degree: int | float | None = network.homogeneity
    if math.isnan(degree):
        degree = norm = None
        why = f"the activation {network.activation} has no declared degree"
        unknown |= dict.fromkeys(("degree", "norm", "normalized_margin"), why)
    elif non_finite:
        norm = math.nan
    if non_finite:
        margin = accuracy = cross_entropy = math.nan
        unknown["logits"] = f"{non_finite} of its weights are not finite"
    elif rows is not None:
        unknown["logits"] = "needs the logits of all rows, and a sample was measured"
    elif reason := _why_no_logits(task):
        unknown["logits"] = reason

    def examine() -> Mechanism | OperationMeasures:
        values = whole.logits(task)[0].cpu().numpy()
        return examine_table(values, task, network=whole, train=train)

    return Measurement(
        task=task.name,
        subject=words,
        features=tuple(feature.name for feature in task.features),
        accuracy=accuracy,
        cross_entropy=cross_entropy,
        margin=margin,
        sampled=0 if rows is None else len(rows),
        activation=network.activation.name,
        degree=degree,
        norm=norm,
        normalized_margin=None if norm is None else 0.0 if norm == 0 else margin / norm,
        neurons=neurons,
        uncovered=_why_uncovered(network, factored=factored),
        non_finite=non_finite,
        unknown=unknown,
        notes=notes,
        network=whole,
        _examine=None if "logits" in unknown else examine,
    )


def _masses(network: MLP) -> np.ndarray:
    squares = sum(p.square().sum(1) for p in network.tensors.values())
    return (torch.as_tensor(squares) ** (network.homogeneity / 2))[0].numpy()


def _why_uncovered(network: MLP, *, factored: bool) -> str:
    reasons = (
        (factored, "factored networks"),
        (network.biases, "networks with biases"),
        (network.tied, "one embedding for all inputs"),
    )
    return next((words for holds, words in reasons if holds), "")


def _neurons(network: MLP, task: Task) -> Neurons:
    """Neurons of an ensemble of one, with the shapes that their kind of task has."""
    found = neurons_of(network, task)
    extra: dict[str, np.ndarray] = {}
    if task.kind == "parity":
        extra = measure_parity(task, found.weights)
    elif task.group is not None and task.group.generator is not None:
        extra = cyclic_phases(task, found.weights, found.dominant, found.live, found.spectrum)
    return replace(found, **extra)


def _of_transformer(
    network: Network, task: Task, rows: Rows | None, train: np.ndarray | None
) -> Measurement:
    if rows is not None:
        raise MarginLensError(
            f"expected a task whose rows are listed for a transformer, got {task.name}"
        )
    values = network.logits(task)[0].cpu().numpy()
    found = _of_logits(
        values,
        task,
        "Transformer",
        why="a transformer's neurons have no weight for each element",
        network=network,
        train=train,
        uncovered="transformer networks",
    )
    return replace(found, activation=network.activation_name)


def _of_callable(
    module: Callable[..., Any],
    task: Task,
    rows: Rows | None,
    train: np.ndarray | None,
    activation: str | Activation | Callable[..., Any] | None,
) -> Measurement:
    inputs = None if rows is None else rows.inputs.cpu().numpy()
    seen = module_logits(module, task, inputs)
    name = type(module).__name__ if isinstance(module, nn.Module) else "callable"
    reason = "needs the weights of a network, and a callable has logits alone"
    if isinstance(module, nn.Module):
        found = recognize(module, task, seen, activation, inputs)
        if found.network is not None:
            words = f"module {name} of {found.network.width} neurons ({found.words})"
            return _of_mlp(
                found.network, task, words, rows, train, factored=found.factored, notes=seen.notes
            )
        reason = f"{name} is a black box: {found.words}"
    measured = _of_logits(
        seen.values, task, f"{name} as a black box", why=reason, rows=rows, train=train
    )
    notes = seen.notes
    if measured.accuracy < _FEW and has_equals_sign(module, task) and not notes:
        notes = (
            f"a tensor has {task.size + 1} rows: if it reads an equals sign, measure "
            "lambda rows: model(rows_with_equals_sign)",
        )
    return replace(measured, notes=notes)


def _of_logits(
    values: np.ndarray,
    task: Task,
    subject: str,
    *,
    why: str = "needs the weights, and there are logits alone",
    rows: Rows | None = None,
    network: Network | None = None,
    train: np.ndarray | None = None,
    uncovered: str = "",
) -> Measurement:
    """Measure logits (row, class), with a network whose neurons are unknown if given."""
    answers = task.answers if rows is None else rows.answers.cpu().numpy()
    non_finite = int((~np.isfinite(values)).sum())
    unknown: dict[str, str] = {name: why for name in _OF_WEIGHTS}  # noqa: C420 (its type)
    unknown["dynamics"] = _ONE_MOMENT
    accuracy = cross_entropy = margin = math.nan
    if non_finite and subject == "logits":
        raise MarginLensError(f"expected finite logits, got {non_finite} that are NaN or infinite")
    if non_finite:
        unknown["logits"] = f"{non_finite} of its logits are not finite"
    else:
        margins = _margins(values, answers)
        accuracy, margin = float((margins > 0).mean()), float(margins.min())
        cross_entropy = mean_cross_entropy(values, answers)
        if rows is not None:
            unknown["logits"] = "needs the logits of all rows, and a sample was measured"
        elif reason := _why_no_logits(task):
            unknown["logits"] = reason
    if network is not None:
        unknown.pop("activation")
    return Measurement(
        task=task.name,
        subject=subject,
        features=tuple(feature.name for feature in task.features),
        accuracy=accuracy,
        cross_entropy=cross_entropy,
        margin=margin,
        sampled=0 if rows is None else len(rows),
        uncovered=uncovered,
        non_finite=non_finite,
        unknown=unknown,
        network=network,
        _examine=None
        if "logits" in unknown
        else lambda: examine_table(values, task, network=network, train=train),
    )


def _margins(values: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Lead of the right logit over the largest wrong one, in each row."""
    rows = np.arange(len(values))
    others = values.copy()
    others[rows, answers] = -np.inf
    return values[rows, answers] - others.max(1)


def _why_no_logits(task: Task) -> str:
    """Reason why the published measures of logits do not apply; empty where they do."""
    if not task.is_listed:
        return f"{task.name} has more rows than are listed"
    if task.kind != "table" or task.factors != 2:
        return f"{task.name} has no table of pairs, which these measures are of"
    return ""


def _with_dynamics(found: Measurement, training: Training) -> Measurement:
    """Return the measurement of a training's network with the training's stages."""
    unknown = {name: why for name, why in found.unknown.items() if name != "dynamics"}
    if "test_accuracy" not in training.history or not len(training.steps):
        unknown["dynamics"] = "no rows were held back from training"
        return replace(found, unknown=unknown)
    return replace(found, unknown=unknown, dynamics=grokking(training.steps, training.history))


def _totals(neurons: Neurons | None) -> dict[str, Any]:
    """Return totals of all live neurons; ``None`` where they are unknown."""
    names = (
        "live_neurons",
        "dead_neurons",
        "least_max_power",
        "share_agreeing",
        "largest_phase_error",
        "least_cosine_fit",
    )
    if neurons is None:
        return dict.fromkeys(names)
    live = neurons.live
    error, fit = neurons.phase_error, neurons.cosine_fit
    values = (
        int(live.sum()),
        int((~live).sum()),
        _least(neurons.max_power[live]),
        float(neurons.agrees[live].mean()) if live.any() else None,
        None if error is None or not live.any() else float(error[live].max()),
        None if fit is None else _least(fit[live]),
    )
    return dict(zip(names, values, strict=True))


def _finite(value: float | None) -> float | None:
    """Return the value where it is a finite number, which JSON can hold."""
    return value if value is not None and math.isfinite(value) else None


def _least(values: np.ndarray) -> float | None:
    return float(values.min()) if len(values) else None
