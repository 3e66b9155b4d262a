"""The one-hidden-layer network, as an ensemble of members."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from marginlens.networks.activations import activate
from marginlens.tasks import Task
from marginlens.theory import Activation

__all__ = ["MLP", "neuron_norms", "squared_norm"]


@dataclass(frozen=True, eq=False)
class MLP:
    """f(a, b) = sum_i sigma(u_i(a) + v_i(b)) w_i, or on signs f(x) = sum_i sigma(<u_i, x>) w_i.

    With k factors the sum inside has k terms. With tied embeddings all slots share one: u = v. Such a
    network *is* the one with u = v: its norms count the shared weights once for each slot. With biases
    a number b_i is added inside sigma: one more of the neuron's weights omega_i.

    Attributes
    ----------
    parameters
        One for each slot of the task (``"u"`` and ``"v"``), each (member, element, neuron), and
        ``"w"`` (member, class, neuron). With tied embeddings ``"u"`` and ``"w"``. With biases also
        ``"bias"`` (member, 1, neuron).
    activation
        sigma.
    tied_slots
        The slots that share ``"u"``; none where each has weights of its own.
    """

    parameters: dict[str, Tensor]
    activation: Activation
    tied_slots: tuple[str, ...] = ()

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
        """Gaussian weights of standard deviation ``scale`` (task.size^(-1/2) by default).

        Member i is drawn on the CPU in float64 from seed + i, so that it starts from the same
        parameters whatever the ensemble's size, the precision or the device. Biases are drawn last:
        the other weights are the same without them.

        Raises
        ------
        ValueError
            If embeddings are to be tied where there is one slot only.
        """
        if tied and (task.kind != "table" or task.factors < 2):
            raise ValueError(f"{task.name} has one input: there is nothing to tie; leave tied out")
        slots = ("u",) if tied else task.slots
        deviation = task.size**-0.5 if scale is None else scale
        sizes = {**dict.fromkeys(slots, task.size), "w": task.classes}
        if biases:
            sizes["bias"] = 1
        drawn: dict[str, list[Tensor]] = {name: [] for name in sizes}
        for member in range(members):
            generator = torch.Generator().manual_seed(seed + member)
            for name, size in sizes.items():
                values = torch.randn(size, width, generator=generator, dtype=torch.float64)
                drawn[name].append(values * deviation)
        return cls(
            {name: torch.stack(v).to(device=device, dtype=dtype) for name, v in drawn.items()},
            activation,
            task.slots if tied else (),
        )

    @property
    def tied(self) -> bool:
        """Whether all slots share their weights."""
        return bool(self.tied_slots)

    @property
    def biases(self) -> bool:
        """Whether a bias is added inside each neuron's activation."""
        return "bias" in self.parameters

    @property
    def uses(self) -> dict[str, int]:
        """How often each parameter is used: as often as there are slots, if they share it."""
        return {"u": len(self.tied_slots)} if self.tied else {}

    def untied(self) -> MLP:
        """The same function with weights of its own for every slot."""
        if not self.tied:
            return self
        shared = dict.fromkeys(self.tied_slots, self.parameters["u"])
        others = {name: p for name, p in self.parameters.items() if name != "u"}
        return MLP({**shared, **others}, self.activation)

    def with_parameters(self, parameters: dict[str, Tensor]) -> MLP:
        """The network with other parameters."""
        return MLP(parameters, self.activation, self.tied_slots)

    @property
    def members(self) -> int:
        """Number of networks in the ensemble."""
        return self.parameters["w"].shape[0]

    @property
    def width(self) -> int:
        """Number of neurons of each network."""
        return self.parameters["w"].shape[2]

    @property
    def homogeneity(self) -> int | float:
        """Degree nu in which the output scales with the parameters."""
        return self.activation.homogeneity

    def require_task(self, task: Task) -> None:
        """Refuse a task that the network's weights do not belong to.

        Raises
        ------
        ValueError
            If a slot is missing or a weight vector has another length than the task's.
        """
        slots = ("u",) if self.tied and self.tied_slots == task.slots else task.slots
        expected = {**dict.fromkeys(slots, task.size), "w": task.classes}
        if self.biases:
            expected["bias"] = 1
        got = {name: p.shape[1] for name, p in self.parameters.items()}
        if got != expected:
            raise ValueError(
                f"the network's weight vectors have lengths {got}, but {task.name} needs {expected}"
            )

    def member(self, index: int) -> MLP:
        """Network ``index`` alone, as an ensemble of one."""
        return self.with_parameters(
            {name: p[index : index + 1] for name, p in self.parameters.items()}
        )

    def to(self, dtype: torch.dtype) -> MLP:
        """Copy in another precision."""
        return self.with_parameters(
            {name: p.detach().to(dtype) for name, p in self.parameters.items()}
        )

    def logits(self, task: Task) -> Float[Tensor, "member row class"]:
        """Evaluate the whole table at once; for pictures and tests, as it is large."""
        task.require_rows()
        w = self.parameters["w"]
        parameters = self.untied().parameters
        weights = [parameters[slot] for slot in task.slots]
        if task.kind == "parity":
            hidden = torch.as_tensor(task.inputs, dtype=w.dtype, device=w.device) @ weights[0]
        else:
            columns = torch.as_tensor(task.inputs, device=w.device).T
            hidden = sum(
                (weight[:, column] for weight, column in zip(weights, columns, strict=True)),
                start=w.new_zeros(1),
            )
        if self.biases:
            hidden = hidden + parameters["bias"]
        return activate(self.activation, hidden) @ w.mT


def neuron_norms(
    parameters: Mapping[str, Tensor], uses: Mapping[str, int] | None = None
) -> Float[Tensor, "member neuron"]:
    """Euclidean norm ||omega_i|| of all the weights of each neuron.

    ``uses`` tells how often a parameter counts, where it is more than once (:attr:`MLP.uses`).
    """
    squares = [p.square().sum(1) * (uses or {}).get(name, 1) for name, p in parameters.items()]
    return torch.stack(squares).sum(0).sqrt()


def squared_norm(parameters: Mapping[str, Tensor]) -> Float[Tensor, " member"]:
    """||theta||^2 of all parameters together, in float64."""
    squares = [p.double().square().flatten(1).sum(1) for p in parameters.values()]
    return torch.stack(squares).sum(0)
