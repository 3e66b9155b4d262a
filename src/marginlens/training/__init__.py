"""Recipe and task to a trained network."""

from marginlens.training.loop import Training, train
from marginlens.training.recipe import Recipe, recipe_for

__all__ = ["Recipe", "Training", "recipe_for", "train"]
