"""Atomic writing of files."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

__all__ = ["write_whole"]


def write_whole(path: Path, content: str | bytes, *, previous: Path | None = None) -> None:
    """Write a file atomically; an older file at the path is replaced.

    With ``previous`` the older file is renamed to that path, and the new file is synchronised to
    disk first.

    Parameters
    ----------
    path
        Path of the file to write.
    content
        Text or bytes of the file.
    previous
        Path that the older file is renamed to.

    Raises
    ------
    OSError
        The folder does not exist or is not writable.
    """
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            if previous is not None:
                file.flush()
                os.fsync(file.fileno())
        # mkstemp makes private files: this one is as readable as any other file of the folder.
        Path(temporary).chmod(0o644)
        if previous is not None and path.exists():
            path.replace(previous)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
