"""Transformers of Nanda et al., Zhong et al., Chughtai et al. and TransformerLens."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from marginlens.errors import MarginLensError
from marginlens.formats.answered_operation import (
    CLEAR,
    HALF,
    Candidate,
    accuracy,
    clear_winner,
    settled,
    shares,
)
from marginlens.formats.chughtai_groups import in_their_order, stated_group, stored_numbers
from marginlens.formats.files import File
from marginlens.formats.foreign import Choices, Foreign, Format
from marginlens.formats.network_table import own_group
from marginlens.formats.reading import finished, task_of_order, trained_on
from marginlens.formats.stated_settings import Stated
from marginlens.formats.transformer_weights import (
    BRIDGE_MARKS,
    LENS_MARKS,
    TransformerWeights,
    transformer_weights,
)
from marginlens.networks import (
    EPSILON,
    SMOOTH_ACTIVATIONS,
    Transformer,
    TransformerSettings,
    TransformerVariant,
    VariantSettings,
)
from marginlens.tasks import Task, lambda_operation, operation_task, task
from marginlens.theory import parse_activation

__all__ = ["CHUGHTAI_EMBEDDINGS", "NANDA", "PIZZA", "read_chughtai_transformer", "transformer_form"]

CHUGHTAI_EMBEDDINGS = frozenset({"x_embed", "y_embed"})
"""Copies of the embedding in files of Chughtai et al."""

_ALMOST_ALL = 0.9
_EVERY = 0.99

_FUNCTIONS = {
    "add": "x+y",
    "addition": "x+y",
    "subtract": "x-y",
    "subtraction": "x-y",
    "sub": "x-y",
    "multiply": "xy",
    "multiplication": "xy",
    "mul": "xy",
    "divide": "x/y",
    "division": "x/y",
    "x2xyy2": "x^2+xy+y^2",
}
"""Operations by the names of ``fn_name`` in Nanda et al.'s code and its descendants."""

_OTHER_OPERATION = re.compile(r"mod|mul|times|prod|sub|minus|div|quot|pow|exp|poly|sq|xy|xor|perm")
"""Parts of a run's name that speak of an operation."""

_ONLY: Mapping[str, tuple[Any, ...]] = {
    "positional_embedding_type": (None, "standard"),
    "gated_mlp": (None, False),
    "use_local_attn": (None, False),
    "scale_attn_by_inverse_layer_idx": (None, False),
    "num_experts": (None,),
    "final_rms": (None, False),
    "post_embedding_ln": (None, False),
    "use_qk_norm": (None, False),
    "use_normalization_before_and_after": (None, False),
    "attn_scores_soft_cap": (None, -1),
    "output_logits_soft_cap": (None, -1),
    "relative_attention_num_buckets": (None,),
    "relative_attention_max_distance": (None,),
    "softmax": (None, True),
    "use_softmax": (None, True),
    "linear_attention": (None, False),
}
"""Values that settings may have, as the evaluation here has no other."""


@dataclass(frozen=True)
class _Form:
    """Settings of a transformer that belong to the project, not to the tensors.

    Attributes
    ----------
    name
        Name of the format in messages.
    separate
        Whether each input has a separate vocabulary.
    attention
        Attention rate of the project.
    causal
        Whether a position attends only to earlier ones and itself.
    without_norm
        Whether the project never uses layer norm.
    """

    name: str
    separate: bool = False
    attention: float = 1.0
    causal: bool = True
    without_norm: bool = False


def transformer_form(file: File, attention: float | None) -> str:
    """Name of the format that a transformer's file is of.

    Parameters
    ----------
    file
        File with the tensors of a transformer.
    attention
        Attention rate that the user says; only Zhong et al.'s networks have one.
    """
    if set(file.tensors) >= CHUGHTAI_EMBEDDINGS:
        return "chughtai"
    position = file.tensors.get("pos_embed.W_pos", file.tensors.get("pos_embed.weight"))
    if attention is not None or "attn_coeff" in _pizza_stated(file):
        return "pizza"
    beside = file.beside("cfg.json")
    if isinstance(beside.get("group"), str) and beside.get("model") == "Transformer":
        return "chughtai"
    return "pizza" if position is not None and len(position) == 2 else "nanda"


def _pizza_stated(file: File) -> Stated:
    """Zhong et al.'s settings, beside a file model_RUN.pt in config_RUN.json."""
    return Stated.of(file, f"config_{file.path.stem.removeprefix('model_')}.json")


# ---------------------------------------------------------------- settings


def _activation(choices: Choices, stated: Stated) -> str:
    given = choices.activation or stated.get("act_fn", "act_type")
    where = "" if choices.activation else "the settings' "
    if given is None:
        return "relu"
    name = str(given).lower()
    name = {"quad": "x^2", "square": "x^2"}.get(name, name)
    if name in SMOOTH_ACTIVATIONS:
        return name
    try:
        return parse_activation(name).name
    except ValueError:
        known = ", ".join(["ReLU", *SMOOTH_ACTIVATIONS][:7])
        raise MarginLensError(
            f"{where}activation {str(given)[:40]!r} is not one that is evaluated here; expected {known} "
            "or x^2"
        ) from None


def _check(stated: Stated, weights: TransformerWeights) -> None:
    """Refuse settings that are not those of the tables, or ask for parts that are not here."""
    p = weights.parameters
    heads, channels, width = p["query"].shape
    embed, position, unembed = weights.names
    hidden = len(p["up"]) if "up" in p else 0
    stated.agree(width, f"{embed} has width {width}", "d_model", "n_embd", "hidden_size")
    names = ("n_heads", "num_heads", "n_head", "num_attention_heads")
    stated.agree(heads, f"attention has {heads} heads", *names)
    stated.agree(channels, f"attention has {channels} channels a head", "d_head")
    stated.agree(
        weights.layers, f"the file has {weights.layers} blocks", "n_layers", "num_layers", "n_layer"
    )
    stated.agree(weights.positions, f"{position} has {weights.positions} positions", "n_ctx")
    stated.agree(weights.tokens, f"{embed} has {weights.tokens} tokens", "d_vocab", "vocab_size")
    if stated.get("d_vocab_out") != -1:
        stated.agree(weights.classes, f"{unembed} has {weights.classes} classes", "d_vocab_out")
    if hidden:
        stated.agree(hidden, f"the MLP has {hidden} neurons", "d_mlp")
    if bool(stated.get("attn_only")) == bool(hidden) and "attn_only" in stated:
        have = f"an MLP of {hidden} neurons" if hidden else "no MLP"
        raise MarginLensError(f"{stated.where('attn_only')}, but the file has {have}")
    if not hidden and "attn_only" not in stated:
        raise MarginLensError(
            "the file has no blocks.0.mlp tensors; expected an MLP, or attn_only = true in a "
            "config.json beside it"
        )
    for name, allowed in _ONLY.items():
        if name in stated and stated.get(name) not in allowed:
            raise MarginLensError(
                f"{stated.where(name)}, which is not evaluated here; expected {allowed[-1]!r}"
            )
    shared = stated.get("n_key_value_heads")
    if shared is not None and shared != heads:
        raise MarginLensError(
            f"{stated.where('n_key_value_heads')}, but attention has {heads} heads"
        )
    biases = [name for name in p if name.endswith("_bias") and "norm" not in name]
    if stated.get("use_bias") is False and any(bool(p[name].any()) for name in biases):
        raise MarginLensError(
            f"{stated.where('use_bias')}, but the file has biases that are not zero"
        )
    for name in ("tie_word_embeddings", "tied_embeddings", "tied"):
        same = weights.tokens == weights.classes and torch.equal(p["embed"], p["unembed"])
        if stated.get(name) and not same:
            raise MarginLensError(f"{stated.where(name)}, but {unembed} is not {embed}")


def _norms(choices: Choices, stated: Stated, weights: TransformerWeights, form: _Form) -> list[str]:
    """Layer norms that the network may have; several where the file leaves it open."""
    names = ("normalization_type", "use_ln", "layer_norm")
    gains = weights.norms
    said = next((name for name in names if name in stated), None)
    if choices.layer_norm is not None:
        if gains and choices.layer_norm == "none":
            raise MarginLensError(
                "--layer-norm none, but the file has gains of layer norm; expected pre"
            )
        return [choices.layer_norm]
    if said is None:
        if gains:
            return ["pre"] if "final_norm_bias" in weights.parameters else ["pre", "rms"]
        return ["none"] if form.without_norm or not weights.is_lens else ["none", "pre"]
    value = stated.get(said)
    kind = {
        None: "none",
        False: "none",
        "none": "none",
        True: "pre",
        "ln": "pre",
        "lnpre": "pre",
        "rms": "rms",
        "rmspre": "rms",
        "pre": "pre",
    }.get(value.lower() if isinstance(value, str) else value)
    if kind is None:
        raise MarginLensError(
            f"{stated.where(said)}, which is not evaluated here; expected None, LN, LNPre, RMS or RMSPre"
        )
    if gains and kind == "none":
        raise MarginLensError(f"{stated.where(said)}, but the file has gains of layer norm")
    without = isinstance(value, str) and value.lower().endswith("pre")
    if kind != "none" and gains == without:
        have = "has gains of layer norm" if gains else "has no gains of layer norm (ln1.w)"
        raise MarginLensError(f"{stated.where(said)}, but the file {have}")
    return [kind]


# ---------------------------------------------------------------- from tensors to a network


def _network(
    weights: TransformerWeights,
    order: int,
    equals: int | None,
    form: _Form,
    activation: str,
    norm: str,
    stated: Stated,
) -> Transformer:
    """Return the network on ``order`` elements, with the token of the equals sign."""
    p = dict(weights.parameters)
    table = p.pop("embed")
    sign = table[:0] if equals is None else table[equals : equals + 1]
    if form.separate:
        p |= {"embed_u": table[:order], "embed_v": table[order : 2 * order]}
        if equals is not None:
            p["equals"] = sign
    else:
        p = {"embed": torch.cat([table[:order], sign]), **p}
    p["unembed"] = p["unembed"][:order]
    if "unembed_bias" in p:
        p["unembed_bias"] = p["unembed_bias"][:order]
    heads, channels, width = p["query"].shape
    hidden = len(p["up"]) if "up" in p else 0
    scale = stated.get("attn_scale")
    scale = float(scale) if isinstance(scale, int | float) and scale > 0 else None
    if stated.get("use_attn_scale") is False:
        scale = 1.0
    sizes: dict[str, Any] = {
        "width": width,
        "heads": heads,
        "hidden": hidden,
        "activation": activation,
        "sequence": "ab" if equals is None else "ab=",
        "attention": form.attention,
        "layers": weights.layers,
    }
    parallel = bool(stated.get("parallel_attn_mlp"))
    ordinary = {
        "embed",
        "position",
        "query",
        "key",
        "value",
        "output",
        "up",
        "up_bias",
        "down",
        "down_bias",
        "unembed",
    }
    if (
        weights.layers == 1
        and norm == "none"
        and not parallel
        and hidden
        and activation not in SMOOTH_ACTIVATIONS
        and heads * channels == width
        and scale in (None, channels**0.5)
        and set(p) <= ordinary
    ):
        p.setdefault("up_bias", torch.zeros(hidden, dtype=torch.float64))
        p.setdefault("down_bias", torch.zeros(width, dtype=torch.float64))
        settings = TransformerSettings(**sizes)
        return Transformer({name: x[None].contiguous() for name, x in p.items()}, settings)
    epsilon = stated.get("eps", "layer_norm_eps")
    variant = VariantSettings(
        **sizes,
        layer_norm=norm,
        causal=form.causal,
        attention_scale=scale,
        parallel=parallel,
        epsilon=float(epsilon) if isinstance(epsilon, float) else EPSILON,
    )
    return TransformerVariant({name: x[None].contiguous() for name, x in p.items()}, variant)


def _elements(
    weights: TransformerWeights, stated: Stated, choices: Choices, form: _Form
) -> tuple[int, list[int | None]]:
    """Number of elements, and the tokens that may be the equals sign."""
    name, position, unembed = weights.names
    if weights.positions not in (2, 3):
        raise MarginLensError(
            f"{position} has {weights.positions} positions; expected 2 for (a, b) or 3 for (a, b, =)"
        )
    sign = weights.positions == 3
    tokens, classes = weights.tokens, weights.classes
    order, rest = divmod(tokens - sign, 1 + form.separate)
    parts = (
        f"{order} elements{' for each input' if form.separate else ''}{' and =' if sign else ''}"
    )
    if rest:
        raise MarginLensError(
            f"{name} has {tokens} tokens; expected twice the elements{' and =' if sign else ''}"
        )
    chosen = None if choices.group is None else task(choices.group)
    if chosen is None:
        stated.agree(order, f"{name} has {tokens} tokens, {parts}", "C", "p")
    size = order if chosen is None or chosen.kind != "table" else chosen.size
    last = tokens - 1
    if classes not in (order, tokens, size):
        raise MarginLensError(
            f"{unembed} has {classes} classes, but {name} has {tokens} tokens, {parts}; expected "
            f"{order} or {tokens} classes"
        )
    if size >= order or form.separate:
        return order, [last if sign else None]
    return size, [*range(size, tokens)] if sign else [None]


def _read(
    file: File,
    choices: Choices,
    stated: Stated,
    form: _Form,
    learned: Callable[[int], Task | None],
    *,
    others: frozenset[str] = frozenset(),
    notes: Sequence[str] = (),
    **kept: Any,
) -> Foreign:
    """Return the network and its task, from the file, the settings and the user.

    ``learned`` returns the task that the settings name for a number of elements, or ``None``.
    """
    weights = transformer_weights(file.tensors, stated, others=others)
    _check(stated, weights)
    activation = _activation(choices, stated)
    open_activation = choices.activation is None and not _says_activation(stated)
    if open_activation:
        notes = [*notes, f"activation {activation}, as in the project (else say --activation)"]
    norms = _norms(choices, stated, weights, form)
    order, signs = _elements(weights, stated, choices, form)
    named = None if choices.group is not None else learned(order)
    problem = task_of_order(order, choices) if named is None else named
    if weights.classes > order:
        notes = [*notes, _left_out(weights, order)]

    def made(sign: int | None, norm: str, on: Task, sigma: str = activation) -> Foreign:
        network = _network(weights, on.size, sign, form, sigma, norm, stated)
        return finished(form.name, network, on, file, notes=tuple(notes), **kept)

    if len(signs) > 1 or order < (weights.tokens - (signs[0] is not None)) // (1 + form.separate):
        return _of_fewer(weights, made, signs, norms, problem, file)
    candidates = [
        Candidate(f"layer norm {norm}", _settled(made(signs[0], norm, problem), choices, named))
        for norm in norms
    ]
    found = _by_norm(candidates, file)
    if open_activation and form.name != "chughtai":
        found = _by_activation(
            found, lambda sigma: _settled(made(signs[0], norms[0], problem, sigma), choices, named)
        )
    tried = form.name != "chughtai" and choices.group is None and signs[0] is not None
    if tried and accuracy(found.logits, found.task) < HALF:
        _refuse_more_signs(weights, made, norms, order, file)
    return found


def _settled(found: Foreign, choices: Choices, named: Task | None) -> Foreign:
    if found.form == "chughtai":  # has rules of its own for the order of elements
        return found
    return settled(found, choices, stated=named is not None)


def _left_out(weights: TransformerWeights, order: int) -> str:
    more = weights.classes - order
    if more == 1:
        return "the class of the equals sign, which is never right, is left out"
    return f"the last {more} classes of {weights.names[2]}, which are no elements, are left out"


def _by_norm(candidates: list[Candidate], file: File) -> Foreign:
    """Return the reading without layer norm, unless another clearly answers more."""
    best = max(candidates, key=lambda one: one.accuracy)
    first = candidates[0]
    if len(candidates) == 1 or best.accuracy < HALF or (best is first and best.accuracy >= _EVERY):
        return first.found
    if own_group(first.found.logits, "own") is not None:  # no network answers so by chance
        return first.found
    winner = clear_winner(candidates, "its layer norm", "--layer-norm pre", file.name)
    if winner is first:
        return winner.found
    if winner.accuracy < _ALMOST_ALL:
        raise MarginLensError(
            f"{file.name} does not say its layer norm, and no reading answers nearly all rows: "
            f"{shares(candidates)}; say it, for example --layer-norm pre, with --activation where it is "
            "another than relu"
        )
    words = f"{winner.words}, which clearly answers best: {shares(candidates)}"
    return replace(winner.found, notes=(*winner.found.notes, words))


def _says_activation(stated: Stated) -> bool:
    return stated.get("act_fn", "act_type") is not None


def _by_activation(found: Foreign, made: Callable[[str], Foreign]) -> Foreign:
    """Return the reading with the project's activation, unless another is clearly better."""
    first = accuracy(found.logits, found.task)
    if first >= HALF:
        return found
    others = [
        Candidate(f"activation {name}", made(name)) for name in ("gelu", "x^2", "tanh", "silu")
    ]
    ordered = sorted(others, key=lambda one: -one.accuracy)
    best, second = ordered[0], max(ordered[1].accuracy, first)
    if best.accuracy < HALF or best.accuracy - second < CLEAR:
        return found
    words = f"{best.words}, which clearly answers best: {shares(others)}, {first:.1%} with relu"
    kept = tuple(note for note in best.found.notes if not note.startswith("activation relu"))
    return replace(best.found, notes=(*kept, words))


def _of_fewer(
    weights: TransformerWeights,
    made: Callable[[int | None, str, Task], Foreign],
    signs: list[int | None],
    norms: list[str],
    problem: Task,
    file: File,
) -> Foreign:
    """Return the network on a group of the user's with fewer elements than tokens."""
    readings = {
        "no equals sign" if sign is None else f"token {sign} as =": [
            Candidate(f"layer norm {norm}", made(sign, norm, problem)) for norm in norms
        ]
        for sign in signs
    }
    candidates = [
        Candidate(words, max(by_norm, key=lambda one: one.accuracy).found)
        for words, by_norm in readings.items()
    ]
    best = max(candidates, key=lambda one: one.accuracy)
    if best.accuracy < _ALMOST_ALL:
        raise MarginLensError(
            f"{weights.names[0]} has {weights.tokens} tokens, but {problem.name} has {problem.size} "
            f"elements, of whose rows at most {best.accuracy:.1%} are answered; expected a group of "
            f"order {weights.tokens - (signs[0] is not None)}"
        )
    what = "the token of ="
    best = clear_winner(candidates, what, f"a file of {problem.size + 1} tokens", file.name)
    found = _by_norm(readings[best.words], file)
    words = f"of {weights.tokens} tokens the first {problem.size} are elements; {best.words}"
    return replace(found, notes=(*found.notes, words))


def _refuse_more_signs(
    weights: TransformerWeights,
    made: Callable[[int | None, str, Task], Foreign],
    norms: list[str],
    order: int,
    file: File,
) -> None:
    """Refuse a network that answers like one with more tokens that are not elements."""
    for fewer in range(order - 1, max(order - 3, 2), -1):
        smaller = task(f"C{fewer}")
        for sign in range(fewer, weights.tokens):
            found = made(sign, norms[0], smaller)
            right = accuracy(found.logits, smaller)
            if right >= _ALMOST_ALL:
                raise MarginLensError(
                    f"{weights.names[0]} of {file.name} has {weights.tokens} tokens, expected the "
                    f"elements and =; as C{fewer}, with token {sign} as =, it answers {right:.1%} of "
                    f"the rows: say --group C{fewer}"
                )


# ---------------------------------------------------------------- the projects


def _read_pizza(file: File, choices: Choices) -> Foreign:
    stated, notes = _pizza_or_told(file, choices)
    rate = choices.attention if choices.attention is not None else stated.get("attn_coeff")
    if rate is None:
        raise MarginLensError(
            f"the attention rate of {file.name} is in no config_*.json beside it; "
            "say it, e.g. --attention 0"
        )
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
        raise MarginLensError(f"attn_coeff is {rate!r}; expected a number from 0 to 1")
    form = _Form(
        "pizza",
        bool(stated.get("diff_vocab")),
        float(rate),
        causal=stated.get("attention_dir") == "causal",
        without_norm=True,
    )
    positions = file.tensors.get("pos_embed.W_pos", torch.empty(0))
    if stated.get("eqn_sign") is not None and bool(stated.get("eqn_sign")) != (len(positions) == 3):
        raise MarginLensError(
            f"{stated.where('eqn_sign')}, but pos_embed.W_pos has {len(positions)} positions; "
            "expected 3 with an equals sign, 2 without"
        )
    notes.append(f"attention rate {float(rate):g}")
    if choices.group is not None and stated.get("funcs") is not None:
        notes.append(f"the settings say {_shown(stated.get('funcs'))}; measured as {choices.group}")
    return _read(file, choices, stated, form, partial(_pizza_task, stated), notes=notes)


def _pizza_or_told(file: File, choices: Choices) -> tuple[Stated, list[str]]:
    """Return the settings, empty if they are unreadable and the user gives them all."""
    try:
        return _pizza_stated(file), []
    except ValueError as error:
        if choices.group is None or choices.attention is None:
            raise MarginLensError(f"{error}; or say --group and --attention") from None
        return Stated({}), [f"the settings are not read: {error}"]


def _shown(value: Any) -> str:
    words = repr(value)
    return words if len(words) <= 60 else f"{words[:57]}..."


def _pizza_task(stated: Stated, order: int) -> Task | None:
    """Return the operation in the settings, from a function's text or a name."""
    text = stated.get("funcs", default=stated.get("func"))
    if text is None:
        name = stated.get("name")
        if isinstance(name, str) and name.lower().startswith(("modadd", "add")):
            return task(f"C{order}")
        if not isinstance(name, str) or _OTHER_OPERATION.search(name.lower()) is None:
            return None
        raise MarginLensError(
            f"{stated.where('name')} and no funcs; name the operation, for example "
            f'--group "xy mod {order}"'
        )
    if not isinstance(text, str):
        raise MarginLensError(
            f"{stated.where('funcs', 'func')}; expected the text of a function, or name the operation "
            f'with --group "xy mod {order}"'
        )
    try:
        made = lambda_operation(text, order)
    except ValueError as error:
        raise MarginLensError(
            f'{error}; or name it, for example --group "xy mod {order}"'
        ) from None
    return task(f"C{order}") if made.is_product else operation_task(made)


def _read_nanda(file: File, choices: Choices) -> Foreign:
    stated = Stated.of(file)
    positions = file.tensors.get("pos_embed.W_pos", file.tensors.get("pos_embed.weight"))
    if positions is not None and len(positions) == 2:
        raise MarginLensError(
            f"pos_embed.W_pos of {file.name} has 2 positions; expected 3 for (a, b, =) in a nanda file; "
            "with 2 it may be --as pizza"
        )
    notes: list[str] = []
    function = stated.get("fn_name")
    if choices.group is not None and function is not None:
        notes.append(f"the file says it learned {_shown(function)}; measured as {choices.group}")
    causal = stated.get("attention_dir") != "bidirectional"
    found = _read(
        file,
        choices,
        stated,
        _Form("nanda", causal=causal),
        partial(_nanda_task, stated, file),
        notes=notes,
    )
    size = found.task.size
    if len(found.task.answers) != size * size:
        return found
    config = {name: value for name, (value, _) in stated.values.items()}
    train, words = trained_on(config, size * size, partial(_shuffled, size * size), "shuffled")
    stored = {
        name: float(torch.as_tensor(file.values[name]).detach())
        for name in ("train_loss", "test_loss")
        if isinstance(file.values.get(name), float) or _is_number(file.values.get(name))
    }
    return replace(found, train=train, stored=stored, notes=(*found.notes, *words))


def _nanda_task(stated: Stated, file: File, order: int) -> Task | None:
    """Return the operation of ``fn_name``, or ``None`` without one."""
    function = stated.get("fn_name")
    if function is None:
        return None
    words = function.strip() if isinstance(function, str) else ""
    formula = _FUNCTIONS.get(words.lower())
    if formula == "x+y":
        return task(f"C{order}")
    try:
        if words.startswith("lambda"):
            return operation_task(lambda_operation(words, order))
        if formula is not None or set("xy") <= set(words) <= set("xy0123456789^*+-/() "):
            return task(f"{formula or words} mod {order}")
    except ValueError:
        pass
    why = " (random answers, which the file does not hold)" if words == "rand" else ""
    raise MarginLensError(
        f"{file.name} learned {_shown(function)}{why}, not addition; name its group or operation, for "
        f'example --group "xy mod {order}"'
    )


def _shuffled(count: int, seed: int) -> list[int]:
    """Nanda et al.'s order: the pairs as they come, shuffled by Python's generator."""
    rows = list(range(count))
    random.Random(seed).shuffle(rows)
    return rows


def _is_number(value: object) -> bool:
    return isinstance(value, Tensor) and value.numel() == 1


def read_chughtai_transformer(file: File, choices: Choices) -> Foreign:
    """Read a transformer of Chughtai et al.; its answers determine the elements' order.

    Parameters
    ----------
    file
        File with cfg.json beside it.
    choices
        Choices of the user.

    Raises
    ------
    ValueError
        Its tables contradict cfg.json, or two inputs have different embeddings.
    """
    stated = Stated.of(file, "cfg.json")
    tensors = file.tensors
    for name in sorted(CHUGHTAI_EMBEDDINGS):
        if name in tensors and not torch.equal(tensors[name], tensors["embed.W_E"]):
            raise MarginLensError(
                f"{name} is not embed.W_E; expected one embedding for both inputs, as the authors have"
            )
    positions = tensors.get("pos_embed.W_pos")
    if positions is not None and len(positions) != 3:
        raise MarginLensError(
            f"pos_embed.W_pos has {len(positions)} positions; expected 3 for (a, b, =) in a "
            "transformer of Chughtai et al."
        )
    found = _read(
        file,
        choices,
        stated,
        _Form("chughtai", without_norm=True),
        lambda order: stated_group(stated, order),
        others=CHUGHTAI_EMBEDDINGS,
        stored=stored_numbers(file),
    )
    found = in_their_order(found, choices, stated="group" in stated)
    size = found.task.size
    config = {name: value for name, (value, _) in stated.values.items()}
    order = partial(permuted_rows, size * size)
    train, words = trained_on(config, size * size, order, "permuted")
    return replace(found, train=train, notes=(*found.notes, *words))


def permuted_rows(count: int, seed: int) -> list[int]:
    """Return row numbers in Chughtai et al.'s order, PyTorch's permutation of all pairs.

    Parameters
    ----------
    count
        Number of rows to permute.
    seed
        Seed of the permutation.
    """
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()


PIZZA = Format(
    "pizza",
    "transformer on (a, b) with an attention rate, and config_*.json beside it (Zhong et al. 2023)",
    LENS_MARKS,
    _read_pizza,
)
NANDA = Format(
    "nanda",
    "one-layer transformer on (a, b, =), also as TransformerLens stores it (Nanda et al. 2023)",
    LENS_MARKS,
    _read_nanda,
    (BRIDGE_MARKS,),
)
