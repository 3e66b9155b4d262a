"""Every public array's shape and type is checked while the tests run."""

import os

from jaxtyping import install_import_hook

install_import_hook("marginlens", "beartype.beartype")

if "PYTEST_XDIST_WORKER" in os.environ:  # one thread for each of the processes that share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")
