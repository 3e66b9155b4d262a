"""Mechanism of a function on a group: all measures of its logits and weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from marginlens.display import Displayed
from marginlens.groups.subgroups import GREATEST_ORDER
from marginlens.measures.dynamics.progress import Progress, embedding_gini, progress
from marginlens.measures.ensembles.observables import KEY, spectral_count
from marginlens.measures.logits.clock_pizza import (
    EXPLAINED,
    IRRELEVANT,
    SYMMETRIC,
    TRIPLES,
    Circle,
    circles,
    circularity,
    distance_irrelevance,
    gradient_symmetricity,
    key_frequencies,
)
from marginlens.measures.logits.learned_algorithm import LearnedAlgorithm, learned_algorithm
from marginlens.measures.logits.losses import mean_cross_entropy
from marginlens.measures.logits.spectrum import LogitSpectrum, group_of, logit_spectrum
from marginlens.measures.neurons.cosets import coset_concentration
from marginlens.measures.neurons.hidden_evidence import hidden_evidence
from marginlens.measures.neurons.representations import (
    HiddenShares,
    LogitAblations,
    element_tables,
    hidden_layer,
    hidden_shares,
    logit_ablations,
    weight_shares,
)
from marginlens.networks import Network, squared_norm
from marginlens.tasks import Task

__all__ = ["MEASURE_WORDS", "ClockPizza", "Mechanism", "examine", "examine_network", "finite"]

MEASURE_WORDS: Mapping[str, str] = {
    "accuracy": "accuracy",
    "loss": "cross-entropy",
    "train_loss": "on the rows trained on",
    "test_loss": "on the other rows",
    "margin": "margin",
    "sum_b2": "sum b^2",
    "logit_variance_explained": "logit variance that characters explain",
    "spectral_count": "features that carry 95 % of it",
    "restricted_loss": "restricted (trig) loss",
    "excluded_loss": "excluded loss",
    "total_logit_restricted_loss": "loss of the key characters alone",
    "total_logit_excluded_loss": "loss without the key characters",
    "total_hidden_restricted_loss": "loss of rho(ab) in the hidden layer alone",
    "total_hidden_excluded_loss": "loss without it",
    "gradient_symmetricity": "gradient symmetricity",
    "distance_irrelevance": "distance irrelevance",
    "distance_irrelevance_runner_up": "the same of the runner-up",
    "circularity": "circularity",
    "neurons_of_one_feature": "neurons with a feature of 85 % or more",
    "gini": "Gini coefficient of the embedding",
    "squared_weights": "sum of squared weights",
}
"""What the numbers of :meth:`Mechanism.to_dict` are called, in the order to be read."""

Kind = Literal["clock", "pizza", "mixed", "neither", "unknown"]

VARIES = 0.01
"""The right answer's logit varies if its deviation is at least this share of the logits'."""

_OF_WEIGHTS = (
    "clock_or_pizza",
    "gradient_symmetricity",
    "circularity",
    "circles",
    "weight_shares",
    "hidden",
    "gini",
    "squared_weights",
    "cosets",
)
_NEEDS_WEIGHTS = "needs the weights, and there are logits alone"


@dataclass(frozen=True)
class ClockPizza:
    """Verdict on clock, pizza, both or neither, with its evidence.

    Of the authors' 817 networks, those with attention rate below .1 have mean gradient symmetricity
    .994 and distance irrelevance .289, those above .9 have .451 and .820. ``"pizza"``: by both
    measures on the side of the former of the middle between these means; ``"clock"``: by both on
    the other side; ``"mixed"``: they disagree, or the right answer's logit varies by less than 1 %
    of the logits' deviation, so that distances are not informative. ``"neither"`` where fewer than
    90 % of the rows are answered, or characters are less than half of the logits (sum of b^2), or
    no circle of the embedding is explained by either formula (2r - 1 above zero); ``"unknown"``
    without weights, with separate embeddings for the inputs, whose gradients cannot be compared,
    and for groups that are not cyclic, for which a clock is undefined.

    Attributes
    ----------
    verdict
        Name of the verdict, one of the above.
    gradient_symmetricity, symmetricity_error
        The mean over the triples, and the standard error of a mean over 100 random ones, as the
        authors
        take; ``None`` without weights.
    distance_irrelevance, distance_irrelevance_runner_up
        Distance irrelevance of the right answer's logit, and of the largest wrong one.
    circularity
        Circularity of the embedding; ``None`` without weights or for a group that is not cyclic.
    circles
        Circles of the key frequencies, isolated.
    evidence
        Sentences with the deciding numbers.
    varies
        Whether the right answer's logit varies by at least 1 % of the logits' deviation, so that
        distance irrelevance means something.
    """

    verdict: Kind
    gradient_symmetricity: float | None
    symmetricity_error: float | None
    distance_irrelevance: float
    distance_irrelevance_runner_up: float
    circularity: float | None
    circles: tuple[Circle, ...]
    evidence: tuple[str, ...]
    varies: bool = True


@dataclass(frozen=True, eq=False)
class Mechanism(Displayed):
    """Published interpretability metrics of one network on a group task.

    Attributes
    ----------
    task
        Name of the group.
    accuracy, loss, margin
        Share of right answers, mean cross-entropy and least lead of the right logit, over all rows.
    train_loss, test_loss
        Mean cross-entropy over the training rows and over the others, if known.
    spectrum
        Spectral weights and similarities of the logits.
    key, spectral_count
        Features with b of at least .005; fewest that carry 95 % of sum b^2.
    progress, ablations
        Losses with and without features (Nanda et al.; Chughtai et al.).
    learned
        Algorithm that the network learned, with the evidence that decides.
    clock_pizza
        Verdict of Zhong et al.'s measures.
    weights, hidden, gini, squared_weights
        Measures of the weights; ``None`` if these are unknown.
    cosets
        Largest coset concentration of a live neuron and the share of neurons below .1, for the left
        and the right factor's weights; ``None`` without weights, for a transformer, and for groups
        without proper subgroups.
    unknown
        Reasons for missing measures, by name.
    """

    task: str
    features: tuple[str, ...]
    accuracy: float
    loss: float
    margin: float
    train_loss: float | None
    test_loss: float | None
    spectrum: LogitSpectrum
    key: Bool[np.ndarray, " feature"]
    spectral_count: int
    progress: Progress
    ablations: LogitAblations
    learned: LearnedAlgorithm
    clock_pizza: ClockPizza
    weights: Mapping[str, Float[np.ndarray, " feature"]] | None
    hidden: HiddenShares | None
    gini: float | None
    squared_weights: float | None
    cosets: Mapping[str, float] | None
    unknown: Mapping[str, str] = field(default_factory=dict)

    @property
    def key_features(self) -> tuple[str, ...]:
        """Names of the key features."""
        return tuple(n for n, is_key in zip(self.features, self.key, strict=True) if is_key)

    def to_dict(self) -> dict[str, Any]:
        """Return the measures as plain values for JSON; unknown ones are null."""

        def named(values: np.ndarray | None) -> dict[str, float] | None:
            if values is None:
                return None
            return dict(zip(self.features, values.tolist(), strict=True))

        hidden, clock, learned = self.hidden, self.clock_pizza, self.learned
        values = {
            "task": self.task,
            "algorithm": learned.algorithm,
            "summary": learned.summary,
            "evidence": [*learned.evidence, *clock.evidence],
            "candidates": list(learned.candidates),
            "same_logits": list(learned.same_logits),
            "algorithms": dict(learned.compared),
            "hidden_evidence": None if learned.hidden is None else vars(learned.hidden),
            "accuracy": self.accuracy,
            "loss": self.loss,
            "margin": self.margin,
            "train_loss": self.train_loss,
            "test_loss": self.test_loss,
            "key_features": list(self.key_features),
            "spectral_count": self.spectral_count,
            "sum_b2": float(self.spectrum.total[0]),
            "spectral_weights": named(self.spectrum.spectral_weights[0]),
            "logit_similarity": named(self.spectrum.similarity[0]),
            "logit_variance_explained": float(self.spectrum.explained[0].sum()),
            "logit_restricted_loss": named(self.ablations.restricted),
            "logit_excluded_loss": named(self.ablations.excluded),
            "total_logit_restricted_loss": self.ablations.total_restricted,
            "total_logit_excluded_loss": self.ablations.total_excluded,
            "trig_loss": self.progress.restricted,
            "restricted_loss": self.progress.restricted,
            "excluded_loss": self.progress.excluded,
            "excluded_loss_each": named(self.progress.excluded_each),
            "clock_or_pizza": clock.verdict,
            "clock_or_pizza_evidence": list(clock.evidence),
            "gradient_symmetricity": clock.gradient_symmetricity,
            "gradient_symmetricity_error_of_100": clock.symmetricity_error,
            "distance_irrelevance": clock.distance_irrelevance,
            "distance_irrelevance_runner_up": clock.distance_irrelevance_runner_up,
            "circularity": clock.circularity,
            "circles": [vars(circle) for circle in clock.circles],
            "weight_shares": None
            if self.weights is None
            else {name: named(shares) for name, shares in self.weights.items()},
            "hidden_left": named(None if hidden is None else hidden.left),
            "hidden_right": named(None if hidden is None else hidden.right),
            "hidden_product": named(None if hidden is None else hidden.product),
            "hidden_restricted_loss": named(None if hidden is None else hidden.restricted),
            "hidden_excluded_loss": named(None if hidden is None else hidden.excluded),
            "total_hidden_restricted_loss": None if hidden is None else hidden.total_restricted,
            "total_hidden_excluded_loss": None if hidden is None else hidden.total_excluded,
            "neurons_of_one_feature": None if hidden is None else _above(hidden.share, 0.85),
            "gini": self.gini,
            "squared_weights": self.squared_weights,
            "cosets": None if self.cosets is None else dict(self.cosets),
            "unknown": dict(self.unknown),
        }
        return finite(values)


def examine(
    logits: Float[np.ndarray, "row class"],
    task: Task,
    *,
    network: Network | None = None,
    train: Int[np.ndarray, " chosen"] | None = None,
    triples: int = TRIPLES,
) -> Mechanism:
    """Measure a function on a group's table of pairs, with its weights if known.

    Parameters
    ----------
    logits
        Logits in the task's row order, shape (row, class), from any code.
    network
        Network of the same function, as an ensemble of one.
    train
        Numbers of the training rows, if known.
    triples
        Number of triples of the gradient symmetricity, which takes most of the time.
    task
        Group task over pairs.

    Raises
    ------
    ValueError
        The task is not a group's table of pairs, or the logits have another shape or are not
        finite.

    Examples
    --------
    >>> from marginlens.groups import group
    >>> from marginlens.tasks import task
    >>> from marginlens.theory import algorithm
    >>> logits = algorithm("pizza", group("C7"), frequencies=[1]).logits.reshape(49, 7)
    >>> found = examine(logits, task("C7"))
    >>> found.key_features, found.clock_pizza.verdict, found.unknown["circularity"]
    (('k=1',), 'unknown', 'needs the weights, and there are logits alone')
    """
    group_of(task)
    if task.factors != 2:
        raise ValueError(
            f"{task.name} has {task.factors} factors; mechanisms are measured on pairs"
        )
    spectrum = logit_spectrum(logits[None], task)
    key = spectrum.spectral_weights[0] >= KEY
    rows = np.arange(len(logits))
    right = logits[rows, task.answers]
    others = logits.copy()
    others[rows, task.answers] = -np.inf
    margins = right - others.max(1)
    accuracy = float((margins > 0).mean())
    unknown = _unknown(task, network)
    network = None if network is None else network.copy().to(torch.float64)
    test = None if train is None else np.setdiff1d(rows, train)
    layer = (
        hidden_layer(network, task) if network is not None and network.has_hidden_layer else None
    )
    clock_pizza = _clock_pizza(logits, task, network, accuracy, spectrum, key, triples)
    evidence = None
    if network is not None and layer is not None and task.size > 1:
        evidence = hidden_evidence(network, task, layer=layer, spectrum=spectrum)
    return Mechanism(
        task=task.name,
        features=spectrum.features,
        accuracy=accuracy,
        loss=mean_cross_entropy(logits, task.answers),
        margin=float(margins.min()),
        train_loss=None if train is None else mean_cross_entropy(logits, task.answers, train),
        test_loss=None if test is None else mean_cross_entropy(logits, task.answers, test),
        spectrum=spectrum,
        key=key,
        spectral_count=int(spectral_count(spectrum.spectral_weights)[0]),
        progress=progress(logits, task, key, train),
        ablations=logit_ablations(logits, task, key, train, spectrum=spectrum),
        learned=learned_algorithm(logits, task, spectrum, key, clock_pizza, evidence, train),
        clock_pizza=clock_pizza,
        weights=None
        if network is None or "weight_shares" in unknown
        else weight_shares(network, task),
        hidden=None
        if network is None or "hidden" in unknown
        else hidden_shares(network, task, logits, key, train, layer=layer),
        gini=None if network is None else embedding_gini(network, task),
        squared_weights=None if network is None else float(squared_norm(network.tensors)[0]),
        cosets=None if "cosets" in unknown else _cosets(network, task),
        unknown=unknown,
    )


def examine_network(
    network: Network,
    task: Task,
    *,
    member: int = 0,
    train: Int[np.ndarray, " chosen"] | None = None,
    triples: int = TRIPLES,
) -> Mechanism:
    """Measure one member of a network on a group's table of pairs, in float64.

    Parameters
    ----------
    network
        Network or ensemble of this package.
    task
        Group task over pairs.
    member
        Index of the member of the ensemble.
    train
        Numbers of the training rows, if known.
    triples
        Number of triples of the gradient symmetricity.

    Examples
    --------
    >>> from marginlens.networks import construct
    >>> from marginlens.tasks import task
    >>> examine_network(construct(task("C5")), task("C5")).clock_pizza.verdict
    'mixed'
    """
    one = network.member(member).to(torch.float64)
    logits = one.logits(task)[0].cpu().numpy()
    return examine(logits, task, network=one, train=train, triples=triples)


def _unknown(task: Task, network: Network | None) -> dict[str, str]:
    group = task.group
    assert group is not None  # group_of has looked
    unknown = {}
    if network is None:
        return dict.fromkeys(_OF_WEIGHTS, _NEEDS_WEIGHTS)
    if not _in_order(task):
        for name in ("clock_or_pizza", "circularity", "circles"):
            unknown[name] = "is one of cyclic groups, with elements 0, 1, 2, ... in order"
    elif network.has_separate_embeddings:
        unknown["clock_or_pizza"] = (
            "compares gradients in one embedding, and each input has an embedding of its own"
        )
    if reason := network.why_no_hidden_layer():
        unknown["hidden"] = unknown["weight_shares"] = reason
    if not network.neurons_are_measured:
        unknown["cosets"] = "a transformer's neurons have no weights for each element"
    elif group.order > GREATEST_ORDER:
        unknown["cosets"] = f"subgroups are listed up to order {GREATEST_ORDER}"
    elif not any(1 < group.element_orders[g] < group.order for g in range(group.order)):
        unknown["cosets"] = "the group has no subgroups but itself and the trivial one"
    return unknown


def _in_order(task: Task) -> bool:
    """Return whether element k is k times a generator."""
    n = task.size
    return bool(np.array_equal(task.answers, np.add.outer(np.arange(n), np.arange(n)).ravel() % n))


def _clock_pizza(
    logits: np.ndarray,
    task: Task,
    network: Network | None,
    accuracy: float,
    spectrum: LogitSpectrum,
    key: np.ndarray,
    triples: int,
) -> ClockPizza:
    irrelevance = distance_irrelevance(logits, task)
    symmetricity = (
        None if network is None else gradient_symmetricity(network, task, triples=triples)
    )
    total = float(spectrum.total[0])
    mean = None if symmetricity is None else symmetricity.mean
    found: tuple[Circle, ...] = ()
    roundness, cyclic = None, _in_order(task)
    if network is not None and cyclic:
        roundness = circularity(network)
        found = circles(network, task, frequencies=key_frequencies(task, key))
    evidence = [f"answers {accuracy:.1%} of the rows; sum b^2 = {total:.3f}"]
    right = logits[np.arange(len(logits)), task.answers]
    varies = float(right.std()) >= VARIES * float(spectrum.deviation[0])
    if varies:
        words = f"distance irrelevance {irrelevance:.3f} (pizza: below {IRRELEVANT:.3f})"
    else:
        words = "the right answer's logit hardly varies: its distance irrelevance says nothing"
    evidence.append(words)
    if mean is not None:
        evidence.append(f"gradient symmetricity {mean:.3f} (pizza: above {SYMMETRIC:.3f})")
    if found:
        evidence.append(_of_circles(found))
    verdict: Kind = "unknown"
    if cyclic and (network is None or not network.has_separate_embeddings):
        verdict = _verdict(mean, irrelevance if varies else np.nan, accuracy, total, found)
    return ClockPizza(
        verdict,
        mean,
        None if symmetricity is None else symmetricity.standard_error(100),
        irrelevance,
        distance_irrelevance(logits, task, runner_up=True),
        roundness,
        found,
        tuple(evidence),
        varies,
    )


def _of_circles(found: tuple[Circle, ...]) -> str:
    """Return the sentence on the share of each circle's logits that clock and pizza explain."""
    which = f"k={found[0].frequency}" if len(found) == 1 else f"{len(found)} frequencies"
    forms = [circle.form for circle in found]
    if set(forms) == {"neither"}:
        return f"circle of {which}, each alone: neither clock nor pizza explains half of its logits"
    ranges = []
    for name in ("clock", "pizza"):
        shares = [getattr(circle, name) for circle in found]
        least, most = (f"{share:.1%}" for share in (min(shares), max(shares)))
        ranges.append(f"{name} explains {least if least == most else f'{least} to {most}'}")
    counts = [f"{forms.count(form)} {form}" for form in ("clock", "pizza") if form in forms]
    if "neither" in forms:
        counts.append(f"{forms.count('neither')} neither (below {EXPLAINED:.0%})")
    return f"circle of {which}, each alone: {', '.join(ranges)}; by the better: {', '.join(counts)}"


def _verdict(
    symmetricity: float | None,
    irrelevance: float,
    accuracy: float,
    total: float,
    found: tuple[Circle, ...],
) -> Kind:
    if accuracy < 0.9 or total < 0.5:
        return "neither"
    if symmetricity is None:
        return "unknown"
    if not any(max(circle.clock, circle.pizza) > 0 for circle in found):
        return "neither"
    if symmetricity > SYMMETRIC and irrelevance < IRRELEVANT:
        return "pizza"
    if symmetricity < SYMMETRIC and irrelevance > IRRELEVANT:
        return "clock"
    return "mixed"


def _cosets(network: Network | None, task: Task) -> dict[str, float]:
    assert network is not None
    assert task.group is not None
    u, v = element_tables(network, task).values()
    found = coset_concentration(u, v, task.group)
    result = {}
    for name, values in (("left", found.left), ("right", found.right)):
        live = values[~np.isnan(values)]
        result[f"largest_{name}"] = float(live.max(initial=0.0))
        result[f"share_{name}"] = _above(-live, -0.1)
    return result


def finite(value: Any) -> Any:
    """Replace numbers that JSON lacks by null.

    Parameters
    ----------
    value
        Plain value of any nesting.
    """
    if isinstance(value, dict):
        return {name: finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _above(values: np.ndarray, least: float) -> float:
    """Share of the values, without those that are nan, of at least so much."""
    live = values[~np.isnan(values)]
    return float((live >= least).mean()) if len(live) else 0.0
