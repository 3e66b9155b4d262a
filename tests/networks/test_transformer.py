"""Transformers from tables, against the textbook's full sequence, autograd and finite differences."""

from dataclasses import replace

import pytest
import torch
from textbook_networks import TextbookTransformer, some_rows
from torch.func import functional_call
from torch.nn.functional import cross_entropy
from transformer_oracle import SMALL, assert_textbook, evaluated, network, weighted

from marginlens.networks import Rows, Transformer, TransformerEvaluator, TransformerSettings
from marginlens.tasks import task

VARIANTS = [
    pytest.param(sequence, attention, biases, id=f"{sequence} {attention} biases={biases}")
    for sequence in ("ab=", "ab")
    for attention in (0.0, 0.5, 1.0)
    for biases in (True, False)
]


@pytest.mark.parametrize(("sequence", "attention", "biases"), VARIANTS)
@pytest.mark.parametrize("spec", ["C5", "S3"])
def test_equals_the_full_sequence_and_autograd(spec, sequence, attention, biases):
    settings = replace(SMALL, sequence=sequence, attention=attention, biases=biases)
    assert_textbook(task(spec), network(task(spec), settings))


@pytest.mark.parametrize(("sequence", "attention", "biases"), VARIANTS)
def test_some_rows_with_weights(sequence, attention, biases):
    of = task("S3")
    settings = replace(SMALL, sequence=sequence, attention=attention, biases=biases)
    assert_textbook(of, network(of, settings), rows=weighted(of))
    assert_textbook(of, network(of, settings), rows=some_rows(of, 0.4))


@pytest.mark.parametrize("sequence", ["ab=", "ab"])
@pytest.mark.parametrize("attention", [0.0, 0.7])
def test_three_slots(sequence, attention):
    of = task("compose(S3,3)")
    net = network(of, replace(SMALL, sequence=sequence, attention=attention), members=2)
    assert_textbook(of, net)
    assert_textbook(of, net, memory=10_000)


@pytest.mark.parametrize("activation", ["x^2", "relu^1.5", "leaky_relu(0.1)"])
def test_other_activations_against_autograd_of_our_own_logits(activation):
    of = task("S3")
    net = network(of, replace(SMALL, activation=activation))
    result, gradients = evaluated(of, net)
    parameters = {name: p.clone().requires_grad_() for name, p in net.tensors.items()}
    logits = functional_call(net, parameters, of.inputs)
    answers = torch.as_tensor(of.answers).expand(net.members, -1)
    losses = cross_entropy(logits.mT, answers, reduction="none").mean(1)
    losses.sum().backward()
    torch.testing.assert_close(result.cross_entropy, losses.detach(), rtol=1e-12, atol=0)
    for name, p in parameters.items():
        torch.testing.assert_close(gradients[name], p.grad, rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.parametrize("sequence", ["ab=", "ab"])
def test_our_logits_are_the_textbooks(sequence):
    of = task("S3")
    net = network(of, replace(SMALL, sequence=sequence, attention=0.3))
    inputs = torch.as_tensor(of.inputs)
    if sequence == "ab=":
        inputs = torch.nn.functional.pad(inputs, (0, 1), value=of.size)
    for member in range(net.members):
        expected = TextbookTransformer(net, member)(inputs)[:, -1].detach()
        torch.testing.assert_close(net.logits(of)[member], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", list(SMALL.shapes(task("S3"))))
def test_gradient_is_the_slope_of_the_loss(name):
    """Central differences of the population's own loss: neither autograd nor the textbook."""
    of = task("S3")
    net = network(of, replace(SMALL, attention=0.6), members=1)
    population = TransformerEvaluator(of, net, rows=weighted(of))
    _, gradients = evaluated(of, net, weighted(of))
    direction = torch.randn(
        net.tensors[name].shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    step = 1e-6
    ends = [
        population({**net.tensors, name: net.tensors[name] + sign * step * direction})
        for sign in (1, -1)
    ]
    slope = (ends[0].cross_entropy - ends[1].cross_entropy).item() / (2 * step)
    assert (gradients[name] * direction).sum().item() == pytest.approx(slope, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("sequence", ["ab=", "ab"])
@pytest.mark.parametrize("attention", [0.0, 0.5])
@pytest.mark.parametrize("memory", [1, 700, 5_000, 20_000])
def test_blocks_do_not_matter(sequence, attention, memory):
    """One row at a time, some rows, some members: the same sums in another order."""
    of = task("S3")
    net = network(of, replace(SMALL, sequence=sequence, attention=attention))
    whole, expected = evaluated(of, net)
    result, gradients = evaluated(of, net, memory=memory)
    torch.testing.assert_close(result.cross_entropy, whole.cross_entropy, rtol=1e-13, atol=0)
    torch.testing.assert_close(result.margin, whole.margin, rtol=1e-12, atol=1e-13)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-11, atol=1e-13, msg=name)


def test_chunks_of_the_cache_do_not_matter(monkeypatch):
    of, net = task("S3"), network(task("S3"))
    _, expected = evaluated(of, net)
    monkeypatch.setattr("marginlens.networks.transformer.transformer_evaluator.CACHE", 2000)
    assert TransformerEvaluator(of, net).chunk < len(of.answers)
    _, gradients = evaluated(of, net)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-11, atol=1e-13, msg=name)


def test_a_large_margin_keeps_its_digits_in_single_precision():
    """Losses far below float32's resolution at 1, where log_softmax returns zero."""
    of = task("C5")
    net = Transformer.initial(of, SMALL, dtype=torch.float64)
    fitted = {name: p.clone() for name, p in net.tensors.items()}
    gradients = {name: torch.zeros_like(p) for name, p in fitted.items()}
    for name, p in fitted.items():
        p.grad = gradients[name]
    population = TransformerEvaluator(of, net)
    optimizer = torch.optim.Adam(fitted.values(), lr=0.02)
    for _ in range(400):
        result = population(fitted, gradients)
        optimizer.step()
    assert result.accuracy.item() == 1
    fitted["unembed"] *= 30 / population(fitted).margin.item()
    single = Transformer({name: p.float() for name, p in fitted.items()}, SMALL)
    double = Transformer({name: p.double() for name, p in single.tensors.items()}, SMALL)
    expected = TransformerEvaluator(of, double)(double.tensors).cross_entropy.item()
    assert expected < 1e-10
    got = TransformerEvaluator(of, single)(single.tensors).cross_entropy.item()
    assert got == pytest.approx(expected, rel=1e-4)


def test_a_member_is_the_same_alone_and_among_others():
    of = task("S3")
    alone = Transformer.initial(of, SMALL, members=1, seed=12)
    among = Transformer.initial(of, SMALL, members=4, seed=10)
    for name, p in alone.tensors.items():
        assert torch.equal(p[0], among.tensors[name][2]), name
        assert torch.equal(p, among.member(2).tensors[name]), name
    assert not torch.equal(among.tensors["embed"][1], among.tensors["embed"][2])
    _, together = evaluated(of, network(of))
    _, single = evaluated(of, network(of).member(1))
    for name, gradient in single.items():
        torch.testing.assert_close(together[name][1], gradient[0], rtol=1e-12, atol=1e-14)


def test_one_population_serves_fewer_members_and_changing_parameters():
    of, net = task("S3"), network(task("S3"))
    population = TransformerEvaluator(of, net)
    first = population(net.tensors).cross_entropy
    last = population(net.member(2).tensors).cross_entropy
    torch.testing.assert_close(last[0], first[2], rtol=1e-13, atol=0)
    moved = {name: p * 1.1 for name, p in net.tensors.items()}
    assert not torch.allclose(population(moved).cross_entropy, first)
    assert torch.equal(population(net.tensors).cross_entropy, first)


def test_what_is_refused():
    with pytest.raises(ValueError, match='take "ab=" or "ab"'):
        TransformerSettings(sequence="ba")
    with pytest.raises(ValueError, match="outside 0 to 1"):
        TransformerSettings(attention=1.5)
    with pytest.raises(ValueError, match="heads=3"):
        TransformerSettings(width=9, heads=4)
    with pytest.raises(ValueError, match="hidden is 0"):
        TransformerSettings(hidden=0)
    with pytest.raises(ValueError, match="as C113 or S5"):
        Transformer.initial(task("parity(6,3)"), SMALL)
    with pytest.raises(ValueError, match="embed is of shape"):
        network(task("C5")).logits(task("S3"))
    missing = {name: p for name, p in network(task("C5")).tensors.items() if name != "key"}
    with pytest.raises(ValueError, match="key is missing"):
        Transformer(missing, SMALL).require_task(task("C5"))
    bare = replace(SMALL, biases=False)
    with pytest.raises(ValueError, match="no use for"):
        Transformer(network(task("C5")).tensors, bare).require_task(task("C5"))


def test_rows_that_are_refused():
    of, net = task("C5"), network(task("C5"))
    rows = some_rows(of, 0.5)
    for name, value, message in (
        ("inputs", rows.inputs[:, :1], "shape"),
        ("inputs", rows.inputs + 5, "0 to 4"),
        ("answers", rows.answers - 5, "0 to 4"),
    ):
        wrong = replace(rows, **{name: value})
        with pytest.raises(ValueError, match=message):
            TransformerEvaluator(of, net, rows=wrong)
    none = Rows(inputs=rows.inputs[:0], answers=rows.answers[:0], weights=None)
    with pytest.raises(ValueError, match="no rows"):
        TransformerEvaluator(of, net, rows=none)
    with pytest.raises(ValueError, match="memory is 0"):
        TransformerEvaluator(of, net, memory=0)
