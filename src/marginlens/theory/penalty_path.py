"""The exact minimum along the whole penalty path, from the collapse down to the limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from marginlens.display import Displayed, Shown
from marginlens.tasks import Task, task_of
from marginlens.theory.group.prediction import group_at_penalty
from marginlens.theory.parity.prediction import parity_at_penalty
from marginlens.theory.predict import predict
from marginlens.theory.prediction import AtPenalty, Prediction

__all__ = ["PenaltyPath", "penalty_path"]


@dataclass(frozen=True, eq=False)
class PenaltyPath(Displayed):
    """Minima of cross-entropy + strength * sum ||omega||^nu, one per strength.

    Attributes
    ----------
    limit
        Prediction for vanishing strength: gamma*, shares, collapse.
    strengths
        Penalty strengths lambda in descending order.
    loss, cross_entropy, norm, margin
        Values at each minimum, as in :class:`marginlens.theory.AtPenalty`.
    margin_ratio
        Normalized margin over gamma*; nan for the zero network.
    shares
        Each feature's share of the norm; 0 for the zero network.
    gap
        Relative duality gap of each minimum.
    """

    limit: Prediction
    strengths: Float[np.ndarray, " strength"]
    loss: Float[np.ndarray, " strength"]
    cross_entropy: Float[np.ndarray, " strength"]
    norm: Float[np.ndarray, " strength"]
    margin: Float[np.ndarray, " strength"]
    margin_ratio: Float[np.ndarray, " strength"]
    shares: Float[np.ndarray, "strength feature"]
    gap: Float[np.ndarray, " strength"]

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features, in the order of ``shares``."""
        return tuple(feature.name for feature in self.limit.features)

    def to_dict(self) -> dict[str, Any]:
        """Return the task and the columns as plain values for JSON; NaN becomes ``None``."""
        columns = {
            name: [float(value) if np.isfinite(value) else None for value in column]
            for name, column in self.columns().items()
        }
        return {"task": self.limit.task, "margin": self.limit.margin, "columns": columns}

    def to_records(self) -> list[dict[str, Any]]:
        """Rows of :meth:`to_frame`: one a strength."""
        columns = self.columns()
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def shown(self) -> Shown:
        """Heading and a row for each strength."""
        records = self.to_records()
        names = ("strength", "loss", "norm", "margin", "margin_ratio")
        rows = [[None if one[n] != one[n] else one[n] for n in names] for one in records]
        facts = [("maximum margin γ*", self.limit.margin)]
        words = [name.replace("_", " ") for name in names]
        return Shown(f"{self.limit.task}: the minimum at each strength", facts, words, rows)

    def columns(self) -> dict[str, np.ndarray]:
        """Return the path as columns of a table: one row per strength, one column per share."""
        names = ("loss", "cross_entropy", "norm", "margin", "margin_ratio", "gap")
        return {
            "strength": self.strengths,
            **{name: getattr(self, name) for name in names},
            **{f"share {name}": self.shares[:, i] for i, name in enumerate(self.features)},
        }


def penalty_path(
    task: Task | str,
    strengths: Sequence[float] | None = None,
    *,
    count: int = 61,
    decades: float = 6.0,
) -> PenaltyPath:
    """Return the exact minimum at each strength of the homogeneous penalty.

    Parameters
    ----------
    task
        Group task or sparse parity, with the activation that the theory covers.
    strengths
        Penalty strengths, finite and positive; by default ``count`` of them, evenly spaced on a
        logarithmic scale over ``decades`` below the collapse strength lambda_c.
    count
        Number of default strengths.
    decades
        Range of the default strengths, in powers of ten.

    Raises
    ------
    ValueError
        A strength is not a finite positive number, the strengths are empty, or the theory does not
        cover the task.

    Notes
    -----
    Derived in :mod:`marginlens.theory`, "At a finite penalty".

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> path = penalty_path(task("A5"), [1e-3, 1e-4, 1e-5])
    >>> path.norm.round(1).tolist(), path.margin_ratio.round(4).tolist()
    ([0.0, 11704.3, 17502.4], [nan, 0.9737, 0.9872])
    """
    task = task_of(task)
    limit = predict(task)
    edge = limit.collapse_penalty
    if edge is None:
        raise ValueError(f"expected a task that the theory covers. {limit.note}")
    asked = np.geomspace(edge, edge * 10.0**-decades, count) if strengths is None else strengths
    chosen = np.sort(np.array(asked, dtype=np.float64))[::-1].copy()
    if not len(chosen) or not np.isfinite(chosen).all() or chosen.min() <= 0:
        raise ValueError(
            f"strengths: expected finite positive numbers, got {list(asked)}; for example 1e-4"
        )
    minima = [_minimum(task, limit, strength) for strength in chosen.tolist()]
    return PenaltyPath(
        limit=limit,
        strengths=chosen,
        loss=np.array([at.loss for at in minima]),
        cross_entropy=np.array([at.cross_entropy for at in minima]),
        norm=np.array([at.norm for at in minima]),
        margin=np.array([at.margin for at in minima]),
        margin_ratio=np.array(
            [np.nan if at.margin_ratio is None else at.margin_ratio for at in minima]
        ),
        shares=np.array([[at.shares[f.name] for f in limit.features] for at in minima]),
        gap=np.array([at.gap for at in minima]),
    )


def _minimum(task: Task, limit: Prediction, strength: float) -> AtPenalty:
    """Return the minimum at a strength, from the program already solved for the limit."""
    if limit.certificate is None or limit.margin is None:
        return parity_at_penalty(task, strength)
    return group_at_penalty(task, limit.certificate.program, limit.margin, strength)
