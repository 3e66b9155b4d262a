"""The transformers of grokking papers, as an ensemble of members."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from marginlens.networks.activations import activated
from marginlens.networks.transformer_settings import TransformerSettings, base_name
from marginlens.tasks import Task

__all__ = ["EPSILON", "Transformer", "feed_forward", "normalized"]

EPSILON = 1e-5
"""Added to the variance by layer norm, as in PyTorch."""

Parameters = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Transformer:
    r"""Layers of attention and an MLP on a residual stream, read at the last position.

    With tokens $t_1, ..., t_T$ the stream starts as $x_j$ = embed[$t_j$] + position[j]. In each layer a
    head h at position i weighs those up to its own, $j \le i$ (the causal mask), by $A_{hij} =
    \alpha\,\mathrm{softmax}_j(q_h(x_i)\cdot k_h(x_j)/\sqrt{c}) + (1-\alpha)$, and

    $$r_i = x_i + \sum_{h,j} A_{hij}\, O_h^T V_h x_j,\qquad
      x_i \leftarrow r_i + D^T\sigma(W r_i + b) + d.$$

    The logits are $U x_T$. Layer norm, if there is any, stands where `TransformerSettings` says.

    Attributes
    ----------
    parameters
        Those of `TransformerSettings.shapes`, each with a leading member axis.
    settings
        Sizes and variants.

    Notes
    -----
    Nanda et al. 2023, *Progress measures for grokking via mechanistic interpretability*, and Zhong
    et al. 2023, *The clock and the pizza*. Their unembedding has a row for the equals sign too, a
    class that is never right; here a class is an element. Power et al. 2022, *Grokking*, have two
    layers, layer norm after each part (``layer_norm="post"``) and no biases in the MLPs; their
    positions are sines, where these are learned, and tokens for the operation and the start stand
    between and before the elements.
    """

    parameters: dict[str, Tensor]
    settings: TransformerSettings

    @classmethod
    def initial(
        cls,
        task: Task,
        settings: TransformerSettings | None = None,
        *,
        members: int = 1,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
    ) -> Transformer:
        """Gaussian weights as Nanda et al. draw them: deviation width^(-1/2), zero biases.

        The unembedding's deviation is classes^(-1/2); layer norm starts with gain 1 and bias 0.
        Member i is drawn on the CPU in float64 from seed + i, so that it starts from the same
        parameters whatever the ensemble's size, the precision or the device.

        Examples
        --------
        >>> from marginlens.tasks import task
        >>> Transformer.initial(task("C5"), members=2).logits(task("C5")).shape
        torch.Size([2, 25, 5])
        """
        settings = TransformerSettings() if settings is None else settings
        settings.require_task(task)
        shapes = settings.shapes(task)
        drawn: dict[str, list[Tensor]] = {name: [] for name in shapes}
        for member in range(members):
            generator = torch.Generator().manual_seed(seed + member)
            for name, shape in shapes.items():
                if (base := base_name(name)).endswith(("_bias", "_norm")):
                    fill = float(base.endswith("_norm"))
                    drawn[name].append(torch.full(shape, fill, dtype=torch.float64))
                    continue
                scale = task.classes if name == "unembed" else settings.width
                values = torch.randn(shape, generator=generator, dtype=torch.float64)
                drawn[name].append(values * scale**-0.5)
        return cls(
            {name: torch.stack(v).to(device=device, dtype=dtype) for name, v in drawn.items()},
            settings,
        )

    @property
    def members(self) -> int:
        """Number of networks in the ensemble."""
        return self.parameters["embed"].shape[0]

    def require_task(self, task: Task) -> None:
        """Refuse a task that the network's weights do not belong to.

        Raises
        ------
        ValueError
            If the task is no table, or a parameter has another shape than the task's.
        """
        self.settings.require_task(task)
        got = {name: tuple(p.shape[1:]) for name, p in self.parameters.items()}
        for name, shape in self.settings.shapes(task).items():
            if got.pop(name, None) != shape:
                found = self.parameters.get(name)
                found = "missing" if found is None else f"of shape {tuple(found.shape[1:])}"
                raise ValueError(f"the network's {name} is {found}, but {task.name} needs {shape}")
        if got:
            raise ValueError(
                f"the network has parameters that {task.name} has no use for: {[*got]}"
            )

    def with_parameters(self, parameters: dict[str, Tensor]) -> Transformer:
        """The network with other parameters."""
        return Transformer(parameters, self.settings)

    def member(self, index: int) -> Transformer:
        """Network ``index`` alone, as an ensemble of one."""
        return self.with_parameters(
            {name: p[index : index + 1] for name, p in self.parameters.items()}
        )

    def to(self, dtype: torch.dtype) -> Transformer:
        """Copy in another precision."""
        return self.with_parameters(
            {name: p.detach().to(dtype) for name, p in self.parameters.items()}
        )

    def logits(self, task: Task) -> Float[Tensor, "member row class"]:
        """Evaluate the whole table at once; for pictures and tests, as it is large.

        All positions of all layers but the last one's, which is read at the last position alone.
        Differentiable by autograd; the evaluator of ``population_of`` is many times faster.
        """
        x = self._before_last(task)
        p = self.settings.layer(self.parameters, self.settings.layers)
        x = feed_forward(self._attended(p, x, 1)[:, :, 0], p, self.settings)
        if self.settings.layer_norm == "pre":
            x = normalized(x, self.parameters, "final_norm")
        return x @ self.parameters["unembed"].mT

    def hidden(self, task: Task) -> Float[Tensor, "member row neuron"]:
        """Activations of the last layer's neurons, at the last position."""
        p = self.settings.layer(self.parameters, self.settings.layers)
        x = self._attended(p, self._before_last(task), 1)[:, :, 0]
        if self.settings.layer_norm == "post":
            x = normalized(x, p, "attention_norm")
        return neurons(x, p, self.settings)

    def _before_last(self, task: Task) -> Float[Tensor, "member row position width"]:
        """The streams that the last layer reads."""
        task.require_rows()
        self.require_task(task)
        p, settings = self.parameters, self.settings
        tokens = torch.as_tensor(task.inputs, device=p["embed"].device)
        if settings.sequence == "ab=":
            tokens = torch.nn.functional.pad(tokens, (0, 1), value=task.size)
        x = p["embed"][:, tokens] + p["position"][:, None]
        for number in range(1, settings.layers):
            layer = settings.layer(p, number)
            x = self._attended(layer, x, x.shape[2])
            x = feed_forward(x.flatten(1, 2), layer, settings).unflatten(1, x.shape[1:3])
        return x

    def _attended(self, p: Parameters, x: Tensor, read: int) -> Tensor:
        """A layer's attention on (member, row, position, width), at its last ``read`` positions."""
        settings = self.settings
        seen = normalized(x, p, "attention_norm") if settings.layer_norm == "pre" else x
        query = torch.einsum("mriw,mhcw->mrihc", seen[:, :, -read:], p["query"])
        key = torch.einsum("mrjw,mhcw->mrjhc", seen, p["key"])
        value = torch.einsum("mrjw,mhcw->mrjhc", seen, p["value"])
        scores = torch.einsum("mrihc,mrjhc->mrhij", query, key) / math.sqrt(settings.channels)
        length = x.shape[2]
        visible = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()[-read:]
        alpha = settings.attention
        weights = alpha * scores.masked_fill(~visible, -math.inf).softmax(-1)
        weights = weights + (1 - alpha) * visible.to(x.dtype)
        mixed = torch.einsum("mrhij,mrjhc->mrihc", weights, value)
        return x[:, :, -read:] + torch.einsum("mrihc,mhcw->mriw", mixed, p["output"])


def normalized(
    x: Float[Tensor, "member *rows width"], p: Parameters, name: str
) -> Float[Tensor, "member *rows width"]:
    """Layer norm with the gain and the bias of that name: (x - mean) / deviation * gain + bias."""
    gain, bias = (p[key].view(len(x), *[1] * (x.ndim - 2), -1) for key in (name, f"{name}_bias"))
    return torch.nn.functional.layer_norm(x, x.shape[-1:], eps=EPSILON) * gain + bias


def feed_forward(
    x: Float[Tensor, "member row width"], p: Parameters, settings: TransformerSettings
) -> Float[Tensor, "member row width"]:
    """The stream after a layer's attention taken to the layer's end; p is that of one layer."""
    if settings.layer_norm == "post":
        x = normalized(x, p, "attention_norm")
    x = x + neurons(x, p, settings) @ p["down"]
    if settings.biases:
        x = x + p["down_bias"][:, None]
    return normalized(x, p, "mlp_norm") if settings.layer_norm == "post" else x


def neurons(
    x: Float[Tensor, "member row width"], p: Parameters, settings: TransformerSettings
) -> Float[Tensor, "member row neuron"]:
    """Activations of a layer's MLP on its stream."""
    seen = normalized(x, p, "mlp_norm") if settings.layer_norm == "pre" else x
    before = seen @ p["up"].mT
    if settings.biases:
        before = before + p["up_bias"][:, None]
    return activated(settings.sigma, before)
