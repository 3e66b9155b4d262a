"""Verbs of theory on the command line."""

import json
import sys

import numpy as np
import pytest

from marginlens import cli
from marginlens.groups import gap
from marginlens.tasks import task
from marginlens.theory import predict


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Run the command line in an empty folder: exit code, what it printed, what it said of errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["marginlens", *words])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        printed = capsys.readouterr()
        return int(caught.value.code or 0), printed.out, printed.err

    return run


def test_certify_a_task_and_its_file(call, tmp_path):
    code, printed, _ = call("certify", "S3", "--out", "s3.npz", "--json")
    record = json.loads(printed)
    assert (code, record["holds"]) == (0, True)
    assert record["lower"] == pytest.approx(predict(task("S3")).margin, rel=1e-11)
    code, printed, _ = call("certify", "s3.npz")
    assert code == 0
    assert "the bounds meet" in printed
    arrays = dict(np.load(tmp_path / "s3.npz"))
    arrays["w"][0] *= 1.01
    np.savez(tmp_path / "wrong.npz", **arrays)
    code, printed, _ = call("certify", "wrong.npz")
    assert code == 1
    assert "the bounds do not meet" in printed


def test_certify_parity(call):
    code, printed, _ = call("certify", "parity(6,3)", "--json")
    record = json.loads(printed)
    assert (code, record["holds"], record["neurons"], record["monomials"]) == (0, True, 4, 56)


def test_path_with_training(call, tmp_path):
    words = ("path", "C5", "--strengths", "1e-2,1e-3", "--train", "--steps", "300", "--width", "60")
    code, printed, _ = call(*words, "--out", "runs", "--figure", "path.html", "--json")
    record = json.loads(printed)
    assert code == 0
    assert record["predicted"]["strength"] == [1e-2, 1e-3]
    assert [one["strength"] for one in record["trained"]] == [1e-2, 1e-3]
    for predicted, trained in zip(record["predicted"]["loss"], record["trained"], strict=True):
        assert trained["loss"] == pytest.approx(predicted, rel=0.02)
    assert (tmp_path / "path.html").stat().st_size > 1e6
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").rglob("*.safetensors")}
    code, printed, _ = call(*words, "--out", "runs")
    assert code == 0
    assert "trained" in printed
    assert times == {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").rglob("*.safetensors")}
    code, _, said = call(*words[:-1], "80", "--out", "runs")
    assert code == 2
    assert "holds a run by another recipe" in said


def test_path_without_training(call):
    code, printed, _ = call("path", "A5")
    assert code == 0
    assert printed.count("predicted") == 5


def test_widths(call, tmp_path):
    code, printed, _ = call(
        "widths", "C3", "--widths", "2,5-6", "--seeds", "2", "--steps", "100", "--json",
        "--figure", "widths.html",
    )  # fmt: skip
    record = json.loads(printed)
    assert (code, record["widths"], record["sufficient_width"]) == (0, [2, 5, 6], 6)
    assert (tmp_path / "widths.html").exists()


def test_memorizing_algorithms_and_interference(call):
    code, printed, _ = call("memorizing", "C5", "S3", "--json")
    assert (code, json.loads(printed)["groups"]) == (0, ["C5", "S3"])
    code, printed, _ = call("algorithms", "C7", "--frequencies", "1,3", "--json")
    record = json.loads(printed)
    assert code == 0
    assert {one["name"]: one["right"] for one in record["algorithms"]} == dict.fromkeys(
        ["counting", "subtracting", "memorizing", "clock", "pizza", "representations"], 49
    )
    code, printed, _ = call("algorithms", "S3")
    assert code == 0
    assert "36 of 36" in printed
    assert "is not cyclic" in printed
    code, printed, _ = call("interference", "11", "--json")
    assert (code, json.loads(printed)["exhaustive"]) == (0, [True] * 5)


def test_algorithms_of_a_run(call, tmp_path):
    assert call("train", "C5", "--width", "60", "--steps", "300", "--out", "c5")[0] == 0
    code, printed, _ = call("algorithms", "c5", "--json", "--figure", "fits.html")
    fits = {one["name"]: one for one in json.loads(printed)["algorithms"]}
    assert code == 0
    assert fits["clock"]["cosine"] > 0.99
    assert fits["clock"]["agreement"] == 1
    assert (tmp_path / "fits.html").exists()


def test_waveform_and_degrees(call):
    code, printed, _ = call("waveform", "7", "--starts", "8", "--json")
    record = json.loads(printed)
    assert code == 0
    assert record["value"] == pytest.approx(0.0187332332, rel=1e-8)
    assert record["power"]["u"][0] == pytest.approx(0.914079, abs=1e-5)
    code, printed, _ = call("waveform", "5", "--starts", "4")
    assert "not proved" in printed
    code, printed, _ = call("degrees", "5", "--degrees", "1.5,3", "--starts", "3", "--json")
    assert (code, json.loads(printed)["degree"]) == (0, [1.5, 3.0])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["certify", "S3", "--out", "s3.txt"], "must end in .npz"),
        (["certify", "S3", "--out", "no/s3.npz"], "does not exist"),
        (["certify", "missing.npz"], "not a readable certificate"),
        (["certify", "parity(20,4)"], "too many to list"),
        (["path", "C5", "--strengths", "1e-3,x"], "is not a list of numbers"),
        (["path", "C5", "--strengths", "0"], "strengths must be finite positive"),
        (["path", "C5", "--figure", "a.png"], "must end in .html"),
        (["path", "parity(50,3)", "--train"], "can be predicted but not trained"),
        (["widths", "C5", "--widths", "a-b"], "is no list of widths"),
        (["widths", "C5", "--widths", "0"], "must be at least 1"),
        (["widths", "compose(S5,4)"], "can be predicted but not trained"),
        (["memorizing", "C1"], "has one element"),
        (["memorizing", "nope"], "unknown group"),
        (["algorithms", "C7", "--frequencies", "x"], "no list of frequencies"),
        (["algorithms", "C12", "--frequencies", "2"], "share the factor 2"),
        (["algorithms", "C7", "--figure", "a.html"], "name a run's folder"),
        (["interference", "10"], "odd and at least 3"),
        (["waveform", "8"], "prime"),
        (["waveform", "7", "--activation", "gelu"], "unknown activation"),
        (["waveform", "nowhere"], "is not a run's folder"),
        (["degrees", "4"], "prime"),
        (["atlas", "--max-order", "1"], "must be 2 to 2000"),
        (["run", "parity(50,3)"], "can be predicted but not trained"),
        (["run", "compose(S5,4)"], "can be predicted but not trained"),
        (["predict", "compose(C7,0)"], "0 factors"),
        (["predict", "compose(C7)"], "is not a composition"),
        (["predict", "<(1,2"], "no list of generators"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(call, tmp_path, words, said):
    code, printed, error = call(*words)
    assert code == 2
    assert said in error
    assert error.count("\n") == 1
    assert printed == ""
    assert list(tmp_path.iterdir()) == []


def test_without_gap_the_atlas_says_what_to_install(call, monkeypatch, tmp_path):
    monkeypatch.setattr(gap, "find_gap", lambda: None)
    for words in (["atlas"], ["predict", "SmallGroup(24,3)"], ["predict", "M11"]):
        gap.number_of_small_groups.cache_clear()
        gap.library_table.cache_clear()
        code, _, error = call(*words)
        assert code == 2
        assert "pip install 'marginlens[gap]'" in error
        assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
