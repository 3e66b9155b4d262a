"""Public names that submodules of the same name do not replace."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

__all__ = ["keep_public_names"]


class _Package(ModuleType):
    """Package in whose ``__all__`` a name is never replaced by a submodule."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Bind a name, unless Python binds a submodule to it that was just imported."""
        if isinstance(value, ModuleType) and name in self.__dict__.get("__all__", ()):
            return
        super().__setattr__(name, value)


def keep_public_names(package: str) -> None:
    """Keep ``package.name`` the object in its ``__all__``, also after ``import package.name``.

    Python binds every submodule to its name in the package, whenever it is imported first: without
    this, ``marginlens.report`` is a function or a module by the order of imports. The module itself is
    ``sys.modules["marginlens.report"]``; ``from marginlens.report import write_report`` works as ever.

    Parameters
    ----------
    package
        ``__name__`` of the package that calls this.

    Examples
    --------
    >>> import marginlens
    >>> import marginlens.report
    >>> callable(marginlens.report)
    True
    """
    sys.modules[package].__class__ = _Package
