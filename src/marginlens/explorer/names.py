"""placeholder until merged."""

from pathlib import Path


def inside(folder: Path, name: str) -> Path:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ValueError("outside")
    return path
