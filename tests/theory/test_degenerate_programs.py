"""Degenerate linear programs: solvers fail on some of them, so every answer is checked."""

import itertools
import json
import sys

import numpy as np
import pytest
import scipy.optimize

from marginlens.figures import shares_caption, shares_figure
from marginlens.groups import group
from marginlens.measures import measure
from marginlens.networks import construct
from marginlens.report import feature_summary, report
from marginlens.runs import execute
from marginlens.tasks import task
from marginlens.theory import ClassProgram, penalty_path, predict, solve_margin
from marginlens.theory.group.share_bounds import share_bounds
from marginlens.verdict import judge

BOREL = "<[[1,1],[0,1]],[[0,1],[1,0]]> mod 5"  # order 240


def residual(payoff, value, index, share):
    """Distance to feasibility of {m >= 0, sum m = 1, B m >= value, m_index = share}, and its proof.

    By nonnegative least squares, which is no linear programming at all. The residual vector r of an
    infeasible system separates it: r . column <= 0 for each column, r . right side > 0.
    """
    classes, irreps = payoff.shape
    system = np.zeros((classes + 2, irreps + classes))
    system[:classes, :irreps] = payoff
    system[:classes, irreps:] = -np.eye(classes)
    system[classes, :irreps] = 1.0
    system[classes + 1, index] = 1.0
    right = np.append(np.full(classes, value), [1.0, share])
    solution, _ = scipy.optimize.nnls(system, right, maxiter=100 * (classes + irreps))
    rest = right - system @ solution
    separates = (rest @ system).max() <= 1e-12 and rest @ right > 1e-12
    return np.linalg.norm(rest), separates


@pytest.mark.parametrize(
    ("name", "margin"),
    [(BOREL, 4.502825132e-05), ("SL(2,5)xC4", 1.476778074e-05), ("D3xDic3", None), ("A4xC5", None)],
)
def test_shares_are_attained_and_not_exceeded(name, margin):
    program = ClassProgram.of(group(name))
    solution = solve_margin(program)
    assert solution.certificate.gap < 1e-12
    if margin is not None:
        assert solution.margin == pytest.approx(margin, rel=1e-9)
    value = solution.margin / program.scale
    assert not solution.unique
    for index, (least, greatest) in enumerate(zip(solution.least, solution.greatest, strict=True)):
        for share in {least, greatest}:
            assert residual(program.payoff, value, index, share)[0] < 1e-7
        for share in (least - 1e-3, greatest + 1e-3):
            assert share < 0 or residual(program.payoff, value, index, share)[1]


def fail(*_, **__):
    return scipy.optimize.OptimizeResult(success=False, x=None, status=4, message="Not Set")


def unless(broken, answer):
    """A solver that fails, or answers otherwise, where ``broken`` says so of its arguments."""
    solve = scipy.optimize.linprog
    return lambda *args, **named: (answer if broken(named) else solve)(*args, **named)


def promised(verdict):
    return {claim.name for claim in verdict.claims if claim.promised}


def of_shares(named):
    return named["bounds"] == (None, None)


@pytest.mark.parametrize(
    "broken",
    [
        lambda named: named["method"] == "highs-ds",
        lambda named: named["options"]["presolve"],
        lambda named: named["options"]["primal_feasibility_tolerance"] < 1e-7,
    ],
)
def test_where_one_solver_fails_another_gives_the_same(monkeypatch, broken):
    program = ClassProgram.of(group("D3xDic3"))
    expected = solve_margin(program)
    monkeypatch.setattr(scipy.optimize, "linprog", unless(broken, fail))
    solution = solve_margin(program)
    assert solution.certificate.gap < 1e-12
    np.testing.assert_allclose(solution.least, expected.least, atol=1e-7)
    np.testing.assert_allclose(solution.greatest, expected.greatest, atol=1e-7)


def test_a_wrong_answer_called_optimal_is_not_believed(monkeypatch):
    program = ClassProgram.of(group("D3xDic3"))
    expected = solve_margin(program)
    solve = scipy.optimize.linprog

    def half(*args, **named):
        found = solve(*args, **named)
        found.x, found.fun = found.x / 2, found.fun / 2
        found.ineqlin.marginals *= 0.5
        return found

    monkeypatch.setattr(scipy.optimize, "linprog", unless(of_shares, half))
    solution = solve_margin(program)
    open_ends = np.isnan(solution.least) | np.isnan(solution.greatest)
    assert open_ends.any()
    assert not solution.unique
    for found, true in ((solution.least, expected.least), (solution.greatest, expected.greatest)):
        known = ~np.isnan(found)
        np.testing.assert_allclose(found[known], true[known], atol=1e-7)


def test_shares_that_no_solver_determines_are_said_to_be_open(monkeypatch, call):
    problem = task("D3xDic3")
    network = construct(problem)
    before = judge(predict(problem), measure(network, problem))
    problem = task("D3xDic3")  # another object: what is solved is kept
    monkeypatch.setattr(scipy.optimize, "linprog", unless(of_shares, fail))
    prediction = predict(problem)
    unknown = [f for f in prediction.features if f.status == "unknown"]
    assert prediction.proved
    assert prediction.margin == pytest.approx(solve_margin(ClassProgram.of(problem.group)).margin)
    assert 0 < len(unknown) < len(prediction.features)
    assert all(f.least_share is f.greatest_share is None for f in unknown)
    assert "not determined" in prediction.note
    assert "not determined" in prediction.shown().text()
    assert f"{len(unknown)} are not determined" in feature_summary(prediction)
    assert json.loads(json.dumps(prediction.to_dict()))["features"]
    assert np.isfinite(penalty_path(problem, [1e-4]).loss).all()
    code, printed, _ = call("predict", "D3xDic3")
    assert code == 0
    assert "not determined" in " ".join(printed.split())
    judged = judge(prediction, measure(network, problem))
    assert promised(before) - promised(judged) == {"shares"}
    assert judged.holds
    run = execute(problem, width=6, steps=1, snapshots=2)
    monkeypatch.setattr(sys.modules["marginlens.report"], "FIGURES", {})  # they take their time
    assert "not determined" in report(run)
    assert shares_figure(run).data
    assert shares_caption(run)


def test_a_margin_that_no_solver_finds_is_bounded(monkeypatch):
    true = predict(task("A5")).margin
    monkeypatch.setattr(scipy.optimize, "linprog", fail)
    prediction = predict(task("A5"))
    assert prediction.certificate.lower < true < prediction.certificate.upper
    assert not prediction.proved
    assert "lies between" in prediction.note
    assert {f.status for f in prediction.features} == {"unknown"}
    exact = predict(task("C7"))  # a closed form needs no solver
    assert exact.proved


def test_shares_of_a_small_game_by_hand():
    # two wrong answers, three irreps: m3 earns the mean of the others, so any mixture is as good
    payoff = np.array([[2.0, 0.0, 1.0], [0.0, 2.0, 1.0]])
    found = share_bounds(payoff, np.array([0.5, 0.5]), np.array([0.5, 0.5, 0.0]))
    assert found.least == pytest.approx([0.0, 0.0, 0.0], abs=1e-12)
    assert found.greatest == pytest.approx([0.5, 0.5, 1.0], abs=1e-12)
    assert not found.unique


def products(greatest):
    """Every product of two families up to an order, each group's shortest name."""
    families = [("C1", 1)]
    families += [(f"C{n}", n) for n in range(2, greatest + 1)]
    families += [(f"D{n}", 2 * n) for n in range(3, greatest // 2 + 1)]
    families += [(f"Dic{n}", 4 * n) for n in range(2, greatest // 4 + 1)]
    families += [("S4", 24), ("S5", 120), ("S6", 720), ("A4", 12), ("A5", 60), ("A6", 360)]
    families += [("SL(2,3)", 24), ("SL(2,5)", 120), ("SL(2,7)", 336)]
    for (left, m), (right, n) in itertools.combinations_with_replacement(families, 2):
        abelian = left[0] == right[0] == "C"  # the closed form: no solver
        if m * n <= greatest and not abelian:
            yield right if left == "C1" else f"{left}x{right}"


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_every_product_of_two_families_is_predicted(part):
    names = list(products(720))[part::8]
    assert len(names) > 400
    for name in names:
        prediction = predict(task(name))
        assert prediction.certificate.gap < 1e-12, name
        for feature in prediction.features:
            assert feature.status != "unknown", name
            # nothing lies near the threshold between "must" and "may", "may" and "cannot"
            for share in (feature.least_share, feature.greatest_share):
                assert share == 0.0 or share > 1e-6, name
