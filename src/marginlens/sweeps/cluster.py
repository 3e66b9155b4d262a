"""Workers of sweeps and of the atlas: local processes, a Dask scheduler, or SLURM."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import struct
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import dask
from distributed import Client, LocalCluster
from distributed.comm import get_address_host_port

from marginlens.errors import MarginLensError

__all__ = ["CONNECT_SECONDS", "PROBE_SECONDS", "SchedulerError", "connected", "local_workers"]

CONNECT_SECONDS = 8.0
PROBE_SECONDS = 4.0
_FRAMES = 1000
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
_NO_PAGE = {
    "dashboard": False,
    "dashboard_address": "127.0.0.1:0",
}  # any free port, not Dask's default
_CONFIG = {
    # keep retrying a piece whose worker was killed: the piece may not be the cause
    "distributed.scheduler.allowed-failures": 20,
    "distributed.comm.timeouts.connect": f"{CONNECT_SECONDS}s",
    "distributed.comm.retry.count": 0,
    "distributed.worker.daemon": True,
    "distributed.admin.tick.limit": "10m",
    "distributed.scheduler.work-stealing": False,  # pieces are few and long, submitted when needed
}


class SchedulerError(OSError):
    """Error for a scheduler that is unreachable or was lost."""


def local_workers(workers: int | None, pieces: int) -> int:
    """Return the number of local processes: one per core, at most one per piece.

    Parameters
    ----------
    workers
        Requested number of processes; None means one per core.
    pieces
        Number of pieces to compute.
    """
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return max(1, min(workers or cores, pieces))


@contextmanager
def connected(
    *, workers: int, scheduler: str | None = None, slurm: Mapping[str, Any] | None = None
) -> Iterator[Client]:
    """Open a client of a cluster that exists until the end of the ``with`` block.

    Raises
    ------
    SchedulerError
        If no scheduler answers at the address.
    ValueError
        If the address or SLURM's options are invalid, or SLURM's library is not installed.
    """
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(_CONFIG))
        stack.enter_context(_quiet())
        if scheduler is not None:
            _probe(scheduler)
            address: Any = scheduler
        else:
            # keep the workers' temporary files out of the user's folder
            scratch = tempfile.mkdtemp(prefix="marginlens-")
            stack.callback(shutil.rmtree, scratch, ignore_errors=True)
            address = _slurm(slurm) if slurm else _local(workers, scratch)
            stack.callback(_closed, address)
        try:
            client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, TimeoutError, RuntimeError, MemoryError) as error:
            raise SchedulerError(
                f"the Dask scheduler at {scheduler} refused the connection ({type(error).__name__})"
            ) from None
        stack.callback(_closed, client)
        yield client


def _probe(address: str) -> None:
    """Raise unless a Dask scheduler answers: its first bytes are a small number of frames.

    This check is faster than a client's own attempt, which takes long to fail and longer to close.
    """
    try:
        host, port = get_address_host_port(address)
    except ValueError as error:
        raise MarginLensError(
            f"expected a scheduler's address, got {address!r} ({error}); for example "
            "tcp://10.0.0.1:8786"
        ) from None
    if not address.startswith("tcp://") and "://" in address:
        return  # encrypted: only the client can tell
    try:
        with socket.create_connection((host, port), timeout=PROBE_SECONDS) as connection:
            words = connection.recv(8, socket.MSG_WAITALL)
    except (OSError, TimeoutError) as error:
        raise SchedulerError(
            f"no Dask scheduler answers at {address} ({error}); start one with: dask scheduler"
        ) from None
    if len(words) < 8 or not 0 < struct.unpack("<Q", words)[0] < _FRAMES:
        raise SchedulerError(
            f"expected a Dask scheduler at {address}, got another service; start one with: dask "
            "scheduler"
        )


def _local(workers: int, scratch: str) -> LocalCluster:
    options: dict[str, Any] = {"dashboard_address": None, "silence_logs": logging.CRITICAL}
    with _interrupts_blocked():
        return LocalCluster(
            scheduler_kwargs=_NO_PAGE,
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            local_directory=scratch,
            memory_limit=0,
            env=_ONE_THREAD,
            **options,
        )


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Start processes that Ctrl-C does not interrupt; this process ends them."""
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _slurm(options: Mapping[str, Any]) -> Any:
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError:
        raise MarginLensError(
            "SLURM requires dask-jobqueue: pip install 'marginlens[slurm]', or start a scheduler and "
            "workers yourself and add --scheduler tcp://host:8786"
        ) from None
    given = dict(options)
    jobs = given.pop("jobs", 1)
    if not isinstance(jobs, int) or jobs < 1:
        raise MarginLensError(f"slurm.jobs must be a number of jobs, such as 10; got {jobs!r}")
    given = {"silence_logs": logging.CRITICAL, "scheduler_options": dict(_NO_PAGE), **given}
    given.setdefault("cores", 1)
    given.setdefault("processes", given["cores"])
    try:
        cluster = SLURMCluster(**given)
    except (TypeError, ValueError) as error:
        words = " ".join(str(error).split())
        raise MarginLensError(
            f'invalid SLURM options: {words}; set for example queue, memory = "4GB" and walltime'
        ) from None
    cluster.scale(jobs=jobs)
    return cluster


def _closed(thing: Any) -> None:
    """Close a client or a cluster in any state."""
    try:
        thing.close(timeout=5)
    except Exception as error:
        logging.getLogger(__name__).debug("closing %r: %s", thing, error)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Dask's log messages about lost workers; the sweep reports them itself."""
    packages = ("distributed", "tornado", "asyncio")
    names = {name for name in logging.root.manager.loggerDict if name.split(".")[0] in packages}
    loggers = [logging.getLogger(name) for name in (*packages, *sorted(names))]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
