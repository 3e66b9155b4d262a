"""Recipe and task to a trained network."""

from typing import TYPE_CHECKING

from marginlens.lazy_names import lazy_names
from marginlens.public_names import keep_public_names

if TYPE_CHECKING:
    from marginlens.training.cost import estimated_seconds
    from marginlens.training.data import recorded_rows, split, trained_rows
    from marginlens.training.initial_state import check_trainable, find_device, initial_network
    from marginlens.training.loop import DivergedError, train
    from marginlens.training.process_group import Ranks, process_group
    from marginlens.training.recipe import Recipe, recipe_for
    from marginlens.training.state import Training, TrainingState

keep_public_names(__name__)
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "cost": "estimated_seconds",
        "data": "recorded_rows split trained_rows",
        "loop": "DivergedError train",
        "process_group": "Ranks process_group",
        "recipe": "Recipe recipe_for",
        "initial_state": "check_trainable find_device initial_network",
        "state": "Training TrainingState",
    },
)
__all__ = [
    "DivergedError",
    "Ranks",
    "Recipe",
    "Training",
    "TrainingState",
    "check_trainable",
    "estimated_seconds",
    "find_device",
    "initial_network",
    "process_group",
    "recipe_for",
    "recorded_rows",
    "split",
    "train",
    "trained_rows",
]
