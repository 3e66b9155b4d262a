"""Learning rate and strength of the penalty at every step."""

from __future__ import annotations

import math

from marginlens.training.recipe import Recipe

__all__ = ["learning_rate", "sharpness", "strength"]

_HOLD = 0.4  # share of the steps in which the sharpness stays at its first value


def learning_rate(recipe: Recipe, step: int) -> float:
    """Rate of the step from state ``step`` to the next.

    Linear in step + 1 for ``warmup`` steps. Then, over the t in [0, 1) of what remains: ``"decay"``
    rate * (1 + cos(pi max(0, 2t - 1))) / 2, ``"cosine"`` rate * (1 + cos(pi t)) / 2, or constant.

    Examples
    --------
    >>> recipe = Recipe(task="C5", steps=100, learning_rate=1.0, warmup=10, schedule="cosine")
    >>> [round(learning_rate(recipe, step), 3) for step in (0, 9, 10, 55, 99)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    if step < recipe.warmup:
        return recipe.learning_rate * (step + 1) / recipe.warmup
    if recipe.schedule == "constant":
        return recipe.learning_rate
    progress = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    if recipe.schedule == "decay":
        progress = max(0.0, 2 * progress - 1)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def strength(recipe: Recipe, step: int) -> float:
    """Strength of the penalty at a state: constant, or along the regularization path.

    The path stays at ``strength`` for a quarter of the steps, falls geometrically for a half, and
    stays at ``anneal_to`` for the last quarter. In its limit the loss's minimum has the maximum
    normalized margin (Morwani et al. 2024, section 2, after Wei et al. 2019).

    Examples
    --------
    >>> recipe = Recipe(task="C5", steps=100, strength=1e-2, anneal_to=1e-4)
    >>> [f"{strength(recipe, step):.0e}" for step in (0, 25, 50, 75, 100)]
    ['1e-02', '1e-02', '1e-03', '1e-04', '1e-04']
    """
    if recipe.anneal_to is None or recipe.strength == 0:
        return recipe.strength
    part = min(1.0, max(0.0, 2 * step / max(1, recipe.steps) - 0.5))
    return recipe.strength * (recipe.anneal_to / recipe.strength) ** part


def sharpness(recipe: Recipe, step: int) -> float:
    """Sharpness of the smoothed minimum of the margins at a state, in units of 1 / margin.

    It stays at ``sharpness_start`` for the first 40 % of the steps, in which neurons find their
    features and are exchanged, and rises geometrically to ``sharpness_end`` at the last step.

    Examples
    --------
    >>> schedule = {"steps": 100, "sharpness_start": 10, "sharpness_end": 1000}
    >>> recipe = Recipe(task="C5", loss_function="margin", **schedule)
    >>> [round(sharpness(recipe, step)) for step in (0, 40, 70, 100)]
    [10, 10, 100, 1000]
    """
    start, end = recipe.sharpness_start, recipe.sharpness_end
    part = (step / max(1, recipe.steps) - _HOLD) / (1 - _HOLD)
    return start * (end / start) ** min(1.0, max(0.0, part))
