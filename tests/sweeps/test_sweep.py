"""Sweeps that run: results, folders, failures, kills; on the real command line."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
from command_line import ENVIRONMENT, call, end, require_one_line, start
from sweeping import until

from marginlens.measures import observe
from marginlens.sweeps import Results, read_sweep, run_sweep
from marginlens.sweeps.pieces import compute_piece, payload_of
from marginlens.sweeps.schema import FEATURES, MEMBERS
from marginlens.sweeps.store import Store
from marginlens.tasks import task
from marginlens.training import train

SPEC = {
    "seeds": 3,
    "recipe": {"task": "C5", "compile": "never", "dtype": "float64", "steps": 150},
    "grid": {"width": [2, 3, 4, 5], "strength": [1e-4, 1e-3]},
}


def spec_file(folder: Path, **changes) -> Path:
    path = folder / "s.toml"
    path.write_text(read_sweep(SPEC | changes).to_toml())
    return path


def bits(folder: Path) -> dict[str, bytes]:
    """Every file of every piece."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted((folder / "pieces").rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[dict, dict[str, bytes]]:
    """Pieces computed one by one in this process: what every sweep must find, to the bit."""
    sweep = read_sweep(SPEC)
    wanted = {}
    for piece in sweep.pieces(sweep.configurations()):
        made = compute_piece(payload_of(piece, sweep.observe))
        for name, content in made["files"].items():
            wanted[f"pieces/piece={piece.id}/{name}"] = content
    return SPEC, wanted


@pytest.mark.system
def test_a_sweep_finds_what_its_pieces_hold_and_what_training_and_measuring_say(
    tmp_path, undisturbed
):
    shown = []
    summary = run_sweep(
        read_sweep(SPEC), tmp_path / "a", workers=2, progress=lambda p: shown.append(p.done)
    )
    assert bits(tmp_path / "a") == undisturbed[1]
    assert (summary.configurations, summary.runs, summary.finished) == (8, 24, 8)
    assert summary.ends == {"steps": 24}
    assert shown[-1] == 8
    results = Results(tmp_path / "a")
    members = results.members
    assert members.schema.equals(MEMBERS)
    assert members.num_rows == 24
    configuration = read_sweep(SPEC).configurations()[3]
    recipe = configuration.recipe.model_copy(update={"members": 3})
    training = train(task("C5"), recipe)
    found = observe(training.network, task("C5"))
    ours = results.where(f"configuration = '{configuration.digest}'")
    assert ours["loss"].to_numpy() == pytest.approx(training.history["loss"][-1], rel=1e-12)
    assert ours["key_set"].to_pylist() == list(found.key_sets)
    assert ours["spectral_total"].to_numpy() == pytest.approx(found.spectral_total)
    features = results.query(
        f"select * from _features where configuration = '{configuration.digest}' "
        "order by seed, position"
    )
    assert features.column_names == FEATURES.names
    assert features["spectral_weight"].to_numpy() == pytest.approx(found.spectral_weights.ravel())
    again = run_sweep(read_sweep(SPEC), tmp_path / "a")
    assert again.computed == 0
    assert len((tmp_path / "a" / "log.jsonl").read_text().splitlines()) == 8


def test_a_worker_needs_neither_files_nor_the_same_folder(tmp_path, monkeypatch):
    table = np.array([[0, 1, 2], [1, 2, 0], [2, 0, 1]])
    np.save(tmp_path / "own.npy", table)
    monkeypatch.chdir(tmp_path)
    sweep = read_sweep({"recipe": {"task": "own.npy", "steps": 20, "width": 4}})
    (piece,) = sweep.pieces(sweep.configurations())
    payload = payload_of(piece, sweep.observe)
    (tmp_path / "own.npy").unlink()
    assert "files" in compute_piece(payload)


def test_another_version_on_a_worker_is_said():
    sweep = read_sweep({"recipe": {"task": "C3", "steps": 1}})
    (piece,) = sweep.pieces(sweep.configurations())
    made = compute_piece(payload_of(piece, sweep.observe) | {"version": "0.0.1"})
    assert "install the same version" in made["reason"]


def test_parity_and_transformers_have_rows_with_nothing_where_nothing_is_known():
    for fields in (
        {"task": "parity(4,2)", "steps": 5, "width": 4},
        {"task": "C3", "network": "transformer", "steps": 2, "width": 8, "heads": 2, "hidden": 8},
    ):
        sweep = read_sweep({"recipe": fields})
        (piece,) = sweep.pieces(sweep.configurations())
        made = compute_piece(payload_of(piece, sweep.observe))
        assert "files" in made, made
        import pyarrow as pa

        rows = pq.read_table(pa.BufferReader(made["files"]["members.parquet"])).to_pylist()
        assert rows[0]["pure_neurons"] is None
        assert (rows[0]["key_set"] is None) == ("parity" in fields["task"])


@pytest.mark.system
def test_a_configuration_that_fails_is_reported_and_stops_no_other(tmp_path):
    spec = {
        "recipe": {"task": "C5", "compile": "never", "steps": 400, "width": 4, "optimizer": "sgd"},
        "grid": {"learning_rate": [0.01, 1e6]},
    }
    summary = run_sweep(read_sweep(spec), tmp_path / "a", workers=1)
    assert summary.finished == 1
    (failure,) = summary.failures
    assert "diverged" in failure["reason"]
    assert json.loads(next((tmp_path / "a" / "failures").iterdir()).read_text()) == failure


@pytest.mark.system
def test_a_sweep_may_be_extended_and_not_exchanged(tmp_path):
    base = {"recipe": {"task": "C3", "steps": 5, "compile": "never"}, "grid": {"width": [1, 2]}}
    run_sweep(read_sweep(base), tmp_path / "a", workers=1)
    before = bits(tmp_path / "a")
    summary = run_sweep(
        read_sweep(base | {"grid": {"width": [1, 2, 3]}}), tmp_path / "a", workers=1
    )
    assert (summary.computed, summary.finished) == (1, 3)
    assert before.items() <= bits(tmp_path / "a").items()
    with pytest.raises(ValueError, match="another sweep"):
        run_sweep(read_sweep(base), tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.tex").touch()
    with pytest.raises(ValueError, match="not a sweep's folder"):
        run_sweep(read_sweep(base), tmp_path / "b")


def test_a_piece_lands_whole_or_not_at_all(tmp_path, monkeypatch):
    sweep = read_sweep({"recipe": {"task": "C3", "steps": 1}})
    pieces = sweep.pieces(sweep.configurations())
    with Store.open(tmp_path / "a", sweep, pieces) as store:
        monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "no space")))
        with pytest.raises(OSError, match="no space"):
            store.land(pieces[0], {"members.parquet": b"x"})
        assert list((tmp_path / "a" / "pieces").iterdir()) == []
        (tmp_path / "a" / "pieces" / ".unfinished.x").mkdir()
    with Store.open(tmp_path / "a", sweep, pieces):
        assert list((tmp_path / "a" / "pieces").iterdir()) == []


def workers_of(process: subprocess.Popen) -> list[psutil.Process]:
    """Processes below a sweep that can compute."""
    try:
        children = psutil.Process(process.pid).children(recursive=True)
        return [c for c in children if "spawn_main" in " ".join(c.cmdline())]
    except psutil.Error:
        return []


@pytest.mark.slow
def test_workers_killed_at_random_and_then_the_sweep_itself(tmp_path, undisturbed):
    spec, wanted = undisturbed
    path, out = spec_file(tmp_path), tmp_path / "a"
    rng = random.Random(0)
    process = start("sweep", "run", path, "--out", out, "--workers", 2)
    killed = 0
    while process.poll() is None and killed < 3:
        time.sleep(rng.uniform(0.5, 1.5))
        for worker in rng.sample(found, 1) if (found := workers_of(process)) else []:
            try:
                worker.send_signal(signal.SIGKILL)
                killed += 1
            except psutil.Error:
                continue
    children = workers_of(process)
    process.kill()
    process.communicate()
    assert killed
    psutil.wait_procs(children, timeout=600)
    assert not [c for c in children if c.is_running() and c.status() != "zombie"]
    code, _, error = call("sweep", "run", path, "--out", out, "--workers", 2)
    assert code == 0, error
    assert bits(out) == wanted
    landed = [json.loads(line)["piece"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert len(landed) == len(set(landed)) == 8
    assert spec == SPEC


def dask(*arguments: object, folder: Path, prefix: tuple[str, ...] = ()) -> subprocess.Popen:
    folder.mkdir(exist_ok=True)
    command = [*prefix, sys.executable, "-m", "dask", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.mark.system
def test_a_scheduler_and_workers_of_their_own_one_killed_and_started_again(tmp_path, undisturbed):
    """As another machine: processes and working folders apart; and the scheduler dies once."""
    port, out = free_port(), tmp_path / "a"
    address = f"tcp://127.0.0.1:{port}"

    def cluster() -> list[subprocess.Popen]:
        quiet = ("--no-dashboard",)
        return [
            dask("scheduler", "--host", "127.0.0.1", "--port", port, *quiet, folder=tmp_path / "s"),
            *(
                dask(
                    "worker",
                    address,
                    "--nthreads",
                    1,
                    "--no-nanny",
                    *quiet,
                    folder=tmp_path / f"w{i}",
                )
                for i in range(2)
            ),
        ]

    path = spec_file(tmp_path)
    running = cluster()
    process = None
    try:
        until(lambda: not call_fails(port))
        process = start("sweep", "run", path, "--out", out, "--scheduler", address)
        until(lambda: list(out.glob("pieces/piece=*")) or process.poll() is not None)
        for one in running:
            one.send_signal(signal.SIGKILL)
            one.wait()
        running = cluster()
        code, _, error = end(process)
        assert code == 0, error
    finally:
        for one in (*running, *([process] if process else [])):
            one.kill()
            one.wait()
    assert bits(out) == undisturbed[1]
    assert len((out / "log.jsonl").read_text().splitlines()) == 8


def call_fails(port: int, host: str = "127.0.0.1") -> bool:
    import socket

    try:
        socket.create_connection((host, port), timeout=60).close()
    except OSError:
        return True
    return False


_NETWORKS = (
    "set -e; ip netns add {n} ; ip link add {n}a type veth peer name {n}b ; "
    "ip link set {n}b netns {n} ; ip addr add 10.77.{k}.1/24 dev {n}a ; ip link set {n}a up ; "
    "ip netns exec {n} ip addr add 10.77.{k}.2/24 dev {n}b ; ip netns exec {n} ip link set {n}b up ; "
    "ip netns exec {n} ip link set lo up"
)


@pytest.fixture
def other_network():
    """A network namespace with an address of its own; skipped where none can be made."""
    name, number = f"ml{os.getpid() % 10000}", os.getpid() % 200 + 20
    if shutil.which("ip") is None or os.name != "posix":
        pytest.skip("no network namespaces here: ip is not installed")
    made = subprocess.run(
        ["sh", "-c", _NETWORKS.format(n=name, k=number)],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        if made.returncode:
            pytest.skip(f"no network namespaces here: {made.stderr.strip()[:80]}")
        yield name, f"10.77.{number}.1", f"10.77.{number}.2"
    finally:
        for command in (["ip", "netns", "del", name], ["ip", "link", "del", f"{name}a"]):
            subprocess.run(command, capture_output=True, check=False)


@pytest.mark.slow
def test_a_machine_with_another_address_finds_the_same(tmp_path, undisturbed, other_network):
    name, here, there = other_network
    port, out = free_port(), tmp_path / "a"
    address = f"tcp://{here}:{port}"
    running = [
        dask("scheduler", "--host", here, "--port", port, "--no-dashboard", folder=tmp_path / "s"),
        dask(
            "worker",
            address,
            "--host",
            there,
            "--nthreads",
            1,
            "--no-dashboard",
            folder=tmp_path / "w",
            prefix=("ip", "netns", "exec", name),
        ),
    ]
    try:
        until(lambda: not call_fails(port, here))
        code, _, error = call(
            "sweep", "run", spec_file(tmp_path), "--out", out, "--scheduler", address
        )
        assert code == 0, error
    finally:
        for one in running:
            one.kill()
            one.wait()
    assert bits(out) == undisturbed[1]


@pytest.mark.system
def test_ctrl_c_keeps_what_is_finished_and_says_so(tmp_path):
    many = {"seeds": 6000, "together": 3}  # 16,000 pieces: an hour, so that none ends by itself
    path, out = spec_file(tmp_path, **many), tmp_path / "a"
    process = start("sweep", "run", path, "--out", out, "--workers", 1, "--yes")
    until(lambda: list(out.glob("pieces/piece=*")) or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    code, _, error = end(process)
    assert code == 130, error
    assert "the same command continues" in error
    sweep, found = read_sweep(SPEC | many), bits(out)
    landed = {name.split("/")[1].removeprefix("piece=") for name in found}
    pieces = [p for p in sweep.pieces(sweep.configurations()) if p.id in landed]
    assert len(pieces) == len(landed) > 0
    for piece in pieces[:3]:
        for name, content in compute_piece(payload_of(piece, sweep.observe))["files"].items():
            assert found[f"pieces/piece={piece.id}/{name}"] == content


_SBATCH = """#!{python}
import subprocess, sys
subprocess.Popen(["sh", sys.argv[-1]], start_new_session=True,
                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print("Submitted batch job 1")
"""


@pytest.mark.system
def test_slurm_starts_workers_by_its_jobs(tmp_path, undisturbed):
    """With an sbatch that runs its script at once, in the background."""
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "sbatch").write_text(_SBATCH.format(python=sys.executable))
    (commands / "scancel").write_text("#!/bin/sh\nexit 0\n")
    for name in ("sbatch", "scancel"):
        (commands / name).chmod(0o755)
    options = tmp_path / "slurm.toml"
    options.write_text('jobs = 1\nmemory = "2GB"\nwalltime = "00:05:00"\ninterface = "lo"\n')
    path, out = spec_file(tmp_path), tmp_path / "a"
    code, _, error = call(
        "sweep",
        "run",
        path,
        "--out",
        out,
        "--slurm",
        options,
        PATH=f"{commands}:{os.environ['PATH']}",
    )
    assert code == 0, error
    assert bits(out) == undisturbed[1]


@pytest.mark.system
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--scheduler", "tcp://127.0.0.1:9"), "no Dask scheduler answers"),
        (("--scheduler", "nowhere"), "expected a scheduler's address"),
        (("--slurm", "no.toml"), "expected a TOML file, got 'no.toml'"),
    ],
)
def test_a_cluster_that_is_not_there_is_one_line(tmp_path, arguments, words):
    code, _, error = call("sweep", "run", spec_file(tmp_path), "--out", tmp_path / "a", *arguments)
    assert code == 2
    assert words in error
    require_one_line(error)


def test_a_million_runs_ask_first(tmp_path, call):
    path = spec_file(tmp_path, seeds=125_000)
    code, _, error = call("sweep", "run", path, "--out", tmp_path / "a")
    assert code == 2
    assert "1000000 runs" in error
    assert "--yes" in error
    assert not (tmp_path / "a").exists()
