"""The compiled kernel inside the training loop: chosen, equal, resumed, and done without."""

import numpy as np
import pytest
import torch

from marginlens.tasks import task
from marginlens.training import Recipe, compilation, engine, recipe_for, train
from marginlens.training.start import initial_network
from marginlens.training.state import TrainingState

needs_compiler = pytest.mark.skipif(
    compilation.compiler() is None, reason="there is no C++ compiler (g++ or clang++)"
)
FIELDS = {"width": 8, "members": 5, "strength": 1e-3, "dtype": "float64", "learning_rate": 0.01}


def recipe_of(**more) -> Recipe:
    return recipe_for(task("C5"), **(FIELDS | {"steps": 300, "record_every": 10} | more))


@needs_compiler
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"optimizer": "sgd", "learning_rate": 0.1},
        {"penalty": "l2", "warmup": 20, "schedule": "cosine"},
        {"anneal_to": 1e-5, "activation": "relu", "record_every": 7},
    ],
)
def test_compiled_and_uncompiled_histories_agree(more):
    compiled, eager = (
        train(task("C5"), recipe_of(compile=how, **more)) for how in ("always", "never")
    )
    assert compiled.steps.tolist() == eager.steps.tolist()
    for name, values in eager.history.items():
        np.testing.assert_allclose(compiled.history[name], values, rtol=1e-9, err_msg=name)
    assert compiled.snapshot_steps.tolist() == eager.snapshot_steps.tolist()
    for name, values in eager.snapshots.items():
        np.testing.assert_allclose(compiled.snapshots[name], values, atol=1e-6)


@needs_compiler
def test_members_stop_alone_and_stay_as_they_were():
    recipe = recipe_of(compile="always", steps=4000, tolerance=1e-5)
    training = train(task("C5"), recipe)
    assert len(set(training.end_steps.tolist())) > 1
    first = int(training.end_steps.argmin())
    alone = train(task("C5"), recipe.model_copy(update={"members": 1, "seed": recipe.seed + first}))
    assert alone.end_steps[0] == training.end_steps[first]
    for name, p in training.network.parameters.items():
        assert torch.equal(p[first], alone.network.parameters[name][0])


@needs_compiler
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_compiled_training_goes_on_with_the_same_bits(optimizer):
    recipe = recipe_of(compile="always", optimizer=optimizer, steps=200)
    states = []
    whole = train(
        task("C5"), recipe, checkpoint=lambda s: states.append(s.to_tensors()), checkpoint_every=65
    )
    like = initial_network(task("C5"), recipe)
    for tensors in states:
        state = TrainingState.from_tensors(tensors, like)
        assert state.compiled
        again = train(task("C5"), recipe, state=state)
        for name, p in whole.network.parameters.items():
            assert torch.equal(p, again.network.parameters[name])
        assert (again.history["loss"] == whole.history["loss"]).all()
    assert len(states) == 3


@needs_compiler
def test_a_training_goes_on_the_way_it_started():
    """What auto would choose for the rest does not matter."""
    for how in ("always", "never"):
        states = []
        train(
            task("C5"), recipe_of(compile=how, steps=20),
            checkpoint=lambda s, states=states: states.append(s.to_tensors()), checkpoint_every=10,
        )  # fmt: skip
        recipe = recipe_of(compile="auto", steps=1_000_000)
        state = TrainingState.from_tensors(states[0], initial_network(task("C5"), recipe))
        of = engine.steps_for(task("C5"), recipe, state, engine.Ranks())
        assert of.compiled == (how == "always")


@needs_compiler
@pytest.mark.parametrize(
    ("more", "compiled"),
    [
        ({"steps": 100}, False),
        ({"steps": 100_000, "members": 100}, True),
        ({"steps": 100_000, "members": 100, "compile": "never"}, False),
        ({"steps": 100_000, "members": 100, "batch": 10}, False),
        ({"steps": 100_000, "members": 100, "optimizer": "adamw"}, False),
        ({"steps": 100_000, "members": 100, "train_fraction": 0.5}, False),
    ],
)
def test_what_pays_is_compiled(more, compiled):
    recipe = recipe_of(**more)
    state = TrainingState.start(recipe, initial_network(task("C5"), recipe))
    assert engine.steps_for(task("C5"), recipe, state, engine.Ranks()).compiled == compiled


def test_without_a_compiler_one_line_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    recipe = recipe_of(compile="always", steps=20)
    with pytest.warns(UserWarning, match="no C\\+\\+ compiler was found") as caught:
        training = train(task("C5"), recipe)
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)
    eager = train(task("C5"), recipe_of(compile="never", steps=20))
    assert (training.history["loss"] == eager.history["loss"]).all()


def test_a_compiler_that_fails_is_done_without(monkeypatch, tmp_path):
    fake = tmp_path / "cxx"
    fake.write_text("#!/bin/sh\necho 'x.cpp: error: no such flag' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("CXX", str(fake))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.warns(UserWarning, match="no such flag.*slower"):
        training = train(task("C5"), recipe_of(compile="always", steps=20))
    assert training.history["loss"].shape[1] == 5
    assert training.compile_seconds == 0
