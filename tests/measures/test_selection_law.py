"""Selection laws, their intervals, and tests of their symmetry."""

import itertools
import json
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from marginlens.groups import feature_permutations, group
from marginlens.measures import selection_law
from marginlens.measures.ensembles.intervals import clopper_pearson, mean_interval, wilson
from marginlens.measures.ensembles.symmetry import (
    exchangeability_test,
    holm,
    invariance_test,
    orbit_exchangeability_test,
    uniformity_test,
)


def cyclic(p: int) -> np.ndarray:
    return feature_permutations(group(f"C{p}"))


@settings(deadline=None)
@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_intervals_are_scipys(pair):
    count, runs = pair
    test = stats.binomtest(count, runs)
    for ours, method in ((clopper_pearson, "exact"), (wilson, "wilson")):
        wanted = test.proportion_ci(0.95, method=method)
        low, high = ours(np.array(count), runs)
        assert (float(low), float(high)) == pytest.approx((wanted.low, wanted.high), abs=1e-9)


def test_the_exact_interval_covers_the_truth_as_often_as_it_says():
    low, high = clopper_pearson(np.arange(21), 20)
    for p in np.linspace(0.01, 0.99, 99):
        covered = (low <= p) & (p <= high)
        assert (
            sum(comb(20, k) * p**k * (1 - p) ** (20 - k) for k in np.flatnonzero(covered)) >= 0.95
        )


def test_the_interval_of_a_mean_is_students():
    values = np.random.default_rng(0).normal(size=12)
    mean, low, high = mean_interval(values)
    assert (low, high) == pytest.approx(stats.t.interval(0.95, 11, mean, stats.sem(values)))
    assert mean_interval(np.array([2, 2, 2])) == (2.0, 2.0, 2.0)
    assert np.isnan(mean_interval(np.array([2.0]))[1])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=40))
def test_a_law_counts_what_a_person_would(rows):
    key = np.array(rows)
    law = selection_law(key, ["a", "b", "c", "d"])
    assert sum(one.count for one in law.sets) == law.runs == len(rows)
    for one in law.sets:
        assert one.count == sum(tuple(np.flatnonzero(row)) == one.features for row in key)
        assert one.simultaneous_low <= one.low <= one.probability <= one.high
        assert one.high <= one.simultaneous_high
    assert [one.count for one in law.sets] == sorted((o.count for o in law.sets), reverse=True)
    for i, j in itertools.combinations(range(4), 2):
        assert law.co_occurrence[i, j] == sum(row[i] and row[j] for row in rows)
    assert law.feature_count.tolist() == [sum(row[i] for row in rows) for i in range(4)]
    assert law.expected_count == pytest.approx(sum(map(sum, rows)) / len(rows))


def test_simultaneous_intervals_cover_all_sets_at_once():
    """Of 400 laws drawn from known probabilities, at least 95 % (less the noise) are covered whole."""
    rng = np.random.default_rng(3)
    truth = {(True, False): 0.5, (False, True): 0.3, (True, True): 0.2}
    covered = 0
    for _ in range(400):
        drawn = rng.choice(3, p=list(truth.values()), size=60)
        law = selection_law(np.array([list(truth)[i] for i in drawn]), ["a", "b"])
        covered += all(
            one.simultaneous_low
            <= truth[tuple(i in one.features for i in range(2))]
            <= one.simultaneous_high
            for one in law.sets
        )
    assert covered >= stats.binom.ppf(0.001, 400, 0.95)


@pytest.mark.parametrize("size", [3, 29, 48, 50, 60])
def test_the_bounds_of_many_sets_have_the_tiny_tails_that_define_them(size):
    runs, count = 400, 11
    key = np.zeros((runs, size), dtype=bool)
    key[:count, 0] = True
    law = selection_law(key, [f"k={k}" for k in range(1, size + 1)])
    one = next(one for one in law.sets if one.count == count)
    tail = np.log(0.025) - size * np.log(2)
    assert stats.binom.logcdf(count, runs, one.simultaneous_high) == pytest.approx(tail, rel=1e-9)
    assert stats.binom.logsf(count - 1, runs, one.simultaneous_low) == pytest.approx(tail, rel=1e-9)
    assert runs * np.log1p(-law.unseen_high) == pytest.approx(tail, rel=1e-9)


def test_no_runs_are_refused():
    with pytest.raises(ValueError, match="at least one run"):
        selection_law(np.zeros((0, 2), dtype=bool), ["a", "b"])
    with pytest.raises(ValueError, match="one for each column"):
        selection_law(np.zeros((1, 2), dtype=bool), ["a"])


def symmetric_law(p: int, runs: int, rng) -> np.ndarray:
    """Not exchangeable, but invariant: sets of one orbit of pairs only, each image equally likely."""
    permutations = cyclic(p)
    key = np.zeros((runs, permutations.shape[1]), dtype=bool)
    for row in key:
        row[permutations[rng.integers(len(permutations))][[0, 1]]] = True
    return key


TESTS = [invariance_test, uniformity_test, exchangeability_test, orbit_exchangeability_test]


@pytest.mark.parametrize("test", TESTS)
def test_p_values_are_uniform_where_the_hypothesis_holds(test):
    rng = np.random.default_rng(11)
    permutations = cyclic(11)
    values = []
    for i in range(150):
        key = np.zeros((40, 5), dtype=bool)
        for row in key:
            row[rng.choice(5, size=2, replace=False)] = True
        values.append(test(key, permutations, draws=400, seed=i).p_value)
    low, high = stats.binom.ppf([0.0005, 0.9995], 150, 0.2)
    assert low <= sum(value < 0.2 for value in values) <= high


def test_each_hypothesis_is_told_from_the_others():
    rng = np.random.default_rng(2)
    key, permutations = symmetric_law(11, 200, rng), cyclic(11)
    assert invariance_test(key, permutations).p_value > 0.01
    assert uniformity_test(key, permutations).p_value > 0.01
    assert exchangeability_test(key, permutations).p_value < 1e-3
    assert orbit_exchangeability_test(key, permutations).p_value < 1e-3
    one_sided = np.zeros((100, 5), dtype=bool)
    one_sided[:, 0] = True
    one_sided[:20, 1] = True
    assert invariance_test(one_sided, permutations).p_value < 1e-3
    assert uniformity_test(one_sided, permutations).p_value < 1e-3


@pytest.mark.parametrize(("p", "orbits"), [(5, [1, 1]), (7, [1, 1, 1]), (11, [1, 2, 2, 1, 1])])
def test_from_eleven_on_exchangeability_says_more_than_the_symmetry(p, orbits):
    """Orbits of k-sets of frequencies, by hand: one for each k at 5 and 7, two at 11 for k = 2 and 3."""
    permutations = cyclic(p)
    size = permutations.shape[1]
    for k in range(1, size + 1):
        key = np.zeros((10, size), dtype=bool)
        key[:, :k] = True
        test = orbit_exchangeability_test(key, permutations, draws=50)
        assert test.degrees_of_freedom == orbits[k - 1] - 1
        assert test.informative == (orbits[k - 1] > 1)


def test_a_small_case_by_hand():
    """Three runs on C5, all {k=1}: of 8 equally likely outcomes 2 are as extreme, p = 1/4."""
    key = np.array([[True, False]] * 3)
    test = invariance_test(key, cyclic(5), draws=100_000)
    assert (test.statistic, test.degrees_of_freedom) == (3.0, 1)
    assert test.p_value == pytest.approx(0.25, abs=0.005)


@pytest.mark.parametrize("test", TESTS)
def test_the_order_of_runs_does_not_matter_and_the_seed_decides(test):
    key = np.random.default_rng(4).random((50, 5)) < 0.4
    first = test(key, cyclic(11), draws=500)
    assert first == test(key[::-1].copy(), cyclic(11), draws=500)


def test_without_a_symmetry_there_is_nothing_to_test():
    key = np.random.default_rng(4).random((50, 2)) < 0.4
    test = invariance_test(key, feature_permutations(group("S3")))
    assert (test.p_value, test.informative, test.degrees_of_freedom) == (1.0, False, 0)


def test_many_features_are_no_trouble():
    key = np.random.default_rng(5).random((60, 56)) < 0.1
    permutations = cyclic(113)
    assert 0 < invariance_test(key, permutations, draws=200).p_value <= 1
    assert 0 < exchangeability_test(key, permutations, draws=200).p_value <= 1
    with pytest.raises(ValueError, match="orbits are listed"):
        orbit_exchangeability_test(key, permutations)


@pytest.mark.parametrize("test", TESTS)
def test_runs_that_no_symmetry_moves_say_nothing(test):
    """Collapsed runs and runs with every feature: each alone in its orbit."""
    key = np.array([[False, False]] * 7 + [[True, True]] * 13)
    found = test(key, cyclic(5), draws=50)
    assert (found.p_value, found.informative, found.degrees_of_freedom) == (1.0, False, 0)
    key[:2, 0] = True
    assert test(key, cyclic(5), draws=50).informative == (test is not orbit_exchangeability_test)


def outcomes(orbit: int, runs: int):
    """Every way that runs fall on the sets of an orbit, each equally likely."""
    for falls in itertools.product(range(orbit), repeat=runs):
        yield np.bincount(falls, minlength=orbit)


@pytest.mark.parametrize("seen", [(4, 1, 0), (2, 2, 1), (5, 0, 0), (3, 1, 1)])
def test_p_values_on_c7_are_those_of_all_outcomes(seen):
    key = np.zeros((5, 3), dtype=bool)
    key[np.arange(5), np.repeat([0, 1, 2], seen)] = True
    wanted = np.square(seen).sum()
    share = np.mean([np.square(one).sum() >= wanted for one in outcomes(3, 5)])
    for test in (invariance_test, uniformity_test, exchangeability_test):
        found = test(key, cyclic(7), draws=40_000)
        assert found.statistic == pytest.approx(wanted * 3 / 5 - 5)
        assert found.p_value == pytest.approx(share, abs=5 * np.sqrt(0.25 / 40_000))


def test_draws_made_in_parts_are_the_same_draws(monkeypatch):
    key = np.random.default_rng(6).random((50, 5)) < 0.4
    whole = [test(key, cyclic(11), draws=500) for test in TESTS]
    monkeypatch.setattr("marginlens.measures.ensembles.symmetry._ENTRIES", 70)
    assert [test(key, cyclic(11), draws=500) for test in TESTS] == whole


def exact_tail(x: int, n: int, p: float) -> float:
    return sum(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(x, n + 1))


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
def test_the_bounds_have_the_tails_that_define_them(confidence):
    n = 20
    low, high = clopper_pearson(np.arange(n + 1), n, confidence=confidence)
    assert (low[0], high[n]) == (0, 1)
    for x in range(1, n + 1):
        assert exact_tail(x, n, low[x]) == pytest.approx((1 - confidence) / 2, rel=1e-9)
        assert 1 - exact_tail(x, n, high[x - 1]) == pytest.approx((1 - confidence) / 2, rel=1e-9)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: clopper_pearson(np.array([1]), 4, sets=0), "take 1"),
        (lambda: clopper_pearson(np.array([5]), 4), "from 0 to 4"),
        (lambda: clopper_pearson(np.array([1]), 4, confidence=1.0), "take 0.95"),
        (lambda: wilson(np.array([1]), 4, confidence=95.0), "take 0.95"),
        (lambda: mean_interval(np.array([1.0, 2.0]), confidence=95.0), "take 0.95"),
        (lambda: mean_interval(np.array([])), "at least one run"),
    ],
)
def test_impossible_intervals_are_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_a_law_without_features_or_with_one_run():
    empty = selection_law(np.zeros((2, 0), dtype=bool), [])
    assert [(one.name, one.count) for one in empty.sets] == [("{}", 2)]
    single = selection_law(np.array([[True, False]]), ["a", "b"])
    assert single.sets[0].name == "{a}"
    assert json.loads(json.dumps(single.to_dict(), allow_nan=False))["expected_low"] is None
    assert single.lift[0, 0] == 1
    assert np.isnan(single.lift[0, 1])


def test_holm_by_hand():
    assert holm([0.04, 0.01]).tolist() == [0.04, 0.02]
    assert holm([]).tolist() == []
