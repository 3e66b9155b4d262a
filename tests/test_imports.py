"""What is imported, and when."""

import subprocess
import sys
from importlib import import_module

import pytest

LIGHT = [
    "--help",
    "predict --help",
    "predict C71",
    "predict S3 --json",
    "certify S3",
    "path S3",
    "interference 11",
    "memorizing C5",
    "algorithms C5",
]

COMMANDS = """
import os, sys
from contextlib import redirect_stdout

from marginlens.cli import main

for command in sys.argv[1:]:
    sys.argv = ["marginlens", *command.split()]
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        try:
            main()
        except SystemExit as end:
            assert not end.code, command
    heavy = {"torch", "plotly", "pyarrow", "dash"} & set(sys.modules)
    assert not heavy, f"{command} imports {heavy}"
"""


@pytest.mark.system
def test_commands_that_need_no_network_do_not_import_pytorch():
    ended = subprocess.run(
        [sys.executable, "-c", COMMANDS, *LIGHT], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("package", ["networks", "runs", "training"])
def test_lazy_packages_have_all_their_public_names(package):
    module = import_module(f"marginlens.{package}")
    assert sorted(module.__all__) == dir(module)
    for name in module.__all__:
        assert getattr(getattr(module, name), "__name__", name) == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = module.nothing
