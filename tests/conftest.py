"""Arrays' shapes and types are checked while the tests run, and processes are refused."""

import gc
import os
import signal
import sys
import threading
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

import hypothesis
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import shape_checks

shape_checks.install("marginlens")

if "PYTEST_XDIST_WORKER" in os.environ:  # one thread for each of the processes that share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell without job control starts background commands with SIGINT ignored, and so their children.
if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    and threading.current_thread() is threading.main_thread()
):
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine makes no example too slow, and the same examples are drawn everywhere.
hypothesis.settings.register_profile(
    "marginlens",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("marginlens")


class _Processes:
    """Refuses processes other than a compiler's to tests without the marker ``system``."""

    EVENTS = ("subprocess.Popen", "os.fork", "multiprocessing")
    ALLOWED = ("g++", "clang++", "c++", "gcc", "cc", "cxx", "uname", "ldconfig", "ld", "objdump")

    def __init__(self):
        self.refused_to = None

    def __call__(self, event: str, arguments: tuple) -> None:
        if self.refused_to is None or event not in self.EVENTS:
            return
        program = Path(os.fsdecode(arguments[0] or arguments[1][0])).name if arguments else event
        if program not in self.ALLOWED:
            pytest.fail(f"{self.refused_to} starts {program}: mark it with pytest.mark.system")

    @contextmanager
    def refused(self, name: str | None):
        """Within it no process may start, unless the name is None."""
        before, self.refused_to = self.refused_to, name
        try:
            yield
        finally:
            self.refused_to = before


PROCESSES = _Processes()
sys.addaudithook(PROCESSES)
_start = BaseProcess.start


def _start_if_allowed(self):
    PROCESSES("multiprocessing", ())
    _start(self)


BaseProcess.start = _start_if_allowed


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    free = any(item.get_closest_marker(name) for name in ("system", "slow"))
    with PROCESSES.refused(None if free else item.nodeid):
        return (yield)


def pytest_collection_finish():
    """Leave what imports made, a million objects, out of every later search for garbage."""
    gc.collect()
    gc.freeze()


def pytest_make_parametrize_id(val):
    """Name a case with bytes by their number: names are equal in all processes, and readable."""
    return f"{len(val)} bytes" if isinstance(val, bytes) else None


@pytest.fixture
def processes():
    """Guard that refuses processes to tests without the marker ``system``."""
    return PROCESSES


@pytest.fixture
def call(monkeypatch, capsys):
    """Exit code, standard output and standard error of a command."""

    def run(*arguments):
        from marginlens import cli

        monkeypatch.setattr(sys, "argv", ["marginlens", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        printed = capsys.readouterr()
        return caught.value.code or 0, printed.out, printed.err

    return run


@pytest.fixture
def one_thread():
    """Products of a few numbers are not worth a thread."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
