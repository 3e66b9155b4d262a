"""Ensembles whose members do not notice each other, and trainings that go on from any step."""

import numpy as np
import pytest
import safetensors.torch
import torch

from marginlens.networks import MLP, evaluate
from marginlens.tasks import task
from marginlens.training import Recipe, Training, TrainingState, initial_network, train

BASE = Recipe(
    task="C5",
    width=8,
    members=7,
    seed=20,
    init_scale=0.4,
    strength=1e-3,
    learning_rate=0.03,
    schedule="constant",
    dtype="float64",
    steps=100,
    record_every=5,
    snapshots=6,
    compile="never",
)


pytestmark = pytest.mark.usefixtures("one_thread")


def changed(recipe: Recipe = BASE, **changes) -> Recipe:
    return Recipe(**{**recipe.model_dump(), **changes})


def farthest(one: MLP, other: MLP) -> float:
    """Greatest difference of a weight."""
    assert one.tensors.keys() == other.tensors.keys()
    pairs = [(p, other.tensors[name]) for name, p in one.tensors.items()]
    return float(torch.stack([(p - q).abs().max() for p, q in pairs]).max())


def test_the_farthest_weight_is_found():
    start = initial_network(task("C5"), BASE)
    for name in start.tensors:
        moved = {n: p.clone() for n, p in start.tensors.items()}
        moved[name][-1, -1, -1] += 1e-8
        assert farthest(start, start.with_parameters(moved)) > 1e-9
        moved[name][-1, -1, -1] = torch.nan
        assert not farthest(start, start.with_parameters(moved)) < 1


# Ensembles


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("change", [{}, {"tied": True}, {"task": "parity(4,2)"}], ids=str)
def test_a_member_starts_bit_by_bit_as_it_would_alone(change, dtype):
    recipe = changed(dtype=dtype, **change)
    of = task(recipe.task)
    together = initial_network(of, recipe)
    for member in range(7):
        alone = initial_network(of, changed(recipe, members=1, seed=20 + member))
        for name, p in alone.tensors.items():
            assert torch.equal(p[0], together.tensors[name][member])


def test_hundreds_of_steps_of_a_member_do_not_depend_on_its_ensemble_or_its_memory():
    recipe = changed(steps=400, learning_rate=0.01, record_every=200, snapshots=0)
    of = task("C5")
    together = train(of, recipe)
    memory = 2 * 4 * 25 * 8 * 8 / 2**20  # two buffers for four members' 25 rows of 8 numbers
    again = train(of, changed(recipe, memory=memory))
    assert farthest(again.network, together.network) < 1e-9
    alone = train(of, changed(recipe, members=1, seed=26))
    assert farthest(alone.network, together.network.member(6)) < 1e-9
    for column, values in alone.history.items():
        np.testing.assert_allclose(values[:, 0], together.history[column][:, 6], rtol=1e-9)
    start = initial_network(of, recipe)
    assert min(farthest(start.member(i), together.network.member(i)) for i in range(7)) > 0.1
    assert farthest(together.network.member(0), together.network.member(1)) > 0.1


def parameters_along(recipe: Recipe, **options) -> tuple[Training, dict[int, MLP]]:
    """A training, and its members at each record but the last."""

    def keep(state: TrainingState) -> None:
        copied = {name: p.clone() for name, p in state.network.tensors.items()}
        along[state.step] = state.network.with_parameters(copied)

    along: dict[int, MLP] = {}
    every = recipe.record_every
    training = train(task(recipe.task), recipe, checkpoint=keep, checkpoint_every=every, **options)
    return training, along


@pytest.mark.parametrize(
    ("change", "margin"),
    [
        ({"stop_share": 0.5}, 0.029),
        ({"stop_share": 0.5, "optimizer": "muon", "weight_decay": 0.1}, 0.009),
        ({"stop_share": 0.5, "batch": 10}, 0.024),
        ({"tolerance": 0.14, "steps": 220, "learning_rate": 0.01}, None),
    ],
    ids=str,
)
def test_a_member_that_has_stopped_rests_and_the_others_do_not_notice(change, margin):
    recipe = changed(members=4, **change)
    training, along = parameters_along(recipe, margin=margin)
    ends = training.end_steps
    stopped = np.flatnonzero(ends < recipe.steps)
    assert len(set(ends.tolist())) >= 3
    assert len(stopped) < 4  # one goes on to the end
    for member, end in enumerate(ends.tolist()):
        assert (training.ends[member] == "steps") == (end == recipe.steps)
        for step, network in along.items():
            moved = farthest(network.member(member), training.network.member(member))
            assert (moved == 0) == (step >= end)
        for values in training.history.values():
            later = values[end // recipe.record_every :, member]
            assert (later == later[0]).all()
    for member in range(4):
        alone = train(task("C5"), changed(recipe, members=1, seed=20 + member), margin=margin)
        assert alone.end_steps.tolist() == [ends[member]]
        assert alone.ends == (training.ends[member],)
        assert farthest(alone.network, training.network.member(member)) < 1e-9


def test_a_member_that_diverges_stops_alone():
    """By itself: gradient descent from weights a hundred times too large."""
    recipe = changed(members=3, optimizer="sgd", learning_rate=0.05, steps=40)
    start = initial_network(task("C5"), recipe)
    for p in start.tensors.values():
        p[1] *= 100
    training, along = parameters_along(recipe, start=start)
    assert training.ends == ("steps", "diverged", "steps")
    assert training.end_steps.tolist() == [40, 5, 40]  # where it last was well
    assert farthest(training.network.member(1), along[5].member(1)) == 0
    assert all(np.isfinite(values).all() for values in training.history.values())
    for member in (0, 2):
        alone = train(task("C5"), changed(recipe, members=1, seed=20 + member))
        assert farthest(alone.network, training.network.member(member)) < 1e-9
    result = evaluate(training.network, task("C5"))
    last = training.history["cross_entropy"][-1]
    assert last == pytest.approx(result.cross_entropy.numpy(), rel=1e-9)


# States


def states(recipe: Recipe, **options) -> tuple[Training, dict[int, bytes]]:
    """A training, and its state before each step but the first, as a file's content."""

    def keep(state: TrainingState) -> None:
        kept[state.step] = safetensors.torch.save(state.to_tensors())

    kept: dict[int, bytes] = {}
    training = train(task(recipe.task), recipe, checkpoint=keep, checkpoint_every=1, **options)
    return training, kept


def read(content: bytes, recipe: Recipe) -> TrainingState:
    """The state in a file, which may hold its tensors in any order: here, backwards."""
    like = initial_network(task(recipe.task), recipe)
    tensors = sorted(safetensors.torch.load(content).items(), reverse=True)
    return TrainingState.from_tensors(dict(tensors), like)


def assert_same(one: Training, other: Training) -> None:
    """Bit by bit, but for the time that it took."""
    assert (one.stopped, one.ends) == (other.stopped, other.ends)
    pairs = [
        (one.steps, other.steps),
        (one.end_steps, other.end_steps),
        (one.snapshot_steps, other.snapshot_steps),
    ]
    tables = [
        (one.history, other.history),
        (one.snapshots, other.snapshots),
        *[({n: p.numpy() for n, p in t.network.tensors.items()} for t in (one, other))],
    ]
    for left, right in tables:
        assert left.keys() == right.keys()
        pairs += [(left[name], right[name]) for name in left]
    for left, right in pairs:
        assert left.dtype == right.dtype
        assert left.shape == right.shape
        assert left.tobytes() == right.tobytes()


# and a margin half of which members reach at steps of their own, or not at all
WAYS = {
    "adam": (0.029, {}),
    "adam, tied": (0.022, {"tied": True, "schedule": "cosine"}),
    "muon": (0.009, {"optimizer": "muon", "weight_decay": 0.1}),
    "neuronwise": (
        0.016,
        {"optimizer": "neuronwise-adam", "learning_rate": 0.15, "betas": (0.97, 0.95)},
    ),
    "momentum": (0.024, {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.1}),
    "batches": (0.015, {"batch": 7, "warmup": 20}),
    "batches by the loss": (0.023, {"batch": 7, "step_size": "loss", "optimizer": "adamw"}),
}


@pytest.mark.parametrize(
    ("way", "compiled"),
    [*((way, "never") for way in WAYS), ("adam", "always"), ("batches", "always")],
)
def test_from_any_state_it_goes_on_bit_by_bit(way, compiled):
    """Also where members have stopped before, or stop after, or stop just there."""
    margin, fields = WAYS[way]
    recipe = changed(members=4, stop_share=0.5, compile=compiled, **fields)
    whole, kept = states(recipe, margin=margin)
    assert_same(whole, train(task("C5"), recipe, margin=margin))  # to be saved changes nothing
    ends = sorted(set(whole.end_steps.tolist()))
    assert len(ends) >= 3
    assert list(kept) == list(range(1, ends[-1]))
    places = {1, 5, ends[0], ends[0] + 1, ends[-2], ends[-1] - 1}
    for step in sorted(places & kept.keys()):
        state = read(kept[step], recipe)
        assert state.step == step
        assert_same(train(task("C5"), recipe, margin=margin, state=state), whole)


def test_to_go_on_by_another_state_is_noticed():
    recipe = changed(members=2)
    whole, kept = states(recipe)
    for name in (
        "parameters/v",
        "optimizer/u.exp_avg",
        "optimizer/w.exp_avg_sq",
        "optimizer/u.step",
    ):
        tensors = safetensors.torch.load(kept[30])
        tensors[name].view(-1)[-1:] += 1e-9 if tensors[name].numel() > 1 else 1
        state = TrainingState.from_tensors(tensors, initial_network(task("C5"), recipe))
        with pytest.raises(AssertionError):
            assert_same(train(task("C5"), recipe, state=state), whole)


@pytest.mark.parametrize("way", WAYS)
def test_a_state_comes_back_from_its_tensors(way):
    margin, fields = WAYS[way]
    recipe = changed(members=4, stop_share=0.5, **fields)
    _, kept = states(recipe, margin=margin)
    start = TrainingState.start(recipe, initial_network(task("C5"), recipe))
    contents = [safetensors.torch.save(start.to_tensors()), *kept.values()]
    for content in contents[::5]:
        expected = safetensors.torch.load(content)
        actual = read(content, recipe).to_tensors()
        assert actual.keys() == expected.keys()
        for name, value in expected.items():
            assert actual[name].dtype == value.dtype
            assert torch.equal(actual[name], value)
    last = read(contents[-1], recipe)
    assert last.step == len(contents) - 1
    assert len(last.active) < 4  # a state in which some have stopped
    assert set(last.ends) == {"", "share of the margin"}
    for name, value in last.optimizer.items():
        assert name.endswith(".step") or len(value) == len(last.active)


@pytest.mark.parametrize(
    "change",
    [
        {"width": 9},
        {"members": 3},
        {"tied": True},
        {"dtype": "float32"},
        {"task": "C7"},
        {"task": "compose(C5,3)"},
        {"task": "parity(5,2)"},
    ],
    ids=str,
)
def test_a_state_of_another_network_is_refused_in_one_line(change):
    tensors = TrainingState.start(BASE, initial_network(task("C5"), BASE)).to_tensors()
    other = changed(**change)
    like = initial_network(task(other.task), other)
    with pytest.raises(ValueError, match=r"its parameters are .* but the recipe says") as caught:
        TrainingState.from_tensors(tensors, like)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["step", "end_steps", "ends", "steps", "snapshot_steps", "seconds", "compiled"]
)
def test_a_state_that_lacks_a_number_is_refused_in_one_line(name):
    start = initial_network(task("C5"), BASE)
    tensors = TrainingState.start(BASE, start).to_tensors()
    del tensors[name]
    with pytest.raises(ValueError, match=f"it lacks '{name}'") as caught:
        TrainingState.from_tensors(tensors, start)
    assert "\n" not in str(caught.value)


def test_a_state_that_lacks_a_parameter_is_refused():
    start = initial_network(task("C5"), BASE)
    tensors = TrainingState.start(BASE, start).to_tensors()
    del tensors["parameters/v"]
    with pytest.raises(ValueError, match="its parameters are"):
        TrainingState.from_tensors(tensors, start)
