r"""Spectrum of logits: correlations with the characters of a group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from marginlens.groups import FiniteGroup
from marginlens.tasks import Task

__all__ = ["Correlation", "LogitSpectrum", "group_of", "logit_spectrum"]

_ROUNDING = 64 * np.finfo(np.float64).eps
"""Logits of which centring leaves less than this share are constant but for rounding."""


@dataclass(frozen=True, eq=False)
class LogitSpectrum:
    r"""Correlations of centred logits with characters, of all members at once.

    With $\tilde\ell$ the logits centred over the classes and $\psi_\rho(a, b, c) =
    \chi_\rho(abc^{-1})$
    (with k factors, of their product),

    $$\beta_\rho = \frac{\langle\tilde\ell, \psi_\rho\rangle}{\|\tilde\ell\|\,\|\psi_\rho\|},\qquad
      b^2 = \sum_{\rho' \in \{\rho, \bar\rho\}} |\beta_{\rho'}|^2,$$

    0 where the centred logits are zero. The $\psi_\rho$ are orthogonal, so $\sum b^2 \le 1$, with
    equality for logits that are a function of the class of $abc^{-1}$ alone.

    Attributes
    ----------
    features
        Names of the task's features.
    beta
        Correlation beta with the first irrep of each feature; its conjugate has the complex
        conjugate.
    spectral_weights
        Spectral weight b of each feature.
    similarity
        Signed cosine of the centred logits with the feature's real character: the trace similarity
        of Chughtai et al. 2023. For a complex pair that character is 2 Re chi, and b >=
        abs(similarity), with equality where beta is real.
    deviation
        Root mean square of the centred logits.

    Notes
    -----
    Levine, MAIS-A5, section 4; Chughtai, Chan and Nanda 2023, *A toy model of universality*.
    """

    features: tuple[str, ...]
    beta: Complex[np.ndarray, "member feature"]
    spectral_weights: Float[np.ndarray, "member feature"]
    similarity: Float[np.ndarray, "member feature"]
    deviation: Float[np.ndarray, " member"]

    @property
    def total(self) -> Float[np.ndarray, " member"]:
        """Sum of b^2: share of the centred logits that functions of the class of a b c^-1 explain."""
        return np.square(self.spectral_weights).sum(1)

    @property
    def explained(self) -> Float[np.ndarray, "member feature"]:
        """Share of the variance of the logits that each real character explains: similarity^2."""
        return np.square(self.similarity)


def logit_spectrum(logits: Float[np.ndarray, "member row class"], task: Task) -> LogitSpectrum:
    """Return the correlations of a function's logits with the characters of a group.

    Parameters
    ----------
    logits
        Logits with a row for each of the task's, in its order (the last factor fastest), and a
        column for each element, in any floating-point precision.
    task
        Group task with any number of factors.

    Raises
    ------
    ValueError
        The task is not a group's table, the logits have another shape, or some are not finite.

    Examples
    --------
    >>> from marginlens.groups import group
    >>> from marginlens.tasks import task
    >>> from marginlens.theory import algorithm
    >>> clock = algorithm("clock", group("C5"), frequencies=[2]).logits
    >>> logit_spectrum(clock.reshape(1, 25, 5), task("C5")).spectral_weights.round(12)
    array([[0., 1.]])
    """
    group = group_of(task)
    shape = (len(task.answers), task.classes)
    if logits.shape[1:] != shape:
        raise ValueError(
            f"logits have shape {logits.shape}, but {task.name} needs (members, {shape[0]}, {shape[1]})"
        )
    parts = []
    for one in logits:
        peak = np.abs(one).max(initial=0.0)  # NaN if there is one
        if not np.isfinite(peak):
            raise ValueError(
                f"logits of member {len(parts)} must be finite numbers; some are not: leave it out"
            )
        scale = float(peak) or 1.0  # squares neither overflow nor vanish
        found = Correlation.zero(group, 1)
        found.add(torch.as_tensor(one.astype(np.float64) / scale)[None], task.answers)
        parts.append(found.spectrum(task, np.array([scale])))
    return joined(task, parts)


def group_of(task: Task) -> FiniteGroup:
    """Return the group of a task whose logits have a spectrum.

    Parameters
    ----------
    task
        Group task with any number of factors.

    Raises
    ------
    ValueError
        The task is not a group's table, or is too large to list.
    """
    if task.kind == "parity" or (task.is_listed and task.group is None):
        raise ValueError(
            f"expected a group's table for a spectrum of characters, got {task.name}; for "
            "example C5 or S3"
        )
    task.require_rows()
    assert task.group is not None
    return task.group


@dataclass(eq=False)
class Correlation:
    """Sums over rows from which spectra follow, so that rows can be added in blocks.

    Attributes
    ----------
    quotients
        ``quotients[h, g]`` is the class c with h c^-1 = g.
    by_quotient
        Sum of the centred logits over rows and classes with answer * class^-1 = g.
    squares, raw_squares
        Sums of squares of the centred logits, and of the logits.
    count
        Number of rows so far.
    """

    group: FiniteGroup
    quotients: Int[Tensor, "answer element"]
    by_quotient: Float[np.ndarray, "member element"]
    squares: Float[np.ndarray, " member"]
    raw_squares: Float[np.ndarray, " member"]
    count: int = 0

    @classmethod
    def zero(cls, group: FiniteGroup, members: int) -> Correlation:
        """Return the sums of zero rows."""
        return cls(
            group,
            torch.as_tensor(group.table[group.inverses].T.copy()),
            np.zeros((members, group.order)),
            np.zeros(members),
            np.zeros(members),
        )

    def add(
        self, logits: Float[Tensor, "member row class"], answers: Int[np.ndarray, " row"]
    ) -> None:
        """Add rows with their right answers."""
        centred = logits - logits.mean(2, keepdim=True)
        columns = self.quotients[torch.as_tensor(answers)].to(logits.device)
        sorted_ = centred.gather(2, columns.expand(len(logits), -1, -1))
        self.by_quotient += sorted_.sum(1).cpu().numpy()
        self.squares += centred.square().sum((1, 2)).cpu().numpy()
        self.raw_squares += logits.square().sum((1, 2)).cpu().numpy()
        self.count += len(answers)

    def spectrum(self, task: Task, scale: Float[np.ndarray, " member"]) -> LogitSpectrum:
        """Return the spectrum of all rows so far, which were divided by the scale."""
        zero = self.squares <= _ROUNDING**2 * self.raw_squares
        irreps = [feature.irrep for feature in task.features]
        first = np.array([irrep.members[0] for irrep in irreps if irrep is not None])
        members = np.array([len(irrep.members) for irrep in irreps if irrep is not None])
        characters = self.group.characters[first][:, self.group.class_of]
        inner = self.by_quotient @ characters.conj().T
        size = self.count * self.group.order  # |psi|^2 = rows * sum_g |chi(g)|^2 = rows * n
        length = np.sqrt(np.where(zero, 1.0, self.squares) * size)
        beta = np.where(zero[:, None], 0.0, inner / length[:, None])
        return LogitSpectrum(
            features=tuple(feature.name for feature in task.features),
            beta=beta,
            spectral_weights=np.sqrt(members) * np.abs(beta),
            similarity=np.sqrt(members) * np.real(beta),
            deviation=scale * np.sqrt(np.where(zero, 0.0, self.squares) / size),
        )


def joined(task: Task, parts: list[LogitSpectrum]) -> LogitSpectrum:
    """Concatenate spectra of different members.

    Parameters
    ----------
    task
        Group task of the spectra.
    parts
        Spectra of consecutive members.
    """
    count = len(task.features)
    start = LogitSpectrum(
        features=tuple(feature.name for feature in task.features),
        beta=np.zeros((0, count), dtype=np.complex128),
        spectral_weights=np.zeros((0, count)),
        similarity=np.zeros((0, count)),
        deviation=np.zeros(0),
    )
    every = [start, *parts]
    return LogitSpectrum(
        features=start.features,
        beta=np.concatenate([part.beta for part in every]),
        spectral_weights=np.concatenate([part.spectral_weights for part in every]),
        similarity=np.concatenate([part.similarity for part in every]),
        deviation=np.concatenate([part.deviation for part in every]),
    )
