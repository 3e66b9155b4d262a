"""Training of transformers and factored MLPs, against the textbook's models and loop."""

import numpy as np
import pytest
import torch
from textbook_networks import TextbookFactored, TextbookTransformer

from marginlens.networks import Rows, Transformer
from marginlens.runs import execute, follow, load_run, resume
from marginlens.tasks import task
from marginlens.training import Recipe, initial_network, recipe_for, split, train

SMALL = {"width": 16, "record_every": 1}
OPTIMIZERS = {
    "adamw": lambda p: torch.optim.AdamW(p, lr=2**-11, betas=(0.9, 0.98), weight_decay=1.0),
    "adam": lambda p: torch.optim.Adam(p, lr=2**-11),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.005, momentum=0.9),
}
CHOSEN = {
    "adamw": {"optimizer": "adamw"},
    "adam": {"optimizer": "adam", "strength": 1e-3},
    "sgd": {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.005, "strength": 1e-3},
}
NETWORKS = {
    "transformer": {"network": "transformer", "seed": 10},
    "pizza": {"network": "transformer", "sequence": "ab", "attention": 0.0, "seed": 20},
    "between": {
        "network": "transformer",
        "sequence": "ab",
        "attention": 0.5,
        "biases": False,
        "seed": 20,
    },
    "factored": {"network": "factored"},
}
DEEP = {"network": "transformer", "layers": 2, "layer_norm": "post", "biases": False, "seed": 20}
# Adam divides by the gradient's own size, also where that is round-off alone (a neuron just died): then
# a start moved by 1e-7 moves the textbook's own losses by 1e-4; from these seeds, by less than 1e-6.


def recipe_of(network: str, optimizer: str = "adamw", **more) -> Recipe:
    fields = {"learning_rate": 2**-11, "warmup": 0, "steps": 200, "train_fraction": 0.7}
    sizes = {"embedding": 8} if network == "factored" else {"heads": 2, "hidden": 24}
    fields |= SMALL | sizes | (NETWORKS | {"two layers": DEEP})[network] | CHOSEN[optimizer] | more
    return recipe_for(task("C7"), **fields)


def textbook(recipe: Recipe, optimizer: str, member: int = 0) -> list[float]:
    """Loss before each step and after the last: autograd through the full sequence."""
    of = task(recipe.task)
    network = initial_network(of, recipe)
    kind = TextbookTransformer if isinstance(network, Transformer) else TextbookFactored
    model = kind(network, member)
    rows = split(of, recipe).train or Rows.of(of)
    steps = OPTIMIZERS[optimizer](model.parameters())
    losses = []
    for step in range(recipe.steps + 1):
        squares = sum(p.square().sum() for p in model.parameters())
        loss = model.loss(rows.inputs, rows.answers) + recipe.strength * squares
        losses.append(loss.item())
        if step < recipe.steps:
            steps.zero_grad()
            loss.backward()
            steps.step()
    return losses


@pytest.mark.parametrize(
    ("dtype", "steps", "apart"), [("float32", 8, 1e-5), ("float64", 25, 1e-10)]
)
@pytest.mark.parametrize("optimizer", CHOSEN)
@pytest.mark.parametrize("network", NETWORKS)
def test_trains_as_by_the_textbook(network, optimizer, dtype, steps, apart):
    recipe = recipe_of(network, optimizer, dtype=dtype, members=2, steps=steps)
    training = train(task("C7"), recipe)
    for member in range(2):
        expected = np.array(textbook(recipe, optimizer, member))
        assert np.abs(training.history["loss"][:, member] / expected - 1).max() < apart
        assert abs(expected[-1] / expected[0] - 1) > 10 * apart


def test_two_layers_train_as_by_the_textbook():
    recipe = recipe_of("two layers", dtype="float64", members=2, steps=25)
    training = train(task("C7"), recipe)
    for member in range(2):
        expected = np.array(textbook(recipe, "adamw", member))
        assert np.abs(training.history["loss"][:, member] / expected - 1).max() < 1e-10
        assert abs(expected[-1] / expected[0] - 1) > 0.1


def test_held_out_rows_are_evaluated_as_the_logits_say():
    recipe = recipe_of("transformer", steps=30, dtype="float64")
    of, training = task("C7"), None
    training = train(of, recipe)
    test = split(of, recipe).test
    index = test.inputs @ torch.tensor([of.size, 1])
    logits = training.network.logits(of)[0][index]
    expected = torch.nn.functional.cross_entropy(logits, test.answers)
    assert training.history["test_cross_entropy"][-1, 0] == pytest.approx(expected.item(), 1e-12)
    right = (logits.argmax(1) == test.answers).double().mean()
    assert training.history["test_accuracy"][-1, 0] == pytest.approx(right.item())


@pytest.mark.parametrize(
    ("network", "steps"), [("transformer", 12), ("factored", 12), ("two layers", 12)]
)
def test_a_run_is_saved_loaded_and_resumed_with_the_same_bits(tmp_path, network, steps):
    fields = recipe_of(network, steps=steps, dtype="float64", batch=20).model_dump(exclude={"task"})
    whole = execute("C7", out=tmp_path / "whole", **fields)
    back = load_run(tmp_path / "whole")
    for name, p in whole.training.network.tensors.items():
        assert torch.equal(back.training.network.tensors[name], p)

    class Stopped(Exception):  # noqa: N818
        pass

    def stop(step, row):
        if step == 2 * steps // 3:
            raise Stopped

    recipe = Recipe(task="C7", **fields)
    with pytest.raises(Stopped):
        follow(recipe, task("C7"), out=tmp_path / "cut", progress=stop, checkpoint_every=steps // 4)
    again = resume(tmp_path / "cut")
    for name, p in whole.training.network.tensors.items():
        assert torch.equal(again.training.network.tensors[name], p)


def test_a_factored_network_is_measured_as_the_mlp_that_it_is():
    run = execute("C7", **recipe_of("factored", steps=5).model_dump(exclude={"task"}))
    layers = run.training.network.as_mlp()
    assert torch.equal(run.network.tensors["u"], layers.tensors["u"])
    last = run.snapshots["u"][-1]
    np.testing.assert_allclose(last, layers.tensors["u"][0].numpy(), rtol=1e-5, atol=1e-6)
    assert run.measurement.norm == pytest.approx(run.history["norm"][-1], 1e-6)
    assert not any(claim.promised for claim in run.verdict.claims)


def test_a_transformer_is_saved_without_a_verdict_and_says_so(tmp_path):
    fields = recipe_of("transformer", steps=5).model_dump(exclude={"task"})
    run = execute("C7", out=tmp_path / "run", **fields)
    assert not (tmp_path / "run" / "verdict.json").exists()
    with pytest.raises(ValueError, match="is a transformer, whose neurons are not measured"):
        _ = run.verdict
    assert run.prediction.margin is None
    assert np.isnan(run.history["margin_ratio"]).all()


BAD = [
    ({"network": "transformer", "penalty": "homogeneous", "strength": 1e-3}, "choose --penalty l2"),
    ({"network": "transformer", "width": 30}, "take a divisor"),
    ({"network": "transformer", "tied": True}, "tied belongs to the mlp"),
    ({"network": "factored", "init_scale": 0.1}, "init_scale belongs to the mlp"),
    ({"network": "transformer", "stop_share": 0.9}, "leave --stop-share out"),
    ({"network": "transformer", "optimizer": "muon"}, "--no-biases"),
    (
        {"network": "transformer", "optimizer": "muon", "biases": False, "layer_norm": "pre"},
        "leave --layer-norm out",
    ),
    ({"network": "transformer", "layers": 0}, "greater than or equal to 1"),
    ({"layers": 2}, "add --network transformer"),
    ({"network": "rnn"}, "network"),
]


@pytest.mark.parametrize(("fields", "words"), BAD)
def test_what_does_not_belong_together_is_refused_in_one_line(fields, words):
    with pytest.raises(ValueError, match=words) as caught:
        recipe_for(task("C7"), **fields)
    assert "\n" not in str(caught.value)


def test_muon_trains_a_transformer_without_biases():
    recipe = recipe_of("transformer", "adam", biases=False, steps=80).model_copy(
        update={"optimizer": "muon", "learning_rate": 0.02}
    )
    loss = train(task("C7"), recipe).history["loss"][:, 0]
    assert loss[-1] < 0.5 * loss[0]
