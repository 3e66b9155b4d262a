"""The compiled kernel inside the training loop: chosen, equal, resumed, and done without."""

import numpy as np
import pytest
import torch

from marginlens.kernels.build import compiler
from marginlens.tasks import task
from marginlens.training import Recipe, engine, recipe_for, train
from marginlens.training.initial_state import initial_network
from marginlens.training.state import TrainingState

needs_compiler = pytest.mark.skipif(
    compiler() is None, reason="there is no C++ compiler (g++ or clang++)"
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
    recipe = recipe_of(compile="always", steps=2000, tolerance=1e-4)
    training = train(task("C5"), recipe)
    assert len(set(training.end_steps.tolist())) > 1
    first = int(training.end_steps.argmin())
    alone = train(task("C5"), recipe.model_copy(update={"members": 1, "seed": recipe.seed + first}))
    assert alone.end_steps[0] == training.end_steps[first]
    for name, p in training.network.tensors.items():
        assert torch.equal(p[first], alone.network.tensors[name][0])


@needs_compiler
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "neuronwise-adam"])
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
        for name, p in whole.network.tensors.items():
            assert torch.equal(p, again.network.tensors[name])
        assert (again.history["loss"] == whole.history["loss"]).all()
    assert len(states) == 3


def way_of(recipe: Recipe, state: TrainingState | None = None) -> str:
    of = task(recipe.task)
    state = state or TrainingState.start(recipe, initial_network(of, recipe))
    return engine.way_of(of, recipe, state, engine.Ranks())


@needs_compiler
@pytest.mark.parametrize(
    ("how", "more", "way"),
    [("always", {}, "steps"), ("always", {"batch": 10}, "passes"), ("never", {}, "")],
)
def test_a_training_goes_on_the_way_it_started(how, more, way):
    """What auto would choose for the rest does not matter."""
    states = []
    train(
        task("C5"),
        recipe_of(compile=how, steps=20, **more),
        checkpoint=lambda s: states.append(s.to_tensors()),
        checkpoint_every=10,
    )
    for steps in (20, 1_000_000):
        recipe = recipe_of(compile="never" if how == "never" else "auto", steps=steps, **more)
        state = TrainingState.from_tensors(states[0], initial_network(task("C5"), recipe))
        assert (state.step, state.compiled) == (10, way)
        assert way_of(recipe, state) == way


@needs_compiler
@pytest.mark.parametrize(
    ("more", "way"),
    [
        ({"steps": 100}, ""),
        ({"steps": 100_000, "members": 100}, "steps"),
        ({"steps": 100_000, "members": 100, "compile": "never"}, ""),
        ({"steps": 100_000, "members": 100, "batch": 10}, "passes"),
        ({"steps": 100_000, "members": 100, "optimizer": "adamw"}, "passes"),
        ({"steps": 100_000, "members": 100, "train_fraction": 0.5}, "passes"),
        ({"task": "C71", "members": 1, "width": 500, "steps": 1500}, "passes"),
        ({"task": "C71", "members": 1, "width": 500, "steps": 10}, ""),
        ({"task": "C71", "members": 1, "width": 500, "steps": 10, "compile": "always"}, "passes"),
    ],
)
def test_what_pays_is_compiled(more, way):
    of = task(more.pop("task", "C5"))
    recipe = recipe_for(of, **(FIELDS | {"record_every": 10} | more))
    assert way_of(recipe) == way


@needs_compiler
@pytest.mark.parametrize(
    "more", [{"tied": True}, {"batch": 10}, {"members": 1, "activation": "x^3"}]
)
def test_compiled_passes_change_round_off_alone(more):
    more |= {"steps": 150, "width": 40, "optimizer": "adam", "betas": (0.9, 0.99)}
    compiled, eager = (
        train(task("C5"), recipe_of(compile=how, **more)) for how in ("always", "never")
    )
    for name, values in eager.history.items():
        np.testing.assert_allclose(compiled.history[name], values, rtol=1e-9, err_msg=name)
    p = {how: run.network.tensors["u"] for how, run in (("c", compiled), ("e", eager))}
    assert not torch.equal(p["c"], p["e"])  # the passes were really others


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
