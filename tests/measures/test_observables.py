"""Observables against their definitions, carried out loop by loop, and published numbers."""

import json

import numpy as np
import pytest
import torch
from foreign_networks import FOLDER, chughtai, needs_fixtures

from marginlens.measures import logit_spectrum, measure, norm_shares, observe
from marginlens.measures.ensembles.observables import spectral_count
from marginlens.networks import MLP, construct
from marginlens.tasks import task
from marginlens.theory import parse_activation

GROUPS = ["C5", "C6", "S3", "Q8", "A4", "D4", "SL(2,3)"]


def random_network(name: str, members: int = 3, width: int = 6, activation: str = "x^2") -> MLP:
    return MLP.initial(
        task(name),
        parse_activation(activation),
        width=width,
        members=members,
        seed=5,
        dtype=torch.float64,
    )


def weights_by_definition(logits: np.ndarray, name: str) -> np.ndarray:
    """b of one member's logits, by the sum over all (a, b, c)."""
    problem = task(name)
    group = problem.group
    n = group.order
    table = logits.reshape(n, n, n)
    centred = table - table.mean(2, keepdims=True)
    found = []
    for feature in problem.features:
        total = 0.0
        for row in feature.irrep.members:
            chi = group.characters[row][group.class_of]
            inner, length = 0.0, 0.0
            for a in range(n):
                for b in range(n):
                    for c in range(n):
                        psi = chi[group.table[group.table[a, b], group.inverses[c]]]
                        inner += centred[a, b, c] * np.conj(psi)
                        length += abs(psi) ** 2
            total += abs(inner) ** 2 / ((centred**2).sum() * length)
        found.append(np.sqrt(total))
    return np.array(found)


def purity_by_definition(network: MLP, name: str) -> np.ndarray:
    """Share of each neuron's energy in each feature, (member, neuron, feature)."""
    problem = task(name)
    shares = np.zeros((network.members, network.width, len(problem.features)))
    for m in range(network.members):
        for i in range(network.width):
            vectors = [p[m, :, i].numpy() for p in network.tensors.values()]
            vectors = [v - v.mean() for v in vectors]
            energy = sum(v @ v for v in vectors)
            for f, feature in enumerate(problem.features):
                parts = [feature.project(v) for v in vectors]
                shares[m, i, f] = sum(p @ p for p in parts) / energy
    return shares


@pytest.mark.parametrize("name", GROUPS)
def test_spectral_weights_are_those_of_the_definition(name):
    network = random_network(name)
    found = observe(network, task(name))
    logits = network.logits(task(name)).numpy()
    for member in range(3):
        wanted = weights_by_definition(logits[member], name)
        assert found.spectral_weights[member] == pytest.approx(wanted, abs=1e-12)
    assert (found.key == (found.spectral_weights >= 0.005)).all()
    assert found.spectral_total == pytest.approx((found.spectral_weights**2).sum(1))
    assert (found.spectral_total <= 1 + 1e-12).all()


def test_the_comparison_would_notice_another_character():
    network = random_network("S3", members=1)
    logits = network.logits(task("S3")).numpy()[0]
    wanted = weights_by_definition(logits, "S3")
    moved = np.roll(logits.reshape(6, 6, 6), 1, axis=2)
    assert abs(weights_by_definition(moved, "S3") - wanted).max() > 0.01


@pytest.mark.parametrize("name", GROUPS)
def test_purity_is_that_of_the_definition(name):
    network = random_network(name, width=5)
    feature = task(name).features[-1]
    for slot in network.tensors:  # make one neuron pure, and one nearly
        basis = torch.as_tensor(feature.basis.copy())
        network.tensors[slot][:, :, 0] = network.tensors[slot][:, :, 0] @ basis @ basis.T + 0.3
        inside = network.tensors[slot][:, :, 1] @ basis @ basis.T
        network.tensors[slot][:, :, 1] = inside + 0.1 * network.tensors[slot][:, :, 1]
    shares = purity_by_definition(network, name)
    for delta in (0.05, 0.2):
        found = observe(network, task(name), pure=delta)
        wanted = np.where(shares.max(2) >= 1 - delta, shares.argmax(2), -1)
        assert (found.pure == wanted).all()
        assert (found.pure[:, 0] == len(task(name).features) - 1).all()
        for f in range(len(task(name).features)):
            assert (found.pure_neurons[:, f] == (wanted == f).sum(1)).all()
    assert found.multiplicity == pytest.approx(found.pure_neurons / 5)


@pytest.mark.parametrize("name", GROUPS)
def test_a_character_as_logits_is_all_its_own(name):
    problem = task(name)
    group = problem.group
    quotient = group.table[problem.answers][:, group.inverses]
    for f, feature in enumerate(problem.features):
        chi = np.real(group.characters[feature.irrep.members[0]])[group.class_of]
        found = logit_spectrum(chi[quotient][None] * 3.0, problem)
        assert found.spectral_weights[0, f] == pytest.approx(1.0)
        assert found.total[0] == pytest.approx(1.0)


def test_three_factors_are_held_against_the_character_of_their_product():
    problem = task("compose(C3,3)")
    network = MLP.initial(problem, parse_activation("x^3"), width=4, dtype=torch.float64)
    logits = network.logits(problem).numpy()[0]
    centred = logits - logits.mean(1, keepdims=True)
    total = 0.0
    for k in (1, 2):
        psi = np.exp(2j * np.pi * k * (problem.answers[:, None] - np.arange(3)) / 3)
        total += abs((centred * psi.conj()).sum()) ** 2 / (
            (centred**2).sum() * (abs(psi) ** 2).sum()
        )
    assert observe(network, problem).spectral_weights[0] == pytest.approx([np.sqrt(total)])


def test_a_member_is_observed_alone_as_among_others():
    network = random_network("S3", members=7)
    among = observe(network, task("S3"))
    alone = observe(network.member(4), task("S3"))
    assert (alone.spectral_weights[0] == among.spectral_weights[4]).all()
    assert (alone.pure[0] == among.pure[4]).all()


def test_the_constructed_network_uses_everything():
    found = observe(construct(task("A4")), task("A4"))
    assert found.key.all()
    assert (found.pure >= 0).all()
    assert not found.collapsed.any()
    assert not found.same_feature.any()


def test_zero_is_collapsed_and_dead_and_has_no_key_feature():
    network = random_network("C5", members=2)
    for p in network.tensors.values():
        p[0] *= 1e-4
    found = observe(network, task("C5"))
    assert found.collapsed.tolist() == [True, False]
    assert found.key_sets[0] == "{}"
    assert found.spectral_count[0] == found.pure_neurons[0].sum() == 0
    assert found.dead[0].all()


def test_a_constant_neuron_is_dead_though_its_rounding_has_a_direction():
    network = random_network("C5", members=1)
    for p in network.tensors.values():
        p[0, :, 2] = 0.1 + 1e-17 * torch.arange(5)
    found = observe(network, task("C5"))
    assert found.dead[0].tolist() == [False, False, True, False, False, False]
    assert found.pure[0, 2] == -1


@pytest.mark.parametrize("name", ["S3", "C6", "Q8"])
def test_norm_shares_are_those_of_the_measurement(name):
    network = random_network(name, members=4)
    found = norm_shares(network, task(name))
    for member in range(4):
        assert found[member] == pytest.approx(measure(network, task(name), member=member).share)


def test_the_spectral_count_is_the_fewest_that_reach_the_share():
    weights = np.array([[0.9, 0.3, 0.1, 0.0], [0.5, 0.5, 0.5, 0.5]])
    assert spectral_count(weights, 0.05).tolist() == [2, 4]
    assert spectral_count(weights, 0.25).tolist() == [1, 3]


def test_what_has_no_characters_is_refused_and_so_are_numbers_that_are_none():
    parity = task("parity(4,2)")
    network = MLP.initial(parity, parse_activation("x^2"), width=2)
    with pytest.raises(ValueError, match="C5 or S3"):
        observe(network, parity)
    network = random_network("C5", members=2)
    network.tensors["u"][1, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="member 1"):
        observe(network, task("C5"))
    with pytest.raises(ValueError, match=r"\(members, 25, 5\)"):
        logit_spectrum(np.zeros((1, 24, 5)), task("C5"))


@needs_fixtures
def test_published_similarities_of_a_network_on_s5():
    network, problem = chughtai("S5_MLP_seed1")
    found = logit_spectrum(network.logits(problem).numpy(), problem)
    degree = {f.name: (f.irrep.degree, f) for f in problem.features}
    values = sorted(found.similarity[0], reverse=True)
    for wanted in (0.30900, 0.41086, 0.29436, 0.19903):
        assert min(abs(np.array(values) - wanted)) < 5e-6
    assert np.square(values)[:4].sum() == pytest.approx(0.39054, abs=5e-6)
    sign = next(i for i, (d, _) in enumerate(degree.values()) if d == 1)
    assert found.similarity[0, sign] == pytest.approx(0.30900, abs=5e-6)


@needs_fixtures
@pytest.mark.parametrize("name", ["S5_MLP_seed1", "S5_MLP_seed7", "A5_MLP_seed1"])
def test_similarities_and_key_sets_are_those_in_the_authors_files(name):
    network, problem = chughtai(name)
    folder = FOLDER / "chughtai" / name
    summary = json.loads((folder / "summary_metrics.json").read_text())
    # The file's two numbers for the degree 3 of A5 (.4201, .2257) are not those of the characters with
    # the golden ratio (.4424, .2286), which together with the others explain as much as the network's
    # own Cayley table allows; all other numbers agree to every digit given.
    theirs = [
        v
        for k, v in summary.items()
        if k.startswith("logit_") and "trace_similarity" in k and "a5_3d" not in k
    ]
    found = logit_spectrum(network.logits(problem).numpy(), problem)
    ours = found.similarity[0]
    theirs = [v for v in theirs if abs(v) > 1e-6]
    for value in theirs:
        assert min(abs(ours - value)) < 1e-5, value
    keys = [line for line in (folder / "key_reps.txt").read_text().split() if line != "trivial"]
    assert observe(network, problem).key.sum() == len(keys)


@needs_fixtures
def test_a_key_feature_need_not_have_a_pure_neuron():
    network, problem = chughtai("S5_MLP_seed7")
    found = observe(network, problem)
    impure = found.key[0] & (found.pure_neurons[0] == 0)
    weights = found.spectral_weights[0][impure]
    assert min(abs(weights - 0.0075)) < 5e-5
    (position,) = np.flatnonzero(impure & (abs(found.spectral_weights[0] - 0.0075) < 5e-5))
    assert problem.features[position].irrep.degree == 4
