"""Tensors of a transformer by names and axes of three projects, under the names used here."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from marginlens.errors import MarginLensError
from marginlens.formats.reading import take
from marginlens.formats.stated_settings import Stated, whole

__all__ = ["BRIDGE_MARKS", "LENS_MARKS", "TransformerWeights", "transformer_weights"]

LENS_MARKS = frozenset({"embed.W_E", "pos_embed.W_pos", "blocks.0.attn.W_K", "unembed.W_U"})
"""Names in files of Nanda et al., Zhong et al. and TransformerLens up to version 3."""

BRIDGE_MARKS = frozenset({"embed.weight", "blocks.0.attn.q.weight", "unembed.weight"})
"""Names in files of TransformerLens from version 4 on."""

_NO_PARAMETERS = re.compile(r"(.*\.)?(attn\.mask|attn\.IGNORE|attn\.masked_bias)")
"""Buffers beside the parameters: masks, and the number that a mask writes."""

_NONE = torch.empty(())
_NORMS = {"ln1": "attention_norm", "ln2": "mlp_norm", "ln_final": "final_norm"}
_LAYER = re.compile(r"blocks\.(\d+)\.")


@dataclass(frozen=True)
class TransformerWeights:
    """Parameters of a transformer without a member axis.

    Attributes
    ----------
    parameters
        ``embed`` (token, width), ``position`` (position, width), ``unembed`` (class, width); in
        each
        layer ``query``, ``key``, ``value`` and ``output`` (head, channel, width), ``up`` and
        ``down``
        (neuron, width), and biases and gains where the file has them. From the second layer on the
        names end in ``_2`` and so on.
    layers
        Number of layers of attention.
    names
        Names of embedding, positions and unembedding in the file, for messages.
    is_lens
        Whether the names and axes are TransformerLens's, whose layer norm may have no parameters.
    """

    parameters: Mapping[str, Tensor]
    layers: int
    names: tuple[str, str, str]
    is_lens: bool

    @property
    def tokens(self) -> int:
        """Number of tokens that have an embedding."""
        return len(self.parameters["embed"])

    @property
    def positions(self) -> int:
        """Number of positions of the sequence."""
        return len(self.parameters["position"])

    @property
    def classes(self) -> int:
        """Number of classes of the unembedding."""
        return len(self.parameters["unembed"])

    @property
    def norms(self) -> bool:
        """True if layer norm has gains."""
        return "final_norm" in self.parameters or "attention_norm" in self.parameters


def transformer_weights(
    tensors: Mapping[str, Tensor], stated: Stated, *, others: frozenset[str] = frozenset()
) -> TransformerWeights:
    """Read every tensor of the embeddings and blocks; biases that are zero are left out.

    Parameters
    ----------
    tensors
        Tensors of the file by name.
    stated
        Settings with the number of heads if the axes do not show it.
    others
        Names that the caller reads itself.

    Raises
    ------
    ValueError
        A tensor is missing, has another shape, or is not understood.
    """
    reader = _Bridge(tensors, stated) if "embed.weight" in tensors else _Lens(tensors, stated)
    parameters = reader.all()
    sizes = {n for name in ("embed", "up", "unembed") for n in parameters.get(name, _NONE).shape}
    strange = [
        name
        for name in tensors
        if name not in reader.used
        and name not in others
        and (_is_parameter(name) or ("." not in name and _may_be_parameter(tensors[name], sizes)))
    ]
    if strange:
        have = ", ".join(strange[:4]) + (" and others" if len(strange) > 4 else "")
        raise MarginLensError(
            f"the file has {have}, which {'are' if len(strange) > 1 else 'is'} not understood; expected "
            "a transformer of embeddings, attention and MLPs without gates, rotations or second tables"
        )
    _check_norms(parameters, reader.layers)
    return TransformerWeights(parameters, reader.layers, reader.names, reader.is_lens)


def _is_parameter(name: str) -> bool:
    """Return whether a tensor may be part of the function: those of a module, but for masks."""
    return ("." in name or "embed" in name) and _NO_PARAMETERS.fullmatch(name) is None


def _may_be_parameter(tensor: Tensor, sizes: set[int]) -> bool:
    """Return whether an unread array is nonzero and has an axis of the network's sizes."""
    return tensor.is_floating_point() and bool(set(tensor.shape) & sizes) and bool(tensor.any())


def _check_norms(parameters: Mapping[str, Tensor], layers: int) -> None:
    """Refuse gains of layer norm at some places and not at others."""
    wanted = ["final_norm"]
    for number in range(1, layers + 1):
        suffix = "" if number == 1 else f"_{number}"
        wanted.append(f"attention_norm{suffix}")
        if f"up{suffix}" in parameters:
            wanted.append(f"mlp_norm{suffix}")
    have = [name for name in wanted if name in parameters]
    if have and len(have) < len(wanted):
        missing = next(name for name in wanted if name not in parameters)
        raise MarginLensError(
            f"the file has layer norm as {have[0]} but not as {missing}; expected it before every "
            "attention, MLP and unembedding, or nowhere"
        )


class _Reader:
    """Reads tensors by name and notes which ones."""

    names: tuple[str, str, str]
    is_lens = True

    def __init__(self, tensors: Mapping[str, Tensor], stated: Stated) -> None:
        self.tensors, self.stated = tensors, stated
        self.used: set[str] = set()
        numbers = {int(m.group(1)) for name in tensors if (m := _LAYER.match(name))}
        self.layers = max(numbers, default=-1) + 1
        if numbers != set(range(self.layers)) or not numbers:
            raise MarginLensError(
                f"the file has blocks {sorted(numbers)[:8]}; expected 0, 1, 2, ..."
            )
        self.width = 0

    def take(self, name: str, *shape: int | None) -> Tensor:
        """Return a required tensor."""
        self.used.add(name)
        return take(self.tensors, name, *shape)

    def bias(self, name: str, *shape: int) -> Tensor | None:
        """Return a bias, or ``None`` if it is missing or zero."""
        if name not in self.tensors:
            return None
        self.used.add(name)
        if self.tensors[name].numel() != math.prod(shape):
            self.take(name, *shape)
        found = take({name: self.tensors[name].reshape(shape)}, name, *shape)
        return found if bool(found.any()) else None

    def all(self) -> dict[str, Tensor]:
        """Return all parameters of the network."""
        parameters = self.ends()
        for number in range(self.layers):
            suffix = "" if number == 0 else f"_{number + 1}"
            layer = self.layer(f"blocks.{number}")
            parameters |= {f"{name}{suffix}": p for name, p in layer.items() if p is not None}
        return {name: p.contiguous() for name, p in parameters.items() if p is not None}

    def ends(self) -> dict[str, Tensor | None]:
        raise NotImplementedError

    def layer(self, part: str) -> dict[str, Tensor | None]:
        raise NotImplementedError

    def norm(self, name: str, gain: str, bias: str) -> dict[str, Tensor | None]:
        """Return the gain and bias of a layer norm that the file has."""
        ours = _NORMS[name.split(".")[-1]]
        if f"{name}.{gain}" not in self.tensors:
            return {}
        return {
            ours: self.take(f"{name}.{gain}", self.width),
            f"{ours}_bias": self.take(f"{name}.{bias}", self.width)
            if f"{name}.{bias}" in self.tensors
            else None,
        }


class _Lens(_Reader):
    """Names ``W_E``, ``W_Q``, ...; axes as in Nanda et al.'s code, or as in TransformerLens."""

    def __init__(self, tensors: Mapping[str, Tensor], stated: Stated) -> None:
        super().__init__(tensors, stated)
        self.names = ("embed.W_E", "pos_embed.W_pos", "unembed.W_U")
        output = tensors.get("blocks.0.attn.W_O")
        self.is_lens = output is not None and output.ndim == 3

    def ends(self) -> dict[str, Tensor | None]:
        position = self.take("pos_embed.W_pos", None, None)
        self.width = position.shape[1]
        lens = self.is_lens
        embed = self.take("embed.W_E", *((None, self.width) if lens else (self.width, None)))
        unembed = self.take("unembed.W_U", self.width, None).T
        return {
            "embed": embed if lens else embed.T,
            "position": position,
            "unembed": unembed,
            "unembed_bias": self.bias("unembed.b_U", len(unembed)),
            **self.norm("ln_final", "w", "b"),
        }

    def layer(self, part: str) -> dict[str, Tensor | None]:
        width, lens = self.width, self.is_lens
        shape = (None, width, None) if lens else (None, None, width)
        query = self.take(f"{part}.attn.W_Q", *shape)
        heads, channels = query.shape[0], query.shape[2 if lens else 1]
        shape = (heads, width, channels) if lens else (heads, channels, width)
        found: dict[str, Tensor | None] = {
            "query": query,
            "key": self.take(f"{part}.attn.W_K", *shape),
            "value": self.take(f"{part}.attn.W_V", *shape),
        }
        if lens:
            found = {name: None if p is None else p.mT for name, p in found.items()}
            found["output"] = self.take(f"{part}.attn.W_O", heads, channels, width)
        else:
            output = self.take(f"{part}.attn.W_O", width, heads * channels)
            found["output"] = output.T.reshape(heads, channels, width)
        for name, short in (("query", "Q"), ("key", "K"), ("value", "V")):
            found[f"{name}_bias"] = self.bias(f"{part}.attn.b_{short}", heads, channels)
        found["output_bias"] = self.bias(f"{part}.attn.b_O", width)
        found |= self.norm(f"{part}.ln1", "w", "b") | self.norm(f"{part}.ln2", "w", "b")
        if not any(name.startswith(f"{part}.mlp.") for name in self.tensors):
            return found
        up = self.take(f"{part}.mlp.W_in", *((width, None) if lens else (None, width)))
        up = up.T if lens else up
        down = self.take(f"{part}.mlp.W_out", *((len(up), width) if lens else (width, len(up))))
        return found | {
            "up": up,
            "down": down if lens else down.T,
            "up_bias": self.bias(f"{part}.mlp.b_in", len(up)),
            "down_bias": self.bias(f"{part}.mlp.b_out", width),
        }


class _Bridge(_Reader):
    """Names ``embed.weight``, ``blocks.0.attn.q.weight``, ...; axes (out, in), as in PyTorch."""

    names = ("embed.weight", "pos_embed.weight", "unembed.weight")

    def ends(self) -> dict[str, Tensor | None]:
        position = self.take("pos_embed.weight", None, None)
        self.width = position.shape[1]
        embed = self.take("embed.weight", None, self.width)
        unembed = self._oriented("unembed.weight", None, self.width)
        return {
            "embed": embed,
            "position": position,
            "unembed": unembed,
            "unembed_bias": self.bias("unembed.bias", len(unembed)),
            **self.norm("ln_final", "weight", "bias"),
        }

    def _oriented(self, name: str, first: int | None, second: int) -> Tensor:
        """Return a matrix (first, second), transposed if the file stores (second, first).

        A square one has PyTorch's axes, (out, in) and (token, width), unless another matrix of the
        file has (in, out).
        """
        found = self.tensors.get(name)
        shape = () if found is None else tuple(found.shape)
        if len(shape) == 2 and shape[0] == shape[1] and self._is_turned:
            raise MarginLensError(
                f"{name} has shape {shape}, and its axes cannot be told: mlp.in.weight has (in, out); "
                "expected all matrices as (out, in)"
            )
        if len(shape) == 2 and shape[1] != second == shape[0]:
            return self.take(name, second, first).T
        return self.take(name, first, second)

    @property
    def _is_turned(self) -> bool:
        """True if a matrix that is not square shows the axes (in, out)."""
        inside = self.tensors.get("blocks.0.mlp.in.weight")
        return (
            inside is not None
            and inside.ndim == 2
            and inside.shape[1] != self.width == inside.shape[0]
        )

    def _heads(self, part: str) -> int:
        """Number of heads, by the axes or the settings."""
        name = f"{part}.attn.q.weight"
        query = self.tensors.get(name)
        if query is not None and query.ndim == 3:
            return len(query)
        if self.stated.get("n_heads", "num_heads") is None:
            raise MarginLensError(
                f"{name} does not show the number of heads; expected n_heads in a config.json beside "
                'the file, for example {"n_heads": 4}'
            )
        words = f"{name} has shape {tuple(query.shape) if query is not None else ()}"
        where = self.stated.where("n_heads", "num_heads")
        return whole(self.stated.get("n_heads", "num_heads"), where, words)

    def _projection(self, name: str, heads: int) -> Tensor:
        """Return a head's map from the stream, shape (head, channel, width)."""
        found = self.tensors.get(name)
        if found is not None and found.ndim == 3:
            if found.shape[1] == found.shape[2]:
                raise MarginLensError(
                    f"{name} has shape {tuple(found.shape)}, in which width and channels cannot be "
                    "told apart; expected (heads * channels, width)"
                )
            if found.shape[2] != self.width:
                return self.take(name, heads, self.width, None).mT
            return self.take(name, heads, None, self.width)
        flat = self._oriented(name, None, self.width)
        if len(flat) % heads:
            raise MarginLensError(
                f"{name} has {len(flat)} rows; expected a multiple of {heads} heads"
            )
        return flat.reshape(heads, -1, self.width)

    def layer(self, part: str) -> dict[str, Tensor | None]:
        width, heads = self.width, self._heads(part)
        found: dict[str, Tensor | None] = {}
        channels = 0
        for ours, short in (("query", "q"), ("key", "k"), ("value", "v")):
            projection = self._projection(f"{part}.attn.{short}.weight", heads)
            if channels and projection.shape[1] != channels:
                raise MarginLensError(
                    f"{part}.attn.{short}.weight has {projection.shape[1]} channels a head; expected "
                    f"{channels} as the queries"
                )
            channels = projection.shape[1]
            found[ours] = projection
            found[f"{ours}_bias"] = self.bias(f"{part}.attn.{short}.bias", heads, channels)
        name = f"{part}.attn.o.weight"
        output = self.tensors.get(name)
        if output is not None and output.ndim == 3:
            found["output"] = self.take(name, heads, channels, width)
        elif output is not None and tuple(output.shape) == (heads * channels, width) != (
            width,
            heads * channels,
        ):
            found["output"] = self.take(name, heads * channels, width).reshape(heads, -1, width)
        else:
            flat = self.take(name, width, heads * channels)
            found["output"] = flat.T.reshape(heads, channels, width)
        found["output_bias"] = self.bias(f"{part}.attn.o.bias", width)
        found |= self.norm(f"{part}.ln1", "weight", "bias")
        found |= self.norm(f"{part}.ln2", "weight", "bias")
        if not any(name.startswith(f"{part}.mlp.") for name in self.tensors):
            return found
        up = self._oriented(f"{part}.mlp.in.weight", None, width)
        down = self._oriented(f"{part}.mlp.out.weight", width, len(up)).T
        return found | {
            "up": up,
            "down": down,
            "up_bias": self.bias(f"{part}.mlp.in.bias", len(up)),
            "down_bias": self.bias(f"{part}.mlp.out.bias", width),
        }
