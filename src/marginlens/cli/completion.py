"""Shell completion of tasks, runs, sweeps and figures, without importing PyTorch or Plotly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

__all__ = [
    "FIGURE_NAMES",
    "REPRODUCTION_NAMES",
    "TABLE_NAMES",
    "complete_figure",
    "complete_formats",
    "complete_network",
    "complete_reproduction",
    "complete_run",
    "complete_sweep",
    "complete_table",
    "complete_task",
]

TASKS = {
    "C23": "cyclic group: addition modulo 23",
    "C71": "cyclic group: addition modulo 71",
    "C113": "cyclic group: addition modulo 113",
    "D5": "dihedral group of order 10",
    "S4": "symmetric group",
    "S5": "symmetric group",
    "A5": "alternating group",
    "Q8": "quaternion group",
    "C7:C3": "semidirect product",
    "PSL(2,7)": "projective special linear group",
    "parity(10,4)": "parity of 4 of 10 bits",
    "x/y mod 97": "division modulo a prime",
    "xy mod 59": "multiplication modulo a prime",
    "compose(C7,3)": "sum of three elements",
    "addition(10,2)": "addition of numbers with 2 digits",
    "random(97,0)": "random table",
}
"""One task of each kind, with its meaning."""

FIGURE_NAMES = (
    "neurons",
    "margin",
    "waveform",
    "heatmap",
    "power",
    "shares",
    "phases",
    "wheel",
    "matrices",
    "irreps",
    "logits",
    "grokking",
    "lottery",
    "loss",
    "excess",
    "margins",
    "plane",
    "atlas",
)
"""Names of figures; a test compares them with the figures that exist."""

TABLE_NAMES = ("convergence", "counts", "law", "features", "same", "cooccurrence", "symmetry")
"""Names of a sweep's tables; a test compares them with the tables that exist."""

FORMAT_NAMES = ("pizza", "nanda", "chughtai", "yagent", "linear", "uvw", "npz")
NETWORK_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".safetensors", ".npz")


def _recipes() -> tuple[str, ...]:
    folder = Path(__file__).resolve().parents[1] / "reproduce"
    return tuple(sorted(file.stem for file in folder.glob("*.toml")))


REPRODUCTION_NAMES = _recipes()
"""Names of the experiments that ``marginlens reproduce`` can run."""


def complete_task(incomplete: str) -> list[tuple[str, str]]:
    """Complete the name of a task, or of a file with a table.

    Parameters
    ----------
    incomplete
        Beginning of the word.

    Examples
    --------
    >>> complete_task("C7:")
    [('C7:C3', 'semidirect product')]
    """
    files = [(name, "file with a table") for name in _paths(incomplete, (".csv", ".json", ".npy"))]
    return [pair for pair in TASKS.items() if pair[0].startswith(incomplete)] + files


def complete_run(incomplete: str) -> list[tuple[str, str]]:
    """Complete the folder of a run, one folder at a time.

    Parameters
    ----------
    incomplete
        Beginning of the path, such as ``runs/C``.
    """
    return list(_folders(incomplete, "recipe.toml", "run"))


def complete_sweep(incomplete: str) -> list[tuple[str, str]]:
    """Complete the folder of a sweep, one folder at a time.

    Parameters
    ----------
    incomplete
        Beginning of the path, such as ``sweeps/p``.
    """
    return list(_folders(incomplete, "sweep.toml", "sweep"))


def complete_network(incomplete: str) -> list[tuple[str, str]]:
    """Complete the folder of a run, or the file of a network.

    Parameters
    ----------
    incomplete
        Beginning of the path.
    """
    files = [(name, "file of a network") for name in _paths(incomplete, NETWORK_SUFFIXES)]
    return complete_run(incomplete) + files


def complete_figure(incomplete: str) -> list[str]:
    """Complete the name of a figure.

    Parameters
    ----------
    incomplete
        Beginning of the name.

    Examples
    --------
    >>> complete_figure("mar")
    ['margin', 'margins']
    """
    return [name for name in FIGURE_NAMES if name.startswith(incomplete)]


def complete_table(incomplete: str) -> list[str]:
    """Complete the name of a sweep's table.

    Parameters
    ----------
    incomplete
        Beginning of the name.
    """
    return [name for name in TABLE_NAMES if name.startswith(incomplete)]


def complete_reproduction(incomplete: str) -> list[str]:
    """Complete the name of an experiment of :func:`marginlens.reproduce`.

    Parameters
    ----------
    incomplete
        Beginning of the name.

    Examples
    --------
    >>> complete_reproduction("na")
    ['nanda']
    """
    return [name for name in REPRODUCTION_NAMES if name.startswith(incomplete)]


def complete_formats(incomplete: str) -> list[str]:
    """Complete the name of a file format of another project.

    Parameters
    ----------
    incomplete
        Beginning of the name.
    """
    return [name for name in FORMAT_NAMES if name.startswith(incomplete)]


def _listed(incomplete: str) -> tuple[str, list[os.DirEntry[str]]]:
    """Folder part of a path that is being typed, and the entries that continue it."""
    folder, name = os.path.split(incomplete)
    try:
        with os.scandir(os.path.expanduser(folder) or ".") as entries:  # noqa: PTH111
            kept = [one for one in entries if one.name.startswith(name)]
    except OSError:
        kept = []
    visible = (one for one in kept if name or not one.name.startswith("."))
    return folder, sorted(visible, key=lambda one: one.name)


def _paths(incomplete: str, suffixes: tuple[str, ...]) -> list[str]:
    """Files with one of some endings whose path continues a word."""
    folder, entries = _listed(incomplete)
    return [
        os.path.join(folder, one.name)  # noqa: PTH118
        for one in entries
        if one.name.lower().endswith(suffixes) and one.is_file()
    ]


def _folders(incomplete: str, marker: str, kind: str) -> Iterator[tuple[str, str]]:
    """Folders that continue a word: those with a marker file in them, and those that may hold some."""
    folder, entries = _listed(incomplete)
    for one in entries:
        if not one.is_dir():
            continue
        path = os.path.join(folder, one.name)  # noqa: PTH118
        if (Path(one.path) / marker).is_file():
            yield path, kind
        elif any(inner.is_dir() for inner in os.scandir(one.path)):
            yield path + "/", "folder"
