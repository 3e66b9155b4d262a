"""The command line, as a person and as a program use it."""

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from command_line import wait_for

from marginlens import cli
from marginlens.runs import load_run
from marginlens.training import Recipe

VERBS = ("predict", "train", "measure", "verify", "report", "run")
SMALL = ("--width", "12", "--strength", "1e-3", "--steps", "30")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def write_tables():
    Path("ragged.csv").write_text("0,1\n1\n")
    Path("oblong.csv").write_text("0,1,2\n1,2,0\n")
    Path("no-identity.csv").write_text("1,0,2\n0,2,1\n2,1,0\n")
    # a latin square with identity 0 that is not associative
    Path("loop.csv").write_text("0,1,2,3,4\n1,0,3,4,2\n2,4,0,1,3\n3,2,4,0,1\n4,3,1,2,0\n")
    Path("fractions.csv").write_text("0,1.5\n1.5,0\n")
    Path("words.csv").write_text("e,a\na,q\n")
    Path("outside.csv").write_text("0,1\n1,7\n")
    Path("file").write_text("not a folder")
    Path("there").mkdir()


BAD = [
    (["predict", "C0"], "C0"),
    (["predict", "S99"], "S99"),
    (["predict", "D5x"], "D5x"),
    (["run", "parity(4,10)"], "parity"),
    (["run", "ragged.csv"], "ragged.csv"),
    (["run", "oblong.csv"], "square"),
    (["run", "no-identity.csv"], "identity"),
    (["run", "loop.csv"], "associative"),
    (["run", "fractions.csv"], "integer"),
    (["run", "words.csv"], "got 'q'"),
    (["run", "outside.csv"], "7"),
    (["run", "missing.csv"], "missing.csv"),
    (["run", "C5", "--width", "-3"], "width"),
    (["run", "C5", "--width", "wide"], "--width"),
    (["run", "C5", "--activation", "tanh"], "tanh"),
    (["run", "C5", "--penalty", "l3"], "l3"),
    (["run", "C5", "--strength", "nan"], "strength"),
    (["run", "C5", "--learning-rate", "0"], "learning_rate"),
    (["run", "C5", "--device", "cuda:42"], "cuda:42"),
    (["run", "C5", "--device", "abacus"], "abacus"),
    (["run", "C5", "--device", "meta"], "meta"),
    (["run", "C5", "--out", "there"], "--overwrite"),
    (["run", "C5", "--out", "file", "--overwrite"], "file"),
    (["run", "C5", "--out", "file/run"], "file"),
    (
        ["train", "C6", "--stop-share", "0.9", "--activation", "relu", "--penalty", "l2"],
        "stop_share",
    ),
    (["measure", "there"], "recipe.toml"),
    (["verify", "missing"], "no such file or folder"),
    (["report", "missing"], "no such file or folder"),
    (["run", "C5", "--wide", "3"], "--wide"),
    (["learn", "C5"], "learn"),
    (["run"], "expected TASK or --resume FOLDER; for example marginlens train C23"),
]


@pytest.mark.parametrize(("arguments", "word"), BAD, ids=[" ".join(a) for a, _ in BAD])
def test_bad_input_is_one_line_exit_code_two_and_nothing_written(call, arguments, word):
    write_tables()
    before = sorted(Path().rglob("*"))
    code, printed, error = call(*arguments)
    assert code == 2
    assert printed == ""
    assert error.startswith("marginlens: ")
    assert error.count("\n") == 1
    assert error.endswith("\n")
    assert word in error
    assert sorted(Path().rglob("*")) == before


def test_a_run_that_diverges_keeps_its_last_good_state_and_says_how_to_go_on(call):
    code, _, error = call(
        "run", "C5", "--optimizer", "sgd", "--learning-rate", "10", "--width", "9", "--steps", "90"
    )
    assert code == 2
    assert error.count("\n") == 1
    assert re.search(r"not finite at step \d+|exploded at step \d+", error)
    assert {path.name for path in Path("runs/C5").iterdir()} == {
        "recipe.toml",
        "checkpoint.safetensors",
    }
    advice = error.split("resume from it with: marginlens ")[1].split()
    assert advice == ["train", "--resume", "runs/C5", "--learning-rate", "1"]
    code, _, error = call(*advice)
    assert code == 0, error
    run = load_run("runs/C5")
    assert run.recipe.learning_rate == 1
    assert run.training.stopped == "steps"
    assert run.history["step"].tolist() == list(range(0, 100, 10))
    assert np.isfinite(run.history["loss"]).all()
    assert run.history["loss"][-1] < run.history["loss"][0]


@pytest.mark.parametrize("name", ["C5", "A5", "parity(5,2)"])
def test_programs_read_a_prediction(call, name):
    code, printed, error = call("predict", name, "--json", "--strength", "1e-5")
    assert (code, error) == (0, "")
    found = json.loads(printed)
    assert found["task"] == name
    assert {"margin", "penalty", "collapse_penalty", "at_penalty", "features"} <= found.keys()
    assert {"loss", "norm", "margin", "shares"} <= found["at_penalty"].keys()
    names = {"name", "dimension", "type", "status", "least_share", "greatest_share"}
    assert all(names <= feature.keys() for feature in found["features"])
    assert found["at_penalty"]["shares"].keys() == {f["name"] for f in found["features"]}


def test_the_prediction_of_c71_is_that_of_the_paper(call):
    """p = 71: sqrt(2/27) / (71^(1/2) 70)."""
    _, printed, _ = call("predict", "C71", "--json")
    assert json.loads(printed)["margin"] == pytest.approx((2 / 27) ** 0.5 / (71**0.5 * 70))


def test_a_person_reads_a_prediction(call):
    code, printed, _ = call("predict", "A5")
    assert code == 0
    assert "0.0004315709" in printed
    assert "cannot" in printed
    assert "must" in printed


@pytest.mark.parametrize("verb", ["run", "train"])
@pytest.mark.parametrize(
    "options", [(), ("--network", "transformer"), ("--batch", "4", "--seeds", "3")]
)
def test_a_dry_run_prints_all_of_the_recipe_and_writes_nothing(call, verb, options):
    if verb == "run" and "transformer" in options:
        assert call(verb, "C5", *options, "--dry-run")[0] == 2
        return
    code, printed, error = call(verb, "C5", *options, "--dry-run")
    assert (code, error) == (0, "")
    fields = tomllib.loads(printed)
    unset = re.findall(r"^# (\w+): not set$", printed, re.MULTILINE)
    assert fields.keys() | set(unset) == Recipe.model_fields.keys()
    recipe = Recipe.from_toml(printed)
    assert recipe == Recipe(**fields)
    assert re.search(
        rf"^# expected time: about .* for all {recipe.steps} steps", printed, re.MULTILINE
    )
    assert "# folder: runs/C5\n" in printed
    assert "# maximum margin: 0.0304290309" in printed or "transformer" in options
    assert list(Path().iterdir()) == []
    record = json.loads(call(verb, "C5", *options, "--dry-run", "--json")[1])
    assert Recipe(**record["recipe"]) == recipe
    assert record["expected_seconds"] > 0
    assert record["folder"] == "runs/C5"
    assert list(Path().iterdir()) == []


def test_a_dry_run_says_what_would_be_refused(call):
    Path("there").mkdir()
    code, printed, _ = call("train", "C5", "--dry-run", "--out", "there")
    assert code == 0
    assert "# folder: there (refused: " in printed
    assert call("train", "C5", "--dry-run", "--width", "-3")[0] == 2
    assert call("train", "--dry-run", "--resume", "there")[0] == 2
    code, _, error = call("train", "C5", "--width", "900000", "--seeds", "90000", "--out", "x")
    assert (code, Path("x").exists()) == (2, False)
    assert "GB of memory" in error


def test_a_run_leaves_one_folder_with_a_page(call):
    code, printed, _ = call("run", "C5", *SMALL)
    assert code == 0
    assert "runs/C5/report.html" in printed
    assert "not met: Training has reached the minimum" in printed
    assert [path.name for path in Path("runs").iterdir()] == ["C5"]
    assert (Path("runs/C5/report.html")).read_text().startswith("<!DOCTYPE html>")
    verdict = json.loads(Path("runs/C5/verdict.json").read_text())
    assert {"task", "margin_ratio", "training_seconds", "holds", "claims"} <= verdict.keys()
    assert load_run("runs/C5").recipe.width == 12


def test_programs_read_the_verdict_of_a_run_and_nothing_else(call):
    code, printed, error = call("run", "C5", *SMALL, "--json", "--out", "here")
    assert (code, error) == (0, "")
    assert json.loads(printed) == json.loads(Path("here/verdict.json").read_text())


def test_training_leaves_the_page_to_report(call):
    assert call("train", "S3", *SMALL, "--out", "s3")[0] == 0
    assert not Path("s3/report.html").exists()
    code, printed, _ = call("report", "s3")
    assert (code, printed) == (0, "wrote s3/report.html\n")
    assert Path("s3/report.html").stat().st_size > 1e6
    assert call("report", "s3", "--out", "page.html")[0] == 0
    assert Path("page.html").read_bytes() == Path("s3/report.html").read_bytes()
    assert call("report", "s3", "--out", "nowhere/page.html")[0] == 2


def test_measure_and_verify_read_a_saved_run(call):
    call("train", "C5", *SMALL, "--out", "run")
    code, printed, _ = call("measure", "run", "--json")
    assert code == 0
    assert json.loads(printed) == load_run("run").measurement.to_dict()
    code, printed, _ = call("measure", "run")
    assert code == 0
    assert "live neurons" in printed
    assert "k=2" in printed
    code, printed, _ = call("verify", "run", "--json")
    assert json.loads(printed) == json.loads(Path("run/verdict.json").read_text())
    assert code == 3  # not trained to the end, which contradicts nothing
    assert json.loads(printed)["status"] == "premise not met"


def test_the_exit_code_of_verify_is_the_verdict(call):
    call("train", "C5", "--steps", "1", "--out", "untrained")
    code, printed, _ = call("verify", "untrained")
    assert code == 3
    first = printed.splitlines()[0]
    assert first.startswith("Not trained to the end: loss ")
    assert "`marginlens train --resume untrained --steps 1000`" in first
    call("train", "C5", "--strength", "1e-3", "--learning-rate", "0.03", "--out", "trained")
    assert call("verify", "trained")[0] == 0


def test_relu_is_reported_without_a_guarantee(call):
    code, printed, _ = call(
        "run", "C5", *SMALL, "--activation", "relu", "--penalty", "l2", "--out", "relu"
    )
    assert code == 0
    assert "No theorem covers the activation relu on C5" in printed
    assert "not proved" in " ".join(printed.split())
    verdict = json.loads(Path("relu/verdict.json").read_text())
    assert verdict["margin_ratio"] < 1 + 1e-6
    prediction = json.loads(Path("relu/prediction.json").read_text())
    assert prediction["proved"] is False
    assert prediction["waveform"]["found"] >= 1
    assert not any(claim["promised"] for claim in verdict["claims"])
    assert {"sinusoidal", "one_feature"} <= {claim["name"] for claim in verdict["claims"]}


def test_help_names_every_verb_and_shows_examples(call):
    code, printed, _ = call("--help")
    assert code == 0
    assert all(verb in printed for verb in VERBS)
    assert "marginlens run C71" in printed


def test_version(call):
    from importlib.metadata import version

    assert call("--version")[:2] == (0, f"marginlens {version('marginlens')}\n")


@pytest.mark.system
def test_help_does_not_wait_for_pytorch():
    words = (
        "import sys, marginlens.cli; sys.argv = ['marginlens', 'run', '--help']\n"
        "try: marginlens.cli.main()\n"
        "except SystemExit: print('torch' in sys.modules, 'scipy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False False"


@pytest.mark.system
def test_ctrl_c_keeps_what_was_learned(tmp_path):
    arguments = [
        "train",
        "S4",
        "--width",
        "200",
        "--steps",
        "1000000",
        "--out",
        "run",
        "--json",
        "--checkpoint-every",
        "40",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "marginlens", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])},
    )
    wait_for(tmp_path / "run" / "checkpoint.safetensors", process)  # 40 steps were taken
    process.send_signal(signal.SIGINT)
    printed, error = process.communicate(timeout=600)
    assert process.returncode == 0, error
    assert json.loads(printed)["task"] == "S4"
    run = load_run(tmp_path / "run")
    assert run.training.stopped == "interrupted"
    assert 40 <= run.training.steps[-1] < 1_000_000
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
