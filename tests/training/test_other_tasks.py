"""Training on what is no group's whole table: the same loss as plain logits, and splits by length."""

import re

import numpy as np
import pytest
import torch
from records import require_same_record
from torch.func import functional_call

from marginlens.networks import MLP, Factored, Transformer, TransformerSettings
from marginlens.runs import execute, load_run
from marginlens.runs.prediction_for import prediction_for
from marginlens.tasks import task
from marginlens.theory import parse_activation, predict
from marginlens.training import Recipe, check_trainable, initial_network, recipe_for, split, train
from marginlens.training.cost import estimated_seconds

SPECS = ("x/y mod 7", "x^2+xy+y^2 mod 5", "xyx in S3", "random(6,1)", "addition(3,2)")
SMALL = TransformerSettings(width=8, heads=2, hidden=10, activation="relu")
MAKERS = {
    "mlp": lambda t: MLP.initial(
        t, parse_activation("relu"), width=7, members=2, dtype=torch.float64
    ),
    "tied": lambda t: MLP.initial(
        t, parse_activation("x^2"), width=7, members=2, tied=True, dtype=torch.float64
    ),
    "factored": lambda t: Factored.initial(t, embedding=4, width=7, members=2, dtype=torch.float64),
    "transformer": lambda t: Transformer.initial(t, SMALL, members=2, dtype=torch.float64),
}


def plain(network, of, rows=None):
    """Mean cross-entropy of the logits of each row, its gradients by autograd, least lead."""
    parameters = {n: p.clone().requires_grad_() for n, p in network.tensors.items()}
    logits = functional_call(network, parameters, of.inputs)
    chosen = slice(None) if rows is None else rows
    logits, answers = logits[:, chosen], torch.as_tensor(of.answers[chosen])
    log_p = logits.log_softmax(2)[:, torch.arange(len(answers)), answers]
    loss = -log_p.mean(1)
    loss.sum().backward()
    right = logits.gather(2, answers.expand(2, -1)[..., None])
    others = logits.masked_fill(torch.nn.functional.one_hot(answers, of.classes).bool(), -torch.inf)
    margin = (right[..., 0] - others.amax(2)).amin(1)
    return loss.detach(), {n: p.grad for n, p in parameters.items()}, margin.detach()


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("spec", SPECS)
def test_loss_and_gradients_are_those_of_plain_logits(spec, kind, one_thread):
    of = task(spec)
    network = MAKERS[kind](of)
    loss, gradients, margin = plain(network, of)
    found = {name: torch.full_like(p, torch.nan) for name, p in network.tensors.items()}
    result = network.evaluator(of)(network.tensors, found)
    torch.testing.assert_close(result.cross_entropy, loss)
    torch.testing.assert_close(result.margin, margin)
    for name, gradient in gradients.items():
        torch.testing.assert_close(found[name], gradient)


@pytest.mark.parametrize("network", ["mlp", "factored", "transformer"])
@pytest.mark.parametrize("more", [{}, {"train_length": 1}])
def test_a_step_is_one_of_gradient_descent(network, more, one_thread):
    of = task("addition(3,2)")
    sizes = {"heads": 2, "hidden": 10} if network == "transformer" else {}
    recipe = recipe_for(
        of,
        network=network,
        optimizer="sgd",
        learning_rate=0.1,
        schedule="constant",
        warmup=0,
        steps=1,
        members=2,
        width=8,
        dtype="float64",
        **sizes,
        **more,
    )
    start = initial_network(of, recipe)
    rows = np.flatnonzero(of.lengths == 1) if more else None
    _, gradients, _ = plain(start, of, rows)
    done = train(of, recipe)
    assert ("test_accuracy" in done.history) == bool(more)
    for name, p in done.network.tensors.items():
        torch.testing.assert_close(p, start.tensors[name] - 0.1 * gradients[name])


def test_the_compiled_kernel_takes_a_part_of_a_table_for_all_there_is(one_thread):
    of = task("x/y mod 5")
    fields = {
        "activation": "x^2",
        "width": 3,
        "optimizer": "adam",
        "learning_rate": 0.01,
        "steps": 30,
        "members": 8,
        "dtype": "float64",
        "penalty": "l2",
        "strength": 1e-3,
        "betas": (0.9, 0.999),
    }
    ways = [Recipe(task=of.name, compile=way, **fields) for way in ("always", "never")]
    assert ways[0].fits_kernel
    one, other = (train(of, recipe) for recipe in ways)
    for name, p in one.network.tensors.items():
        torch.testing.assert_close(p, other.network.tensors[name], rtol=1e-9, atol=1e-11)


def test_a_split_by_length_trains_on_short_numbers():
    of = task("addition(3,3)")
    data = split(of, Recipe(task=of.name, train_length=2, corrupt=0.1, split_seed=4))
    for rows, keep in ((data.train, lambda a, b: max(a, b) < 9), (data.test, None)):
        numbers = rows.inputs[:, :6].reshape(-1, 2, 3) @ torch.tensor([9, 3, 1])
        keep = keep or (lambda a, b: max(a, b) >= 9)
        assert all(keep(a, b) for a, b in numbers.tolist())
    assert len(data.train) == 9 * 9 * 4
    assert len(data.train) + len(data.test) == len(of.answers)
    short = of.answers[of.lengths <= 2]
    assert (data.train.answers.numpy() != short).sum() == round(0.1 * len(short))
    np.testing.assert_array_equal(data.test.answers, of.answers[of.lengths > 2])
    assert Recipe(task=of.name, train_length=2).rows(of) == len(data.train)


@pytest.mark.parametrize(
    ("spec", "fields", "words"),
    [
        ("C5", {"train_length": 1}, "additions, whose numbers have lengths, and C5 is none"),
        ("addition(3,2)", {"train_length": 2}, "leaves no row .* up to 2 digits; try 1"),
        ("addition(3,1)", {"train_length": 1}, "up to 1 digits; take e.g. addition"),
        ("addition(3,2)", {"train_length": 0}, "train_length"),
        ("addition(3,2)", {"train_length": 1, "train_fraction": 0.5}, "leave one out"),
        ("addition(3,2)", {"train_length": 1, "stop_share": 0.9}, "stop_share"),
        ("x/y mod 5", {"stop_share": 0.9}, "none is known for x/y mod 5 with relu"),
    ],
)
def test_impossible_splits_are_refused_in_one_line(spec, fields, words):
    of = task(spec)
    with pytest.raises(ValueError, match=words) as caught:
        check_trainable(of, recipe_for(of, **fields))
    assert "\n" not in str(caught.value)


def test_a_recipe_remembers_its_length():
    recipe = recipe_for(task("addition(3,2)"), train_length=1)
    assert not recipe.is_population
    assert recipe.holds_out
    assert "train_length = 1" in recipe.to_toml()
    assert "train_length" not in recipe_for(task("addition(3,2)")).to_toml()
    assert not recipe_for(task("addition(3,2)"), corrupt=0.1).holds_out


@pytest.mark.parametrize("spec", SPECS)
def test_without_a_theorem_nothing_is_promised_and_defaults_are_sensible(spec):
    of = task(spec)
    recipe = recipe_for(of)
    assert (recipe.activation, recipe.optimizer, recipe.weight_decay) == ("relu", "adamw", 1.0)
    assert recipe_for(of, optimizer="adam").weight_decay == 0
    for prediction in (predict(of), predict(of, "x^2"), prediction_for(of, recipe)):
        assert prediction.margin is None
        assert prediction.certificate is None
        assert {f.status for f in prediction.features} <= {"unknown"}
        assert prediction.note.startswith(f"No theorem gives the maximum margin of {spec} ")
        assert "\n" not in prediction.note
    assert estimated_seconds(of, recipe) > 0


def test_a_group_s_product_by_another_name_is_predicted_as_ever():
    ours, plain_task = predict(task("x+y mod 11")), predict(task("C11"))
    assert ours.margin == plain_task.margin
    assert recipe_for(task("xy in S3")).width == recipe_for(task("S3")).width


def test_runs_are_saved_and_read_whatever_the_task(tmp_path, one_thread):
    mine = tmp_path / "mine.npy"
    np.save(mine, 5 - task("S3").group.table[::-1][:, ::-1])
    for spec, features in ((f"xyx in {mine}", True), ("addition(2,2)", False)):
        folder = tmp_path / spec[:3]
        run = execute(spec, out=folder, steps=3, width=8)
        again = load_run(folder)
        np.testing.assert_array_equal(again.task.answers, run.task.answers)
        np.testing.assert_array_equal(again.task.inputs, run.task.inputs)
        assert again.task.name == run.task.name == run.recipe.task
        if features:
            require_same_record(again.measurement.to_dict(), run.measurement.to_dict())
            assert again.verdict.holds  # of what is promised: nothing
            continue
        with pytest.raises(
            ValueError, match=re.escape("learned addition(2,2), a task without features")
        ):
            _ = again.measurement
