"""Learning rate and strength of the penalty: closed values, ends, continuity and monotony."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marginlens.training import Recipe
from marginlens.training.schedules import learning_rate, strength

SCHEDULES = ("decay", "cosine", "constant")


def recipe_of(**changes) -> Recipe:
    return Recipe(**{"task": "C5", "learning_rate": 0.5, "steps": 1000, **changes})


def rates(recipe: Recipe) -> list[float]:
    return [learning_rate(recipe, step) for step in range(recipe.steps)]


@pytest.mark.parametrize(
    ("schedule", "warmup", "step", "expected"),
    [
        ("constant", 0, 0, 1.0),
        ("constant", 0, 999, 1.0),
        ("constant", 4, 0, 1 / 4),
        ("constant", 4, 3, 1.0),
        ("cosine", 0, 0, 1.0),
        ("cosine", 0, 250, (2 + math.sqrt(2)) / 4),
        ("cosine", 0, 500, 0.5),
        ("cosine", 0, 750, (2 - math.sqrt(2)) / 4),
        ("cosine", 200, 600, 0.5),
        ("decay", 0, 500, 1.0),
        ("decay", 0, 625, (2 + math.sqrt(2)) / 4),
        ("decay", 0, 750, 0.5),
        ("decay", 0, 875, (2 - math.sqrt(2)) / 4),
        ("decay", 200, 600, 1.0),
        ("decay", 200, 800, 0.5),
        ("decay", 200, 99, 0.5),
    ],
)
def test_rates_have_their_closed_values(schedule, warmup, step, expected):
    recipe = recipe_of(schedule=schedule, warmup=warmup)
    assert learning_rate(recipe, step) == pytest.approx(0.5 * expected, rel=1e-12)


@given(st.sampled_from(SCHEDULES), st.integers(1, 300), st.integers(0, 200), st.floats(1e-6, 10))
def test_a_rate_rises_to_the_rate_asked_for_and_never_rises_again(schedule, steps, warmup, rate):
    recipe = recipe_of(schedule=schedule, steps=steps, warmup=warmup, learning_rate=rate)
    values = rates(recipe)
    assert all(0 < value <= rate * (1 + 1e-12) for value in values)
    up, down = values[:warmup], values[warmup:]
    for step, value in enumerate(up):
        assert value == pytest.approx(rate * (step + 1) / warmup, rel=1e-12)
    assert all(b <= a for a, b in itertools.pairwise(down))
    if down:
        assert down[0] == rate  # where the warm-up ended
        if warmup:
            assert up[-1] == pytest.approx(rate, rel=1e-15)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("warmup", [0, 1, 100, 400])
def test_a_rate_never_jumps(schedule, warmup):
    """From one step to the next by at most the steepest slope of the rise or of the cosine."""
    values = rates(recipe_of(schedule=schedule, warmup=warmup))
    fall = {"constant": 0, "cosine": math.pi / 2, "decay": math.pi}[schedule] / (1000 - warmup)
    steepest = 0.5 * max(fall, 1 / warmup if warmup else 0) * (1 + 1e-9)
    assert max(abs(b - a) for a, b in itertools.pairwise(values)) <= steepest
    assert schedule == "constant" or values[-1] < 1e-4 * 0.5


@pytest.mark.parametrize("schedule", ["decay", "cosine"])
@pytest.mark.parametrize("warmup", [5, 6, 1000])
def test_a_warm_up_of_all_steps_leaves_no_other(schedule, warmup):
    recipe = recipe_of(schedule=schedule, warmup=warmup, steps=5)
    assert rates(recipe) == pytest.approx([0.5 * (step + 1) / warmup for step in range(5)])


@pytest.mark.parametrize("steps", [0, 1])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_trainings_of_hardly_any_step_have_a_rate_and_a_strength(schedule, steps):
    recipe = recipe_of(schedule=schedule, steps=steps, strength=1e-2, anneal_to=1e-3)
    assert learning_rate(recipe, 0) == 0.5
    assert strength(recipe, 0) == 1e-2
    if steps:
        assert strength(recipe, steps) == pytest.approx(1e-3, rel=1e-14)


@pytest.mark.parametrize("value", [0.0, 1e-4, 3.0])
def test_a_strength_is_constant_unless_annealed(value):
    recipe = recipe_of(strength=value)
    assert {strength(recipe, step) for step in range(1001)} == {value}
    assert recipe.final_strength == value


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 1e-2),
        (250, 1e-2),
        (375, 10**-2.5),
        (500, 1e-3),
        (625, 10**-3.5),
        (750, 1e-4),
        (1000, 1e-4),
    ],
)
def test_an_annealed_strength_is_geometric_in_the_middle(step, expected):
    recipe = recipe_of(strength=1e-2, anneal_to=1e-4)
    assert strength(recipe, step) == pytest.approx(expected, rel=1e-13)


@given(st.integers(1, 500), st.floats(1e-12, 1.0), st.floats(1e-12, 1.0))
def test_an_annealed_strength_falls_from_its_start_to_its_end(steps, start, share):
    end = start * share
    if end == 0:
        return
    recipe = recipe_of(steps=steps, strength=start, anneal_to=end)
    values = [strength(recipe, step) for step in range(steps + 1)]
    assert values[0] == start
    assert values[-1] == pytest.approx(end, rel=1e-12)
    assert values[-1] == pytest.approx(recipe.final_strength, rel=1e-12)
    assert all(b <= a for a, b in itertools.pairwise(values))
    for step, value in enumerate(values):
        if 4 * step <= steps:
            assert value == start
        if 4 * step >= 3 * steps:
            assert value == values[-1]
    # geometric: no step falls by more than another of the middle half, in ratio
    ratio = (end / start) ** (2 / steps)
    assert all(b >= a * ratio * (1 - 1e-9) for a, b in itertools.pairwise(values))
