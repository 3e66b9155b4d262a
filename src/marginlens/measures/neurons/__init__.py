"""Measures of neurons' weights: spectra, phases, waveforms, shares of the norm."""
