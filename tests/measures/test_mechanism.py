"""Mechanisms against brute force: characters, projections, cosets, gradients."""

import itertools

import numpy as np
import pytest
import torch

from marginlens.groups import group
from marginlens.groups.subgroups import left_cosets, right_cosets, subgroups
from marginlens.measures import (
    coset_concentration,
    distance_irrelevance,
    examine,
    examine_network,
    gini,
    gradient_symmetricity,
    measure,
    progress,
)
from marginlens.measures.logits.losses import mean_cross_entropy
from marginlens.measures.neurons.representations import hidden_shares, logit_ablations
from marginlens.networks import MLP, Factored, Transformer, TransformerSettings, construct
from marginlens.tasks import task
from marginlens.theory import algorithm, parse_activation

SMALL = ["C5", "C6", "S3", "Q8", "A4"]


def network_of(name, kind, seed=0):
    problem = task(name)
    if kind == "mlp":
        return MLP.initial(
            problem, parse_activation("relu"), width=7, seed=seed, dtype=torch.float64
        )
    if kind == "factored":
        return Factored.initial(problem, embedding=5, width=7, seed=seed, dtype=torch.float64)
    settings = TransformerSettings(width=8, heads=2, hidden=9, sequence=kind, attention=0.7)
    return Transformer.initial(problem, settings, seed=seed, dtype=torch.float64)


def plain_loss(logits, answers):
    shifted = logits - logits.max(1, keepdims=True)
    log = np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(logits)), answers]
    return log.mean()


@pytest.mark.parametrize("name", SMALL)
def test_ablations_of_logits_by_the_definition(name):
    problem = task(name)
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(problem.size**2, problem.size))
    key = np.arange(len(problem.features)) % 2 == 0
    train = np.sort(rng.permutation(len(logits))[: len(logits) // 2])
    found = logit_ablations(logits, problem, key, train)
    centred = logits - logits.mean(1, keepdims=True)
    known = problem.group
    total = np.zeros_like(logits)
    for index, feature in enumerate(problem.features):
        chi = sum(known.characters[i] for i in feature.irrep.members).real
        psi = np.zeros_like(logits)
        for row, c in itertools.product(range(len(logits)), range(problem.size)):
            quotient = known.table[problem.answers[row], known.inverses[c]]
            psi[row, c] = chi[known.class_of[quotient]]
        part = (centred * psi).sum() / (psi * psi).sum() * psi
        assert found.restricted[index] == pytest.approx(plain_loss(part, problem.answers))
        without = plain_loss((logits - part)[train], problem.answers[train])
        assert found.excluded[index] == pytest.approx(without)
        total += part * key[index]
    assert found.total_restricted == pytest.approx(plain_loss(total, problem.answers))
    rest = plain_loss((logits - total)[train], problem.answers[train])
    assert found.total_excluded == pytest.approx(rest)


def test_progress_on_a_cyclic_group_by_cosine_and_sine():
    """The projection onto cos and sin of w(a + b), by their inner products with every class's logits."""
    p, problem = 7, task("C7")
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(p * p, p))
    key = np.array([True, False, True])
    train = np.arange(0, 49, 3)
    found = progress(logits, problem, key, train)
    total = np.zeros_like(logits)
    sums = problem.inputs.sum(1)
    for k, is_key in zip((1, 2, 3), key, strict=True):
        part = np.zeros_like(logits)
        for wave in (np.cos(2 * np.pi * k * sums / p), np.sin(2 * np.pi * k * sums / p)):
            unit = wave / np.linalg.norm(wave)
            part += unit[:, None] * (unit @ logits)
        each = plain_loss((logits - part)[train], problem.answers[train])
        assert found.excluded_each[k - 1] == pytest.approx(each)
        total += part * is_key
    kept = plain_loss(total + logits.mean(0), problem.answers)
    assert found.restricted == pytest.approx(kept)
    assert found.excluded == pytest.approx(
        plain_loss((logits - total)[train], problem.answers[train])
    )


@pytest.mark.parametrize("kind", ["mlp", "factored", "ab", "ab="])
@pytest.mark.parametrize("name", ["C5", "S3"])
def test_hidden_shares_by_projections_of_functions_of_pairs(name, kind):
    """Every function of pairs in the span of the matrix elements of a, b or ab."""
    problem, network = task(name), network_of(name, kind)
    hidden = network.hidden(problem)[0].numpy()
    logits = network.logits(problem)[0].detach().numpy()
    key = np.ones(len(problem.features), dtype=bool)
    found = hidden_shares(network, problem, logits, key)
    centred = hidden - hidden.mean(0)
    a, b = problem.inputs.T
    for index, feature in enumerate(problem.features):
        places = (a, found.left), (b, found.right), (problem.answers, found.product)
        for place, ours in places:
            span = np.linalg.qr(feature.basis[place])[0]
            share = np.square(span.T @ centred).sum() / np.square(centred).sum()
            assert ours[index] == pytest.approx(share), (feature.name, index)
        basis = np.concatenate([np.full((problem.size, 1), 1.0), feature.basis], axis=1)
        both = np.einsum("ri,rj->rij", basis[a], basis[b]).reshape(len(a), -1)
        span = np.linalg.qr(both)[0]
        live = np.square(centred).sum(0) > 0
        power = np.square(span.T @ centred[:, live]).sum(0) / np.square(centred[:, live]).sum(0)
        assert np.array_equal(live, found.frequency >= 0)
        mine = found.frequency[live] == index
        assert found.share[live][mine] == pytest.approx(power[mine])
        assert (found.share[live] >= power - 1e-9).all()


@pytest.mark.parametrize("kind", ["mlp", "factored", "ab", "ab="])
def test_gradient_symmetricity_by_finite_differences(kind):
    """Each gradient from differences of the network's own logits, with one embedding moved at a time."""
    problem = task("C3")
    network = network_of("C3", kind, seed=3)
    found = gradient_symmetricity(network, problem)
    assert found.exact
    assert found.triples == 27
    cosines = []
    for a, b in itertools.product(range(3), repeat=2):
        gradients = [_differences(network, problem, a, b, slot) for slot in (0, 1)]
        for c in range(3):
            first, second = gradients[0][:, c], gradients[1][:, c]
            cosines.append(first @ second / np.linalg.norm(first) / np.linalg.norm(second))
    assert found.mean == pytest.approx(np.mean(cosines), abs=1e-6)


def _differences(network, problem, a, b, slot):
    """d logits(a, b) / d embedding of one slot: a copy of the element with a table row of its own."""
    size = problem.size
    wide = task(f"C{size + 1}")
    names = {"mlp": ("u", "v"), "factored": ("embed_u", "embed_v")}
    kind = type(network).__name__.lower()
    name = names[kind][slot] if kind in names else "embed"
    element, rows = (a, b)[slot], []
    for coordinate, sign in itertools.product(range(network.tensors[name].shape[2]), (1, -1)):
        parameters = {key: p.clone() for key, p in network.tensors.items()}
        for key in parameters:
            if key in (names.get(kind) or ("embed",)):
                table = parameters[key]
                extra = table[:, element : element + 1].clone()
                if key == name:
                    extra[0, 0, coordinate] += sign * 1e-6
                parameters[key] = torch.cat([table[:, :size], extra, table[:, size:]], dim=1)
        for key in ("w", "unembed"):
            if key in parameters:
                padding = torch.zeros_like(parameters[key][:, :1])
                parameters[key] = torch.cat([parameters[key], padding], dim=1)
        pair = [a, b]
        pair[slot] = size
        logits = network.with_parameters(parameters).logits(wide)[0]
        rows.append(logits[pair[0] * (size + 1) + pair[1], :size].detach().numpy())
    plus, minus = np.array(rows[::2]), np.array(rows[1::2])
    return (plus - minus) / 2e-6


@pytest.mark.parametrize("name", ["C6", "S3", "A4", "Q8"])
def test_distance_irrelevance_by_its_sentence(name):
    problem = task(name)
    logits = np.random.default_rng(2).normal(size=(problem.size**2, problem.size))
    known = problem.group
    groups = {}
    right = logits[np.arange(len(logits)), problem.answers]
    for (a, b), value in zip(problem.inputs, right, strict=True):
        groups.setdefault(int(known.table[a, known.inverses[b]]), []).append(value)
    wanted = np.mean([np.std(values) for values in groups.values()]) / np.std(right)
    assert distance_irrelevance(logits, problem) == pytest.approx(wanted)
    assert np.isnan(distance_irrelevance(np.zeros_like(logits), problem))


@pytest.mark.parametrize(
    ("name", "count"), [("C12", 6), ("S3", 6), ("D4", 10), ("Q8", 6), ("A4", 10), ("S4", 30)]
)
def test_numbers_of_subgroups_are_those_of_the_books(name, count):
    assert len(subgroups(group(name))) == count


@pytest.mark.parametrize("name", ["C6", "S3", "D4", "Q8"])
def test_subgroups_are_all_closed_subsets(name):
    known = group(name)
    n = known.order
    found = {tuple(np.flatnonzero(mask)) for mask in subgroups(known)}
    for bits in range(1, 2**n):
        members = np.flatnonzero(bits >> np.arange(n) & 1)
        closed = set(known.table[np.ix_(members, members)].ravel()) <= set(members)
        assert closed == (tuple(members) in found)


@pytest.mark.parametrize("name", ["C6", "C7", "C2xC2", "S3", "D6", "Q8", "A4", "SL(2,3)"])
def test_cosets_partition_and_functions_of_them_have_no_variance_inside(name):
    known = group(name)
    masks = [mask for mask in subgroups(known) if 1 < mask.sum() < known.order]
    rng = np.random.default_rng(0)
    for mask in masks:
        members = np.flatnonzero(mask)
        left, right = left_cosets(known, mask), right_cosets(known, mask)
        for a in range(known.order):
            assert set(known.table[a, members]) == set(np.flatnonzero(left == left[a]))
            assert set(known.table[members, a]) == set(np.flatnonzero(right == right[a]))
    if not masks:
        with pytest.raises(ValueError, match="group with proper subgroups"):
            coset_concentration(np.ones((known.order, 1)), np.ones((known.order, 1)), known)
        return
    values = rng.normal(size=known.order)
    u = values[left_cosets(known, masks[-1])][:, None]
    v = values[right_cosets(known, masks[-1])][:, None]
    both = coset_concentration(
        np.hstack([u, np.ones_like(u)]), np.hstack([v, np.ones_like(v)]), known
    )
    assert both.left[0] == pytest.approx(0, abs=1e-12)
    assert both.right[0] == pytest.approx(0, abs=1e-12)
    assert np.isnan(both.left[1])
    assert both.left_order[1] == 0


def test_verdicts_of_textbook_functions_need_weights():
    clock = algorithm("clock", group("C11"), frequencies=[2, 3]).logits.reshape(121, 11)
    pizza = algorithm("pizza", group("C11"), frequencies=[2, 3]).logits.reshape(121, 11)
    for logits in (clock, pizza):
        found = examine(logits, task("C11"))
        assert found.clock_pizza.verdict == "unknown"
        assert found.key_features == ("k=2", "k=3")
        assert "clock_or_pizza" in found.unknown
    assert found.clock_pizza.distance_irrelevance == pytest.approx(0, abs=1e-9)
    assert examine(clock, task("C11")).to_dict()["distance_irrelevance"] is None


def test_random_logits_are_neither():
    network = network_of("C11", "ab")
    assert examine_network(network, task("C11")).clock_pizza.verdict == "neither"


@pytest.mark.parametrize("name", ["C5", "S3", "Q8"])
def test_the_maximum_margin_network_is_made_of_its_features(name):
    problem = task(name)
    found = examine_network(construct(problem), problem)
    assert found.accuracy == 1
    assert float(found.spectrum.total[0]) == pytest.approx(1)
    if name == "C5":  # (cos A + cos B)^2: 2 cos A cos B, and cos 2A / 2 and cos 2B / 2 of another k
        assert found.hidden.share == pytest.approx(0.8)
    assert sum(found.weights["u"]) == pytest.approx(1)
    assert found.progress.restricted == pytest.approx(found.loss)
    if name == "C5":
        assert found.clock_pizza.verdict == "mixed"
        assert "hardly varies" in found.clock_pizza.evidence[1]
    assert found.progress.excluded == pytest.approx(np.log(problem.size))


@pytest.mark.parametrize("kind", ["tensor", "array", "table", "list"])
def test_measure_takes_logits_of_any_library(kind):
    problem = task("C5")
    logits = construct(problem).logits(problem)[0]
    given = {
        "tensor": logits.clone().requires_grad_(True),
        "array": logits.numpy(),
        "table": logits.numpy().reshape(5, 5, 5),
        "list": logits.tolist(),
    }[kind]
    found = measure(logits=given)
    assert (found.task, found.accuracy, found.neurons) == ("C5", 1, None)
    assert found.logits.key_features == ("k=1", "k=2")
    assert found.logits.weights is None
    assert found.logits.to_dict()["gini"] is None


@pytest.mark.parametrize(
    ("logits", "name", "words"),
    [
        (np.zeros(5), None, "expected (a, b, class) or (row, class)"),
        (np.zeros((25, 5)), "S3", "S3 needs (6, 6, 6)"),
        (np.full((25, 5), np.nan), "C5", "finite"),
        (np.zeros((25, 5)), "nonsense", "unknown task"),
    ],
)
def test_logits_that_cannot_be_measured(logits, name, words):
    with pytest.raises(ValueError, match=r"\S") as error:
        measure(logits=logits, task=name)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_gini_and_losses_by_their_definitions():
    values = np.random.default_rng(0).exponential(size=9)
    pairs = np.abs(values[:, None] - values[None]).sum() / (2 * 9**2 * values.mean())
    assert gini(values) == pytest.approx(pairs)
    assert gini(np.zeros(3)) == 0
    logits = np.random.default_rng(0).normal(size=(4, 3))
    answers = np.array([0, 2, 1, 1])
    assert mean_cross_entropy(logits, answers) == pytest.approx(plain_loss(logits, answers))
