"""MLP on learned embeddings (Chughtai et al.), evaluated at the cost of a plain MLP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from marginlens.networks.evaluator import Evaluation, Evaluator, Parameters
from marginlens.networks.mlp import MLP, mlp_logits
from marginlens.networks.mlp_evaluator import MLPEvaluator
from marginlens.networks.network import Network, stacked_draws
from marginlens.networks.rows import Rows
from marginlens.tasks import Task
from marginlens.theory import Activation, parse_activation

__all__ = ["Factored", "FactoredEvaluator"]


class Factored(Network):
    r"""MLP whose first layer is a product of embeddings and a mixing matrix.

    The logits are f(a, b) = sigma([E_u[a]; E_v[b]] M) w^T. With M split into a block for each slot,
    the hidden layer is sigma(u(a) + v(b)) where $u = E_u M_u$ and $v = E_v M_v$ are (element,
    neuron): the same function as `MLP`, of other parameters, hence with other gradients and another
    implicit bias.

    Parameters
    ----------
    parameters
        For each slot s of the task ``"embed_s"`` (member, element, coordinate) and ``"mix_s"``
        (member, coordinate, neuron); and ``"w"`` (member, class, neuron).
    activation
        Activation sigma of the network.

    Notes
    -----
    Chughtai, Chan and Nanda 2023, *A toy model of universality*: ReLU, 256 coordinates, 128
    neurons.
    """

    def __init__(self, parameters: Mapping[str, Tensor], activation: Activation) -> None:
        super().__init__(parameters)
        self.activation = activation

    @classmethod
    def initial(
        cls,
        task: Task,
        activation: Activation | None = None,
        *,
        embedding: int = 256,
        width: int = 128,
        members: int = 1,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
    ) -> Factored:
        """Return Gaussian weights with hidden preactivations and logits of size about 1.

        Standard deviations: 1 for the embeddings, (slots * embedding)^(-1/2) for the mixing
        matrices, width^(-1/2) for w. Member i is drawn as
        :func:`marginlens.networks.network.stacked_draws` says.

        Examples
        --------
        >>> from marginlens.tasks import task
        >>> network = Factored.initial(task("S3"), embedding=4, width=5, members=2)
        >>> {name: tuple(p.shape) for name, p in network.named_parameters()}
        {'embed_u': (2, 6, 4), 'mix_u': (2, 4, 5), 'embed_v': (2, 6, 4), 'mix_v': (2, 4, 5),
         'w': (2, 6, 5)}
        """
        _require_table(task)
        if embedding < 1 or width < 1:
            raise ValueError(
                f"embedding {embedding} and width {width} must be at least 1: take 256 and 128"
            )
        sizes: dict[str, tuple[int, int, float]] = {}
        for slot in task.slots:
            sizes[f"embed_{slot}"] = (task.size, embedding, 1.0)
            sizes[f"mix_{slot}"] = (embedding, width, (task.factors * embedding) ** -0.5)
        sizes["w"] = (task.classes, width, width**-0.5)

        def draw(generator: torch.Generator) -> dict[str, Tensor]:
            return {
                name: torch.randn(*shape, generator=generator, dtype=torch.float64) * deviation
                for name, (*shape, deviation) in sizes.items()
            }

        return cls(
            stacked_draws(draw, members=members, seed=seed, dtype=dtype, device=device),
            parse_activation("relu") if activation is None else activation,
        )

    @classmethod
    def from_recipe(cls, task: Task, recipe: Any, device: str | torch.device = "cpu") -> Factored:
        """Return a network with initial weights, as :meth:`Network.from_recipe`."""
        return cls.initial(
            task,
            parse_activation(recipe.activation),
            embedding=recipe.embedding,
            width=recipe.width,
            members=recipe.members,
            seed=recipe.seed,
            dtype=getattr(torch, recipe.dtype),
            device=device,
        )

    @classmethod
    def count_parameters(cls, task: Task, recipe: Any) -> int:
        """Number of parameters of one member."""
        layer = recipe.embedding * (task.size + recipe.width)
        return task.factors * layer + recipe.width * task.classes

    def with_parameters(self, parameters: Mapping[str, Tensor]) -> Factored:
        """Return a network with other parameters, as :meth:`Network.with_parameters`."""
        return Factored(parameters, self.activation)

    def description(self) -> dict[str, object]:
        """Settings of the network by name."""
        return {
            "members": self.members,
            "width": self.width,
            "activation": self.activation.name,
            "embedding": next(self.parameters()).shape[2],
        }

    @property
    def width(self) -> int:
        """Number of neurons of each network."""
        return self._tensor("w").shape[2]

    def require_task(self, task: Task) -> None:
        """Refuse a task that does not match the network's weights.

        Raises
        ------
        ValueError
            The task is not a table, a slot is missing, or a parameter has another shape.
        """
        _require_table(task)
        own = self.tensors
        expected = {name for slot in task.slots for name in (f"embed_{slot}", f"mix_{slot}")}
        if (missing := sorted(expected - set(own))) or len(own) != len(expected) + 1:
            raise ValueError(
                f"the network's parameters are {', '.join(own)}, but {task.name} needs w and "
                f"{', '.join(missing or sorted(expected))}"
            )
        for slot in task.slots:
            embed, mix = own[f"embed_{slot}"], own[f"mix_{slot}"]
            if embed.shape[1] != task.size or mix.shape[1:] != (embed.shape[2], self.width):
                raise ValueError(
                    f"embed_{slot} and mix_{slot} have shapes {tuple(embed.shape[1:])} and "
                    f"{tuple(mix.shape[1:])}, but {task.name} needs ({task.size}, d) and "
                    f"(d, {self.width})"
                )
        if own["w"].shape[1] != task.classes:
            raise ValueError(
                f"w has {own['w'].shape[1]} rows, but {task.name} needs {task.classes}"
            )

    def as_mlp(self) -> MLP:
        """Plain MLP with the same logits, to be measured like any other.

        Examples
        --------
        >>> from marginlens.tasks import task
        >>> Factored.initial(task("S3"), width=5).as_mlp().tensors["u"].shape
        torch.Size([1, 6, 5])
        """
        return MLP(_product(self.tensors), self.activation)

    def norm(self) -> Float[Tensor, " member"]:
        """Sum over neurons of ||omega_i||^nu of the plain MLP with the same logits."""
        return self.as_mlp().norm()

    def embeddings(self) -> dict[str, Float[Tensor, "member element coordinate"]]:
        """Tables ``embed_u`` and so on."""
        return {name: p for name, p in self.tensors.items() if name.startswith("embed_")}

    @property
    def has_separate_embeddings(self) -> bool:
        """True if each input has embeddings separate from the neurons."""
        return len(self.embeddings()) > 1

    def evaluator(
        self,
        task: Task,
        *,
        rows: Rows | None = None,
        memory: int | None = None,
        merge: bool = True,
        loss: str = "cross_entropy",
    ) -> Evaluator:
        """Fast evaluator, as :meth:`Network.evaluator`."""
        return FactoredEvaluator(task, self, rows=rows, memory=memory, loss=loss)

    def forward(self, rows: Any) -> Float[Tensor, "member row class"]:
        """Logits of rows, as :meth:`Network.forward`."""
        p = _product(self._by_name())
        slots = tuple(name for name in p if name != "w")
        checked = self._rows(rows, len(slots), tuple(p[slot].shape[1] for slot in slots))
        return mlp_logits(p, self.activation, checked, slots)

    def _hidden(self, rows: Tensor) -> Float[Tensor, "member row neuron"]:
        return self.as_mlp()._hidden(rows)


class FactoredEvaluator(Evaluator):
    r"""Evaluator of a `Factored` network and its gradient, through a plain MLP evaluator.

    The products u = E_u M_u are formed once a step, for n elements instead of all rows; with g the
    MLP's gradient of u, those of E_u and M_u are $g M_u^T$ and $E_u^T g$.

    Parameters
    ----------
    task
        Task over a table of elements.
    network
        Network with the shapes, precision, device and activation; each call passes its parameters.
    rows, memory, loss
        Rows, byte limit and loss, as for :meth:`marginlens.networks.Network.evaluator`.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> network = Factored.initial(task("C5"), width=8)
    >>> FactoredEvaluator(task("C5"), network)(network.tensors).margin.shape
    torch.Size([1])
    """

    def __init__(
        self,
        task: Task,
        network: Factored,
        *,
        rows: Rows | None = None,
        memory: int | None = None,
        loss: str = "cross_entropy",
    ) -> None:
        network.require_task(task)
        layers = network.as_mlp()
        self.slots = task.slots
        self.inner = MLPEvaluator(task, layers, rows=rows, memory=memory, loss=loss)
        # Buffers are kept from step to step, as the inner evaluator keeps its own.
        self._layers = {slot: torch.empty_like(layers.tensors[slot]) for slot in task.slots}
        self._gradients = {slot: torch.empty_like(p) for slot, p in self._layers.items()}

    @torch.no_grad()
    def __call__(self, parameters: Parameters, gradients: Parameters | None = None) -> Evaluation:
        """Evaluate; if ``gradients`` are given, overwrite them with those of the mean loss."""
        p = {name: value.detach() for name, value in parameters.items()}
        for slot, layer in self._layers.items():
            torch.bmm(p[f"embed_{slot}"], p[f"mix_{slot}"], out=layer)
        inner = {**self._layers, "w": p["w"]}
        if gradients is None:
            return self.inner(inner)
        result = self.inner(inner, {**self._gradients, "w": gradients["w"]})
        for slot, gradient in self._gradients.items():
            torch.bmm(gradient, p[f"mix_{slot}"].mT, out=gradients[f"embed_{slot}"])
            torch.bmm(p[f"embed_{slot}"].mT, gradient, out=gradients[f"mix_{slot}"])
        return result

    def use(self, rows: Rows) -> FactoredEvaluator:
        """Return the evaluator of at most as many other rows: the same object."""
        self.inner.use(rows)
        return self


def _product(p: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Parameters of the plain MLP with the same logits, differentiable."""
    names = [name.removeprefix("embed_") for name in p if name.startswith("embed_")]
    slots = sorted(names, key=lambda name: (len(name), name))
    return {slot: p[f"embed_{slot}"] @ p[f"mix_{slot}"] for slot in slots} | {"w": p["w"]}


def _require_table(task: Task) -> None:
    if task.kind != "table":
        raise ValueError(
            f"embeddings are of a group's elements, not of {task.name}: take S5 or C113"
        )
