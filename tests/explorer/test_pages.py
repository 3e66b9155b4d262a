"""Tour, Atlas and Compare: every page draws for what an address can ask, and says what is wrong."""

import contextlib
import json
import re
from urllib.parse import parse_qs, urlparse

import numpy as np
import pytest
from gap_oracle import needs_gap

from marginlens.atlas import packaged_atlas
from marginlens.explorer.app import make_app
from marginlens.explorer.context import Site
from marginlens.explorer.form_values import Tables
from marginlens.explorer.jobs.jobs import Trainings
from marginlens.explorer.jobs.recorded_neurons import recorded
from marginlens.explorer.library import Library
from marginlens.explorer.pages import VIEWS
from marginlens.explorer.pages.atlas import asked_filters, atlas_of, compact_rows
from marginlens.explorer.pages.compare import asked_runs, by_recipe
from marginlens.explorer.pages.tour import asked_values
from marginlens.explorer.pages.tour_steps import STEPS
from marginlens.runs import execute, load_run
from marginlens.tasks import task

NASTY = ["-1", "0", "1e9", "999999999999999", "x", "<b>", "../..", "\0", "1.5", " ", "nan", "٣"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("runs")
    quick = {"steps": 40, "compile": "never", "snapshots": 3, "optimizer": "adam"}
    for seed in (0, 1):
        execute("C5", out=found / f"seed{seed}", seed=seed, **quick)
    execute("C5", out=found / "many", seed=1, members=3, **quick)
    execute("S3", out=found / "S3", **quick)
    execute("parity(4,2)", out=found / "parity(4,2)", **quick)
    execute("C5", out=found / "tf", network="transformer", width=8, heads=2, hidden=8, **quick)
    return found


@pytest.fixture(scope="module")
def site(folder):
    with contextlib.closing(Trainings(folder)) as trainings:
        yield Site(folder, Library(folder), trainings, Tables())


@pytest.fixture(scope="module")
def client(site):
    return make_app(site).server.test_client()


def drawn(site, path, **query):
    """A page as the text that goes to the browser."""
    made = VIEWS[path].draw(site, query)
    for child in made if isinstance(made, list) else [made]:
        json.dumps(child, default=lambda value: value.to_plotly_json())
    return json.dumps(made, default=lambda value: value.to_plotly_json(), ensure_ascii=False)


def callback(client, outputs, inputs):
    """What a callback answers: outputs and inputs as (id, property[, value])."""

    def name(where):
        return where if isinstance(where, str) else json.dumps(where, separators=(",", ":"))

    dependencies = client.get("/_dash-dependencies").get_json()
    # the server names a callback by its outputs, with ids' keys in order
    wanted = [
        f"{name(dict(sorted(o.items())) if isinstance(o, dict) else o)}.{p}" for o, p in outputs
    ]
    output = wanted[0] if len(wanted) == 1 else f"..{'...'.join(wanted)}.."
    assert output in [one["output"] for one in dependencies], output
    listed = [{"id": o, "property": p} for o, p in outputs]
    answer = client.post(
        "/_dash-update-component",
        json={
            "output": output,
            "outputs": listed[0] if len(listed) == 1 else listed,
            "inputs": [{"id": i, "property": p, "value": v} for i, p, v in inputs],
            "changedPropIds": [f"{name(inputs[0][0])}.{inputs[0][1]}"],
            "state": [],
        },
    )
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.get_json()["response"]


# ---------------------------------------------------------------------- atlas


def test_the_atlas_has_a_row_for_every_group(site):
    text = drawn(site, "/atlas")
    rows = compact_rows(packaged_atlas().to_pylist())
    assert len(rows) == 318
    assert "SmallGroup(24" not in text  # S4's and SL(2,3)'s rows need no GAP
    for row in rows:
        named = parse_qs(urlparse(row["link"]).query)["task"][0]
        assert "SmallGroup" in named or row["order"] > 16 or task(named).size == row["order"]
        assert sum(count for _, count, _, _ in row["irreps"]) >= 1
        assert row["abelian"] == (row["classes"] == row["order"])
    a5 = next(row for row in rows if row["structure"] == "A5")
    assert a5["irreps"] == [
        ["3", 2, ".3610", "must"],
        ["4", 1, ".2779", "must"],
        ["5", 1, "0", "cannot"],
    ]
    c12 = next(row for row in rows if row["structure"] == "C12")
    assert sum(count for _, count, _, _ in c12["irreps"]) == 6


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"irreps": "cannot"},
        {"irreps": "may", "theorem9": "no", "kind": "abelian"},
        {"from": "12", "to": "48", "search": "C3 : C4", "sort": "-margin"},
        {"theorem9": "yes"},
    ],
)
def test_filters_of_an_address_are_in_the_controls(site, query):
    text = drawn(site, "/atlas", **query)
    assert "All groups are shown" not in text
    for name, value in query.items():
        if name == "sort":
            assert '"aria-sort": "descending"' in text
        else:
            value = int(value) if name in ("from", "to") else value
            found = re.search(rf'{{[^{{}}]*"id": "atlas-{name}"[^{{}}]*}}', text.replace("[]", ""))
            assert json.dumps(value, ensure_ascii=False) in (found[0] if found else text)


@pytest.mark.parametrize("name", ["irreps", "theorem9", "kind", "from", "to", "sort"])
def test_a_filter_that_is_none_is_said(site, name):
    for value in NASTY:
        if value in ("٣", " ") and name in ("from", "to"):
            asked_filters({name: value})
            continue
        with pytest.raises(ValueError, match=f"^{name} must be"):
            asked_filters({name: value})
    assert "All groups are shown" in drawn(site, "/atlas", **{name: "<b>"})


def test_any_search_is_taken(site):
    for value in NASTY:
        assert asked_filters({"search": value * 40})["search"] == (value * 40)[:60]
    assert "All groups are shown" not in drawn(site, "/atlas", search="<b>")


@needs_gap
def test_a_larger_atlas_in_the_folder_is_shown(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    packaged = packaged_atlas()
    (tmp_path / "atlas").mkdir()
    file = tmp_path / "atlas" / "atlas.parquet"
    pq.write_table(packaged.slice(0, 5), file)
    assert not atlas_of(tmp_path).ours
    pq.write_table(pa.concat_tables([packaged, packaged.slice(0, 1)]), file)
    assert atlas_of(tmp_path).ours
    file.write_text("no table")
    assert not atlas_of(tmp_path).ours


# ---------------------------------------------------------------------- compare


def test_nothing_chosen_and_nothing_there(site, tmp_path):
    assert "Compare the latest" in drawn(site, "/compare")
    empty = Site(tmp_path, Library(tmp_path), site.trainings, Tables())
    assert "no finished runs" in drawn(empty, "/compare")


def test_runs_of_one_task_and_of_several(site):
    text = drawn(site, "/compare", runs="seed0,seed1")
    assert "Selection law: C5, 2 seeds" in text
    assert "different tasks" not in text
    text = drawn(site, "/compare", runs="seed0,S3,parity(4,2),tf")
    assert "different tasks (C5, S3, parity(4,2))" in text
    assert "Selection law" not in text
    assert "Not drawn, since no theorem gives γ*: tf" in text
    assert "compare-shares-2" in text


def test_a_run_alone_shows_its_members(site):
    text = drawn(site, "/compare", runs="many")
    assert all(f'"seed {seed}"' in text for seed in (1, 2, 3))
    assert "Selection law: C5, 3 seeds" in text
    assert "Choose a second run" in drawn(site, "/compare", runs="S3")


def test_a_seed_that_comes_twice_counts_once(site):
    assert "Selection law: C5, 4 seeds" in drawn(site, "/compare", runs="seed0,seed1,many")


@pytest.mark.parametrize("name", [*NASTY, "seed0/../seed1", "/etc/passwd", "nope"])
def test_unknown_runs_are_left_out_with_a_reason(site, name):
    text = drawn(site, "/compare", runs=f"seed0,{name}")
    assert ("Not compared" in text) == bool(name.strip())
    assert "Summary" in text


def test_more_than_eight_runs(site):
    text = drawn(site, "/compare", runs=",".join(["seed0", *(f"r{i}" for i in range(9))]))
    assert "expected at most 8 runs, got 10; the first are compared" in text


def test_names_with_commas():
    known = ["S3", "parity(4,2)", "a,b,c", "a,b"]
    assert asked_runs("S3,parity(4,2),a,b,c", known) == ["S3", "parity(4,2)", "a,b,c"]
    assert asked_runs("a,b,,x,a", known) == ["a,b", "x", "a"]
    assert asked_runs("", known) == []


def test_recipes_that_differ_in_more_than_the_seed(folder):
    runs = [load_run(folder / name) for name in ("seed0", "S3", "seed1", "many")]
    assert by_recipe(runs) == [[runs[0], runs[2], runs[3]], [runs[1]]]


def test_choosing_runs_shows_them(client):
    answer = callback(
        client, [("compare-answer", "children")], [("compare-runs", "value", ["seed0", "S3"])]
    )
    assert "different tasks (C5, S3)" in json.dumps(answer)
    answer = callback(client, [("compare-answer", "children")], [("compare-runs", "value", [])])
    assert "Choose runs above" in json.dumps(answer)


# ---------------------------------------------------------------------- tour


@pytest.mark.parametrize("place", range(1, 6))
def test_every_step_draws(site, place):
    text = drawn(site, "/", step=str(place))
    step = STEPS[place - 1]
    assert step.title in text
    assert "The step is shown with its default values" not in text
    assert text.count('"aria-current": "step"') == 1
    assert ("Next: " in text) == (place < 5)
    for href in re.findall(r'"href": "([^"#]+)"', text):
        assert urlparse(href).path in (*VIEWS, "/watch")


def test_a_step_or_a_value_that_is_none_is_said(site):
    for value in ("0", "6", "<b>", "1e9"):
        assert "The step is shown with its default values" in drawn(site, "/", step=value)
    assert "n must be a whole number from 2 to 12" in drawn(site, "/", step="5", n="13")
    for step in STEPS:
        for control in step.controls:
            for value in NASTY:
                fits = not control.choices and value.isdecimal() and len(value) < 3
                fits = fits and control.least <= int(value) <= control.most
                if fits or (value == " " and not control.choices):
                    asked_values(step, {control.name: value})
                    continue
                with pytest.raises(ValueError, match=f"^{control.name} must be"):
                    asked_values(step, {control.name: value})


@pytest.mark.parametrize("place", range(1, 6))
def test_a_step_draws_at_the_ends_of_all_its_controls(place):
    step = STEPS[place - 1]
    usual = asked_values(step, {})
    for control in step.controls:
        ends = control.choices or (control.least, control.most)
        for value in ends:
            shown = step.draw({**usual, control.name: value})
            assert set(shown.figures) == set(step.captions)
            assert shown.words


def test_moving_a_slider_changes_the_clock(client):
    values = [("hours", "23"), ("k", 1), ("a", 20), ("b", 9)]
    inputs = [({"step": 2, "tour": name}, "value", value) for name, value in values]
    figures = [({"name": name, "part": "figure"}, "data") for name in ("dial", "answers")]
    ends = [({"step": 2, "tour": name}, "max") for name in ("k", "a", "b")]
    answer = callback(
        client,
        [*figures, ("tour-words-2", "children"), ("tour-links-2", "children"), *ends],
        inputs,
    )
    words = answer["tour-words-2"]["children"]
    assert words.startswith("20 + 9 = 6 modulo 23.")
    assert f"{np.cos(2 * np.pi / 23):.3f}" in words
    assert answer['{"step":2,"tour":"a"}']["max"] == 22


def test_the_moments_are_a_training(client):
    kept = recorded()
    assert kept.steps[0] == 0
    assert kept.accuracy[-1] == 1
    assert kept.margin_ratio[-1] == pytest.approx(1, abs=1e-3)
    features = task("C23").features
    power = np.stack([one.power(kept.weights[-1].T) for one in features])
    assert (power.max(0) / power.sum(0)).min() > 0.999  # each has become one wave
    assert len(set(power.argmax(0))) == 3
    heights = ({"name": "mystery", "part": "heights"}, "data")
    answer = callback(
        client,
        [heights, ("tour-words-1", "children")],
        [({"step": 1, "tour": "moment"}, "value", len(kept.steps) - 1)],
    )
    assert "100%" in answer["tour-words-1"]["children"]
    points = answer['{"name":"mystery","part":"heights"}']["data"]["y"][1]
    assert points == pytest.approx(kept.weights[-1][:, 0], rel=1e-3)


def test_the_recorded_start_is_that_of_the_command():
    run = execute("C23", steps=1, snapshots=1, seed=0, compile="never")
    kept = recorded()
    assert np.array_equal(run.snapshots["u"][0][:, list(kept.neurons)], kept.weights[0])
