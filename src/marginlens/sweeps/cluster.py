"""Workers of sweeps and of the atlas: processes of this machine, a Dask scheduler, or SLURM."""

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
}  # any free port, not Dask's usual
_CONFIG = {
    # a worker that is killed does not condemn the piece it was at: it may not have been the cause
    "distributed.scheduler.allowed-failures": 20,
    "distributed.comm.timeouts.connect": f"{CONNECT_SECONDS}s",
    "distributed.comm.retry.count": 0,
    "distributed.worker.daemon": True,
    "distributed.admin.tick.limit": "10m",
    "distributed.scheduler.work-stealing": False,  # pieces are few and long, and submitted when due
}


class SchedulerError(OSError):
    """The scheduler cannot be reached, or went away."""


def local_workers(workers: int | None, pieces: int) -> int:
    """Return the number of processes of this machine: one a core, and no more than pieces.

    Parameters
    ----------
    workers
        Number of processes that is asked for; None: one a core.
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
    """A client of a cluster that is there until the end of the block.

    Raises
    ------
    SchedulerError
        If nothing answers at the scheduler's address.
    ValueError
        If the address is none, or SLURM's options are wrong or its library is not installed.
    """
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(_CONFIG))
        stack.enter_context(_quiet())
        if scheduler is not None:
            _probe(scheduler)
            address: Any = scheduler
        else:
            # a worker's scratch files have no place in the user's folder
            scratch = tempfile.mkdtemp(prefix="marginlens-")
            stack.callback(shutil.rmtree, scratch, ignore_errors=True)
            address = _slurm(slurm) if slurm else _local(workers, scratch)
            stack.callback(_closed, address)
        try:
            client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, TimeoutError, RuntimeError, MemoryError) as error:
            raise SchedulerError(
                f"the Dask scheduler at {scheduler} does not let us in ({type(error).__name__})"
            ) from None
        stack.callback(_closed, client)
        yield client


def _probe(address: str) -> None:
    """Whether a Dask scheduler answers: its first words are a small number of frames.

    A client that finds none takes long to give up, and longer to be closed.
    """
    try:
        host, port = get_address_host_port(address)
    except ValueError as error:
        raise MarginLensError(
            f"{address!r} is no address of a scheduler ({error}); write e.g. tcp://10.0.0.1:8786"
        ) from None
    if not address.startswith("tcp://") and "://" in address:
        return  # encrypted: the client will see
    try:
        with socket.create_connection((host, port), timeout=PROBE_SECONDS) as connection:
            words = connection.recv(8, socket.MSG_WAITALL)
    except (OSError, TimeoutError) as error:
        raise SchedulerError(
            f"no Dask scheduler answers at {address} ({error}); start one with: dask scheduler"
        ) from None
    if len(words) < 8 or not 0 < struct.unpack("<Q", words)[0] < _FRAMES:
        raise SchedulerError(
            f"what answers at {address} is no Dask scheduler; start one with: dask scheduler"
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
            "SLURM needs dask-jobqueue: pip install 'marginlens[slurm]', or start a scheduler and "
            "workers yourself and add --scheduler tcp://host:8786"
        ) from None
    given = dict(options)
    jobs = given.pop("jobs", 1)
    if not isinstance(jobs, int) or jobs < 1:
        raise MarginLensError(f"slurm.jobs is the number of jobs, such as 10; got {jobs!r}")
    given = {"silence_logs": logging.CRITICAL, "scheduler_options": dict(_NO_PAGE), **given}
    given.setdefault("cores", 1)
    given.setdefault("processes", given["cores"])
    try:
        cluster = SLURMCluster(**given)
    except (TypeError, ValueError) as error:
        words = " ".join(str(error).split())
        raise MarginLensError(
            f'SLURM\'s options: {words}; give e.g. queue, memory = "4GB" and walltime'
        ) from None
    cluster.scale(jobs=jobs)
    return cluster


def _closed(thing: Any) -> None:
    """Close a client or a cluster, whatever state it is in."""
    try:
        thing.close(timeout=5)
    except Exception as error:
        logging.getLogger(__name__).debug("closing %r: %s", thing, error)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Dask's remarks on workers and connections that are lost: the sweep says what matters."""
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
