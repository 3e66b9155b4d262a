"""Exit code and message of every failure of a command.

A ``MarginLensError`` is about the input, and its message names the expected input; so is a
``ValueError`` (or arithmetic, runtime or system error) that this package raised itself. The same types
from inside NumPy or PyTorch are internal errors, except for the kinds listed here: memory, processes,
devices, disks, malformed files.
"""

from __future__ import annotations

import dis
import json
import os
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

from marginlens.errors import MarginLensError

__all__ = ["INTERNAL", "failure_of", "report_address"]

WRONG_INPUT = 2
INTERNAL = 70
"""Exit code of an internal error (EX_SOFTWARE of sysexits.h)."""
INTERRUPTED = 130
READER_GONE = 141

_PACKAGE = str(Path(__file__).resolve().parents[1]) + os.sep
_RAISE = dis.opmap["RAISE_VARARGS"]
_MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc")
_DEVICE_WORDS = ("cuda", "nvidia", "cudnn", "cublas", "device-side assert")
_PROCESS_WORDS = (
    "nccl",
    "gloo",
    "process group",
    "rendezvous",
    "the client socket",
    "tcpstore",
    "address already in use",
    "eaddrinuse",
)
_SMALLER = "use a smaller --width, --seeds or --batch, or limit hidden activations by --memory"
_MALFORMED = (
    UnicodeDecodeError,
    EOFError,
    json.JSONDecodeError,
    tomllib.TOMLDecodeError,
    zipfile.BadZipFile,
)
_MALFORMED_NAMES = ("SafetensorError", "UnpicklingError", "ArrowInvalid", "ArrowException")


def failure_of(error: BaseException) -> tuple[int, str]:
    """Exit code and message of a failure; the message of an interruption is empty.

    Parameters
    ----------
    error
        Exception that ended the command.

    Examples
    --------
    >>> failure_of(KeyboardInterrupt())
    (130, '')
    >>> code, message = failure_of(KeyError("width"))
    >>> code, message.startswith("Internal error: KeyError: 'width'")
    (70, True)
    """
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "Abort":
        return INTERRUPTED, ""
    if isinstance(error, BrokenPipeError):
        return READER_GONE, ""
    advice = _advice(error)
    return (WRONG_INPUT, advice) if advice else (INTERNAL, _internal(error))


def _advice(error: BaseException) -> str:
    """Advice on a failure; empty for an internal error."""
    said = " ".join(str(error).split())
    lower = said.lower()
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(word in lower for word in _MEMORY_WORDS)
    ):
        return (
            f"not enough memory ({_first_sentence(said)}): {_SMALLER}"
            if said
            else (f"not enough memory: {_SMALLER}")
        )
    if isinstance(error, OSError):
        return _system(error)
    if isinstance(error, MarginLensError):
        return said
    if isinstance(error, (ValueError, ArithmeticError, RuntimeError)) and _raised_here(error):
        return said
    if isinstance(error, RecursionError):
        return "the input is nested too deeply; use fewer brackets"
    if isinstance(error, _MALFORMED) or type(error).__name__ in _MALFORMED_NAMES:
        return (
            f"expected a readable file, got a damaged one or another kind: {_first_sentence(said)}"
        )
    if type(error).__name__ == "ValidationError" and hasattr(error, "errors"):
        from marginlens.training.recipe import in_one_line

        return in_one_line(error)  # pyright: ignore[reportArgumentType]
    if isinstance(error, ImportError):
        return _missing_package(error)
    if isinstance(error, (RuntimeError, AssertionError)):
        if any(word in lower for word in _PROCESS_WORDS):
            return (
                f"the processes did not reach each other ({_first_sentence(said)}): start them by "
                "torchrun --nproc-per-node 2 --master-port 29501 -m marginlens train C97"
            )
        if any(word in lower for word in _DEVICE_WORDS):
            return f"the GPU cannot be used ({_first_sentence(said)}); use --device cpu"
        if "interrupted" in lower:
            return said
    return ""


def _raised_here(error: BaseException) -> bool:
    """Whether a ``raise`` of this package raised an error, here or in a worker process.

    The traceback of a library's own ValueError ends in its frame, or at a call in this package.
    """
    if type(error.__cause__).__name__ in ("_RemoteTraceback", "RemoteTraceback"):
        return True
    place = error.__traceback__
    if place is None:
        return False
    while place.tb_next is not None:
        place = place.tb_next
    code = place.tb_frame.f_code
    return code.co_filename.startswith(_PACKAGE) and code.co_code[place.tb_lasti] == _RAISE


def _system(error: OSError) -> str:
    """Message about an error of the operating system, with the files that it names."""
    if error.strerror is None:
        return str(error)
    words = error.strerror.lower()
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    about = f": {' and '.join(map(repr, names))}" if names else ""
    more = {
        28: "; free some space, or write to another folder by --out",
        13: "; choose another folder by --out, or change its permissions",
        30: "; choose another folder by --out",
    }.get(error.errno or 0, "")
    return f"{words}{about}{more}"


def _missing_package(error: ImportError) -> str:
    """Advice on a missing package that an extra installs; empty for other packages."""
    name = (error.name or "").partition(".")[0].replace("_", "-").lower()
    for line in metadata.requires("marginlens") or ():
        package, _, marker = line.partition(";")
        extra = marker.replace('"', "'").partition("extra == '")[2].partition("'")[0]
        plain = package.strip().lower()
        if name and extra and extra != "dev" and plain.startswith(name):
            return f"{name} is not installed; pip install 'marginlens[{extra}]'"
    return ""


def _internal(error: BaseException) -> str:
    said = f": {error!s}" if str(error) else ""
    return (
        f"Internal error: {type(error).__name__}{said}{_place(error)}; please report it"
        f"{report_address()}, with the output of the same command with --debug"
    )


def _place(error: BaseException) -> str:
    """File and line of this package in which a failure passed last."""
    place, last = error.__traceback__, ""
    while place is not None:
        file = place.tb_frame.f_code.co_filename
        if file.startswith(_PACKAGE):
            last = f" ({file.removeprefix(_PACKAGE)}, line {place.tb_lineno})"
        place = place.tb_next
    return last


def report_address() -> str:
    """Address for reports from the installed package's metadata, with a preposition."""
    package = metadata.metadata("marginlens")
    known: dict[str, str] = {}
    for line in package.get_all("Project-URL") or ():
        label, _, address = line.partition(",")
        known[label.strip().lower()] = address.strip()
    for label in ("issues", "bug tracker", "tracker", "repository", "source", "homepage"):
        if label in known:
            return f" at {known[label]}"
    for author in package.get_all("Author") or ():
        return f" to {author[0].lower()}{author[1:]}"
    return ""


def _first_sentence(said: str) -> str:
    """First sentence of a library's message, at most 200 characters."""
    return said.split(". ")[0].rstrip(".")[:200]
