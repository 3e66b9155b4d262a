"""The penalty path: each strength alone, the collapse, the limit, and what convexity demands."""

import dataclasses
import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marginlens.groups import group
from marginlens.tasks import task
from marginlens.theory import (
    ClassProgram,
    PenaltyPath,
    collapse_penalty,
    minimize_penalized_loss,
    parity_minimum,
    penalty_path,
    predict,
)

path_of = cache(penalty_path)

SPECS = ["C5", "C12", "S3", "Q8", "SL(2,3)", "A5", "S5", "compose(C5,3)", "compose(S3,3)"]
SPECS += ["parity(6,3)", "parity(50,4)", "compose(S4,5)"]


def violations(path: PenaltyPath) -> list[str]:
    """What no path of minima of cross-entropy + strength * norm can have.

    The least objective as a function of the strength is concave with slope norm, so the norm falls
    and the cross-entropy rises with the strength, and no minimum does better at another's strength.
    """
    broken = []
    slack = 1e-9
    for name, column, sign in (("norm", path.norm, 1), ("cross_entropy", path.cross_entropy, -1)):
        if (np.diff(column) * sign < -slack * (1 + np.abs(column[:-1]))).any():
            broken.append(f"{name} is not monotone")
    if np.abs(path.loss - path.cross_entropy - path.strengths * path.norm).max() > slack:
        broken.append("loss is not cross-entropy + penalty")
    others = path.cross_entropy[:, None] + np.outer(path.norm, path.strengths)
    if (others < path.loss * (1 - slack)).any():
        broken.append("another point is better at some strength")
    live = path.norm > 0
    if np.abs(path.shares.sum(axis=1) - live).max() > slack or (path.shares < 0).any():
        broken.append("shares do not add up to 1, or to 0 in the zero network")
    if not (np.isnan(path.margin_ratio) == ~live).all():
        broken.append("margin ratio where there is no network, or none where there is one")
    ratio = path.margin[live] / (path.norm[live] * path.limit.margin)
    if np.abs(ratio - path.margin_ratio[live]).max(initial=0) > slack or (ratio > 1 + slack).any():
        broken.append("margin ratio is not margin / (norm * maximum), or is above 1")
    if np.abs(path.gap).max() > 1e-9:
        broken.append("gap")
    return broken


@pytest.mark.parametrize("spec", SPECS)
def test_every_path_is_one_of_minima(spec):
    path = path_of(task(spec))
    assert violations(path) == []
    assert len(path.strengths) == 61
    edge = predict(task(spec)).collapse_penalty
    assert path.strengths[0] == edge
    assert path.strengths[-1] == pytest.approx(edge * 1e-6, rel=1e-12)
    assert (np.diff(path.strengths) < 0).all()
    assert (path.norm > 0).tolist() == [False] + [True] * 60


@pytest.mark.parametrize(
    "name", ["norm", "cross_entropy", "loss", "margin", "margin_ratio", "shares", "gap"]
)
def test_the_list_of_violations_notices_one_wrong_number(name):
    path = path_of(task("A5"))
    wrong = getattr(path, name).copy()
    wrong[30] *= 1.01
    if name == "gap":
        wrong[30] += 1e-6
    assert violations(path) == []
    assert violations(dataclasses.replace(path, **{name: wrong})) != []


@pytest.mark.parametrize("spec", ["C12", "SL(2,3)", "A5", "compose(S3,3)"])
def test_each_strength_is_the_convex_program_s(spec):
    problem = task(spec)
    program = ClassProgram.of(problem.group, inputs=problem.factors)
    edge = collapse_penalty(program)
    path = penalty_path(problem, [edge * share for share in (2.0, 0.5, 0.1, 1e-3, 1e-6)])
    for i, strength in enumerate(path.strengths.tolist()):
        minimum = minimize_penalized_loss(program, strength)
        assert path.norm[i] == pytest.approx(minimum.norm, rel=1e-13)
        assert path.cross_entropy[i] == pytest.approx(minimum.loss, rel=1e-13)
        assert path.margin[i] == pytest.approx(minimum.margin, rel=1e-13)
        if minimum.norm > 0:
            assert path.shares[i] == pytest.approx(minimum.masses / minimum.norm, abs=1e-13)


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_parity_s_path_is_its_explicit_minimum(k):
    path = penalty_path(task(f"parity(7,{k})"), [1e-2, 1e-4, 1e-7])
    for i, strength in enumerate([1e-2, 1e-4, 1e-7]):
        assert (path.cross_entropy[i], path.norm[i]) == parity_minimum(k, strength)
    assert path.margin_ratio.tolist() == [1.0] * 3
    assert path.shares.tolist() == [[1 / k] * k + [0.0] * (7 - k)] * 3


@pytest.mark.parametrize("spec", ["C71", "S3", "Q8", "A5", "S5", "compose(C5,3)", "parity(6,3)"])
def test_the_collapse_is_exactly_where_it_is_said_to_be(spec):
    problem = task(spec)
    edge = predict(problem).collapse_penalty
    path = penalty_path(problem, [edge, np.nextafter(edge, 1), 1.05 * edge, 100.0])
    assert (path.norm == 0).all()
    assert (path.shares == 0).all()
    assert np.isnan(path.margin_ratio).all()
    assert path.loss == pytest.approx(math.log(problem.classes), rel=1e-14)
    below = penalty_path(problem, [edge * (1 - 1e-9), edge * (1 - 1e-6)])
    assert (below.norm > 0).all()
    assert (below.loss <= math.log(problem.classes) * (1 + 4 * np.finfo(float).eps)).all()
    # what is left of the network goes to zero, and does not jump
    assert (below.margin < 1e-4).all()


@pytest.mark.parametrize(("spec", "order"), [("C5", 5), ("C23", 23), ("C71", 71)])
def test_on_a_prime_the_whole_path_has_the_maximum_margin(spec, order):
    """M = log((p - 1) (g / strength - 1)) / g with g = gamma*: one equation for all frequencies."""
    path = penalty_path(task(spec), decades=10.0)
    margin = path.limit.margin
    live = path.norm > 0
    assert path.margin_ratio[live] == pytest.approx(1.0, abs=1e-9)
    assert path.shares[live] == pytest.approx(2 / (order - 1), abs=1e-9)
    # p / (p - 1) gamma* is the gain of a frequency, at which the network collapses
    assert path.limit.collapse_penalty == pytest.approx(margin * (order - 1) / order, rel=1e-12)
    expected = np.log((order - 1) * (margin / path.strengths[live] - 1)) / margin
    assert path.norm[live] == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("spec", ["A5", "S4", "SL(2,3)", "Q8xC3", "compose(S3,3)"])
def test_down_to_the_limit(spec):
    """The margin rises to gamma*, and the shares go to those of the maximum-margin networks.

    At norm N the maximum-margin network has a cross-entropy of at most log(1 + (n - 1) exp(-gamma* N)),
    and the minimum, with margin m, one of at least log(1 + exp(-m)): so gamma* N - m <= log(n - 1).
    """
    path = penalty_path(task(spec), count=24, decades=12.0)
    live = path.norm > 0
    assert (np.diff(path.margin_ratio[live]) > -1e-9).all()
    shortfall = path.limit.margin * path.norm - path.margin
    assert (shortfall >= -1e-9).all()
    assert (shortfall <= math.log(task(spec).classes - 1)).all()
    assert path.norm[-1] * path.limit.margin > 20
    least = np.array([feature.least_share for feature in path.limit.features])
    most = np.array([feature.greatest_share for feature in path.limit.features])
    off = np.maximum(least - path.shares[live], path.shares[live] - most).clip(0).max(axis=1)
    assert off[-1] < 0.05
    assert off[-1] <= off[0]


def test_strengths_come_back_sorted_and_as_columns():
    path = penalty_path(task("A5"), [1e-5, 1e-3, 1e-4])
    assert path.strengths.tolist() == [1e-3, 1e-4, 1e-5]
    columns = path.columns()
    names = [f"share {feature.name}" for feature in path.limit.features]
    assert list(columns)[-4:] == names
    assert all(len(column) == 3 for column in columns.values())
    np.testing.assert_array_equal(columns["strength"], path.strengths)
    for index, name in enumerate(names):
        np.testing.assert_array_equal(columns[name], path.shares[:, index])


@pytest.mark.parametrize(
    "strengths", [[], [0.0], [-1e-4], [1e-4, float("nan")], [float("inf")], [1e-3, 0.0]]
)
def test_bad_strengths_are_refused_in_one_line(strengths):
    with pytest.raises(ValueError, match="strengths: expected finite positive numbers") as caught:
        penalty_path(task("C5"), strengths)
    assert "\n" not in str(caught.value)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["C7", "S3", "Q8", "A4", "A5", "SL(2,3)"]),
    st.floats(-7, 0.2),
    st.integers(0, 2**32 - 1),
)
def test_no_masses_beat_the_minimum(name, exponent, seed):
    """The objective at any masses, by a sum over the group's elements."""
    chosen = group(name)
    program = ClassProgram.of(chosen)
    strength = collapse_penalty(program) * 10**exponent
    path = penalty_path(task(name), [strength])
    generator = np.random.default_rng(seed)
    masses = path.norm[0] * path.shares[0] * np.exp(generator.normal(size=len(program.gains)))
    masses += path.norm[0] * generator.exponential(0.1, size=len(masses))
    masses += generator.exponential(10 ** generator.uniform(-3, 3), size=len(masses))
    characters = np.array([irrep.normalized_character for irrep in chosen.irrep_classes[1:]])
    leads = (program.gains * masses) @ (1 - characters[:, chosen.class_of])
    value = float(np.log(np.exp(-leads).sum()) + strength * masses.sum())
    assert value >= path.loss[0] * (1 - 1e-12)
