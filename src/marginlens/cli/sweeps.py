"""The verb sweep."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marginlens.cli.app import app, err, out
from marginlens.cli.options import AsJson
from marginlens.cli.text_output import print_json

if TYPE_CHECKING:
    from marginlens.sweeps import Sweep, SweepProgress, SweepSummary

_PANEL = "Sweeps"
_MANY_RUNS = 10_000
_LONG = 3600.0  # seconds of one core

Workers = Annotated[
    int | None, typer.Option(min=1, help="Processes on this machine.", show_default="one a core")
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Running Dask scheduler, for example tcp://10.0.0.1:8786.",
        show_default="own workers",
    ),
]
Slurm = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="TOML of options for SLURM: jobs, queue, memory, walltime, …",
        show_default="no SLURM",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask before a large sweep.")]


@app.command(
    rich_help_panel=_PANEL,
    epilog="Examples:\n\n  marginlens sweep pilot.toml --out sweeps/pilot\n\n"
    "  marginlens sweep pilot.toml --scheduler tcp://10.0.0.1:8786\n\n"
    "  marginlens sweep pilot.toml --slurm cluster.toml\n\n"
    "pilot.toml, for instance:\n\n"
    '  seeds = 100\n\n  [recipe]\n\n  task = "C5"\n\n  [grid]\n\n  width = [2, 8]\n\n'
    "  strength = [0.0, 1e-4, 1e-2]\n\n"
    "What is finished stays, whatever happens; the same command goes on from there.",
)
def sweep(
    spec: Annotated[
        Path, typer.Argument(metavar="SPEC", help="TOML file that describes the sweep.")
    ],
    folder: Annotated[
        Path | None, typer.Option("--out", help="Folder to write.", show_default="sweeps/NAME")
    ] = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    slurm: Slurm = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Train many configurations from many seeds, here or on a cluster, into tables."""
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
    """Ask for --yes where a sweep is large.

    Raises
    ------
    ValueError
        Saying how many runs it is, and what they are expected to cost.
    """
    if yes:
        return
    seconds = asked.estimated_seconds()
    if asked.runs > _MANY_RUNS or seconds > _LONG:
        raise ValueError(
            f"{asked.size} configurations of {asked.seeds} seeds are {asked.runs} runs, expected to "
            f"take about {duration(seconds)} of one core; if that is meant, add --yes"
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
    """Run a sweep with a bar, and a last line where it is stopped."""
    from marginlens.sweeps import run_sweep

    options = None
    if slurm is not None:
        if scheduler is not None:
            raise ValueError("--slurm starts a scheduler of its own: leave --scheduler out")
        try:
            options = tomllib.loads(slurm.read_text())
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise ValueError(f"{str(slurm)!r} is not readable as TOML: {error}") from None
        options = options.get("slurm", options)
    try:
        with _bar(quiet=quiet) as show:
            return run_sweep(
                asked, folder, workers=workers, scheduler=scheduler, slurm=options, progress=show
            )
    except KeyboardInterrupt:
        err.print(
            f"stopped; what is finished is in {folder}, and the same command goes on from there",
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
    """A time as people say it.

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
    """Print what a sweep has in its folder, and what to do next."""

    def line(words: str, **more: Any) -> None:
        out.print(words, soft_wrap=True, **more)

    new = f", {summary.computed} of them now" if summary.computed != summary.finished else ""
    line(
        f"{summary.configurations} configurations, {summary.runs} runs: {summary.finished} of "
        f"{summary.pieces} pieces are there{new}, in {summary.seconds:.1f} s"
    )
    line("runs that ended: " + ", ".join(f"{n} {end}" for end, n in sorted(summary.ends.items())))
    for failure in summary.failures:
        line(f"failed: {failure['configuration']}: {failure['reason']}", style="red")
    folder = quote(str(summary.folder))
    line(f"next: marginlens table {folder}")
    line(f'      marginlens query {folder} "select * from members limit 5"')
