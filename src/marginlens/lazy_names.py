"""Lazy imports of the public names of a package."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

__all__ = ["lazy_names"]


def lazy_names(
    package: str, modules: dict[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` that import a package's names at first use.

    A command that needs one light module of a package then does not wait for PyTorch, which the
    others
    import.

    Parameters
    ----------
    package
        ``__name__`` of the package.
    modules
        Public names, separated by blanks, by the name of each module of the package.

    Examples
    --------
    >>> import marginlens.training
    >>> marginlens.training.Recipe.__module__
    'marginlens.training.recipe'
    """
    homes = {name: module for module, names in modules.items() for name in names.split()}

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{homes[name]}"), name)
        sys.modules[package].__dict__[name] = value
        return value

    return get, lambda: sorted(homes)
