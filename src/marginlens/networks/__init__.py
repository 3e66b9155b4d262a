"""Networks: parameters to logits, and networks in closed form."""

from typing import TYPE_CHECKING

from marginlens.lazy_names import lazy_names

if TYPE_CHECKING:
    from marginlens.networks.constructions import construct, gromov
    from marginlens.networks.evaluator import Evaluation, Evaluator
    from marginlens.networks.factored import Factored, FactoredEvaluator
    from marginlens.networks.kinds import KINDS, network_class
    from marginlens.networks.loss import cross_entropy_
    from marginlens.networks.mlp import MLP, neuron_norms
    from marginlens.networks.mlp_evaluator import MEMORY, MLPEvaluator
    from marginlens.networks.network import Network, evaluate, squared_norm
    from marginlens.networks.neuron_search import best_neuron_against
    from marginlens.networks.rows import Rows
    from marginlens.networks.soft_margin import SoftMargin, SoftMarginEvaluator, SoftMarginSums
    from marginlens.networks.transformer.deep_transformer_evaluator import DeepTransformerEvaluator
    from marginlens.networks.transformer.layers import EPSILON
    from marginlens.networks.transformer.transformer import Transformer
    from marginlens.networks.transformer.transformer_evaluator import TransformerEvaluator
    from marginlens.networks.transformer.transformer_settings import TransformerSettings
    from marginlens.networks.transformer.transformer_variant import (
        SMOOTH_ACTIVATIONS,
        TransformerVariant,
        VariantSettings,
    )

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "constructions": "construct gromov",
        "evaluator": "Evaluation Evaluator",
        "factored": "Factored FactoredEvaluator",
        "kinds": "KINDS network_class",
        "loss": "cross_entropy_",
        "mlp": "MLP neuron_norms",
        "mlp_evaluator": "MEMORY MLPEvaluator",
        "network": "Network evaluate squared_norm",
        "neuron_search": "best_neuron_against",
        "rows": "Rows",
        "soft_margin": "SoftMargin SoftMarginEvaluator SoftMarginSums",
        "transformer.deep_transformer_evaluator": "DeepTransformerEvaluator",
        "transformer.layers": "EPSILON",
        "transformer.transformer": "Transformer",
        "transformer.transformer_evaluator": "TransformerEvaluator",
        "transformer.transformer_settings": "TransformerSettings",
        "transformer.transformer_variant": "SMOOTH_ACTIVATIONS TransformerVariant VariantSettings",
    },
)
__all__ = [
    "EPSILON",
    "KINDS",
    "MEMORY",
    "MLP",
    "SMOOTH_ACTIVATIONS",
    "DeepTransformerEvaluator",
    "Evaluation",
    "Evaluator",
    "Factored",
    "FactoredEvaluator",
    "MLPEvaluator",
    "Network",
    "Rows",
    "SoftMargin",
    "SoftMarginEvaluator",
    "SoftMarginSums",
    "Transformer",
    "TransformerEvaluator",
    "TransformerSettings",
    "TransformerVariant",
    "VariantSettings",
    "best_neuron_against",
    "construct",
    "cross_entropy_",
    "evaluate",
    "gromov",
    "network_class",
    "neuron_norms",
    "squared_norm",
]
