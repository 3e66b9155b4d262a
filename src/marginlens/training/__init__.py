"""Recipe and task to a trained network."""

from marginlens.training.loop import Training, find_device, initial_network, train
from marginlens.training.recipe import Recipe, recipe_for

__all__ = ["Recipe", "Training", "find_device", "initial_network", "recipe_for", "train"]
