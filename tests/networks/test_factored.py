"""The factored MLP against the textbook's, autograd and the plain MLP."""

import pytest
import torch
from textbook_networks import TextbookFactored, gradients_of, some_rows
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from marginlens.networks import evaluate
from marginlens.networks.factored import Factored, FactoredEvaluator
from marginlens.tasks import Task, task
from marginlens.theory import parse_activation


def network(of: Task, activation: str = "relu", members: int = 3) -> Factored:
    return Factored.initial(
        of, parse_activation(activation), embedding=7, width=9, members=members, dtype=torch.float64
    )


def evaluated(of: Task, net: Factored):
    """What the population gives; old values of the gradients must not matter."""
    gradients = {name: torch.full_like(p, 7.0) for name, p in net.tensors.items()}
    return FactoredEvaluator(of, net)(net.tensors, gradients), gradients


@pytest.mark.parametrize("spec", ["C5", "S3"])
def test_equals_the_textbook_and_autograd(spec):
    of, rows = task(spec), some_rows(task(spec), 1.0)
    net = network(of)
    result, gradients = evaluated(of, net)
    for member in range(net.members):
        model = TextbookFactored(net, member)
        loss = model.loss(rows.inputs, rows.answers)
        loss.backward()
        assert result.cross_entropy[member].item() == pytest.approx(loss.item(), rel=1e-13)
        expected = gradients_of(model)
        assert set(expected) == set(gradients)
        for name, gradient in expected.items():
            torch.testing.assert_close(
                gradients[name][member], gradient, rtol=1e-11, atol=1e-14, msg=name
            )


@pytest.mark.parametrize(("spec", "activation"), [("compose(C3,3)", "x^2"), ("S3", "relu^1.5")])
def test_other_slots_and_activations(spec, activation):
    of = task(spec)
    net = network(of, activation)
    result, gradients = evaluated(of, net)
    parameters = {name: p.clone().requires_grad_() for name, p in net.tensors.items()}
    logits = functional_call(net, parameters, of.inputs)
    answers = torch.as_tensor(of.answers).expand(net.members, -1)
    losses = cross_entropy(logits.mT, answers, reduction="none").mean(1)
    losses.sum().backward()
    torch.testing.assert_close(result.cross_entropy, losses.detach(), rtol=1e-12, atol=0)
    for name, p in parameters.items():
        torch.testing.assert_close(gradients[name], p.grad, rtol=1e-9, atol=1e-13, msg=name)


def test_folded_is_the_plain_mlp_of_the_same_function():
    of, net = task("S3"), network(task("S3"))
    plain = evaluate(net.as_mlp(), of)
    result, _ = evaluated(of, net)
    torch.testing.assert_close(result.cross_entropy, plain.cross_entropy, rtol=1e-13, atol=0)
    torch.testing.assert_close(result.margin, plain.margin, rtol=1e-13, atol=1e-15)
    torch.testing.assert_close(net.logits(of), net.as_mlp().logits(of))


def test_parameters_may_change_between_calls():
    of, net = task("S3"), network(task("S3"))
    population = FactoredEvaluator(of, net)
    first = population(net.tensors).cross_entropy
    moved = {name: p * 1.1 for name, p in net.tensors.items()}
    assert not torch.allclose(population(moved).cross_entropy, first)
    assert torch.equal(population(net.tensors).cross_entropy, first)


def test_a_member_is_the_same_alone_and_among_others():
    of = task("S3")
    alone = Factored.initial(of, embedding=4, width=5, seed=12)
    among = Factored.initial(of, embedding=4, width=5, seed=10, members=4)
    for name, p in alone.tensors.items():
        assert torch.equal(p[0], among.tensors[name][2]), name
        assert torch.equal(p, among.member(2).tensors[name]), name
    _, together = evaluated(of, network(of))
    _, single = evaluated(of, network(of).member(1))
    for name, gradient in single.items():
        torch.testing.assert_close(together[name][1], gradient[0], rtol=1e-12, atol=1e-14)


def test_what_is_refused():
    of, net = task("S3"), network(task("S3"))
    with pytest.raises(ValueError, match="take S5 or C113"):
        Factored.initial(task("parity(6,3)"))
    with pytest.raises(ValueError, match="take 256 and 128"):
        Factored.initial(of, embedding=0)
    without = {name: p for name, p in net.tensors.items() if name != "mix_v"}
    with pytest.raises(ValueError, match="mix_v"):
        Factored(without, net.activation).require_task(of)
    with pytest.raises(ValueError, match=r"needs \(5, d\)"):
        net.require_task(task("C5"))
    short = {**net.tensors, "w": net.tensors["w"][:, :-1]}
    with pytest.raises(ValueError, match="w has 5 rows"):
        Factored(short, net.activation).require_task(of)
