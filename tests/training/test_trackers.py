"""What trackers write is read back with the libraries' own readers."""

import json
import logging
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from marginlens.training import trackers
from marginlens.training.trackers import open_tracker

CONFIG = {"width": 8, "penalty": {"norm": "l2", "strength": 0.1}}
STEPS = range(0, 100, 10)


@pytest.fixture(autouse=True)
def no_server(monkeypatch):
    for name in [n for n in os.environ if n.startswith(("MLFLOW_", "WANDB_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")


def rows(members: int, seed: int = 0) -> dict[int, dict[str, np.ndarray]]:
    """A row for each step, far apart in size and of either sign.

    Multiples of 2^-30 with at most 40 digits: more than a float32 holds, and sums are exact.
    """
    rng = np.random.default_rng(seed)

    def values(exponents: np.ndarray) -> np.ndarray:
        signs = rng.choice([-1, 1], members)
        return signs * np.rint(2.0**exponents * 2**30) / 2**30

    return {
        step: {
            "loss": np.abs(values(rng.uniform(-20, 3, members))),
            "margin": values(rng.uniform(-5, 9, members)),
        }
        for step in STEPS
    }


def curves(logged: dict[int, dict[str, np.ndarray]]) -> dict[str, list[tuple[int, float]]]:
    """What the curves must hold, written out anew."""
    wanted: dict[str, list[tuple[int, float]]] = {}
    for step, row in sorted(logged.items()):
        for name in row:
            values = row[name].tolist()
            if len(values) == 1:
                wanted.setdefault(name, []).append((step, values[0]))
                continue
            for i in range(min(16, len(values))):
                wanted.setdefault(f"{name}/member{i}", []).append((step, values[i]))
            wanted.setdefault(f"{name}/mean", []).append((step, sum(values) / len(values)))
    return wanted


def read_tensorboard(folder: Path) -> dict[str, list[tuple[int, float]]]:
    module = "tensorboard.backend.event_processing.event_accumulator"
    reader = pytest.importorskip(module).EventAccumulator(
        str(folder / "tensorboard"), size_guidance={"scalars": 0}
    )
    reader.Reload()
    return {
        tag: [(e.step, e.value) for e in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]
    }


def read_mlflow(folder: Path) -> dict[str, list[tuple[int, float]]]:
    client, run = mlflow_run(folder)
    return {
        key: sorted((m.step, m.value) for m in client.get_metric_history(run.info.run_id, key))
        for key in run.data.metrics
    }


def mlflow_run(folder: Path):
    client = pytest.importorskip("mlflow.tracking").MlflowClient(
        tracking_uri=f"sqlite:///{folder / 'mlflow' / 'mlflow.db'}"
    )
    experiment = client.get_experiment_by_name("marginlens")
    (run,) = client.search_runs([experiment.experiment_id])  # exactly one
    return client, run


def read_wandb(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Every part of an offline run, as synchronising it would send them.

    The library reads its files in a program of its own, so they are taken apart here: after seven
    bytes, a log as LevelDB writes it, of blocks of 32 KiB; a record is a protocol buffer.
    """
    record = pytest.importorskip("wandb.proto.wandb_internal_pb2").Record
    found: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        for data in leveldb_records(path.read_bytes(), start=7):
            history = record.FromString(data).history
            items = {
                item.key or ".".join(item.nested_key): json.loads(item.value_json)
                for item in history.item
            }
            for name, value in items.items():
                if not name.startswith("_"):
                    found.setdefault(name, []).append((history.step.num, value))
    return found


def leveldb_records(data: bytes, start: int) -> list[bytes]:
    found, part = [], b""
    while start + 7 <= len(data):
        left = 32768 - start % 32768
        if left < 7:  # no room for a header: the block ends in padding
            start += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, start)
        part += data[start + 7 : start + 7 + length]
        start += 7 + length
        if kind in (1, 4):  # whole, or the last part
            found.append(part)
            part = b""
    return found


READERS = {"tensorboard": read_tensorboard, "mlflow": read_mlflow, "wandb": read_wandb}
PRECISION = {"tensorboard": np.float32, "mlflow": np.float64, "wandb": np.float64}


@pytest.fixture(
    params=[  # MLflow makes a database for each run
        pytest.param(name, marks=[pytest.mark.system] if name == "mlflow" else [])
        for name in READERS
    ]
)
def kind(request) -> str:
    pytest.importorskip(request.param, reason=f"{request.param} is not installed")
    return request.param


def require_curves(kind: str, folder: Path, logged: dict[int, dict[str, np.ndarray]]) -> None:
    found, wanted = READERS[kind](folder), curves(logged)
    assert found.keys() == wanted.keys()
    rounded = PRECISION[kind]
    for name, points in wanted.items():
        assert found[name] == [(step, float(rounded(value))) for step, value in points], name


@pytest.mark.parametrize("members", [1, 3, 20])
def test_every_value_is_read_back(kind, members, tmp_path):
    logged = rows(members)
    tracker = open_tracker(kind, folder=tmp_path / "run", name="C5", config=CONFIG)
    for step, row in logged.items():
        tracker.log(step, row)
    tracker.close("steps")
    tracker.close("steps")  # a second time does nothing
    require_curves(kind, tmp_path / "run", logged)
    changed = {s: {k: v + 1e-3 for k, v in row.items()} for s, row in logged.items()}
    with pytest.raises(AssertionError):
        require_curves(kind, tmp_path / "run", changed)


@pytest.mark.parametrize("replayed", [True, False])
@pytest.mark.parametrize("clean", [True, False])
def test_resume_goes_on_without_duplicates(kind, replayed, clean, tmp_path):
    """Interrupted after 60, gone on from a checkpoint at 40; rows up to there may come again."""
    first, second = rows(2, 0), rows(2, 1)
    tracker = open_tracker(kind, folder=tmp_path, name="C5", config=CONFIG)
    for step in range(0, 70, 10):
        tracker.log(step, first[step])
    if clean:
        tracker.close("interrupted")
    else:
        crash(kind, tracker)
    tracker = open_tracker(kind, folder=tmp_path, name="C5", config=CONFIG, resume_step=40)
    for step in STEPS:
        if replayed or step > 40:
            tracker.log(step, second[step])
    tracker.close("steps")
    kept = 40 if kind == "tensorboard" else 60  # the others never take a point back
    require_curves(
        kind, tmp_path, {step: (first if step <= kept else second)[step] for step in STEPS}
    )


def crash(kind: str, tracker) -> None:
    """Leave a run as a process that is killed does once what it gave away is written."""
    backend = tracker._backend
    if kind == "tensorboard":
        backend._writer.flush()
    elif kind == "mlflow":
        backend._send()
    else:  # its own process writes; the run is ended here, since one process holds one at a time
        backend._run.finish(exit_code=1)


def test_resume_where_nothing_was_tracked_begins_there(kind, tmp_path):
    logged = {step: row for step, row in rows(1).items() if step >= 40}
    tracker = open_tracker(kind, folder=tmp_path, name="C5", config=CONFIG, resume_step=40)
    for step, row in logged.items():
        tracker.log(step, row)
    tracker.close("steps")
    require_curves(kind, tmp_path, logged)


def test_tensorboard_resumed_twice_knows_which_points_are_void(tmp_path):
    pytest.importorskip("tensorboard")
    first, second, third = (rows(1, seed) for seed in range(3))
    for logged, steps, resume in (
        (first, range(0, 70, 10), None),
        (second, range(30, 40, 10), 20),
        (third, STEPS, 60),
    ):
        tracker = open_tracker(
            "tensorboard", folder=tmp_path, name="C5", config={}, resume_step=resume
        )
        for step in steps:
            tracker.log(step, logged[step])
        tracker.close("interrupted")
    # the second part voided the first's points from 30 on, and reached 30 alone
    parts = {step: first if step < 30 else second if step == 30 else third for step in STEPS}
    require_curves("tensorboard", tmp_path, {step: part[step] for step, part in parts.items()})


def test_tensorboard_shows_only_the_new_run_where_one_is_made_over(tmp_path):
    pytest.importorskip("tensorboard")
    first, second = rows(1, 0), rows(1, 1)
    for logged, steps in ((first, STEPS), (second, range(0, 50, 10))):
        tracker = open_tracker("tensorboard", folder=tmp_path, name="C5", config={})
        for step in steps:
            tracker.log(step, logged[step])
        tracker.close("steps")
    require_curves("tensorboard", tmp_path, {step: second[step] for step in range(0, 50, 10)})


@pytest.mark.system
@pytest.mark.parametrize(
    ("status", "word"),
    [("steps", "FINISHED"), ("converged", "FINISHED"), ("interrupted", "KILLED")],
)
def test_mlflow_keeps_settings_and_the_reason_to_stop(status, word, tmp_path):
    pytest.importorskip("mlflow")
    tracker = open_tracker("mlflow", folder=tmp_path, name="a name", config=CONFIG)
    assert mlflow_run(tmp_path)[1].info.status == "RUNNING"
    tracker.close(status)
    _, run = mlflow_run(tmp_path)
    assert run.data.params == {"width": "8", "penalty.norm": "l2", "penalty.strength": "0.1"}
    assert (run.info.run_name, run.info.status, run.data.tags["stopped"]) == (
        "a name",
        word,
        status,
    )


@pytest.mark.system
def test_mlflow_takes_the_store_it_is_told(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    store = tmp_path / "elsewhere" / "mlflow" / "mlflow.db"
    store.parent.mkdir(parents=True)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}")
    tracker = open_tracker("mlflow", folder=tmp_path / "run", name="C5", config={})
    tracker.log(3, {"margin": np.array([0.25])})
    tracker.close("steps")
    assert read_mlflow(tmp_path / "elsewhere") == {"margin": [(3, 0.25)]}
    assert not (tmp_path / "run" / "mlflow" / "mlflow.db").exists()


class Failing:
    """A backend of which the third row, and closing, fail."""

    last = -1

    def __init__(self, *_):
        self.calls = []

    def write(self, step, scalars):
        self.calls.append(step)
        if len(self.calls) == 3:
            raise OSError(28, "No space left on device\nat all")

    def close(self, status):
        self.calls.append(status)
        raise RuntimeError("cannot close either")


def test_a_failure_is_said_once_and_does_not_stop_the_training(monkeypatch, tmp_path, caplog):
    backend = Failing()
    monkeypatch.setitem(
        trackers.TRACKERS, "tensorboard", ("TensorBoard", lambda *_: backend, "hint")
    )
    tracker = open_tracker("tensorboard", folder=tmp_path, name="C5", config={})
    with caplog.at_level(logging.WARNING):
        for step, row in rows(1).items():
            tracker.log(step, row)
        tracker.close("steps")
    assert backend.calls == [0, 10, 20, "tracking failed"]
    assert [record.getMessage() for record in caplog.records] == [
        "--track tensorboard failed and stops here; the training goes on: "
        "[Errno 28] No space left on device at all"
    ]


@pytest.mark.system
@pytest.mark.parametrize("kind", ["tensorboard", "mlflow"])
def test_a_full_disk_is_one_line(kind, tmp_path):
    """No file may grow past a size, in a process of its own: what is printed is all a user sees."""
    pytest.importorskip(kind)
    script = """
import resource, sys, time
from pathlib import Path
import numpy as np
from marginlens.training import tracker_backends, trackers
tracker_backends._MLFLOW_SECONDS = 0.0
folder = Path(sys.argv[2])
tracker = trackers.open_tracker(sys.argv[1], folder=folder, name="C5", config={})
written = max(path.stat().st_size for path in folder.rglob("*") if path.is_file())
resource.setrlimit(resource.RLIMIT_FSIZE, (written + 20_000, resource.RLIM_INFINITY))
for step in range(200):
    tracker.log(step, {"margin": np.arange(16.0)})
    if step % 50 == 0:
        time.sleep(0.05)
tracker.close("steps")
print("trained")
"""
    done = subprocess.run(
        [sys.executable, "-c", script, kind, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "trained\n"), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith(f"--track {kind} failed and stops here; the training goes on: ")


def test_other_threads_still_report_their_errors(tmp_path):
    pytest.importorskip("tensorboard")
    import threading

    seen = []
    before = threading.excepthook
    try:
        threading.excepthook = lambda failure: seen.append(failure.exc_value)
        hook = threading.excepthook
        tracker = open_tracker("tensorboard", folder=tmp_path, name="C5", config={})
        thread = threading.Thread(target=lambda: 1 // 0)
        thread.start()
        thread.join()
        tracker.close("steps")
        assert threading.excepthook is hook
        assert [type(error) for error in seen] == [ZeroDivisionError]
    finally:
        threading.excepthook = before


@pytest.mark.parametrize(
    ("kind", "title"),
    [("tensorboard", "TensorBoard"), ("wandb", "Weights & Biases"), ("mlflow", "MLflow")],
)
def test_a_missing_library_is_named_with_its_remedy(kind, title, monkeypatch, tmp_path):
    for module in [m for m in sys.modules if m.split(".")[0] == kind]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, kind, None)  # as if it were not installed
    with pytest.raises(ValueError, match="needs") as raised:
        open_tracker(kind, folder=tmp_path, name="C5", config={})
    assert str(raised.value) == (
        f"--track {kind} needs {title}; install it with: pip install 'marginlens[{kind}]'"
    )


def test_an_unknown_kind_lists_the_kinds(tmp_path):
    with pytest.raises(ValueError, match="tensorboard, wandb or mlflow, got 'tensorbord'"):
        open_tracker("tensorbord", folder=tmp_path, name="C5", config={})


def test_what_fails_before_the_training_is_one_line(kind, tmp_path):
    (tmp_path / "run").write_text("a file where the folder should be")
    with pytest.raises(ValueError, match=f"^--track {kind} could not start: ") as raised:
        open_tracker(kind, folder=tmp_path / "run", name="C5", config={})
    assert "\n" not in str(raised.value)
