"""Registry of formats, and reading of a network in any of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from marginlens.errors import MarginLensError
from marginlens.formats.answered_operation import warned
from marginlens.formats.arrays import NPZ
from marginlens.formats.files import File, file_of, read_file
from marginlens.formats.foreign import Choices, Foreign, Format
from marginlens.formats.linear_layers import LINEAR
from marginlens.formats.marginlens_files import is_own, read_own, require_own_choices
from marginlens.formats.mlps import CHUGHTAI, UVW, YAGENT
from marginlens.formats.transformers import NANDA, PIZZA, transformer_form

__all__ = ["FORMATS", "read_network", "read_state_dict"]

FORMATS: Mapping[str, Format] = MappingProxyType(
    {one.name: one for one in (PIZZA, NANDA, CHUGHTAI, YAGENT, LINEAR, UVW, NPZ)}
)


def read_network(
    path: str | Path,
    form: str | None = None,
    *,
    group: str | None = None,
    activation: str | None = None,
    attention: float | None = None,
    layer_norm: str | None = None,
    largest: int | None = None,
) -> Foreign:
    """Read a network that other code trained, without executing its file.

    Parameters
    ----------
    path
        Path of a .pt, .pth, .ckpt, .bin, .safetensors or .npz file, identified by its content.
    form
        Name of the format, one of ``FORMATS``; ``None`` for the only one that fits the tensors.
    group, activation, attention, layer_norm
        Settings that the file leaves open (:class:`Choices`).
    largest
        Greatest accepted size in bytes, packed and unpacked; by default 2 GiB.

    Raises
    ------
    ValueError
        The file is missing, truncated, would execute code, or holds something else.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from marginlens.networks import construct
    >>> from marginlens.tasks import task
    >>> weights = {name: p[0].numpy() for name, p in construct(task("C5")).tensors.items()}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/mine.npz", **weights)
    ...     found = read_network(f"{folder}/mine.npz", "uvw")
    >>> found.task, found.logits.shape, found.notes
    (Task(C5, 25 rows, 5 classes), (25, 5), ('activation x^2 (say another with --activation)',))
    """
    limits = {} if largest is None else {"largest": largest}
    choices = Choices(group, activation, attention, layer_norm)
    marks = _checked_marks(form, choices)
    return _finished(Path(path).name, lambda: read_file(path, marks=marks, **limits), form, choices)


def read_state_dict(
    tensors: Mapping[str, Any],
    form: str | None = None,
    *,
    group: str | None = None,
    activation: str | None = None,
    attention: float | None = None,
    layer_norm: str | None = None,
) -> Foreign:
    """Read a network from its tensors by name, as from a file that holds them.

    Parameters
    ----------
    tensors
        Tensors or arrays by name, as from ``module.state_dict()``; or a checkpoint that holds them.
    form, group, activation, attention, layer_norm
        Format and open settings, as for :func:`read_network`.

    Raises
    ------
    ValueError
        The format is unknown, or the tensors do not fit the group.
    """
    choices = Choices(group, activation, attention, layer_norm)
    marks = _checked_marks(form, choices)
    return _finished("state_dict", lambda: file_of(tensors, marks=marks), form, choices)


def _checked_marks(form: str | None, choices: Choices) -> list[frozenset[str]]:
    """Names of tensors to look for, those of the chosen format first."""
    if form is not None and form not in FORMATS:
        raise MarginLensError(f"format {form!r} is unknown; expected one of {', '.join(FORMATS)}")
    if choices.layer_norm not in (None, "none", "pre"):
        raise MarginLensError(f"layer_norm is {choices.layer_norm!r}; expected none or pre")
    marks = [marks for one in FORMATS.values() for marks in one.all_marks]
    return marks if form is None else [*FORMATS[form].all_marks, *marks]


def _finished(name: str, read: Callable[[], File], form: str | None, choices: Choices) -> Foreign:
    """Return the network, with a warning if it answers few rows; name the file in errors."""
    try:
        file = read()
        found = warned(_read(file, form, choices))
    except ValueError as error:
        words = str(error) if name in str(error) else f"{name}: {error}"
        raise MarginLensError(_printable(words)) from None
    return replace(found, notes=tuple(_printable(note) for note in (*found.notes, *file.notes)))


def _printable(text: str) -> str:
    """Return a name in one printable line."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


def _read(file: File, form: str | None, choices: Choices) -> Foreign:
    if is_own(file) and form is None:
        if choices == Choices():
            return read_own(file)
        require_own_choices(file, choices)
    return FORMATS[_form(file, form, choices.attention)].read(file, choices)


def _form(file: File, form: str | None, attention: float | None) -> str:
    """Return the chosen format, or the only one that fits."""
    names = set(file.tensors)
    fitting = [one.name for one in FORMATS.values() if one.fits(names)]
    if form is None:
        form = _only(fitting, file, attention)
    elif form not in fitting:
        hint = f"; it looks like --as {fitting[0]}" if fitting else f"; it has {_first(file)}"
        missing = ", ".join(sorted(FORMATS[form].marks - names))
        raise MarginLensError(f"{file.name}: expected a file of format {form} with {missing}{hint}")
    if attention is not None and form != "pizza":
        raise MarginLensError(
            f"an attention rate belongs to pizza files, and {file.name} is read as {form}"
        )
    return form


def _only(fitting: list[str], file: File, attention: float | None) -> str:
    if len(fitting) == 1:
        return fitting[0]
    if fitting and set(fitting) <= {"pizza", "nanda", "chughtai"}:  # the same names of tensors
        return transformer_form(file, attention)
    if fitting:
        choices = " or ".join(f"--as {name}" for name in fitting)
        raise MarginLensError(f"{file.name} may be of several formats; say which: {choices}")
    raise MarginLensError(
        f"{file.name} is of no known format: it has {_first(file)}; {_nearest(file)}"
    )


def _first(file: File) -> str:
    """Return the first tensors with their shapes."""
    names = [f"{name} {tuple(tensor.shape)}" for name, tensor in file.tensors.items()]
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(names[:8]) + more


def _nearest(file: File) -> str:
    """Return the format that shares most tensors with the file, and the missing ones."""
    lacks = {
        (form.name, marks): [mark for mark in sorted(marks) if not _has(file, mark)]
        or sorted(marks - set(file.tensors))  # the ends of longer names are not the format's
        for form in FORMATS.values()
        for marks in form.all_marks
    }
    name, marks = min(lacks, key=lambda one: len(lacks[one]) / len(one[1]))
    missing = lacks[name, marks]
    if len(missing) == len(marks):
        return (
            f"no tensor of {', '.join(FORMATS)} is among them; rename them, for example to u, v, w "
            "(element, neuron), or save logits (a, b, c)"
        )
    return f"the nearest is {name}, which also has {', '.join(missing[:8])}"


def _has(file: File, mark: str) -> bool:
    return any(name == mark or name.endswith(f".{mark}") for name in file.tensors)
