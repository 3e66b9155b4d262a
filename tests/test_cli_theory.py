"""Verbs of theory on the command line."""

import json
import sys

import numpy as np
import pytest

from marginlens import cli
from marginlens.groups import gap, group
from marginlens.networks import construct
from marginlens.runs import load_run
from marginlens.tasks import task
from marginlens.theory import memorizing_weights, penalty_path, predict


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
    code, printed, _ = call("theory", "certify", "S3", "--out", "s3.npz", "--json")
    record = json.loads(printed)
    assert (code, record["holds"]) == (0, True)
    assert record["lower"] == pytest.approx(predict(task("S3")).margin, rel=1e-11)
    code, printed, _ = call("theory", "certify", "s3.npz")
    assert code == 0
    assert "the bounds meet" in printed
    arrays = dict(np.load(tmp_path / "s3.npz"))
    arrays["w"][0] *= 1.01
    np.savez(tmp_path / "wrong.npz", **arrays)
    code, printed, _ = call("theory", "certify", "wrong.npz")
    assert code == 1
    assert "the bounds do not meet" in printed


def test_certify_parity(call):
    code, printed, _ = call("theory", "certify", "parity(6,3)", "--json")
    record = json.loads(printed)
    assert (code, record["holds"], record["neurons"], record["monomials"]) == (0, True, 4, 56)


@pytest.mark.system
def test_path_with_training(call, tmp_path):
    words = (
        "theory",
        "path",
        "C5",
        "--strengths",
        "1e-2,1e-3",
        "--train",
        "--steps",
        "300",
        "--width",
        "60",
    )
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


def test_certify_tells_a_damaged_file_from_one_that_does_not_hold(call, tmp_path):
    """Exit code 2 where there is nothing to check, 1 where the bounds do not meet."""
    assert call("theory", "certify", "Q8", "--out", "q8.npz")[0] == 0
    content = (tmp_path / "q8.npz").read_bytes()
    for damaged in (content[:-30], content[: len(content) // 2], b"", b"words"):
        (tmp_path / "q8.npz").write_bytes(damaged)
        code, printed, error = call("theory", "certify", "q8.npz")
        assert (code, printed) == (2, "")
        assert "not a readable certificate" in error
        assert error.count("\n") == 1
    (tmp_path / "q8.npz").write_bytes(content)
    arrays = dict(np.load(tmp_path / "q8.npz"))
    arrays["tau"] = np.ones(8) / 7 * (arrays["tau"] > 0)
    arrays["tau"] /= arrays["tau"].sum()
    np.savez(tmp_path / "even.npz", **arrays)
    code, printed, _ = call("theory", "certify", "even.npz", "--json")
    assert (code, json.loads(printed)["holds"]) == (1, False)


def test_certify_replaces_a_file_and_spares_a_folder(call, tmp_path):
    (tmp_path / "s3.npz").write_text("an older one")
    assert call("theory", "certify", "S3", "--out", "s3.npz")[0] == 0
    assert call("theory", "certify", "s3.npz")[0] == 0
    (tmp_path / "folder.npz").mkdir()
    code, _, error = call("theory", "certify", "S3", "--out", "folder.npz")
    assert code == 2
    assert "expected a file, got the folder" in error
    assert {path.name for path in tmp_path.iterdir()} == {"s3.npz", "folder.npz"}


@pytest.mark.parametrize("spec", ["A5", "compose(C5,3)", "parity(5,2)"])
def test_programs_read_the_path_s_record(call, spec):
    code, printed, error = call("theory", "path", spec, "--strengths", "1e-5,1e-3,1", "--json")
    assert (code, error) == (0, "")
    record = json.loads(printed)
    path = penalty_path(task(spec), [1.0, 1e-3, 1e-5])
    assert record["task"] == spec
    assert record["margin"] == path.limit.margin
    assert record["collapse_penalty"] == path.limit.collapse_penalty
    assert record["trained"] == []
    columns = path.columns()
    assert record["predicted"].keys() == columns.keys()
    for name, column in columns.items():
        ours = [None if np.isnan(x) else x for x in column.tolist()]
        assert record["predicted"][name] == ours
    assert record["predicted"]["margin_ratio"][0] is None  # collapsed


@pytest.mark.system
def test_a_path_down_to_the_collapse_and_above(call, tmp_path):
    words = (
        "theory",
        "path",
        "C3",
        "--strengths",
        "10,1e-2",
        "--train",
        "--limit",
        "--steps",
        "700",
        "--width",
        "20",
    )
    code, printed, _ = call(*words, "--figure", "c3.html")
    assert code == 0
    assert printed.count("trained") == 4  # the title, and a row for each
    assert "the runs are in runs/C3-path" in printed
    assert {path.name for path in (tmp_path / "runs" / "C3-path").iterdir()} == {
        *("10", "0.01", "0")
    }
    assert (tmp_path / "c3.html").is_file()
    record = json.loads(call(*words, "--json")[1])
    above = record["trained"][0]
    assert above["margin_ratio"] is None
    assert above["norm"] < 1e-3
    assert record["limit"][0]["margin_ratio"] == pytest.approx(1, abs=1e-2)
    assert load_run(tmp_path / "runs" / "C3-path" / "0").recipe.loss_function == "margin"
    run = load_run(tmp_path / "runs" / "C3-path" / "0.01")
    assert record["trained"][1]["norm"] == run.measurement.norm
    assert record["trained"][1]["shares"] == run.measurement.share.tolist()


def test_a_run_of_three_factors_from_prediction_to_page(call, tmp_path):
    words = ("run", "compose(C3,3)", "--width", "20", "--steps", "30")
    code, printed, _ = call(*words)
    assert code == 0
    assert "runs/compose-C3-3/report.html" in printed
    assert call("measure", "runs/compose-C3-3")[0] == 0
    run = load_run(tmp_path / "runs" / "compose-C3-3")
    assert run.task.slots == ("u1", "u2", "u3")
    assert "compose(C3,3)" in (tmp_path / "runs/compose-C3-3/report.html").read_text()


def test_path_without_training(call):
    code, printed, _ = call("theory", "path", "A5")
    assert code == 0
    assert printed.count("predicted") == 5


def test_widths(call, tmp_path):
    code, printed, _ = call(
        "theory",
        "widths",
        "C3",
        "--widths",
        "2,5-6",
        "--seeds",
        "2",
        "--steps",
        "100",
        "--json",
        "--figure",
        "widths.html",
    )
    record = json.loads(printed)
    assert (code, record["widths"], record["sufficient_width"]) == (0, [2, 5, 6], 6)
    assert (tmp_path / "widths.html").exists()


def test_memorizing_algorithms_and_interference(call):
    code, printed, _ = call("theory", "memorizing", "C5", "S3", "--json")
    assert (code, json.loads(printed)["groups"]) == (0, ["C5", "S3"])
    code, printed, _ = call("theory", "algorithms", "C7", "--frequencies", "1,3", "--json")
    record = json.loads(printed)
    assert code == 0
    assert {one["name"]: one["right"] for one in record["algorithms"]} == dict.fromkeys(
        ["counting", "subtracting", "memorizing", "clock", "pizza", "representations"], 49
    )
    code, printed, _ = call("theory", "algorithms", "S3")
    assert code == 0
    assert "36 of 36" in printed
    assert "is not cyclic" in printed
    code, printed, _ = call("theory", "interference", "11", "--json")
    assert (code, json.loads(printed)["exhaustive"]) == (0, [True] * 5)


def test_algorithms_of_a_run(call, tmp_path):
    assert call("train", "C5", "--width", "60", "--steps", "300", "--out", "c5")[0] == 0
    code, printed, _ = call("analyze", "algorithms", "c5", "--json", "--figure", "fits.html")
    record = json.loads(printed)
    fits = {one["name"]: one for one in record["algorithms"]}
    assert code == 0
    assert fits["clock"]["cosine"] > 0.99
    assert fits["clock"]["agreement"] == 1
    assert record["algorithm"] == "representations"
    assert fits["memorizing"]["hidden_layer"].startswith("no, ")
    assert fits["representations"]["hidden_layer"].startswith("yes, ")
    assert (tmp_path / "fits.html").exists()
    code, printed, _ = call("analyze", "algorithms", "c5")
    assert code == 0
    assert printed.startswith(record["summary"][:40])
    assert printed.count(f"{fits['clock']['cosine']:.5f}") == 1  # of five algorithms, in one line


def test_algorithms_of_a_file(call, tmp_path):
    u, v, w = memorizing_weights(group("S3").table)
    np.savez(tmp_path / "list.npz", u=u, v=v, w=w)
    problem = task("C23")
    weights = {name: p[0].numpy() for name, p in construct(problem).tensors.items()}
    np.savez(tmp_path / "waves.npz", **weights)
    code, printed, error = call("analyze", "algorithms", "waves.npz")
    assert code == 0, error
    assert printed.startswith("Representations (Fourier features")
    code, printed, _ = call("analyze", "algorithms", "list.npz", "--group", "S3")
    assert code == 0
    assert printed.startswith("Memorizing: each neuron stands for one pair")
    code, printed, _ = call("measure", "waves.npz", "--as", "uvw")
    assert code == 0
    assert printed.startswith("Representations (Fourier features")
    assert "4 others" in printed  # of 11 frequencies seven have a line each
    assert sum(line.strip("│ ").startswith("k=") for line in printed.splitlines()) <= 14
    code, printed, _ = call("measure", "list.npz", "--as", "uvw", "--group", "S3", "--json")
    values = json.loads(printed)
    assert (code, values["algorithm"]) == (0, "memorizing")
    assert values["summary"].startswith("Memorizing: each neuron stands for one pair")
    assert values["hidden_evidence"]["largest_pair"] > 0.5
    assert len(values["spectral_weights"]) == 2


def test_waveform_and_degrees(call):
    code, printed, _ = call("theory", "waveform", "7", "--starts", "8", "--json")
    record = json.loads(printed)
    assert code == 0
    assert record["value"] == pytest.approx(0.0187332332, rel=1e-8)
    assert record["power"]["u"][0] == pytest.approx(0.914079, abs=1e-5)
    code, printed, _ = call("theory", "waveform", "5", "--starts", "4")
    assert "not proved" in printed
    code, printed, _ = call(
        "theory", "degrees", "5", "--degrees", "1.5,3", "--starts", "3", "--json"
    )
    assert (code, json.loads(printed)["degree"]) == (0, [1.5, 3.0])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["theory", "certify", "S3", "--out", "s3.txt"],
            "expected a file that ends in .npz, got 's3.txt'; for example s3.npz",
        ),
        (
            ["theory", "certify", "S3", "--out", "no/s3.npz"],
            "expected a file in a folder that exists",
        ),
        (
            ["theory", "certify", "S3", "--out", "S3.NPZ/s3.npz"],
            "expected a file in a folder that exists",
        ),
        (["theory", "certify", "missing.npz"], "not a readable certificate"),
        (
            ["theory", "certify", "missing.npz", "--out", "copy.npz"],
            "--out expects a task to certify, got the certificate 'missing.npz'",
        ),
        (
            ["theory", "certify", "parity(4,2)", "--out", "p.npz"],
            "--out expects a group, got parity(4,2)",
        ),
        (["theory", "certify", "compose(A5,12)"], "multiplications, got"),
        (["theory", "certify", "nope"], "unknown task 'nope'"),
        (
            ["theory", "certify", "parity(20,4)"],
            "expected at most 16 bits and 200000 monomials to list, got",
        ),
        (
            ["theory", "path", "C5", "--strengths", "1e-3,x"],
            "expected numbers separated by commas, got '1e-3,x'",
        ),
        (["theory", "path", "C5", "--strengths", "0"], "strengths: expected finite positive"),
        (["theory", "path", "C5", "--strengths", "nan"], "strengths: expected finite positive"),
        (
            ["theory", "path", "C5", "--strengths", "inf,1e-3"],
            "strengths: expected finite positive",
        ),
        (["theory", "path", "C5", "--strengths", ","], "strengths: expected finite positive"),
        (["theory", "path", "C5", "--train", "--width", "0"], "width: "),
        (["theory", "path", "C5", "--train", "--steps", "-1"], "steps: "),
        (["theory", "path", "C5", "--width", "50"], "add --train"),
        (["theory", "path", "C5", "--out", "runs"], "add --train"),
        (
            ["theory", "path", "C5", "--figure", "no/a.html"],
            "expected a file in a folder that exists",
        ),
        (["theory", "path", "compose(S5,4)", "--train"], "with listed rows to train or measure"),
        (
            ["theory", "path", "compose(parity(4,2),2)"],
            "expected a group, got the task parity(4,2)",
        ),
        (["theory", "path", "C5", "--figure", "a.bmp"], "that ends in .html, .svg, .pdf or .png"),
        (["theory", "path", "parity(50,3)", "--train"], "with listed rows to train or measure"),
        (["theory", "widths", "C5", "--widths", "a-b"], "--widths expected whole numbers, got"),
        (["theory", "widths", "C5", "--widths", "0"], "must be at least 1"),
        (["theory", "widths", "C5", "--widths", "-3"], "--widths expected whole numbers, got"),
        (["theory", "widths", "C5", "--widths", "4,"], "--widths expected whole numbers, got"),
        (
            ["theory", "widths", "C5", "--widths", "8-4"],
            "expected a rising range, got '8-4'; for example 4-8",
        ),
        (["theory", "widths", "C5", "--widths", "1-1000000000"], "expected at most 1000 widths"),
        (["theory", "widths", "C5", "--widths", "10000000"], "width: "),
        (["theory", "widths", "C5", "--widths", "2.5"], "--widths expected whole numbers, got"),
        (["theory", "widths", "C5", "--seeds", "0"], "--seeds"),
        (["theory", "widths", "C5", "--steps", "x"], "--steps"),
        (["theory", "widths", "C5", "--figure", "a.txt"], "that ends in .html"),
        (["theory", "widths", "compose(S5,4)"], "with listed rows to train or measure"),
        (["theory", "memorizing", "C1"], "expected a group of at least two elements, got 'C1'"),
        (["theory", "memorizing", "nope"], "unknown group"),
        (
            ["theory", "algorithms", "C7", "--frequencies", "x"],
            "--frequencies expected whole numbers, got 'x'",
        ),
        (["theory", "algorithms", "C12", "--frequencies", "2"], "with the common factor 2"),
        (["analyze", "algorithms", "C7"], "is not a run's folder"),
        (["analyze", "algorithms", "C7", "--group", "C7"], "--group expects a network's file"),
        (["theory", "interference", "10"], "expected an odd number of at least 3, got 10"),
        (["theory", "waveform", "8"], "prime"),
        (["theory", "waveform", "7", "--activation", "gelu"], "unknown activation"),
        (["analyze", "waveform", "nowhere"], "is not a run's folder"),
        (["theory", "degrees", "4"], "prime"),
        (["atlas", "--max-order", "1"], "greatest order from 2 to 2000"),
        (["run", "parity(50,3)"], "with listed rows to train or measure"),
        (["run", "compose(S5,4)"], "with listed rows to train or measure"),
        (["predict", "compose(C7,0)"], "expected 1 to "),
        (["predict", "compose(C7)"], "expected compose(group,factors)"),
        (["predict", "<(1,2"], "expected a list of generators"),
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
