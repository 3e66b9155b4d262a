"""The transformers of grokking papers, as an ensemble of members."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from marginlens.networks.evaluator import Evaluator, Parameters
from marginlens.networks.network import Network, stacked_draws
from marginlens.networks.rows import Rows
from marginlens.networks.transformer.deep_transformer_evaluator import DeepTransformerEvaluator
from marginlens.networks.transformer.layers import feed_forward, layer_norm, neurons
from marginlens.networks.transformer.transformer_evaluator import TransformerEvaluator
from marginlens.networks.transformer.transformer_settings import TransformerSettings, base_name
from marginlens.tasks import Task

__all__ = ["Transformer"]


class Transformer(Network):
    r"""Transformer: layers of attention and an MLP on a residual stream, read at its end.

    With tokens $t_1, ..., t_T$ the stream starts at $x_j$ = embed[$t_j$] + position[j]. In each
    layer a head h at position i weighs those up to its own, $j \le i$ (the causal mask), by
    $A_{hij} = \alpha\,\mathrm{softmax}_j(q_h(x_i)\cdot k_h(x_j)/\sqrt{c}) + (1-\alpha)$, and

    $$r_i = x_i + \sum_{h,j} A_{hij}\, O_h^T V_h x_j,\qquad
      x_i \leftarrow r_i + D^T\sigma(W r_i + b) + d.$$

    The logits are $U x_T$. `TransformerSettings` has the place of layer norm.

    Parameters
    ----------
    parameters
        Those of `TransformerSettings.shapes`, each with a leading member axis.
    settings
        Sizes and variants of the network.

    Notes
    -----
    Nanda et al. 2023, *Progress measures for grokking via mechanistic interpretability*, and Zhong
    et al. 2023, *The clock and the pizza*. Their unembedding has a row for the equals sign too, a
    class that is never right; here a class is an element. Power et al. 2022, *Grokking*, have two
    layers, layer norm after each part (``layer_norm="post"``) and no biases in the MLPs; their
    positions are sines, where these are learned, and tokens for the operation and the start stand
    between and before the elements.
    """

    neurons_are_measured = False
    unembedding_name = "unembed"
    label = "transformer"

    def __init__(self, parameters: Mapping[str, Tensor], settings: TransformerSettings) -> None:
        super().__init__(parameters)
        self.settings = settings

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
        """Return Gaussian weights of deviation width^(-1/2) and zero biases (Nanda et al.).

        The unembedding's deviation is classes^(-1/2); layer norm starts with gain 1 and bias 0.
        Each member's draw follows :func:`marginlens.networks.network.stacked_draws`.

        Examples
        --------
        >>> from marginlens.tasks import task
        >>> Transformer.initial(task("C5"), members=2).logits(task("C5")).shape
        torch.Size([2, 25, 5])
        """
        settings = TransformerSettings() if settings is None else settings
        settings.require_task(task)
        shapes = settings.shapes(task)

        def draw(generator: torch.Generator) -> dict[str, Tensor]:
            one = {}
            for name, shape in shapes.items():
                if (base := base_name(name)).endswith(("_bias", "_norm")):
                    fill = float(base.endswith("_norm"))
                    one[name] = torch.full(shape, fill, dtype=torch.float64)
                    continue
                scale = task.classes if name == "unembed" else settings.width
                values = torch.randn(shape, generator=generator, dtype=torch.float64)
                one[name] = values * scale**-0.5
            return one

        tensors = stacked_draws(draw, members=members, seed=seed, dtype=dtype, device=device)
        return cls(tensors, settings)

    @classmethod
    def from_recipe(
        cls, task: Task, recipe: Any, device: str | torch.device = "cpu"
    ) -> Transformer:
        """Return a network with initial weights, as :meth:`Network.from_recipe`."""
        return cls.initial(
            task,
            recipe.transformer_settings(),
            members=recipe.members,
            seed=recipe.seed,
            dtype=getattr(torch, recipe.dtype),
            device=device,
        )

    @classmethod
    def count_parameters(cls, task: Task, recipe: Any) -> int:
        """Number of parameters of one member, without biases and gains."""
        width = recipe.width
        layer = 4 * width * width + 2 * width * recipe.hidden
        return width * (task.size + task.classes + task.factors + 2) + recipe.layers * layer

    @classmethod
    def row_operations(cls, task: Task, recipe: Any) -> float:
        """Return the multiplications per row from hidden layer to logits, and in deep layers.

        A layer takes width * (4 width + 2 hidden) per position; the last layer has one position,
        and slot 1 is shared by all rows.
        """
        each = super().row_operations(task, recipe)
        if recipe.layers == 1:
            return each
        inner = task.factors - 1 + (recipe.sequence == "ab=")
        layer = recipe.width * (4 * recipe.width + 2 * recipe.hidden)
        return each + ((recipe.layers - 1) * inner + 1) * layer

    def require_task(self, task: Task) -> None:
        """Refuse a task that does not match the network's weights.

        Raises
        ------
        ValueError
            The task is not a table, or a parameter has another shape than the task's.
        """
        self.settings.require_task(task)
        own = self.tensors
        got = {name: tuple(p.shape[1:]) for name, p in own.items()}
        for name, shape in self.settings.shapes(task).items():
            if got.pop(name, None) != shape:
                found = own.get(name)
                found = "missing" if found is None else f"of shape {tuple(found.shape[1:])}"
                raise ValueError(f"the network's {name} is {found}, but {task.name} needs {shape}")
        if got:
            raise ValueError(
                f"the network has parameters that {task.name} has no use for: {[*got]}"
            )

    def with_parameters(self, parameters: Mapping[str, Tensor]) -> Transformer:
        """Return a network with other parameters, as :meth:`Network.with_parameters`."""
        return type(self)(parameters, self.settings)

    def description(self) -> dict[str, object]:
        """Settings of the network by name."""
        return {"members": self.members, "settings": self.settings}

    def evaluator(
        self,
        task: Task,
        *,
        rows: Rows | None = None,
        memory: int | None = None,
        merge: bool = True,
        loss: str = "cross_entropy",
    ) -> Evaluator:
        """Fast evaluator, as :meth:`Network.evaluator`: of one layer's tables, or of any depth."""
        kind = TransformerEvaluator if self.settings.is_plain else DeepTransformerEvaluator
        return kind(task, self, rows=rows, memory=memory, loss=loss)

    def forward(self, rows: Any) -> Float[Tensor, "member row class"]:
        """Logits of rows, as :meth:`Network.forward`; the evaluator is many times faster.

        All positions of all layers but the last one's, which is read at the last position alone.
        """
        own = self._by_name()
        p = self.settings.layer(own, self.settings.layers)
        x = self._before_last(own, self._checked(rows))
        x = feed_forward(self._attended(p, x, 1)[:, :, 0], p, self.settings)
        if self.settings.layer_norm == "pre":
            x = layer_norm(x, own, "final_norm")
        return x @ own["unembed"].mT

    def _hidden(self, rows: Tensor) -> Float[Tensor, "member row neuron"]:
        p = self.settings.layer(self.tensors, self.settings.layers)
        x = self._attended(p, self._before_last(self.tensors, rows), 1)[:, :, 0]
        if self.settings.layer_norm == "post":
            x = layer_norm(x, p, "attention_norm")
        return neurons(x, p, self.settings)

    def _checked(self, rows: Any) -> Tensor:
        """Rows of elements that the tables have."""
        columns = self._slots()
        sizes = tuple(len(table[0]) for table in self.embeddings().values())
        return self._rows(rows, columns, sizes if len(sizes) == columns else sizes * columns)

    def _slots(self) -> int:
        """Elements that a row has."""
        equals = self.settings.sequence == "ab="
        return self._tensor("position").shape[1] - equals

    def _before_last(self, p: Parameters, rows: Tensor) -> Tensor:
        """Return the streams that the last layer reads, shape (member, row, position, width)."""
        settings = self.settings
        if settings.sequence == "ab=":
            rows = torch.nn.functional.pad(rows, (0, 1), value=p["embed"].shape[1] - 1)
        x = p["embed"][:, rows] + p["position"][:, None]
        for number in range(1, settings.layers):
            layer = settings.layer(p, number)
            x = self._attended(layer, x, x.shape[2])
            x = feed_forward(x.flatten(1, 2), layer, settings).unflatten(1, x.shape[1:3])
        return x

    def _attended(self, p: Parameters, x: Tensor, read: int) -> Tensor:
        """Return a layer's attention output at its last ``read`` positions."""
        settings = self.settings
        seen = layer_norm(x, p, "attention_norm") if settings.layer_norm == "pre" else x
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

    def embeddings(self) -> dict[str, Float[Tensor, "member element coordinate"]]:
        """Table ``embed`` without the equals sign; ``embed_u`` and ``embed_v`` where they differ."""
        p = self.tensors
        if "embed" not in p:
            return {name: p[name] for name in ("embed_u", "embed_v")}
        size = p["embed"].shape[1] - (self.settings.sequence == "ab=")
        return {"embed": p["embed"][:, :size]}

    @property
    def activation_name(self) -> str:
        """Name of the MLPs' activation."""
        return self.settings.activation

    @property
    def has_hidden_layer(self) -> bool:
        """True if the last layer has an MLP."""
        return "down" in self.settings.layer(self.tensors, self.settings.layers)

    def numbers_of_row(self, task: Task) -> int:
        """Numbers that a call holds for one row, as :meth:`Network.numbers_of_row`."""
        size, tokens = self.settings, task.factors + 1
        inner = tokens if size.layers > 1 else 1  # where a layer's MLP is computed
        return (3 * tokens + 4 * inner) * size.width + 4 * inner * size.hidden

    def unembedding(self) -> Float[Tensor, "member class neuron"]:
        """W_U W_out of the last layer, as :meth:`Network.unembedding`."""
        p = self.tensors
        return p["unembed"] @ self.settings.layer(p, self.settings.layers)["down"].mT

    def why_no_hidden_layer(self) -> str:
        """Reason why logits are not linear in hidden neurons; empty if they are."""
        if self.settings.layer_norm != "none":
            return "layer norm stands between neurons and logits"
        return "" if self.has_hidden_layer else "the network's last layer has no MLP"

    def relabelled(
        self,
        left: Int[np.ndarray, " element"],
        right: Int[np.ndarray, " element"],
        classes: Int[np.ndarray, " klass"],
    ) -> Transformer:
        """Network on pairs with its elements renumbered, as :meth:`Network.relabelled`."""
        first, second, out = (torch.as_tensor(np.array(order)) for order in (left, right, classes))
        p = self.tensors
        for name in ("unembed", "unembed_bias"):
            if name in p:
                p[name] = p[name][:, out]
        if "embed" not in p:
            p |= {"embed_u": p["embed_u"][:, first], "embed_v": p["embed_v"][:, second]}
            return self.with_parameters(p)
        whole = p.pop("embed")
        equals = whole[:, len(self.embeddings()["embed"][0]) :]
        if torch.equal(first, second):
            p["embed"] = torch.cat([whole[:, first], equals], dim=1)
            return self.with_parameters(p)
        p |= {"embed_u": whole[:, first], "embed_v": whole[:, second]}
        if equals.shape[1]:
            p["equals"] = equals
        from marginlens.networks.transformer.transformer_variant import (
            TransformerVariant,
            variant_settings,
        )

        return TransformerVariant(p, variant_settings(self.settings))
