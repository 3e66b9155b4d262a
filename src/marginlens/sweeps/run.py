"""Run of a sweep: submit missing pieces, collect results, write them to the folder."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from distributed import Client, Future
from distributed.scheduler import KilledWorker

from marginlens.sweeps.cluster import SchedulerError, connected, local_workers
from marginlens.sweeps.pieces import compute_piece, payload_of
from marginlens.sweeps.spec import Piece, Sweep
from marginlens.sweeps.store import Store, failures_of
from marginlens.training.process_settings import Signals

__all__ = ["RECONNECT_SECONDS", "SweepProgress", "SweepSummary", "run_sweep"]

RECONNECT_SECONDS = 30.0
_ATTEMPTS = 2  # attempts for a piece whose workers die, besides Dask's retries
_POLL = 0.2
_LOST = "the connection to the scheduler was lost"
_LATEST = 64  # pieces in flight per worker, to limit the scheduler's load


@dataclass
class SweepProgress:
    """Progress of a sweep.

    Attributes
    ----------
    pieces, runs
        Total numbers of pieces and runs.
    done, done_runs, failed
        Numbers of finished pieces, finished runs, and failed pieces.
    workers
        Number of active workers.
    left
        Expected seconds to the end; None while unknown.
    note
        Reason for waiting, or empty text.
    """

    pieces: int
    runs: int
    done: int = 0
    done_runs: int = 0
    failed: int = 0
    workers: int = 0
    left: float | None = None
    note: str = ""


@dataclass(frozen=True)
class SweepSummary:
    """Summary of a sweep's folder after a run.

    Attributes
    ----------
    folder
        Folder of the sweep.
    configurations, runs, pieces
        Numbers of configurations, runs and pieces in the specification.
    finished, computed
        Number of finished pieces, and number of those computed by this call.
    ends
        Number of runs for each kind of end: ``"converged"``, ``"steps"``, ...
    failures
        Records of the failed pieces, with reasons.
    seconds
        Duration of this call in seconds.
    """

    folder: Path
    configurations: int
    runs: int
    pieces: int
    finished: int
    computed: int
    ends: dict[str, int]
    failures: list[dict[str, Any]]
    seconds: float


@dataclass
class _Work:
    """Waiting and running pieces of a sweep."""

    store: Store
    sweep: Sweep
    waiting: list[Piece]  # the most expensive last
    progress: SweepProgress
    show: Callable[[SweepProgress], None]
    started: float
    computed: int = 0
    spent: float = 0.0  # expected cost of what was computed
    killed: Counter[str] = field(default_factory=Counter)
    flying: dict[Future, Piece] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        return not self.waiting and not self.flying

    def come_down(self) -> None:
        """Put the running pieces back into the queue."""
        self.waiting += self.flying.values()
        self.waiting.sort(key=lambda piece: piece.seconds)
        self.flying.clear()

    def tell(self, note: str = "") -> None:
        left = sum(p.seconds for p in (*self.waiting, *self.flying.values()))
        if self.computed:
            elapsed = time.monotonic() - self.started
            self.progress.left = left * elapsed / self.spent
        elif self.progress.workers:
            self.progress.left = left / self.progress.workers
        self.progress.note = note
        self.show(self.progress)


def run_sweep(
    sweep: Sweep,
    out: str | Path,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    slurm: Mapping[str, Any] | None = None,
    progress: Callable[[SweepProgress], None] | None = None,
    reconnect: float = RECONNECT_SECONDS,
) -> SweepSummary:
    """Compute the missing pieces of a sweep, and write them to its folder.

    Parameters
    ----------
    sweep
        Specification of the sweep, see :func:`read_sweep`.
    out
        Folder of the sweep, created or resumed.
    workers
        Number of local processes with one thread each; None means one per core, 0 this process only.
    scheduler
        Address of a running Dask scheduler, used instead of local processes.
    slurm
        Arguments of ``dask_jobqueue.SLURMCluster`` and ``jobs``; defaults to ``sweep.slurm``.
    progress
        Function called with the progress after each change, and a few times per second.
    reconnect
        Seconds of attempts to reach a lost scheduler before the sweep raises an error.

    Raises
    ------
    ValueError
        If the sweep or the folder is invalid, before any piece is computed.
    SchedulerError
        If the scheduler does not answer, or is lost; finished pieces are kept.
    OSError
        If a piece cannot be written; finished pieces are kept.
    KeyboardInterrupt
        After SIGINT or SIGTERM; finished pieces are kept.
    """
    begun = time.monotonic()
    folder = Path(out)
    configurations = sweep.configurations()
    pieces = sweep.pieces(configurations)
    chosen = slurm or sweep.slurm or None
    with Store.open(folder, sweep, pieces) as store, Signals() as signals:
        finished = store.finished()
        missing = [piece for piece in pieces if piece.id not in finished]
        state = SweepProgress(
            len(pieces),
            sweep.runs,
            len(finished),
            sum(piece.count for piece in pieces if piece.id in finished),
        )
        work = _Work(
            store,
            sweep,
            sorted(missing, key=lambda piece: piece.seconds),
            state,
            progress or (lambda _: None),
            begun,
        )
        lost: float | None = None
        if workers == 0 and scheduler is None and not chosen:
            _compute_here(work, signals)
        while not work.is_over:
            try:
                with connected(
                    workers=local_workers(workers, len(missing)), scheduler=scheduler, slurm=chosen
                ) as client:
                    lost = None
                    _drain(client, work, signals)
            except SchedulerError as error:
                work.come_down()
                if (
                    not work.computed
                    and lost is None
                    and scheduler is not None
                    and not state.workers
                ):
                    raise  # the scheduler never answered
                lost = time.monotonic() if lost is None else lost
                if time.monotonic() - lost > reconnect or scheduler is None:
                    raise SchedulerError(
                        f"{error}: {state.done} of {state.pieces} pieces are in {str(folder)!r}; run "
                        "the same command to resume"
                    ) from None
                work.tell(f"lost the scheduler at {scheduler}; reconnecting")
                time.sleep(_POLL)
            if signals.received:
                raise KeyboardInterrupt
        ends: Counter[str] = Counter()
        for one in sorted(store.finished()):
            column = pq.read_table(
                store.pieces / f"piece={one}" / "members.parquet", columns=["end"]
            )
            ends.update(column["end"].to_pylist())
        return SweepSummary(
            folder,
            len(configurations),
            sweep.runs,
            len(pieces),
            len(store.finished()),
            work.computed,
            dict(ends),
            failures_of(folder),
            time.monotonic() - begun,
        )


def _compute_here(work: _Work, signals: Signals) -> None:
    """Compute the waiting pieces one by one in this process."""
    work.progress.workers = 1
    while work.waiting and not signals.received:
        piece = work.waiting.pop()
        made = compute_piece(payload_of(piece, work.sweep.observe))
        _note(work, piece, made.get("files"), made)
        work.tell()
    if signals.received:
        raise KeyboardInterrupt


def _drain(client: Client, work: _Work, signals: Signals) -> None:
    """Compute the waiting pieces until all are done, the scheduler is lost, or a signal comes."""
    refreshed, began = 0.0, time.monotonic()
    while not work.is_over and not signals.received:
        if client.status != "running":
            raise SchedulerError(_LOST)
        if time.monotonic() - refreshed > 1:
            work.progress.workers = _count_workers(client)
            refreshed = time.monotonic()
        room = _LATEST * max(1, work.progress.workers) - len(work.flying)
        for _ in range(min(room, len(work.waiting))):
            _submit(client, work, work.waiting.pop())
        done = [future for future in work.flying if future.done()]
        for future in done:
            _take(future, work.flying.pop(future), work)
        waited = time.monotonic() - began
        work.tell("waiting for workers" if not work.progress.workers and waited > 3 else "")
        if not done:
            time.sleep(_POLL)


def _count_workers(client: Client) -> int:
    try:
        return len(client.scheduler_info(n_workers=-1)["workers"])
    except (OSError, TimeoutError):
        raise SchedulerError(_LOST) from None


def _submit(client: Client, work: _Work, piece: Piece) -> None:
    payload = payload_of(piece, work.sweep.observe)
    try:
        key = f"{piece.id}-{time.monotonic_ns()}"  # unique, so that clients do not share results
        future = client.submit(compute_piece, payload, key=key, pure=False)
    except (OSError, TimeoutError):
        work.waiting.append(piece)
        raise SchedulerError(_LOST) from None
    work.flying[future] = piece


def _take(future: Future, piece: Piece, work: _Work) -> None:
    """Write the result of a future, record its failure, or queue its piece again."""
    try:
        if future.status == "error":
            error = future.exception()
            words = f"{type(error).__name__}: {' '.join(str(error).split())}"
            if isinstance(error, KilledWorker):
                work.killed[piece.id] += 1
                if work.killed[piece.id] < _ATTEMPTS:
                    work.waiting.append(piece)
                    return
                words = "its worker died repeatedly, most likely out of memory"
            _note(work, piece, None, {"reason": words})
            return
        if future.status != "finished":  # cancelled or lost: with the scheduler
            work.flying[future] = piece
            raise SchedulerError(_LOST)
        try:
            made = future.result(timeout=300)
        except (OSError, TimeoutError) as error:
            work.flying[future] = piece
            raise SchedulerError(
                f"a result could not be fetched ({type(error).__name__})"
            ) from None
    finally:
        if future.status in ("finished", "error"):
            future.release()
    _note(work, piece, made.get("files"), made)


def _note(
    work: _Work, piece: Piece, files: Mapping[str, bytes] | None, made: Mapping[str, Any]
) -> None:
    """Write a piece's files, or record the reason for its failure."""
    log = {"seconds": round(made["seconds"], 3)} if "seconds" in made else {}
    try:
        if files is None:
            work.store.fail(piece, made["reason"], **log)
        else:
            work.store.land(piece, files, **log)
    except OSError as error:
        raise OSError(
            f"cannot write to {str(work.store.folder)!r} ({error.strerror or error}): "
            f"{work.progress.done} finished pieces are kept; run the same command to resume"
        ) from None
    if files is None:
        work.progress.failed += 1
        return
    work.computed += 1
    work.spent += piece.seconds
    work.progress.done += 1
    work.progress.done_runs += piece.count
