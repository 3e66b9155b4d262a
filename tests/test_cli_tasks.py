"""Every verb on tasks that the theory does not speak of: it works, or says why not in one line."""

import json

import pytest
from command_line import require_one_line

DIVISION = "x/y mod 5"


def test_train_run_measure_verify_report_and_resume(call, tmp_path, one_thread):
    folder = tmp_path / "run"
    code, printed, _ = call("run", DIVISION, "--steps", 3, "--width", 8, "--out", folder)
    assert code == 0
    assert "No theorem gives the maximum margin of x/y mod 5" in " ".join(printed.split())
    assert "the operation x/y mod 5 on 5 elements" in (folder / "report.html").read_text()
    for verb in ("measure", "verify", "report"):
        assert call(verb, folder)[0] == 0
    code, _, error = call("analyze", "algorithms", folder)
    assert code == 2
    require_one_line(error)


def test_a_transformer_on_a_part_of_division(call, tmp_path, one_thread):
    arguments = ("--network", "transformer", "--train-fraction", 0.5, "--steps", 2)
    sizes = ("--width", 8, "--heads", 2, "--hidden", 8, "--out", tmp_path / "t")
    code, printed, _ = call("train", DIVISION, *arguments, *sizes, "--json")
    assert code == 0
    assert {"test_accuracy", "accuracy"} <= json.loads(printed).keys()


def test_numbers_longer_than_those_trained_on(call, tmp_path, one_thread):
    folder = tmp_path / "a"
    spec = "addition(3,2)"
    sizes = ("--steps", 2, "--width", 8, "--out", folder)
    code, printed, _ = call("train", spec, "--train-length", 1, *sizes)
    assert code == 0
    assert "test accuracy" in printed
    code, printed, _ = call("measure", folder, "--json")
    assert "test_accuracy" in json.loads(printed)
    for arguments in (
        ("verify", folder),
        ("report", folder),
        ("run", spec),
        ("run", "random(5,0)"),
    ):
        code, _, error = call(*arguments)
        assert code == 2
        require_one_line(error)


@pytest.mark.parametrize("spec", [DIVISION, "random(5,0)", "addition(2,1)"])
def test_verbs_of_the_theory_say_that_there_is_none(call, spec):
    code, printed, _ = call("predict", spec, "--json")
    assert code == 0
    assert json.loads(printed)["margin"] is None
    assert call("predict", spec)[0] == 0
    for verb in ("certify", "path", "widths"):
        code, _, error = call("theory", verb, spec)
        assert code == 2
        require_one_line(error)
        assert f"No theorem gives the maximum margin of {spec}" in error


def test_help_and_errors_name_the_new_tasks(call, tmp_path):
    _, printed, _ = call("train", "--help")
    for words in ("x/y mod 97", "random(97,0)", "addition(10,2)", "--train-length"):
        assert words in " ".join(printed.replace("│", " ").split())
    for spec in ("x/ y mod 1", "__import__('os') mod 7", "x^999999999 mod 97", "", "xz mod 7"):
        code, _, error = call("train", spec, "--out", tmp_path / "none")
        assert code == 2
        require_one_line(error)
    assert not (tmp_path / "none").exists()


def test_three_operations_have_three_folders():
    from marginlens.cli.text_output import file_name

    names = ["x-y mod 97", "x/y mod 97", "x+y mod 97", "x^2+xy+y^2 mod 97", "xyx^-1 in S5"]
    assert [file_name(name) for name in names] == [
        "x-minus-y-mod-97",
        "x-over-y-mod-97",
        "x-plus-y-mod-97",
        "x-2-plus-xy-plus-y-2-mod-97",
        "xyx-1-in-S5",
    ]
    assert file_name("compose(C7,3)") == "compose-C7-3"
