"""Sizes and variants of transformers, and the names of their parameters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

from marginlens.tasks import Task
from marginlens.theory import Activation, parse_activation

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["LAYER_NORMS", "Parameter", "TransformerLike", "TransformerSettings", "base_name"]

Parameter = TypeVar("Parameter")
"""What a parameter is: a tensor, or its shape."""

LAYER_NORMS = ("none", "pre", "post")
"""Where layer norm may stand."""


def base_name(name: str) -> str:
    """Return the name of a parameter in the first layer.

    Examples
    --------
    >>> base_name("up_bias_2"), base_name("up_bias")
    ('up_bias', 'up_bias')
    """
    return re.sub(r"_\d+$", "", name)


@dataclass(frozen=True)
class TransformerSettings:
    """Sizes and variants of a transformer.

    Attributes
    ----------
    width
        Length of the residual stream (d_model).
    heads
        Number of attention heads; each has width / heads channels.
    hidden
        Number of neurons of the MLP.
    activation
        Name of the MLP's activation, as `parse_activation` reads it.
    sequence
        Tokens: ``"ab="`` for the slots' tokens and an equals sign, where the answer is read (Nanda
        et al. 2023); ``"ab"`` for the slots' tokens only, read at the last (Zhong et al. 2023).
        With k slots the tokens are a_1, ..., a_k.
    attention
        Attention rate alpha in [0, 1]: a head weighs a position by alpha * softmax + (1 - alpha) *
        1. At 1 attention is softmax; at 0 it is uniform (Zhong et al. 2023).
    biases
        Whether the MLPs have biases; attention and unembedding never have.
    layers
        Number of layers, each of attention and an MLP (Power et al. 2022 have two).
    layer_norm
        Place of layer norm, with a gain and a bias for each coordinate: ``"none"`` (Nanda et al.
        2023); ``"pre"``, before attention, MLP and unembedding, as in GPT-2; ``"post"``, after each
        attention and each MLP, as in the published code of Power et al. 2022.

    Examples
    --------
    >>> TransformerSettings(width=48, heads=5)
    Traceback (most recent call last):
    ...
    ValueError: width 48 does not split into 5 heads: take a divisor of it, as heads=4
    """

    width: int = 128
    heads: int = 4
    hidden: int = 512
    activation: str = "relu"
    sequence: str = "ab="
    attention: float = 1.0
    biases: bool = True
    layers: int = 1
    layer_norm: str = "none"

    def __post_init__(self) -> None:
        for name in ("width", "heads", "hidden", "layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be at least 1")
        if self.width % self.heads:
            good = max(d for d in range(1, self.heads) if self.width % d == 0)
            raise ValueError(
                f"width {self.width} does not split into {self.heads} heads: "
                f"take a divisor of it, as heads={good}"
            )
        if self.sequence not in ("ab=", "ab"):
            raise ValueError(f'sequence {self.sequence!r} is unknown: take "ab=" or "ab"')
        if not 0 <= self.attention <= 1:
            raise ValueError(
                f"attention {self.attention} is outside 0 to 1: "
                "take 1 for softmax, 0 for a sum over all positions"
            )
        if self.layer_norm not in LAYER_NORMS:
            raise ValueError(
                f'expected layer_norm "none", "pre" or "post", got {self.layer_norm!r}'
            )
        parse_activation(self.activation)

    @property
    def is_plain(self) -> bool:
        """True if it is one layer without layer norm, whose tables `Tables` has."""
        return self.layers == 1 and self.layer_norm == "none"

    @property
    def channels(self) -> int:
        """Channels of one head."""
        return self.width // self.heads

    @property
    def sigma(self) -> Activation:
        """Parsed activation of the MLP."""
        return parse_activation(self.activation)

    def shapes(self, task: Task) -> dict[str, tuple[int, ...]]:
        """Return the shape of each parameter of one member on a task.

        Parameters of a deeper layer have the first layer's names with a number: ``query_2``.

        Examples
        --------
        >>> from marginlens.tasks import task
        >>> for name, shape in TransformerSettings().shapes(task("C113")).items():
        ...     print(name, shape)
        embed (114, 128)
        position (3, 128)
        query (4, 32, 128)
        key (4, 32, 128)
        value (4, 32, 128)
        output (4, 32, 128)
        up (512, 128)
        up_bias (512,)
        down (512, 128)
        down_bias (128,)
        unembed (113, 128)
        """
        equals = self.sequence == "ab="
        shapes: dict[str, tuple[int, ...]] = {
            "embed": (task.size + equals, self.width),
            "position": (task.factors + equals, self.width),
            **self._layer_shapes(),
        }
        for layer in range(2, self.layers + 1):
            shapes |= {f"{name}_{layer}": shape for name, shape in self._layer_shapes().items()}
        if self.layer_norm == "pre":
            shapes |= dict.fromkeys(("final_norm", "final_norm_bias"), (self.width,))
        return shapes | {"unembed": (task.classes, self.width)}

    def _layer_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of a layer, under the names of the first."""
        head = (self.heads, self.channels, self.width)
        shapes: dict[str, tuple[int, ...]] = {
            **dict.fromkeys(("query", "key", "value", "output"), head),
            "up": (self.hidden, self.width),
            "up_bias": (self.hidden,),
            "down": (self.hidden, self.width),
            "down_bias": (self.width,),
        }
        if not self.biases:
            del shapes["up_bias"], shapes["down_bias"]
        if self.layer_norm != "none":
            names = ("attention_norm", "attention_norm_bias", "mlp_norm", "mlp_norm_bias")
            shapes |= dict.fromkeys(names, (self.width,))
        return shapes

    def layer(self, parameters: dict[str, Parameter], number: int) -> dict[str, Parameter]:
        """Return a layer's parameters under the first layer's names; layers count from 1."""
        suffix = "" if number == 1 else f"_{number}"
        return {name: parameters[name + suffix] for name in self._layer_shapes()}

    def require_task(self, task: Task) -> None:
        """Refuse a task that is not a table of two slots or more."""
        if task.kind != "table" or task.factors < 2:
            raise ValueError(
                f"a transformer reads two elements or more, not {task.name}: "
                "take a group's table, as C113 or S5"
            )


@runtime_checkable
class TransformerLike(Protocol):
    """Transformer as its evaluators see it."""

    settings: TransformerSettings

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Parameters by name, each (member, ...)."""
        ...

    @property
    def members(self) -> int:
        """Number of networks in the ensemble."""
        ...

    def require_task(self, task: Task) -> None:
        """Refuse a task of another shape."""
        ...
