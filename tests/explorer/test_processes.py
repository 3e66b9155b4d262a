"""Trainings in processes of their own: what is reached, kills of either side, and what is left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import command_line as command
import pytest
from explorer_threads import until

from marginlens.explorer.jobs.jobs import Trainings
from marginlens.explorer.jobs.limits import Limits
from marginlens.explorer.jobs.temporary_runs import Scratch
from marginlens.runs import load_run

SERVER = """
import sys, time
from pathlib import Path
from marginlens.explorer.jobs.jobs import Trainings
trainings = Trainings(Path(sys.argv[1]))
id = trainings.start("me", {"task": "C5", "width": 8, "steps": 200000, "compile": "never"})
while not trainings.state(id).step:
    time.sleep(0.05)
print(trainings._entries[id].process.pid, flush=True)
time.sleep(3000)
"""


def is_alive(pid: int) -> bool:
    """Whether there is such a process, and not only its exit code."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.system
def test_c23_reaches_its_margin_while_another_is_killed(tmp_path):
    trainings = Trainings(tmp_path, limits=Limits(running=2))
    try:
        killed = trainings.start(
            "me", {"task": "C5", "width": 8, "steps": 200_000, "compile": "never"}
        )
        c23 = trainings.start("me", {"task": "C23", "steps": 1200, "compile": "never"})
        until(lambda: trainings.state(killed).step > 0)
        os.kill(trainings._entries[killed].process.pid, signal.SIGKILL)
        failed = until(lambda: (now := trainings.state(killed)).ended and now)
        assert (failed.status, failed.message.split(":")[0]) == (
            "failed",
            "the training's process was killed by SIGKILL",
        )
        steps = set()
        while not (now := trainings.state(c23)).ended:
            steps.add(now.step)
            time.sleep(0.02)
        assert now.status == "finished"
        assert any(0 < step < 1200 for step in steps)
        assert now.history["normalized_margin"][-1] >= 0.99 * now.maximum
        run = load_run(trainings.save(c23, "C23"))
        assert run.verdict.holds
        assert run.verdict.margin_ratio == pytest.approx(
            now.history["normalized_margin"][-1] / now.maximum, rel=1e-6
        )
        assert run.measurement.count.tolist() == now.count.tolist()
    finally:
        trainings.close()
    assert [path.name for path in tmp_path.iterdir()] == ["C23"]


@pytest.mark.system
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads states from /proc")
def test_a_killed_server_takes_its_trainings_along_and_the_next_one_cleans_up(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env=command.ENVIRONMENT,
    ) as server:
        try:
            worker = int(server.stdout.readline())
            assert is_alive(worker)
            (mine,) = (tmp_path / ".live").iterdir()
            Scratch(tmp_path).close()  # another server's start and end leave it alone
            assert mine.is_dir()
        finally:
            server.kill()
    until(lambda: not is_alive(worker))
    Scratch(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.system
def test_what_a_process_says_when_it_cannot_begin(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "torch.py").write_text("raise ImportError('torch is broken here')")
    trainings = Trainings(tmp_path)
    try:
        id = trainings.start("me", {"task": "C5", "width": 8, "steps": 10})
        failed = until(lambda: (now := trainings.state(id)).ended and now)
        assert failed.status == "failed"
        assert failed.message.startswith("the training's process ended: ")
    finally:
        trainings.close()


def test_names_are_given_once_and_whole(tmp_path):
    scratch = Scratch(tmp_path)
    run = scratch.new("1")
    with pytest.raises(ValueError, match="cannot save 'a'"):
        scratch.keep(run, "a")  # there is no run there
    assert not (tmp_path / "a").exists()
    run.mkdir()
    (run / "file").write_text("text")
    for taken in ("a", "a-2"):
        (tmp_path / taken).mkdir()
    with pytest.raises(ValueError, match=r"'a' exists; type another name, e\.g\. a-3"):
        scratch.keep(run, "a")
    (tmp_path / "b").symlink_to("nowhere")
    with pytest.raises(ValueError, match="'b'"):
        scratch.keep(run, "b")
    assert (run / "file").exists()
    assert (scratch.keep(run, "c") / "file").read_text() == "text"
    scratch.close()
    assert not (tmp_path / ".live").exists()
