"""Recognition of one-hidden-layer networks in modules, by shapes and logits."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from marginlens.errors import MarginLensError
from marginlens.measures.logits.module_logits import ModuleLogits
from marginlens.networks import MLP
from marginlens.tasks import Task
from marginlens.theory import Activation, default_activation, parse_activation

__all__ = ["Recognition", "recognize", "recognize_weights"]

Matrix = Float[np.ndarray, "_ _"]

_ACTIVATIONS = ("x^2", "relu", "x^3", "x^4", "x^1", "abs", "relu^2", "relu^3", "|x|^3")
_SCREENED = 16
"""Rows on which candidates are compared first."""

_MOST = 20_000
_MOST_READ = 500
"""Greatest numbers of candidates that are tried: on some rows, and on all of them."""


@dataclass(frozen=True, eq=False)
class Recognition:
    """Module interpreted as a network with one hidden layer.

    Attributes
    ----------
    network
        Network of the same function in float64, an ensemble of one; ``None`` if no candidate has
        the module's logits.
    words
        Phrase with the tensors that it consists of, or the reason if ``network`` is ``None``.
    factored
        Whether an input's weights are a product of two of the module's tensors.
    """

    network: MLP | None
    words: str
    factored: bool = False


@dataclass(frozen=True, eq=False)
class _Layer:
    """Weights (element, neuron) of all slots, and the tensors that they are read from."""

    tables: tuple[Matrix, ...]
    names: tuple[str, ...]
    factored: bool = False

    @property
    def tied(self) -> bool:
        return len(self.tables) > 1 and all(one is self.tables[0] for one in self.tables)


def recognize(
    module: nn.Module,
    task: Task,
    seen: ModuleLogits,
    activation: str | Activation | Callable[..., Any] | None = None,
    inputs: np.ndarray | None = None,
) -> Recognition:
    r"""Find the network $f(a, b) = \sum_i \sigma(u_i(a) + v_i(b)) w_i$ that a module computes.

    Candidates are built from the module's tensors by their shapes alone. With n elements, k inputs,
    m
    neurons and c classes the unembedding w is (c, m) or (m, c); an input's weights are (n, m) or
    (m,
    n), as of ``nn.Embedding`` and of ``nn.Linear`` on one-hot vectors; all inputs' weights together
    are (k n, m), (m, k n) or (k, n, m); one table may serve all inputs. An embedding (n, d) may be
    followed by a matrix (d, m), or by one (k d, m) on the concatenated embeddings. A vector of
    length
    m may be the neurons' bias. Every known activation is tried. A candidate is accepted if it has
    the module's logits on every row, to the rounding of the module's precision: names of modules,
    and
    the order in which they are called, do not matter.

    Parameters
    ----------
    module
        Module of any architecture.
    task
        Task that its logits are on.
    seen
        Logits of the module on the rows, shape (row, class).
    activation
        Activation of the hidden layer; ``None`` to try all known ones.
    inputs
        Rows of the logits, shape (row, slot); all of the task's by default.

    Returns
    -------
    Recognition
        Recognition, with the reason in ``words`` if the module is not such a network.

    Examples
    --------
    >>> import torch
    >>> from marginlens.tasks import task
    >>> from marginlens.measures.logits.module_logits import module_logits
    >>> class Net(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.left, self.right = torch.nn.Embedding(5, 12), torch.nn.Embedding(5, 12)
    ...         self.out = torch.nn.Linear(12, 5, bias=False)
    ...     def forward(self, rows):
    ...         return self.out((self.left(rows[:, 0]) + self.right(rows[:, 1])) ** 2)
    >>> net = Net()
    >>> recognize(net, task("C5"), module_logits(net, task("C5"))).words
    'u: left.weight, v: right.weight, w: out.weight; activation x^2'
    """
    if not seen.plain:
        return Recognition(None, "it has logits of other classes too")
    tensors = _tensors(module)
    layers = list(itertools.islice(_layers(tensors, task), _MOST))
    outs = list(_unembeddings(tensors, task.classes))
    if not layers or not outs:
        sizes = f"({task.size}, neurons)" if not layers else f"({task.classes}, neurons)"
        return Recognition(None, f"no tensor of it has shape {sizes}")
    inputs = task.inputs if inputs is None else inputs
    screened = np.random.default_rng(0).permutation(len(inputs))[:_SCREENED]
    activations = _activations(module, task, activation)
    biased, count = "", 0
    for layer, (out_name, out) in itertools.product(layers, outs):
        width = out.shape[1]
        if layer.tables[0].shape[1] != width or out_name in layer.names:
            continue
        for bias_name, bias in _biases(tensors, width):
            count += 1
            if count > _MOST:
                return Recognition(None, f"none of {_MOST} candidates has its logits")
            candidate = _Candidate(layer, out, bias, seen.rounding)
            for sigma in activations:
                fits = candidate.compare(task, sigma, inputs[screened], seen.values[screened])
                if fits != "same" and not (fits == "biased" and not biased):
                    continue
                fits = candidate.compare(task, sigma, inputs, seen.values)
                if fits == "biased":
                    biased = "its logits have a bias, which the network of the theory has not"
                if fits == "same":
                    names = _words(task, layer, out_name, bias_name, tensors)
                    return Recognition(
                        candidate.network(task, sigma),
                        f"{names}; activation {sigma}",
                        layer.factored,
                    )
    reason = biased or "no network with one hidden layer of its tensors has its logits"
    return Recognition(None, reason)


def recognize_weights(
    tensors: Mapping[str, Any],
    task: Task,
    activation: str | Activation | Callable[..., Any] | None = None,
) -> Recognition:
    """Find a network with one hidden layer among tensors of an unknown module.

    The candidates are those of :func:`recognize`. No logits confirm one of them, but the task does:
    the one that answers most rows is taken, if it answers at least half of them and a tenth of
    them more than every candidate of other tensors. Of activations that answer as many, the one
    that
    the theory covers is taken: say another by ``activation``.

    Parameters
    ----------
    tensors
        Tensors or arrays by name, as from ``module.state_dict()``.
    task
        Task that the network learned.
    activation
        Activation of the hidden layer; ``None`` to try all known ones.

    Returns
    -------
    Recognition
        Recognition, with the reason in ``words`` if no candidate clearly answers the task.
    """
    named = {
        str(name): torch.as_tensor(value)
        for name, value in tensors.items()
        if isinstance(value, torch.Tensor | np.ndarray)
    }
    arrays = _arrays(named)
    task.require_rows()
    activations = _activations(None, task, activation)
    found: list[tuple[float, Matrix, Recognition]] = []
    candidates = itertools.product(
        itertools.islice(_layers(arrays, task), _MOST), _unembeddings(arrays, task.classes)
    )
    count = 0
    for layer, (out_name, out) in candidates:
        width = out.shape[1]
        if layer.tables[0].shape[1] != width or out_name in layer.names:
            continue
        for bias_name, bias in _biases(arrays, width):
            for sigma in activations:
                count += 1
                if count > _MOST_READ:
                    break
                candidate = _Candidate(layer, out, bias, 0.0)
                logits = candidate.logits(task, sigma, task.inputs)
                right = float((logits.argmax(1) == task.answers).mean())
                words = f"{_words(task, layer, out_name, bias_name, arrays)}; activation {sigma}"
                if right >= 0.5:
                    network = candidate.network(task, sigma)
                    found.append((right, logits, Recognition(network, words, layer.factored)))
    if not found:
        return Recognition(None, "no candidate among its tensors answers half of the rows")
    found.sort(key=lambda one: -one[0])
    best, logits, recognition = found[0]
    for right, others, other in found[1:]:
        if _weights_of(other) == _weights_of(recognition):
            continue  # another activation: the task's own was tried first
        if best - right < 0.1 and not np.allclose(others, logits, rtol=1e-6):
            return Recognition(
                None,
                f"several readings answer about as many rows: {recognition.words} ({best:.1%}), and "
                f"{other.words} ({right:.1%}); name the activation",
            )
    return Recognition(
        recognition.network,
        f"{recognition.words}, which answers {best:.1%} of the rows",
        recognition.factored,
    )


@dataclass(frozen=True, eq=False)
class _Candidate:
    layer: _Layer
    out: Matrix
    bias: np.ndarray | None
    rounding: float

    def compare(self, task: Task, sigma: Activation, inputs: np.ndarray, logits: Matrix) -> str:
        """``"same"``, ``"biased"`` (but for a bias of the logits) or ``"other"``."""
        before, size = self._before(task, inputs, self.layer.tables), None
        if not np.isfinite(before).all():
            return "other"
        absolute = [np.abs(table) for table in self.layer.tables]
        size = self._before(task, np.abs(inputs), absolute, absolute=True)
        found = sigma.value(before) @ self.out.T
        error = logits - found
        # each product and sum rounds: by the rounding times the sum of the absolute values, about
        bound = self._bound(sigma, before, size) @ np.abs(self.out).T
        allowed = (16 + math.sqrt(self.out.shape[1])) * max(self.rounding, 2.0**-52) * bound
        spread = np.linalg.norm(logits)
        if (np.abs(error) <= allowed).all() and np.linalg.norm(error) <= 0.05 * spread + 1e-300:
            return "same"
        apart = error - error.mean(0)
        same = (np.abs(apart) <= 2 * allowed + 1e-12 * np.abs(error)).all()
        return "biased" if same and np.linalg.norm(apart) <= 0.05 * spread else "other"

    @staticmethod
    def _bound(sigma: Activation, before: Matrix, size: Matrix) -> Matrix:
        """Bound of the hidden layer's absolute values, to which its rounding errors are relative."""
        if not sigma.is_own:
            return size ** float(sigma.degree)
        return np.abs(sigma.value(before)) + np.abs(sigma.slope(before)) * size

    def logits(self, task: Task, sigma: Activation, inputs: np.ndarray) -> Matrix:
        return np.asarray(sigma.value(self._before(task, inputs, self.layer.tables)) @ self.out.T)

    def _before(
        self, task: Task, inputs: np.ndarray, tables: Sequence[Matrix], *, absolute: bool = False
    ) -> Matrix:
        """Inputs of the neurons, or a bound of their absolute values."""
        if task.kind == "parity":
            total = inputs.astype(np.float64) @ tables[0]
        else:
            total = sum(table[column] for table, column in zip(tables, inputs.T, strict=True))
        if self.bias is not None:
            total = total + (np.abs(self.bias) if absolute else self.bias)
        return np.asarray(total)

    def network(self, task: Task, sigma: Activation) -> MLP:
        slots = ("u",) if self.layer.tied else task.slots
        weights = dict(zip(slots, self.layer.tables, strict=False)) | {"w": self.out}
        if self.bias is not None:
            weights["bias"] = self.bias[None]
        tensors = {name: torch.tensor(np.array(w))[None] for name, w in weights.items()}
        return MLP(tensors, sigma, task.slots if self.layer.tied else ())


def _tensors(module: nn.Module) -> dict[str, np.ndarray]:
    """Return a module's floating tensors by name, shared ones once, parametrized ones as used."""
    named: dict[str, torch.Tensor] = {}
    for place, one in module.named_modules():
        for name in ("weight", "bias"):
            value = getattr(one, name, None)
            if isinstance(value, torch.Tensor):
                named[f"{place}.{name}" if place else name] = value
    named |= {name: value for name, value in module.named_parameters() if name not in named}
    named |= {name: value for name, value in module.named_buffers() if name not in named}
    return _arrays(named)


def _arrays(named: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Return floating tensors as float64 arrays, shared ones once, without a leading axis 1."""
    found: dict[str, np.ndarray] = {}
    met: set[int] = set()
    for name, value in named.items():
        if id(value) in met or not value.is_floating_point():
            continue
        met.add(id(value))
        array = value.detach().to("cpu", torch.float64).numpy()
        found[name] = (
            array.reshape(array.shape[1:]) if array.ndim == 3 and len(array) == 1 else array
        )
    return found


def _turned(tensors: Mapping[str, np.ndarray], rows: int) -> Iterator[tuple[str, Matrix]]:
    """Matrices with so many rows, or columns."""
    for name, value in tensors.items():
        if value.ndim != 2:
            continue
        if value.shape[0] == rows:
            yield name, value
        if value.shape[1] == rows:
            yield name, value.T


def _unembeddings(tensors: Mapping[str, np.ndarray], classes: int) -> list[tuple[str, Matrix]]:
    """Candidates (class, neuron), the last tensors first."""
    return list(_turned(tensors, classes))[::-1]


def _layers(tensors: Mapping[str, np.ndarray], task: Task) -> Iterator[_Layer]:
    """Candidates for the weights of all slots: plain ones first, then products."""
    slots, size = task.factors, task.size
    single = list(_turned(tensors, size))
    yield from _combined(single, slots)
    if slots > 1:
        for name, value in _turned(tensors, slots * size):
            yield _Layer(tuple(np.split(value, slots)), (name,))
        for name, value in tensors.items():
            if value.ndim == 3 and value.shape[:2] == (slots, size):
                yield _Layer(tuple(value), (name,))
    # embeddings, then a matrix: the same for all, or one for the embeddings side by side
    for layer in _combined(single, slots):
        coordinates = layer.tables[0].shape[1]
        if any(table.shape[1] != coordinates for table in layer.tables):
            continue
        for name, mix in _turned(tensors, coordinates):
            if name not in layer.names:
                tables = {id(one): one @ mix for one in layer.tables}
                yield _Layer(
                    tuple(tables[id(one)] for one in layer.tables), (*layer.names, name), True
                )
        for name, mix in _turned(tensors, slots * coordinates) if slots > 1 else ():
            if name not in layer.names:
                parts = zip(layer.tables, np.split(mix, slots), strict=True)
                yield _Layer(
                    tuple(table @ part for table, part in parts), (*layer.names, name), True
                )


def _combined(single: Sequence[tuple[str, Matrix]], slots: int) -> Iterator[_Layer]:
    """Return a table for each slot, all of one width; or one table for all of them."""
    for chosen in itertools.permutations(single, slots):
        names = tuple(name for name, _ in chosen)
        if len(set(names)) == slots and len({table.shape for _, table in chosen}) == 1:
            yield _Layer(tuple(table for _, table in chosen), names)
    if slots > 1:
        for name, table in single:
            yield _Layer((table,) * slots, (name,))


def _biases(
    tensors: Mapping[str, np.ndarray], width: int
) -> Iterator[tuple[str, np.ndarray | None]]:
    yield "", None
    for name, value in tensors.items():
        if value.shape == (width,) and value.any():
            yield name, value


def _activations(
    module: nn.Module | None, task: Task, chosen: str | Activation | Callable[..., Any] | None
) -> tuple[Activation, ...]:
    """Return the given activation, or the known ones, the task's own first."""
    if chosen is not None:
        return (parse_activation(chosen),)
    names = [default_activation(task).name, *_ACTIVATIONS]
    for one in () if module is None else module.modules():
        if isinstance(one, nn.LeakyReLU) and 0 <= one.negative_slope < 1:
            names.append(f"leaky_relu({one.negative_slope:.12f})")
    names.append("leaky_relu(0.01)")
    found: dict[str, Activation] = {}
    for name in names:
        try:
            known = parse_activation(name)
        except (ValueError, MarginLensError):
            continue
        found.setdefault(known.name, known)
    return tuple(found.values())


def _weights_of(found: Recognition) -> str:
    """Names of the tensors alone."""
    return found.words.partition("; activation")[0]


def _words(
    task: Task, layer: _Layer, out: str, bias: str, tensors: Mapping[str, np.ndarray]
) -> str:
    if layer.factored or len(layer.names) != task.factors:
        slots = f"{', '.join(task.slots)}: {' and '.join(layer.names)}"
    else:
        slots = ", ".join(f"{s}: {name}" for s, name in zip(task.slots, layer.names, strict=True))
    words = f"{slots}, w: {out}" + (f", bias: {bias}" if bias else "")
    rest = [n for n, v in tensors.items() if n not in (*layer.names, out, bias) and v.any()]
    if not rest:
        return words
    more = " and others" if len(rest) > 4 else ""
    return f"{words} ({', '.join(rest[:4])}{more} changes nothing)"
