"""MLP with one hidden layer over one-hot inputs or signs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from marginlens.networks.activations import activated
from marginlens.networks.evaluator import Evaluator
from marginlens.networks.mlp_evaluator import MLPEvaluator
from marginlens.networks.network import Network, stacked_draws
from marginlens.networks.rows import Rows
from marginlens.tasks import Task
from marginlens.theory import Activation, parse_activation

__all__ = ["MLP", "mlp_logits", "neuron_norms"]


class MLP(Network):
    """One-hidden-layer network f(a, b) = sum_i sigma(u_i(a) + v_i(b)) w_i.

    On signs it is f(x) = sum_i sigma(<u_i, x>) w_i. With k factors the sum inside has k terms. With
    tied embeddings all slots share one: u = v. Such a network *is* the one with u = v: its norms
    count the shared weights once for each slot. With biases a number b_i is added inside sigma: one
    more of the neuron's weights omega_i.

    Parameters
    ----------
    parameters
        One for each slot of the task (``"u"`` and ``"v"``), each (member, element, neuron), and
        ``"w"`` (member, class, neuron). With tied embeddings ``"u"`` and ``"w"``. With biases also
        ``"bias"`` (member, 1, neuron).
    activation
        Activation sigma of the hidden neurons.
    tied_slots
        Slots that share ``"u"``; empty if each has separate weights.
    """

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        activation: Activation,
        tied_slots: tuple[str, ...] = (),
    ) -> None:
        super().__init__(parameters)
        self.activation, self.tied_slots = activation, tied_slots

    @classmethod
    def initial(
        cls,
        task: Task,
        activation: Activation,
        *,
        width: int,
        members: int = 1,
        seed: int = 0,
        scale: float | None = None,
        tied: bool = False,
        biases: bool = False,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
    ) -> MLP:
        """Return Gaussian weights of standard deviation ``scale``, task.size^(-1/2) by default.

        Each member's draw follows :func:`marginlens.networks.network.stacked_draws`. Biases are
        drawn last: the other weights are the same without them.

        Raises
        ------
        ValueError
            Embeddings are tied although the task has one slot only.
        """
        if tied and (task.kind != "table" or task.factors < 2):
            raise ValueError(
                f"{task.name} has one input, so embeddings cannot be tied; leave tied out"
            )
        slots = ("u",) if tied else task.slots
        deviation = task.size**-0.5 if scale is None else scale
        sizes = {**dict.fromkeys(slots, task.size), "w": task.classes}
        if biases:
            sizes["bias"] = 1

        def draw(generator: torch.Generator) -> dict[str, Tensor]:
            return {
                name: torch.randn(size, width, generator=generator, dtype=torch.float64) * deviation
                for name, size in sizes.items()
            }

        tensors = stacked_draws(draw, members=members, seed=seed, dtype=dtype, device=device)
        return cls(tensors, activation, task.slots if tied else ())

    @classmethod
    def from_recipe(cls, task: Task, recipe: Any, device: str | torch.device = "cpu") -> MLP:
        """Return a network with initial weights, as :meth:`Network.from_recipe`."""
        return cls.initial(
            task,
            parse_activation(recipe.activation),
            width=recipe.width,
            members=recipe.members,
            seed=recipe.seed,
            scale=recipe.init_scale,
            tied=recipe.tied,
            biases=bool(recipe.biases),
            dtype=getattr(torch, recipe.dtype),
            device=device,
        )

    @classmethod
    def count_parameters(cls, task: Task, recipe: Any) -> int:
        """Number of parameters of one member, without biases."""
        slots = 1 if recipe.tied or task.kind == "parity" else task.factors
        return recipe.width * (slots * task.size + task.classes)

    def with_parameters(self, parameters: Mapping[str, Tensor]) -> MLP:
        """Return a network with other parameters, as :meth:`Network.with_parameters`."""
        return MLP(parameters, self.activation, self.tied_slots)

    def description(self) -> dict[str, object]:
        """Settings by name; biases only where they are."""
        settings: dict[str, object] = {
            "members": self.members,
            "width": self.width,
            "activation": self.activation.name,
            "tied": self.tied,
        }
        return settings | ({"biases": True} if self.biases else {})

    @property
    def tied(self) -> bool:
        """True if all slots share their weights."""
        return bool(self.tied_slots)

    @property
    def biases(self) -> bool:
        """True if a bias is added inside each neuron's activation."""
        return "bias" in self._parameters

    @property
    def uses(self) -> dict[str, int]:
        """Number of uses of each parameter: the number of slots that share it."""
        return {"u": len(self.tied_slots)} if self.tied else {}

    @property
    def width(self) -> int:
        """Number of neurons of each network."""
        return self._tensor("w").shape[2]

    @property
    def homogeneity(self) -> int | float:
        """Degree nu in which the output scales with the parameters."""
        return self.activation.homogeneity

    def norm(self) -> Float[Tensor, " member"]:
        """Sum over neurons of ||omega_i||^nu, by which a margin is normalized."""
        return neuron_norms(self.tensors, self.uses).pow(self.homogeneity).sum(1)

    def as_mlp(self) -> MLP:
        """MLP itself, unchanged."""
        return self

    def untied(self) -> MLP:
        """Return the same function with separate weights for every slot."""
        if not self.tied:
            return self
        shared = dict.fromkeys(self.tied_slots, self.tensors["u"])
        others = {name: p for name, p in self.tensors.items() if name != "u"}
        return MLP({**shared, **others}, self.activation)

    def merged(self, rows: Rows) -> Rows:
        """Merge rows that differ in the order of factors only, if embeddings are tied."""
        return rows.merged() if self.tied else rows

    def embeddings(self) -> dict[str, Float[Tensor, "member element neuron"]]:
        """Tables ``u`` and so on, whose coordinates are the neurons."""
        return {name: p for name, p in self.tensors.items() if name not in ("w", "bias")}

    def require_task(self, task: Task) -> None:
        """Refuse a task that does not match the network's weights.

        Raises
        ------
        ValueError
            A slot is missing, or a weight vector has another length than the task's.
        """
        slots = ("u",) if self.tied and self.tied_slots == task.slots else task.slots
        expected = {**dict.fromkeys(slots, task.size), "w": task.classes}
        if self.biases:
            expected["bias"] = 1
        got = {name: p.shape[1] for name, p in self.named_parameters()}
        if got != expected:
            raise ValueError(
                f"the network's weight vectors have lengths {got}, but {task.name} needs {expected}"
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
        """Fast evaluator, as :meth:`Network.evaluator`."""
        return MLPEvaluator(task, self, rows=rows, memory=memory, merge=merge, loss=loss)

    def forward(self, rows: Any) -> Float[Tensor, "member row class"]:
        """Logits of rows, as :meth:`Network.forward`."""
        return mlp_logits(self._by_name(), self.activation, self._checked(rows), self._slots)

    def _hidden(self, rows: Tensor) -> Float[Tensor, "member row neuron"]:
        return _neurons(self.tensors, self.activation, self._checked(rows), self._slots)

    @property
    def _slots(self) -> tuple[str, ...]:
        """Parameter that each input looks up, in the order of the inputs: u, v or u1, ..., u10."""
        if self.tied:
            return ("u",) * len(self.tied_slots)
        names = [name for name in self._parameters if name not in ("w", "bias")]
        return tuple(sorted(names, key=lambda name: (len(name), name)))

    def _checked(self, rows: Any) -> Tensor:
        """Rows of elements, or of signs where the network has one table and rows fill it."""
        slots = self._slots
        size = self._tensor(slots[0]).shape[1]
        given = torch.as_tensor(rows, device=self.device)
        signs = len(slots) == 1 and given.ndim == 2 and given.shape[1] == size
        if signs and (size > 1 or given.any()):  # of a table with one element it is element 0
            return given.to(self.dtype)
        if len(slots) == 1 and given.ndim == 2 and given.shape[1] != 1:
            raise ValueError(
                f"expected rows of shape (row, 1), or signs of shape (row, {size}), got "
                f"{tuple(given.shape)}"
            )
        return self._rows(given, len(slots), (size,) * len(slots))


def mlp_logits(
    p: Mapping[str, Tensor], activation: Activation, rows: Tensor, slots: tuple[str, ...]
) -> Float[Tensor, "member row class"]:
    """Return the differentiable logits of an MLP with parameters p.

    Parameters
    ----------
    p, activation
        Parameters by name, and activation sigma, as in :class:`MLP`.
    rows
        Elements (row, slot), or signs (row, coordinate) as real numbers.
    slots
        Name of the parameter that each column looks up.
    """
    return _neurons(p, activation, rows, slots) @ p["w"].mT


def _neurons(
    p: Mapping[str, Tensor], activation: Activation, rows: Tensor, slots: tuple[str, ...]
) -> Float[Tensor, "member row neuron"]:
    """Return activations of the hidden neurons, with arguments of :func:`mlp_logits`."""
    if rows.is_floating_point():
        before = rows @ p[slots[0]]
    else:
        before = sum(
            (p[slot][:, column] for slot, column in zip(slots, rows.T, strict=True)),
            start=p["w"].new_zeros(1),
        )
    if "bias" in p:
        before = before + p["bias"]
    return activated(activation, before)


def neuron_norms(
    parameters: Mapping[str, Tensor], uses: Mapping[str, int] | None = None
) -> Float[Tensor, "member neuron"]:
    """Return the Euclidean norm ||omega_i|| of all weights of each neuron.

    A shared parameter counts once for each use.

    Parameters
    ----------
    parameters
        Parameters by name, each with a leading member axis and a last neuron axis.
    uses
        Number of uses of each parameter that is used more than once (:attr:`MLP.uses`).
    """
    squares = [p.square().sum(1) * (uses or {}).get(name, 1) for name, p in parameters.items()]
    return torch.stack(squares).sum(0).sqrt()
