"""What a network learned, feature by feature and neuron by neuron."""

from marginlens.measures.measurement import Measurement, measure
from marginlens.measures.waveform import WaveformFit, fit_waveform

__all__ = ["Measurement", "WaveformFit", "fit_waveform", "measure"]
