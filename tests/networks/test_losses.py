"""Losses other than cross-entropy, and biases: values and gradients against autograd of plain logits."""

import pytest
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F  # noqa: N812

from marginlens.kernels.passes import compiled_passes
from marginlens.networks import (
    MLP,
    Factored,
    Network,
    Rows,
    Transformer,
    TransformerSettings,
    evaluate,
    neuron_norms,
)
from marginlens.tasks import task
from marginlens.theory import parse_activation

pytestmark = pytest.mark.usefixtures("one_thread")


def by_definition(loss: str, logits: Tensor, answers: Tensor) -> Tensor:
    """Losses of rows (row, class), as the formulas stand in their sources."""
    right = F.one_hot(answers, logits.shape[1]).to(logits)
    if loss == "squared":
        return F.mse_loss(logits, right, reduction="none").mean(1)
    if loss == "cross_entropy":
        return F.cross_entropy(logits, answers, reduction="none")
    if logits.shape[1] == 2:
        y, f = 2.0 * answers - 1, logits[:, 1] - logits[:, 0]
        return torch.relu(1 - y * f) if loss == "hinge" else F.softplus(-y * f)
    assert loss == "hinge"
    violations = logits - (logits * right).sum(1, keepdim=True) + 1 - right
    return violations.max(1).values  # Crammer & Singer 2001: 0 for the right class itself


def table_logits(network: Network, of, leaves: dict[str, Tensor]) -> Tensor:
    return functional_call(network, leaves, of.inputs)


def mlp(of, activation="x^2", *, tied=False, biases=False) -> MLP:
    return MLP.initial(
        of,
        parse_activation(activation),
        width=6,
        members=3,
        scale=0.6,
        tied=tied,
        biases=biases,
        dtype=torch.float64,
    )


C5, S3, PARITY = task("C5"), task("S3"), task("parity(5,2)")
SETTINGS = TransformerSettings(width=8, heads=2, hidden=7)
NETWORKS = {
    "mlp": lambda: (C5, mlp(C5)),
    "relu with biases": lambda: (S3, mlp(S3, "relu", biases=True)),
    "x^2 with biases": lambda: (S3, mlp(S3, biases=True)),
    "tied": lambda: (S3, mlp(S3, tied=True)),
    "tied with biases": lambda: (C5, mlp(C5, tied=True, biases=True)),
    "parity": lambda: (PARITY, mlp(PARITY, "relu")),
    "parity with biases": lambda: (PARITY, mlp(PARITY, "relu", biases=True)),
    "two classes": lambda: (task("C2"), mlp(task("C2"), "relu^2")),
    "factored": lambda: (
        S3,
        Factored.initial(S3, embedding=4, width=6, members=2, dtype=torch.float64),
    ),
    "transformer": lambda: (C5, Transformer.initial(C5, SETTINGS, members=2, dtype=torch.float64)),
}


@pytest.mark.parametrize("part", ["whole", "some rows", "weighted rows"])
@pytest.mark.parametrize("loss", ["squared", "hinge", "logistic", "cross_entropy"])
@pytest.mark.parametrize("name", NETWORKS)
def test_losses_and_gradients_are_those_of_autograd(name, loss, part):
    of, network = NETWORKS[name]()
    if loss == "logistic" and of.classes > 2:
        with pytest.raises(ValueError, match="choose cross_entropy"):
            network.evaluator(of, loss=loss)
        return
    count = len(of.answers)
    chosen = torch.arange(0, count, 1 if part == "whole" else 2)
    weights = torch.linspace(1, 2, len(chosen), dtype=torch.float64)
    weights = weights / weights.sum() if part == "weighted rows" else weights * 0 + 1 / len(chosen)
    rows = Rows.of(of, chosen.numpy())
    if part == "whole":
        rows = None
    elif part == "weighted rows":
        rows = Rows(rows.inputs, rows.answers, weights)
    leaves = {n: p.clone().requires_grad_() for n, p in network.tensors.items()}
    logits = table_logits(network, of, leaves)[:, chosen]
    answers = torch.tensor(of.answers)[chosen]
    expected = torch.stack([(weights * by_definition(loss, f, answers)).sum() for f in logits])
    entropies = torch.stack(
        [(weights * by_definition("cross_entropy", f, answers)).sum() for f in logits]
    )
    expected.sum().backward()
    gradients = {n: torch.full_like(p, 1e3) for n, p in network.tensors.items()}
    for memory in (None, 700):  # the second takes a few rows at a time
        result = network.evaluator(of, rows=rows, memory=memory, loss=loss)(
            network.tensors, gradients
        )
        torch.testing.assert_close(result.loss, expected.detach(), rtol=1e-12, atol=0)
        torch.testing.assert_close(result.cross_entropy, entropies.detach(), rtol=1e-12, atol=0)
        own = F.one_hot(answers, of.classes).bool()
        lead = logits.masked_fill(~own, -torch.inf).amax(2) - logits.masked_fill(
            own, -torch.inf
        ).amax(2)
        right = (
            lead > 0
        ).double() @ weights  # where all neurons are off, logits tie: that is wrong
        torch.testing.assert_close(result.accuracy, right, rtol=1e-12, atol=0)
        for n, gradient in gradients.items():
            torch.testing.assert_close(gradient, leaves[n].grad, rtol=1e-10, atol=1e-14)


def test_the_hinge_has_both_sides_in_these_tests():
    of, network = NETWORKS["parity"]()
    f = network.logits(of)[0]
    losses = by_definition("hinge", f * 4, torch.tensor(of.answers))
    assert (losses == 0).any()
    assert (losses > 0).any()
    scaled = network.with_parameters({**network.tensors, "w": network.tensors["w"] * 4})
    leaves = {n: p.clone().requires_grad_() for n, p in scaled.tensors.items()}
    logits = functional_call(scaled, leaves, of.inputs)
    sum(by_definition("hinge", g, torch.tensor(of.answers)).mean() for g in logits).backward()
    gradients = {n: torch.empty_like(p) for n, p in scaled.tensors.items()}
    scaled.evaluator(of, loss="hinge")(scaled.tensors, gradients)
    for n, gradient in gradients.items():
        torch.testing.assert_close(gradient, leaves[n].grad, rtol=1e-10, atol=1e-14)


def test_cross_entropy_is_the_same_to_the_bit_whatever_else_there_is():
    of, network = NETWORKS["mlp"]()
    gradients = {n: torch.empty_like(p) for n, p in network.tensors.items()}
    plain = network.evaluator(of)(network.tensors, gradients)
    beside = network.evaluator(of, loss="squared")(network.tensors)
    assert plain.other is None
    assert torch.equal(plain.cross_entropy, beside.cross_entropy)
    assert torch.equal(plain.margin, beside.margin)


@pytest.mark.parametrize("name", ["mlp", "transformer", "x^2 with biases"])
def test_compiled_passes_leave_other_losses_and_biases_to_operators(name):
    of, network = NETWORKS[name]()
    loss = "cross_entropy" if "biases" in name else "squared"
    gradients, again = (
        {n: torch.empty_like(p) for n, p in network.tensors.items()} for _ in range(2)
    )
    rows = Rows.of(of)
    plain = network.evaluator(of, rows=rows, loss=loss)(network.tensors, gradients)
    with compiled_passes():
        result = network.evaluator(of, rows=rows, loss=loss)(network.tensors, again)
    torch.testing.assert_close(result.loss, plain.loss, rtol=1e-13, atol=0)
    for n, gradient in gradients.items():
        torch.testing.assert_close(again[n], gradient, rtol=1e-10, atol=1e-14)


def test_an_unknown_loss_is_named():
    of, network = NETWORKS["mlp"]()
    with pytest.raises(ValueError, match="'absolute', but must be one of cross_entropy, squared"):
        network.evaluator(of, loss="absolute")


# Biases


def test_without_biases_the_other_weights_start_the_same():
    with_them, without = mlp(C5, biases=True), mlp(C5)
    for name, p in without.tensors.items():
        assert torch.equal(p, with_them.tensors[name])
    assert with_them.tensors["bias"].shape == (3, 1, 6)
    assert not without.biases


@pytest.mark.parametrize("name", ["relu with biases", "tied with biases", "parity with biases"])
def test_a_bias_is_one_more_weight_of_its_neuron(name):
    of, network = NETWORKS[name]()
    network.require_task(of)
    norms = neuron_norms(network.tensors, network.uses)
    untied = network.untied()
    assert untied.biases
    squares = sum(p.square().sum(1) for p in untied.tensors.values())
    torch.testing.assert_close(norms, squares.sqrt())
    torch.testing.assert_close(untied.logits(of), network.logits(of))
    one = network.member(1).to(torch.float32)
    assert one.tensors["bias"].shape == (1, 1, 6)
    assert one.tensors["bias"].dtype == torch.float32
    # homogeneous in all of a neuron's weights together
    doubled = network.with_parameters({n: 2 * p for n, p in network.tensors.items()})
    factor = 2**network.homogeneity
    torch.testing.assert_close(
        evaluate(doubled, of).margin, factor * evaluate(network, of).margin, rtol=1e-12, atol=0
    )
    shifted = {**network.tensors, "bias": network.tensors["bias"] + 0.5}
    assert not torch.allclose(network.with_parameters(shifted).logits(of), network.logits(of))


def test_a_bias_of_another_shape_is_refused():
    network = mlp(C5, biases=True)
    wrong = {**network.tensors, "bias": torch.zeros(3, 2, 6, dtype=torch.float64)}
    with pytest.raises(ValueError, match="'bias': 2"):
        network.with_parameters(wrong).require_task(C5)
