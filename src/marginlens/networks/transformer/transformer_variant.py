"""Transformers with parts that training does not support: read from files, evaluated."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from marginlens.networks.activations import activated
from marginlens.networks.evaluator import Evaluator, Parameters
from marginlens.networks.network import Network
from marginlens.networks.rows import Rows
from marginlens.networks.transformer.layers import EPSILON
from marginlens.networks.transformer.transformer import Transformer
from marginlens.networks.transformer.transformer_settings import Parameter, TransformerSettings
from marginlens.tasks import Task
from marginlens.theory import parse_activation

__all__ = ["SMOOTH_ACTIVATIONS", "TransformerVariant", "VariantSettings", "variant_settings"]


def _tanh_gelu(x: Tensor) -> Tensor:
    return torch.nn.functional.gelu(x, approximate="tanh")


SMOOTH_ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        "gelu": torch.nn.functional.gelu,
        "gelu_new": _tanh_gelu,
        "gelu_fast": _tanh_gelu,
        "gelu_pytorch_tanh": _tanh_gelu,
        "tanh": torch.tanh,
        "silu": torch.nn.functional.silu,
    }
)
"""Activations that no prediction here covers, by the names that settings of other projects have."""


@dataclass(frozen=True)
class VariantSettings(TransformerSettings):
    """Sizes and variants of a transformer from a file; heads need not divide the width.

    Attributes
    ----------
    activation
        Name of the activation: one of `SMOOTH_ACTIVATIONS`, or one that `parse_activation` reads.
    layer_norm
        Layer norm before attention, MLP and unembedding: ``"none"``, ``"pre"`` (mean and variance)
        or ``"rms"`` (mean square only). Gains and biases are optional parameters.
    epsilon
        Number that is added to the variance.
    causal
        Whether a position attends only to itself and earlier positions.
    attention_scale
        Divisor of the scores; ``None`` for the square root of a head's channels.
    parallel
        Whether the MLP of a layer reads the stream before its attention.
    """

    epsilon: float = EPSILON
    causal: bool = True
    attention_scale: float | None = None
    parallel: bool = False

    def __post_init__(self) -> None:
        if self.activation not in SMOOTH_ACTIVATIONS:
            parse_activation(self.activation)

    @property
    def is_plain(self) -> bool:
        """False: the tables of `Tables` are those of trained transformers."""
        return False

    def layer(self, parameters: dict[str, Parameter], number: int) -> dict[str, Parameter]:
        """Return a layer's parameters under the first layer's names; layers count from 1."""
        suffix = f"_{number}"
        if number == 1:
            return {name: p for name, p in parameters.items() if not name[-1].isdigit()}
        return {
            name.removesuffix(suffix): p for name, p in parameters.items() if name.endswith(suffix)
        }


class TransformerVariant(Transformer):
    """Transformer with any of the parts that files of other projects have.

    Beside the parameters of :class:`Transformer`: ``query_bias``, ``key_bias`` and ``value_bias``
    (head, channel), ``output_bias`` (width), ``unembed_bias`` (class); gains and biases of layer
    norm; without ``up`` and ``down`` a layer consists of attention only. Where both inputs have a
    vocabulary, the tables are ``embed_u`` and ``embed_v``, and ``equals`` is the embedding of the
    equals sign.

    Parameters
    ----------
    parameters
        By name, each with a leading member axis; those of layer 2 and on end in ``_2`` and so on.
    settings
        Sizes and variants of the network.
    """

    settings: VariantSettings

    def __init__(self, parameters: Mapping[str, Tensor], settings: VariantSettings) -> None:
        super().__init__(parameters, settings)

    def require_task(self, task: Task) -> None:
        """Refuse a task that is not a table of pairs of the network's elements.

        Raises
        ------
        ValueError
            The numbers of elements differ; the message has both.
        """
        self.settings.require_task(task)
        p = self.tensors
        equals = self.settings.sequence == "ab="
        sizes = (
            [len(p["embed"][0]) - equals]
            if "embed" in p
            else [len(p[name][0]) for name in ("embed_u", "embed_v")]
        )
        if task.factors != 2 or any(size != task.size for size in sizes):
            raise ValueError(
                f"the network's tables have {sizes[-1]} elements, but {task.name} has {task.size} "
                f"in each of {task.factors} slots; expected pairs"
            )

    def evaluator(
        self,
        task: Task,
        *,
        rows: Rows | None = None,
        memory: int | None = None,
        merge: bool = True,
        loss: str = "cross_entropy",
    ) -> Evaluator:
        """Evaluator by autograd, as :meth:`Network.evaluator`."""
        return Network.evaluator(self, task, rows=rows, memory=memory, loss=loss)

    def forward(self, rows: Any) -> Float[Tensor, "member row class"]:
        """Logits of rows, as :meth:`Network.forward`."""
        p = self._by_name()
        attended, read = self._at_last(p, self._checked(rows))
        x = attended + self._fed(self.settings.layer(p, self.settings.layers), read)
        logits = self._normalized(x[:, :, 0], p, "final_norm") @ p["unembed"].mT
        return logits + p["unembed_bias"][:, None] if "unembed_bias" in p else logits

    def _hidden(self, rows: Tensor) -> Float[Tensor, "member row neuron"]:
        last = self.settings.layer(self.tensors, self.settings.layers)
        if "down" not in last:
            raise ValueError("the network's last layer has no MLP, so no hidden neurons")
        return self._neurons(last, self._at_last(self.tensors, rows)[1][:, :, 0])

    def _tokens(self, p: Parameters, inputs: Tensor) -> Tensor:
        """Embeddings of the rows' tokens, (member, row, position, width)."""
        if "embed" in p:
            last = p["embed"].shape[1] - 1
            if self.settings.sequence == "ab=":
                inputs = torch.nn.functional.pad(inputs, (0, 1), value=last)
            return p["embed"][:, inputs]
        parts = [p["embed_u"][:, inputs[:, 0]], p["embed_v"][:, inputs[:, 1]]]
        if self.settings.sequence == "ab=":
            parts.append(p["equals"].expand(-1, len(inputs), -1))
        return torch.stack(parts, dim=2)

    def _at_last(self, p: Parameters, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the last position's stream after the last attention, and its MLP input."""
        x = self._tokens(p, inputs) + p["position"][:, None]
        for number in range(1, self.settings.layers):
            layer = self.settings.layer(p, number)
            attended = x + self._heads(layer, x, 0)
            x = attended + self._fed(layer, x if self.settings.parallel else attended)
        before = x[:, :, -1:]
        attended = before + self._heads(self.settings.layer(p, self.settings.layers), x, -1)
        return attended, before if self.settings.parallel else attended

    def _heads(self, p: Parameters, x: Tensor, first: int) -> Tensor:
        """Return the heads' contribution to the stream, at positions from ``first`` on."""
        s = self.settings
        seen = self._normalized(x, p, "attention_norm")
        key, value = (
            _with_bias(torch.einsum("mriw,mhcw->mrihc", seen, p[n]), p.get(f"{n}_bias"))
            for n in ("key", "value")
        )
        query = torch.einsum("mriw,mhcw->mrihc", seen[:, :, first:], p["query"])
        query = _with_bias(query, p.get("query_bias"))
        scale = math.sqrt(query.shape[-1]) if s.attention_scale is None else s.attention_scale
        scores = torch.einsum("mrihc,mrjhc->mrhij", query, key) / scale
        length = x.shape[2]
        visible = torch.ones(length, length, dtype=torch.bool, device=x.device)
        visible = (visible.tril() if s.causal else visible)[first:]
        weights = s.attention * scores.masked_fill(~visible, -math.inf).softmax(-1)
        weights = weights + (1 - s.attention) * visible.to(x.dtype)
        mixed = torch.einsum("mrhij,mrjhc->mrihc", weights, value)
        added = torch.einsum("mrihc,mhcw->mriw", mixed, p["output"])
        bias = p.get("output_bias")
        return added if bias is None else added + bias[:, None, None]

    def _fed(self, p: Parameters, x: Tensor) -> Tensor | float:
        """Return the MLP's contribution to the stream; 0 without an MLP."""
        if "down" not in p:
            return 0.0
        added = torch.einsum("mrin,mnw->mriw", self._neurons(p, x), p["down"])
        bias = p.get("down_bias")
        return added if bias is None else added + bias[:, None, None]

    def _neurons(self, p: Parameters, x: Tensor) -> Tensor:
        """Activations of a layer's neurons on (member, row, width) or with positions before width."""
        seen = self._normalized(x, p, "mlp_norm")
        before = torch.einsum("mr...w,mnw->mr...n", seen, p["up"])
        if "up_bias" in p:
            before = before + p["up_bias"].view(len(x), *[1] * (x.ndim - 2), -1)
        name = self.settings.activation
        if name in SMOOTH_ACTIVATIONS:
            return SMOOTH_ACTIVATIONS[name](before)
        return activated(parse_activation(name), before)

    def _normalized(self, x: Tensor, p: Parameters, name: str) -> Tensor:
        """Return the layer norm of a part's input, with the gain and bias of the file."""
        s = self.settings
        if s.layer_norm == "none":
            return x
        if s.layer_norm == "pre":
            x = x - x.mean(-1, keepdim=True)
        x = x / (x.square().mean(-1, keepdim=True) + s.epsilon).sqrt()
        around = (len(x), *[1] * (x.ndim - 2), -1)
        if name in p:
            x = x * p[name].view(around)
        return x + p[f"{name}_bias"].view(around) if f"{name}_bias" in p else x


def variant_settings(settings: TransformerSettings, **changes: Any) -> VariantSettings:
    """Return a variant's settings with some of them changed.

    Parameters
    ----------
    settings
        Settings of any transformer.
    changes
        Fields of :class:`VariantSettings` by name.
    """
    values = {one.name: getattr(settings, one.name) for one in fields(settings)}
    return VariantSettings(**(values | changes))


def _with_bias(x: Tensor, bias: Tensor | None) -> Tensor:
    return x if bias is None else x + bias[:, None, None]
