"""Stages of grokking on curves whose stages are known, and on a training."""

import math

import numpy as np
import pytest
from scipy import stats

from marginlens.measures import find_stages, first_held, grokking, onset_of_fall
from marginlens.measures.ensembles.intervals import median_interval
from marginlens.tasks import task
from marginlens.training import recipe_for, train

STEPS = np.arange(0, 20_001, 10)


def member(memorises=300, falls=9000, generalises=11_000):
    """Sharp accuracies; a test loss that rises, stays, and falls exponentially."""
    loss = np.minimum(3 + STEPS / 300, 8) * np.exp(-np.maximum(STEPS - falls, 0) / 150)
    return {
        "accuracy": np.where(memorises > STEPS, 0.3, 1.0),
        "test_accuracy": np.where(generalises > STEPS, 0.2, 0.995),
        "test_cross_entropy": loss,
    }


def stacked(*members):
    return {name: np.stack([one[name] for one in members], 1) for name in members[0]}


def stages(one, **more):
    return find_stages(
        STEPS, one["accuracy"], one["test_accuracy"], one["test_cross_entropy"], **more
    )


def test_the_three_stages_of_a_known_curve():
    found = stages(member())
    assert (found.memorised, found.generalised) == (300, 11_000)
    assert (found.delay, found.ratio) == (10_700, pytest.approx(110 / 3))
    assert found.clean_up == pytest.approx(9000, abs=30)
    assert [(name, start, end) for name, start, end in found.spans()] == [
        ("memorisation", 0, 300),
        ("circuit formation", 300, found.clean_up),
        ("clean-up", found.clean_up, 11_000),
    ]


def test_the_onset_is_the_knee_also_in_noise_and_with_uneven_records():
    rng = np.random.default_rng(0)
    steps = np.unique(np.geomspace(1, 20_000, 3000).astype(int))
    loss = 5 * np.exp(-np.maximum(steps - 6000, 0) / 900.0)
    assert onset_of_fall(steps, loss) == pytest.approx(6000, abs=20)
    noisy = loss * np.exp(rng.normal(0, 0.003, len(steps)))
    assert onset_of_fall(steps, noisy) == pytest.approx(6000, abs=500)
    assert onset_of_fall(steps, loss * 1e-9) == onset_of_fall(steps, loss)  # of its logarithm
    assert onset_of_fall(steps, 1 / loss) is None
    assert onset_of_fall(steps[:2], loss[:2]) is None
    # a fall before the window does not count
    early = np.where(steps < 50, 100.0, 5.0) * np.exp(-np.maximum(steps - 6000, 0) / 900.0)
    assert onset_of_fall(steps, early, start=100) == pytest.approx(6000, abs=20)


def test_accuracy_must_be_held_but_a_late_spike_does_not_undo_it():
    accuracy = np.zeros(100)
    accuracy[10] = 1.0
    accuracy[40:] = 0.99
    accuracy[80] = 0.1
    steps = np.arange(100)
    assert first_held(steps, accuracy) == 40
    assert first_held(steps, accuracy, hold=1) == 10
    assert first_held(steps, accuracy, threshold=0.995) is None
    accuracy[95:], accuracy[40:95] = 1.0, 0.5
    assert first_held(steps, accuracy, hold=50) == 95  # as many as there are
    with pytest.raises(ValueError, match=r"take 0\.99 and 5"):
        first_held(steps, accuracy, hold=0)


def test_a_member_that_never_groks_is_said_to_be_late_not_left_out():
    never = member(generalises=10**6, falls=10**6)
    found = stages(never)
    assert (found.memorised, found.generalised, found.clean_up, found.delay) == (300, *[None] * 3)
    assert found.spans() == [("memorisation", 0, 300), ("not generalised yet", 300, 20_000)]
    lost = stages(member(memorises=10**6, generalises=10**6))
    assert lost.spans() == [("memorisation", 0, 20_000)]
    times = [5000, 6000, 7000, 8000, 9000]
    curves = stacked(*(member(generalises=g, falls=g - 1000) for g in times), never, never)
    one = grokking(STEPS, curves)
    assert one.grokked.tolist() == [True] * 5 + [False] * 2
    assert one.share == pytest.approx((5 / 7, *stats.binomtest(5, 7).proportion_ci()))
    assert one.delay == (7700.0, 4700.0, math.inf)  # all seven: the median is the fourth
    record = one.to_dict()
    assert record["delay"] == {"median": 7700.0, "low": 4700.0, "high": None}
    assert record["steps"] == 20_000
    mostly = grokking(STEPS, stacked(member(), never, never))
    assert mostly.delay[0] == math.inf
    assert all(map(math.isnan, mostly.delay[1:]))
    none = grokking(STEPS, stacked(member(memorises=10**6, generalises=10**6)))
    assert all(map(math.isnan, (*none.delay, *none.ratio)))


def test_both_at_once_is_no_grokking():
    found = stages(member(memorises=500, generalises=500, falls=200))
    assert (found.delay, found.clean_up) == (0, None)
    assert found.spans() == [("memorisation", 0, 500)]
    assert stages(member(memorises=500, generalises=400)).delay == -100


def test_progress_measures_move_the_boundary_to_the_least_excluded_loss():
    excluded = np.abs(np.log((STEPS + 1) / 1401.0)) + 0.1
    sparse = np.where(STEPS % 200 == 0, excluded, np.nan)
    restricted = 5 * np.exp(-np.maximum(STEPS - 4000, 0) / 200)
    found = stages(member(), excluded=sparse, restricted=restricted)
    assert found.formation == 1400
    assert found.circuit == pytest.approx(4000, abs=30)
    assert found.spans()[1][:2] == ("circuit formation", 1400)
    assert found.memorised == 300


def test_curves_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match="value at each of the steps"):
        find_stages(STEPS[:0], *[np.ones(0)] * 3)
    with pytest.raises(ValueError, match="--train-fraction"):
        grokking(STEPS, {"accuracy": np.ones((len(STEPS), 1))})


@pytest.mark.parametrize("runs", [6, 9, 20])
def test_the_interval_of_a_median_covers_it(runs):
    ordered = np.arange(1.0, runs + 1)
    middle, low, high = median_interval(ordered[::-1].copy())
    assert middle == np.median(ordered)
    k = int(low)
    assert (low, high) == (k, runs + 1 - k)
    assert 2 * stats.binom.cdf(k - 1, runs, 0.5) <= 0.05 < 2 * stats.binom.cdf(k, runs, 0.5)


def test_a_median_of_nothing_is_refused_and_few_have_no_interval():
    assert all(map(math.isnan, median_interval(np.arange(5.0))[1:]))
    for values in (np.array([]), np.array([np.nan])):
        with pytest.raises(ValueError, match="at least one run"):
            median_interval(values)


def test_a_training_with_rows_held_back_has_stages():
    problem = task("C5")
    recipe = recipe_for(
        problem,
        width=24,
        train_fraction=0.7,
        strength=1e-3,
        learning_rate=0.02,
        steps=200,
        members=2,
        schedule="constant",
        compile="never",
        snapshots=0,
    )
    training = train(problem, recipe)
    found = grokking(training.steps, training.history)
    for index, one in enumerate(found.stages):
        accuracy = training.history["accuracy"][:, index]
        assert one.memorised is not None
        at = int(np.flatnonzero(training.steps == one.memorised)[0])
        assert (accuracy[at : at + 5] >= 0.99).all()
        assert at == 0 or accuracy[at - 1] < 0.99
        assert one.last == 200
