"""Every kind of network is a PyTorch module: called, differentiated, saved, copied and moved as one."""

import copy
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.func import functional_call

from marginlens.networks import (
    KINDS,
    MLP,
    Factored,
    Network,
    Rows,
    Transformer,
    TransformerSettings,
    TransformerVariant,
    VariantSettings,
    evaluate,
    network_class,
)
from marginlens.networks.autograd_evaluator import AutogradEvaluator
from marginlens.networks.network import stacked_draws
from marginlens.tasks import task
from marginlens.theory import parse_activation
from marginlens.training import Recipe, initial_network, train

SMALL = {"width": 8, "heads": 2, "hidden": 6}
DOUBLE = {"members": 2, "dtype": torch.float64}


def mlp(name, activation="x^2", **more):
    return MLP.initial(task(name), parse_activation(activation), width=6, **DOUBLE, **more)


def transformer(name, **settings):
    return Transformer.initial(task(name), TransformerSettings(**SMALL, **settings), **DOUBLE)


def variant(name):
    plain = transformer(name)
    return TransformerVariant(plain.tensors, VariantSettings(**SMALL))


CASES = {
    "mlp": ("S3", lambda: mlp("S3")),
    "mlp relu^1.5 with biases": ("S3", lambda: mlp("S3", "relu^1.5", biases=True)),
    "mlp leaky, tied": ("C5", lambda: mlp("C5", "leaky_relu(0.1)", tied=True)),
    "mlp of three": ("compose(C3,3)", lambda: mlp("compose(C3,3)", "x^3")),
    "mlp on signs": ("parity(5,2)", lambda: mlp("parity(5,2)")),
    "factored": ("S3", lambda: Factored.initial(task("S3"), embedding=4, width=6, **DOUBLE)),
    "transformer": ("C5", lambda: transformer("C5")),
    "transformer, no equals sign": ("C5", lambda: transformer("C5", sequence="ab")),
    "two layers": ("C5", lambda: transformer("C5", layers=2, layer_norm="pre", activation="x^2")),
    "variant": ("C5", lambda: variant("C5")),
}


@pytest.fixture(params=CASES.values(), ids=CASES)
def case(request):
    name, make = request.param
    return task(name), make()


def test_a_call_on_rows_gives_the_logits_of_these_rows(case):
    of, network = case
    chosen = [3, 0, 3]
    for rows in (of.inputs[chosen], torch.as_tensor(of.inputs[chosen]), of.inputs[chosen].tolist()):
        torch.testing.assert_close(network(rows), network.logits(of)[:, chosen])
    assert network(of.inputs[:0]).shape == (2, 0, of.classes)
    assert network(of.inputs).requires_grad
    assert not network.logits(of).requires_grad
    answers = torch.as_tensor(of.answers).expand(2, -1)
    mean = torch.nn.functional.cross_entropy(network(of.inputs).mT, answers, reduction="none")
    torch.testing.assert_close(mean.mean(1), evaluate(network, of).cross_entropy)


@pytest.mark.parametrize("loss", ["cross_entropy", "squared"])
def test_evaluators_agree_with_autograd_through_the_call(case, loss):
    of, network = case
    rows = Rows.of(of, np.arange(1, len(of.answers), 2))
    found = []
    for evaluator in (
        network.evaluator(of, rows=rows, loss=loss),
        AutogradEvaluator(of, network, memory=2000, loss=loss).use(rows),
    ):
        gradients = {name: torch.full_like(p, torch.nan) for name, p in network.tensors.items()}
        result = evaluator(network.tensors, gradients)
        found.append((result.loss, result.accuracy, result.margin, gradients))
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-12)


def test_a_plain_loop_trains_it_and_its_tensors_follow(case):
    of, network = case
    answers = torch.as_tensor(of.answers).expand(2, -1)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    tensors, losses = network.tensors, []
    for _ in range(25):
        loss = torch.nn.functional.cross_entropy(network(of.inputs).mT, answers)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.95 * losses[0]
    assert all(torch.equal(p, tensors[name]) for name, p in network.named_parameters())


def test_it_is_saved_copied_and_moved_as_a_module(case):
    of, network = case
    before, logits = copy.deepcopy(network.state_dict()), network.logits(of)
    other = network.copy()
    with torch.no_grad():
        for p in other.parameters():
            p.mul_(1.5)
    assert not torch.allclose(other.logits(of), logits)
    assert all(torch.equal(p, before[name]) for name, p in network.tensors.items())
    other.load_state_dict(before)
    assert torch.equal(other.logits(of), logits)
    assert other.to(torch.float32) is other
    assert other.dtype == torch.float32
    assert network.dtype == torch.float64
    torch.testing.assert_close(other.logits(of).double(), logits, rtol=1e-4, atol=1e-4)
    assert network.copy().to("meta").device.type == "meta"
    alone = network.member(1)
    torch.testing.assert_close(alone.logits(of), logits[1:])
    seen = []
    handle = network.register_forward_hook(lambda module, given, out: seen.append(out.shape))
    network(of.inputs)
    handle.remove()
    assert seen == [(2, len(of.inputs), of.classes)]
    doubled = {name: 2 * p for name, p in network.tensors.items()}
    expected = network.with_parameters(doubled).logits(of)
    torch.testing.assert_close(functional_call(network, doubled, of.inputs).detach(), expected)


@pytest.mark.parametrize(
    ("make", "rows", "message"),
    [
        (CASES["mlp"][1], [0, 1], r"expected rows of shape \(row, 2\), got \(2,\)"),
        (CASES["mlp"][1], [[0, 1, 2]], r"expected rows of shape \(row, 2\), got \(1, 3\)"),
        (CASES["mlp"][1], [[0, 6]], "expected elements from 0 to 5, got 6 to 6"),
        (CASES["factored"][1], [[0, -1]], "expected elements from 0 to 5, got -1 to -1"),
        (CASES["transformer"][1], [[0, 5]], "expected elements from 0 to 4, got 5 to 5"),
        (CASES["transformer"][1], [[0.0, 1.0]], "expected rows of integers, got torch.float32"),
        (CASES["mlp on signs"][1], [[1, -1]], r"or signs of shape \(row, 5\), got \(1, 2\)"),
    ],
)
def test_rows_that_do_not_fit_are_refused(make, rows, message):
    with pytest.raises(ValueError, match=message):
        make()(rows)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_in_the_registry_says_what_training_asks(kind):
    settings = {"heads": 2, "hidden": 6} if kind == "transformer" else {}
    settings |= {} if kind == "mlp" else {"penalty": "l2"}
    recipe = Recipe(task="C5", network=kind, width=8, members=3, biases=False, **settings)
    network = initial_network(task("C5"), recipe)
    assert type(network) is network_class(kind)
    assert network.members == 3
    counted = sum(p[0].numel() for p in network.parameters())
    assert abs(network.count_parameters(task("C5"), recipe) / counted - 1) < 0.1
    assert network.norm().shape == (3,)
    assert np.isfinite(network.row_operations(task("C5"), recipe))
    if network.neurons_are_measured:
        torch.testing.assert_close(network.as_mlp().logits(task("C5")), network.logits(task("C5")))
    else:
        with pytest.raises(ValueError, match="neurons have no weight for each element"):
            network.as_mlp()


class Pairs(Network):
    """A table of logits, one for each pair: the smallest kind that there can be."""

    neurons_are_measured = False

    @classmethod
    def from_recipe(cls, task, recipe, device="cpu"):
        def draw(generator):
            shape = task.size, task.size, task.classes
            return {"table": torch.randn(shape, generator=generator, dtype=torch.float64)}

        dtype = getattr(torch, recipe.dtype)
        return cls(
            stacked_draws(
                draw, members=recipe.members, seed=recipe.seed, dtype=dtype, device=device
            )
        )

    def forward(self, rows):
        first, second = torch.as_tensor(rows).T
        return self._tensor("table")[:, first, second]

    def with_parameters(self, parameters):
        return Pairs(parameters)

    def require_task(self, task):
        assert self._tensor("table").shape[1] == task.size

    def description(self):
        return {"members": self.members}


def test_a_new_kind_is_a_class_and_a_line_in_the_registry(monkeypatch):
    module = SimpleNamespace(Pairs=Pairs)
    monkeypatch.setitem(sys.modules, "marginlens.networks.pairs", module)
    monkeypatch.setitem(KINDS, "pairs", "pairs.Pairs")
    fields = {"task": "C5", "network": "pairs", "penalty": "l2", "strength": 0.0, "members": 2}
    training = train(task("C5"), Recipe(**fields, steps=60, learning_rate=0.3, compile="never"))
    assert (training.history["accuracy"][-1] == 1).all()
    assert (training.history["norm"][-1] > 0).all()
    with pytest.raises(ValueError, match="expected mlp, factored, transformer or pairs"):
        Recipe(task="C5", network="cnn")
