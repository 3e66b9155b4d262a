"""Measures of logits: characters, ablations, the algorithm that they come from."""
