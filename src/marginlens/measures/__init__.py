"""What a network learned, feature by feature and neuron by neuron."""

from marginlens.measures.algorithms import AlgorithmFit, compare_logits, logit_table
from marginlens.measures.measurement import Measurement, measure

__all__ = ["AlgorithmFit", "Measurement", "compare_logits", "logit_table", "measure"]
