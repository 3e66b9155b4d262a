"""Every public array's shape and type is checked while the tests run."""

import os
import sys

import pytest
from jaxtyping import install_import_hook

install_import_hook("marginlens", "beartype.beartype")

if "PYTEST_XDIST_WORKER" in os.environ:  # one thread for each of the processes that share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")


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
