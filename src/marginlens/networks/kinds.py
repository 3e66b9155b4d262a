"""What training needs of a network, whatever its kind: an evaluator of rows, and a norm."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from marginlens.networks.deep_transformer import DeepTransformerPopulation
from marginlens.networks.factored import Factored, FactoredPopulation
from marginlens.networks.mlp import MLP, squared_norm
from marginlens.networks.population import Evaluation, Population, total_norm
from marginlens.networks.rows import Rows
from marginlens.networks.transformer import Transformer
from marginlens.networks.transformer_population import TransformerPopulation
from marginlens.tasks import Task

__all__ = ["Evaluator", "Network", "as_mlp", "norm_of", "population_of"]

Network = MLP | Factored | Transformer
"""An ensemble of networks of one kind: ``parameters`` are stacked over members, first."""


@runtime_checkable
class Evaluator(Protocol):
    """Evaluates parameters on rows; if gradients are given, overwrites them."""

    def __call__(
        self, parameters: dict[str, Tensor], gradients: dict[str, Tensor] | None = None
    ) -> Evaluation:
        """Loss, accuracy and margin of each member."""
        ...


def population_of(
    task: Task,
    network: Network,
    *,
    rows: Rows | None = None,
    memory: int | None = None,
    loss: str = "cross_entropy",
) -> Evaluator:
    """The evaluator of a network's kind; rows, memory and loss as for :class:`Population`.

    Examples
    --------
    >>> from marginlens.networks import Transformer
    >>> from marginlens.tasks import task
    >>> network = Transformer.initial(task("C5"), members=2)
    >>> population_of(task("C5"), network)(network.parameters).accuracy.shape
    torch.Size([2])
    """
    if isinstance(network, MLP):
        return Population(task, network, rows=rows, memory=memory, loss=loss)
    if isinstance(network, Factored):
        return FactoredPopulation(task, network, rows=rows, memory=memory, loss=loss)
    if network.settings.is_plain:
        return TransformerPopulation(task, network, rows=rows, memory=memory, loss=loss)
    return DeepTransformerPopulation(task, network, rows=rows, memory=memory, loss=loss)


def as_mlp(network: Network) -> MLP:
    """The MLP with the same logits, a weight for each element and neuron.

    Raises
    ------
    ValueError
        If it is a transformer, which has none.
    """
    if isinstance(network, MLP):
        return network
    if isinstance(network, Factored):
        return network.product()
    raise ValueError(
        "a transformer's neurons have no weight for each element: take an MLP, as network='mlp'"
    )


def norm_of(network: Network) -> Float[Tensor, " member"]:
    """What a margin is divided by, one number a member.

    sum_i ||omega_i||^nu over neurons for an MLP, with u = E_u M_u and so on where embeddings are
    factored; ||theta||^2 for a transformer, whose logits are not homogeneous in its parameters.
    """
    if isinstance(network, MLP):
        return total_norm(network)
    if isinstance(network, Factored):
        return total_norm(network.product())
    return squared_norm(network.parameters)
