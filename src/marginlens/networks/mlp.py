"""The one-hidden-layer network without biases, as an ensemble of members."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from marginlens.networks.activations import activate
from marginlens.tasks import Task
from marginlens.theory import Activation

__all__ = ["MLP", "neuron_norms"]


@dataclass(frozen=True, eq=False)
class MLP:
    """f(a, b) = sum_i sigma(u_i(a) + v_i(b)) w_i, or on signs f(x) = sum_i sigma(<u_i, x>) w_i.

    With k factors the sum inside has k terms.

    Attributes
    ----------
    parameters
        One for each slot of the task (``"u"`` and ``"v"``), each (member, element, neuron), and
        ``"w"`` (member, class, neuron).
    activation
        sigma.
    """

    parameters: dict[str, Tensor]
    activation: Activation

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
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
    ) -> MLP:
        """Gaussian weights of standard deviation ``scale`` (task.size^(-1/2) by default).

        Member i is drawn on the CPU in float64 from seed + i, so that it starts from the same
        parameters whatever the ensemble's size, the precision or the device.
        """
        deviation = task.size**-0.5 if scale is None else scale
        sizes = {**dict.fromkeys(task.slots, task.size), "w": task.classes}
        drawn: dict[str, list[Tensor]] = {name: [] for name in sizes}
        for member in range(members):
            generator = torch.Generator().manual_seed(seed + member)
            for name, size in sizes.items():
                values = torch.randn(size, width, generator=generator, dtype=torch.float64)
                drawn[name].append(values * deviation)
        return cls(
            {name: torch.stack(v).to(device=device, dtype=dtype) for name, v in drawn.items()},
            activation,
        )

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
        expected = {**dict.fromkeys(task.slots, task.size), "w": task.classes}
        got = {name: p.shape[1] for name, p in self.parameters.items()}
        if got != expected:
            raise ValueError(
                f"the network's weight vectors have lengths {got}, but {task.name} needs {expected}"
            )

    def member(self, index: int) -> MLP:
        """Network ``index`` alone, as an ensemble of one."""
        return MLP(
            {name: p[index : index + 1] for name, p in self.parameters.items()}, self.activation
        )

    def to(self, dtype: torch.dtype) -> MLP:
        """Copy in another precision."""
        return MLP(
            {name: p.detach().to(dtype) for name, p in self.parameters.items()}, self.activation
        )

    def logits(self, task: Task) -> Float[Tensor, "member row class"]:
        """Evaluate the whole table at once; for pictures and tests, as it is large."""
        task.require_rows()
        w = self.parameters["w"]
        weights = [self.parameters[slot] for slot in task.slots]
        if task.kind == "parity":
            hidden = torch.as_tensor(task.inputs, dtype=w.dtype, device=w.device) @ weights[0]
        else:
            columns = torch.as_tensor(task.inputs, device=w.device).T
            hidden = sum(
                (weight[:, column] for weight, column in zip(weights, columns, strict=True)),
                start=w.new_zeros(1),
            )
        return activate(self.activation, hidden) @ w.mT


def neuron_norms(parameters: Mapping[str, Tensor]) -> Float[Tensor, "member neuron"]:
    """Euclidean norm ||omega_i|| of all the weights of each neuron."""
    squares = [p.square().sum(1) for p in parameters.values()]
    return torch.stack(squares).sum(0).sqrt()
