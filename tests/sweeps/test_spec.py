import itertools
import math
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sweeping import TINY, tiny

from marginlens.sweeps import Sweep, read_sweep
from marginlens.training import Recipe, estimated_seconds, recipe_for

RECIPE = {"task": "C5", "width": 4, "steps": 200, "compile": "never"}
VALUES = {
    "activation": st.sampled_from(["x^2", "relu", "abs"]),
    "steps": st.integers(0, 10**6),
    "strength": st.floats(0, 1),
    "learning_rate": st.floats(1e-6, 1),
    "tied": st.booleans(),
}
GRIDS = st.fixed_dictionaries(
    {}, optional={n: st.lists(v, min_size=1, max_size=3, unique=True) for n, v in VALUES.items()}
)
SWEEPS = st.builds(
    lambda grid, points, seeds, seed, together, key: {
        "seeds": seeds,
        "seed": seed,
        "grid": grid,
        "recipe": {"task": "C5"},
        "points": [{"width": width} for width in points],
        "observe": {"key": key},
        **({} if together is None else {"together": together}),
    },
    GRIDS,
    st.lists(st.integers(1, 50), max_size=3, unique=True),
    st.integers(1, 300),
    st.integers(0, 2**61 - 1),
    st.none() | st.integers(1, 400),
    st.floats(0.001, 0.5),
)


@given(SWEEPS)
@settings(max_examples=60, deadline=None)
def test_a_sweep_is_what_its_toml_says(data):
    sweep = read_sweep(data)
    assert read_sweep(tomllib.loads(sweep.to_toml())) == sweep
    assert read_sweep(sweep.model_dump(exclude_none=True)) == sweep


@given(SWEEPS)
@settings(max_examples=60, deadline=None)
def test_combinations_are_the_product_in_its_order(data):
    sweep = read_sweep(data)
    wanted = [
        {"task": "C5", **point, **dict(zip(data["grid"], values, strict=True))}
        for point in data["points"] or [{}]
        for values in itertools.product(*data["grid"].values())
    ]
    assert list(sweep.combinations()) == wanted
    assert (sweep.size, sweep.runs) == (len(wanted), len(wanted) * data["seeds"])


@given(st.integers(1, 2500), st.integers(0, 99), st.none() | st.integers(1, 3000))
@settings(max_examples=60, deadline=None)
def test_every_seed_is_in_exactly_one_piece(seeds, seed, together):
    more = {} if together is None else {"together": together}
    sweep = read_sweep({"seeds": seeds, "seed": seed, "recipe": RECIPE, **more})
    pieces = sweep.pieces(sweep.configurations())
    found = [one for piece in pieces for one in range(piece.first, piece.first + piece.count)]
    assert found == list(range(seed, seed + seeds))
    assert max(piece.count for piece in pieces) <= (together or 1000)
    assert len({piece.id for piece in pieces}) == len(pieces)
    for piece in pieces:
        assert (piece.recipe.seed, piece.recipe.members) == (piece.first, piece.count)
        Recipe(**piece.recipe.model_dump())  # a worker will ask it again


def test_what_is_not_given_suits_the_task():
    (one,) = read_sweep({"recipe": {"task": "S3", "width": 8}}).configurations()
    wanted = recipe_for(one.task, width=8, snapshots=0, members=2)  # as many seeds together
    same = {"record_every": one.recipe.record_every, "members": 1}
    assert one.recipe == wanted.model_copy(update=same)


def test_the_digest_stands_for_recipe_thresholds_and_table(tmp_path):
    def digest(**data):
        ((one),) = read_sweep({"recipe": RECIPE, **data}).configurations()
        return one.digest

    file = tmp_path / "group.csv"
    by_table = []
    for table in ("0,1,2\n1,2,0\n2,0,1\n", "2,0,1\n0,1,2\n1,2,0\n"):
        file.write_text(table)
        by_table.append(digest(recipe={**RECIPE, "task": str(file)}))
    others = [
        digest(),
        digest(observe={"key": 0.01}),
        digest(recipe={**RECIPE, "width": 5}),
        *by_table,
    ]
    assert len(set(others)) == 5
    assert digest() == digest(seeds=7, seed=3, together=2, name="other") == others[0]


BAD = {
    "misspelt in [recipe]": (
        {"recipe": {**RECIPE, "widht": 3}},
        "'widht' in [recipe]; did you mean width?",
    ),
    "misspelt in [grid]": (
        {"grid": {"strenght": [1e-3]}},
        "'strenght' in [grid]; did you mean strength?",
    ),
    "misspelt in a point": (
        {"points": [{"strength": 1e-3}, {"learningrate": 0.1}]},
        "'learningrate' in [[points]] number 2; did you mean learning_rate?",
    ),
    "misspelt table": ({"recipes": {}}, "'recipes'; did you mean recipe?"),
    "misspelt threshold": ({"observe": {"kee": 0.1}}, "'kee' in [observe]; did you mean key?"),
    "field outside": ({"width": 4}, "width is a field of the recipe: write it below [recipe]"),
    "seeds inside": ({"recipe": {**RECIPE, "seeds": 4}}, "write seeds = 100 above the tables"),
    "members inside": ({"grid": {"members": [4]}}, "write seeds = 100 above the tables"),
    "list in [recipe]": (
        {"recipe": {**RECIPE, "width": [2, 8]}},
        "width in [recipe] is a list; write it below [grid]",
    ),
    "value in [grid]": (
        {"grid": {"strength": 1e-3}},
        "grid.strength: input should be a valid list",
    ),
    "empty list": ({"grid": {"strength": []}}, "[grid] strength is an empty list"),
    "twice": ({"grid": {"width": [2]}}, "width is in [recipe] and in [grid]"),
    "twice in points": (
        {"points": [{"strength": 0}], "grid": {"strength": [1e-3]}},
        "in [[points]] and in [grid]",
    ),
    "no task": ({"recipe": {"width": 4}}, 'the task is missing: write task = "C5" below [recipe]'),
    "no seeds": ({"seeds": 0}, "seeds: input should be greater than or equal to 1, got 0"),
    "threshold": (
        {"observe": {"pure": 0.7}},
        "observe.pure: input should be less than 0.5, got 0.7",
    ),
    "impossible": (
        {"grid": {"strength": [0.0, -1.0]}},
        "strength -1.0: strength: input should be greater",
    ),
    "of another kind": ({"grid": {"heads": [4, 8]}}, "heads 8: heads belongs to the transformer"),
    "no such task": ({"recipe": {**RECIPE, "task": "C5x"}}, "task C5x, width 4"),
    "no such device": ({"recipe": {**RECIPE, "device": "cuda:77"}}, "device cuda:77: "),
    "rows": ({"recipe": {**RECIPE, "train_fraction": 1e-3}}, "train_fraction 0.001: "),
    "the same twice": ({"grid": {"strength": [1e-3, 0.001]}}, "two configurations are the same"),
    "the same by default": (
        {"points": [{"schedule": "decay"}, {}]},
        "two configurations are the same: task C5",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_refused_in_one_line(name):
    data, words = BAD[name]
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        read_sweep({"recipe": RECIPE, **data}).configurations()
    assert words in str(caught.value)


@pytest.mark.parametrize("content", ["seeds = ", "\x00", 'recipe = "C5"\n'])
def test_a_file_that_is_no_sweep(tmp_path, content):
    path = tmp_path / "spec.toml"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"^'.*spec.toml': [^\n]+$"):
        read_sweep(path)
    with pytest.raises(ValueError, match="found no file"):
        read_sweep(tmp_path / "none.toml")


def test_the_cost_of_any_grid_is_known_without_a_walk_through_it():
    """It is that of all its configurations where they are few, and an estimate where they are not."""
    few = tiny()
    wanted = sum(
        estimated_seconds(piece.configuration.task, piece.recipe)
        for piece in few.pieces(few.configurations())
    )
    assert math.isclose(few.estimated_seconds(), wanted)
    widths = list(range(1, 1001))
    many = read_sweep(
        {
            "recipe": {"task": "C5", "steps": 1000, "compile": "never"},
            "grid": {name: [1e-4 * i for i in widths] for name in ("strength", "learning_rate")}
            | {"width": widths},
        }
    )
    assert many.size == many.runs == 10**9
    estimate = many.estimated_seconds()
    by_width = [
        estimated_seconds(task, Recipe(task="C5", steps=1000, width=width, compile="never"))
        for task in [few.configurations()[0].task]
        for width in widths
    ]
    assert 0.5 < estimate / (10**6 * sum(by_width)) < 2


def test_types_of_a_file_are_those_of_its_fields(tmp_path):
    path = tmp_path / "spec.toml"
    path.write_text(
        'seeds = 2\n[recipe]\ntask = "C113"\nnetwork = "transformer"\n[grid]\n'
        "betas = [[0.9, 0.98], [0.9, 0.999]]\nheads = [2, 4]\n"
    )
    sweep = read_sweep(path)
    assert isinstance(sweep, Sweep)
    assert [c.recipe.betas for c in sweep.configurations()] == [(0.9, 0.98)] * 2 + [
        (0.9, 0.999)
    ] * 2
    assert TINY["seeds"] * 4 == tiny().runs
