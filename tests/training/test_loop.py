"""The training loop, against a textbook one."""

import math

import numpy as np
import pytest
import torch
from textbook_loop import greatest_difference, textbook, weight_difference

from marginlens.networks import MLP, MLPEvaluator, evaluate
from marginlens.tasks import task
from marginlens.theory import predict
from marginlens.training import DivergedError, Recipe, initial_network, train
from marginlens.training.optimizers import Stepper

C5 = Recipe(
    task="C5", width=40, steps=100, learning_rate=0.01, schedule="constant", dtype="float64"
)


def changed(recipe: Recipe, **changes) -> Recipe:
    return Recipe(**{**recipe.model_dump(), **changes})


def initial(recipe: Recipe) -> MLP:
    return initial_network(task(recipe.task), recipe)


# At 71 with width 500, as in the paper
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_c71_trains_as_by_the_textbook(optimizer):
    recipe = Recipe(
        task="C71",
        width=500,
        strength=1e-4,
        optimizer=optimizer,
        learning_rate={"adam": 0.01, "sgd": 1.0}[optimizer],
        schedule="constant",
        steps={"adam": 12, "sgd": 10}[optimizer],
        record_every=1,
    )
    expected = textbook(recipe)
    training = train(task("C71"), recipe)
    assert training.steps.tolist() == list(range(recipe.steps + 1))
    assert greatest_difference(expected.losses, training) < 1e-5
    assert abs(expected.losses[-1] / expected.losses[0] - 1) > 1e-3


VARIANTS = {
    "cubes of S4": {"task": "S4", "activation": "x^3"},
    "squares of S4": {"task": "S4", "strength": 1e-3},
    "relu with weight decay": {
        "task": "S4",
        "activation": "relu",
        "penalty": "l2",
        "strength": 1e-3,
    },
    "squares with weight decay": {"task": "Q8", "penalty": "l2", "strength": 1e-2},
    "relu, homogeneous": {"task": "D5", "activation": "relu", "strength": 1e-3},
    "parity of 4": {
        "task": "parity(6,4)",
        "activation": "x^4",
        "strength": 1e-3,
        "init_scale": 0.3,
    },
    "parity by relu": {"task": "parity(5,2)", "activation": "relu", "penalty": "l2"},
    "absolute values": {"task": "C7", "activation": "abs", "strength": 1e-3},
    "leaky relu": {"task": "D5", "activation": "leaky_relu(0.1)", "penalty": "l2"},
    "squares of relu": {"task": "C7", "activation": "relu^2", "strength": 1e-3},
    "a real degree": {"task": "C7", "activation": "|x|^1.5", "strength": 1e-3},
    "linear": {"task": "C7", "activation": "x^1"},
}


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "neuronwise-adam"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_small_tasks_train_as_by_the_textbook(variant, optimizer):
    recipe = Recipe(
        width=30,
        optimizer=optimizer,
        learning_rate={"sgd": 0.5}.get(optimizer, 0.01),
        schedule="constant",
        steps=60 if optimizer == "sgd" else 30,
        record_every=1,
        dtype="float64",
        seed=5,
        **VARIANTS[variant],
    )
    expected = textbook(recipe)
    training = train(task(recipe.task), recipe)
    assert greatest_difference(expected.losses, training) < 1e-10
    assert expected.losses[-1] < 0.995 * expected.losses[0]
    assert weight_difference(expected.tensors, training) < 1e-9


@pytest.mark.parametrize(
    "change",
    [
        {"strength": 1.01e-3},
        {"penalty": "l2"},
        {"optimizer": "sgd"},
        {"learning_rate": 0.0101},
        {"seed": 1},
        {"activation": "x^3"},
    ],
)
def test_the_comparison_with_the_textbook_notices_another_recipe(change):
    recipe = changed(C5, strength=1e-3, steps=20, record_every=1)
    training = train(task("C5"), recipe)
    assert greatest_difference(textbook(recipe).losses, training) < 1e-10
    assert greatest_difference(textbook(changed(recipe, **change)).losses, training) > 1e-5


def test_history_is_what_the_network_is_at_that_step():
    recipe = changed(C5, members=2, strength=1e-3, steps=37, record_every=10)
    training = train(task("C5"), recipe)
    assert training.steps.tolist() == [0, 10, 20, 30, 37]
    for index, network in ((0, initial(recipe)), (-1, training.network)):
        row = {name: values[index] for name, values in training.history.items()}
        result, norm = evaluate(network, task("C5")), network.norm()
        for name in ("cross_entropy", "accuracy", "margin"):
            assert row[name] == pytest.approx(getattr(result, name).numpy(), rel=1e-12)
        assert row["norm"] == pytest.approx(norm.numpy(), rel=1e-12)
        assert row["normalized_margin"] == pytest.approx(row["margin"] / row["norm"], rel=1e-12)
        assert row["loss"] == pytest.approx(row["cross_entropy"] + 1e-3 * row["norm"], rel=1e-12)


@pytest.mark.parametrize("name", ["S3", "parity(6,3)"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "neuronwise-adam"])
def test_a_member_does_not_depend_on_its_ensemble(name, optimizer):
    recipe = changed(C5, task=name, members=3, seed=7, optimizer=optimizer, record_every=5)
    together = train(task(name), recipe)
    for member in range(3):
        alone = train(task(name), changed(recipe, members=1, seed=7 + member))
        for column, values in alone.history.items():
            assert values.shape == (21, 1)
            assert values[:, 0] == pytest.approx(together.history[column][:, member], rel=1e-9)
        for slot, p in alone.network.tensors.items():
            expected = together.network.tensors[slot][member]
            assert float((p[0] - expected).abs().max()) < 1e-9
    assert not np.allclose(together.history["loss"][:, 0], together.history["loss"][:, 1])


@pytest.mark.system
def test_each_member_stops_where_it_first_has_the_share():
    margin = predict(task("C5")).margin
    recipe = changed(C5, members=3, steps=2000, stop_share=0.8)
    training = train(task("C5"), recipe, margin=margin)
    assert training.stopped == "share of the margin"
    assert training.ends == ("share of the margin",) * 3
    assert len(set(training.end_steps.tolist())) > 1  # one member had to go on without another
    assert training.end_steps.max() == training.steps[-1] < 2000
    assert (training.end_steps % recipe.record_every == 0).all()
    share = training.history["normalized_margin"] / margin
    own = evaluate(training.network, task("C5")).margin / training.network.norm()
    for member, end in enumerate(training.end_steps // recipe.record_every):
        assert share[end, member] >= 0.8
        assert (share[:end, member] < 0.8).all()
        assert (share[end:, member] == share[end, member]).all()  # it rests
        assert float(own[member]) / margin == pytest.approx(share[end, member], rel=1e-12)
        alone = train(task("C5"), changed(recipe, members=1, seed=member), margin=margin)
        assert alone.end_steps.tolist() == [training.end_steps[member]]
        for slot, p in alone.network.tensors.items():
            assert float((p[0] - training.network.tensors[slot][member]).abs().max()) < 1e-9


def test_a_share_of_an_unknown_margin_is_refused():
    with pytest.raises(ValueError, match="stop_share needs a known maximum margin"):
        train(task("C5"), changed(C5, stop_share=0.5))


def test_a_known_margin_does_not_stop_by_itself():
    margin = predict(task("C5")).margin
    training = train(task("C5"), changed(C5, steps=20), margin=margin / 1e6)
    assert training.stopped == "steps"
    assert training.steps[-1] == 20


def test_a_member_converges_when_its_loss_rests_for_a_hundred_steps():
    recipe = changed(C5, steps=5000, strength=1e-2, tolerance=1e-4, members=3)
    training = train(task("C5"), recipe)
    assert training.stopped == "converged"
    assert training.ends == ("converged",) * 3
    loss = training.history["loss"]
    change = np.abs(loss[10:] / loss[:-10] - 1)  # ten records are a hundred steps
    for member, end in enumerate(training.end_steps // recipe.record_every):
        assert change[end - 10, member] < 1e-4
        assert not (change[: end - 10, member] < 1e-4).any()
    assert len(set(training.end_steps.tolist())) > 1


def test_training_ends_with_its_steps():
    training = train(task("C5"), changed(C5, steps=25))
    assert training.stopped == "steps"
    assert training.steps.tolist() == [0, 10, 20, 25]
    assert training.seconds > 0


@pytest.mark.parametrize("snapshots", [0, 30])
def test_no_steps_leave_the_initial_network(snapshots):
    recipe = changed(C5, steps=0, members=2, snapshots=snapshots)
    training = train(task("C5"), recipe)
    assert training.stopped == "steps"
    assert training.steps.tolist() == [0]
    assert training.snapshot_steps.tolist() == [0] * (snapshots > 0)
    for values in training.history.values():
        assert values.shape == (1, 2)
    for slot, p in initial(recipe).tensors.items():
        assert torch.equal(p, training.network.tensors[slot])


def test_an_interruption_keeps_what_was_learned():
    def interrupt(step, latest):
        seen.append((step, latest["loss"][0]))
        if step == 30:
            raise KeyboardInterrupt

    seen = []
    recipe = changed(C5, snapshots=200)
    training = train(task("C5"), recipe, progress=interrupt)
    assert training.stopped == "interrupted"
    assert training.steps.tolist() == [0, 10, 20, 30]
    assert seen == list(zip([0, 10, 20, 30], training.history["loss"][:, 0], strict=True))
    for values in training.history.values():
        assert values.shape == (4, 1)
    assert training.snapshot_steps[-1] == 30
    for slot, p in training.network.tensors.items():
        assert len(training.snapshots[slot]) == len(training.snapshot_steps)
        assert (training.snapshots[slot][-1] == p[0].float().numpy()).all()
    result = evaluate(training.network, task("C5"))
    assert result.margin.numpy() == pytest.approx(training.history["margin"][-1], rel=1e-12)

    whole = train(task("C5"), changed(recipe, steps=30))
    assert training.history["loss"] == pytest.approx(whole.history["loss"], rel=1e-12)


def test_divergence_names_the_step():
    recipe = changed(C5, optimizer="sgd", learning_rate=1e6, record_every=1)
    steps = []
    with pytest.raises(FloatingPointError) as caught:
        train(task("C5"), recipe, progress=lambda step, latest: steps.append(step))
    assert steps == list(range(len(steps)))
    assert 0 < len(steps) < 100
    assert f"the norm has exploded at step {len(steps)};" in str(caught.value)
    assert "smaller learning rate" in str(caught.value)


def test_divergence_of_one_member_stops_it_alone_as_it_last_was():
    def spoiled(self, parameters, gradients=None):
        result = evaluated(self, parameters, gradients)
        if len(result.cross_entropy) == 2 and (calls.append(0) or len(calls) > 15):
            result.cross_entropy[1] = math.nan
        return result

    calls = []
    evaluated = MLPEvaluator.__call__
    recipe = changed(C5, members=2, steps=40)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MLPEvaluator, "__call__", spoiled)
        training = train(task("C5"), recipe)
    assert training.ends == ("steps", "diverged")
    assert training.end_steps.tolist() == [40, 10]  # at step 20 it was seen; at 10 all was well
    other = train(task("C5"), changed(recipe, steps=10))
    whole = train(task("C5"), recipe)
    for slot, p in training.network.tensors.items():
        assert torch.equal(p[1], other.network.tensors[slot][1])
        assert float((p[0] - whole.network.tensors[slot][0]).abs().max()) < 1e-9
    assert np.isfinite(training.history["loss"]).all()


def test_what_has_diverged_leaves_its_last_good_state():
    recipe = changed(C5, optimizer="sgd", learning_rate=1e6, record_every=1)
    with pytest.raises(DivergedError) as caught:
        train(task("C5"), recipe)
    state = caught.value.state
    assert state.steps[-1] == state.step
    for p in state.network.tensors.values():
        assert torch.isfinite(p).all()
    result = evaluate(state.network, task("C5"))
    assert result.margin.numpy() == pytest.approx(state.rows["margin"][-1], rel=1e-12)


@pytest.mark.parametrize("device", ["cuda:99", "nonsense", ""])
def test_a_missing_device_is_refused_in_one_line(device):
    with pytest.raises(ValueError, match="is not here; available: cpu") as caught:
        train(task("C5"), changed(C5, device=device))
    assert repr(device) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("steps", [100, 101])
@pytest.mark.parametrize("schedule", ["constant", "decay"])
def test_rates_follow_the_schedule(monkeypatch, schedule, steps, optimizer):
    original, rates = Stepper.step, []

    def noted(self, rate):
        rates.append([rate])
        return original(self, rate)

    monkeypatch.setattr(Stepper, "step", noted)
    recipe = changed(C5, schedule=schedule, steps=steps, optimizer=optimizer, learning_rate=0.02)
    train(task("C5"), recipe)
    rates = np.array(rates)
    assert rates.shape == (steps, 1)
    if schedule == "constant":
        assert (rates == 0.02).all()
        return
    half = (steps + 1) // 2
    assert (rates[:half] == 0.02).all()
    assert (np.diff(rates[half - 1 :, 0]) <= 0).all()
    assert rates[-1] < 2e-3 * 0.02
    assert (rates > 0).all()
    assert rates[75] == pytest.approx(0.01, rel=0.05)  # halfway down


@pytest.mark.parametrize("name", ["S3", "parity(6,3)"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_snapshots_run_from_the_first_state_to_the_last(name, dtype):
    recipe = changed(C5, task=name, dtype=dtype, members=2, snapshots=12)
    training = train(task(name), recipe)
    steps = training.snapshot_steps
    assert steps[0] == 0
    assert steps[-1] == 100
    assert (np.diff(steps) > 0).all()
    assert 8 <= len(steps) <= 12
    assert (np.diff(steps, 2) >= -1).all()  # logarithmic, up to rounding
    assert training.snapshots.keys() == training.network.tensors.keys()
    start = initial(recipe).tensors
    for slot, values in training.snapshots.items():
        assert values.dtype == np.float32
        assert values.shape == (len(steps), *start[slot].shape[1:])
        assert (values[0] == start[slot][0].float().numpy()).all()
        assert (values[-1] == training.network.tensors[slot][0].float().numpy()).all()


def test_a_snapshot_is_the_state_of_its_step():
    training = train(task("C5"), changed(C5, snapshots=12))
    step = int(training.snapshot_steps[5])
    assert 0 < step < 100
    shorter = train(task("C5"), changed(C5, steps=step))
    for slot, p in shorter.network.tensors.items():
        assert training.snapshots[slot][5] == pytest.approx(p[0].numpy(), rel=1e-6, abs=1e-9)


def test_no_snapshots_where_none_are_wanted():
    training = train(task("C5"), changed(C5, steps=10, snapshots=0))
    assert len(training.snapshot_steps) == 0
    assert all(len(values) == 0 for values in training.snapshots.values())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.usefixtures("one_thread")
def test_the_same_seed_gives_the_same_bits(dtype):
    recipe = changed(C5, task="S4", width=100, members=2, steps=50, dtype=dtype)
    one, two = train(task("S4"), recipe), train(task("S4"), recipe)
    for column, values in one.history.items():
        assert values.tobytes() == two.history[column].tobytes()
    for slot, p in one.network.tensors.items():
        assert torch.equal(p, two.network.tensors[slot])
        assert one.snapshots[slot].tobytes() == two.snapshots[slot].tobytes()
    other = train(task("S4"), changed(recipe, seed=1))
    assert not torch.equal(other.network.tensors["u"], one.network.tensors["u"])


@pytest.mark.parametrize("learning_rate", [0.01, 1e6])
def test_denormal_numbers_are_back_after_training(learning_rate):
    recipe = changed(C5, optimizer="sgd", learning_rate=learning_rate)
    diverged = False
    try:
        train(task("C5"), recipe)
    except FloatingPointError:
        diverged = True
    assert diverged == (learning_rate > 1)
    assert (torch.tensor([1e-40]) / 2).item() > 0


def test_one_float32_training_reaches_the_float64_loss():
    recipe = changed(C5, steps=600, schedule="decay", strength=1e-4)
    double = train(task("C5"), recipe).history["loss"][-1]
    single = train(task("C5"), changed(recipe, dtype="float32")).history["loss"][-1]
    assert single == pytest.approx(double, rel=1e-3)
