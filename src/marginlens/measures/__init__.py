"""What a network learned, feature by feature and neuron by neuron."""

from marginlens.measures.algorithms import AlgorithmFit, compare_logits, logit_table
from marginlens.measures.logit_spectrum import LogitSpectrum, logit_spectrum
from marginlens.measures.measurement import Measurement, measure
from marginlens.measures.norm_share import norm_shares
from marginlens.measures.observables import Observables, key_set_name, observe
from marginlens.measures.parity_progress import (
    ParityProgress,
    fourier_gaps,
    neuron_gradients,
    parity_progress,
    threshold_coefficient,
    time_to_learn,
)
from marginlens.measures.selection_law import KeySet, SelectionLaw, selection_law
from marginlens.measures.waveform import WaveformFit, fit_waveform

__all__ = [
    "AlgorithmFit",
    "KeySet",
    "LogitSpectrum",
    "Measurement",
    "Observables",
    "ParityProgress",
    "SelectionLaw",
    "WaveformFit",
    "compare_logits",
    "fit_waveform",
    "fourier_gaps",
    "key_set_name",
    "logit_spectrum",
    "logit_table",
    "measure",
    "neuron_gradients",
    "norm_shares",
    "observe",
    "parity_progress",
    "selection_law",
    "threshold_coefficient",
    "time_to_learn",
]
