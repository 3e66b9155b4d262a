"""Validation of names and paths from a browser: all stay inside the explorer's folder."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["inside", "safe_name"]

_LONGEST = 80
_NAME = re.compile(r"[A-Za-z0-9_()-][A-Za-z0-9_().-]*", re.ASCII)
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.ASCII | re.IGNORECASE)
_RULE = "letters (a to z), digits and - _ . ( ), 80 at most, e.g. C23-relu_(2)"


def safe_name(text: str) -> str:
    """Return a name that is a valid file name on every system.

    It has at most 80 letters, digits and ``- _ . ( )``, and neither begins nor ends with a dot; spaces
    around it are dropped. Device names of Windows (``con``, ``nul.txt``) are refused on every system, so
    that a folder of runs can be copied there.

    Parameters
    ----------
    text
        Name that the visitor typed.

    Raises
    ------
    ValueError
        In one line with a valid example, if the name breaks one of these rules.

    Examples
    --------
    >>> safe_name(" C23-relu_(2) ")
    'C23-relu_(2)'
    >>> safe_name("../secret")
    Traceback (most recent call last):
    ...
    ValueError: expected a run's name of letters (a to z), digits and - _ . ( ), 80 at most, ...
    """
    name = text.strip(" ")
    if not name:
        raise ValueError(f"the name is empty; type one: {_RULE}")
    if len(name) > _LONGEST:
        raise ValueError(
            f"expected a name of at most {_LONGEST} characters, got {len(name)}; type a shorter one, "
            "e.g. C23-relu_(2)"
        )
    if _NAME.fullmatch(name) is None or name.endswith("."):
        raise ValueError(f"expected a run's name of {_RULE}, no dot first or last; got {name!r}")
    if _DEVICES.fullmatch(name) is not None:
        raise ValueError(f"{name!r} is a device on Windows; type another name, e.g. {name[:3]}-1")
    return name


def inside(folder: Path, name: str) -> Path:
    """Return the path of a name in a folder; refuse names that lead out of the folder.

    Links are followed, and refused if they lead out. Hidden components are refused too, since they hold
    unfinished runs. The path need not exist.

    Parameters
    ----------
    folder
        Folder that the path must stay in.
    name
        One or several path components, e.g. ``"C23"`` or ``"sweeps/C23"``.

    Raises
    ------
    ValueError
        In one line, if the path would leave the folder.

    Examples
    --------
    >>> inside(Path("runs"), "sweeps/C23").as_posix()
    'runs/sweeps/C23'
    >>> inside(Path("runs"), "sweeps/../../C23")
    Traceback (most recent call last):
    ...
    ValueError: expected a path in the explorer's folder, got 'sweeps/../../C23'; type the name of ...
    """
    wrong = ValueError(
        f"expected a path in the explorer's folder, got {name[:200]!r}; type the name of a run in it, "
        "e.g. C23"
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
