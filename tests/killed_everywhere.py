"""A run killed before every single thing it does to its files, each time gone on with.

Run as a program of its own, which forks a child for each kill: ``FOLDER [older]``. Prints a line for
each kill: what it was about to do, and how the run was gone on with.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.numpy import load_file

from marginlens.runs import execute, follow, resume
from marginlens.tasks import task
from marginlens.training import recipe_for

FIELDS = {"width": 4, "dtype": "float64", "steps": 40, "snapshots": 3}
TABLE = "0,1,2,3\n1,0,3,2\n2,3,0,1\n3,2,1,0\n"
EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "fsync")


def run(folder: Path) -> None:
    chosen = task(str(folder.parent / "klein.csv"))
    follow(recipe_for(chosen, **FIELDS), chosen, out=folder, overwrite=True, checkpoint_every=10)


def kill_before(number: int, folder: Path, report: Path) -> None:
    """Let this process be killed before the given one of the events that concern the folder."""
    seen = 0
    fsync = os.fsync

    def note(event: str, details: tuple) -> None:
        nonlocal seen
        name = details[0] if details else None
        if event not in EVENTS or not isinstance(name, str | os.PathLike):
            return
        if not Path(name).is_relative_to(folder):
            return
        reads = event == "open" and not details[2] & (os.O_WRONLY | os.O_RDWR)
        if reads:
            return
        if seen == number:
            report.write_text(f"{event} {Path(name).relative_to(folder)}")
            os.kill(os.getpid(), signal.SIGKILL)
        seen += 1

    def noted(handle: int) -> None:
        note("fsync", (Path(f"/proc/self/fd/{handle}").readlink(),))
        fsync(handle)

    sys.addaudithook(note)
    os.fsync = noted


def in_a_child(do: Callable[[], None]) -> int:
    """How a child ended that did it: 0, or minus the signal."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            do()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def go_on(folder: Path) -> str:
    """Go on with a killed run as the messages say; say how."""
    try:
        resume(folder, checkpoint_every=10)
        return "resumed"
    except ValueError as error:
        words = str(error)
    if "is finished" in words:
        return "finished"
    advised = f"holds no run (no recipe.toml); start one with: marginlens train C23 --out {folder}"
    assert words.endswith(advised + (" --overwrite" if folder.exists() else "")), words
    run(folder)
    return "anew"


def same_tensors(first: Path, second: Path) -> bool:
    """Whether two runs ended with the same bits."""
    found, wanted = (load_file(path / "parameters.safetensors") for path in (first, second))
    return found.keys() == wanted.keys() and all(
        found[n].dtype == wanted[n].dtype and found[n].tobytes() == wanted[n].tobytes()
        for n in wanted
    )


def main(folder: Path, older: bool) -> None:
    torch.set_num_threads(1)
    (folder.parent / "klein.csv").write_text(TABLE)
    wanted, before = folder.parent / "wanted", folder.parent / "before"
    run(wanted)
    execute("C3", width=4, steps=10, out=before)
    (before / "tensorboard").mkdir()
    number, report = 0, folder.parent / "report"

    def killed() -> None:
        kill_before(number, folder, report)
        run(folder)

    while True:
        if folder.exists():
            shutil.rmtree(folder)
        if older:
            shutil.copytree(before, folder)
        code = in_a_child(killed)
        if code == 0:
            break
        assert code == -signal.SIGKILL, code
        how = go_on(folder)
        end = "other"
        for name, path in (("same", wanted), ("older", before)):
            if same_tensors(folder, path):
                end = name
        left = ",".join(sorted(path.name for path in folder.iterdir()))
        print(report.read_text(), how, end, left, sep="|")
        number += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] == ["older"])
