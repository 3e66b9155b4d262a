"""Compiled passes between a step's matrix products: one memory walk for each.

PyTorch does them operator by operator, each through memory of its own, which costs as much as the
products do where few classes or neurons meet many rows. The kernels in ``passes.cpp`` are compiled
by the installed C++ compiler (2.5 s, once for a machine and all sizes) and share PyTorch's threads.
Results are the same, bit by bit, at each call with the same number of threads; PyTorch's operators
round otherwise, so that nothing is compiled unless a training asks for it
(:func:`compiled_passes`). Without a compiler, or on a GPU, it is PyTorch's operators in any case.
"""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from marginlens.kernels.build import build, compiler
from marginlens.theory import Activation

__all__ = [
    "EmbeddedRows",
    "add_penalty",
    "can_activate",
    "compiled_passes",
    "cross_entropy",
    "is_compiled_for",
    "neuronwise_adam",
    "to_sphere",
    "to_tangent",
]

_SOURCE = Path(__file__).with_name("passes.cpp")
_NAMES = {torch.float32: "float", torch.float64: "double"}
_MOST_SLOTS = 8  # of passes.cpp
_WORTH_THREADS = 1 << 14
"""Numbers a pass has to walk through before a second thread is worth waking."""


_active = False
_seconds = 0.0


@contextmanager
def compiled_passes(wanted: bool = True) -> Iterator[float]:
    """Use the kernels inside the context; yield the seconds that compiling took."""
    global _active
    before, compiled = _active, _seconds
    _active = wanted and _library() is not None
    try:
        yield _seconds - compiled
    finally:
        _active = before


def is_compiled_for(*tensors: Tensor) -> bool:
    """Return whether kernels are enabled and the tensors contiguous, on the CPU, of one dtype."""
    if not _active:
        return False
    dtypes = {x.dtype for x in tensors}
    on_cpu = all(x.device.type == "cpu" and x.is_contiguous() for x in tensors)
    return on_cpu and len(dtypes) == 1 and dtypes < set(_NAMES)


def can_activate(activation: Activation) -> bool:
    """Return whether the kernels support an activation: |x|^k with k from 1 to 4."""
    linear = activation.is_power and activation.degree == 1
    return activation.degree in (1, 2, 3, 4) and not (activation.is_own or linear)


@cache
def _library() -> ctypes.CDLL | None:
    """Return the compiled kernels, or ``None`` with a warning if compilation fails."""
    global _seconds
    if compiler() is None:
        return None
    problem: Exception | None = None
    for flags in (("-fopenmp",), ()):  # without OpenMP each pass runs in one thread
        try:
            library, took = build(_SOURCE, {}, flags=flags)
        except (RuntimeError, OSError) as error:
            problem = error
            continue
        _seconds += took
        pointer, number, real = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double
        short = ctypes.c_int
        kinds = {
            "cross_entropy": [pointer] * 4 + [number] * 6 + [real, short],
            "step": [pointer] * 10 + [number] * 6 + [short, real, real, short],
            "soft_margin": [pointer] * 11 + [number] * 6 + [short, real, real, short, short],
            "to_tangent": [pointer] * 5 + [number] * 3 + [real, pointer],
            "to_sphere": [pointer] * 3 + [number] * 3 + [real],
            "penalty": [pointer] * 4 + [number] * 3 + [real] * 3 + [pointer, short],
            "neuronwise_adam": [pointer] * 6 + [number] * 3 + [real] * 4 + [short],
        }
        for name, arguments in kinds.items():
            for suffix in _NAMES.values():
                function = getattr(library, f"{name}_{suffix}")
                function.argtypes, function.restype = arguments, None
        return library
    warnings.warn(f"training goes on without compiled passes: {problem}", stacklevel=2)
    return None


def _call(name: str, dtype: torch.dtype, *arguments: object) -> None:
    getattr(_library(), f"{name}_{_NAMES[dtype]}")(*arguments)


def _threads(numbers: int) -> int:
    return torch.get_num_threads() if numbers >= _WORTH_THREADS else 1


def _pointers(tensors: Sequence[Tensor]) -> ctypes.Array:
    return (ctypes.c_void_p * len(tensors))(*[x.data_ptr() for x in tensors])


def cross_entropy(
    logits: Float[Tensor, "member class row"],
    answers: Int64[Tensor, " row"],
    weights: float | Float[Tensor, " row"],
    results: Float64[Tensor, "member 3"],
) -> None:
    """``cross_entropy_`` in one pass, summed over rows.

    Parameters
    ----------
    logits
        Overwritten by the gradient of the weighted sum of losses; in any layout.
    answers
        The right class of each row.
    weights
        Of each row in that sum, or of every.
    results
        To its first two columns the sums of losses and of rows answered rightly are added, weighted
        where each row has a weight; its third becomes the smaller of itself and the least margin.

    Examples
    --------
    >>> logits, results = torch.tensor([[[20.0], [0.0]]]), torch.zeros(1, 3, dtype=torch.float64)
    >>> if is_compiled_for(logits):
    ...     cross_entropy(logits, torch.tensor([0]), 1.0, results)
    """
    members, classes, rows = logits.shape
    each = weights.data_ptr() if isinstance(weights, Tensor) else None
    _call(
        "cross_entropy",
        logits.dtype,
        logits.data_ptr(),
        answers.data_ptr(),
        each,
        results.data_ptr(),
        members,
        classes,
        rows,
        *logits.stride(),
        weights if each is None else 0.0,
        _threads(logits.numel()),
    )


class EmbeddedRows:
    """Rows whose hidden layer is sigma of a sum of embeddings, one from each slot's table.

    A step is one call: each thread takes its share of the rows, block by block, through all passes
    and
    through PyTorch's own matrix products, and its sums are added to the others'.

    Parameters
    ----------
    inputs, answers
        Elements of each row, and its right class.
    weights
        Of each row in the mean; ``None`` where all have the same.
    names
        The parameter that each slot looks up; slots may share one.
    activation
        Activation sigma of the hidden layer.
    memory
        Bytes of hidden activations held at a time.

    Attributes
    ----------
    activation
        Activation sigma of the hidden layer.
    """

    def __init__(
        self,
        inputs: Int64[Tensor, "row slot"],
        answers: Int64[Tensor, " row"],
        weights: Float[Tensor, " row"] | None,
        names: Sequence[str],
        activation: Activation,
        memory: int,
    ) -> None:
        self.names = tuple(names)
        # The kernel reads these as long as this object lives.
        self._columns = list(inputs.T.to(torch.int32).contiguous())
        self._index = _pointers(self._columns)
        self._answers, self._weights, self._rows = answers.contiguous(), weights, len(answers)
        self._sigma = int(activation.degree), float(activation.at_minus_one)
        self._memory = memory
        self._scratch = torch.empty(0)

    def takes(self, *tensors: Tensor) -> bool:
        """Return whether these can be parameters and gradients of a step."""
        fits = self._rows > 0 and len(self.names) <= _MOST_SLOTS
        return fits and is_compiled_for(*tensors) and _product(tensors[0].dtype) is not None

    def __call__(
        self,
        parameters: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor] | None,
        results: Float64[Tensor, "member 3"],
    ) -> None:
        """Overwrite ``gradients``, if given; add to ``results`` as :func:`cross_entropy` does."""
        w = parameters["w"]
        sizes, threads = self._layout(parameters)
        each = None if self._weights is None else self._weights.data_ptr()
        for i in range(len(w)):
            _call(
                "step",
                w.dtype,
                *self._of_member(parameters, gradients, i),
                each,
                results[i].data_ptr(),
                self._scratch.data_ptr(),
                *sizes,
                *self._sigma,
                1 / self._rows,
                threads,
            )

    def soft_margin(
        self,
        parameters: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor] | None,
        sharpness: Float64[Tensor, " member"],
        multiplicity: Float[Tensor, " row"] | None,
        adversary: Float64[Tensor, "member answer class"] | None,
        *,
        squares: bool,
    ) -> Float64[Tensor, "member 4"]:
        """Sums of exp(-beta margin) over rows and wrong classes, in units of exp(reference).

        Parameters
        ----------
        parameters
            Parameters by name, stacked over members.
        gradients
            Overwritten by those of the sum divided by beta, in the same units; ``None`` for none.
        sharpness
            beta of each member.
        multiplicity
            Logarithm of how often each row counts; ``None`` where each counts once.
        adversary
            To which the terms are added by (asked answer, wrong class); ``None`` for none.
        squares
            Whether the squared margins are summed.

        Returns
        -------
        Tensor
            reference, sum, least margin, and sum of the squared margins, of each member.
        """
        w = parameters["w"]
        results = torch.zeros(len(w), 4, dtype=torch.float64)
        sizes, threads = self._layout(parameters)
        more = None if multiplicity is None else multiplicity.data_ptr()
        for i, beta in enumerate(sharpness.tolist()):
            _call(
                "soft_margin",
                w.dtype,
                *self._of_member(parameters, gradients, i),
                more,
                results[i].data_ptr(),
                None if adversary is None else adversary[i].data_ptr(),
                self._scratch.data_ptr(),
                *sizes,
                *self._sigma,
                beta,
                int(squares),
                threads,
            )
        return results

    def _layout(self, parameters: Mapping[str, Tensor]) -> tuple[tuple[int, ...], int]:
        """Slots, size, width, classes, rows and rows of a block; and threads, which scratch suits."""
        w = parameters["w"]
        _, classes, width = w.shape
        size = parameters[self.names[0]].shape[1]
        slots, dtype = len(self.names), w.dtype
        threads = _threads(self._rows * (width + classes))
        share = -(-self._rows // threads)
        most = max(1, self._memory // (2 * threads * w.element_size() * width))
        block = -(-share // -(-share // most))
        own = block * (width + classes) + classes * width + slots * size * width
        if self._scratch.dtype != dtype or len(self._scratch) < threads * own:
            self._scratch = torch.empty(threads * own, dtype=dtype)
        return (slots, size, width, classes, self._rows, block), threads

    def _of_member(
        self, parameters: Mapping[str, Tensor], gradients: Mapping[str, Tensor] | None, i: int
    ) -> tuple[object, ...]:
        """Return the first arguments of a member's step: product and data addresses."""
        w = parameters["w"]
        tables = _pointers([parameters[name][i] for name in self.names])
        back, last = None, None
        if gradients is not None:
            back = _pointers([gradients[name][i] for name in self.names])
            last = gradients["w"][i].data_ptr()
        product = _product(w.dtype)
        answers = self._answers.data_ptr()
        return product, tables, self._index, w[i].data_ptr(), back, last, answers


@cache
def _product(dtype: torch.dtype) -> int | None:
    """Address of the matrix product that PyTorch was built with, as Fortran's BLAS calls it."""
    name = {torch.float32: "sgemm_", torch.float64: "dgemm_"}[dtype]
    folder = Path(torch.__file__).parent / "lib"
    for path in sorted(folder.glob("libtorch_cpu.*")):
        with suppress(OSError, AttributeError):
            return ctypes.cast(getattr(ctypes.CDLL(str(path)), name), ctypes.c_void_p).value
    return None


def add_penalty(
    parameters: Mapping[str, Float[Tensor, "member _ neuron"]],
    gradients: Mapping[str, Float[Tensor, "member _ neuron"]],
    uses: Mapping[str, int],
    *,
    strength: float | int,
    power: float | int,
    homogeneity: float | int,
) -> Float64[Tensor, "member 2"]:
    """Add the gradient of strength * sum_i ||omega_i||^power to ``gradients``.

    Parameters
    ----------
    parameters
        Together neuron i's weights omega_i are row i of their last axis.
    gradients
        Under the same names.
    uses
        How often a parameter counts, where it is more than once.
    strength, power, homogeneity
        Exponents, and the factor.

    Returns
    -------
    Tensor
        sum_i ||omega_i||^power and sum_i ||omega_i||^homogeneity of each member.
    """
    tensors = list(parameters.values())
    members, _, width = tensors[0].shape
    counts = (ctypes.c_int64 * len(tensors))(*[x.shape[1] for x in tensors])
    times = (ctypes.c_double * len(tensors))(*[uses.get(name, 1) for name in parameters])
    results = torch.zeros(members, 2, dtype=torch.float64)
    _call(
        "penalty",
        tensors[0].dtype,
        _pointers(tensors),
        _pointers([gradients[name] for name in parameters]),
        counts,
        times,
        len(tensors),
        members,
        width,
        strength,
        power,
        homogeneity,
        results.data_ptr(),
        _threads(sum(x.numel() for x in tensors)),
    )
    return results


def neuronwise_adam(
    parameters: Mapping[str, Float[Tensor, "member _ neuron"]],
    gradients: Mapping[str, Float[Tensor, "member _ neuron"]],
    means: Mapping[str, Float[Tensor, "member _ neuron"]],
    squares: Float64[Tensor, "member neuron"],
    uses: Mapping[str, int],
    *,
    rate: float,
    correction: float,
    betas: tuple[float, float],
) -> None:
    """Take one step of ``training.optimizers.neuronwise_adam_``.

    Parameters
    ----------
    parameters, gradients, means, squares
        As there; all but the gradients are changed.
    uses
        How often a parameter counts, where it is more than once.
    rate
        Learning rate, divided by the first moment's correction 1 - beta_1^t.
    correction
        The second moment's, 1 - beta_2^t.
    betas
        Decay rates beta_1 and beta_2 of the moments.
    """
    tensors = list(parameters.values())
    members, _, width = tensors[0].shape
    counts = (ctypes.c_int64 * len(tensors))(*[x.shape[1] for x in tensors])
    times = (ctypes.c_double * len(tensors))(*[uses.get(name, 1) for name in parameters])
    _call(
        "neuronwise_adam",
        tensors[0].dtype,
        _pointers(tensors),
        _pointers([gradients[name] for name in parameters]),
        _pointers([means[name] for name in parameters]),
        squares.data_ptr(),
        counts,
        times,
        len(tensors),
        members,
        width,
        rate,
        correction,
        *betas,
        _threads(sum(x.numel() for x in tensors)),
    )


def to_tangent(
    parameters: Mapping[str, Float[Tensor, "member _ neuron"]],
    gradients: Mapping[str, Float[Tensor, "member _ neuron"]],
    uses: Mapping[str, int],
    totals: Float64[Tensor, " member"],
    *,
    homogeneity: float | int,
) -> Float64[Tensor, "member 2"]:
    """Make gradients of a soft margin's sums those of its negative along the sphere, in place.

    They are divided by ``totals``, and that of mean * sum_i ||omega_i||^nu is added, with the mean
    margin under the adversary as the multiplier.

    Parameters
    ----------
    parameters, gradients
        Stacked over members, under the same names.
    uses
        How often a parameter counts, where it is more than once.
    totals
        Sums in the gradients' units.
    homogeneity
        Degree nu of homogeneity of the network.

    Returns
    -------
    Tensor
        Mean margin under the adversary, and the root mean square of what neurons earn per unit of
        norm, weighted by their norms, of each member.
    """
    tensors = list(parameters.values())
    members, _, width = tensors[0].shape
    counts = (ctypes.c_int64 * len(tensors))(*[x.shape[1] for x in tensors])
    times = (ctypes.c_double * len(tensors))(*[uses.get(name, 1) for name in parameters])
    results, own = torch.zeros(members, 2, dtype=torch.float64), totals.contiguous()
    _call(
        "to_tangent",
        tensors[0].dtype,
        _pointers(tensors),
        _pointers([gradients[name] for name in parameters]),
        counts,
        times,
        own.data_ptr(),
        len(tensors),
        members,
        width,
        homogeneity,
        results.data_ptr(),
    )
    return results


def to_sphere(
    parameters: Mapping[str, Float[Tensor, "member _ neuron"]],
    uses: Mapping[str, int],
    *,
    homogeneity: float | int,
) -> None:
    """Scale each member to sum_i ||omega_i||^nu = 1, in place.

    Arguments are those of :func:`to_tangent`.
    """
    tensors = list(parameters.values())
    members, _, width = tensors[0].shape
    counts = (ctypes.c_int64 * len(tensors))(*[x.shape[1] for x in tensors])
    times = (ctypes.c_double * len(tensors))(*[uses.get(name, 1) for name in parameters])
    _call(
        "to_sphere",
        tensors[0].dtype,
        _pointers(tensors),
        counts,
        times,
        len(tensors),
        members,
        width,
        homogeneity,
    )
