"""State dicts of two linear layers on one-hot pairs, such as ``nn.Sequential``."""

from __future__ import annotations

from dataclasses import replace

from marginlens.errors import MarginLensError
from marginlens.formats.answered_operation import choose_activation
from marginlens.formats.files import File
from marginlens.formats.foreign import Choices, Foreign, Format
from marginlens.formats.reading import finished, take, task_of_order
from marginlens.networks import MLP
from marginlens.theory import Activation

__all__ = ["LINEAR"]

_LAYERS = (
    ("0", "2"),
    ("layers.0", "layers.2"),
    ("net.0", "net.2"),
    ("fc1", "fc2"),
    ("linear1", "linear2"),
    ("lin1", "lin2"),
    ("hidden", "output"),
    ("hidden", "out"),
)
"""Names of the first and the second layer."""

_ACTIVATIONS = ("relu", "x^2")
"""Activations that are tried where none is chosen: a state dict does not say it."""


def _read(file: File, choices: Choices) -> Foreign:
    """Read logits W2 sigma(W1 [onehot(a), onehot(b)] + b1) of two layers.

    W1 is (neuron, 2 n), and W2 is (n, neuron).
    """
    first, second = next(
        names for names in _LAYERS if {f"{name}.weight" for name in names} <= set(file.tensors)
    )
    out = take(file.tensors, f"{second}.weight", None, None)
    order, width = out.shape
    both = take(file.tensors, f"{first}.weight", width, 2 * order)
    weights = {
        "u": both[:, :order].T[None].contiguous(),
        "v": both[:, order:].T[None].contiguous(),
        "w": out[None],
    }
    if f"{first}.bias" in file.tensors:
        weights["bias"] = take(file.tensors, f"{first}.bias", width)[None, None]
    _require_no_more(file, first, second)
    problem = task_of_order(order, choices)
    names = [choices.activation] if choices.activation else _ACTIVATIONS

    def read(activation: Activation) -> Foreign:
        return finished("linear", MLP(weights, activation, ()), problem, file)

    found, note = choose_activation(read, names, "as asked for", file.name, choices)
    return replace(found, notes=(f"layers {first} and {second}; {note}", *found.notes))


def _require_no_more(file: File, first: str, second: str) -> None:
    """Refuse tensors that two layers do not have, and biases of the logits."""
    bias = file.tensors.get(f"{second}.bias")
    if bias is not None and bool(bias.any()):
        raise MarginLensError(f"{second}.bias is not zero; expected logits without biases")
    known = {f"{name}.{part}" for name in (first, second) for part in ("weight", "bias")}
    more = [name for name in file.tensors if name not in known]
    if more:
        raise MarginLensError(
            f"{file.name} has {', '.join(more[:8])} besides two layers; expected "
            f"{', '.join(sorted(known))} alone"
        )


LINEAR = Format(
    "linear",
    "two linear layers on one-hot pairs, as nn.Sequential and modules with fc1 and fc2 store them",
    frozenset(f"{name}.weight" for name in _LAYERS[0]),
    _read,
    tuple(frozenset(f"{name}.weight" for name in names) for names in _LAYERS[1:]),
)
