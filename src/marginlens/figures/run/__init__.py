"""Figures of runs: curves over training, neurons, logits."""
