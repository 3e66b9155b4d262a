"""A run on disk: what is written comes back, and what is damaged is named."""

import json
import os
import re
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch
from records import require_same_record
from safetensors import safe_open
from safetensors.numpy import load_file

from marginlens.report import report
from marginlens.runs import Run, check_folder, execute, load_run, save_run
from marginlens.tasks import task
from marginlens.tensor_bytes import tensor_bytes

FILES = {
    "recipe.toml",
    "history.parquet",
    "snapshots.safetensors",
    "parameters.safetensors",
    "prediction.json",
    "verdict.json",
    "times.json",
}
SMALL = {"width": 12, "strength": 1e-3, "steps": 40, "members": 2, "snapshots": 5}


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("runs") / "C5"
    return execute("C5", out=folder, **SMALL)


@pytest.fixture
def copy(saved, tmp_path) -> Path:
    return Path(shutil.copytree(saved.folder, tmp_path / "copy"))


def test_a_folder_holds_every_file_and_nothing_else(saved):
    assert {path.name for path in saved.folder.iterdir()} == FILES
    assert [path.name for path in saved.folder.parent.iterdir()] == ["C5"]


def test_what_is_written_comes_back(saved):
    back = load_run(saved.folder)
    assert back.recipe == saved.recipe
    require_same_record(back.verdict.to_dict(), saved.verdict.to_dict())
    require_same_record(back.prediction.to_dict(), saved.prediction.to_dict())
    require_same_record(back.measurement.to_dict(), saved.measurement.to_dict())
    require_same_record(back.first.to_dict(), saved.first.to_dict())
    assert back.training.stopped == saved.training.stopped == "steps"
    assert back.training.seconds == saved.training.seconds
    for column, values in saved.training.history.items():
        assert values.shape[1] == 2
        np.testing.assert_array_equal(back.training.history[column], values)
    for column, values in saved.history.items():
        np.testing.assert_array_equal(back.history[column], values)
    for slot, p in saved.training.network.tensors.items():
        assert torch.equal(back.training.network.tensors[slot], p)
        np.testing.assert_array_equal(back.snapshots[slot], saved.snapshots[slot])
    np.testing.assert_array_equal(back.snapshot_steps, saved.snapshot_steps)


def test_the_files_are_what_other_programs_read(saved):
    recipe = tomllib.loads((saved.folder / "recipe.toml").read_text())
    assert (recipe["task"], recipe["width"]) == ("C5", 12)
    table = pq.read_table(saved.folder / "history.parquet")
    assert table.column_names[:4] == ["step", "member", "loss", "cross_entropy"]
    assert table["step"].to_pylist() == [0, 0, 10, 10, 20, 20, 30, 30, 40, 40]
    assert table["member"].to_pylist() == [0, 1] * 5
    snapshots = load_file(saved.folder / "snapshots.safetensors")
    assert snapshots["u"].shape == (len(snapshots["step"]), 5, 12)
    parameters = load_file(saved.folder / "parameters.safetensors")
    assert {name: p.shape for name, p in parameters.items()} == dict.fromkeys("uvw", (2, 5, 12))
    verdict = json.loads((saved.folder / "verdict.json").read_text())
    assert {
        "task",
        "summary",
        "status",
        "margin_ratio",
        "training_seconds",
        "holds",
        "premises",
        "claims",
    } == verdict.keys()
    claim = {"name", "predicted", "measured", "tolerance", "holds", "source"}
    assert all(claim <= entry.keys() for entry in verdict["claims"])


def test_equal_runs_have_equal_files_but_for_times(saved, tmp_path):
    again = execute("C5", out=tmp_path / "again", **SMALL)
    for name in sorted(FILES - {"times.json", "verdict.json"}):
        assert (again.folder / name).read_bytes() == (saved.folder / name).read_bytes(), name
    verdicts = [json.loads((run.folder / "verdict.json").read_text()) for run in (saved, again)]
    assert [verdict.pop("training_seconds") > 0 for verdict in verdicts] == [True, True]
    assert verdicts[0] == verdicts[1]


def test_tensors_and_texts_have_one_sequence_of_bytes():
    tensors = {f"t{i}": torch.full((i % 3, 2), i, dtype=torch.float32) for i in range(20)}
    texts = {f"k{i}": f"ö{i}\n" for i in range(20)}
    content = tensor_bytes(tensors, texts)
    turned = tensor_bytes(dict(reversed(tensors.items())), dict(reversed(texts.items())))
    assert content == turned
    back = safetensors.torch.load(content)
    assert all(torch.equal(back[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize(
    ("content", "message"),
    [("[1]", "seconds by name"), ("{", "damaged"), ('{"seconds": "x"}', "float")],
)
def test_damaged_times_are_refused_and_missing_ones_are_not_known(copy, content, message):
    (copy / "times.json").unlink()
    assert np.isnan(load_run(copy).training.seconds)
    (copy / "times.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        load_run(copy)


def test_times_of_earlier_versions_are_read_from_the_header(copy):
    (copy / "times.json").unlink()
    file = copy / "parameters.safetensors"
    with safe_open(file, framework="pt") as stored:
        metadata = {**stored.metadata(), "seconds": "1.5", "compile_seconds": "0.25"}
    file.write_bytes(tensor_bytes(safetensors.torch.load_file(file), metadata))
    training = load_run(copy).training
    assert (training.seconds, training.compile_seconds) == (1.5, 0.25)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_precision_survives(tmp_path, dtype):
    run = execute("C5", out=tmp_path / "run", **SMALL, dtype=dtype)
    back = load_run(tmp_path / "run").training.network.tensors["u"]
    assert back.dtype == getattr(torch, dtype)
    assert torch.equal(back, run.training.network.tensors["u"])


def test_a_table_travels_with_its_run(tmp_path):
    table = tmp_path / "klein.csv"
    table.write_text("0,1,2,3\n1,0,3,2\n2,3,0,1\n3,2,1,0\n")
    run = execute(task(str(table)), out=tmp_path / "run", **SMALL)
    table.unlink()
    back = load_run(tmp_path / "run")
    np.testing.assert_array_equal(back.task.group.table, run.task.group.table)
    assert back.verdict == run.verdict


@pytest.mark.parametrize(
    ("file", "spec", "name"),
    [
        ("C5.csv", "C5.csv", "C5.csv"),
        ("S3xC4.txt", "compose(S3xC4.txt, 2)", "S3xC4.txt"),
        ("compose(C3,3).csv", "compose(C3,3).csv", "compose(C3,3).csv"),
        ("x in y.csv", "x in y.csv", "x_in_y.csv"),
        ("[b]名 5.csv", "xyx^-1 in [b]名 5.csv", "xyx^-1 in [b]名 5.csv"),
    ],
)
def test_a_table_is_called_by_its_file_and_never_by_what_that_reads_as(
    tmp_path, monkeypatch, file, spec, name
):
    s3 = task("S3").group.table
    np.savetxt(tmp_path / file, s3, fmt="%d", delimiter=",")
    monkeypatch.chdir(tmp_path)
    run = execute(spec, out=tmp_path / "run", **SMALL)
    Path(file).write_text("0,1\n1,0\n")  # the run does not look there again
    back = load_run(tmp_path / "run")
    assert back.recipe.task == run.task.name == back.task.name == name
    np.testing.assert_array_equal(back.task.elements.table, s3)
    np.testing.assert_array_equal(back.task.answers, run.task.answers)
    if file == "C5.csv":
        texts = [
            (tmp_path / "run" / part).read_text()
            for part in ("recipe.toml", "prediction.json", "verdict.json")
        ] + [report(back)]
        for text in texts:
            assert "C5.csv" in text
            assert not re.search(
                r"\bC5\b(?!\.csv)", re.sub(r"(?s)<(script|style)\b.*?</\1>", "", text)
            )
    (tmp_path / "run" / "table.npy").unlink()
    with pytest.raises(ValueError, match=r"is missing: expected table\.npy"):
        load_run(tmp_path / "run")


@pytest.mark.parametrize("name", ["S3", "C7"])
def test_a_table_that_is_called_like_another_group_comes_back(tmp_path, name):
    order = np.random.default_rng(0).permutation(6)
    table = np.empty((6, 6), int)
    table[np.ix_(order, order)] = order[task("S3").group.table]
    path = tmp_path / f"{name}.csv"
    np.savetxt(path, table, fmt="%d", delimiter=",")
    run = execute(task(str(path)), out=tmp_path / "run", **SMALL)
    back = load_run(tmp_path / "run")
    np.testing.assert_array_equal(back.task.group.table, table)
    assert back.verdict == run.verdict


@pytest.mark.parametrize("name", ["thesis.txt", "notes"])
def test_what_somebody_put_into_a_run_is_never_deleted(copy, name):
    (copy / name).mkdir() if name == "notes" else (copy / name).write_text("years of work")
    with pytest.raises(ValueError, match=f"also holds '{name}'"):
        execute("C7", out=copy, overwrite=True, **SMALL)
    assert (copy / name).exists()


def test_the_older_run_is_back_if_the_last_step_fails(saved, copy, monkeypatch):
    rename = Path.rename

    def failing(self, target):
        if self.name == "run":
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="Input/output error"):
        save_run(saved, copy, overwrite=True)
    assert load_run(copy).task.name == "C5"


def test_parity_comes_back(tmp_path):
    run = execute("parity(5,2)", out=tmp_path / "run", steps=20, width=8)
    assert load_run(tmp_path / "run").verdict == run.verdict


def test_an_existing_folder_is_left_alone_unless_asked(saved, copy):
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    with pytest.raises(ValueError, match="exists; choose another --out, or add --overwrite"):
        execute("C7", out=copy, **SMALL)
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before
    (copy / "report.html").write_text("an older page")
    execute("C7", out=copy, overwrite=True, **SMALL)
    assert load_run(copy).task.name == "C7"
    assert {path.name for path in copy.iterdir()} == FILES  # nothing of the older run is left


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_no_run_is_never_replaced(tmp_path, overwrite):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.tex").write_text("years of work")
    (tmp_path / "file").write_text("text")
    for name in ("notes", "file", "file/run", "."):
        with pytest.raises(ValueError, match=r"exist|is not a folder") as caught:
            check_folder(tmp_path / name, overwrite=overwrite)
        assert "\n" not in str(caught.value)
    assert (tmp_path / "notes" / "thesis.tex").read_text() == "years of work"


def test_an_empty_folder_may_be_filled_if_asked(tmp_path):
    (tmp_path / "empty").mkdir()
    execute("C5", out=tmp_path / "empty", overwrite=True, **SMALL)
    assert load_run(tmp_path / "empty").task.name == "C5"


def test_a_place_that_cannot_be_written_is_refused_before_training(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "mkdir", full)
    with pytest.raises(ValueError, match=r"cannot write in .*Read-only.* another --out"):
        execute("C5", out=tmp_path / "run", progress=lambda *_: 1 / 0, **SMALL)


def test_parents_are_made(tmp_path):
    execute("C5", out=tmp_path / "a" / "b" / "run", **SMALL)
    assert load_run(tmp_path / "a" / "b" / "run").task.name == "C5"


def test_nothing_is_left_of_a_run_that_could_not_be_written(saved, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(OSError, match="No space left"):
        save_run(saved, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_the_older_run_is_kept_if_the_new_one_cannot_be_written(saved, copy, monkeypatch):
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    monkeypatch.setattr(json, "dumps", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_run(saved, copy, overwrite=True)
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ValueError, match=r"is not a run's folder .* marginlens run C23"):
            load_run(folder)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (name, damage)
        for name in sorted(FILES - {"prediction.json", "verdict.json"})
        for damage in ("missing", "empty", "cut", "garbage")
        if (name, damage) != ("times.json", "missing")
    ],
)
def test_a_damaged_file_is_named_in_one_line(copy, name, damage):
    path = copy / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "cut": content[:-20], "garbage": os.urandom(300)}[damage])
    if (name, damage) == ("recipe.toml", "cut"):
        path.write_bytes(content[: len(content) // 2 + 3])
    with pytest.raises(ValueError, match=r"is damaged|is not a run's folder") as caught:
        load_run(copy)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('task = "C5"', 'task = "C7"'),
        ('task = "C5"', 'task = "parity(5,2)"'),
        ('task = "C5"', 'task = "nonsense"'),
        ("width = 12", "width = -1"),
        ("members = 2", "members = 3"),
        ('activation = "x^2"', 'activation = "tanh"'),
        ("width = 12", "wideness = 12"),
    ],
)
def test_a_recipe_that_does_not_belong_is_refused_in_one_line(copy, old, new):
    path = copy / "recipe.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ValueError, match="is damaged") as caught:
        load_run(copy)
    assert "\n" not in str(caught.value)


def test_an_interruption_is_saved_too(tmp_path):
    def interrupt(step, latest):
        if step == 20:
            raise KeyboardInterrupt

    execute("C5", out=tmp_path / "run", progress=interrupt, **SMALL)
    back = load_run(tmp_path / "run")
    assert back.training.stopped == "interrupted"
    assert back.history["step"].tolist() == [0, 10, 20]
