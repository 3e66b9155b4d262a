"""The one-layer transformer of grokking papers, without layer norm, as an ensemble of members."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from marginlens.networks.activations import activate
from marginlens.tasks import Task
from marginlens.theory import Activation, parse_activation

__all__ = ["Transformer", "TransformerSettings"]


@dataclass(frozen=True)
class TransformerSettings:
    """Sizes and variants of a one-layer transformer.

    Attributes
    ----------
    width
        Length of the residual stream (d_model).
    heads
        Attention heads; each has width / heads channels.
    hidden
        Neurons of the MLP.
    activation
        Of the MLP, as `parse_activation` reads it.
    sequence
        ``"ab="``: the slots' tokens, then one that stands for the equals sign, where the answer is
        read (Nanda et al. 2023). ``"ab"``: the slots' tokens alone, read at the last (Zhong et al.
        2023). With k slots the tokens are a_1, ..., a_k.
    attention
        alpha in [0, 1]: a head weighs a position by alpha * softmax + (1 - alpha) * 1, so that 1 is
        usual attention and 0 adds up all positions (Zhong et al. 2023, the "attention rate").
    biases
        Whether the MLP has biases; attention and unembedding never have.

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

    def __post_init__(self) -> None:
        for name in ("width", "heads", "hidden"):
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
        parse_activation(self.activation)

    @property
    def channels(self) -> int:
        """Channels of one head."""
        return self.width // self.heads

    @property
    def sigma(self) -> Activation:
        """The activation, parsed."""
        return parse_activation(self.activation)

    def shapes(self, task: Task) -> dict[str, tuple[int, ...]]:
        """Shape of each parameter of one member on a task.

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
        head = (self.heads, self.channels, self.width)
        shapes: dict[str, tuple[int, ...]] = {
            "embed": (task.size + equals, self.width),
            "position": (task.factors + equals, self.width),
            **dict.fromkeys(("query", "key", "value", "output"), head),
            "up": (self.hidden, self.width),
            "up_bias": (self.hidden,),
            "down": (self.hidden, self.width),
            "down_bias": (self.width,),
            "unembed": (task.classes, self.width),
        }
        if not self.biases:
            del shapes["up_bias"], shapes["down_bias"]
        return shapes

    def require_task(self, task: Task) -> None:
        """Refuse a task that is not a table of two slots or more."""
        if task.kind != "table" or task.factors < 2:
            raise ValueError(
                f"a transformer reads two elements or more, not {task.name}: "
                "take a group's table, as C113 or S5"
            )


@dataclass(frozen=True, eq=False)
class Transformer:
    r"""One attention layer and one MLP on a residual stream, read at the last position.

    With tokens $t_1, ..., t_T$ and $x_j$ = embed[$t_j$] + position[j], every head h weighs position j
    by $A_{hj} = \alpha\,\mathrm{softmax}_j(q_h(x_T)\cdot k_h(x_j)/\sqrt{c}) + (1-\alpha)$, and

    $$r = x_T + \sum_{h,j} A_{hj}\, O_h^T V_h x_j,\qquad
      \mathrm{logits} = U\,(r + D^T\sigma(W r + b) + d).$$

    The layer's other positions never reach the answer, so the causal mask of the papers, which hides
    nothing from the last position, is not spelled out.

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
    class that is never right; here a class is an element.
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

        The unembedding's deviation is classes^(-1/2). Member i is drawn on the CPU in float64 from
        seed + i, so that it starts from the same parameters whatever the ensemble's size, the
        precision or the device.

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
                if name.endswith("_bias"):
                    drawn[name].append(torch.zeros(shape, dtype=torch.float64))
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

        Differentiable by autograd; `TransformerPopulation` is many times faster.
        """
        p = self.parameters
        stream = self._attended(task)
        stream = stream + self._activated(stream) @ p["down"]
        if self.settings.biases:
            stream = stream + p["down_bias"][:, None]
        return stream @ p["unembed"].mT

    def hidden(self, task: Task) -> Float[Tensor, "member row neuron"]:
        """Activations of the MLP's neurons at the last position."""
        return self._activated(self._attended(task))

    def _activated(self, stream: Tensor) -> Tensor:
        before = stream @ self.parameters["up"].mT
        if self.settings.biases:
            before = before + self.parameters["up_bias"][:, None]
        return activate(self.settings.sigma, before)

    def _attended(self, task: Task) -> Float[Tensor, "member row width"]:
        """The residual stream at the last position, after attention."""
        task.require_rows()
        self.require_task(task)
        p, settings = self.parameters, self.settings
        tokens = torch.as_tensor(task.inputs, device=p["embed"].device)
        if settings.sequence == "ab=":
            tokens = torch.nn.functional.pad(tokens, (0, 1), value=task.size)
        x = p["embed"][:, tokens] + p["position"][:, None]
        last = x[:, :, -1]
        query = torch.einsum("mrw,mhcw->mrhc", last, p["query"])
        key = torch.einsum("mrjw,mhcw->mrjhc", x, p["key"])
        value = torch.einsum("mrjw,mhcw->mrjhc", x, p["value"])
        scores = torch.einsum("mrhc,mrjhc->mrhj", query, key) / math.sqrt(settings.channels)
        alpha = settings.attention
        weights = alpha * scores.softmax(-1) + (1 - alpha)
        mixed = torch.einsum("mrhj,mrjhc->mrhc", weights, value)
        return last + torch.einsum("mrhc,mhcw->mrw", mixed, p["output"])
