"""Numerically best single neurons of other activations, and their waveforms."""
