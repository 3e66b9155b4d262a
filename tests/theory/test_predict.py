"""What is promised where, and what is not."""

import math

import numpy as np
import pytest

from marginlens.tasks import task
from marginlens.theory import Penalty, predict

GROUPS = ["C2", "C3", "C5", "C12", "C23", "D5", "S3", "S4", "S5", "A4", "A5", "Q8", "Dic3", "S4xC3"]


@pytest.mark.parametrize("name", GROUPS)
def test_prediction_is_whole(name):
    problem = task(name)
    prediction = predict(problem, penalty=Penalty("homogeneous", 1e-5))
    assert prediction.norm == "L2,3"
    assert [f.name for f in prediction.features] == [f.name for f in problem.features]
    assert prediction.masses.sum() == pytest.approx(1.0, abs=1e-12)
    for feature, mass in zip(prediction.features, prediction.masses, strict=True):
        assert feature.least_share - 1e-9 <= mass <= feature.greatest_share + 1e-9
        assert feature.status in ("must", "may", "cannot")
    at_penalty = prediction.at_penalty
    absent = [
        f.name for f in prediction.features if f.status == "must" and not at_penalty.shares[f.name]
    ]
    assert bool(prediction.note) == bool(absent)
    assert all(f" {feature}," in prediction.note for feature in absent)
    assert sum(at_penalty.shares.values()) == pytest.approx(1.0, abs=1e-12)
    assert 0 < at_penalty.margin_ratio <= 1 + 1e-12
    assert abs(at_penalty.gap) < 1e-10


@pytest.mark.parametrize(
    ("name", "theorem"),
    [
        ("C2", "Theorem 9"),
        ("C3", "Theorem 7"),
        ("C71", "Theorem 7"),
        ("S5", "Theorem 9"),
        ("D5", "Theorem 9"),
        ("C12", "linear program"),
        ("A5", "linear program"),
        ("parity(6,3)", "Theorem 8"),
    ],
)
def test_theorem_is_named(name, theorem):
    assert theorem in predict(task(name)).theorem
    assert predict(task(name)).theorem.startswith("Morwani") == (theorem != "linear program")


@pytest.mark.parametrize(
    ("name", "activation", "covered"),
    [
        ("C6", "relu", "x^2"),
        ("C131", "relu", "x^2"),
        ("S3", "x^3", "x^2"),
        ("C5", "x^1", "x^2"),
        ("parity(6,3)", "x^2", "x^3"),
        ("parity(5,1)", "relu", "x^1"),
    ],
)
def test_no_theorem_no_promise(name, activation, covered):
    prediction = predict(task(name), activation, Penalty("homogeneous", 1e-3))
    assert prediction.margin is None
    assert prediction.at_penalty is None
    assert prediction.collapse_penalty is None
    assert prediction.certificate is None
    assert prediction.sufficient_width is None
    assert {f.status for f in prediction.features} == {"unknown"}
    assert covered in prediction.note
    with pytest.raises(ValueError, match="no theorem gives the shares"):
        _ = prediction.masses


def test_l2_keeps_the_margin_and_promises_nothing():
    with_l2 = predict(task("S3"), penalty=Penalty("l2", 1e-3))
    assert with_l2.margin == predict(task("S3")).margin
    assert with_l2.at_penalty is None
    assert with_l2.collapse_penalty is None
    assert "not guaranteed" in with_l2.note
    # a network of degree 2 has the L2 penalty for its homogeneous one
    linear = predict(task("parity(5,1)"), penalty=Penalty("l2", 1e-3))
    same = predict(task("parity(5,1)"), penalty=Penalty("homogeneous", 1e-3))
    assert linear.at_penalty == same.at_penalty
    assert linear.note == ""


def test_zero_strength_has_no_finite_minimum():
    prediction = predict(task("C5"), penalty=Penalty("homogeneous", 0.0))
    assert prediction.at_penalty is None
    assert prediction.collapse_penalty > 0


@pytest.mark.parametrize("name", ["C5", "S5", "A5", "parity(6,3)"])
def test_collapse(name):
    problem = task(name)
    edge = predict(problem).collapse_penalty
    for strength in (edge, 2 * edge):
        collapsed = predict(problem, penalty=Penalty("homogeneous", strength)).at_penalty
        assert (collapsed.norm, collapsed.margin, collapsed.margin_ratio) == (0.0, 0.0, None)
        assert collapsed.loss == pytest.approx(math.log(problem.classes), rel=1e-14)
        assert set(collapsed.shares.values()) == {0.0}
        assert abs(collapsed.gap) < 1e-12
    below = predict(problem, penalty=Penalty("homogeneous", edge * (1 - 1e-6))).at_penalty
    assert below.norm > 0
    assert below.loss < math.log(problem.classes)


def test_a5_forbids_its_largest_irrep():
    prediction = predict(task("A5"))
    statuses = {(f.dimension, f.status) for f in prediction.features}
    assert statuses == {(9, "must"), (16, "must"), (25, "cannot")}
    assert prediction.sufficient_width == 30 + 30 + 68
    assert np.count_nonzero(prediction.masses) == 3
