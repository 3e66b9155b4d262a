"""Compiled full-batch steps of whole ensembles of small MLPs.

A step of a tiny network is too little work for one PyTorch operator, so that a loop over seeds, or
over the operators of an ensemble, spends its time between operators. Here all of it (forward,
backward, penalty, optimizer, any number of steps) is one call of a kernel in C++, compiled for the
sizes at hand. As many members as a SIMD register has lanes form a block, which takes all its steps
before the next block starts: its weights and activations never leave the nearest caches, and
threads, one block each, never wait for each other.

Measured on one core with AVX2, float32, x^2, Adam, in microseconds for one step of the
whole ensemble (medians on a shared machine, the kernel's at 100 steps a call;
``benchmarks/seeds.py``, but for a prototype with ``torch.compile`` that is not kept):

==========================================  ========  ========  ======================
what                                        C5, 100   S3, 100   C23, 16 of width 128
==========================================  ========  ========  ======================
plain loop over seeds                       70,500    70,800    19,800
``MLPEvaluator`` and fused Adam               1,160     1,220     5,700
torch.compile, seeds last, 4 steps a call   105-125   –         –
this kernel                                 38        60        3,800
==========================================  ========  ========  ======================

``torch.compile`` also needs 9 seconds to compile one step and 17 for four; g++ needs 2 for any
number.
A call adds the metrics and its own overhead, some .1 to .2 ms for 100 members of width 8: at 10
steps
a call, a step takes 50 to 75 us on C5. Two threads took C23 to 2,400.
"""

from __future__ import annotations

import copy
import ctypes
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from marginlens.kernels.build import build, compiler
from marginlens.kernels.patience import QUANTITIES, Patience, initial_quantities
from marginlens.tasks import Task
from marginlens.theory import Activation, Penalty

__all__ = [
    "COMPILE_SECONDS",
    "EnsembleSteps",
    "Metrics",
    "compiler",
    "kernel_seconds",
    "worth_compiling",
]

_SOURCE = Path(__file__).with_name("ensemble_steps.cpp")
_BETAS = (0.9, 0.999)
_OPTIMIZERS = ("adam", "neuronwise-adam", "sgd")
_WORTH_THREADS = 1e-3  # seconds of one core's work
COMPILE_SECONDS = 2.5
_REALS = {torch.float32: "float", torch.float64: "double"}
_LANES = {"AVX512": 16, "AVX2": 8}  # of float32


@dataclass(frozen=True, eq=False)
class Metrics:
    """The last state, one number a member, all in float64.

    Attributes
    ----------
    cross_entropy, accuracy, margin
        As in ``Evaluation``: means, and the least lead of the right logit, over the rows trained
        on.
    norm
        sum_i ||omega_i||^nu, by which a margin is normalized.
    penalty
        Factor of the strength: sum_i ||omega_i||^nu, or ||theta||^2. The loss is cross_entropy +
        strength * penalty.
    """

    cross_entropy: Float[Tensor, " member"]
    accuracy: Float[Tensor, " member"]
    margin: Float[Tensor, " member"]
    norm: Float[Tensor, " member"]
    penalty: Float[Tensor, " member"]


class EnsembleSteps:
    """Full-batch steps on mean cross-entropy + penalty, for all members at once, on the CPU.

    The arithmetic is that of ``MLPEvaluator`` and ``torch.optim.Adam`` (or SGD), in another order:
    after
    1,000 steps in float64 the weights agree to 1e-9. A member's weights do not depend on the
    others.

    Parameters
    ----------
    task, activation, penalty
        Task, activation and penalty of the objective; each step receives the penalty's strength.
    optimizer
        ``"adam"``, with eps 1e-8, ``"neuronwise-adam"``, or ``"sgd"``.
    parameters
        As in ``MLP``: one for each slot, (member, element, neuron), and ``"w"`` (member, class,
        neuron), in float32 or float64. They are copied; ``unload`` gives them back.
    state
        Adam's moments for each parameter, as ``torch.optim.Adam`` keeps them: ``"exp_avg"``,
        ``"exp_avg_sq"`` and, if steps were taken before, their number ``"step"``; neuron-wise the
        last
        two under ``"neuron"``. Empty at the start.
    rows
        Indices of the rows to train on; all of them by default.
    patience
        Members that have converged by it are held where they are from then on.
    convergence
        Result of an earlier call of :meth:`convergence` to continue from.
    betas
        Decay rates beta_1 and beta_2 of Adam's moments.

    Attributes
    ----------
    members
        Number of networks.
    compile_seconds
        Time the compiler took; 0 if these sizes were compiled before, by any process.

    Raises
    ------
    ValueError
        The parameters are not those of a network of the task, in one precision, on the CPU, or the
        optimizer is unknown.
    RuntimeError
        A C++ compiler is missing, or it fails.

    Examples
    --------
    >>> from marginlens.networks import MLP
    >>> from marginlens.tasks import task
    >>> from marginlens.theory import Penalty, parse_activation
    >>> c5, square = task("C5"), parse_activation("x^2")
    >>> start = MLP.initial(c5, square, width=8, members=100)
    >>> steps = EnsembleSteps(c5, square, Penalty(), "adam", start.tensors, {})
    >>> metrics = steps.advance([0.01] * 1000, [1e-4] * 1000)
    >>> bool(metrics.accuracy.mean() > 0.9)
    True
    """

    def __init__(
        self,
        task: Task,
        activation: Activation,
        penalty: Penalty,
        optimizer: str,
        parameters: Mapping[str, Tensor],
        state: Mapping[str, Mapping[str, Tensor]],
        rows: Sequence[int] | np.ndarray | None = None,
        *,
        patience: Patience | None = None,
        convergence: Mapping[str, Tensor] | None = None,
        betas: tuple[float, float] = _BETAS,
    ) -> None:
        task.require_rows()
        if optimizer not in _OPTIMIZERS:
            known = ", ".join(map(repr, _OPTIMIZERS))
            raise ValueError(f"optimizer must be one of {known}, got {optimizer!r}")
        chosen = np.arange(len(task.answers)) if rows is None else np.asarray(rows, dtype=np.int64)
        if not len(chosen) or chosen.min() < 0 or chosen.max() >= len(task.answers):
            raise ValueError(
                f"rows must be indices from 0 to {len(task.answers) - 1}, at least one, "
                f"such as range({len(task.answers)})"
            )
        self._names = (*task.slots, "w")
        self._counts = [task.size] * task.factors + [task.classes]
        w = parameters.get("w")
        shapes = {n: tuple(p.shape) for n, p in parameters.items()}
        members, width = (0, 0) if w is None else (w.shape[0], w.shape[-1])
        wanted = {n: (members, c, width) for n, c in zip(self._names, self._counts, strict=True)}
        if w is None or shapes != wanted:
            raise ValueError(
                f"parameters have shapes {shapes}, but {task.name} needs (member, count, neuron) with "
                f"counts {dict(zip(self._names, self._counts, strict=True))}"
            )
        kinds = {(p.dtype, p.device.type) for p in parameters.values()}
        if len(kinds) > 1 or w.dtype not in _REALS or w.device.type != "cpu":
            got = ", ".join(sorted(f"{dtype} on {device}" for dtype, device in kinds))
            raise ValueError(
                f"parameters must all be torch.float32, or all torch.float64, on cpu, got {got}"
            )
        self.members, self._width, self._dtype = members, width, w.dtype
        self._adam = optimizer != "sgd"
        self._neuronwise, self._betas = optimizer == "neuronwise-adam", betas
        power = activation.homogeneity if penalty.norm == "homogeneous" else 2
        signs = task.kind == "parity"
        self._library, self.compile_seconds = build(
            _SOURCE,
            {
                "REAL": _REALS[w.dtype],
                "ROWS": len(chosen),
                "SLOTS": task.factors,
                "SIGNS": int(signs),
                "SIZE": task.size,
                "CLASSES": task.classes,
                "WIDTH": width,
                "DEGREE": activation.degree,
                "NEGATIVE": activation.at_minus_one,
                "POWER": int(activation.is_power),
                "PENALTY": power,
                "ADAM": int(optimizer == "adam"),
                "NEURONWISE": int(self._neuronwise),
                "BETA1": betas[0],
                "BETA2": betas[1],
                "PATIENCE": int(patience is not None),
            },
        )
        self._lanes = self._library.lanes()
        self._blocks = -(-members // self._lanes)
        self._patience = patience
        self._still = None
        if patience is not None:
            remembered = convergence or initial_quantities(members)
            parts = torch.stack([remembered[name].double() for name in QUANTITIES])
            filled = torch.cat([parts, parts[:, :1].expand(-1, self._missing)], dim=1)
            self._still = (
                filled.unflatten(1, (self._blocks, self._lanes)).transpose(0, 1).contiguous()
            )
        inputs = torch.as_tensor(task.inputs[chosen])
        slots = torch.arange(task.factors) * task.size
        self._inputs = None if signs else (inputs + slots).to(torch.int32).contiguous()
        self._signs = inputs.to(w.dtype).contiguous() if signs else None
        self._answers = torch.as_tensor(task.answers[chosen]).to(torch.int32).contiguous()
        self._weights = self._pack(parameters)
        moments = ("exp_avg", "exp_avg_sq")[: 0 if not self._adam else 1 if self._neuronwise else 2]
        self._moments = {
            key: self._pack({n: state[n][key] for n in self._names})
            if state
            else torch.zeros_like(self._weights)
            for key in moments
        }
        if self._neuronwise:
            squares = state["neuron"]["exp_avg_sq"] if state else w.new_zeros(members, width)
            self._moments["exp_avg_sq"] = self._packed(squares.to(w.dtype).unsqueeze(1))
        counted = "neuron" if self._neuronwise else "w"
        self._step = int(state[counted].get("step", 0)) if self._adam and state else 0
        self._seconds = kernel_seconds(task, self._blocks * self._lanes, width, len(chosen))

    def advance(
        self,
        rates: Sequence[float],
        strengths: Sequence[float],
        *,
        first: int = 0,
        after: float = 0.0,
    ) -> Metrics:
        """Take one step for each learning rate and strength; metrics of the state after the last.

        Without any, only the metrics are computed. With patience, ``first`` is the number of steps taken
        before, and ``after`` the strength of the penalty after the last.

        Raises
        ------
        ValueError
            If there are not as many strengths as rates.
        """
        if len(rates) != len(strengths):
            raise ValueError(
                f"got {len(rates)} rates and {len(strengths)} strengths; pass one of each a step"
            )
        begin = 0 if self._patience is None else self._patience.start
        schedule = torch.tensor(
            [
                *(
                    (*self._scalars(*pair), step >= begin)
                    for step, pair in enumerate(zip(rates, strengths, strict=True), start=first)
                ),
                (0.0, 1.0, after, first + len(rates) >= begin),
            ],
            dtype=torch.float64,
        )
        metrics = torch.empty(self._blocks, 5, self._lanes, dtype=torch.float64)
        self._library.advance(
            *(_address(x) for x in (self._weights, *self._both())),
            *(_address(x) for x in (self._inputs, self._signs, self._answers, schedule, metrics)),
            _address(self._still),
            ctypes.c_double(0.0 if self._patience is None else self._patience.tolerance),
            ctypes.c_int64(0 if self._patience is None else self._patience.steps),
            ctypes.c_int64(first),
            ctypes.c_int64(self._blocks),
            ctypes.c_int64(len(rates)),
            ctypes.c_int64(self._threads(len(rates))),
        )
        return Metrics(*metrics.transpose(0, 1).flatten(1)[:, : self.members])

    def convergence(self) -> dict[str, Float[Tensor, " member"]]:
        """Return the convergence quantities of each member; empty without patience."""
        if self._still is None:
            return {}
        whole = self._still.transpose(0, 1).flatten(1)[:, : self.members]
        return {name: row.clone() for name, row in zip(QUANTITIES, whole, strict=True)}

    def unload(self) -> tuple[dict[str, Tensor], dict[str, dict[str, Tensor]]]:
        """Parameters and the optimizer's state, member first, as they were passed in; copies."""
        state: dict[str, dict[str, Tensor]] = {name: {} for name in self._names}
        for key, packed in self._moments.items():
            if self._neuronwise and key == "exp_avg_sq":
                squares = self._unpacked(packed).squeeze(1).double().contiguous()
                state["neuron"] = {key: squares}
                continue
            for name, value in self._unpack(packed).items():
                state[name][key] = value
        counted = [state["neuron"]] if self._neuronwise else state.values()
        for of in counted if self._adam else ():
            of["step"] = torch.tensor(float(self._step))
        return self._unpack(self._weights), state if self._adam else {}

    def copy(self) -> EnsembleSteps:
        """Another one in the same state, which later steps of this one do not change."""
        other = copy.copy(self)
        other._weights = self._weights.clone()
        other._still = None if self._still is None else self._still.clone()
        other._moments = {key: value.clone() for key, value in self._moments.items()}
        return other

    @property
    def _missing(self) -> int:
        """Lanes of the last block without a member."""
        return self._blocks * self._lanes - self.members

    def _scalars(self, rate: float, strength: float) -> tuple[float, float, float]:
        """Of the next step: rate / (1 - beta_1^t), sqrt(1 - beta_2^t), strength."""
        if not self._adam:
            return rate, 1.0, strength
        self._step += 1
        first, second = (1 - beta**self._step for beta in self._betas)
        return rate / first, math.sqrt(second), strength

    def _both(self) -> tuple[Tensor | None, Tensor | None]:
        return self._moments.get("exp_avg"), self._moments.get("exp_avg_sq")

    def _threads(self, steps: int) -> int:
        """One for each block as far as PyTorch may use threads, and one where little is to do."""
        if self._seconds * (steps + 1) < _WORTH_THREADS:
            return 1
        return min(self._blocks, torch.get_num_threads())

    def _pack(self, parameters: Mapping[str, Tensor]) -> Float[Tensor, "block vector neuron lane"]:
        """Members last, a register at a time; the last block is filled up with copies of member 0."""
        whole = torch.cat(
            [parameters[name].detach().to(self._dtype) for name in self._names], dim=1
        )
        return self._packed(whole)

    def _packed(
        self, whole: Float[Tensor, "member vector neuron"]
    ) -> Float[Tensor, "block vector neuron lane"]:
        whole = torch.cat([whole, whole[:1].expand(self._missing, -1, -1)])
        return whole.unflatten(0, (self._blocks, self._lanes)).permute(0, 2, 3, 1).contiguous()

    def _unpack(self, packed: Float[Tensor, "block vector neuron lane"]) -> dict[str, Tensor]:
        whole = self._unpacked(packed)
        kept = torch.contiguous_format
        parts = [p.clone(memory_format=kept) for p in whole.split(self._counts, dim=1)]
        return dict(zip(self._names, parts, strict=True))

    def _unpacked(
        self, packed: Float[Tensor, "block vector neuron lane"]
    ) -> Float[Tensor, "member vector neuron"]:
        return packed.permute(0, 3, 1, 2).flatten(0, 1)[: self.members]


def _address(values: Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if values is None else values.data_ptr())


def _multiply_adds(task: Task, width: int, rows: int) -> int:
    return 3 * rows * width * task.classes


def kernel_seconds(task: Task, members: int, width: int, rows: int) -> float:
    """Return the estimated seconds of a step of whole blocks on one core.

    .05 ns a multiply-add and .68 ns for each logit and each weight: 33 us for C5 and 53 us for S3
    at
    104 members of width 8, 4.0 ms for C23 at 16 members of width 128.
    """
    weights = (task.factors * task.size + task.classes) * width
    one = 0.05e-9 * _multiply_adds(task, width, rows) + 0.68e-9 * (rows * task.classes + weights)
    return members * one


def worth_compiling(task: Task, members: int, width: int, steps: int) -> bool:
    """Return whether compiled steps are expected to save more time than compiling takes.

    An estimate from measurements on one core with AVX2, in float32: compiling takes 2.5 s, a
    compiled step the result of ``kernel_seconds`` (for whole registers of members), and the other
    way, ``MLPEvaluator`` with fused Adam, .6 ms for its operators and .06 ns a multiply-add. So it
    is no for one large network, whose products are as fast in a library and fill no lanes, and yes
    for a hundred tiny ones from some 4,500 steps on. Kernels that were compiled before cost no
    time; that and the presence of a compiler are not considered.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> [worth_compiling(task("C5"), 100, 8, steps) for steps in (100, 10_000)]
    [False, True]
    >>> worth_compiling(task("C71"), 1, 500, 100_000)
    False
    """
    if not task.is_listed:
        return False
    lanes = _LANES.get(torch.backends.cpu.get_cpu_capability(), 4)
    rows = len(task.answers)
    eager = 0.6e-3 + 0.06e-9 * members * _multiply_adds(task, width, rows)
    compiled = kernel_seconds(task, -(-members // lanes) * lanes, width, rows)
    return steps * (eager - compiled) > COMPILE_SECONDS
