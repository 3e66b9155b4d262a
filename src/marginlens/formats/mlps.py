"""MLPs of Chughtai et al. and of He et al., and plain weights u, v, w."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from marginlens.errors import MarginLensError
from marginlens.formats.answered_operation import choose_activation, settled
from marginlens.formats.chughtai_groups import in_their_order, stated_group, stored_numbers
from marginlens.formats.files import File
from marginlens.formats.foreign import Choices, Foreign, Format
from marginlens.formats.reading import finished, take, task_of_order, trained_on
from marginlens.formats.stated_settings import Stated
from marginlens.formats.transformer_weights import LENS_MARKS
from marginlens.formats.transformers import permuted_rows, read_chughtai_transformer
from marginlens.networks import MLP, Factored
from marginlens.theory import Activation, parse_activation

__all__ = ["CHUGHTAI", "UVW", "YAGENT"]

_NOT_USED = frozenset({"mlp.basis"})
"""Tensors in files of He et al. that are no part of the function: a Fourier basis."""


def _read_chughtai(file: File, choices: Choices) -> Foreign:
    if "embed.W_E" in file.tensors:
        return read_chughtai_transformer(file, choices)
    stated = Stated.of(file, "cfg.json")
    left, right = take(file.tensors, "W_x", None, None), take(file.tensors, "W_y", None, None)
    order, coordinates = left.shape
    mix = take(file.tensors, "W", coordinates + right.shape[1], None)
    out = take(file.tensors, "W_U", mix.shape[1], order)
    _require_known(file, {"W_x", "W_y", "W", "W_U"}, order, mix.shape[1])
    _check_chughtai(file, stated, coordinates, mix.shape[1])
    network = Factored(
        {
            "embed_u": left[None],
            "mix_u": mix[None, :coordinates].contiguous(),
            "embed_v": right[None],
            "mix_v": mix[None, coordinates:].contiguous(),
            "w": out.T[None].contiguous(),
        },
        parse_activation(choices.activation or _stated_activation(stated)),
    )
    named = None if choices.group is not None else stated_group(stated, order)
    start = task_of_order(order, choices) if named is None else named
    config = {name: value for name, (value, _) in stated.values.items()}
    train, words = trained_on(config, order**2, partial(permuted_rows, order**2), "permuted")
    found = finished(
        "chughtai",
        network,
        start,
        file,
        train=train,
        stored=stored_numbers(file),
        notes=tuple(words),
    )
    return in_their_order(found, choices, stated=named is not None)


def _stated_activation(stated: Stated) -> str:
    """Return the activation of the settings; ReLU, as in the project, without one."""
    name = stated.get("act_fn", "act_type")
    if name is None:
        return "relu"
    try:
        return parse_activation(str(name).lower()).name
    except ValueError as error:
        raise MarginLensError(f"{stated.where('act_fn', 'act_type')}: {error}") from None


def _check_chughtai(file: File, stated: Stated, coordinates: int, neurons: int) -> None:
    """Refuse a kind of network or sizes in cfg.json that are not those of the tables."""
    if stated.get("model") == "Transformer":
        raise MarginLensError(
            f"{stated.where('model')}, but the file has W_x, W_y, W and W_U, an MLP's tables; expected "
            "both to agree"
        )
    layers = file.beside("cfg.json").get("layers")
    layers = layers if isinstance(layers, Mapping) else {}
    for name, have, what in (
        ("embed_dim", coordinates, f"W_x has {coordinates} coordinates"),
        ("hidden_dim", neurons, f"W has {neurons} neurons"),
    ):
        if layers.get(name) is not None and layers[name] != have:
            raise MarginLensError(
                f"cfg.json says layers.{name} = {str(layers[name])[:40]!r}, but {what}; expected both "
                "to agree"
            )


def _require_known(file: File, known: Collection[str], *sizes: int) -> None:
    """Refuse unknown tensors that may be parameters: an axis is one of ``sizes``."""
    strange = [
        name
        for name, tensor in file.tensors.items()
        if name not in known
        and ("." in name or set(tensor.shape) & set(sizes))
        and (not tensor.is_floating_point() or bool(tensor.any()))
    ]
    if strange:
        have = ", ".join(strange[:4]) + (" and others" if len(strange) > 4 else "")
        raise MarginLensError(
            f"{file.name} has {have}, which {'are' if len(strange) > 1 else 'is'} not understood; "
            f"expected {', '.join(sorted(known)[:8])} alone"
        )


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
        raise MarginLensError("mlp.b_out is not zero; expected logits without biases")
    _require_known(
        file, {"mlp.W_in", "mlp.W_out", "mlp.b_in", "mlp.b_out", "embed.W_E", *_NOT_USED}
    )
    known = [choices.activation] if choices.activation else _named(file.path) or ["relu", "x^2"]
    reason = "as asked for" if choices.activation else "which the file's folder names"

    def read(activation: Activation) -> Foreign:
        return finished("yagent", MLP(layers, activation, problem.slots), problem, file)

    found, note = choose_activation(read, known, reason, file.name, choices)
    return replace(found, notes=(note, *found.notes))


def _named(path: Path) -> list[str]:
    """Return the activation in a folder's name, such as p_23_dmlp_512_ReLU_random."""
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
    _require_known(file, {"u", "v", "w", "bias"}, u.shape[0], u.shape[1])
    found = finished("uvw", network, problem, file, notes=(f"activation {name}{note}",))
    return settled(found, choices, stated=False)


CHUGHTAI = Format(
    "chughtai",
    "MLP on factored embeddings, or transformer on (a, b, =), with cfg.json beside it "
    "(Chughtai et al. 2023)",
    frozenset({"W_x", "W_y", "W", "W_U"}),
    _read_chughtai,
    (LENS_MARKS,),
)
YAGENT = Format(
    "yagent",
    "MLP with one embedding for both inputs (He et al. 2026)",
    frozenset({"mlp.W_in", "mlp.W_out"}),
    _read_yagent,
)
UVW = Format(
    "uvw",
    "weights u, v and w, each (element, neuron), of f = sum sigma(u(a) + v(b)) w; no v: v = u",
    frozenset({"u", "w"}),
    _read_uvw,
)
