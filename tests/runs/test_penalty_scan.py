"""Runs of a penalty path: read where they are finished, refused where they are another's."""

from pathlib import Path

import numpy as np
import pytest
from group_table import relabelled

from marginlens.groups import FiniteGroup, group
from marginlens.runs import execute, load_run, penalty_scan, train_at
from marginlens.tasks import task

SMALL = {"width": 12, "steps": 40, "snapshots": 3}


@pytest.fixture
def trainings(monkeypatch):
    """How many trainings were begun."""
    begun = []

    def noted(recipe, *arguments, **options):
        begun.append(recipe)
        return follow(recipe, *arguments, **options)

    follow = penalty_scan.follow
    monkeypatch.setattr(penalty_scan, "follow", noted)
    return begun


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_finished_strength_is_read_and_not_trained_again(tmp_path, trainings):
    c5 = task("C5")
    first = train_at(c5, 1e-3, out=tmp_path, **SMALL)
    before = content(tmp_path)
    again = train_at(c5, 1e-3, out=tmp_path, **SMALL)
    assert len(trainings) == 1
    assert content(tmp_path) == before
    assert again.recipe == first.recipe
    assert again.verdict == first.verdict
    assert again.folder == first.folder == tmp_path / "0.001"
    other = train_at(c5, 1e-4, out=tmp_path, **SMALL)
    assert len(trainings) == 2
    assert other.folder == tmp_path / "0.0001"


def test_without_a_folder_every_call_trains(tmp_path, trainings):
    for _ in range(2):
        assert train_at(task("C5"), 1e-3, **SMALL).folder is None
    assert len(trainings) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "change", [{"width": 13}, {"steps": 41}, {"seed": 1}, {"dtype": "float64"}]
)
def test_a_run_by_another_recipe_is_refused_and_left_alone(tmp_path, trainings, change):
    train_at(task("C5"), 1e-3, out=tmp_path, **SMALL)
    before = content(tmp_path)
    with pytest.raises(ValueError, match="holds a run by another recipe; choose another") as caught:
        train_at(task("C5"), 1e-3, out=tmp_path, **{**SMALL, **change})
    assert "\n" not in str(caught.value)
    assert content(tmp_path) == before
    assert len(trainings) == 1


def test_a_run_on_another_table_of_the_same_name_is_refused(tmp_path):
    mixed = [FiniteGroup(relabelled(group("S3"), seed)[0].table, "mine") for seed in (1, 2)]
    assert not np.array_equal(mixed[0].table, mixed[1].table)
    train_at(task(mixed[0]), 1e-3, out=tmp_path, **SMALL)
    assert train_at(task(mixed[0]), 1e-3, out=tmp_path, **SMALL).training.stopped == "steps"
    with pytest.raises(ValueError, match="holds a run on another table"):
        train_at(task(mixed[1]), 1e-3, out=tmp_path, **SMALL)


def test_what_is_no_run_is_refused_and_left_alone(tmp_path):
    (tmp_path / "0.001").mkdir()
    (tmp_path / "0.001" / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="is not a run's folder"):
        train_at(task("C5"), 1e-3, out=tmp_path, **SMALL)
    assert content(tmp_path) == {"0.001/thesis.tex": b"years of work"}


def test_an_interrupted_strength_is_trained_again(tmp_path, trainings):
    def interrupt(step, latest):
        if step == 20:
            raise KeyboardInterrupt

    stopped = train_at(task("C5"), 1e-3, out=tmp_path, progress=interrupt, **SMALL)
    assert stopped.training.stopped == "interrupted"
    finished = train_at(task("C5"), 1e-3, out=tmp_path, **SMALL)
    assert len(trainings) == 2
    assert finished.training.stopped == "steps"
    assert load_run(tmp_path / "0.001").training.stopped == "steps"
    train_at(task("C5"), 1e-3, out=tmp_path, **SMALL)
    assert len(trainings) == 2


def test_strengths_that_differ_in_the_last_digits_have_folders_of_their_own(tmp_path, trainings):
    one, other = (
        train_at(task("C5"), s, out=tmp_path, **SMALL) for s in (1e-4, np.nextafter(1e-4, 1))
    )
    assert len(trainings) == 2
    assert one.folder == tmp_path / "0.0001"
    assert float(other.folder.name) == np.nextafter(1e-4, 1)


def test_a_bad_strength_is_refused_before_anything_is_written(tmp_path):
    for bad in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="strength: "):
            train_at(task("C5"), bad, out=tmp_path / "runs", **SMALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_table_of_one_s_own_comes_back_with_its_inputs(tmp_path, k):
    """The folder holds the table; how many factors were learned is told by the weights."""
    mine = FiniteGroup(relabelled(group("S3"), 5)[0].table, "mine")
    run = execute(task(mine, inputs=k), out=tmp_path / "run", **SMALL)
    assert (tmp_path / "run" / "table.npy").is_file()
    back = load_run(tmp_path / "run")
    assert back.task.name == run.task.name
    assert back.task.slots == run.task.slots
    np.testing.assert_array_equal(back.task.answers, run.task.answers)
    np.testing.assert_array_equal(back.task.group.table, mine.table)
    assert back.verdict == run.verdict
