"""Base class of all networks: a PyTorch module with a leading member axis."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from marginlens.networks.autograd_evaluator import AutogradEvaluator
from marginlens.networks.evaluator import Evaluation, Evaluator
from marginlens.networks.rows import Rows
from marginlens.tasks import Task

__all__ = ["Network", "evaluate", "squared_norm", "stacked_draws"]

_Kind = TypeVar("_Kind", bound="Network")

_BLOCK = 1 << 14
"""Rows of a table that are evaluated at a time."""


class Network(torch.nn.Module):
    """Ensemble of networks of one kind; one network is an ensemble of one.

    It is an ordinary PyTorch module: it is called on integer rows, gradients flow through the call,
    and ``state_dict``, ``to``, ``parameters()`` and hooks are PyTorch's. Training uses evaluators
    on :attr:`tensors` instead, which are faster.

    Each kind of network is a subclass that implements the abstract methods and overrides others
    where it differs.

    Parameters
    ----------
    parameters
        Parameters by name, each with a leading member axis; they are not copied.

    Examples
    --------
    >>> from marginlens.networks import MLP
    >>> from marginlens.tasks import task
    >>> from marginlens.theory import parse_activation
    >>> network = MLP.initial(task("C5"), parse_activation("x^2"), width=8, members=2)
    >>> network([[0, 1], [4, 3], [2, 2]]).shape
    torch.Size([2, 3, 5])
    >>> {name: tuple(p.shape) for name, p in network.named_parameters()}
    {'u': (2, 5, 8), 'v': (2, 5, 8), 'w': (2, 5, 8)}
    """

    neurons_are_measured: ClassVar[bool] = True
    """Whether neurons have a weight for each element, so that :meth:`as_mlp` succeeds."""

    unembedding_name: ClassVar[str] = "w"
    """Parameter that the logits are read by."""

    label: ClassVar[str] = ""
    """Name in sentences; that of the class if empty."""

    def __init__(self, parameters: Mapping[str, Tensor]) -> None:
        super().__init__()
        for name, p in parameters.items():
            own = p if isinstance(p, torch.nn.Parameter) else torch.nn.Parameter(p.detach())
            self.register_parameter(name, own)

    @classmethod
    def from_recipe(
        cls: type[_Kind], task: Task, recipe: Any, device: str | torch.device = "cpu"
    ) -> _Kind:
        """Network with its initial weights.

        Parameters
        ----------
        task
            Task that it is to learn.
        recipe
            A :class:`marginlens.training.Recipe` of this kind of network.
        device
            Device of the parameters.
        """
        raise NotImplementedError

    @classmethod
    def count_parameters(cls, task: Task, recipe: Any) -> int:
        """Return the approximate number of parameters of one member.

        Arguments are those of :meth:`from_recipe`.
        """
        raise NotImplementedError

    @classmethod
    def row_operations(cls, task: Task, recipe: Any) -> float:
        """Return the number of multiplications per row and member of the forward products."""
        return float(recipe.neurons * task.classes)

    def forward(self, rows: Any) -> Float[Tensor, "member row class"]:
        """Logits of rows; gradients flow to the parameters.

        Parameters
        ----------
        rows
            Elements (row, slot) as integers, in a tensor, array or list; for parity signs
            (row, coordinate).

        Raises
        ------
        ValueError
            If the rows have another number of columns than the network has inputs.
        """
        raise NotImplementedError

    def with_parameters(self: _Kind, parameters: Mapping[str, Tensor]) -> _Kind:
        """Return the same kind of network with other parameters, which are not copied."""
        raise NotImplementedError

    def require_task(self, task: Task) -> None:
        """Refuse a task that does not match the network's weights.

        Raises
        ------
        ValueError
            The sizes differ; the message has both.
        """
        raise NotImplementedError

    def evaluator(
        self,
        task: Task,
        *,
        rows: Rows | None = None,
        memory: int | None = None,
        merge: bool = True,
        loss: str = "cross_entropy",
    ) -> Evaluator:
        """Return the evaluator of loss, margin and gradient, which takes :attr:`tensors`.

        The default evaluator uses autograd; a kind of network may have a faster one.

        Parameters
        ----------
        task
            Task that the network answers.
        rows
            Rows to evaluate; ``None`` for the whole table.
        memory
            Limit of bytes for activations; ``None`` for the size of the cache.
        merge
            Whether rows that the network cannot distinguish are merged.
        loss
            Loss whose gradient is computed: ``"cross_entropy"``, or one of
            ``networks.loss.LOSSES``.

        Examples
        --------
        >>> from marginlens.networks import Transformer
        >>> from marginlens.tasks import task
        >>> network = Transformer.initial(task("C5"), members=2)
        >>> network.evaluator(task("C5"))(network.tensors).accuracy.shape
        torch.Size([2])
        """
        self.require_task(task)
        return AutogradEvaluator(task, self, rows=rows, memory=memory, loss=loss)

    def description(self) -> dict[str, object]:
        """Settings by name, in which two networks of one training agree."""
        raise NotImplementedError

    def embeddings(self) -> dict[str, Float[Tensor, "member element coordinate"]]:
        """Embedding tables of the elements: one shared by all slots, or one per slot."""
        raise NotImplementedError

    def _hidden(self, rows: Tensor) -> Float[Tensor, "member row neuron"]:
        """Activations of the (last) hidden layer's neurons."""
        raise NotImplementedError

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Parameters by name as plain tensors, which share their memory with the module's."""
        return {name: p.detach() for name, p in self._by_name().items()}

    def _by_name(self) -> dict[str, Tensor]:
        """Parameters that gradients flow to, also those of ``torch.func.functional_call``."""
        return {name: p for name, p in self._parameters.items() if p is not None}

    def _tensor(self, name: str) -> Tensor:
        """Parameter of that name, as :meth:`_by_name`."""
        return self._by_name()[name]

    @property
    def activation_name(self) -> str:
        """Name of the hidden neurons' activation."""
        return str(self.description()["activation"])

    @property
    def homogeneity(self) -> int | float | None:
        """Degree of homogeneity in each neuron's weights; ``None`` if neurons share weights."""
        return None

    @property
    def tied(self) -> bool:
        """True if all slots share their weights."""
        return False

    @property
    def uses(self) -> Mapping[str, int]:
        """Number of uses of each parameter by a neuron, if it is used more than once."""
        return {}

    @property
    def members(self) -> int:
        """Number of networks in the ensemble."""
        return len(next(iter(self._by_name().values())))

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return next(iter(self._by_name().values())).device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the parameters."""
        return next(iter(self._by_name().values())).dtype

    def member(self: _Kind, index: int) -> _Kind:
        """Return one member as an ensemble of one, which shares its memory."""
        return self.with_parameters(
            {name: p[index : index + 1] for name, p in self.tensors.items()}
        )

    def copy(self: _Kind) -> _Kind:
        """Network with copies of all parameters."""
        return copy.deepcopy(self)

    def extra_repr(self) -> str:
        """Settings that ``print`` shows."""
        return ", ".join(f"{name}={value}" for name, value in self.description().items())

    def logits(self, task: Task) -> Float[Tensor, "member row class"]:
        """Return the logits of a task's whole table, without gradients."""
        return self._over_table(self, task)

    def hidden(self, task: Task) -> Float[Tensor, "member row neuron"]:
        """Return the hidden activations on a task's whole table, without gradients.

        For a transformer they are those of the last layer at the last position.

        Raises
        ------
        ValueError
            The last layer has no MLP.

        Examples
        --------
        >>> from marginlens.networks import construct
        >>> from marginlens.tasks import task
        >>> construct(task("C5")).hidden(task("C5")).shape
        torch.Size([1, 25, 12])
        """
        return self._over_table(self._hidden, task)

    @torch.no_grad()
    def _over_table(self, function: Callable[[Tensor], Tensor], task: Task) -> Tensor:
        """Evaluate a function of rows on a task's whole table, in blocks of rows."""
        task.require_rows()
        self.require_task(task)
        rows = torch.as_tensor(task.inputs, device=self.device)
        return torch.cat([function(part) for part in rows.split(_BLOCK)], dim=1)

    def _rows(self, rows: Any, columns: int, sizes: tuple[int, ...] = ()) -> Tensor:
        """Rows as a tensor on the network's device, checked; ``sizes`` bound the elements."""
        given = torch.as_tensor(rows, device=self.device)
        if given.ndim != 2 or given.shape[1] != columns:
            raise ValueError(
                f"expected rows of shape (row, {columns}), got {tuple(given.shape)}; "
                f"for example {[[0] * columns]}"
            )
        if not sizes:
            return given
        if given.is_floating_point() or given.dtype == torch.bool:
            raise ValueError(f"expected rows of integers, got {given.dtype}; for example .long()")
        for column, size in zip(given.T, sizes, strict=True):
            if len(given) and not 0 <= int(column.min()) <= int(column.max()) < size:
                raise ValueError(
                    f"expected elements from 0 to {size - 1}, got {int(column.min())} to "
                    f"{int(column.max())}"
                )
        return given.long()

    def merged(self, rows: Rows) -> Rows:
        """Merge rows that the network cannot distinguish."""
        return rows

    def norm(self) -> Float[Tensor, " member"]:
        """Number that a margin is divided by, one a member: ||theta||^2."""
        return squared_norm(self.tensors)

    def as_mlp(self) -> Any:
        """MLP with the same logits, a weight for each element and neuron.

        Raises
        ------
        ValueError
            If neurons have no such weights.
        """
        name = self.label or type(self).__name__
        raise ValueError(
            f"a {name}'s neurons have no weight for each element: take an MLP, as network='mlp'"
        )

    def untied(self: _Kind) -> _Kind:
        """Return the same function with separate weights for every slot."""
        return self

    def with_embeddings(
        self: _Kind, tables: Mapping[str, Float[Tensor, "member element coordinate"]]
    ) -> _Kind:
        """Return the network with other embeddings, of as many elements as they have rows."""
        changed, own = self.tensors, self.embeddings()
        for name, table in tables.items():
            changed[name] = torch.cat([table, changed[name][:, own[name].shape[1] :]], dim=1)
        return self.with_parameters(changed)

    @property
    def has_hidden_layer(self) -> bool:
        """True if hidden neurons stand before the logits, with layer norm after them or without."""
        return True

    @property
    def has_separate_embeddings(self) -> bool:
        """True if each input has embeddings separate from the neurons."""
        return False

    def numbers_of_row(self, task: Task) -> int:
        """Return the approximate number of values per row and member, without the logits."""
        return 4 * self.unembedding().shape[2]

    def unembedding(self) -> Float[Tensor, "member class neuron"]:
        """Map from hidden neurons to logits; with layer norm between them it is not linear."""
        return self.tensors["w"]

    def why_no_hidden_layer(self) -> str:
        """Reason why logits are not linear in hidden neurons; empty if they are."""
        return ""

    def relabelled(
        self,
        left: Int[np.ndarray, " element"],
        right: Int[np.ndarray, " element"],
        classes: Int[np.ndarray, " klass"],
    ) -> Network:
        """Network on pairs with its elements renumbered, or some of them alone.

        Parameters
        ----------
        left, right
            For each new element, the present one that it is as first and as second input.
        classes
            For each new class, the present one.

        Returns
        -------
        Network
            With a table for each input where ``left`` and ``right`` differ.
        """
        first, second, out = (torch.as_tensor(np.array(order)) for order in (left, right, classes))
        network = self if torch.equal(first, second) else self.untied()
        orders = {"u": first, "embed_u": first, "v": second, "embed_v": second, "w": out}
        return network.with_parameters(
            {
                name: p[:, orders[name]] if name in orders else p
                for name, p in network.tensors.items()
            }
        )


def stacked_draws(
    draw: Callable[[torch.Generator], Mapping[str, Tensor]],
    *,
    members: int,
    seed: int,
    dtype: torch.dtype,
    device: str | torch.device,
) -> dict[str, Tensor]:
    """Draw initial parameters of an ensemble, member i on the CPU from seed + i.

    So the start of a member depends neither on the ensemble's size nor on precision and device.

    Parameters
    ----------
    draw
        Function from a random generator to the float64 parameters of one member, by name.
    members, seed
        Number of members, and seed of the first.
    dtype, device
        Precision and device of the result.
    """
    draws = [draw(torch.Generator().manual_seed(seed + member)) for member in range(members)]
    return {
        name: torch.stack([one[name] for one in draws]).to(device=device, dtype=dtype)
        for name in draws[0]
    }


def evaluate(network: Network, task: Task, *, rows: Rows | None = None) -> Evaluation:
    """Return cross-entropy, accuracy and margin of each member on all or some rows.

    Parameters
    ----------
    network
        Network or ensemble to evaluate.
    task
        Task that the network answers.
    rows
        Rows to evaluate; ``None`` for the whole table.

    Examples
    --------
    >>> from marginlens.networks import construct
    >>> from marginlens.tasks import task
    >>> evaluate(construct(task("C5")), task("C5")).margin
    tensor([0.0304], dtype=torch.float64)
    """
    return network.evaluator(task, rows=rows)(network.tensors)


def squared_norm(parameters: Mapping[str, Tensor]) -> Float[Tensor, " member"]:
    """Return ||theta||^2 of all parameters together, in float64.

    Parameters
    ----------
    parameters
        Parameters by name, each with a leading member axis.
    """
    squares = [p.double().square().flatten(1).sum(1) for p in parameters.values()]
    return torch.stack(squares).sum(0)
