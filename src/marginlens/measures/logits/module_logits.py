"""Logits of any module or callable on a task's rows, without changing the module."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from marginlens.errors import MarginLensError
from marginlens.tasks import Task

__all__ = ["ModuleLogits", "floating_dtype", "has_equals_sign", "module_logits"]

BLOCK = 16384
"""Rows that are passed to a module at a time."""

_PROBE = 64
"""Rows on which the form of the inputs and of the outputs is found out."""

_WRAP = "for example ml.measure(lambda rows: model(rows)[:, -1], task)"


@dataclass(frozen=True, eq=False)
class ModuleLogits:
    """Logits of a module on a task's rows, and how they were obtained.

    Attributes
    ----------
    values
        Logits (row, class) in float64, rows in the order of the inputs.
    rounding
        Relative rounding error of the precision that the module computes in.
    notes
        Decisions of reading, in phrases: inputs other than integer rows, a position or classes that
        were left out.
    plain
        Whether the logits are all that the module returns, so that a network of its weights can be
        compared with them.
    """

    values: Float[np.ndarray, "row class"]
    rounding: float
    notes: tuple[str, ...] = ()
    plain: bool = True


def module_logits(
    module: Callable[..., Any], task: Task, inputs: np.ndarray | None = None
) -> ModuleLogits:
    """Evaluate a module or callable on rows, in evaluation mode and without gradients.

    The module is called with integer rows (n, k) on its own device; for parity with signs (n, bits).
    Where that raises an error, it is called with k columns, with rows that end in an equals sign (token
    ``task.size``), or with one-hot rows (n, k * size), whichever is the first that it accepts. Of
    logits at several positions the last is taken; classes from ``task.classes`` on are left out.
    Modes (training or evaluation) of all submodules and the state of the random generators are
    restored.

    Parameters
    ----------
    module
        ``nn.Module`` or callable: integer rows (n, k) -> logits (n, classes). Modules that a function is
        bound to, closes over or names are put into evaluation mode too.
    task
        Task whose rows are evaluated.
    inputs
        Rows (row, slot) in place of all of the task's.

    Raises
    ------
    MarginLensError
        If no form of the rows is accepted, the outputs have another shape than (n, classes), or a
        second call with the same rows gives other logits.

    Examples
    --------
    >>> import torch
    >>> from marginlens.tasks import task
    >>> seen = module_logits(lambda rows: torch.eye(5)[rows.sum(1) % 5], task("C5"))
    >>> seen.values.shape, seen.values.argmax(1)[:7].tolist()
    ((25, 5), [0, 1, 2, 3, 4, 1, 2])
    """
    if inputs is None:
        task.require_rows()
        inputs = task.inputs
    with _undisturbed(module), torch.no_grad():
        call, words = _accepted(module, task, inputs[:_PROBE])
        first, notes, rounding = _read(call(inputs[:_PROBE]), task, min(_PROBE, len(inputs)))
        again, _, _ = _read(call(inputs[:_PROBE]), task, len(first))
        if not np.array_equal(first, again, equal_nan=True):
            raise MarginLensError(
                f"{_name(module)} gives other logits for the same rows at a second call; expected a "
                "function of the rows: use nn.Dropout, which evaluation mode switches off, in place of "
                "F.dropout"
            )
        values = np.concatenate(
            [
                _read(call(part), task, len(part))[0]
                for part in np.split(inputs, range(BLOCK, len(inputs), BLOCK))
            ]
        )
    extra = _left_out(values, task)
    plain = values.shape[1] == task.classes
    notes = (*words, *notes, *extra)
    return ModuleLogits(values[:, : task.classes], rounding, notes, plain)


def floating_dtype(module: Callable[..., Any]) -> torch.dtype:
    """Return the precision of a module's first floating tensor, or the default one.

    Parameters
    ----------
    module
        Module or callable to evaluate.
    """
    for tensor in _tensors(module):
        if tensor.is_floating_point():
            return tensor.dtype
    return torch.get_default_dtype()


def has_equals_sign(module: Callable[..., Any], task: Task) -> bool:
    """Return whether a parameter has a row for an equals sign beside the task's elements.

    Parameters
    ----------
    module
        Module or callable to evaluate.
    task
        Task of the module.
    """
    return task.kind == "table" and any(task.size + 1 in one.shape for one in _tensors(module))


def _modules(function: Callable[..., Any]) -> list[nn.Module]:
    """Return a module, or the modules that a function is bound to, closes over, or names."""
    if isinstance(function, nn.Module):
        return [function]
    held: list[Any] = [getattr(function, "__self__", None), *getattr(function, "args", ())]
    inner = getattr(function, "func", function)  # of functools.partial
    held += [inner, getattr(inner, "__self__", None)]
    code, names = getattr(inner, "__code__", None), getattr(inner, "__globals__", {})
    held += [names.get(name) for name in getattr(code, "co_names", ())]
    for cell in getattr(inner, "__closure__", None) or ():
        try:
            held.append(cell.cell_contents)
        except ValueError:  # not bound yet
            continue
    return [one for one in held if isinstance(one, nn.Module)]


def _tensors(module: Callable[..., Any]) -> Iterator[Tensor]:
    for one in _modules(module):
        yield from one.parameters()
        yield from one.buffers()


def _device(module: Callable[..., Any]) -> torch.device:
    return next((tensor.device for tensor in _tensors(module)), torch.device("cpu"))


@contextmanager
def _undisturbed(module: Callable[..., Any]) -> Iterator[None]:
    """Evaluation mode within; modes and random generators afterwards as before."""
    device = _device(module)
    cards = [device] if device.type == "cuda" else []
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=cards))
        for whole in _modules(module):
            stack.callback(_restore, [(one, one.training) for one in whole.modules()])
            whole.eval()
        yield


def _restore(modes: list[tuple[nn.Module, bool]]) -> None:
    for one, training in modes:
        one.training = training


def _accepted(
    module: Callable[..., Any], task: Task, probe: np.ndarray
) -> tuple[Callable[[np.ndarray], Any], tuple[str, ...]]:
    """Return the first form of rows that the module accepts, with a note on conversions."""
    device, dtype = _device(module), floating_dtype(module)

    def rows(part: np.ndarray) -> Tensor:
        kind = dtype if task.kind == "parity" else torch.int64
        return torch.tensor(part, dtype=kind, device=device)

    def equals(part: np.ndarray) -> Tensor:
        last = np.full((len(part), 1), task.size)
        return rows(np.concatenate([part, last], axis=1))

    def one_hot(part: np.ndarray) -> Tensor:
        return torch.nn.functional.one_hot(rows(part), task.size).flatten(1).to(dtype)

    forms: list[tuple[str, Callable[[np.ndarray], Any]]] = [("", lambda part: module(rows(part)))]
    if task.kind == "table":
        columns = (f"called with {task.factors} columns", lambda part: module(*rows(part).T))
        if _takes_columns(module, task.factors):
            forms.insert(0, columns)
        if has_equals_sign(
            module, task
        ):  # else the token may not exist, which a GPU does not forgive
            words = f"rows end in an equals sign, token {task.size}"
            forms.append((words, lambda part: module(equals(part))))
        forms.append(("inputs are one-hot rows", lambda part: module(one_hot(part))))
    if not isinstance(module, nn.Module):
        forms.append(("called with NumPy rows", lambda part: module(part)))
    failures: list[Exception] = []
    for words, call in forms:
        try:
            _read(call(probe), task, len(probe))
        except MarginLensError:
            raise
        except Exception as error:  # whatever the module raises
            failures.append(error)
            continue
        return call, (words,) if words else ()
    said = " ".join(str(failures[0]).split())[:160]
    shape = f"(n, {task.size})" if task.kind == "parity" else f"(n, {task.factors})"
    raise MarginLensError(
        f"expected integer rows {shape} -> logits (n, {task.classes}); {_name(module)} raised "
        f"{type(failures[0]).__name__}: {said}; {_WRAP}"
    ) from failures[0]


def _takes_columns(module: Callable[..., Any], count: int) -> bool:
    """Return whether the signature takes the inputs one by one, and not together."""
    if count < 2:
        return False
    try:
        of = inspect.signature(module.forward if isinstance(module, nn.Module) else module)
    except (TypeError, ValueError):
        return False

    def binds(number: int) -> bool:
        try:
            of.bind(*[None] * number)
        except TypeError:
            return False
        return True

    return binds(count) and not binds(1)


def _read(output: Any, task: Task, count: int) -> tuple[np.ndarray, tuple[str, ...], float]:
    """Logits (row, class or more) in float64, notes, and the rounding of their precision."""
    notes: tuple[str, ...] = ()
    if hasattr(output, "logits"):
        output = output.logits
    elif isinstance(output, Mapping) and "logits" in output:
        output = output["logits"]
    elif isinstance(output, list | tuple):
        fitting = [one for one in output if _fits(one, task, count)]
        exact = [one for one in fitting if one.shape[-1] == task.classes]
        fitting = exact or fitting
        if len(fitting) != 1:
            raise MarginLensError(
                f"expected logits (n, {task.classes}), got a {type(output).__name__} with "
                f"{len(fitting)} arrays of that shape; {_WRAP.replace('[:, -1]', '[0]')}"
            )
        output, notes = fitting[0], (f"logits are the item {_place(output, fitting[0])} returned",)
    if isinstance(output, Tensor):
        kind = output.dtype
        floating = kind.is_floating_point
        rounding = torch.finfo(kind).eps if floating else 0.0
        values = output.detach().to("cpu", torch.float64 if floating else kind).numpy()
    else:
        try:
            values = np.asarray(output)
        except (TypeError, ValueError, RuntimeError):
            values = np.array(None)
        floating = np.issubdtype(values.dtype, np.floating)
        rounding = float(np.finfo(values.dtype).eps) if floating else 0.0
    if not floating:
        kind = values.dtype if isinstance(output, Tensor | np.ndarray) else type(output).__name__
        raise MarginLensError(
            f"expected floating-point logits (n, {task.classes}), got {kind}; return the logits, not "
            "the answers"
        )
    shape: tuple[int, ...] = values.shape
    if len(shape) == 3 and shape[0] == count and shape[2] >= task.classes:
        if shape[1] > 1:
            notes += (f"logits are those at the last of {shape[1]} positions",)
        values = values[:, -1]
    if values.ndim != 2 or values.shape[0] != count or values.shape[1] < task.classes:
        raise MarginLensError(
            f"expected logits of shape ({count}, {task.classes}) on {count} rows of {task.name}, got "
            f"{values.shape}; {_WRAP}"
        )
    return values.astype(np.float64), notes, rounding


def _fits(value: Any, task: Task, count: int) -> bool:
    shape = [int(length) for length in getattr(value, "shape", ())]
    return len(shape) in (2, 3) and shape[0] == count and shape[-1] >= task.classes


def _place(items: list[Any] | tuple[Any, ...], item: Any) -> int:
    return next(index for index, one in enumerate(items) if one is item)


def _left_out(values: np.ndarray, task: Task) -> tuple[str, ...]:
    """Return a note on classes that are not answers, such as an equals sign."""
    extra = values.shape[1] - task.classes
    if not extra:
        return ()
    wins = int((values.argmax(1) >= task.classes).sum())
    classes = f"class {task.classes}" if extra == 1 else f"{extra} classes from {task.classes} on"
    where = f", largest in {wins} rows," if wins else ""
    return (f"{classes}{where} left out: no answer of {task.name}",)


def _name(module: Callable[..., Any]) -> str:
    return type(module).__name__ if isinstance(module, nn.Module) else "the callable"
