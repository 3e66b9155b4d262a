"""What must not depend on how a group is written down, and bounds that nothing may pass."""

import numpy as np
import pytest
from group_table import named, relabelled
from hypothesis import given, settings
from hypothesis import strategies as st

from marginlens.groups import group
from marginlens.tasks import task
from marginlens.theory import (
    ClassProgram,
    Penalty,
    certify,
    group_weights,
    predict,
    solve_margin,
    verify_bounds,
)

NAMES = st.sampled_from(["C7", "C12", "S4", "Q8", "SL(2,3)", "A5", "D6", "C2xC2xC4", "S3xC4"])
SMALL = st.sampled_from(["C5", "S3", "Q8", "D5", "A4"])


def shares(prediction) -> list[tuple]:
    """Shares in an order of their own: names of irreps of one degree may be exchanged."""
    return sorted(
        (f.dimension, f.type, f.status, round(f.least_share, 9), round(f.greatest_share, 9))
        for f in prediction.features
    )


@settings(max_examples=25, deadline=None)
@given(NAMES, st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_relabelling_changes_nothing(name, seed, k):
    original = named(name) if name in ("C7", "S4") else group(name)
    mixed, _ = relabelled(original, seed)
    penalty = Penalty("homogeneous", 1e-5)
    ours = predict(task(original, inputs=k), penalty=penalty)
    theirs = predict(task(mixed, inputs=k), penalty=penalty)
    assert theirs.margin == pytest.approx(ours.margin, rel=1e-11, abs=0)
    assert shares(theirs) == shares(ours)
    assert theirs.at_penalty.loss == pytest.approx(ours.at_penalty.loss, rel=1e-10, abs=0)
    assert theirs.theorem9_applies == ours.theorem9_applies


@settings(max_examples=20, deadline=None)
@given(SMALL, st.integers(0, 2**32 - 1))
def test_an_automorphism_carries_one_maximum_margin_network_to_another(name, seed):
    """Conjugation, and on cyclic groups multiplication by a unit, applied to the weights."""
    chosen = group(name)
    generator = np.random.default_rng(seed)
    if chosen.is_abelian:
        unit = int(
            generator.choice([u for u in range(1, chosen.order) if np.gcd(u, chosen.order) == 1])
        )
        image = np.arange(chosen.order) * unit % chosen.order
    else:
        g = int(generator.integers(chosen.order))
        image = chosen.table[chosen.table[g], chosen.inverses[g]]
    np.testing.assert_array_equal(
        chosen.table[np.ix_(image, image)], image[chosen.table]
    )  # an automorphism
    certificate = solve_margin(ClassProgram.of(chosen)).certificate
    weights = tuple(weight[image] for weight in certificate.network())
    found = verify_bounds(chosen.table, weights, certificate.element_distribution()[image])
    assert found.holds()
    assert found.lower == pytest.approx(certificate.lower, rel=1e-10, abs=0)


@settings(max_examples=40, deadline=None)
@given(NAMES, st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_no_adversary_and_no_masses_pass_the_optimum(name, seed, k):
    program = ClassProgram.of(group(name), inputs=k)
    best = solve_margin(program).margin
    generator = np.random.default_rng(seed)
    spread = 10 ** generator.uniform(-1.5, 1.5)
    other = certify(
        program,
        generator.dirichlet(np.full(len(program.classes), spread)) + 1e-300,
        generator.dirichlet(np.full(len(program.costs), spread)) + 1e-300,
    )
    assert other.lower <= best * (1 + 1e-12)
    assert other.upper >= best * (1 - 1e-12)


@settings(max_examples=15, deadline=None)
@given(SMALL, st.integers(0, 2**32 - 1), st.sampled_from(["simplex", "signs"]))
def test_no_network_of_any_masses_passes_the_dual_bound(name, seed, method):
    chosen = group(name)
    certificate = solve_margin(ClassProgram.of(chosen)).certificate
    generator = np.random.default_rng(seed)
    masses = generator.dirichlet(np.ones(len(certificate.masses)))
    masses = np.where(masses < 1e-5, 0.0, masses)
    weights = group_weights(chosen, masses, method=method)
    noisy = tuple(w + 0.02 * generator.normal(size=w.shape) * np.abs(w).max() for w in weights)
    for network in (weights, noisy):
        found = verify_bounds(chosen.table, network, certificate.element_distribution())
        assert found.lower <= certificate.upper * (1 + 1e-10)
        assert found.attained <= certificate.upper * (1 + 1e-10)
