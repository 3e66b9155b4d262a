"""What a network learned, feature by feature and neuron by neuron."""

from marginlens.measures.algorithms import AlgorithmFit, compare_logits, logit_table
from marginlens.measures.measurement import Measurement, measure
from marginlens.measures.waveform import WaveformFit, fit_waveform

__all__ = [
    "AlgorithmFit",
    "Measurement",
    "WaveformFit",
    "compare_logits",
    "fit_waveform",
    "logit_table",
    "measure",
]
