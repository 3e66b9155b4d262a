"""Search for a network's tensors in nested mappings."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from marginlens.errors import MarginLensError
from marginlens.formats.pickled_values import Unreadable

__all__ = ["FoundTensors", "find_tensors"]

_USUAL = (
    "model",
    "state_dict",
    "model_state_dict",
    "net",
    "network",
    "module",
    "weights",
    "params",
    "state_dicts",
)
"""Keys that networks are usually under, the preferred ones first."""
_WRAPPERS = ("module.", "_orig_mod.", "model.", "net.", "network.", "_forward_module.")
_MOST_VISITS = 20_000


@dataclass(frozen=True)
class FoundTensors:
    """Tensors of one network.

    Attributes
    ----------
    tensors
        Tensors, arrays and unreadable values by name, without prefixes.
    notes
        Phrases on choices and omissions.
    """

    tensors: Mapping[str, Any]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Candidate:
    path: str
    tensors: Mapping[str, Any]
    prefix: str = ""
    left: tuple[str, ...] = ()
    nested: bool = False  # with the tensors of its parts, under dotted names
    sequence: tuple[str, str, int] | None = None  # path of its list, its own, the list's length

    @property
    def rank(self) -> tuple[int, int]:
        """Usual keys first, and the fewest of them."""
        keys = self.path.split(".") if self.path else []
        ranks = [
            _USUAL.index(key.split("[")[0]) if key.split("[")[0] in _USUAL else len(_USUAL)
            for key in keys
        ]
        return max(ranks, default=-1), len(keys)


def find_tensors(content: Any, marks: Sequence[frozenset[str]] = ()) -> FoundTensors:
    """Find the mapping with a network's tensors, and remove the prefix that names share.

    The search covers a checkpoint's mappings at any depth, and takes the last of a list. A mapping
    fits if its names without a common prefix contain one of ``marks``.

    Parameters
    ----------
    content
        Nested mappings and lists of tensors, arrays and plain values.
    marks
        Sets of tensor names that identify a format.

    Returns
    -------
    FoundTensors
        Mapping that fits, or else the one with the most tensors.

    Raises
    ------
    ValueError
        The content holds no tensor, two equally suitable networks, or one name with and without a
        prefix.
    """
    if isinstance(content, Tensor | np.ndarray):
        lengths = [*content.shape]
        raise MarginLensError(
            f"holds one tensor of shape {lengths} without a name; expected tensors by name, for example "
            "torch.save({'u': u, 'v': v, 'w': w}, 'model.pt')"
        )
    containers = list(_Search().containers(content))
    if not containers:
        raise MarginLensError(f"holds no tensors, {_keys(content)}; expected a state_dict")
    fitting = _fitting(containers, marks)
    if not fitting:
        fullest = max(containers, key=lambda one: len(one.tensors))
        _require_one_name(fullest)
        return FoundTensors(fullest.tensors)
    chosen = min(fitting, key=lambda one: one.rank)
    rivals = [one for one in fitting if one.rank == chosen.rank and one is not chosen]
    if rivals and chosen.sequence is None:
        names = ", ".join(one.path or "its top" for one in (chosen, *rivals[:7]))
        raise MarginLensError(
            f"holds several networks ({names}); save the one that is to be measured"
        )
    return FoundTensors(chosen.tensors, tuple(_notes(chosen, fitting)))


def _notes(chosen: _Candidate, fitting: Sequence[_Candidate]) -> Iterator[str]:
    if chosen.sequence is not None:
        where, last, length = chosen.sequence
        yield f"of the {length} networks in {where or 'its list'} the last is read: {last}"
    elif chosen.path and len(fitting) > 1:
        others = [one.path for one in fitting if one is not chosen]
        yield f"read is {chosen.path}, not {', '.join(others[:7])}"
    if chosen.left:
        first, *others = chosen.left
        more = f" and {len(others)} more" if others else ""
        yield f"outside {chosen.prefix.rstrip('.')} and left out: {first}{more}"


def _fitting(containers: Sequence[_Candidate], marks: Sequence[frozenset[str]]) -> list[_Candidate]:
    """Mappings that fit; the parts of one that fits are not looked at."""
    for variants in (_by_common_prefix, _by_wrappers):
        found: list[_Candidate] = []
        for container in containers:
            inside = [one.path for one in found]
            if any(_is_within(container.path, path) for path in inside):
                continue
            for candidate in variants(container):
                if any(mark <= set(candidate.tensors) for mark in marks):
                    found.append(candidate)
                    break
        if found:
            return found
    return []


def _is_within(path: str, other: str) -> bool:
    return path == other or path.startswith((f"{other}.", f"{other}[") if other else "")


def _by_common_prefix(container: _Candidate) -> Iterator[_Candidate]:
    """Yield the mapping unchanged, and without each dotted prefix that all names share."""
    _require_one_name(container)
    names = [*container.tensors]
    common = os.path.commonprefix(names)  # noqa: RUF071  # of characters, as names have no parts
    ends = [0, *(i + 1 for i, character in enumerate(common) if character in "./")]
    for end in ends:
        if all(len(name) > end for name in names):
            stripped = {name[end:]: value for name, value in container.tensors.items()}
            yield _Candidate(container.path, stripped, common[:end], sequence=container.sequence)


def _by_wrappers(container: _Candidate) -> Iterator[_Candidate]:
    """Return the part under one wrapper, or the names without their own wrappers."""
    if container.nested:
        return
    prefixes = {name[: len(name) - len(_unwrapped(name))] for name in container.tensors}
    for prefix in sorted(prefixes - {""}):
        inside = {
            name[len(prefix) :]: value
            for name, value in container.tensors.items()
            if name.startswith(prefix)
        }
        left = tuple(name for name in container.tensors if not name.startswith(prefix))
        if all("." in name and not name.startswith(_WRAPPERS) for name in left):
            yield _Candidate(container.path, inside, prefix, left, sequence=container.sequence)
    values = {_unwrapped(name): value for name, value in container.tensors.items()}
    yield _Candidate(container.path, values, sequence=container.sequence)


def _unwrapped(name: str) -> str:
    while name.startswith(_WRAPPERS):
        name = name.split(".", 1)[1]
    return name


def _require_one_name(container: _Candidate) -> None:
    """Refuse a tensor that is there with a prefix and without."""
    if container.nested:
        return
    seen: dict[str, str] = {}
    for name in container.tensors:
        other = seen.setdefault(_unwrapped(name), name)
        if other != name:
            raise MarginLensError(
                f"holds both {other} and {name}, two tensors of one name; save one network alone"
            )


@dataclass
class _Search:
    """Bounded walk through nested mappings and lists, whose parts may be shared."""

    visited: int = 0

    def containers(
        self, value: Any, path: str = "", sequence: tuple[str, str, int] | None = None
    ) -> Iterator[_Candidate]:
        """Yield mappings with tensors, outer ones first: direct ones, then with their parts'."""
        self._count()
        if isinstance(value, Mapping):
            if not _is_optimizer(value):
                yield from self._of_mapping(value, path, sequence)
        elif isinstance(value, list | tuple):
            held = [index for index, one in enumerate(value) if self._holds(one)]
            for index in held[-1:]:
                inner = f"{path}[{index}]"
                place = (path, inner, len(held)) if len(held) > 1 else sequence
                yield from self.containers(value[index], inner, place)

    def _of_mapping(
        self, value: Mapping[Any, Any], path: str, sequence: tuple[str, str, int] | None
    ) -> Iterator[_Candidate]:
        own = {str(name): one for name, one in value.items() if _is_tensor(one)}
        if own:
            yield _Candidate(path, own, sequence=sequence)
        whole = dict(self._flat(value))
        if len(whole) > len(own):
            yield _Candidate(path, whole, nested=True, sequence=sequence)
        numbered = sorted(name for name in value if type(name) is int and self._holds(value[name]))
        for name, one in value.items():
            inner = f"{path}.{name}" if path else str(name)
            if len(numbered) > 1 and name in numbered:  # by step: as a list
                if name == numbered[-1]:
                    yield from self.containers(one, inner, (path, inner, len(numbered)))
            else:
                yield from self.containers(one, inner, sequence)

    def _holds(self, value: Any) -> bool:
        return isinstance(value, Mapping) and any(True for _ in self._flat(value))

    def _flat(self, value: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
        """Tensors of a mapping and its mappings, by dotted names; optimizers' states are skipped."""
        self._count()
        if _is_optimizer(value):
            return
        for name, one in value.items():
            if _is_tensor(one):
                yield str(name), one
            elif isinstance(one, Mapping):
                for inner, tensor in self._flat(one):
                    yield f"{name}.{inner}", tensor

    def _count(self) -> None:
        self.visited += 1
        if self.visited > _MOST_VISITS:
            raise MarginLensError("holds too many nested values; expected a state_dict")


def _is_optimizer(value: Mapping[Any, Any]) -> bool:
    return "param_groups" in value


def _is_tensor(value: object) -> bool:
    return isinstance(value, Tensor | np.ndarray | Unreadable)


def _keys(content: Any) -> str:
    if isinstance(content, Mapping):
        names = ", ".join(repr(str(name)) for name in [*content][:8])
        return f"but {names}" if names else "and is an empty mapping"
    if isinstance(content, list | tuple):
        return f"but {len(content)} values without names"
    return f"but one value ({type(content).__name__})"
