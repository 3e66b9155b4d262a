"""Figures of sweeps: many networks at once."""
