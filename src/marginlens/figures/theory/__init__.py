"""Figures of predictions, without a trained network."""
