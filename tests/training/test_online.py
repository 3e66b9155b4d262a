"""Batches drawn online, losses and biases in training: reproducible, resumable, by the textbook."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from records import require_same_record
from torch.nn import functional as F  # noqa: N812

from marginlens.networks import MLP
from marginlens.runs import execute, follow, load_run, resume
from marginlens.runs.checkpoint import CHECKPOINT
from marginlens.runs.prediction_for import prediction_for
from marginlens.tasks import task
from marginlens.training import Recipe, check_trainable, initial_network, recipe_for, train
from marginlens.training.data import SAMPLE, OnlineBatches, drawn_rows, recorded_rows, split
from marginlens.training.recipe import checked_recipe

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
PARITY = {
    "activation": "relu",
    "loss_function": "hinge",
    "online": True,
    "batch": 16,
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "schedule": "constant",
    "strength": 0.0,
    "width": 12,
    "biases": True,
    "dtype": "float64",
    "steps": 40,
    "compile": "never",
    "members": 2,
    "init_scale": 0.3,
}


def right_answer(of, inputs) -> int:
    if of.kind == "parity":
        return int(np.prod([inputs[j] for j in of.subset]) < 0)
    found = int(inputs[0])
    for element in inputs[1:]:
        found = int(of.group.table[found, int(element)])
    return found


@pytest.mark.parametrize("name", ["C5", "S3", "parity(4,2)", "parity(50,3)", "compose(S4,6)"])
def test_drawn_rows_have_their_right_answers_and_are_all_alike(name):
    of = task(name)
    rows = drawn_rows(of, 2000, np.random.default_rng(0))
    for inputs, answer in zip(rows.inputs.numpy()[:200], rows.answers[:200], strict=True):
        assert right_answer(of, inputs) == answer
    for column in rows.inputs.T:  # each value of each input is equally likely
        values, counts = np.unique(column.numpy(), return_counts=True)
        size = 2 if of.kind == "parity" else of.size
        assert len(values) == size
        expected = 2000 / size
        assert (np.abs(counts - expected) < 5 * expected**0.5).all()
    # inputs are independent of each other: with replacement, rows repeat as birthdays do
    if of.is_listed:
        seen = len(np.unique(rows.inputs.numpy(), axis=0))
        assert seen == len(of.answers)
    else:
        assert (
            np.abs(np.corrcoef(rows.inputs.numpy().T) - np.eye(rows.inputs.shape[1])).max() < 0.12
        )


def test_a_batch_depends_on_seed_and_step_alone():
    of = task("parity(50,3)")
    batches, again = (OnlineBatches(of, 8, 5, CPU) for _ in range(2))
    later = again.at(70).inputs  # without those before it
    for step in range(70):
        batches.at(step)
    assert torch.equal(batches.at(70).inputs, later)
    others = [OnlineBatches(of, 8, 6, CPU).at(70), batches.at(71), batches.at(0)]
    sample = recorded_rows(of, Recipe(task=of.name, online=True, batch=8, split_seed=5))
    assert sample is not None
    assert len(sample) == SAMPLE
    for other in [*(rows.inputs for rows in others), sample.inputs[:8]]:
        assert not torch.equal(other, later)
    assert not torch.equal(sample.inputs[:8], batches.at(0).inputs)


def test_listed_tasks_are_recorded_on_all_rows():
    of = task("C5")
    recipe = Recipe(task="C5", online=True, batch=8)
    assert recorded_rows(of, recipe) is None
    assert split(of, recipe).train is None
    assert recorded_rows(task("parity(50,3)"), Recipe(task="parity(50,3)")) is None


def test_online_training_is_the_textbooks():
    of = task("parity(20,2)")
    recipe = recipe_for(of, **PARITY)
    training = train(of, recipe)
    start = initial_network(of, recipe)
    for member in range(2):
        u, w, b = (
            start.tensors[name][member].clone().requires_grad_() for name in ("u", "w", "bias")
        )
        sgd = torch.optim.SGD([u, w, b], lr=0.1)
        for step in range(40):
            rows = OnlineBatches(of, 16, 0, CPU).at(step)
            f = torch.relu(rows.inputs @ u + b) @ w.T
            y = 2.0 * rows.answers - 1
            loss = torch.relu(1 - y * (f[:, 1] - f[:, 0])).mean()
            sgd.zero_grad()
            loss.backward()
            sgd.step()
        for name, p in (("u", u), ("w", w), ("bias", b)):
            found = training.network.tensors[name][member]
            torch.testing.assert_close(found, p.detach(), rtol=1e-9, atol=1e-12)
        sample = recorded_rows(of, recipe)
        f = torch.relu(sample.inputs @ u + b) @ w.T
        y = 2.0 * sample.answers - 1
        gap = y * (f[:, 1] - f[:, 0])
        last = {name: values[-1, member] for name, values in training.history.items()}
        assert last["loss"] == pytest.approx(torch.relu(1 - gap).mean().item(), rel=1e-9)
        assert last["cross_entropy"] == pytest.approx(F.softplus(-gap).mean().item(), rel=1e-9)
        assert last["accuracy"] == pytest.approx((gap > 0).double().mean().item())
        assert last["margin"] == pytest.approx(gap.min().item(), rel=1e-9)


@pytest.mark.parametrize("name", ["parity(20,2)", "parity(6,2)"])
def test_it_is_saved_loaded_and_resumed_with_the_same_bits(tmp_path, name):
    whole = execute(name, out=tmp_path / "whole", **PARITY)
    back = load_run(tmp_path / "whole")
    for column, values in whole.history.items():
        np.testing.assert_array_equal(back.history[column], values)
    require_same_record(back.measurement.to_dict(), whole.measurement.to_dict())
    assert back.measurement.sampled == (SAMPLE if name == "parity(20,2)" else 0)
    assert back.measurement.accuracy == whole.history["accuracy"][-1]
    assert not any(claim.promised for claim in back.verdict.claims)

    class Stopped(Exception):  # noqa: N818
        pass

    def stop(step, row):
        if step == 30:
            raise Stopped

    recipe = recipe_for(task(name), **PARITY)
    with pytest.raises(Stopped):
        follow(recipe, task(name), out=tmp_path / "cut", progress=stop, checkpoint_every=15)
    again = resume(tmp_path / "cut")
    for parameter, p in whole.training.network.tensors.items():
        assert torch.equal(again.training.network.tensors[parameter], p)


def test_a_large_composition_is_trained_online_by_a_transformer():
    of = task("compose(S4,6)")
    recipe = recipe_for(
        of,
        network="transformer",
        online=True,
        batch=8,
        width=8,
        heads=2,
        hidden=8,
        steps=3,
        compile="never",
    )
    check_trainable(of, recipe)
    assert np.isfinite(train(of, recipe).history["loss"]).all()


def test_squared_loss_and_its_held_out_rows_are_recorded():
    of = task("C7")
    recipe = recipe_for(
        of,
        loss_function="squared",
        optimizer="adamw",
        weight_decay=1.0,
        train_fraction=0.6,
        width=30,
        steps=60,
        dtype="float64",
        compile="never",
    )
    assert recipe.strength == 0
    training = train(of, recipe)
    logits = training.network.logits(of)[0]
    errors = (logits - F.one_hot(torch.tensor(of.answers), 7)).square().mean(1)
    test = split(of, recipe).test.inputs @ torch.tensor([7, 1])
    kept = np.setdiff1d(np.arange(49), test.numpy())
    history = training.history
    assert history["loss"][-1, 0] == pytest.approx(errors[kept].mean().item(), rel=1e-9)
    assert history["test_loss"][-1, 0] == pytest.approx(errors[test].mean().item(), rel=1e-9)
    entropy = F.cross_entropy(logits[test], torch.tensor(of.answers)[test])
    assert history["test_cross_entropy"][-1, 0] == pytest.approx(entropy.item(), rel=1e-9)
    assert history["loss"][-1, 0] < 0.5 * history["loss"][0, 0]


def test_steps_by_the_loss_are_divided_by_the_loss_that_is_minimised():
    of = task("C5")
    fields = {
        "loss_function": "squared",
        "optimizer": "sgd",
        "width": 6,
        "steps": 1,
        "dtype": "float64",
        "schedule": "constant",
        "compile": "never",
        "learning_rate": 0.01,
    }
    plain = train(of, recipe_for(of, **fields))
    scaled = train(of, recipe_for(of, step_size="loss", **fields))
    start = initial_network(of, recipe_for(of, **fields))
    loss = plain.history["loss"][0, 0]
    for name, p in start.tensors.items():
        one = plain.network.tensors[name] - p
        torch.testing.assert_close(scaled.network.tensors[name] - p, one / loss)


def test_with_another_loss_nothing_is_promised_and_no_minimum_predicted():
    of = task("C5")
    found = prediction_for(of, recipe_for(of, loss_function="squared", strength=1e-3))
    assert found.at_penalty is None
    assert not found.proved
    assert "squared loss" in found.note
    plain = prediction_for(of, recipe_for(of, strength=1e-3))
    assert plain.at_penalty is not None
    assert plain.proved
    assert plain.margin == found.margin
    biased = prediction_for(of, recipe_for(of, biases=True, penalty="l2", strength=1e-3))
    assert not biased.proved


REFUSED = [
    ({"online": True}, "add --batch 32"),
    ({"online": True, "batch": 4, "train_fraction": 0.5}, "leave train_fraction and corrupt out"),
    ({"biases": True, "penalty": "homogeneous"}, "choose --penalty l2"),
    ({"biases": True, "penalty": "l2", "optimizer": "muon"}, "add --no-biases"),
    ({"biases": True, "network": "factored", "strength": 0.0}, "a factored network has no biases"),
    ({"loss_function": "hinge", "stop_share": 0.9}, "the hinge loss does not seek"),
    ({"loss": "absolute"}, "loss: "),
]


@pytest.mark.parametrize(("fields", "words"), REFUSED, ids=str)
def test_what_does_not_belong_together_is_refused_in_one_line(fields, words):
    with pytest.raises(ValueError, match=words) as caught:
        checked_recipe({"task": "C5", **fields})
    assert "\n" not in str(caught.value)


def test_what_the_task_has_not_is_refused():
    with pytest.raises(ValueError, match="one of 2 classes, and there are 5"):
        check_trainable(task("C5"), Recipe(task="C5", loss_function="logistic"))
    with pytest.raises(ValueError, match="--online --batch 32 trains it"):
        check_trainable(task("parity(50,3)"), Recipe(task="parity(50,3)", batch=32))
    of = replace(task("compose(S4,6)"), group=None, unlisted="only the character table is known")
    with pytest.raises(ValueError, match="only the character table"):
        check_trainable(of, Recipe(task="compose(S4,6)", batch=32, online=True))


@pytest.mark.parametrize(
    "change",
    [{"loss_function": "squared"}, {"biases": True, "penalty": "l2"}, {"online": True, "batch": 5}],
    ids=str,
)
def test_the_kernel_of_all_steps_is_for_none_of_them(change):
    assert Recipe(task="C5").fits_kernel
    assert not Recipe(task="C5", **change).fits_kernel


def test_kinds_have_their_own_default_of_biases():
    of = task("C5")
    assert not initial_network(of, recipe_for(of, width=4)).biases
    mlp = initial_network(of, recipe_for(of, width=4, biases=True))
    assert isinstance(mlp, MLP)
    assert mlp.biases
    small = {"network": "transformer", "width": 8, "heads": 2, "hidden": 4}
    assert recipe_for(of, **small).transformer_settings().biases
    assert not recipe_for(of, biases=False, **small).transformer_settings().biases


def test_recipes_and_checkpoints_from_before_mlps_had_biases_are_read(tmp_path):
    """They say biases = true, the default of that time, and have no loss."""
    fields = {"width": 6, "steps": 40, "strength": 1e-3, "dtype": "float64", "compile": "never"}
    recipe = recipe_for(task("C5"), **fields)
    old = recipe.to_toml().replace('loss_function = "cross_entropy"', "biases = true")
    assert "biases = true" in old
    assert "loss" not in old
    assert Recipe.from_toml(old) == recipe
    biased = recipe_for(task("C5"), biases=True, **fields)
    assert Recipe.from_toml(biased.to_toml()) == biased

    class Stopped(Exception):  # noqa: N818
        pass

    def stop(step, row):
        if step == 30:
            raise Stopped

    whole = execute("C5", **fields)
    with pytest.raises(Stopped):
        follow(recipe, task("C5"), out=tmp_path / "cut", progress=stop, checkpoint_every=15)
    (tmp_path / "cut" / "recipe.toml").write_text(old)
    assert (tmp_path / "cut" / CHECKPOINT).exists()
    again = resume(tmp_path / "cut")
    for name, p in whole.training.network.tensors.items():
        assert torch.equal(again.training.network.tensors[name], p)
