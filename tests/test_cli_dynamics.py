"""lottery and grokking on the command line: tables, JSON, figures, and refusals in a line."""

import json

import pytest


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    from marginlens.runs import execute

    root = tmp_path_factory.mktemp("runs")
    small = {"compile": "never", "snapshots": 2}
    recipes = {
        "mlp": (
            "C7",
            {
                "width": 16,
                "steps": 300,
                "members": 2,
                "optimizer": "sgd",
                "init_scale": 0.1,
                "learning_rate": 1.0,
                "strength": 0.0,
                "schedule": "constant",
            },
        ),
        "held": ("C5", {"width": 20, "steps": 150, "train_fraction": 0.7, "strength": 1e-3}),
        "transformer": (
            "C5",
            {
                "network": "transformer",
                "activation": "x^2",
                "width": 8,
                "heads": 2,
                "hidden": 8,
                "steps": 20,
                "train_fraction": 0.6,
            },
        ),
    }
    for name, (spec, fields) in recipes.items():
        execute(spec, out=root / name, **fields, **small)
    return root


def test_lottery_scores_all_members_or_one(call, folders, tmp_path):
    figure = tmp_path / "lottery.html"
    code, printed, error = call("analyze", "lottery", str(folders / "mlp"), "--figure", str(figure))
    assert (code, error) == (0, "")
    for word in ("time", "ticket", "magnitude", "phase", "chance", "33.33%", "live neurons"):
        assert word in printed
    assert "lottery of frequencies" in figure.read_text()
    counts = []
    for which in ((), ("--member", "0"), ("--member", "1")):
        code, printed, _ = call("analyze", "lottery", str(folders / "mlp"), *which, "--json")
        record = json.loads(printed)
        assert record["departures"] == []
        counts.append(record["rules"]["time"]["right"])
    assert counts[0] == counts[1] + counts[2]


def test_lottery_can_let_neurons_grow_alone(call, folders):
    _, printed, _ = call(
        "analyze", "lottery", str(folders / "mlp"), "--member", "0", "--alone", "--json"
    )
    rules = json.loads(printed)["rules"]
    assert abs(rules["alone"]["right"] - rules["time"]["right"]) <= 2


def test_grokking_says_when(call, folders, tmp_path):
    figure = tmp_path / "grokking.html"
    code, printed, error = call(
        "analyze", "grokking", str(folders / "held"), "--figure", str(figure)
    )
    assert (code, error) == (0, "")
    assert "memorised" in printed
    assert "of 1 generalised" in printed
    assert "memorised at step" in figure.read_text()
    code, printed, _ = call("analyze", "grokking", str(folders / "held"), "--json")
    record = json.loads(printed)
    assert (record["task"], record["members"], record["steps"]) == ("C5", 1, 150)
    assert record["stages"][0]["memorised"] > 0


def test_grokking_of_a_transformer_that_has_not_memorised(call, folders):
    code, printed, _ = call("analyze", "grokking", str(folders / "transformer"))
    assert code == 0
    assert "not within 20" in printed


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("lottery", "transformer"), "expects a run of an mlp"),
        (("lottery", "mlp", "--member", "2"), "a member from 0 to 1, got 2"),
        (("lottery", "mlp", "--figure", "a.txt"), ".html"),
        (("grokking", "mlp"), "--train-fraction"),
        (("grokking", "held", "--member", "3"), "--member expected 0 to 0, got 3"),
        (("grokking", "held", "--threshold", "2"), "threshold"),
    ],
)
def test_what_is_not_there_is_one_line(call, folders, arguments, word):
    verb, name, *more = arguments
    code, printed, error = call("analyze", verb, str(folders / name), *more)
    assert (code, printed) == (2, "")
    assert word in error
    assert error.count("\n") == 1


def test_a_page_of_a_run_has_both_figures(folders):
    from marginlens.figures import FIGURES
    from marginlens.runs import load_run

    mlp, held = load_run(folders / "mlp"), load_run(folders / "held")
    assert mlp.lottery is not None
    assert FIGURES["lottery"].draw(mlp) is not None
    assert FIGURES["grokking"].draw(mlp) is None
    assert FIGURES["grokking"].draw(held) is not None
    names = {trace.name for trace in FIGURES["grokking"].draw(held).data}
    assert names == {"train", "test"}
    assert load_run(folders / "transformer").lottery is None
