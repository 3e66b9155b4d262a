"""Observables on every group, of every kind of network, in pieces, and of renumbered elements."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from group_table import NAMES, named, relabelled
from hypothesis import example, given, settings
from hypothesis import strategies as st

from marginlens.measures import logit_spectrum, observe
from marginlens.measures.ensembles import observables
from marginlens.networks import MLP, Factored, Transformer, TransformerSettings
from marginlens.tasks import task
from marginlens.theory import parse_activation

GROUPS = tuple(name for name in NAMES if named(name).order > 1 and named(name).order <= 24)
ARRAYS = (
    "spectral_weights",
    "key",
    "spectral_count",
    "spectral_total",
    "collapsed",
    "pure",
    "dead",
)


def mlp(problem, *, members=3, width=5, activation="relu", tied=False):
    return MLP.initial(
        problem,
        parse_activation(activation),
        width=width,
        members=members,
        seed=3,
        tied=tied,
        dtype=torch.float64,
    )


def assert_alike(found, expected):
    for name in ARRAYS:
        ours, theirs = getattr(found, name), getattr(expected, name)
        assert (ours is None) == (theirs is None), name
        if theirs is not None:
            np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-13, err_msg=name)


def test_the_comparison_of_observables_notices_each_array():
    found = observe(mlp(task("S3")), task("S3"))
    assert_alike(found, found)
    compared = [name for name in ARRAYS if getattr(found, name) is not None]
    assert len(compared) > 3
    for name in compared:
        values = np.array(getattr(found, name), dtype=float)
        values.flat[0] += 1e-6
        with pytest.raises(AssertionError, match=name):
            assert_alike(SimpleNamespace(**{**vars(found), name: values}), found)


@pytest.mark.parametrize("name", GROUPS)
def test_logits_split_into_what_the_class_of_the_quotient_explains_and_the_rest(name):
    """sum b^2 is the share of the mean over rows and classes with a b c^-1 in each class."""
    problem = task(named(name))
    group = problem.group
    logits = np.random.default_rng(0).standard_normal((2, len(problem.answers), group.order))
    found = logit_spectrum(logits, problem)
    of_pair = group.class_of[group.table[problem.answers][:, group.inverses]]
    for member in range(2):
        centred = logits[member] - logits[member].mean(1, keepdims=True)
        means = [centred[of_pair == c].mean() for c in range(len(group.class_sizes))]
        share = np.square(np.array(means)[of_pair]).sum() / np.square(centred).sum()
        assert found.total[member] == pytest.approx(share, rel=1e-9)
    explained = np.real(group.characters[1:].T @ np.arange(1, len(group.characters)))[of_pair]
    assert logit_spectrum(explained[None], problem).total[0] == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("name", ["C6", "S3", "Q8", "SL(2,3)"])
def test_renumbered_elements_change_nothing(name):
    original = named(name)
    other, new = relabelled(original, 11)
    old = np.argsort(new)
    one = mlp(task(original))
    moved = one.with_parameters({slot: p[:, old] for slot, p in one.tensors.items()})
    ours, theirs = observe(one, task(original)), observe(moved, task(other))
    assert theirs.spectral_total == pytest.approx(ours.spectral_total, rel=1e-10)
    assert theirs.spectral_count.tolist() == ours.spectral_count.tolist()
    for member in range(one.members):  # irreps of the same degree may have changed places
        pair = np.sort(theirs.spectral_weights[member]), np.sort(ours.spectral_weights[member])
        np.testing.assert_allclose(*pair, atol=1e-12)


def test_beta_is_the_inner_product_with_the_character_itself_and_not_its_conjugate():
    """On C5 with logits cos(2 pi k (a + b - c) / 5 - theta): beta of k is exp(-i theta) / sqrt 2."""
    problem = task("C5")
    of_pair = (problem.answers[:, None] - np.arange(5)) % 5
    waves = np.cos(2 * np.pi * 2 * of_pair / 5 - 0.7)
    found = logit_spectrum(waves[None], problem)
    chi = np.exp(2j * np.pi * 2 * of_pair / 5)
    wanted = (waves * chi.conj()).sum() / np.linalg.norm(waves) / np.linalg.norm(chi)
    np.testing.assert_allclose(found.beta[0], [0, wanted], atol=1e-14)
    assert wanted == pytest.approx(np.exp(-0.7j) / np.sqrt(2))
    assert found.similarity[0, 1] == pytest.approx(np.cos(0.7))


@settings(max_examples=20, deadline=None)
@example(250.0, 1.0, 0)
@example(-250.0, 1.0, 0)
@given(st.floats(-250, 250), st.floats(-5, 5), st.integers(0, 2**32 - 1))
def test_scale_and_offsets_of_rows_do_not_count(exponent, offset, seed):
    logits = np.random.default_rng(seed).standard_normal((1, 36, 6))
    rows = offset * np.arange(36)[None, :, None]
    ours = logit_spectrum(logits, task("S3")).similarity
    theirs = logit_spectrum((logits + rows) * 10.0**exponent, task("S3")).similarity
    np.testing.assert_allclose(theirs, ours, atol=1e-11)
    negative = logit_spectrum(-logits, task("S3")).similarity
    np.testing.assert_allclose(negative, -ours, atol=1e-14)


@pytest.mark.parametrize("kind", ["mlp", "transformer"])
def test_pieces_of_rows_and_members_add_up(kind, monkeypatch):
    problem = task("S3")
    settings_ = TransformerSettings(width=8, heads=2, hidden=6)
    network = (
        mlp(problem)
        if kind == "mlp"
        else Transformer.initial(problem, settings_, members=3, dtype=torch.float64)
    )
    whole = observe(network, problem)
    (_, rows), *_ = observables._chunks(network, problem)
    assert len(rows) == 1
    monkeypatch.setattr(observables, "_BYTES", 4000)
    chunks = list(observables._chunks(network, problem))
    assert [members for members, _ in chunks] == [slice(i, i + 1) for i in range(3)]
    assert len(chunks[0][1]) > 1
    assert_alike(observe(network, problem), whole)


def test_tied_factored_and_float32_networks_are_their_plain_mlp():
    problem = task("A4")
    tied = mlp(problem, tied=True)
    assert_alike(observe(tied, problem), observe(tied.untied(), problem))
    factored = Factored.initial(problem, embedding=4, width=5, members=2, dtype=torch.float64)
    assert_alike(observe(factored, problem), observe(factored.as_mlp(), problem))
    single = mlp(problem).to(torch.float32)
    assert_alike(observe(single, problem), observe(single.copy().to(torch.float64), problem))


def test_a_transformer_has_logits_but_no_neurons_to_be_pure():
    problem = task("C5")
    small = TransformerSettings(width=8, heads=2, hidden=6)
    network = Transformer.initial(problem, small, members=2, dtype=torch.float64)
    found = observe(network, problem)
    expected = logit_spectrum(network.logits(problem).numpy(), problem).spectral_weights
    np.testing.assert_allclose(found.spectral_weights, expected, rtol=1e-12)
    assert found.pure is found.dead is found.pure_neurons is None
    assert found.multiplicity is found.same_feature is None


def test_neurons_that_cancel_are_alive_in_a_network_without_logits():
    one = mlp(task("C5"), members=1, width=2)
    for slot, p in one.tensors.items():
        p[:, :, 1] = -p[:, :, 0] if slot == "w" else p[:, :, 0]
    found = observe(one, task("C5"))
    assert found.collapsed.all()
    assert not found.dead.any()


@pytest.mark.parametrize(
    ("chosen", "word"), [({"key": 0.0}, "key"), ({"count": 1.0}, "count"), ({"pure": 0.5}, "pure")]
)
def test_impossible_thresholds_are_refused_in_a_line_with_a_good_one(chosen, word):
    with pytest.raises(ValueError, match=rf"^{word} is .*: take 0\.0\d+$") as caught:
        observe(mlp(task("C5")), task("C5"), **chosen)
    assert "\n" not in str(caught.value)
