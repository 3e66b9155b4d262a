"""Studies: runs with expectations, that go on where they were and read what is there."""

import numpy as np
import pytest

from marginlens.reproduce import (
    STUDIES,
    Study,
    StudyInterrupted,
    mechanisms,
    run_study,
    studies,
    write_study,
)
from marginlens.tasks import task
from marginlens.verdict import at_least

TINY = """
[recipe]
task = "C5"
network = "transformer"
width = 8
heads = 2
hidden = 8
train_fraction = 0.6
steps = 30

[runs]
one = { seed = 1 }
two = { attention = 0.0, sequence = "ab" }

[full]
steps = 60
"""


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(Study, "toml", property(lambda self: TINY))
    return Study("tiny", "?", "nobody", lambda runs: [], mechanisms.pizza_row, mechanisms.curves)


def test_runs_are_trained_once_and_read_afterwards(tiny, tmp_path, monkeypatch):
    first = run_study(tiny, tmp_path)
    assert [*first] == ["one", "two"]
    assert first["two"].recipe.attention == 0
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    monkeypatch.setattr(studies, "follow", None)  # nothing is trained again
    again = run_study(tiny, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in written} == written
    for label, run in first.items():
        assert np.array_equal(run.history["loss"], again[label].history["loss"])
    with pytest.raises(ValueError, match="another steps; choose another --out"):
        run_study(tiny, tmp_path, full=True)
    assert tiny.recipes(full=True)["one"].steps == 60
    assert tiny.recipes(steps=7)["one"].steps == 7


def test_an_interrupted_run_goes_on(tiny, tmp_path):
    whole = run_study(tiny, tmp_path / "whole")

    def stops(label, recipe):
        def shown(step, row):
            if step == 20 and label == "one":
                raise KeyboardInterrupt

        return shown

    with pytest.raises(StudyInterrupted, match="one"):
        run_study(tiny, tmp_path / "cut", progress=stops)
    assert not (tmp_path / "cut" / "two").exists()
    cut = run_study(tiny, tmp_path / "cut")
    for label, run in whole.items():
        assert np.array_equal(run.history["loss"], cut[label].history["loss"])


def test_the_page_has_claims_and_a_row_for_each_run(tiny, tmp_path):
    runs = run_study(tiny, tmp_path)
    page = write_study(tiny, tiny.verdict(runs), runs, tmp_path).read_text()
    assert "marginlens reproduce tiny" in page
    assert "| one | 1 |" in page
    assert "| two | 0 |" in page
    assert sorted(path.stem for path in (tmp_path / "figures").iterdir()) == ["one", "two"]


@pytest.mark.parametrize("name", [*STUDIES])
@pytest.mark.parametrize("full", [False, True])
def test_every_study_s_recipes_are_possible(name, full):
    recipes = STUDIES[name].recipes(full=full)
    assert recipes
    assert all(recipe.steps > 0 for recipe in recipes.values())
    plain = STUDIES[name].recipes()
    assert (recipes != plain) == full


def test_judges_of_transformers_on_small_runs(tiny, tmp_path):
    runs = run_study(tiny, tmp_path)
    claims = {claim.name: claim for claim in mechanisms.pizza(runs)}
    assert not claims["two verdict"].holds  # 30 steps teach nothing
    assert claims["one verdict"].promised
    claims = mechanisms.nanda(runs)
    assert claims[0].measured == 0
    assert not claims[0].holds
    row = mechanisms.nanda_row(runs["one"])
    assert row["excluded loss"] > 0
    power = mechanisms.power(runs)
    assert not any(claim.holds for claim in power)


def test_the_names_of_s5_s_irreps():
    names = mechanisms.names_of_s5(task("S5"))
    assert sorted(names) == ["5d_a", "5d_b", "6d", "sign", "standard", "standard_sign"]
    degrees = {
        name: feature.irrep.degree for name, feature in zip(names, task("S5").features, strict=True)
    }
    assert degrees == {"5d_a": 5, "5d_b": 5, "6d": 6, "sign": 1, "standard": 4, "standard_sign": 4}


def test_at_least_holds_from_its_bound_on_and_not_without_a_number():
    for value, holds in ((1.0, True), (0.9, True), (0.89, False), (None, False), (np.nan, False)):
        assert at_least("x", "x", value, 0.9, "x", promised=True).holds == holds


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["reproduce", "nonsense"], "for example nanda"),
        (["reproduce", "nanda", "--seeds", "3"], "expect a sweep, got the system nanda"),
        (["reproduce", "o61", "--full"], "expect a system of a paper, got the sweep o61"),
        (["reproduce", "pizza", "--steps", "0"], "--steps"),
    ],
)
def test_options_that_do_not_fit(call, arguments, words):
    code, _, error = call(*arguments)
    assert code == 2
    assert words in error.replace("\n", " ")


def test_show_prints_the_recipe(call):
    code, shown, _ = call("reproduce", "lottery", "--show")
    assert code == 0
    assert "init_scale = 0.1" in shown
