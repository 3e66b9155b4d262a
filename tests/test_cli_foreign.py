"""The command that measures files: what stands first, and what it is told."""

import json

import numpy as np
from pair_transformers import answering_weights, nanda_axes, save

from marginlens.tasks import task

SUMS = [[(a + b) % 7 for b in range(7)] for a in range(7)]
PRODUCTS = [[a * b % 7 for b in range(7)] for a in range(7)]


def test_the_first_line_says_that_fewer_than_half_the_rows_are_right(call, tmp_path):
    path = str(save(tmp_path, nanda_axes(answering_weights(PRODUCTS))))
    code, printed, notes = call("measure", path, "--as", "pizza", "--attention", "1")
    assert code == 0
    assert printed.splitlines()[0].startswith("warning: the network answers")
    assert '--group "xy mod 7"' in printed.splitlines()[0]
    assert printed.splitlines()[1].startswith("read as pizza")
    assert not notes
    code, printed, _ = call("measure", path, "--as", "pizza", "--attention", "1", "--json")
    assert json.loads(printed)["warning"].startswith("the network answers")
    for option in ("--group", "--task"):
        code, printed, _ = call("measure", path, "--attention", "1", option, "xy mod 7")
        assert code == 0
        assert "warning" not in printed
        assert "multiply as C6" in printed
    code, printed, _ = call("measure", path, "--attention", "1", "--group", "xy mod 7", "--json")
    seen = json.loads(printed)
    assert (seen["warning"], seen["task"], seen["accuracy"]) == (None, "xy mod 7", 1.0)
    assert seen["on_group"]["task"] == "C6"
    assert seen["gradient_symmetricity"] is not None


def test_layer_norm_may_be_said(call, tmp_path):
    path = str(save(tmp_path, answering_weights(SUMS, sign=True, kind="LN")))
    code, printed, notes = call("measure", path)
    assert (code, "warning" in printed, "layer norm pre" in notes) == (0, False, True)
    code, printed, _ = call("measure", path, "--layer-norm", "none")
    assert (code, printed.startswith("warning")) == (0, True)
    code, _, refusal = call("measure", path, "--layer-norm", "post")
    assert code != 0
    assert "expected none or pre" in refusal


def test_a_run_that_answers_little_says_so_first(call, tmp_path):
    run = str(tmp_path / "run")
    call("train", "C11", "--width", "4", "--steps", "2", "--out", run)
    _, printed, _ = call("measure", run)
    assert printed.splitlines()[0].startswith("warning: the network answers")
    _, printed, _ = call("measure", run, "--json")
    assert "not trained to the end" in json.loads(printed)["warning"]


def test_a_figure_of_an_operation_s_network(call, tmp_path):
    """The plane of clocks and pizzas takes multiplication in the coordinates of its group."""
    path = str(
        save(
            tmp_path,
            nanda_axes(answering_weights(PRODUCTS)),
            config_x={"C": 7, "attn_coeff": 1, "funcs": "lambda x: x[0]*x[1]%7"},
        )
    )
    code, _, _ = call("figure", "draw", "plane", path, "--out", str(tmp_path / "plane.html"))
    assert code == 0
    assert (tmp_path / "plane.html").is_file()
    logits = np.eye(7)[task("x^2+y^2 mod 7").answers]
    np.savez(tmp_path / "squares.npz", logits=logits)
    code, _, refusal = call("measure", str(tmp_path / "squares.npz"), "--group", "S5")
    assert code != 0
    assert "expected a group of order 7" in refusal
