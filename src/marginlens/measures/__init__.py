"""What a network learned, feature by feature and neuron by neuron."""

from marginlens.measures.measurement import Measurement, measure

__all__ = ["Measurement", "measure"]
