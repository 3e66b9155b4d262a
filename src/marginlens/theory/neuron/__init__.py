"""Best single neurons of other activations, found by search, and their waveforms."""
