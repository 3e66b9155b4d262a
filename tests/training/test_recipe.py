"""Recipes: what is refused, what is filled in, and the round trip through TOML."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from marginlens.tasks import task
from marginlens.theory import Penalty, predict
from marginlens.training import Recipe, recipe_for

positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
RECIPES = st.builds(
    Recipe,
    task=st.text(min_size=1, max_size=30),
    activation=st.sampled_from(["x^2", "x^3", "x^16", "relu", "square"]),
    width=st.integers(1, 1_000_000),
    penalty=st.sampled_from(["homogeneous", "l2"]),
    strength=st.floats(min_value=0, allow_infinity=False),
    optimizer=st.sampled_from(["adam", "sgd"]),
    learning_rate=positive,
    schedule=st.sampled_from(["decay", "constant"]),
    steps=st.integers(0, 100_000_000),
    stop_share=st.none() | st.floats(min_value=0, max_value=1, exclude_min=True),
    tolerance=st.floats(min_value=0, allow_infinity=False),
    seed=st.integers(0, 2**62 - 1),
    members=st.integers(1, 100_000),
    init_scale=st.none() | positive,
    dtype=st.sampled_from(["float32", "float64"]),
    device=st.sampled_from(["cpu", "cuda", "cuda:1"]),
    record_every=st.integers(1, 10_000),
    snapshots=st.integers(0, 1000),
)


@given(RECIPES)
def test_a_recipe_comes_back_from_its_toml(recipe):
    assert Recipe(**tomllib.loads(recipe.to_toml())) == recipe


def test_a_recipe_is_written_as_it_reads(tmp_path):
    recipe = recipe_for(task("S3"), width=30)
    recipe.write(tmp_path / "recipe.toml")
    assert (tmp_path / "recipe.toml").read_text() == recipe.to_toml()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("width", -3),
        ("width", 0),
        ("width", 2.5),
        ("width", "many"),
        ("penalty", "l3"),
        ("strength", -1e-4),
        ("strength", float("nan")),
        ("strength", float("inf")),
        ("optimizer", "lion"),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("schedule", "warmup"),
        ("steps", -1),
        ("stop_share", 0.0),
        ("stop_share", 1.5),
        ("tolerance", -1.0),
        ("seed", -1),
        ("members", 0),
        ("init_scale", 0.0),
        ("dtype", "float16"),
        ("record_every", 0),
        ("snapshots", 5000),
    ],
)
def test_an_impossible_value_is_refused_in_one_line_with_its_name(field, value):
    with pytest.raises(ValueError, match=field) as caught:
        recipe_for(task("C5"), **{field: value})
    assert "\n" not in str(caught.value)
    assert repr(value) in str(caught.value)


def test_an_unknown_field_is_refused():
    with pytest.raises(ValueError, match="momentum"):
        recipe_for(task("C5"), momentum=0.9)


def test_a_recipe_cannot_be_changed():
    recipe = recipe_for(task("C5"))
    with pytest.raises(ValidationError, match="frozen"):
        recipe.width = 3


@pytest.mark.parametrize("name", ["C2", "C12", "C71", "S3", "Q8", "A5", "S5", "parity(5,2)"])
def test_what_is_filled_in_suits_the_task(name):
    of = task(name)
    recipe = recipe_for(of)
    prediction = predict(of, recipe.activation, Penalty("homogeneous", recipe.strength))
    assert recipe.task == name
    assert recipe.width >= prediction.sufficient_width
    assert 0 < recipe.strength <= prediction.collapse_penalty / 4
    assert prediction.at_penalty.norm > 0


def test_what_is_chosen_is_kept_and_none_is_not_a_choice():
    recipe = recipe_for(task("C5"), width=7, strength=0.0, seed=3, activation="ReLU", steps=None)
    assert (recipe.width, recipe.strength, recipe.seed) == (7, 0.0, 3)
    assert recipe.activation == "relu"
    assert recipe.steps == recipe_for(task("C5"), strength=0.0).steps


@pytest.mark.parametrize(
    ("name", "chosen", "optimizer", "steps"),
    [
        ("C5", {}, "neuronwise-adam", 1000),
        ("C5", {"strength": 1e-4, "width": 30, "learning_rate": 0.05}, "neuronwise-adam", 1000),
        ("C5", {"strength": 1e-5}, "adam", 1500),
        ("S4", {"strength": 1e-7}, "adam", 6000),
        ("C5", {"strength": 1e-3, "anneal_to": 1e-6}, "adam", 1500),
        ("C5", {"betas": (0.9, 0.9)}, "neuronwise-adam", 1000),
        ("S3", {}, "neuronwise-adam", 1500),
        ("parity(5,3)", {}, "neuronwise-adam", 1000),
        ("compose(C5,3)", {}, "neuronwise-adam", 1000),
        ("C5", {"optimizer": "adam"}, "adam", 1500),
        ("S3", {"members": 3}, "adam", 6000),
        ("C5", {"batch": 5}, "adam", 1500),
        ("C5", {"tied": True}, "adam", 1500),
        ("C5", {"strength": 0.0}, "adam", 1500),
        ("C5", {"penalty": "l2"}, "adam", 1500),
        ("C5", {"train_fraction": 0.5}, "adam", 1500),
        ("C5", {"step_size": "loss"}, "adam", 1500),
        ("C5", {"loss_function": "squared"}, "adam", 1500),
    ],
)
def test_single_networks_that_seek_the_known_minimum_exchange_neurons(
    name, chosen, optimizer, steps
):
    recipe = recipe_for(task(name), **chosen)
    assert (recipe.optimizer, recipe.steps) == (optimizer, steps)
    assert recipe.exchange_every == (50 if optimizer == "neuronwise-adam" else 0)
    assert chosen.items() <= recipe.model_dump().items()
