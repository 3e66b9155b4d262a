"""Folder of a sweep, in which each finished piece appears by one atomic rename.

::

    sweep.toml            specification of the sweep
    pieces/piece=<id>/    members.parquet, features.parquet, parameters.safetensors, recipe.toml
    failures/<id>.json    reason for the failure of a piece
    log.jsonl             log of the computed pieces; not part of the results
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from marginlens.errors import MarginLensError
from marginlens.files import write_whole
from marginlens.runs.checkpoint import locked
from marginlens.sweeps.reading import read_sweep
from marginlens.sweeps.spec import Piece, Sweep

__all__ = ["SPEC", "Store", "failures_of", "finished_of"]

SPEC = "sweep.toml"
_UNFINISHED = ".unfinished."


class Store:
    """Folder of a sweep that this process has locked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pieces = folder / "pieces"

    @classmethod
    @contextmanager
    def open(cls, folder: Path, sweep: Sweep, pieces: Iterable[Piece]) -> Iterator[Store]:
        """Create the folder, or resume the sweep in it.

        Raises
        ------
        ValueError
            If the path is not a sweep's folder, is locked by another process, or holds another sweep.
        """
        if folder.exists() and not folder.is_dir():
            raise MarginLensError(f"{str(folder)!r} is not a folder; choose another --out")
        if not (folder / SPEC).exists() and _holds_anything(folder):
            raise MarginLensError(f"{str(folder)!r} is not a sweep's folder; choose another --out")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MarginLensError(f"cannot make {str(folder)!r} ({error.strerror})") from None
        with locked(folder):
            store = cls(folder)
            asked = {piece.id for piece in pieces}
            if store.finished() - asked:
                raise MarginLensError(
                    f"{str(folder)!r} holds pieces of another sweep ({folder / SPEC}): choose another "
                    "--out. Extend a sweep by configurations, or by seeds if `together` divides the old "
                    "number of seeds"
                )
            try:
                store._begin(sweep, asked)
            except OSError as error:
                raise MarginLensError(
                    f"cannot write to {str(folder)!r} ({error.strerror}); choose another --out"
                ) from None
            yield store

    def _begin(self, sweep: Sweep, asked: set[str]) -> None:
        """Write the specification, and remove leftovers of killed processes and old failures."""
        for left_over in self.folder.glob(f".{SPEC}.*"):
            left_over.unlink()
        if not (self.folder / SPEC).exists() or read_sweep(self.folder / SPEC) != sweep:
            write_whole(self.folder / SPEC, sweep.to_toml())
        self.pieces.mkdir(exist_ok=True)
        for left_over in self.pieces.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(left_over, ignore_errors=True)
        for failure in (self.folder / "failures").glob("*"):
            if failure.stem not in asked or failure.stem in self.finished():
                failure.unlink()

    def finished(self) -> set[str]:
        """Return the identifiers of the finished pieces."""
        return finished_of(self.folder)

    def land(self, piece: Piece, files: Mapping[str, bytes], **log: Any) -> None:
        """Write all files of a piece to disk in one atomic step.

        Raises
        ------
        OSError
            If the files cannot be written, in one line; finished pieces are unchanged.
        """
        final = self.pieces / f"piece={piece.id}"
        if final.exists():
            return
        temporary = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self.pieces))
        try:
            for name, content in files.items():
                with (temporary / name).open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            temporary.chmod(0o755)
            temporary.rename(final)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        _sync(self.pieces)
        (self.folder / "failures" / f"{piece.id}.json").unlink(missing_ok=True)
        self._log({"piece": piece.id, "configuration": str(piece.configuration), **log})

    def fail(self, piece: Piece, reason: str, **log: Any) -> None:
        """Record the reason for the failure of a piece."""
        folder = self.folder / "failures"
        folder.mkdir(exist_ok=True)
        record = {
            "piece": piece.id,
            "configuration": str(piece.configuration),
            "first_seed": piece.first,
            "seeds": piece.count,
            "reason": reason,
        }
        write_whole(folder / f"{piece.id}.json", json.dumps(record, indent=2) + "\n")
        self._log({"piece": piece.id, "failed": reason, **log})

    def _log(self, record: dict[str, Any]) -> None:
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")


def _holds_anything(folder: Path) -> bool:
    """Return whether the folder has files besides leftovers of a sweep killed at its start."""
    return folder.is_dir() and any(
        not path.name.startswith(f".{SPEC}.") for path in folder.iterdir()
    )


def finished_of(folder: Path) -> set[str]:
    """Return the identifiers of the finished pieces in a sweep's folder."""
    start = "piece="
    return {path.name.removeprefix(start) for path in (folder / "pieces").glob(f"{start}*")}


def failures_of(folder: Path) -> list[dict[str, Any]]:
    """Return the records of the failed pieces."""
    return [json.loads(path.read_text()) for path in sorted((folder / "failures").glob("*.json"))]


def _sync(folder: Path) -> None:
    """Flush a folder to disk, so that a rename survives a power loss, if the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
