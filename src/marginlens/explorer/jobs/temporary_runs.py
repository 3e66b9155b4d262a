"""Hidden folder of unsaved trainings, and removal of those that dead servers left."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from contextlib import ExitStack
from pathlib import Path

from marginlens.explorer.safe_paths import inside, safe_name
from marginlens.runs.checkpoint import locked

try:
    import fcntl
except ImportError:  # on Windows leftovers are not removed
    fcntl = None

__all__ = ["HIDDEN", "Scratch"]

HIDDEN = ".live"
"""Name of the hidden folder in the explorer's folder."""


class Scratch:
    """Folder ``FOLDER/.live/<server>`` locked by this process, made at its first use.

    Parameters
    ----------
    folder
        The explorer's folder; hidden folders that no living process locks are removed from it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held = ExitStack()
        self._mine: Path | None = None
        remove_abandoned(folder)

    def new(self, name: str) -> Path:
        """Return the path for a new run, in a separate folder that is made here.

        Raises
        ------
        ValueError
            If the explorer's folder is not writable; in one line.
        """
        hidden = self.folder / HIDDEN
        try:
            if hidden.is_symlink():
                raise ValueError(f"{str(hidden)!r} is a link; remove it, and train again")
            if self._mine is None:
                mine = hidden / f"{os.getpid()}-{secrets.token_hex(4)}"
                mine.mkdir(parents=True)
                self._held.enter_context(locked(mine))
                self._mine = mine
            (self._mine / name).mkdir(parents=True)
        except OSError as error:
            raise ValueError(
                f"cannot write in {str(self.folder)!r} ({error.strerror}); make room or make it "
                "writable, or explore another folder"
            ) from None
        return self._mine / name / "run"

    def keep(self, run: Path, name: str) -> Path:
        """Move a run to its name in the explorer's folder, as one atomic step.

        Raises
        ------
        ValueError
            If the name is invalid or taken, or the folder is not writable; in one line.
        """
        chosen = safe_name(name)
        path = inside(self.folder, chosen)
        try:
            path.mkdir()  # making the folder claims the name
        except FileExistsError:
            free = next(
                n for i in range(2, 10**6) if not (self.folder / (n := f"{chosen}-{i}")).exists()
            )
            raise ValueError(f"{chosen!r} exists; type another name, e.g. {free}") from None
        except OSError as error:
            raise ValueError(f"cannot save {chosen!r} ({error.strerror}); make room") from None
        try:
            if os.name == "nt":
                path.rmdir()
            run.rename(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                path.rmdir()
            raise ValueError(f"cannot save {chosen!r} ({error.strerror})") from None
        return path

    def remove(self, run: Path) -> None:
        """Remove a run that :meth:`new` made."""
        shutil.rmtree(run.parent, ignore_errors=True)

    def close(self) -> None:
        """Remove this process's unsaved runs and unlock the folder."""
        if self._mine is not None:
            shutil.rmtree(self._mine, ignore_errors=True)
            self._mine = None
        self._held.close()
        with contextlib.suppress(OSError):
            (self.folder / HIDDEN).rmdir()  # fails while another server uses it


def remove_abandoned(folder: Path) -> None:
    """Remove the folders of killed servers; folders locked by a living process stay."""
    hidden = folder / HIDDEN
    if hidden.is_symlink() or not hidden.is_dir():
        return
    with contextlib.suppress(OSError):
        for path in hidden.iterdir():
            if path.is_dir() and not path.is_symlink() and not _is_held(path):
                shutil.rmtree(path, ignore_errors=True)
        hidden.rmdir()


def _is_held(folder: Path) -> bool:
    """Return whether a process locks the folder, or that is unknown."""
    if fcntl is None:
        return True
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
