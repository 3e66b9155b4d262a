"""Two processes that share the rows of one network train as one does, through the command line."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import command_line as command
import numpy as np
import pytest
import torch.distributed as dist

from marginlens import cli
from marginlens.runs import load_run

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not dist.is_gloo_available(), reason="PyTorch was built without gloo"),
]
SHORT = (
    "--width",
    "10",
    "--dtype",
    "float64",
    "--steps",
    "60",
    "--learning-rate",
    "0.02",
    "--compile",
    "always",
)


def free_port() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


def start_two(*arguments: object) -> list[subprocess.Popen]:
    """What torchrun starts: the same command twice, told apart by its environment."""
    port = free_port()
    return [
        command.start(
            *arguments,
            WORLD_SIZE="2",
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=port,
        )
        for rank in range(2)
    ]


def two(*arguments: object) -> list[tuple[int, str, str]]:
    return [command.end(process) for process in start_two(*arguments)]


def one(*arguments: object) -> None:
    """The same command alone, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["marginlens", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    assert not ended.value.code


def require_equal(folder: Path, wanted: Path) -> None:
    """To round-off: 1e-9 of the largest, where sums are made in another order."""
    found, right = load_run(folder), load_run(wanted)
    np.testing.assert_array_equal(found.training.steps, right.training.steps)
    assert found.training.history.keys() == right.training.history.keys()
    for name, values in right.training.history.items():
        np.testing.assert_allclose(found.training.history[name], values, rtol=1e-9, atol=1e-11)
    for name, values in command.parameters(wanted).items():
        scale = np.abs(values).max()
        np.testing.assert_allclose(
            command.parameters(folder)[name], values, atol=1e-9 * scale, rtol=0
        )


@pytest.mark.parametrize(
    ("spec", "options"),
    [
        ("S3", ("--optimizer", "neuronwise-adam")),
        ("C7", ("--tied", "--train-fraction", "0.7", "--batch", "11", "--optimizer", "muon")),
    ],
)
def test_two_processes_train_as_one_and_only_the_first_writes(tmp_path, spec, options):
    folder, alone = tmp_path / "two", tmp_path / "one"
    ended = two("train", spec, *SHORT, *options, "--out", folder)
    assert [(code, error) for code, _, error in ended] == [(0, ""), (0, "")]
    assert "everything is in" in ended[0][1]
    assert ended[1][1] == ""
    one("train", spec, *SHORT, *options, "--out", alone)
    require_equal(folder, alone)
    assert {path.name for path in folder.iterdir()} == {path.name for path in alone.iterdir()}
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two"}


def test_torchrun_starts_them(tmp_path):
    folder, alone = tmp_path / "two", tmp_path / "one"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node",
            "2",
            "-m",
            "marginlens",
            "train",
            "C5",
            *SHORT,
            "--out",
            str(folder),
            "--json",
        ],
        capture_output=True,
        text=True,
        timeout=600,
        env=command.ENVIRONMENT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["task"] == "C5"  # printed once
    one("train", "C5", *SHORT, "--out", alone)
    require_equal(folder, alone)


def test_a_signal_to_one_stops_both_and_two_go_on(tmp_path):
    folder, alone = tmp_path / "two", tmp_path / "one"
    long = (*SHORT[:5], "600", *SHORT[6:])
    processes = start_two("train", "C5", *long, "--checkpoint-every", "30", "--out", folder)
    try:
        command.wait_for(folder / "checkpoint.safetensors", processes[0])
        processes[1].send_signal(signal.SIGTERM)
        ended = [command.end(process) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [(code, error) for code, _, error in ended] == [(0, ""), (0, "")]
    assert load_run(folder).training.stopped == "interrupted"
    assert load_run(folder).history["step"][-1] < 600
    ended = two("train", "--resume", folder, "--steps", "600")
    assert [(code, error) for code, _, error in ended] == [(0, ""), (0, "")]
    assert "resuming C5 at step" in ended[0][1]
    one("train", "C5", *long, "--out", alone)
    found, right = load_run(folder), load_run(alone)
    assert found.training.stopped == "steps"
    np.testing.assert_array_equal(found.history["step"], right.history["step"])
    np.testing.assert_allclose(found.history["loss"], right.history["loss"], rtol=1e-8)


def test_what_the_first_process_refuses_ends_both(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    ended = two("train", "C5", *SHORT, "--out", folder)
    assert [code for code, _, _ in ended] == [2, 2]
    assert "exists; choose another --out" in ended[0][2]
    for _, printed, error in ended:
        assert printed == ""
        command.require_one_line(error)
    ended = two("train", "--resume", folder)
    assert [code for code, _, _ in ended] == [2, 2]
    assert "holds no run" in ended[0][2]
    assert list(folder.iterdir()) == []
