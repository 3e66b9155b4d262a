"""Rows, activations and records that a researcher brings."""

import numpy as np
import pytest
import torch

import marginlens as ml
from marginlens.tasks import numbers_of, row_numbers, text_of_numbers
from marginlens.training import Recipe, recipe_for, split, train
from marginlens.training.row_files import read_rows

C5 = ml.Task("C5")
EVERY = {
    "numbers": [1, 7, 3],
    "a range": range(3, 9),
    "a set": {4},
    "a mask": np.arange(25) % 7 == 1,
    "inputs": [[0, 1], [4, 4]],
    "whole floats": np.array([2.0, 3.0]),
    "a tensor": torch.tensor([8, 2]),
}


@pytest.mark.parametrize("kind", EVERY)
def test_rows_in_every_form_are_the_rows_trained_on_and_the_others_are_tested(kind):
    rows = EVERY[kind]
    recipe = recipe_for(C5, rows=rows)
    data = split(C5, recipe)
    numbers = sorted(recipe.train_rows)
    assert data.train.inputs.tolist() == C5.inputs[numbers].tolist()
    rest = np.setdiff1d(np.arange(25), numbers)
    assert data.test.inputs.tolist() == C5.inputs[rest].tolist()
    assert Recipe.from_toml(recipe.to_toml()) == recipe
    assert len(recipe.to_toml().splitlines()) < 60


def test_test_rows_alone_leave_all_others_to_train_on_and_all_rows_are_no_choice():
    assert len(split(C5, recipe_for(C5, test_rows=[0, 1])).train) == 23
    both = split(C5, recipe_for(C5, rows=[0], test_rows=[5, 4]))
    assert (len(both.train), len(both.test)) == (1, 2)
    assert recipe_for(C5, rows=range(25)).is_population


REFUSED = {
    "twice": ({"rows": [0, 0]}, "got row 0 twice"),
    "none such": ({"rows": [25]}, "expected numbers from 0 to 24, .* got row 25"),
    "no element": ({"rows": [[0, 5]]}, "expected elements 0 to 4"),
    "one column more": ({"rows": [[0, 1, 2]]}, r"got shape \(1, 3\)"),
    "nothing": ({"rows": []}, "got none"),
    "a short mask": ({"rows": [True, False]}, "expected a mask of 25 rows"),
    "text": ({"rows": "all"}, "expected rows of C5 as numbers"),
    "two choices": ({"rows": [1], "train_fraction": 0.5}, "keep one"),
    "a degree": ({"activation": torch.tanh, "penalty": 1e-3}, "needs the degree"),
    "two strengths": ({"penalty": 1e-3, "strength": 1e-4}, "leave one out"),
    "no penalty": ({"penalty": True}, "expected a penalty as a number"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_impossible_parts_are_refused_in_a_short_line(kind):
    fields, words = REFUSED[kind]
    with pytest.raises(ValueError, match=words) as error:
        recipe_for(C5, **fields)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 250


def test_rows_in_both_parts_and_undefined_inputs_are_refused():
    with pytest.raises(ml.MarginLensError, match="row 1 is in both, and 1 more"):
        split(C5, recipe_for(C5, rows=[0, 1, 2], test_rows=[1, 2]))
    with pytest.raises(ml.MarginLensError, match=r"got \[1, 0\], where it is undefined"):
        row_numbers(ml.Task("x/y mod 5"), [[1, 0]])


def test_numbers_are_written_short_and_read_back():
    random = np.random.default_rng(0)
    for size in (1, 2, 3, 50):
        numbers = tuple(random.permutation(100)[:size].tolist())
        assert numbers_of(text_of_numbers(numbers)) == numbers
    assert text_of_numbers(range(5000)) == "0-4999"
    with pytest.raises(ml.MarginLensError, match="got 'x'"):
        numbers_of("1,x")


def test_rows_are_read_from_files(tmp_path):
    np.save(tmp_path / "a.npy", np.array([3, 4]))
    (tmp_path / "b.csv").write_text("a,b\n0,3\n0,4\n")
    (tmp_path / "c.csv").write_text("3\n4\n")
    recipe_for(C5, rows=[3, 4]).write(tmp_path / "recipe.toml")
    for name in ("a.npy", "b.csv", "c.csv", "recipe.toml"):
        assert read_rows(tmp_path / name, C5) == (3, 4), name
    (tmp_path / "d.csv").write_text("a\nx\n")
    np.save(tmp_path / "e.npy", np.array([{}], dtype=object))
    recipe_for(C5).write(tmp_path / "all.toml")
    for name in ("d.csv", "e.npy", "all.toml", "missing.csv"):
        with pytest.raises(ml.MarginLensError, match=r"expected a \.npy or \.csv file"):
            read_rows(tmp_path / name, C5)


def test_a_run_with_chosen_rows_keeps_them(tmp_path, call):
    np.save(tmp_path / "rows.npy", np.arange(9))
    folder = tmp_path / "run"
    code, _, error = call(
        "train", "C5", "--rows", tmp_path / "rows.npy", "--steps", 20, "--width", 8, "--out", folder
    )
    assert (code, error) == (0, "")
    run = ml.load(folder)
    assert run.recipe.train_rows == tuple(range(9))
    assert "on 9 chosen rows of 25" in run.verdict.summary
    assert run.measure().dynamics is not None
    code, _, _ = call("train", "--resume", folder, "--steps", 30)
    assert code == 0
    assert ml.load(folder).recipe.train_rows == tuple(range(9))
    assert call("verify", folder)[0] == 3


SAME = {"width": 20, "steps": 40, "penalty": 1e-3, "learning_rate": 0.02, "compile": "never"}


@pytest.mark.parametrize(
    ("own", "named"),
    [(torch.square, "x^2"), (torch.relu, "relu"), (lambda x: x * x.relu(), "relu^2")],
)
def test_an_own_activation_trains_like_the_named_one(own, named):
    degree = 1 if named == "relu" else 2
    found = train(C5, activation=ml.OwnActivation(own, degree=degree), dtype="float64", **SAME)
    expected = train(C5, activation=named, dtype="float64", **SAME)
    for name, values in expected.history.items():
        np.testing.assert_allclose(found.history[name], values, rtol=1e-9, err_msg=name)
    one, other = ml.measure(found, C5), ml.measure(expected, C5)
    assert one.norm == pytest.approx(other.norm)
    verdict = ml.compare(ml.predict(C5, penalty=1e-3), one)
    assert {claim.status for claim in verdict.claims} == {"not covered"}


def test_without_a_degree_what_is_normalized_is_left_out(tmp_path):
    training = train(C5, rows=range(20), activation=torch.tanh, width=12, steps=20)
    assert np.isnan(training.history["normalized_margin"]).all()
    assert np.isfinite(training.history["margin"]).all()
    found = ml.measure(training, C5)
    assert (found.degree, found.norm, found.normalized_margin) == (None, None, None)
    assert "no declared degree" in found.unknown["norm"]
    assert found.to_dict()["activation"] == "own:tanh"
    with pytest.raises(ml.MarginLensError, match="a file cannot hold an own activation"):
        ml.run(C5, activation=torch.tanh, steps=2, out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ml.MarginLensError, match="maps each entry alone"):
        train(C5, activation=lambda x: x.sum(), width=4, steps=2)


def test_own_records_are_columns_of_the_history_and_change_no_number():
    fields = {"width": 8, "members": 3, "steps": 30, "compile": "never", "tolerance": 0.5}
    plain = train(C5, **fields)
    seen = []

    def record(network):
        seen.append(network.members)
        return {"one": 1.0, "squares": network.logits(C5).square().mean((1, 2))}

    training = train(C5, record=record, **fields)
    assert training.history["squares"].shape == training.history["loss"].shape
    np.testing.assert_array_equal(training.history["loss"], plain.history["loss"])
    assert (training.history["one"] == 1).all()
    assert seen[0] == 3
    assert {"step", "member", "loss", "squares"} <= set(training.to_records()[0])
    assert "squares" in str(training)
    with pytest.raises(ml.MarginLensError, match="another name than 'loss'"):
        train(C5, record=lambda network: {"loss": 0.0}, **fields)
    with pytest.raises(ml.MarginLensError, match=r"one number or 3 of 'two'"):
        train(C5, record=lambda network: {"two": [1.0, 2.0]}, **fields)
