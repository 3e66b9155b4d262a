"""The MLP on learned embeddings of Chughtai et al., and its loss at the cost of a plain MLP's."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from marginlens.networks.mlp import MLP
from marginlens.networks.population import Evaluation, Population
from marginlens.networks.rows import Rows
from marginlens.tasks import Task
from marginlens.theory import Activation, parse_activation

__all__ = ["Factored", "FactoredPopulation"]

Parameters = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Factored:
    r"""logits(a, b) = sigma([E_u[a]; E_v[b]] M) w^T, an MLP whose first layer is a product.

    With M split into a block for each slot, the hidden layer is sigma(u(a) + v(b)) where
    $u = E_u M_u$ and $v = E_v M_v$ are (element, neuron): the same function as `MLP`, of other
    parameters, hence with other gradients and another implicit bias.

    Attributes
    ----------
    parameters
        For each slot s of the task ``"embed_s"`` (member, element, coordinate) and ``"mix_s"``
        (member, coordinate, neuron); and ``"w"`` (member, class, neuron).
    activation
        sigma.

    Notes
    -----
    Chughtai, Chan and Nanda 2023, *A toy model of universality*: ReLU, 256 coordinates, 128 neurons.
    """

    parameters: Parameters
    activation: Activation

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
        """Gaussian weights, so scaled that a hidden neuron's input and the logits start near 1.

        Deviations: 1 for the embeddings, (slots * embedding)^(-1/2) for what mixes them, width^(-1/2)
        for w. Member i is drawn on the CPU in float64 from seed + i, so that it starts from the same
        parameters whatever the ensemble's size, the precision or the device.

        Examples
        --------
        >>> from marginlens.tasks import task
        >>> network = Factored.initial(task("S3"), embedding=4, width=5, members=2)
        >>> {name: tuple(p.shape) for name, p in network.parameters.items()}
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
        drawn: dict[str, list[Tensor]] = {name: [] for name in sizes}
        for member in range(members):
            generator = torch.Generator().manual_seed(seed + member)
            for name, (rows, columns, deviation) in sizes.items():
                values = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
                drawn[name].append(values * deviation)
        return cls(
            {name: torch.stack(v).to(device=device, dtype=dtype) for name, v in drawn.items()},
            parse_activation("relu") if activation is None else activation,
        )

    @property
    def members(self) -> int:
        """Number of networks in the ensemble."""
        return self.parameters["w"].shape[0]

    @property
    def width(self) -> int:
        """Number of neurons of each network."""
        return self.parameters["w"].shape[2]

    def require_task(self, task: Task) -> None:
        """Refuse a task that the network's weights do not belong to.

        Raises
        ------
        ValueError
            If the task is no table, a slot is missing, or a parameter has another shape.
        """
        _require_table(task)
        expected = {name for slot in task.slots for name in (f"embed_{slot}", f"mix_{slot}")}
        if (missing := sorted(expected - set(self.parameters))) or len(self.parameters) != len(
            expected
        ) + 1:
            given = ", ".join(self.parameters)
            raise ValueError(
                f"the network's parameters are {given}, but {task.name} needs w and "
                f"{', '.join(missing or sorted(expected))}"
            )
        for slot in task.slots:
            embed, mix = self.parameters[f"embed_{slot}"], self.parameters[f"mix_{slot}"]
            if embed.shape[1] != task.size or mix.shape[1:] != (embed.shape[2], self.width):
                raise ValueError(
                    f"embed_{slot} and mix_{slot} have shapes {tuple(embed.shape[1:])} and "
                    f"{tuple(mix.shape[1:])}, but {task.name} needs ({task.size}, d) and "
                    f"(d, {self.width})"
                )
        if self.parameters["w"].shape[1] != task.classes:
            raise ValueError(
                f"w has {self.parameters['w'].shape[1]} rows, but {task.name} needs {task.classes}"
            )

    def with_parameters(self, parameters: Parameters) -> Factored:
        """The network with other parameters."""
        return Factored(parameters, self.activation)

    def member(self, index: int) -> Factored:
        """Network ``index`` alone, as an ensemble of one."""
        return self.with_parameters(
            {name: p[index : index + 1] for name, p in self.parameters.items()}
        )

    def to(self, dtype: torch.dtype) -> Factored:
        """Copy in another precision."""
        return self.with_parameters(
            {name: p.detach().to(dtype) for name, p in self.parameters.items()}
        )

    def folded(self, task: Task) -> MLP:
        """The plain MLP with the same logits, to be measured like any other.

        Examples
        --------
        >>> from marginlens.tasks import task
        >>> Factored.initial(task("S3"), width=5).folded(task("S3")).parameters["u"].shape
        torch.Size([1, 6, 5])
        """
        self.require_task(task)
        return self.product()

    def product(self) -> MLP:
        """As :meth:`folded`, without a look at the task."""
        p = self.parameters
        slots = [name.removeprefix("embed_") for name in p if name.startswith("embed_")]
        layers = {slot: p[f"embed_{slot}"] @ p[f"mix_{slot}"] for slot in slots}
        return MLP({**layers, "w": p["w"]}, self.activation)

    def logits(self, task: Task) -> Float[Tensor, "member row class"]:
        """Evaluate the whole table at once; for pictures and tests, as it is large."""
        return self.folded(task).logits(task)


class FactoredPopulation:
    r"""Evaluates a `Factored` network, and its gradient, through the plain MLP's `Population`.

    The products u = E_u M_u are formed once a step, for n elements instead of all rows; with g the
    MLP's gradient of u, those of E_u and M_u are $g M_u^T$ and $E_u^T g$.

    Parameters
    ----------
    task
        A table.
    network
        Gives shapes, precision, device and activation; its parameters are passed at each call.
    rows
        Rows of the task, for `Population`; None for the whole table.
    memory
        Bytes of hidden activations held at a time, for `Population`; None for its own choice.
    loss
        Whose gradient is taken, for `Population`.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> network = Factored.initial(task("C5"), width=8)
    >>> FactoredPopulation(task("C5"), network)(network.parameters).margin.shape
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
        layers = network.folded(task)
        self.slots = task.slots
        self.population = Population(task, layers, rows=rows, memory=memory, loss=loss)
        # Buffers are kept from step to step, as `Population` keeps its own.
        self._layers = {slot: torch.empty_like(layers.parameters[slot]) for slot in task.slots}
        self._gradients = {slot: torch.empty_like(p) for slot, p in self._layers.items()}

    @torch.no_grad()
    def __call__(self, parameters: Parameters, gradients: Parameters | None = None) -> Evaluation:
        """Evaluate; if ``gradients`` are given, overwrite them with those of the mean loss."""
        p = {name: value.detach() for name, value in parameters.items()}
        for slot, layer in self._layers.items():
            torch.bmm(p[f"embed_{slot}"], p[f"mix_{slot}"], out=layer)
        inner = {**self._layers, "w": p["w"]}
        if gradients is None:
            return self.population(inner)
        result = self.population(inner, {**self._gradients, "w": gradients["w"]})
        for slot, gradient in self._gradients.items():
            torch.bmm(gradient, p[f"mix_{slot}"].mT, out=gradients[f"embed_{slot}"])
            torch.bmm(p[f"embed_{slot}"].mT, gradient, out=gradients[f"mix_{slot}"])
        return result


def _require_table(task: Task) -> None:
    if task.kind != "table":
        raise ValueError(
            f"embeddings are of a group's elements, not of {task.name}: take S5 or C113"
        )
