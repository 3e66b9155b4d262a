"""Networks: parameters to logits, and networks in closed form."""

from typing import TYPE_CHECKING

from marginlens.lazy_names import lazy_names

if TYPE_CHECKING:
    from marginlens.networks.constructions import construct, gromov
    from marginlens.networks.deep_transformer import DeepTransformerPopulation
    from marginlens.networks.factored import Factored, FactoredPopulation
    from marginlens.networks.hidden import (
        embeddings_of,
        hidden_activations,
        relabelled,
        unembedding_of,
        why_no_hidden_layer,
        with_embeddings,
    )
    from marginlens.networks.kinds import Evaluator, Network, as_mlp, norm_of, population_of
    from marginlens.networks.loss import cross_entropy_
    from marginlens.networks.mlp import MLP, neuron_norms, squared_norm
    from marginlens.networks.population import MEMORY, Evaluation, Population, evaluate, total_norm
    from marginlens.networks.rows import Rows
    from marginlens.networks.soft_margin import SoftMargin, SoftMarginPopulation, SoftMarginSums
    from marginlens.networks.transformer import EPSILON, Transformer
    from marginlens.networks.transformer_population import TransformerPopulation
    from marginlens.networks.transformer_settings import TransformerSettings
    from marginlens.networks.transformer_variant import (
        SMOOTH_ACTIVATIONS,
        TransformerVariant,
        VariantSettings,
    )

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "constructions": "construct gromov",
        "deep_transformer": "DeepTransformerPopulation",
        "factored": "Factored FactoredPopulation",
        "hidden": "embeddings_of hidden_activations relabelled unembedding_of why_no_hidden_layer "
        "with_embeddings",
        "kinds": "Evaluator Network as_mlp norm_of population_of",
        "loss": "cross_entropy_",
        "mlp": "MLP neuron_norms squared_norm",
        "population": "MEMORY Evaluation Population evaluate total_norm",
        "rows": "Rows",
        "soft_margin": "SoftMargin SoftMarginPopulation SoftMarginSums",
        "transformer": "EPSILON Transformer",
        "transformer_population": "TransformerPopulation",
        "transformer_settings": "TransformerSettings",
        "transformer_variant": "SMOOTH_ACTIVATIONS TransformerVariant VariantSettings",
    },
)
__all__ = [
    "EPSILON",
    "MEMORY",
    "MLP",
    "SMOOTH_ACTIVATIONS",
    "DeepTransformerPopulation",
    "Evaluation",
    "Evaluator",
    "Factored",
    "FactoredPopulation",
    "Network",
    "Population",
    "Rows",
    "SoftMargin",
    "SoftMarginPopulation",
    "SoftMarginSums",
    "Transformer",
    "TransformerPopulation",
    "TransformerSettings",
    "TransformerVariant",
    "VariantSettings",
    "as_mlp",
    "construct",
    "cross_entropy_",
    "embeddings_of",
    "evaluate",
    "gromov",
    "hidden_activations",
    "neuron_norms",
    "norm_of",
    "population_of",
    "relabelled",
    "squared_norm",
    "total_norm",
    "unembedding_of",
    "why_no_hidden_layer",
    "with_embeddings",
]
