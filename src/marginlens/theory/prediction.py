"""Prediction: margin, features, widths and losses of a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from marginlens.display import Displayed, Shown, residue
from marginlens.errors import MarginLensError
from marginlens.tasks import Task
from marginlens.theory.group.certificate import Certificate, certify
from marginlens.theory.group.class_program import ClassProgram
from marginlens.theory.group.mass_bounds import GroupMassBounds, MassBounds, ParityMassBounds
from marginlens.theory.neuron.best_neuron import BestNeuron
from marginlens.theory.penalty import Penalty

__all__ = ["AtPenalty", "FeaturePrediction", "Prediction", "unknown_features"]


@dataclass(frozen=True)
class FeaturePrediction:
    """Role of one feature in maximum-margin networks.

    Attributes
    ----------
    name, dimension, type
        Name, dimension and type of the task's feature.
    frobenius_schur
        Frobenius–Schur indicator 1, 0 or -1 of a group's feature, ``None`` for a coordinate.
    status
        ``"must"``: every maximum-margin network uses it; ``"may"``: some do; ``"cannot"``: no such
        network does; ``"unknown"``: no theorem applies, or no solver determined it (see the
        prediction's note).
    least_share, greatest_share
        Range of its share of sum ||omega||^nu over maximum-margin networks (for a coordinate: of
        the squared norm of the input weights); ``None`` if unknown.
    """

    name: str
    dimension: int
    type: str
    frobenius_schur: int | None
    status: Literal["must", "may", "cannot", "unknown"]
    least_share: float | None
    greatest_share: float | None


def unknown_features(task: Task) -> tuple[FeaturePrediction, ...]:
    """Return the features of a task with unknown status.

    Parameters
    ----------
    task
        Task whose features are listed.
    """
    return tuple(
        FeaturePrediction(
            name=feature.name,
            dimension=feature.dimension,
            type=feature.type,
            frobenius_schur=None if feature.irrep is None else feature.irrep.frobenius_schur,
            status="unknown",
            least_share=None,
            greatest_share=None,
        )
        for feature in task.features
    )


@dataclass(frozen=True)
class AtPenalty:
    """Infinite-width minimum of cross-entropy + strength * sum ||omega||^nu.

    Attributes
    ----------
    loss
        Objective of the training: cross_entropy + strength * norm.
    cross_entropy
        Mean cross-entropy, without the penalty.
    norm
        Sum of powers of the neurons' norms, sum_i ||omega_i||^nu.
    margin
        Least logit difference between the right answer and a wrong one.
    margin_ratio
        Normalized margin over gamma*, margin / (norm * gamma*); ``None`` for the zero network,
        whose normalized margin is undefined.
    shares
        Share of the norm by feature name; all 0 for the zero network, empty without a prediction.
    gap
        Relative duality gap of the objective.
    """

    loss: float
    cross_entropy: float
    norm: float
    margin: float
    margin_ratio: float | None
    shares: dict[str, float]
    gap: float


@dataclass(frozen=True, eq=False)
class Prediction(Displayed):
    """Prediction for networks on a task, with the theorem that it rests on.

    Attributes
    ----------
    task, activation
        Name of the task, and name of the activation.
    norm
        Name of the norm of the margin, such as ``"L2,3"``: (sum_i ||omega_i||^3)^(1/3).
    margin
        Maximum normalized margin gamma* of min(margin of the logits) / sum_i ||omega_i||^nu;
        ``None`` if no theorem applies, with the reason in ``note``.
    features
        One entry for each feature of the task, in its order.
    certificate
        Two-sided proof of the margin; ``None`` for parity, where the margin is explicit.
    sufficient_width
        Number of neurons of an explicit maximum-margin network.
    theorem
        Theorem that the prediction rests on.
    assumptions
        Assumptions on the training under which the prediction applies.
    note
        Sentence on missing guarantees; empty if everything is guaranteed.
    closed_form
        Value of the closed form if it is exact, else ``None``.
    theorem9_applies
        Whether the hypotheses of Theorem 9 (Morwani et al. 2024) hold; ``None`` for parity.
    penalty
        Penalty of the training, or ``None``.
    collapse_penalty
        Strength lambda_c of the homogeneous penalty from which on the minimum is zero.
    at_penalty
        Minimum at the penalty's strength, or ``None``.
    proved
        Whether ``margin`` is proved to be the maximum; otherwise it is the largest value found.
    waveform
        Best single neuron found, for an activation without a closed form on C_p, p prime.
    task_note
        Sentence about the task's name or the numbering of its elements; may be empty.
    mass_bounds
        Bounds on every network from the masses of its features; ``None`` if no theorem applies.
    """

    task: str
    activation: str
    norm: str
    margin: float | None
    features: tuple[FeaturePrediction, ...]
    certificate: Certificate | None
    sufficient_width: int | None
    theorem: str
    assumptions: tuple[str, ...]
    note: str
    closed_form: float | None
    theorem9_applies: bool | None
    penalty: Penalty | None
    collapse_penalty: float | None
    at_penalty: AtPenalty | None
    proved: bool = True
    waveform: BestNeuron | None = None
    task_note: str = ""
    mass_bounds: MassBounds | None = None

    @property
    def masses(self) -> Float[np.ndarray, " feature"]:
        """One optimal vector of shares: the certificate's, or the explicit shares.

        Raises
        ------
        ValueError
            The shares are unknown.
        """
        if self.certificate is not None:
            return self.certificate.masses
        shares = [feature.least_share for feature in self.features]
        known = [share for share in shares if share is not None]
        if len(known) < len(shares):
            raise ValueError(
                f"no theorem gives the shares of {self.task} with activation {self.activation}; "
                'ask for a group with "x^2" or parity(n,k) with "x^k"'
            )
        return np.array(known)

    def shown(self) -> Shown:
        """Return the notebook display: the margin, its basis, and each feature's role."""
        at = self.at_penalty
        facts: list[tuple[str, Any]] = [
            ("maximum margin γ*" if self.proved else "largest margin found", self.margin),
            ("rests on", self.theorem),
            ("width that suffices", self.sufficient_width),
        ]
        if self.certificate is not None:
            facts.append(("certificate's relative gap", residue(self.certificate.gap)))
        if at is not None and self.penalty is not None:
            words = f"loss {at.loss:.6g}, norm {at.norm:.6g}, margin {at.margin:.6g}"
            facts.append((f"at strength {self.penalty.strength:g}", words))
        columns = ["feature", "dimension", "type", "a network of maximum margin", "share"]
        shares = at.shares if at is not None else {}
        if shares:
            columns.append("at this strength")
        rows = [
            [
                feature.name,
                feature.dimension,
                feature.type,
                {"must": "must use it", "may": "may use it", "cannot": "cannot use it"}.get(
                    feature.status, "–"
                ),
                _range(feature, "–" if self.certificate is None else "not determined"),
                *([f"{shares[feature.name]:.4f}"] if shares else []),
            ]
            for feature in self.features
        ]
        heading = f"{self.task}, activation {self.activation}: the prediction"
        if self.task_note:
            facts.insert(0, ("name", self.task_note))
        return Shown(heading, facts, columns, rows, self.note)

    def plot(self, *, dark: bool = False) -> Any:
        """Draw the predicted shares and widths, feature by feature.

        Parameters
        ----------
        dark
            Whether the background is dark.

        Returns
        -------
        plotly.graph_objects.Figure
            Figure that notebooks show; ``write_html`` and ``write_image`` save it.

        Raises
        ------
        MarginLensError
            If no theorem gives the shares.
        """
        figure = import_module("marginlens.interface").figure  # which imports this module
        return figure("shares", self, dark=dark)

    def to_records(self) -> list[dict[str, Any]]:
        """Return the rows of :meth:`to_frame`: one per feature, with its share at the penalty."""
        shares = {} if self.at_penalty is None else self.at_penalty.shares
        return [
            {"task": self.task, **vars(feature), "share_at_penalty": shares.get(feature.name)}
            for feature in self.features
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the prediction as plain values for JSON.

        ``penalty`` is the strength (``None`` without one) and ``penalty_norm`` its norm; the
        certificate
        keeps its bounds, distribution and masses.

        Examples
        --------
        >>> from marginlens.tasks import task
        >>> from marginlens.theory import predict
        >>> record = predict(task("C5")).to_dict()
        >>> f"{record['margin']:.11e}", record["features"][0]["status"]
        ('3.04290309725e-02', 'must')
        """
        certificate, at_penalty = self.certificate, self.at_penalty
        return {
            "task": self.task,
            "task_note": self.task_note,
            "activation": self.activation,
            "norm": self.norm,
            "margin": self.margin,
            "proved": self.proved,
            "penalty": None if self.penalty is None else self.penalty.strength,
            "penalty_norm": None if self.penalty is None else self.penalty.norm,
            "collapse_penalty": self.collapse_penalty,
            "at_penalty": None if at_penalty is None else vars(at_penalty).copy(),
            "features": [vars(feature).copy() for feature in self.features],
            "sufficient_width": self.sufficient_width,
            "theorem": self.theorem,
            "theorem9_applies": self.theorem9_applies,
            "closed_form": self.closed_form,
            "assumptions": list(self.assumptions),
            "note": self.note,
            "waveform": None if self.waveform is None else self.waveform.to_dict(),
            "certificate": None
            if certificate is None
            else {
                "upper": certificate.upper,
                "lower": certificate.lower,
                "gap": certificate.gap,
                "classes": [list(members) for members in certificate.classes],
                "distribution": certificate.distribution.tolist(),
                "masses": certificate.masses.tolist(),
            },
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], task: Task) -> Prediction:
        """Prediction that :meth:`to_dict` took apart; no program is solved.

        Parameters
        ----------
        values
            Plain values of a prediction; names that a prediction does not have are passed over.
        task
            Task of the prediction.

        Raises
        ------
        ValueError
            If a value is missing, the prediction is of another task, or its certificate does not prove
            its bounds for the task's group.

        Examples
        --------
        >>> from marginlens.tasks import task
        >>> from marginlens.theory import predict
        >>> a5 = task("A5")
        >>> prediction = predict(a5, penalty=1e-5)
        >>> back = Prediction.from_dict(prediction.to_dict(), a5)
        >>> back.to_dict() == prediction.to_dict(), back.certificate.gap < 1e-14
        (True, True)
        """
        try:
            return _restored(values, task)
        except (KeyError, TypeError, AttributeError) as error:
            raise MarginLensError(f"expected a prediction of {task.name}: {error!r}") from None


def _restored(values: Mapping[str, Any], task: Task) -> Prediction:
    names = [feature["name"] for feature in values["features"]]
    if values["task"] != task.name or names != [feature.name for feature in task.features]:
        raise MarginLensError(
            f"expected a prediction of {task.name}, got one of {str(values['task'])[:60]}"
        )
    certificate = None
    if values["certificate"] is not None:
        certificate = _certificate(values["certificate"], task)
        if values["margin"] not in (None, certificate.lower):
            raise MarginLensError(f"margin {values['margin']!r} is not what its certificate proves")
    bounds: MassBounds | None = None
    if certificate is not None:
        bounds = GroupMassBounds(certificate.program)
    elif task.subset is not None and values["closed_form"] is not None:
        bounds = ParityMassBounds(task.size, task.subset)
    strength, at, waveform = values["penalty"], values["at_penalty"], values["waveform"]
    plain = [one.name for one in fields(Prediction) if one.name in values]
    return Prediction(
        **{name: values[name] for name in plain}
        | {
            "features": tuple(FeaturePrediction(**feature) for feature in values["features"]),
            "certificate": certificate,
            "assumptions": tuple(values["assumptions"]),
            "penalty": None if strength is None else Penalty(values["penalty_norm"], strength),
            "at_penalty": None if at is None else AtPenalty(**at),
            "waveform": None if waveform is None else BestNeuron.from_dict(waveform),
            "mass_bounds": bounds,
        }
    )


_SAME_BOUNDS = 1e-12  # relative: both are sums of products in float64


def _certificate(values: Mapping[str, Any], task: Task) -> Certificate:
    """Certificate of the task's group, whose bounds are computed again and compared."""
    group = task.group or task.characters
    if group is None:
        raise MarginLensError(f"a certificate is of a group, and {task.name} is none")
    certificate = Certificate(
        program=ClassProgram.of(group, inputs=task.factors),
        distribution=np.array(values["distribution"], dtype=np.float64),
        masses=np.array(values["masses"], dtype=np.float64),
        upper=values["upper"],
        lower=values["lower"],
    )
    proved = certify(certificate.program, certificate.distribution, certificate.masses)
    for bound in ("upper", "lower"):
        stated, found = getattr(certificate, bound), getattr(proved, bound)
        if not abs(stated - found) <= _SAME_BOUNDS * found:
            raise MarginLensError(
                f"the certificate states {bound} {stated!r}, and proves {found!r}"
            )
    return certificate


def _range(feature: FeaturePrediction, unknown: str) -> str:
    """Format a share, or its range; *unknown* without one."""
    if feature.least_share is None or feature.greatest_share is None:
        return unknown
    low, high = f"{feature.least_share:.4f}", f"{feature.greatest_share:.4f}"
    return low if low == high else f"{low} to {high}"
