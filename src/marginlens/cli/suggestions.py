"""Messages about unknown options and wrong arguments, with suggestions from other programs' names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from typer.exceptions import TyperException

__all__ = ["SPELLINGS", "shown_name", "usage_message"]

SPELLINGS: dict[str, tuple[str, ...]] = {
    "--learning-rate": ("lr", "eta", "step-length", "alpha"),
    "--weight-decay": ("wd", "decay"),
    "--strength": (
        "lambda",
        "lam",
        "lamda",
        "reg",
        "regularization",
        "penalty-strength",
        "l2",
        "coef",
    ),
    "--steps": (
        "epochs",
        "n-epochs",
        "num-epochs",
        "iterations",
        "iters",
        "n-iter",
        "max-steps",
        "max-iter",
        "n-steps",
        "num-steps",
        "train-steps",
        "total-steps",
    ),
    "--width": (
        "hidden-size",
        "hidden-dim",
        "hidden-width",
        "n-hidden",
        "n-neurons",
        "neurons",
        "units",
        "d-model",
        "dim",
        "d-hidden",
        "h",
        "m",
    ),
    "--hidden": ("d-mlp", "mlp-dim", "mlp-width", "d-ff", "ffn-dim", "d-hidden-mlp"),
    "--embedding": ("d-embed", "embed-dim", "embedding-dim", "d-emb", "emb-dim"),
    "--heads": ("n-heads", "num-heads", "n-head", "nhead", "attention-heads"),
    "--layers": ("n-layers", "num-layers", "n-layer", "depth", "blocks"),
    "--layer-norm": ("ln", "layernorm", "norm", "normalization"),
    "--attention": ("attention-rate", "attn", "attn-coeff", "attention-coefficient"),
    "--batch": ("batch-size", "bs", "minibatch", "mini-batch", "n-batch", "train-batch-size", "b"),
    "--out": (
        "output",
        "output-dir",
        "out-dir",
        "outdir",
        "save",
        "save-dir",
        "save-to",
        "save-path",
        "folder",
        "dir",
        "directory",
        "logdir",
        "log-dir",
        "results",
        "file",
        "o",
    ),
    "--device": ("gpu", "cuda", "accelerator", "use-cuda", "use-gpu"),
    "--seeds": (
        "n-seeds",
        "num-seeds",
        "n-members",
        "num-members",
        "ensemble",
        "runs",
        "n-runs",
        "replicates",
    ),
    "--seed": ("random-seed", "rng", "random-state", "s"),
    "--optimizer": ("optim", "opt", "optimiser"),
    "--schedule": ("scheduler", "lr-schedule", "lr-scheduler", "sched"),
    "--warmup": ("warmup-steps", "n-warmup", "num-warmup-steps", "lr-warmup"),
    "--step-size": ("gradient-scaling", "grad-scaling", "normalize-gradient", "clip"),
    "--activation": ("act", "act-fn", "nonlinearity", "act-type", "sigma"),
    "--loss": ("criterion", "loss-function", "loss-fn", "objective"),
    "--penalty": ("regularizer", "regulariser", "penalty-type", "reg-type"),
    "--network": ("model", "arch", "architecture", "net"),
    "--train-fraction": (
        "frac-train",
        "train-frac",
        "train-split",
        "split",
        "train-ratio",
        "fraction",
        "training-fraction",
        "frac",
        "train-share",
        "train-pct",
    ),
    "--corrupt": ("label-noise", "noise", "corruption", "wrong-labels"),
    "--split-seed": ("data-seed", "split-rng"),
    "--dtype": ("precision", "float", "double", "float-type"),
    "--init-scale": ("init", "init-std", "scale", "initialization"),
    "--beta1": ("b1", "betas", "adam-beta1", "beta-1"),
    "--beta2": ("b2", "adam-beta2", "beta-2"),
    "--tied": ("tie", "tied-embeddings", "tie-weights", "shared-embedding"),
    "--biases": ("bias", "use-bias", "with-bias"),
    "--no-biases": ("no-bias", "nobias", "without-bias"),
    "--memory": ("max-memory", "mem", "memory-limit", "ram"),
    "--track": ("tracker", "logger", "wandb", "tensorboard", "mlflow", "report-to", "log-to"),
    "--record-every": (
        "log-every",
        "log-interval",
        "eval-every",
        "log-freq",
        "eval-interval",
        "logging-steps",
    ),
    "--checkpoint-every": (
        "save-every",
        "save-interval",
        "checkpoint-interval",
        "save-steps",
        "checkpoint-freq",
    ),
    "--snapshots": ("n-snapshots", "num-snapshots", "checkpoints"),
    "--resume": (
        "continue",
        "from-checkpoint",
        "load",
        "restart",
        "resume-from",
        "checkpoint",
        "r",
    ),
    "--overwrite": ("force", "clobber", "replace", "f"),
    "--tolerance": ("tol", "rtol", "eps", "threshold"),
    "--stop-share": ("stop", "stop-at", "target", "target-margin"),
    "--patience": ("early-stopping", "early-stop"),
    "--dry-run": ("dryrun", "n", "simulate", "no-train", "print-recipe", "show-config", "what-if"),
    "--json": ("as-json", "format-json", "output-json", "machine", "j"),
    "--csv": ("as-csv", "to-csv"),
    "--workers": ("jobs", "n-jobs", "n-workers", "num-workers", "processes", "threads", "procs"),
    "--scheduler": ("dask", "address", "cluster"),
    "--figure": ("plot", "fig", "picture", "image"),
    "--max-order": ("order", "max-n", "n-max", "up-to"),
    "--group": ("task", "operation", "table"),
    "--as": ("format", "kind", "type", "as-format"),
    "--port": ("p",),
    "--yes": ("y", "confirm", "assume-yes"),
    "--version": ("v", "V"),
    "--help": ("h", "?", "usage"),
}
"""Names, without dashes, that other programs use for each option."""


def usage_message(error: BaseException, arguments: Sequence[str] = ()) -> str:
    """Write one line about arguments that cannot be parsed; empty for other errors.

    Parameters
    ----------
    error
        Exception that ended the command.
    arguments
        Arguments of the command line, to quote the refused value.
    """
    if not isinstance(error, TyperException) or type(error).__name__ == "NoArgsIsHelpError":
        return ""
    context = getattr(error, "ctx", None)
    command = getattr(context, "command_path", None) or "marginlens"
    unknown = getattr(error, "option_name", None)
    if unknown and context and type(error).__name__ == "NoSuchOption":
        unknown = _as_written(str(unknown), arguments)
        parameters = context.command.params
        known = [name for one in parameters for name in (*one.opts, *one.secondary_opts)]
        ours = suggestion(unknown, known)
        said = f"no such option {unknown}" + (f"; did you mean {ours}?" if ours else "")
    else:
        said = " ".join(str(error.format_message()).split()).rstrip(".") or "wrong arguments"
        said = _expected(error, arguments) or _missing(error, context) or said[0].lower() + said[1:]
        said = said.replace(". Did you", "; did you")
        for word in ("help", "version"):
            if said.startswith(f"no such command {word!r}"):
                return f"no such command {word!r}; did you mean {command} --{word}?"
    return f"{said} See {command} --help" if said.endswith("?") else f"{said}; see {command} --help"


def _missing(error: BaseException, context: Any) -> str:
    """Message about a missing argument, with the first example of the command; or empty."""
    parameter = getattr(error, "param", None)
    if type(error).__name__ != "MissingParameter" or parameter is None or context is None:
        return ""
    example = _first_example(context)
    return f"expected {shown_name(parameter)}" + (f"; for example {example}" if example else "")


def _first_example(context: Any) -> str:
    """First command line in the help page of a command, or empty."""
    lines = str(context.command.epilog or "").replace(" \\\n     ", "")
    example = re.search(r"^  (marginlens .*)", lines, re.MULTILINE)
    return example[1] if example else ""


def _as_written(unknown: str, arguments: Sequence[str]) -> str:
    """Unknown option as it was written; the parser reports only -l of -lr."""
    if unknown.startswith("--"):
        return unknown
    for word in arguments:
        if word.startswith("-") and not word.startswith("--") and unknown[-1] in word[1:]:
            return word.partition("=")[0]
    return unknown


def _expected(error: BaseException, arguments: Sequence[str]) -> str:
    """Message about a value of a wrong type or range; empty for other errors."""
    details = getattr(error.__cause__, "errors", None)
    parameter = getattr(error, "param", None)
    if not callable(details) or parameter is None:
        return ""
    first: Any = details()[0]  # pyright: ignore[reportIndexIssue]
    said = str(first["msg"]).removeprefix("Input should be ")
    names = [word.partition("=")[0] for word in arguments]
    name = next((one for one in parameter.opts if one in names), shown_name(parameter))
    got = f"got {first['input']!r}"
    example = f"for example {name} " if name.startswith("-") else "for example "
    kind = str(first["type"])
    if kind.startswith("int_"):
        usual = "" if name.startswith("-") else _first_example(getattr(error, "ctx", None))
        return f"{name} expected a whole number, {got}; {example}{usual or 1000}"
    if kind.startswith("float_"):
        return f"{name} expected a number, {got}; {example}0.001"
    if kind.startswith(("greater", "less")):
        said = f"a number {said}"
    return f"{name} expected {said}, {got}"


def shown_name(parameter: Any) -> str:
    """Name of an option or argument as its help page shows it.

    Parameters
    ----------
    parameter
        Option or argument of a command.
    """
    name = str(parameter.opts[-1])
    return name if name.startswith("-") else str(parameter.metavar or name.upper())


def suggestion(unknown: str, known: list[str]) -> str | None:
    """Find the option that an unknown one stands for; only if one resembles it.

    Parameters
    ----------
    unknown
        Option as it was written, such as ``--lr`` or ``--weight_decay``.
    known
        Options of the command, such as ``--learning-rate``.

    Examples
    --------
    >>> suggestion("--lr", ["--learning-rate", "--layers"])
    '--learning-rate'
    >>> suggestion("--weight_decay", ["--weight-decay"]), suggestion("--qqq", ["--width"])
    ('--weight-decay', None)
    """
    word = unknown.lstrip("-").partition("=")[0].replace("_", "-")
    options = {name.lstrip("-"): name for name in known if name.startswith("--")}
    for plain in (word, word.lower()):
        if plain in options:
            return options[plain]
        for ours, others in SPELLINGS.items():
            if plain in others and ours in options.values():
                return ours
    pool = dict(options)
    for ours, others in SPELLINGS.items():
        if ours in options.values():
            pool |= {other: ours for other in others if len(other) > 2}
    close = get_close_matches(word.lower(), pool, n=1, cutoff=0.7)
    return pool[close[0]] if close else None
