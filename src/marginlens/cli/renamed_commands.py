"""Commands of earlier versions, which keep working under their new names."""

from __future__ import annotations

from pathlib import Path
from shlex import join

from marginlens.cli.completion import FIGURE_NAMES, NETWORK_SUFFIXES

__all__ = ["RENAMED", "current_command"]

RENAMED = {
    "certify": "theory certify",
    "path": "theory path",
    "widths": "theory widths",
    "waveform": "theory waveform",
    "degrees": "theory degrees",
    "memorizing": "theory memorizing",
    "algorithms": "theory algorithms",
    "interference": "theory interference",
    "lottery": "analyze lottery",
    "grokking": "analyze grokking",
    "progress": "analyze progress",
    "query": "sweep query",
    "table": "sweep table",
    "law": "sweep law",
    "animate": "figure animate",
}
"""New name of each command that moved into a group."""


def current_command(arguments: list[str]) -> tuple[list[str], str]:
    """Translate a command line of an earlier version.

    Parameters
    ----------
    arguments
        Words of the command line after ``marginlens``.

    Returns
    -------
    arguments, note
        Words of the present command line, and a sentence that names it; the same words and an empty
        note where the command line is a present one.

    Examples
    --------
    >>> current_command(["certify", "A5"])
    (['theory', 'certify', 'A5'], 'certify is now theory certify; use marginlens theory certify A5')
    >>> current_command(["theory", "certify", "A5"])
    (['theory', 'certify', 'A5'], '')
    """
    if not arguments:
        return arguments, ""
    old, rest = arguments[0].lower(), arguments[1:]
    words = [word for word in rest if not word.startswith("-")]
    new = RENAMED.get(old, "")
    if old == "waveform" and words and not any(word.isdecimal() for word in words):
        new = "analyze waveform"
    elif old == "algorithms" and any(map(_is_network, words)):
        new = "analyze algorithms"
    elif old == "sweep" and words and _is_sweep_file(words[0]):
        new = "sweep run"
    elif old == "figure" and "--list" in rest:
        new, rest = "figure list", [word for word in rest if word == "--json"]
    elif old == "figure" and words and words[0] in FIGURE_NAMES:
        new = "figure draw"
    if not new:
        return arguments, ""
    present = [*new.split(), *rest]
    return present, f"{old} is now {new}; use marginlens {join(present)}"


def _is_network(word: str) -> bool:
    """Whether a word names the folder of a run or a network's file, as opposed to a group."""
    return Path(word).is_dir() or word.lower().endswith(NETWORK_SUFFIXES)


def _is_sweep_file(word: str) -> bool:
    return word.lower().endswith(".toml") or Path(word).is_file()
