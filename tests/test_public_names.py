"""Public names mean the same whatever was imported before."""

import subprocess
import sys

import pytest

SCRIPT = """
import importlib, pkgutil, random, sys
from types import ModuleType

import marginlens

modules = [m.name for m in pkgutil.walk_packages(marginlens.__path__, "marginlens.")
           if not m.name.endswith("__main__")]
packages = ["marginlens", *(name for name in modules if name.count(".") == 1)]
random.Random(int(sys.argv[1])).shuffle(modules)
for name in modules:
    importlib.import_module(name)
    if marginlens.report is sys.modules.get("marginlens.report"):
        sys.exit(f"marginlens.report is a module after import {name}")
checked = 0
for package in map(sys.modules.get, packages):
    for name in getattr(package, "__all__", ()):
        value = getattr(package, name)
        if isinstance(value, ModuleType):
            sys.exit(f"{package.__name__}.{name} is a module")
        home = sys.modules.get(getattr(value, "__module__", None) or "", package)
        ours = str(getattr(value, "__module__", "")).startswith("marginlens")
        if ours and getattr(home, getattr(value, "__qualname__", name), value) is not value:
            sys.exit(f"{package.__name__}.{name} is another object than its module's")
        checked += 1
print(len(modules), checked)
"""


@pytest.mark.system
@pytest.mark.parametrize("seed", [15])
def test_no_public_name_turns_into_a_module_in_any_order_of_imports(seed):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(seed)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    modules, names = map(int, done.stdout.split())
    assert modules > 200
    assert names > 300


def test_a_submodule_that_is_imported_late_leaves_the_function_of_its_name():
    import marginlens as ml

    before = ml.report
    assert callable(ml.write_report)
    import marginlens.report

    module = sys.modules["marginlens.report"]
    ml.report = module  # as the import system does
    assert ml.report is before is module.report
