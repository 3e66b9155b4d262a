"""The formats by name, and the reading of a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from marginlens.formats.arrays import NPZ
from marginlens.formats.files import File, read_file
from marginlens.formats.foreign import Choices, Foreign, Format
from marginlens.formats.mlps import CHUGHTAI, UVW, YAGENT
from marginlens.formats.transformers import NANDA, PIZZA, pizza_config

__all__ = ["FORMATS", "read_network"]

FORMATS: Mapping[str, Format] = MappingProxyType(
    {one.name: one for one in (PIZZA, NANDA, CHUGHTAI, YAGENT, UVW, NPZ)}
)


def read_network(
    path: str | Path,
    form: str | None = None,
    *,
    group: str | None = None,
    activation: str | None = None,
    attention: float | None = None,
    largest: int | None = None,
) -> Foreign:
    """Read a network that other code trained; nothing in its file is executed.

    Parameters
    ----------
    path
        A .pt, .pth, .safetensors or .npz file.
    form
        One of ``FORMATS``; None: the only one whose tensors the file has.
    group, activation, attention
        What the file leaves open (:class:`Choices`).
    largest
        Bytes that the file may have, packed and unpacked; by default 2 GiB.

    Raises
    ------
    ValueError
        In one line, if the file is missing, truncated, would execute code, or holds something else.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from marginlens.networks import construct
    >>> from marginlens.tasks import task
    >>> weights = {name: p[0].numpy() for name, p in construct(task("C5")).parameters.items()}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/mine.npz", **weights)
    ...     found = read_network(f"{folder}/mine.npz", "uvw")
    >>> found.task, found.logits.shape, found.notes
    (Task(C5, 25 rows, 5 classes), (25, 5), ('activation x^2 (say another with --activation)',))
    """
    if form is not None and form not in FORMATS:
        raise ValueError(f"format {form!r} is unknown; expected one of {', '.join(FORMATS)}")
    file = read_file(path) if largest is None else read_file(path, largest=largest)
    tensors = file.tensors
    fitting = [one.name for one in FORMATS.values() if one.marks <= set(tensors)]
    if form is None:
        form = _only(fitting, file, attention)
    elif form not in fitting:
        hint = f"; it looks like --as {fitting[0]}" if fitting else ""
        missing = sorted(FORMATS[form].marks - set(tensors))
        raise ValueError(f"{file.name} is no {form} file: it has no {', '.join(missing)}{hint}")
    if attention is not None and form != "pizza":
        raise ValueError(
            f"an attention rate belongs to pizza files, and {file.name} is read as {form}"
        )
    return FORMATS[form].read(file, Choices(group, activation, attention))


def _only(fitting: list[str], file: File, attention: float | None) -> str:
    if len(fitting) == 1:
        return fitting[0]
    if fitting == ["pizza", "nanda"]:  # they differ in the sequence, and in what is beside
        says = attention is not None or "attn_coeff" in pizza_config(file)
        return "pizza" if says or len(file.tensors["pos_embed.W_pos"]) == 2 else "nanda"
    what = f"may be {' or '.join(fitting)}" if fitting else "is of no known format"
    raise ValueError(f"{file.name} {what}; say which with --as, one of {', '.join(FORMATS)}")
