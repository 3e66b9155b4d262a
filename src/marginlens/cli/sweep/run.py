"""The command ``sweep run``: trainings of many configurations from many seeds."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marginlens.cli.app import err, out, sweep_commands
from marginlens.cli.arguments import AsJson
from marginlens.cli.text_output import print_json

if TYPE_CHECKING:
    from marginlens.sweeps import Sweep, SweepProgress, SweepSummary

__all__ = [
    "Scheduler",
    "Slurm",
    "Workers",
    "duration",
    "print_summary",
    "require_yes",
    "run",
    "swept",
]

_MANY_RUNS = 10_000
_LONG = 3600.0
"""Expected seconds of one core from which a sweep needs --yes."""

Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Worker processes on this machine.", show_default="one for each core"),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Address of a running Dask scheduler, for example tcp://10.0.0.1:8786.",
        show_default="workers on this machine",
    ),
]
Slurm = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="TOML file of SLURM options: jobs, queue, memory, walltime.",
        show_default="no SLURM",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Run the sweep even if it is large.")]


@sweep_commands.command(
    examples=(
        "sweep run pilot.toml --out sweeps/pilot",
        "sweep run pilot.toml --scheduler tcp://10.0.0.1:8786",
        "sweep run pilot.toml --slurm cluster.toml",
    ),
    notes="A file such as pilot.toml:\n\n"
    '  seeds = 100\n  [recipe]\n  task = "C5"\n  [grid]\n  width = [2, 8]\n'
    "  strength = [0.0, 1e-4, 1e-2]\n\n"
    "After an interruption the same command continues with the unfinished runs. Exit code 1 if runs "
    "failed.",
)
def run(
    spec: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="TOML file with the recipe and the grid of the sweep."),
    ],
    folder: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the results.", show_default="sweeps/NAME"),
    ] = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    slurm: Slurm = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Train all configurations of a sweep, on this machine or on a cluster."""
    from marginlens.sweeps import read_sweep

    asked = read_sweep(spec)
    require_yes(asked, yes=yes)
    where = folder or Path("sweeps") / (asked.name if asked.name != "sweep" else spec.stem)
    summary = swept(asked, where, workers=workers, scheduler=scheduler, slurm=slurm, quiet=as_json)
    if as_json:
        print_json(
            {
                "folder": str(summary.folder),
                "configurations": summary.configurations,
                "runs": summary.runs,
                "pieces": summary.pieces,
                "finished": summary.finished,
                "computed": summary.computed,
                "ends": summary.ends,
                "failures": summary.failures,
                "seconds": summary.seconds,
            }
        )
    else:
        print_summary(summary)
    raise typer.Exit(1 if summary.failures else 0)


def require_yes(asked: Sweep, *, yes: bool) -> None:
    """Refuse a large sweep without --yes.

    Parameters
    ----------
    asked
        Sweep that is to run.
    yes
        Whether ``--yes`` was given.

    Raises
    ------
    ValueError
        If the sweep has more than 10,000 runs or needs more than an hour of one core.
    """
    if yes:
        return
    seconds = asked.estimated_seconds()
    if asked.runs > _MANY_RUNS or seconds > _LONG:
        raise ValueError(
            f"{asked.size} configurations of {asked.seeds} seeds are {asked.runs} runs, expected to "
            f"take about {duration(seconds)} of one core; add --yes to start them"
        )


def swept(
    asked: Sweep,
    folder: Path,
    *,
    workers: int | None,
    scheduler: str | None,
    slurm: Path | None,
    quiet: bool,
) -> SweepSummary:
    """Run a sweep with a progress bar.

    Parameters
    ----------
    asked
        Sweep with recipe, grid and seeds.
    folder
        Folder for the results.
    workers
        Worker processes on this machine; by default one for each core.
    scheduler
        Address of a running Dask scheduler, if one is used.
    slurm
        TOML file of SLURM options, if SLURM is used.
    quiet
        Whether to show no progress.

    Raises
    ------
    ValueError
        If options exclude each other or the file of options cannot be read.
    """
    from marginlens.sweeps import run_sweep

    options = None
    if slurm is not None:
        if scheduler is not None:
            raise ValueError(
                f"--slurm starts its own scheduler, got also --scheduler {scheduler}; leave one out"
            )
        try:
            options = tomllib.loads(slurm.read_text())
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise ValueError(
                f"--slurm expected a TOML file, got {str(slurm)!r} ({error}); for example cluster.toml"
            ) from None
        options = options.get("slurm", options)
    try:
        with _bar(quiet=quiet) as show:
            return run_sweep(
                asked, folder, workers=workers, scheduler=scheduler, slurm=options, progress=show
            )
    except KeyboardInterrupt:
        err.print(
            f"interrupted; {folder} has the finished runs, and the same command continues",
            soft_wrap=True,
        )
        raise


@contextmanager
def _bar(*, quiet: bool) -> Iterator[Callable[[SweepProgress], None] | None]:
    from rich.progress import BarColumn, Progress, TextColumn

    if quiet or not err.is_terminal:
        last = ""

        def say(now: SweepProgress) -> None:
            nonlocal last
            if now.note and now.note != last:
                err.print(f"marginlens: {now.note}", soft_wrap=True)
            last = now.note

        yield say
        return
    columns = (TextColumn("sweep"), BarColumn(), TextColumn("{task.fields[words]}", markup=False))
    with Progress(*columns, console=err, transient=True) as bar:
        job = bar.add_task("sweep", total=None, words="starting workers ...")

        def show(now: SweepProgress) -> None:
            words = f"{now.done_runs}/{now.runs} runs, {now.done}/{now.pieces} pieces"
            if now.failed:
                words += f", {now.failed} failed"
            if now.workers:
                words += f", {now.workers} workers"
            if now.left is not None:
                words += f", about {duration(now.left)} left"
            if now.note:
                words += f"; {now.note}"
            bar.update(job, completed=now.done_runs, total=now.runs, words=words)

        yield show


def duration(seconds: float) -> str:
    """Write a time in its usual unit.

    Parameters
    ----------
    seconds
        Time to write, in seconds.

    Examples
    --------
    >>> duration(7.2), duration(400.0), duration(9000.0), duration(1e6)
    ('7 s', '7 min', '2.5 h', '11.6 days')
    """
    for size, unit, digits in ((86_400, "days", 1), (3600, "h", 1), (60, "min", 0)):
        if seconds >= 1.5 * size or (unit == "min" and seconds >= 100):
            return f"{seconds / size:.{digits}f} {unit}"
    return f"{seconds:.0f} s"


def print_summary(summary: SweepSummary) -> None:
    """Print the counts of a finished sweep and the commands that show its results.

    Parameters
    ----------
    summary
        Summary of the sweep.
    """

    def line(words: str, **more: Any) -> None:
        out.print(words, soft_wrap=True, **more)

    new = f", {summary.computed} of them now" if summary.computed != summary.finished else ""
    line(
        f"{summary.configurations} configurations, {summary.runs} runs: {summary.finished} of "
        f"{summary.pieces} pieces finished{new}, in {summary.seconds:.1f} s"
    )
    line("runs that ended: " + ", ".join(f"{n} {end}" for end, n in sorted(summary.ends.items())))
    for failure in summary.failures:
        line(f"failed: {failure['configuration']}: {failure['reason']}", style="red")
    folder = quote(str(summary.folder))
    line(f"next: marginlens sweep table {folder}")
    line(f'      marginlens sweep query {folder} "select * from members limit 5"')
