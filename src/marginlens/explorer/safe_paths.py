"""Names and paths that come from a browser: none leads out of the explorer's folder."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["inside", "safe_name"]

_LONGEST = 80
_NAME = re.compile(r"[A-Za-z0-9_()-][A-Za-z0-9_().-]*", re.ASCII)
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.ASCII | re.IGNORECASE)
_RULE = "letters (a to z), digits and - _ . ( ), 80 at most, e.g. C23-relu_(2)"


def safe_name(text: str) -> str:
    """Return a name that is one component of a path, on every system.

    Letters, digits and ``- _ . ( )``, at most 80 of them, neither beginning nor ending with a dot;
    spaces around it are dropped. What Windows takes for a device (``con``, ``nul.txt``) is refused
    everywhere, so that a folder of runs can be copied there.

    Parameters
    ----------
    text
        What was typed.

    Raises
    ------
    ValueError
        In one line that says what to type.

    Examples
    --------
    >>> safe_name(" C23-relu_(2) ")
    'C23-relu_(2)'
    >>> safe_name("../secret")
    Traceback (most recent call last):
    ...
    ValueError: '../secret' is no name of a run: letters (a to z), digits and - _ . ( ), 80 at most, ...
    """
    name = text.strip(" ")
    if not name:
        raise ValueError(f"the name is empty; type one: {_RULE}")
    if len(name) > _LONGEST:
        raise ValueError(
            f"the name has {len(name)} characters, and {_LONGEST} are the most; type a shorter one, "
            "e.g. C23-relu_(2)"
        )
    if _NAME.fullmatch(name) is None or name.endswith("."):
        raise ValueError(f"{name!r} is no name of a run: {_RULE}; no dot first or last")
    if _DEVICES.fullmatch(name) is not None:
        raise ValueError(f"{name!r} is a device on Windows; type another name, e.g. {name[:3]}-1")
    return name


def inside(folder: Path, name: str) -> Path:
    """Return the path of that name in a folder, if it stays there.

    Links are followed: one that leads out is refused, as are hidden components, which hold what is not
    finished. Whether anything is there is not asked.

    Parameters
    ----------
    folder
        What is not to be left.
    name
        One component or several, e.g. ``"C23"`` or ``"sweeps/C23"``.

    Raises
    ------
    ValueError
        In one line, if it would lead elsewhere.

    Examples
    --------
    >>> inside(Path("runs"), "sweeps/C23").as_posix()
    'runs/sweeps/C23'
    >>> inside(Path("runs"), "sweeps/../../C23")
    Traceback (most recent call last):
    ...
    ValueError: 'sweeps/../../C23' is no path in the explorer's folder; type the name of a run ...
    """
    wrong = ValueError(
        f"{name[:200]!r} is no path in the explorer's folder; type the name of a run in it, e.g. C23"
    )
    parts = re.split(r"[/\\]", name)
    if any(not part or part[0] == "." or ":" in part or len(part) > 255 for part in parts):
        raise wrong
    path = folder.joinpath(*parts)
    try:
        root, found = folder.resolve(), path.resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, a name too long, a NUL
        raise wrong from None
    if found == root or not found.is_relative_to(root):
        raise wrong
    return path
