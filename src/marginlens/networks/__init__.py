"""Networks: parameters to logits, and maximum-margin networks in closed form."""

from marginlens.networks.constructions import construct
from marginlens.networks.mlp import MLP, neuron_norms
from marginlens.networks.population import Evaluation, Population, evaluate, total_norm

__all__ = ["MLP", "Evaluation", "Population", "construct", "evaluate", "neuron_norms", "total_norm"]
