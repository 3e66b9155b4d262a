"""Several layers and layer norm, against the textbook's full sequence at every position."""

import itertools
from dataclasses import replace
from functools import partial

import pytest
import torch
from textbook_networks import TextbookTransformer, some_rows
from transformer_oracle import SMALL, assert_textbook, evaluated, textbook, weighted
from transformer_oracle import network as moved_network

from marginlens.networks import (
    DeepTransformerEvaluator,
    Transformer,
    TransformerEvaluator,
    TransformerSettings,
)
from marginlens.networks.transformer.reading import readings_of
from marginlens.tasks import task

network = partial(moved_network, moved=0.1)
DEEP = {"kind": DeepTransformerEvaluator}
LAYERS = pytest.mark.parametrize("layers", [1, 2, 3])
SEQUENCES = pytest.mark.parametrize("sequence", ["ab=", "ab"])
ATTENTION = pytest.mark.parametrize("attention", [0.0, 0.5, 1.0])
LAYER_NORMS = pytest.mark.parametrize("layer_norm", ["none", "pre", "post"])


@LAYERS
@SEQUENCES
@pytest.mark.parametrize(
    ("attention", "layer_norm"),
    [*itertools.product([0.0, 0.5, 1.0], ["none", "post"]), (0.5, "pre")],
)
def test_equals_the_full_sequence_and_autograd(layers, sequence, attention, layer_norm):
    """Whole tables and weighted rows; MLPs with biases and without."""
    of = task("C5")
    settings = replace(
        SMALL,
        layers=layers,
        sequence=sequence,
        attention=attention,
        layer_norm=layer_norm,
        biases=layers != 2,
    )
    net = network(of, settings, members=2)
    assert_textbook(of, net, **DEEP)
    assert_textbook(of, net.member(1), rows=weighted(of, 0.4), **DEEP)


@pytest.mark.parametrize(("layers", "memory"), [(2, None), (3, 50_000)])
@SEQUENCES
@pytest.mark.parametrize("layer_norm", ["none", "post"])
def test_three_slots_in_any_blocks(layers, memory, sequence, layer_norm):
    of = task("compose(C5,3)")
    settings = replace(SMALL, layers=layers, sequence=sequence, layer_norm=layer_norm)
    net = network(of, settings, members=2)
    assert_textbook(of, net, memory=memory, **DEEP)
    assert_textbook(of, net.member(0), memory=memory, rows=some_rows(of, 0.3), **DEEP)


@SEQUENCES
def test_one_row_at_a_time(sequence):
    of = task("C5")
    net = network(of, replace(SMALL, layers=3, sequence=sequence), members=2)
    assert_textbook(of, net, memory=1, rows=weighted(of, 0.3), **DEEP)


def test_rows_that_come_twice_count_twice():
    of = task("C5")
    rows = some_rows(of, 0.4)
    twice = rows.take(torch.tensor([*range(len(rows)), 0, 0, 3]))
    assert_textbook(of, network(of, replace(SMALL, layers=2)), rows=twice, **DEEP)


@LAYERS
@SEQUENCES
@LAYER_NORMS
def test_our_logits_are_the_textbooks(layers, sequence, layer_norm):
    of = task("compose(S3,3)")
    settings = replace(
        SMALL, layers=layers, sequence=sequence, attention=0.3, layer_norm=layer_norm
    )
    net = network(of, settings, members=2)
    inputs = torch.as_tensor(of.inputs)
    if sequence == "ab=":
        inputs = torch.nn.functional.pad(inputs, (0, 1), value=of.size)
    for member in range(2):
        expected = TextbookTransformer(net, member)(inputs)[:, -1].detach()
        torch.testing.assert_close(net.logits(of)[member], expected, rtol=1e-11, atol=1e-11)


@ATTENTION
def test_the_mask_matters_from_the_second_layer_on(attention, monkeypatch):
    """Without it the textbook's loss is another, so that the comparison sees it; not of one layer."""
    of = task("S3")
    plain = TextbookTransformer.__init__

    def unmasked(self, *arguments):
        plain(self, *arguments)
        self.mask.fill_(1.0)

    for layers in (1, 2):
        net = network(of, replace(SMALL, layers=layers, attention=attention), members=1)
        ours = evaluated(of, net, **DEEP)[0].cross_entropy.item()
        with monkeypatch.context() as patch:
            patch.setattr(TextbookTransformer, "__init__", unmasked)
            seen = textbook(of, net, 0)[0]
        assert (abs(seen / ours - 1) < 1e-12) == (layers == 1)


@LAYER_NORMS
def test_gradient_is_the_slope_of_the_loss(layer_norm):
    """Central differences in every parameter's own direction: neither autograd nor the textbook."""
    of = task("S3")
    settings = replace(SMALL, layers=2, attention=0.6, layer_norm=layer_norm, activation="x^2")
    net = network(of, settings, members=1)
    net = net.with_parameters({name: 0.5 * p for name, p in net.tensors.items()})
    population = net.evaluator(of, rows=weighted(of))
    _, gradients = evaluated(of, net, weighted(of), **DEEP)
    generator, step = torch.Generator().manual_seed(1), 1e-6
    for name, p in net.tensors.items():
        direction = torch.randn(p.shape, generator=generator, dtype=p.dtype)
        ends = [population({**net.tensors, name: p + sign * step * direction}) for sign in (1, -1)]
        slope = (ends[0].cross_entropy - ends[1].cross_entropy).item() / (2 * step)
        assert (gradients[name] * direction).sum().item() == pytest.approx(slope, 1e-5, 1e-8), name


@pytest.mark.parametrize("attention", [0.0, 0.7])
def test_one_layer_is_what_its_tables_say(attention):
    of = task("C5")
    net = network(of, replace(SMALL, attention=attention))
    assert isinstance(net.evaluator(of), TransformerEvaluator)
    (result, gradients), (deep, found) = evaluated(of, net), evaluated(of, net, **DEEP)
    torch.testing.assert_close(deep.cross_entropy, result.cross_entropy, rtol=1e-12, atol=0)
    for name, gradient in gradients.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-10, atol=1e-12, msg=name)


@pytest.mark.parametrize("equals", [True, False])
def test_streams_are_distinct_prefixes(equals):
    """Counted one by one from the rows; every row keeps a stream of its own at the end."""
    rows = some_rows(task("compose(C5,3)"), 0.3).inputs
    readings = readings_of(rows, size=5, equals=equals, layers=3, members=1)
    length = 3 + equals
    prefixes = [{tuple(row[: j + 1]) for row in rows.tolist()} for j in range(length - 1)]
    distinct = [len(some) for some in prefixes]
    assert distinct[0] < distinct[1] < len(rows)
    written = [sum(distinct) + len(rows)] * 2 + [len(rows)]
    assert [reading.written for reading in readings] == written
    places = [look.index.shape[1:] for look in readings[1].seen]
    assert places == [(n, j + 1) for j, n in enumerate([*distinct, len(rows)])]


def test_one_layer_s_names_and_random_start_are_those_of_old_files():
    """Drawn here as one layer always was: in this order, on the CPU, from the seed alone."""
    of, generator = task("C5"), torch.Generator().manual_seed(12)
    head = (2, 4, 8)
    shapes = {
        "embed": (6, 8),
        "position": (3, 8),
        "query": head,
        "key": head,
        "value": head,
        "output": head,
        "up": (12, 8),
        "up_bias": (12,),
        "down": (12, 8),
        "down_bias": (8,),
        "unembed": (5, 8),
    }
    start = Transformer.initial(of, SMALL, seed=12, dtype=torch.float64).tensors
    assert list(start) == list(shapes)
    deep = Transformer.initial(
        of, replace(SMALL, layers=2, layer_norm="pre"), seed=12, dtype=torch.float64
    ).tensors
    for name, shape in shapes.items():
        expected = torch.zeros(shape, dtype=torch.float64)
        if not name.endswith("_bias"):
            expected = torch.randn(shape, generator=generator, dtype=torch.float64)
            expected = expected * (5 if name == "unembed" else 8) ** -0.5
        assert torch.equal(start[name][0], expected), name
        assert name == "unembed" or torch.equal(deep[name][0], expected), name
    assert deep["attention_norm_2"].eq(1).all()
    assert deep["final_norm_bias"].eq(0).all()
    assert deep["query_2"].std().item() == pytest.approx(8**-0.5, rel=0.5)


def test_a_member_is_the_same_alone_and_among_others():
    of, settings = task("S3"), replace(SMALL, layers=2, layer_norm="post")
    alone = Transformer.initial(of, settings, members=1, seed=12)
    among = Transformer.initial(of, settings, members=4, seed=10)
    for name, p in alone.tensors.items():
        assert torch.equal(p[0], among.tensors[name][2]), name
    net = network(of, settings)
    _, together = evaluated(of, net, **DEEP)
    _, single = evaluated(of, net.member(1), **DEEP)
    for name, gradient in single.items():
        torch.testing.assert_close(together[name][1], gradient[0], rtol=1e-11, atol=1e-13)
    population = DeepTransformerEvaluator(of, net)
    fewer = population(net.member(2).tensors).cross_entropy
    whole = population(net.tensors).cross_entropy
    torch.testing.assert_close(fewer[0], whole[2], rtol=1e-13, atol=0)


def test_a_comparison_sees_a_wrong_gradient():
    of, net = task("S3"), network(task("S3"), replace(SMALL, layers=2), members=1)

    class Wrong(DeepTransformerEvaluator):
        def __call__(self, parameters, gradients=None):
            result = super().__call__(parameters, gradients)
            gradients["key_2"] *= 1 + 1e-9
            return result

    with pytest.raises(AssertionError, match="key_2"):
        assert_textbook(of, net, kind=Wrong)


def test_what_is_refused():
    with pytest.raises(ValueError, match="layers is 0"):
        TransformerSettings(layers=0)
    with pytest.raises(ValueError, match='expected layer_norm "none", "pre" or "post"'):
        TransformerSettings(layer_norm="batch")
    of = task("C5")
    for settings in (replace(SMALL, layers=2), replace(SMALL, layer_norm="post")):
        net = network(of, settings, members=1)
        with pytest.raises(ValueError, match=r"take network\.evaluator"):
            TransformerEvaluator(of, net)
        assert isinstance(net.evaluator(of), DeepTransformerEvaluator)
        with pytest.raises(ValueError, match="memory is 0"):
            DeepTransformerEvaluator(of, net, memory=0)
    with pytest.raises(ValueError, match="no use for"):
        Transformer(network(of, replace(SMALL, layers=2)).tensors, SMALL).require_task(of)
