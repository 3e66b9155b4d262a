"""MLPs of Chughtai et al. and of He et al., and plain weights u, v, w."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch

from marginlens.formats.files import File
from marginlens.formats.foreign import Choices, Foreign, Format
from marginlens.formats.parts import finished, square_table, take, task_of_order, trained_on
from marginlens.groups import FiniteGroup
from marginlens.networks import MLP, Factored
from marginlens.tasks import Task, task
from marginlens.theory import parse_activation

__all__ = ["CHUGHTAI", "UVW", "YAGENT"]

_LETTERS = {
    "SymmetricGroup": "S",
    "AlternatingGroup": "A",
    "CyclicGroup": "C",
    "DihedralGroup": "D",
}


_SYMPY = {"S": "SymmetricGroup", "A": "AlternatingGroup", "D": "DihedralGroup"}


def _read_chughtai(file: File, choices: Choices) -> Foreign:
    config = file.beside("cfg.json")
    left, right = take(file.tensors, "W_x", None, None), take(file.tensors, "W_y", None, None)
    order, coordinates = left.shape
    mix = take(file.tensors, "W", coordinates + right.shape[1], None)
    out = take(file.tensors, "W_U", mix.shape[1], order)
    network = Factored(
        {
            "embed_u": left[None], "mix_u": mix[None, :coordinates].contiguous(),
            "embed_v": right[None], "mix_v": mix[None, coordinates:].contiguous(),
            "w": out.T[None].contiguous(),
        },
        parse_activation(choices.activation or "relu"),
    )  # fmt: skip
    letter = _LETTERS.get(str(config.get("group")))
    spec = f"{letter}{config.get('group_parameter')}" if letter else None
    start = task_of_order(order, choices, default=spec)
    logits = network.logits(start)[0].numpy()
    problem, note = _in_their_order(start, logits)
    train, words = trained_on(config, order**2, partial(_permuted, order**2), "permuted")
    notes = [note, *words]
    summary = file.beside("summary_metrics.json")
    stored = {name: float(v) for name, v in summary.items() if isinstance(v, int | float)}
    return finished(
        "chughtai", network, problem, file, train=train, stored=stored, notes=tuple(notes)
    )


def _permuted(count: int, seed: int) -> list[int]:
    """Chughtai et al.'s order: PyTorch's permutation of all pairs."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()


def _in_their_order(start: Task, logits: np.ndarray) -> tuple[Task, str]:
    """The group's table in the order of the network's elements."""
    own = square_table(logits, start.name)
    if own is not None:
        return own, "the elements' order is that of the network's own answers, which form the group"
    orders = {f"that of {start.name} here": start}
    letter, degree = start.name[:1], start.name[1:]
    if letter in _SYMPY and degree.isdigit():
        orders["SymPy's, left factor first"] = permutation_task(letter, int(degree))
    right = {words: float((logits.argmax(1) == t.answers).mean()) for words, t in orders.items()}
    best = max(right, key=right.__getitem__)
    note = (
        f"the elements' order is taken to be {best}: {right[best]:.1%} of the rows are then right"
    )
    return orders[best], note


def permutation_task(letter: str, degree: int) -> Task:
    """S_n, A_n or D_n with its elements as SymPy generates them, the left factor applied first."""
    from sympy.combinatorics import Permutation, named_groups

    group = getattr(named_groups, _SYMPY[letter])(degree)
    elements = np.array([Permutation(p).array_form for p in group.generate()])
    weights = degree ** np.arange(degree)
    number = {int(key): index for index, key in enumerate(elements @ weights)}
    keys = elements[:, elements].swapaxes(0, 1) @ weights  # of (i, j): first i, then j, as j[i]
    table = np.array([[number[int(key)] for key in row] for row in keys])
    return task(FiniteGroup(table, f"{letter}{degree}"))


def _read_yagent(file: File, choices: Choices) -> Foreign:
    inside = take(file.tensors, "mlp.W_in", None, None)
    out = take(file.tensors, "mlp.W_out", None, inside.shape[0])
    if "embed.W_E" in file.tensors:
        inside = inside @ take(file.tensors, "embed.W_E", inside.shape[1], None)
    order = out.shape[0]
    problem = task_of_order(order, choices)
    layers = {"u": inside[:, :order].T[None].contiguous(), "w": out[None].contiguous()}
    if "mlp.b_in" in file.tensors:
        layers["bias"] = take(file.tensors, "mlp.b_in", inside.shape[0])[None, None]
    if "mlp.b_out" in file.tensors and bool(take(file.tensors, "mlp.b_out", None).any()):
        raise ValueError("mlp.b_out is not zero; expected logits without biases")
    known = [choices.activation] if choices.activation else _named(file.path) or ["relu", "x^2"]
    networks = [MLP(layers, parse_activation(name), problem.slots) for name in known]
    found = [finished("yagent", network, problem, file) for network in networks]
    right = [float((one.logits.argmax(1) == problem.answers).mean()) for one in found]
    best = int(np.argmax(right))
    why = "as asked for" if choices.activation else "which the file's folder names"
    if len(known) > 1:
        why = f"which answers best: {right[0]:.3f} of the rows with relu, {right[1]:.3f} with x^2"
    return Foreign(
        "yagent", problem, found[best].logits, found[best].network,
        notes=(f"activation {known[best]}, {why}",),
    )  # fmt: skip


def _named(path: Path) -> list[str]:
    """The activation in the name of a run's folder, such as p_23_dmlp_512_ReLU_random."""
    words = f"_{path.absolute().parent.name}_{path.stem}_".lower()
    return [name for word, name in (("_relu_", "relu"), ("_quad_", "x^2")) if word in words]


def _read_uvw(file: File, choices: Choices) -> Foreign:
    layers = {name: file.tensors[name] for name in ("u", "v", "w") if name in file.tensors}
    single = {name: p[0] if p.ndim == 3 and len(p) == 1 else p for name, p in layers.items()}
    u = take(single, "u", None, None)
    weights = {"u": u[None], "w": take(single, "w", None, u.shape[1])[None]}
    tied = "v" not in single
    if not tied:
        weights["v"] = take(single, "v", u.shape[0], u.shape[1])[None]
    problem = task_of_order(u.shape[0], choices)
    name = choices.activation or "x^2"
    if "bias" in file.tensors:
        flat = {"bias": file.tensors["bias"].reshape(-1)}
        weights["bias"] = take(flat, "bias", u.shape[1])[None, None]
    ordered = {key: weights[key] for key in ("u", "v", "w", "bias") if key in weights}
    network = MLP(ordered, parse_activation(name), problem.slots if tied else ())
    note = "" if choices.activation else " (say another with --activation)"
    return finished("uvw", network, problem, file, notes=(f"activation {name}{note}",))


CHUGHTAI = Format(
    "chughtai", "MLP on factored embeddings, with cfg.json beside it (Chughtai et al. 2023)",
    frozenset({"W_x", "W_y", "W", "W_U"}), _read_chughtai,
)  # fmt: skip
YAGENT = Format(
    "yagent", "MLP with one embedding for both inputs (He et al. 2026)",
    frozenset({"mlp.W_in", "mlp.W_out"}), _read_yagent,
)  # fmt: skip
UVW = Format(
    "uvw", "weights u, v and w, each (element, neuron), of f = sum sigma(u(a) + v(b)) w; no v: v = u",
    frozenset({"u", "w"}), _read_uvw,
)  # fmt: skip
