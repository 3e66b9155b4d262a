"""Parts of a transformer's layer on streams of any number of rows, differentiable."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from marginlens.networks.activations import activated
from marginlens.networks.evaluator import Parameters
from marginlens.networks.transformer.transformer_settings import TransformerSettings

__all__ = ["EPSILON", "feed_forward", "layer_norm", "neurons"]

EPSILON = 1e-5
"""Added to the variance by layer norm, as in PyTorch."""


def layer_norm(
    x: Float[Tensor, "member *rows width"], p: Parameters, name: str
) -> Float[Tensor, "member *rows width"]:
    """Return the layer norm (x - mean) / deviation * gain + bias with named parameters."""
    gain, bias = (p[key].view(len(x), *[1] * (x.ndim - 2), -1) for key in (name, f"{name}_bias"))
    return torch.nn.functional.layer_norm(x, x.shape[-1:], eps=EPSILON) * gain + bias


def feed_forward(
    x: Float[Tensor, "member row width"], p: Parameters, settings: TransformerSettings
) -> Float[Tensor, "member row width"]:
    """Return a layer's output stream from the stream after its attention."""
    if settings.layer_norm == "post":
        x = layer_norm(x, p, "attention_norm")
    x = x + neurons(x, p, settings) @ p["down"]
    if settings.biases:
        x = x + p["down_bias"][:, None]
    return layer_norm(x, p, "mlp_norm") if settings.layer_norm == "post" else x


def neurons(
    x: Float[Tensor, "member row width"], p: Parameters, settings: TransformerSettings
) -> Float[Tensor, "member row neuron"]:
    """Return activations of a layer's MLP on its stream."""
    seen = layer_norm(x, p, "mlp_norm") if settings.layer_norm == "pre" else x
    before = seen @ p["up"].mT
    if settings.biases:
        before = before + p["up_bias"][:, None]
    return activated(settings.sigma, before)
