"""Which rows are trained on, with which labels, in which batches."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marginlens.networks import Rows
from marginlens.tasks import Task, task
from marginlens.training import Recipe, split
from marginlens.training.data import Batches

NAMES = ("C5", "S3", "parity(6,3)", "compose(C3,3)")


def recipe_of(name: str, **changes) -> Recipe:
    return Recipe(task=name, **changes)


def indices(of: Task, rows: Rows) -> list[int]:
    """Where rows are in the table; each is there once."""
    place = {tuple(row): index for index, row in enumerate(of.inputs.tolist())}
    return [place[tuple(row)] for row in rows.inputs.tolist()]


def wrong_labels(of: Task, rows: Rows) -> np.ndarray:
    """Indices in the table of rows with another answer than the right one."""
    where = np.array(indices(of, rows))
    return where[rows.answers.numpy() != of.answers[where]]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(NAMES), st.floats(0.05, 0.95), st.floats(0, 0.99), st.integers(0, 2**62 - 1))
def test_a_split_is_a_partition_with_its_share_of_wrong_labels(name, fraction, corrupt, seed):
    of = task(name)
    kept = round(fraction * len(of.answers))
    corrupt = corrupt if round(corrupt * kept) else 0.0  # a share that is no row is refused
    recipe = recipe_of(name, train_fraction=fraction, corrupt=corrupt, split_seed=seed)
    data = split(of, recipe)
    train, test = indices(of, data.train), indices(of, data.test)
    count = len(of.answers)
    assert len(train) == round(fraction * count)
    assert sorted(train + test) == list(range(count))  # each row once
    assert train == sorted(train)  # in the table's order
    assert test == sorted(test)
    assert len(wrong_labels(of, data.train)) == round(corrupt * len(train))
    assert len(wrong_labels(of, data.test)) == 0
    labels = data.train.answers
    assert labels.min() >= 0
    assert labels.max() < of.classes
    assert data.train.weights is None
    again = split(of, recipe)
    for one, two in ((data.train, again.train), (data.test, again.test)):
        assert torch.equal(one.inputs, two.inputs)
        assert torch.equal(one.answers, two.answers)
    clean = split(of, recipe_of(name, train_fraction=fraction, split_seed=seed))
    assert indices(of, clean.train) == train  # labels do not decide which rows


@pytest.mark.parametrize("name", NAMES)
def test_the_whole_table_with_right_answers_is_nothing_to_split(name):
    data = split(task(name), recipe_of(name))
    assert data.train is None
    assert data.test is None


@pytest.mark.parametrize("name", NAMES)
def test_corruption_of_the_whole_table_holds_nothing_back(name):
    of = task(name)
    before = of.answers.copy()
    data = split(of, recipe_of(name, corrupt=0.3))
    assert data.test is None
    assert indices(of, data.train) == list(range(len(of.answers)))
    assert len(wrong_labels(of, data.train)) == round(0.3 * len(of.answers))
    np.testing.assert_array_equal(of.answers, before)  # the task is as it was


def test_another_seed_is_another_split_and_another_corruption():
    of = task("S3")
    splits = [
        split(of, recipe_of("S3", train_fraction=0.5, corrupt=0.5, split_seed=seed))
        for seed in range(10)
    ]
    assert len({tuple(indices(of, data.train)) for data in splits}) == 10
    assert len({tuple(data.train.answers.tolist()) for data in splits}) == 10


def test_the_training_seed_does_not_move_the_split():
    of = task("S3")
    one, two = (split(of, recipe_of("S3", train_fraction=0.5, seed=seed)) for seed in (0, 1))
    assert indices(of, one.train) == indices(of, two.train)


def test_every_row_is_held_back_and_corrupted_as_often_as_its_share():
    """Over 600 seeds, within five standard deviations, and every wrong label is as likely."""
    of = task("C5")
    trained, wrong, by = np.zeros(25), np.zeros(25), np.zeros(5)
    for seed in range(600):
        data = split(of, recipe_of("C5", train_fraction=0.4, corrupt=0.5, split_seed=seed))
        trained[indices(of, data.train)] += 1
        where = np.array(indices(of, data.train))
        shift = (data.train.answers.numpy() - of.answers[where]) % 5
        wrong[where[shift > 0]] += 1
        by += np.bincount(shift, minlength=5)
    assert np.abs(trained - 240).max() < 5 * np.sqrt(600 * 0.4 * 0.6)
    assert np.abs(wrong - 120).max() < 5 * np.sqrt(600 * 0.2 * 0.8)
    assert by[0] == 3000  # half of ten rows each time stay right
    assert np.abs(by[1:] - 750).max() < 5 * np.sqrt(3000 * 0.25 * 0.75)


@pytest.mark.parametrize(
    ("fraction", "words"),
    [
        (0.01, "a train fraction of 0.01 of 25 rows leaves none to train on; try 0.5"),
        (0.02, "leaves none to train on"),
        (0.99, "a train fraction of 0.99 of 25 rows leaves none to test on; try 0.5"),
    ],
)
def test_a_split_with_an_empty_side_is_refused_in_one_line(fraction, words):
    with pytest.raises(ValueError, match=words) as caught:
        split(task("C5"), recipe_of("C5", train_fraction=fraction))
    assert "\n" not in str(caught.value)


def test_a_task_without_rows_is_not_split():
    with pytest.raises(ValueError, match="with listed rows to train or measure"):
        split(task("parity(17,2)"), recipe_of("parity(17,2)", train_fraction=0.5))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 25), st.integers(0, 2**62 - 1), st.integers(0, 1000))
def test_an_epoch_takes_each_row_at_most_once(size, seed, epoch):
    rows = Rows.of(task("C5"))
    batches = Batches(rows, size, seed)
    assert batches.each == 25 // size
    steps = range(epoch * batches.each, (epoch + 1) * batches.each)
    taken = torch.cat([batches.indices(step) for step in steps])
    assert len(taken) == batches.each * size > 25 - size  # less than a batch is left over
    assert len(taken.unique()) == len(taken)
    assert int(taken.min()) >= 0
    assert int(taken.max()) < 25


@settings(max_examples=30)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=20))
def test_a_batch_depends_on_its_step_alone(order):
    """Whatever was asked before, in whatever order: training can go on at any step."""
    rows = Rows.of(task("S3"))
    used = Batches(rows, 7, 5)
    for step in order:
        batch, fresh = used.indices(step), Batches(rows, 7, 5).indices(step)
        assert torch.equal(batch, fresh)
        taken = used.at(step)
        assert torch.equal(taken.inputs, rows.inputs[fresh])
        assert torch.equal(taken.answers, rows.answers[fresh])


def test_epochs_and_seeds_differ():
    rows = Rows.of(task("C5"))
    epochs = [tuple(Batches(rows, 25, 0).indices(epoch).tolist()) for epoch in range(20)]
    seeds = [tuple(Batches(rows, 25, seed).indices(0).tolist()) for seed in range(20)]
    assert len(set(epochs)) == 20
    assert len(set(seeds)) == 20
    assert all(sorted(order) == list(range(25)) for order in epochs + seeds)


def test_corrupted_labels_reach_the_batches():
    of = task("C5")
    rows = split(of, recipe_of("C5", corrupt=0.4, train_fraction=0.8)).train
    batches = Batches(rows, 4, 1)
    seen = [batches.at(step) for step in range(5)]
    assert sum(len(wrong_labels(of, batch)) for batch in seen) == 8 == len(wrong_labels(of, rows))


@pytest.mark.parametrize(("size", "count"), [(26, 25), (1000, 25), (11, 10)])
def test_a_batch_larger_than_all_rows_is_refused_in_one_line(size, count):
    rows = Rows.of(task("C5"), np.arange(count))
    words = f"a batch of {size} is larger than the {count} rows .* choose at most {count}"
    with pytest.raises(ValueError, match=words) as caught:
        Batches(rows, size, 0)
    assert "\n" not in str(caught.value)
