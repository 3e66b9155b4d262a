"""Recipe and task to a trained network."""

from marginlens.training.loop import Training, find_device, train
from marginlens.training.recipe import Recipe, recipe_for

__all__ = ["Recipe", "Training", "find_device", "recipe_for", "train"]
