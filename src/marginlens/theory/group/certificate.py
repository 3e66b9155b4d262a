"""Two-sided certificate of a maximum margin that can be checked without a solver."""

from __future__ import annotations

import io
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from marginlens.files import write_whole
from marginlens.groups import FiniteGroup
from marginlens.groups import group as group_of
from marginlens.theory.group.class_program import ClassProgram
from marginlens.theory.group.constructions import group_weights
from marginlens.theory.group.verification import Verification, require_work, verify_bounds
from marginlens.theory.group.widths import construction_width

__all__ = ["Certificate", "certify", "verify_file"]


@dataclass(frozen=True, eq=False)
class Certificate:
    """Lower and upper bound of the maximum normalized margin, with their proofs.

    Attributes
    ----------
    program
        Class program of the group.
    distribution
        tau: a probability for each merged class of wrong answers. No network has a normalized
        margin
        above scale * max_rho sum_C tau_C B[C, rho].
    masses
        m: the share of sum ||omega||^(k+1) on each feature. A network with these masses exists and
        has the normalized margin scale * min_C sum_rho B[C, rho] m_rho.
    upper, lower
        Upper and lower bound, as normalized margins.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> from marginlens.theory import predict
    >>> found = predict(task("A5")).certificate.verify()
    >>> f"{found.lower:.8e} {found.upper:.8e}", found.holds()
    ('4.31570899e-04 4.31570899e-04', True)
    """

    program: ClassProgram
    distribution: Float[np.ndarray, " class"]
    masses: Float[np.ndarray, " feature"]
    upper: float
    lower: float

    @property
    def gap(self) -> float:
        """Relative gap (upper - lower) / upper; about 1e-15 for a solved program."""
        return (self.upper - self.lower) / self.upper

    @property
    def classes(self) -> tuple[tuple[int, ...], ...]:
        """Merged nontrivial conjugacy classes, as tuples of class indices of the group."""
        return self.program.classes

    def element_distribution(self) -> Float[np.ndarray, " element"]:
        """Probability tau(z) that a wrong answer is the right one times z, for each element z."""
        group = self._group()
        per_class = np.zeros(len(group.class_sizes))
        for members, probability in zip(self.classes, self.distribution, strict=True):
            sizes = group.class_sizes[list(members)]
            per_class[list(members)] = probability / sizes.sum()
        return per_class[group.class_of]

    def network(
        self, *, method: str = "simplex"
    ) -> tuple[Float[np.ndarray, "element neuron"], ...]:
        """Return weights u_1, ..., u_k, w of a network whose normalized margin is the lower bound.

        Parameters
        ----------
        method
            Construction to use: ``"simplex"`` (fewer neurons) or ``"signs"``.
        """
        return group_weights(self._group(), self.masses, inputs=self.program.inputs, method=method)

    def verify(self) -> Verification:
        """Recompute both bounds from the Cayley table, a network and tau, without irreps.

        The network is evaluated on every row of the table, and the gain of the best neuron against
        tau follows from a numerical decomposition of the group algebra into ideals; see
        :func:`marginlens.theory.verify_bounds`. Compare ``lower`` and ``upper`` with this
        certificate's; ``holds()`` tests whether they meet.

        Raises
        ------
        ValueError
            The group has no Cayley table, or is too large.
        """
        group, k = self._group(), self.program.inputs
        width = construction_width(group.irrep_classes[1:], self.masses, inputs=k)
        require_work(group.order, k, width)
        return verify_bounds(group.table, self.network(), self.element_distribution())

    def save(self, path: str | Path) -> None:
        """Write table, network and distribution to a file for independent verification.

        The ``.npz`` file holds plain arrays: ``table``, ``tau``, ``u1`` to ``uk``, ``w``; see
        :func:`verify_file`. It is written atomically.

        Parameters
        ----------
        path
            File to write, with the ending ``.npz``.
        """
        *inputs, output = self.network()
        arrays: dict[str, Any] = {f"u{slot + 1}": weight for slot, weight in enumerate(inputs)}
        arrays |= {"w": output, "table": self._group().table, "tau": self.element_distribution()}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        write_whole(Path(path), buffer.getvalue())

    def _group(self) -> FiniteGroup:
        group = self.program.group
        if not isinstance(group, FiniteGroup):
            raise ValueError(
                f"{group.name}: expected a group with a Cayley table for verification, got a "
                "character table alone; for example A5"
            )
        return group


def certify(
    program: ClassProgram,
    distribution: Float[np.ndarray, " class"],
    masses: Float[np.ndarray, " feature"],
) -> Certificate:
    """Return the bounds of the maximum margin that a distribution and masses prove.

    Both are first made feasible (negative entries cut, sums made one), so that the bounds are valid
    for every input; poor input gives a wide gap, never a false bound.

    Parameters
    ----------
    program
        Class program of the group.
    distribution
        Distribution tau on wrong answers, shape (merged class,).
    masses
        Shares m of the norm, shape (nontrivial irrep class,).

    Raises
    ------
    ValueError
        A vector has the wrong length, is not finite, or has no positive entry.

    Examples
    --------
    >>> from marginlens.groups import group
    >>> program = ClassProgram.of(group("C5"))
    >>> best = certify(program, np.array([0.5, 0.5]), np.array([0.5, 0.5]))
    >>> round(best.upper, 10), best.gap < 1e-14
    (0.030429031, True)
    >>> certify(program, np.array([0.9, 0.1]), np.array([0.5, 0.5])).gap > 0.1
    True
    """
    tau = _simplex_point(distribution, len(program.classes), "distribution")
    m = _simplex_point(masses, len(program.costs), "masses")
    return Certificate(
        program=program,
        distribution=tau,
        masses=m,
        upper=program.scale * float((tau @ program.payoff).max()),
        lower=program.scale * float((program.payoff @ m).min()),
    )


def verify_file(path: str | Path) -> Verification:
    """Verify a certificate file, such as one that :meth:`Certificate.save` wrote.

    Parameters
    ----------
    path
        Certificate file with the ending ``.npz``.

    Raises
    ------
    ValueError
        The file is not a certificate, or its table is not that of a group.
    """
    arrays = _read_arrays(path)
    inputs = [f"u{slot + 1}" for slot in range(len(arrays) - 3)]
    if not inputs or set(arrays) != {"table", "tau", "w", *inputs}:
        raise ValueError(
            f"{path}: expected arrays table, tau, u1, ..., uk and w, got {', '.join(arrays)}; "
            "write one with: marginlens theory certify A5 --out a5.npz"
        )
    table = group_of(arrays["table"], name=str(path)).table
    width = arrays["w"].shape[-1] if arrays["w"].ndim else 0
    shapes = {"tau": (len(table),), **dict.fromkeys((*inputs, "w"), (len(table), max(1, width)))}
    for name, shape in shapes.items():
        array = arrays[name]
        if array.shape != shape or array.dtype.kind not in "fiu":
            raise ValueError(
                f"{path}: expected real numbers of shape {shape} for {name}, got {array.dtype} "
                f"of shape {array.shape}"
            )
    weights = tuple(arrays[name].astype(np.float64) for name in (*inputs, "w"))
    return verify_bounds(table, weights, arrays["tau"].astype(np.float64))


def is_certificate_file(path: str | Path) -> bool:
    """Return whether a file name is that of a saved certificate rather than of a table.

    Parameters
    ----------
    path
        Path as it was typed. A missing or damaged ``.npz`` counts as a certificate, so that
        :func:`verify_file` reports the problem.
    """
    if not str(path).lower().endswith(".npz"):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist() != ["table.npy"]
    except (OSError, ValueError, zipfile.BadZipFile):
        return True


def _read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Read all arrays of an archive, with one error for every kind of damage."""
    try:
        with Path(path).open("rb") as file:
            # NumPy takes other files for a single array, or for a pickle
            if not zipfile.is_zipfile(file):
                raise ValueError("it is not an archive of arrays")
            file.seek(0)
            with np.load(file, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
    except (
        ValueError,
        OSError,
        EOFError,
        KeyError,
        NotImplementedError,
        RuntimeError,
        SyntaxError,
        OverflowError,
        MemoryError,
        zipfile.BadZipFile,
        zlib.error,
        tokenize.TokenError,
    ) as error:
        words = " ".join(str(error).split())
        raise ValueError(f"{path}: not a readable certificate ({words})") from None


def _simplex_point(vector: np.ndarray, length: int, name: str) -> np.ndarray:
    """Cut negative entries and scale to sum one."""
    if vector.shape != (length,) or not np.isfinite(vector).all() or vector.max() <= 0:
        raise ValueError(
            f"{name} must be {length} finite numbers with a positive one among them, "
            f"got shape {vector.shape}: {vector}"
        )
    positive = np.maximum(vector, 0.0)
    return positive / positive.sum()
