"""Networks: parameters to logits, and maximum-margin networks in closed form."""

from marginlens.networks.constructions import construct
from marginlens.networks.loss import cross_entropy_
from marginlens.networks.mlp import MLP, neuron_norms
from marginlens.networks.population import MEMORY, Evaluation, Population, evaluate, total_norm
from marginlens.networks.rows import Rows

__all__ = [
    "MEMORY", "MLP", "Evaluation", "Population", "Rows", "construct", "cross_entropy_", "evaluate",
    "neuron_norms", "total_norm",
]  # fmt: skip
