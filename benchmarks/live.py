"""What watching costs a training, how many frames there are, and how soon the first one comes.

A training as the explorer's process runs it, with ten frames a second going through a pipe, alternates
with the same training that nobody watches. Then the explorer itself starts one, and is asked for its
state as by a page.
"""

import argparse
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from measure import alternate
from rich.console import Console
from rich.table import Table

from marginlens.explorer.jobs.jobs import Trainings
from marginlens.explorer.jobs.worker import FRAME_SECONDS, Worker
from marginlens.tasks import Task, task
from marginlens.training import Recipe, recipe_for, train

_READER = "import sys\nwhile sys.stdin.buffer.read(1 << 16): pass"


class Counted:
    """A pipe to another process, and how many messages went through."""

    def __init__(self, pipe) -> None:
        self.pipe, self.count = pipe, 0

    def write(self, content: bytes) -> None:
        """Pass a message on."""
        self.pipe.write(content)
        self.count += 1

    def flush(self) -> None:
        """Send it off."""
        self.pipe.flush()


def watched(chosen: Task, recipe: Recipe, out: Counted) -> None:
    """Train with somebody looking all the time."""
    job = {"recipe": recipe.model_dump(), "folder": "", "maximum": None, "paused": False}
    commands: queue.Queue = queue.Queue()
    worker, done = Worker(job, commands, out), threading.Event()

    def look() -> None:
        while not done.wait(0.5):
            commands.put({"do": "look"})

    threading.Thread(target=look, daemon=True).start()
    train(chosen, recipe, watch=worker.watch, watch_seconds=FRAME_SECONDS)
    done.set()


def processor_seconds(work: Callable[[], object]) -> float:
    """Time that this process spent at work: what others do on the machine is not in it."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def cost(spec: str, rounds: int, steps: int | None) -> list[str]:
    """A row of the table: seconds alone and watched, their ratio, frames a second."""
    chosen = task(spec)
    recipe = recipe_for(chosen, steps=steps)
    with subprocess.Popen([sys.executable, "-c", _READER], stdin=subprocess.PIPE) as reader:
        assert reader.stdin is not None
        out = Counted(reader.stdin)
        timings = alternate(
            {
                "alone": lambda: processor_seconds(lambda: train(chosen, recipe)),
                "watched": lambda: processor_seconds(lambda: watched(chosen, recipe, out)),
            },
            rounds=rounds,
            calls=1,
        )
    seconds = timings.median("watched")
    pairs = zip(timings.returned["watched"][1:], timings.returned["alone"][1:], strict=True)
    processor = statistics.median(one / other for one, other in pairs)
    return [
        spec,
        str(recipe.width),
        str(recipe.steps),
        f"{timings.median('alone'):.2f}",
        f"{seconds:.2f}",
        f"{timings.paired_ratio('watched', 'alone'):.3f}",
        f"{processor:.3f}",
        f"{out.count / (rounds + 1) / seconds:.1f}",
    ]


def first_frames(spec: str) -> str:
    """From the press of a button to the first picture, and pictures a second, in the explorer itself."""
    with tempfile.TemporaryDirectory() as folder:
        trainings = Trainings(Path(folder))
        trainings.seen("me")
        time.sleep(12)  # a page is looked at before anything is pressed: a process gets ready
        begun = time.perf_counter()
        id = trainings.start("me", {"task": spec, "steps": 20_000})
        times, step, rates = [], -1, []
        while time.perf_counter() - begun < 8:
            now = trainings.state(id)
            if now.step != step:
                step = now.step
                times.append(time.perf_counter() - begun)
                rates.append(now.steps_per_second)
            time.sleep(0.01)
        trainings.close()
    rate = (len(times) - 1) / (times[-1] - times[0])
    return (
        f"{spec}: first picture {1000 * times[0]:.0f} ms after start, first that has moved "
        f"{1000 * times[1]:.0f} ms; {rate:.1f} pictures a second; {rates[-1]:.0f} steps a second"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("specs", nargs="*", default=["C23", "C71", "S4"], help="tasks")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, help="of each training; default: what suits the task")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    table = Table(
        "task",
        "width",
        "steps",
        "s alone",
        "s watched",
        "ratio",
        "of processor time",
        "frames/s",
        title="a training that is watched, to one that is not (medians; ratio paired by rounds)",
    )
    for spec in arguments.specs:
        table.add_row(*cost(spec, arguments.rounds, arguments.steps))
    console = Console(width=110)
    console.print(table)
    console.print(first_frames(arguments.specs[0]))


if __name__ == "__main__":
    main()
