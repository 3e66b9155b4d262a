"""Library of the finished runs in a folder."""

from __future__ import annotations

import threading
import tomllib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marginlens.explorer.safe_paths import inside
from marginlens.runs import load_run
from marginlens.runs.folder import MARK

if TYPE_CHECKING:
    from marginlens.runs import Run

__all__ = ["Library", "RunSummary"]

_DEPTH = 3


@dataclass(frozen=True)
class RunSummary:
    """Row of a finished run in the list of runs.

    Attributes
    ----------
    name
        Folder of the run, relative to the library's folder, with forward slashes.
    changed
        Time of the last write, in seconds since 1970.
    recipe
        Fields of the run's recipe, unchecked.
    """

    name: str
    changed: float
    recipe: dict[str, Any]


class Library:
    """Finished runs in a folder and its subfolders; the last few read stay in memory.

    Parameters
    ----------
    folder
        Folder that is searched for runs.
    kept
        Largest number of runs in memory.
    """

    def __init__(self, folder: Path, *, kept: int = 8) -> None:
        self.folder, self._kept = folder, kept
        self._runs: OrderedDict[tuple[str, int], Run] = OrderedDict()
        self._lock = threading.Lock()

    def entries(self) -> list[RunSummary]:
        """Return all finished runs, latest first."""
        found = []
        for path in self._marks(self.folder, _DEPTH):
            try:
                if not _is_there(path.parent):
                    continue
                recipe = tomllib.loads(path.read_text(encoding="utf-8"))
                changed = (path.parent / "parameters.safetensors").stat().st_mtime
            except (OSError, ValueError):
                continue
            found.append(
                RunSummary(path.parent.relative_to(self.folder).as_posix(), changed, recipe)
            )
        return sorted(found, key=lambda entry: (-entry.changed, entry.name))

    def _marks(self, folder: Path, depth: int) -> list[Path]:
        try:
            inner = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
        except OSError:
            return []
        found: list[Path] = []
        for path in inner:
            if path.is_dir() and not path.is_symlink():
                if (path / MARK).is_file():
                    found.append(path / MARK)
                elif depth > 1:
                    found += self._marks(path, depth - 1)
        return found

    def folder_of(self, name: str) -> Path:
        """Return the folder of a finished run.

        Raises
        ------
        ValueError
            In one line, if the name leads out of the library, or names no finished run.
        """
        folder = inside(self.folder, name)
        if not (folder / MARK).is_file():
            known = [entry.name for entry in self.entries()][:3]
            hint = f"for example {', '.join(known)}" if known else "train one on the Watch page"
            raise ValueError(f"expected the name of a finished run, got {name!r}; {hint}")
        if not _is_there(folder):
            raise ValueError(f"the run {name!r} is not finished; wait, or resume it")
        return folder

    def run(self, name: str) -> Run:
        """Return a finished run by name; raise the ``ValueError`` of :meth:`folder_of`."""
        folder = self.folder_of(name)
        changed = (folder / "parameters.safetensors").stat().st_mtime_ns
        with self._lock:  # one reader at a time: ten visitors of one page read it once
            key = (name, changed)
            if key not in self._runs:
                self._runs[key] = load_run(folder)
                while len(self._runs) > self._kept:
                    self._runs.popitem(last=False)
            self._runs.move_to_end(key)
            return self._runs[key]


def _is_there(folder: Path) -> bool:
    """Return whether a run has parameters: it has finished, or was stopped and measured."""
    return (folder / "parameters.safetensors").is_file()
