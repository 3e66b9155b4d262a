"""Specs of sweeps: validated whole, and what they expand to."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marginlens.sweeps import read_sweep

BASE = {"recipe": {"task": "C5"}}


def test_a_grid_is_every_combination_and_points_are_each_combined_with_it():
    sweep = read_sweep(
        {
            "seeds": 2,
            "recipe": {"steps": 50},
            "grid": {"width": [2, 3], "activation": ["x^2", "relu"]},
            "points": [{"task": "C5", "strength": 0.0}, {"task": "S3", "strength": 1e-3}],
        }
    )
    found = [
        (c.recipe.task, c.recipe.strength, c.recipe.width, c.recipe.activation)
        for c in sweep.configurations()
    ]
    assert found == [
        (task, strength, width, activation)
        for task, strength in (("C5", 0.0), ("S3", 1e-3))
        for width in (2, 3)
        for activation in ("x^2", "relu")
    ]
    assert (sweep.size, sweep.runs) == (8, 16)
    assert all(c.recipe.steps == 50 for c in sweep.configurations())


@settings(max_examples=25, deadline=None)
@given(
    seeds=st.integers(1, 30),
    seed=st.integers(0, 1000),
    together=st.none() | st.integers(1, 30),
    widths=st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True),
)
def test_pieces_cover_every_seed_once(seeds, seed, together, widths):
    data = {"seeds": seeds, "seed": seed, "recipe": {"task": "C3"}, "grid": {"width": widths}}
    sweep = read_sweep(data | ({} if together is None else {"together": together}))
    pieces = sweep.pieces(sweep.configurations())
    covered = [(p.recipe.width, s) for p in pieces for s in range(p.first, p.first + p.count)]
    assert sorted(covered) == [(w, s) for w in sorted(widths) for s in range(seed, seed + seeds)]
    assert len({piece.id for piece in pieces}) == len(pieces)
    assert all(p.recipe.members == p.count and p.recipe.seed == p.first for p in pieces)
    import tomllib

    assert read_sweep(tomllib.loads(sweep.to_toml())) == sweep


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"recipe": {"task": "C5", "stepz": 3}}, "'stepz' in .recipe.; did you mean steps"),
        ({**BASE, "grid": {"wdith": [1]}}, "'wdith' in .grid.; did you mean width"),
        ({**BASE, "points": [{}, {"lerning_rate": 1}]}, "number 2; did you mean learning_rate"),
        ({**BASE, "togther": 3}, "did you mean together"),
        ({**BASE, "width": 3}, "below .recipe."),
        ({"recipe": {"task": "C5", "seed": 3}}, "seed = 0"),
        ({"recipe": {"task": "C5", "members": 3}}, "seeds = 100"),
        ({**BASE, "seeds": 0}, "seeds: "),
        ({**BASE, "grid": {"width": 3}}, "grid.width"),
        ({**BASE, "grid": {"width": []}}, "empty list"),
        ({"recipe": {"task": "C5", "width": 2}, "grid": {"width": [2]}}, "keep one"),
        ({**BASE, "grid": {"width": [2]}, "points": [{"width": 2}]}, "keep one"),
        ({"grid": {"width": [2]}}, "the task is missing"),
        ({**BASE, "observe": {"key": 2.0}}, "observe.key"),
        ({**BASE, "observe": {"kee": 0.1}}, "did you mean key"),
    ],
)
def test_a_spec_that_cannot_be_meant_is_refused(data, words):
    with pytest.raises(ValueError, match=words) as caught:
        read_sweep(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"width": [2, -1]}, "width -1: width: "),
        ({"task": ["C5", "X9"]}, "task X9: unknown task"),
        ({"width": [2, 2]}, "two configurations are the same"),
        ({"dtype": ["float16"]}, "dtype float16"),
        ({"device": ["cuda:99"]}, "available"),
        ({"task": ["compose(S5,9)"]}, "listed rows"),
    ],
)
def test_an_impossible_value_names_its_configuration(fields, words):
    recipe = {} if "task" in fields else {"task": "C5"}
    with pytest.raises(ValueError, match=words):
        read_sweep({"recipe": recipe, "grid": fields}).configurations()


def test_a_file_that_is_not_there_or_not_toml(tmp_path):
    with pytest.raises(ValueError, match="found no file"):
        read_sweep(tmp_path / "no.toml")
    (tmp_path / "bad.toml").write_text("seeds = = 3")
    with pytest.raises(ValueError, match="not readable as TOML"):
        read_sweep(tmp_path / "bad.toml")


def test_two_tables_of_one_name_are_two_configurations(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = []
    for table in ([[0, 1], [1, 0]], [[1, 0], [0, 1]]):
        np.save("g.npy", np.array(table))
        (one,) = read_sweep({"recipe": {"task": "g.npy"}}).configurations()
        found.append(one.digest)
    assert found[0] != found[1]


def test_the_cost_of_a_large_grid_is_estimated_from_a_few():
    wide = {**BASE, "seeds": 1000, "grid": {"width": list(range(1, 1001))}}
    assert read_sweep(wide).runs == 1_000_000
    assert read_sweep(wide).estimated_seconds() > 600
