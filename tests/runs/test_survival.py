"""Runs survive: kill -9, signals, a second process, damaged files, a full disk, and divergence."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import command_line as command
import numpy as np
import pytest

from marginlens.runs import execute, follow, load_run, resume
from marginlens.runs.checkpoint import CHECKPOINT, PREVIOUS, read_checkpoint
from marginlens.tasks import task
from marginlens.training import DivergedError, initial_network, recipe_for, train

FIELDS = {"width": 8, "dtype": "float64", "steps": 400, "snapshots": 5}
OPTIONS = ("--width", "8", "--dtype", "float64", "--steps", "3000", "--checkpoint-every", "20")
SCRIPT = Path(command.__file__).parent / "killed_everywhere.py"


def trained(folder: Path, *, stop: int | None = None, progress=None, **fields) -> None:
    """Train on C5 in this process; with ``stop``, until that step."""

    def stopping(step, row):
        if progress is not None:
            progress(step, row)
        if step == stop:
            raise KeyboardInterrupt

    recipe = recipe_for(task("C5"), **{**FIELDS, **fields})
    follow(recipe, task("C5"), out=folder, overwrite=True, progress=stopping, checkpoint_every=50)


@pytest.fixture(scope="module")
def wanted(tmp_path_factory) -> dict[str, np.ndarray]:
    """What an undisturbed run ends with."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    trained(folder)
    return command.parameters(folder)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory) -> Path:
    """A run interrupted at step 220, with checkpoints of that step and of step 200."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    trained(folder, stop=220)
    return folder


@pytest.fixture
def copy(stopped, tmp_path) -> Path:
    return Path(shutil.copytree(stopped, tmp_path / "run"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refused(folder: Path, **options) -> str:
    """The line with which a resume is refused; nothing in the folder has changed."""
    before = contents(folder) if folder.is_dir() else None
    with pytest.raises(ValueError, match=r".") as caught:
        resume(folder, **options)
    assert "\n" not in str(caught.value)
    assert before == (contents(folder) if folder.is_dir() else None)
    return str(caught.value)


@pytest.mark.system
@pytest.mark.parametrize("older", [False, True], ids=["new", "over an older run"])
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads names of files from /proc")
def test_a_kill_before_anything_that_is_done_to_a_file_loses_nothing(tmp_path, older):
    arguments = [str(tmp_path / "run"), *(["older"] if older else [])]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        timeout=1200,
        env=command.ENVIRONMENT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    kills = [line.split("|") for line in done.stdout.splitlines()]
    events = [kill[0] for kill in kills]
    for event in (
        r"os.rename \.recipe\.toml\..*",
        r"fsync \.checkpoint.*",
        rf"os.rename {CHECKPOINT}",
        r"os.rename \.checkpoint.*",
        r"os.mkdir \.finishing",
        rf"os.remove {CHECKPOINT}",
        r"os.rename \.finishing/parameters.safetensors",
        rf"os.remove {PREVIOUS}",
    ):
        assert any(re.fullmatch(event, found) for found in events), event
    begun = events.index("os.remove .recipe.toml.begun")
    for i, (event, how, end, left) in enumerate(kills):
        untouched = older and end == "older" and how == "finished" and i <= 2
        assert untouched or end == "same", event
        assert untouched or how == ("resumed" if i >= begun else "anew"), event
        assert untouched or not any(
            name.startswith((".", "checkpoint")) for name in left.split(",")
        )


def killed_at_random(folder: Path, kills: int, seed: int, compiled: str) -> int:
    """Train by the command line, killed time after time; how many kills met it at work."""
    first = ("train", "C5", *OPTIONS, "--compile", compiled, "--out", folder)
    draw, arguments, met = random.Random(seed), first, 0
    for _ in range(kills):
        process = command.start(*arguments)
        for _ in range(draw.choice((0, 1, 1))):  # of those that wait, none ends by itself
            command.wait_for(folder / CHECKPOINT, process)
        time.sleep(draw.uniform(0, 0.3))
        met += command.kill(process)
        if (folder / "recipe.toml").exists():
            arguments = ("train", "--resume", folder, "--checkpoint-every", "20")
        elif folder.exists():
            arguments = (*first, "--overwrite")
    return met


def require_kills_lose_nothing(tmp_path: Path, kills: int, compiled: str) -> None:
    folder, right, met, seed = tmp_path / "run", tmp_path / "right", 0, 0
    trained(right, steps=3000, snapshots=30, compile=compiled)
    while met < kills:
        met += killed_at_random(folder, min(kills - met, 5), seed, compiled)
        code, _, error = command.call("train", "--resume", folder)
        assert code == 0 or "is finished" in error or "holds no run" in error, error
        if (folder / "parameters.safetensors").exists():
            command.require_same_bits(folder, command.parameters(right))
            shutil.rmtree(folder)
        seed += 1


@pytest.mark.system
def test_a_run_killed_at_random_moments_ends_with_the_same_bits(tmp_path):
    require_kills_lose_nothing(tmp_path, 2, "always")


@pytest.mark.slow
@pytest.mark.parametrize("compiled", ["never", "always"])
def test_fifty_kills_at_random_moments(tmp_path, compiled):
    require_kills_lose_nothing(tmp_path, 50, compiled)


@pytest.mark.system
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_meanwhile_nobody_else_trains_there(tmp_path, number):
    folder, right = tmp_path / "run", tmp_path / "right"
    process = command.start("train", "C5", *OPTIONS[:5], "10000000", *OPTIONS[6:], "--out", folder)
    try:
        command.wait_for(folder / CHECKPOINT, process)
        held = f"'{folder}' is in use by another process"
        with pytest.raises(ValueError, match=held):
            resume(folder)
        with pytest.raises(ValueError, match=held):
            execute("C7", out=folder, overwrite=True, **FIELDS)
        with pytest.raises(ValueError, match="exists; choose another --out, or add --overwrite"):
            execute("C7", out=folder, **FIELDS)
        assert process.poll() is None
        process.send_signal(number)
        code, printed, error = command.end(process)
    finally:
        process.kill()
    assert (code, error) == (0, "")
    assert "stopped: interrupted" in printed
    reached = load_run(folder).training
    assert reached.stopped == "interrupted"
    last = int(reached.end_steps[0])  # the learning rate depends on the number of steps: keep it
    resume(folder, progress=lambda *_: stop_after(last + 30))
    trained(right, steps=10_000_000, snapshots=30, stop=10 * ((last + 30) // 10))
    command.require_same_bits(folder, command.parameters(right))


def stop_after(last: int):
    def stop(step, row):
        if step == 10 * (last // 10):
            raise KeyboardInterrupt

    return stop


def test_what_was_interrupted_goes_on_to_the_same_bits_and_history(copy, wanted, tmp_path):
    assert load_run(copy).training.stopped == "interrupted"
    seen = []
    run = resume(copy, progress=lambda recipe, _, step: lambda now, row: seen.append((step, now)))
    assert seen[0] == (220, 230)
    command.require_same_bits(copy, wanted)
    trained(tmp_path / "right")
    right = load_run(tmp_path / "right")
    for name, values in right.history.items():
        np.testing.assert_array_equal(run.history[name], values)
    np.testing.assert_array_equal(run.snapshot_steps, right.snapshot_steps)
    assert not (copy / CHECKPOINT).exists()
    assert not (copy / PREVIOUS).exists()
    assert "train it further with: marginlens train --resume" in refused(copy)


@pytest.mark.parametrize(
    "fields",
    [
        {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.02},
        {"optimizer": "muon", "learning_rate": 0.02},
        {"optimizer": "adamw", "weight_decay": 0.1, "warmup": 100, "schedule": "cosine"},
        {"batch": 7, "train_fraction": 0.7, "corrupt": 0.2, "split_seed": 3},
        {"members": 3, "tolerance": 0.02, "learning_rate": 0.05},
        {"tied": True, "anneal_to": 1e-4, "strength": 1e-2, "step_size": "normalized"},
        {"activation": "relu", "penalty": "l2", "step_size": "loss"},
    ],
    ids=lambda fields: ",".join(fields),
)
def test_every_kind_of_training_goes_on_to_the_same_bits(tmp_path, fields):
    fields = {"steps": 120, **fields}
    trained(tmp_path / "whole", **fields)
    trained(tmp_path / "parts", stop=40, **fields)
    resume(tmp_path / "parts", progress=lambda *_: stop_after(80))
    run = resume(tmp_path / "parts")
    command.require_same_bits(tmp_path / "parts", command.parameters(tmp_path / "whole"))
    right = load_run(tmp_path / "whole")
    for name, values in right.training.history.items():
        np.testing.assert_array_equal(run.training.history[name], values)
    assert run.training.ends == right.training.ends
    assert run.training.end_steps.tolist() == right.training.end_steps.tolist()


def flip(content: bytes, place: int, bit: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]


@pytest.mark.system
def test_every_cut_and_every_flipped_bit_is_noticed(copy, wanted):
    """Every byte of the header, and one in a hundred of the numbers, each with one of its bits."""
    path = copy / CHECKPOINT
    content = path.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    text = content[:header].rstrip()  # spaces fill it up, and mean nothing
    places = [*range(len(text)), *range(header, len(content), 101), len(content) - 1]
    damages = [flip(content, place, place % 8) for place in places]
    damages += [flip(content, 0, bit) for bit in range(8)]
    lengths = (0, 1, 7, 8, 9, header - 1, header, header + 1, len(content) // 2, len(content) - 1)
    damages += [content[:n] for n in lengths]
    damages += [content + b"\0", bytes(len(content)), os.urandom(len(content))]
    start = f"{str(path)!r} is damaged: "
    network = initial_network(task("C5"), load_run(copy).recipe)
    for damaged in damages:
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="is damaged: ") as caught:
            read_checkpoint(path, network)
        assert str(caught.value).startswith(start)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 700
    way_out = f"; resume from the previous one with: marginlens train --resume {copy} --previous"
    for damaged in damages[:: len(damages) // 5]:
        path.write_bytes(damaged)
        words = refused(copy)
        assert words.startswith(start)
        assert words.endswith(way_out)
    resume(copy, previous=True)
    command.require_same_bits(copy, wanted)


def test_a_damaged_checkpoint_never_takes_the_place_of_the_good_one(copy, wanted):
    """Gone on from the one before it and killed between the renames: a good one is there."""
    (copy / CHECKPOINT).write_bytes(b"nothing")
    resume(copy, previous=True, progress=lambda *_: stop_after(210))
    for name in (CHECKPOINT, PREVIOUS):
        alone = Path(shutil.copytree(copy, copy.parent / name))
        for other in {CHECKPOINT, PREVIOUS} - {name}:
            (alone / other).unlink()
        resume(alone)
        command.require_same_bits(alone, wanted)


def test_only_the_previous_checkpoint_is_there_after_a_kill_between_the_renames(copy, wanted):
    (copy / CHECKPOINT).unlink()
    steps = []
    resume(copy, progress=lambda recipe, _, step: steps.append(step))
    assert steps == [200]
    command.require_same_bits(copy, wanted)


def test_where_no_checkpoint_is_whole_the_way_out_is_to_start_anew(copy):
    for name in (CHECKPOINT, PREVIOUS):
        (copy / name).write_bytes(b"nothing")
    assert "--previous" in refused(copy)
    assert f"marginlens train C5 --out {copy} --overwrite" in refused(copy, previous=True)
    (copy / PREVIOUS).unlink()
    assert f"marginlens train C5 --out {copy} --overwrite" in refused(copy)
    assert "leave --previous out" in refused(copy, previous=True)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("seed = 0", "seed = 1", "seed = 0 in the recipe, as in checkpoint.safetensors, got 1 in"),
        (
            "width = 8",
            "width = 9",
            "width = 8 in the recipe, as in checkpoint.safetensors, got 9 in",
        ),
        ('optimizer = "neuronwise-adam"', 'optimizer = "adam"', "got 'adam' in"),
        ('task = "C5"', 'task = "C6"', "got 'C6' in"),
        ("width = 8", "width = 0", "recipe.toml' is damaged: width: input should be greater than"),
        ("width = 8", "wide = 8", "recipe.toml' is damaged: wide: extra inputs are not permitted"),
        ("width = 8", "width = ", "recipe.toml' is damaged: Invalid value"),
        ('task = "C5"', 'task = "C0"', "recipe.toml' is damaged: "),
    ],
)
def test_a_changed_recipe_is_named(copy, old, new, words):
    path = copy / "recipe.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    assert words in refused(copy)


def test_what_may_change_does_and_what_is_impossible_changes_nothing(copy):
    assert "expected --steps of at least 220" in refused(copy, steps=200)
    assert "learning_rate: input should be greater than 0" in refused(copy, learning_rate=-1.0)
    assert "'abacus' is not here" in refused(copy, device="abacus")
    assert "--track takes" in refused(copy, track="paper")
    run = resume(copy, steps=260, learning_rate=0.001)
    assert (run.recipe.steps, run.recipe.learning_rate) == (260, 0.001)
    assert load_run(copy).recipe == run.recipe
    assert run.history["step"][-1] == 260


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    advice = f"holds no run (no recipe.toml); start one with: marginlens train C23 --out {tmp_path}"
    assert refused(tmp_path / "missing").endswith(f"{advice}/missing")
    assert refused(tmp_path).endswith(f"{advice} --overwrite")
    (tmp_path / "file").write_text("text")
    assert "holds no run" in refused(tmp_path / "file")


def full(folder: Path) -> bool:
    """Whether a disk of 1 MB could be mounted there."""
    folder.mkdir()
    return not subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    ).returncode


@pytest.fixture
def disk(tmp_path):
    """A disk of 1 MB, where this process may mount one."""
    folder = tmp_path / "disk"
    if shutil.which("mount") is None or not full(folder):
        pytest.skip("no small disk may be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Fill a disk to the last byte."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(1024)) == 1024:
                pass
        except OSError:
            return path
    return path


@pytest.mark.system
def test_a_full_disk_costs_checkpoints_but_neither_the_training_nor_the_good_one(disk, wanted):
    steps = []

    def filling(step, row):
        if step == 110:
            fill(disk)
        if step == 190:
            steps.append(len(contents(disk / "run")[CHECKPOINT]))
            (disk / "filler").unlink()

    with pytest.warns(UserWarning, match="no checkpoint at step") as caught:
        trained(disk / "run", progress=filling)
    assert [str(warning.message) for warning in caught] == [
        "no checkpoint at step 150 (No space left on device); training continues, and the previous "
        "checkpoint is kept"
    ]
    assert steps[0] > 1000
    command.require_same_bits(disk / "run", wanted)


@pytest.mark.system
def test_a_disk_that_is_full_at_the_end_keeps_the_checkpoint(disk, wanted):
    with pytest.raises(OSError, match=r"could not write the run to .*No space left") as caught:
        trained(disk / "run", progress=lambda step, row: fill(disk) if step == 400 else None)
    assert str(caught.value).endswith(f"marginlens train --resume {disk / 'run'}")
    assert sorted(contents(disk / "run")) == [PREVIOUS, CHECKPOINT, "recipe.toml"]
    (disk / "filler").unlink()
    resume(disk / "run")
    command.require_same_bits(disk / "run", wanted)


@pytest.mark.system
def test_a_read_only_disk_is_refused_before_training(disk, stopped):
    shutil.copytree(stopped, disk / "run")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert "cannot write in" in refused(disk / "run", learning_rate=0.001)
    assert "Read-only file system" in refused(disk / "run")
    with pytest.raises(ValueError, match=r"cannot write in .*Read-only.*another --out"):
        trained(disk / "other")


def test_a_run_that_cannot_write_says_so_wherever_it_is_tested(copy, monkeypatch):
    def failing(*args, **kwargs):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", failing)
    assert "cannot write in" in refused(copy)


@pytest.mark.system
def test_files_that_may_not_grow_give_one_line_each_and_keep_the_good_checkpoint(tmp_path, wanted):
    """RLIMIT_FSIZE fails as a full disk does, in the real program."""
    trained(tmp_path / "first", stop=20, snapshots=30)
    limit = (tmp_path / "first" / CHECKPOINT).stat().st_size + 200
    before = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))"
    folder = tmp_path / "run"
    code, printed, error = command.call(
        "train",
        "C5",
        "--width",
        "8",
        "--dtype",
        "float64",
        "--steps",
        "400",
        "--checkpoint-every",
        "20",
        "--out",
        folder,
        "--json",
        before=before,
    )
    assert (code, printed) == (2, "")
    *warned, last = error.splitlines()
    assert len(warned) >= 5
    pattern = (
        r"marginlens: no checkpoint at step \d+ \(File too large\); training continues, .* is kept"
    )
    assert all(re.fullmatch(pattern, line) for line in warned), error
    assert f"could not write the run to '{folder}' (" in last
    assert "File too large" in last
    steps = []
    resume(folder, progress=lambda recipe, _, step: steps.append(step))
    assert steps[0] >= 20
    command.require_same_bits(folder, wanted)


SGD = {"optimizer": "sgd", "schedule": "constant", "record_every": 10}


def test_divergence_keeps_the_last_good_state_however_often_it_is_tried(tmp_path):
    """The rate is raised in the middle of a good run: it diverges there, again and again."""
    folder = tmp_path / "run"
    trained(folder, stop=100, learning_rate=0.5, **SGD)
    good = contents(folder)[CHECKPOINT]
    for _ in range(2):
        with pytest.raises(DivergedError, match=r"at step 1\d0") as caught:
            resume(folder, learning_rate=1e3, checkpoint_every=1)
        assert caught.value.state.step == 100
        assert (
            f"of step 100, is kept; resume from it with: marginlens train --resume {folder} "
            in (str(caught.value))
        )
        assert "--learning-rate 100" in str(caught.value)
    assert len(contents(folder)[CHECKPOINT]) == len(good)
    run = resume(folder, learning_rate=0.5)
    assert run.training.stopped == "steps"
    trained(tmp_path / "right", learning_rate=0.5, **SGD)
    command.require_same_bits(folder, command.parameters(tmp_path / "right"))


def test_no_checkpoint_holds_numbers_that_are_not_finite(tmp_path, monkeypatch):
    """Between two records nobody has looked: a kill there must not leave nothing else."""
    finite, module = [], sys.modules["marginlens.runs.pipeline"]
    write = module.write_checkpoint

    def noted(state, folder, recipe):
        finite.append(all(p.isfinite().all() for p in state.network.tensors.values()))
        write(state, folder, recipe)

    monkeypatch.setattr(module, "write_checkpoint", noted)
    recipe = recipe_for(task("C5"), **{**FIELDS, **SGD, "learning_rate": 1e3})
    with pytest.raises(DivergedError):
        follow(recipe, task("C5"), out=tmp_path / "run", checkpoint_every=1)
    assert finite
    assert all(finite)


def test_a_checkpoint_that_was_being_written_is_removed_when_the_run_goes_on(copy):
    left = copy / f".{CHECKPOINT}.abcdefgh"
    left.write_bytes(b"half a checkpoint")
    resume(copy, progress=lambda *_: stop_after(230))
    assert not left.exists()


def test_no_warning_where_all_is_well(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trained(tmp_path / "run", stop=60)
        resume(tmp_path / "run")


def test_the_penalty_may_change_on_the_way(copy, tmp_path):
    """Against one training stopped by hand and gone on from its state with the other recipe."""
    run = resume(copy, strength=3e-3)
    was = recipe_for(task("C5"), **FIELDS)
    assert was.strength not in (3e-3, 0)
    assert run.recipe.strength == load_run(copy).recipe.strength == 3e-3
    assert run.prediction.penalty.strength == 3e-3
    assert json.loads((copy / "changes.json").read_text()) == [
        {"step": 220, "field": "strength", "from": was.strength, "to": 3e-3}
    ]
    kept = []
    train(
        task("C5"),
        was,
        watch=lambda state: (kept.append(state), state.step < 220)[1],
        watch_seconds=0.0,
    )
    right = train(task("C5"), was.model_copy(update={"strength": 3e-3}), state=kept[-1])
    assert kept[-1].step == 400
    for name, values in right.history.items():
        np.testing.assert_array_equal(run.training.history[name], values)
    # the loss is cross-entropy + strength * norm, each row at the strength of its time
    history = right.history
    strength = (history["loss"] - history["cross_entropy"])[:, 0] / history["norm"][:, 0]
    np.testing.assert_allclose(strength[right.steps <= 220], was.strength, rtol=1e-9)
    np.testing.assert_allclose(strength[right.steps > 220], 3e-3, rtol=1e-9)


def test_along_a_path_the_new_strength_is_where_it_falls_from(tmp_path):
    trained(tmp_path / "run", stop=200, strength=1e-2, anneal_to=1e-4)
    assert "anneal_to is a strength above 0 and at most 1e-05" in refused(
        tmp_path / "run", strength=1e-5
    )
    run = resume(tmp_path / "run", strength=1e-3)
    history, steps = run.history, run.history["step"]
    strength = (history["loss"] - history["cross_entropy"]) / history["norm"]
    part = np.clip(2 * steps / 400 - 0.5, 0, 1)
    first = np.where(steps <= 200, 1e-2, 1e-3)
    np.testing.assert_allclose(strength, first * (1e-4 / first) ** part, rtol=1e-9)
    assert run.prediction.penalty.strength == 1e-4


def test_the_command_line_changes_the_penalty_of_what_goes_on(copy, call):
    code, printed, error = call("train", "--resume", copy, "--strength", "2e-3", "--json")
    assert (code, error) == (0, "")
    assert load_run(copy).recipe.strength == 2e-3
    assert json.loads(printed)
    code, _, error = call("train", "--resume", copy, "--seed", "3")
    assert "only --learning-rate, --strength, --steps and --device may change" in error
