"""Certificates recomputed from the Cayley table alone."""

import dataclasses

import numpy as np
import pytest
from group_table import relabelled

from marginlens.groups import group
from marginlens.tasks import task
from marginlens.theory import ClassProgram, certify, predict, verify_bounds, verify_file
from marginlens.theory.group.verification import best_neuron_bound, network_margin

SPECS = ["C2", "C12", "C23", "S3", "D6", "Q8", "Q16", "A4", "SL(2,3)", "S4", "A5", "Q8xC3"]
SPECS += ["compose(S3,3)", "compose(C5,4)", "compose(Q8,3)"]


@pytest.mark.parametrize("spec", SPECS)
def test_the_bounds_meet(spec):
    certificate = predict(task(spec)).certificate
    found = certificate.verify()
    assert found.holds(1e-10)
    assert found.lower == pytest.approx(certificate.lower, rel=1e-11, abs=0)
    assert found.upper == pytest.approx(certificate.upper, rel=1e-11, abs=0)


def test_the_ideals_are_those_of_the_irreps():
    found = predict(task("SL(2,3)")).certificate.verify()
    expected = sorted(
        (irrep.dimension, round(irrep.norm_constant**2))
        for irrep in group("SL(2,3)").irrep_classes[1:]
    )
    assert sorted(ideal[:2] for ideal in found.ideals) == expected


@pytest.mark.parametrize("spec", ["A5", "Q8", "compose(S3,3)"])
def test_a_corrupted_network_or_adversary_fails(spec):
    certificate = predict(task(spec)).certificate
    table = task(spec).group.table
    weights, tau = certificate.network(), certificate.element_distribution()
    assert verify_bounds(table, weights, tau).holds()
    wrong = [weight.copy() for weight in weights]
    wrong[-1][0, 0] += 1e-3 * np.abs(wrong[-1]).max()
    assert not verify_bounds(table, tuple(wrong), tau).holds()
    uneven = tau.copy()
    first, second = np.flatnonzero(tau)[:2]
    uneven[first] += 1e-4
    uneven[second] -= 1e-4
    assert not verify_bounds(table, weights, uneven).holds()
    poor = certify(certificate.program, np.ones(len(certificate.distribution)), certificate.masses)
    if poor.gap > 1e-6:
        assert not poor.verify().holds()


def test_a_poor_certificate_is_told_by_its_gap():
    program = ClassProgram.of(group("A5"))
    poor = certify(program, np.ones(4), np.ones(4))
    found = poor.verify()
    assert not found.holds()
    assert found.gap > 0.01
    assert found.lower == pytest.approx(poor.lower, rel=1e-10, abs=0)
    assert found.upper == pytest.approx(poor.upper, rel=1e-10, abs=0)


def test_the_bound_against_any_distribution_is_that_of_the_characters():
    """On class functions the two ways of computing the best neuron's value agree."""
    generator = np.random.default_rng(1)
    for name in ("S4", "Q8", "C12", "SL(2,3)"):
        program = ClassProgram.of(group(name))
        for _ in range(3):
            tau = generator.dirichlet(np.ones(len(program.classes)))
            certificate = certify(program, tau, np.ones(len(program.costs)))
            bound, _, residual = best_neuron_bound(
                group(name).table, certificate.element_distribution()
            )
            assert bound == pytest.approx(certificate.upper, rel=1e-10, abs=0)
            assert residual < 1e-10


def test_a_relabelled_group_has_the_same_bounds():
    mixed, _ = relabelled(group("A4"), 3)
    found = predict(task(mixed)).certificate.verify()
    assert found.holds()
    assert found.lower == pytest.approx(predict(task("A4")).margin, rel=1e-11, abs=0)


def test_a_saved_certificate_needs_nothing_else(tmp_path):
    certificate = predict(task("compose(S3,3)")).certificate
    certificate.save(tmp_path / "s3.npz")
    found = verify_file(tmp_path / "s3.npz")
    assert found.holds()
    assert found.lower == pytest.approx(certificate.lower, rel=1e-11, abs=0)


def test_bad_files_are_refused_in_one_line(tmp_path):
    (tmp_path / "text.npz").write_text("not an archive")
    np.savez(tmp_path / "other.npz", table=group("S3").table)
    certificate = predict(task("S3")).certificate
    certificate.save(tmp_path / "good.npz")
    arrays = dict(np.load(tmp_path / "good.npz"))
    np.savez(tmp_path / "table.npz", **{**arrays, "table": np.ones((6, 6), dtype=int)})
    np.savez(tmp_path / "tau.npz", **{**arrays, "tau": arrays["tau"] * 2})
    np.savez(tmp_path / "narrow.npz", **{**arrays, "u1": arrays["u1"][:, 1:]})
    for name, words in (
        ("text", "not a readable certificate"),
        ("other", "expected arrays table, tau, u1"),
        ("table", "no group"),
        ("tau", "6 probabilities that add up to 1"),
        ("narrow", r"expected real numbers of shape \(6, 12\) for u1, got float64"),
        ("missing", "not a readable certificate"),
    ):
        with pytest.raises(ValueError, match=words) as caught:
            verify_file(tmp_path / f"{name}.npz")
        assert "\n" not in str(caught.value)


def test_a_table_too_large_to_evaluate_is_refused_with_the_number():
    c3 = group("C3")
    certificate = predict(task(c3)).certificate
    weights = tuple(np.repeat(weight, 10, axis=1) for weight in certificate.network())
    assert network_margin(c3.table, weights) > 0
    with pytest.raises(ValueError, match="multiplications, got"):
        predict(task("compose(A5,5)")).certificate.verify()


def test_the_certificate_s_lower_bound_is_checked_not_believed():
    certificate = predict(task("S3")).certificate
    lying = dataclasses.replace(certificate, lower=certificate.lower * 2, upper=1.0)
    assert lying.verify().lower == pytest.approx(certificate.lower, rel=1e-11, abs=0)
