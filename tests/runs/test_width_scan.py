"""Networks narrower than the sufficient width."""

import numpy as np
import pytest

from marginlens.measures import measure
from marginlens.runs import train_narrow, width_scan
from marginlens.tasks import task
from marginlens.theory import predict
from marginlens.training import recipe_for, train


@pytest.fixture(scope="module")
def c3():
    return train_narrow(task("C3"), [2, 6], seeds=2, steps=1200)


@pytest.mark.system
def test_each_width_and_seed_has_its_numbers(c3):
    assert c3.widths.tolist() == [2, 6]
    assert c3.margin_ratio.shape == (2, 2)
    assert c3.counts.shape == (2, 2, 1)
    assert c3.features == ("k=1",)
    assert c3.prediction.margin == predict(task("C3")).margin


@pytest.mark.system
def test_the_sufficient_width_reaches_the_maximum_and_narrower_ones_do_not(c3):
    assert c3.prediction.sufficient_width == 6
    assert c3.best[-1] > 0.995
    assert (c3.best[:-1] < 0.98).all()
    assert (c3.margin_ratio <= 1 + 1e-12).all()  # gamma* is an upper bound at every width
    np.testing.assert_array_equal(c3.best, c3.margin_ratio.max(axis=1))


def test_counts_add_up_to_the_live_neurons():
    """Against a training done by hand in the same three stages."""
    c5, width, seeds, steps = task("C5"), 9, 3, 60
    found = train_narrow(c5, [width], seeds=seeds, steps=steps, seed=7)
    edge, network = predict(c5).collapse_penalty, None
    for stage, below in enumerate((30.0, 1e3, 1e5)):
        recipe = recipe_for(
            c5,
            width=width,
            members=seeds,
            seed=7,
            steps=steps,
            strength=edge / below,
            learning_rate=0.03 / 3**stage,
            dtype="float64",
            snapshots=0,
        )
        network = train(c5, recipe, start=network).network
    for member in range(seeds):
        alone = measure(network, c5, member=member)
        assert found.counts[0, member].sum() == alone.live.sum()
        assert found.counts[0, member].tolist() == alone.count.tolist()
        ratio = alone.normalized_margin / found.prediction.margin
        assert found.margin_ratio[0, member] == pytest.approx(ratio, rel=1e-12)
    assert (found.counts.sum(axis=2) <= width).all()


def test_the_best_allocation_is_that_of_the_best_seed():
    prediction = predict(task("C5"))
    found = width_scan.NarrowNetworks(
        prediction,
        np.array([4, 8]),
        np.array([[0.2, 0.7], [-0.1, -0.3]]),
        np.array([[[4, 0], [1, 3]], [[2, 6], [8, 0]]]),
    )
    assert found.best.tolist() == [0.7, -0.1]
    assert found.best_counts.tolist() == [[3, 1], [6, 2]]  # the largest number first


def test_a_wide_ensemble_is_the_same_seed_by_seed():
    both = train_narrow(task("C3"), [3], seeds=2, steps=40)
    second = train_narrow(task("C3"), [3], seeds=1, steps=40, seed=1)
    assert both.margin_ratio[0, 1] == pytest.approx(second.margin_ratio[0, 0], rel=1e-9)


def test_widths_are_done_once_each_and_in_order():
    done = []
    found = train_narrow(task("C3"), [4, 2, 4], seeds=1, steps=2, progress=done.append)
    assert found.widths.tolist() == [2, 4]
    assert done == [1, 2]


@pytest.mark.parametrize("spec", ["parity(4,2)", "S3", "compose(C3,3)"])
def test_other_tasks(spec):
    found = train_narrow(task(spec), [3], seeds=2, steps=30)
    assert found.margin_ratio.shape == (1, 2)
    assert np.isfinite(found.margin_ratio).all()
    assert found.counts.shape == (1, 2, len(task(spec).features))


@pytest.mark.parametrize(
    ("widths", "options", "words"),
    [
        ([], {}, "must be at least 1, e.g. widths 2, 4, 6"),
        ([0, 3], {}, "must be at least 1"),
        ([3], {"seeds": 0}, "must be at least 1"),
        ([3], {"steps": 0}, "must be at least 1"),
        ([3, 10**7], {}, "width: "),
        ([3], {"seeds": 10**6}, "members: "),
        ([3], {"seed": -1}, "seed: "),
    ],
)
def test_bad_input_is_refused_before_training(monkeypatch, widths, options, words):
    monkeypatch.setattr(width_scan, "train", lambda *a, **k: pytest.fail("a training was begun"))
    with pytest.raises(ValueError, match=words) as caught:
        train_narrow(task("C3"), widths, **{"seeds": 2, "steps": 5, **options})
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_every_width_up_to_the_sufficient_one_on_c3():
    """Three neurons reach .965 of the maximum, and a fourth and fifth gain nothing.

    A wider network can do all that a narrower one does: what falls is what the search missed.
    """
    found = train_narrow(task("C3"), range(2, 7))
    assert found.best[0] < 0.3
    assert found.best[1:4] == pytest.approx(0.965, abs=2e-3)
    assert (np.diff(found.best) > -2e-3).all()
    assert found.best[-1] > 0.998
    assert (found.best_counts[:, 0] <= found.widths).all()


@pytest.mark.slow
def test_on_c5_neurons_come_in_whole_numbers():
    """Below 12 neurons the maximum is not reached; at 12 both frequencies have six."""
    found = train_narrow(task("C5"), [4, 6, 8, 10, 12], seeds=32, steps=3000)
    assert (np.diff(found.best) > 0).all()
    assert found.best[-2] < 0.9
    assert found.best[-1] > 0.999
    assert found.best_counts[-1].tolist() == [6, 6]
