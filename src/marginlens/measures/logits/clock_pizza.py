r"""Clock and pizza measures of Zhong et al.: gradients, distances and circles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from marginlens.measures.ensembles.observables import KEY
from marginlens.measures.logits.spectrum import group_of, logit_spectrum
from marginlens.networks import Network
from marginlens.tasks import Task

__all__ = [
    "TRIPLES",
    "Circle",
    "Symmetricity",
    "circles",
    "circularity",
    "distance_irrelevance",
    "gradient_symmetricity",
    "key_frequencies",
]


TRIPLES = 206_000
"""All triples (a, b, c) up to p = 59."""

EXPLAINED = 0.5
"""Share of a circle's logits that a formula must explain for the circle to be called by its name."""

PUBLISHED_MEANS = (
    (0.1, 0.994, 0.289),
    (0.5, 0.992, 0.297),
    (0.7, 0.827, 0.520),
    (0.9, 0.586, 0.732),
    (1.1, 0.451, 0.820),
)
"""Zhong et al.'s 817 networks, by attention rates below the first number: mean gradient symmetricity and
distance irrelevance."""


SYMMETRIC, IRRELEVANT = (
    (a + b) / 2 for a, b in zip(PUBLISHED_MEANS[0][1:], PUBLISHED_MEANS[-1][1:], strict=True)
)
"""Gradient symmetricity and distance irrelevance in the middle between both ends' published means."""


def distance_irrelevance(
    logits: Float[np.ndarray, "row class"], task: Task, *, runner_up: bool = False
) -> float:
    r"""Return the share of the right logit's deviation that distances do not explain.

    With $Q_{ab}$ the logit of the right class of (a, b), and pairs sorted by their distance
    $ab^{-1}$
    (a - b on a cyclic group),

    $$\frac{\operatorname{mean}_d\,\operatorname{std}\{Q_{ab} : ab^{-1} =
    d\}}{\operatorname{std}\,Q}$$

    The value is 0 if the logit is a function of the distance alone, as a pizza's is, and near 1 if
    it is independent of the distance, as a clock's is. It is NaN if all Q are equal, as for a sum
    of cosines of w(a + b - c).

    Parameters
    ----------
    logits
        Logits in the task's row order, shape (row, class).
    task
        Group task over pairs.
    runner_up
        Whether to use the largest logit of a wrong class instead, as the authors' training script
        did.

    Notes
    -----
    Zhong, Liu, Tegmark and Andreas 2023, *The clock and the pizza*, section 4.

    Examples
    --------
    >>> from marginlens.groups import group
    >>> from marginlens.tasks import task
    >>> from marginlens.theory import algorithm
    >>> pizza = algorithm("pizza", group("C7"), frequencies=[1]).logits.reshape(49, 7)
    >>> round(distance_irrelevance(pizza, task("C7")), 12)
    0.0
    """
    group = group_of(task)
    if task.factors != 2:
        raise ValueError(f"expected a task over pairs, got {task.name}; for example C59")
    rows = np.arange(len(task.answers))
    right = logits[rows, task.answers]
    if runner_up:
        others = logits.copy()
        others[rows, task.answers] = -np.inf
        right = others.max(1)
    a, b = task.inputs.T
    order = np.argsort(group.table[a, group.inverses[b]], kind="stable")
    spread = float(right.std())
    if spread <= 64 * np.finfo(np.float64).eps * float(np.abs(right).max(initial=0)):
        return float("nan")
    return float(right[order].reshape(group.order, -1).std(1).mean()) / spread


@dataclass(frozen=True)
class Symmetricity:
    """Gradient symmetricity with its uncertainty.

    Attributes
    ----------
    mean, deviation
        Mean and standard deviation of the cosines over triples (a, b, c).
    triples
        Number of triples in the mean.
    exact
        Whether the mean is over all triples.
    """

    mean: float
    deviation: float
    triples: int
    exact: bool

    def standard_error(self, triples: int) -> float:
        """Return the standard error of the mean over a number of random triples."""
        return self.deviation / triples**0.5


def gradient_symmetricity(
    network: Network, task: Task, *, triples: int = TRIPLES, seed: int = 0
) -> Symmetricity:
    r"""Return the mean cosine between the logits' gradients in both inputs' embeddings.

    $$\operatorname{mean}_{a,b,c} \cos\!\left(\frac{\partial Q_{abc}}{\partial E_a},
      \frac{\partial Q_{abc}}{\partial E_b}\right)$$

    1 for a network that only sees the sum of both embeddings, as any MLP does in the inputs of its
    neurons. The authors take 100 random triples; here they are all classes of all pairs, or, where
    there
    are more than ``triples`` (above p = 59), of as many random pairs as they allow. A triple with a
    zero
    gradient counts as 0.

    Parameters
    ----------
    network
        Ensemble of one network.
    task
        Task over pairs of elements.
    triples
        Number of triples (a, b, c) up to which all are used.
    seed
        Seed of the random pairs.

    Notes
    -----
    Zhong et al. 2023, Definition 4.1.
    """
    if task.factors != 2:
        raise ValueError(f"expected a task over pairs, got {task.name}; for example C59")
    count = len(task.answers)
    chosen = np.arange(count)
    pairs = max(1, triples // task.classes)
    if count > pairs:
        chosen = np.sort(np.random.default_rng(seed).permutation(count)[:pairs])
    inputs = torch.as_tensor(task.inputs[chosen])
    rows = len(chosen)
    # each pair gets embeddings of its own, so one pass backwards gives all pairs' gradients
    one_table = len(network.embeddings()) == 1
    places = torch.arange(rows)
    tables, columns = {}, []
    for name, table in network.embeddings().items():
        slots = [0, 1] if one_table else [len(tables)]
        tables[name] = torch.cat([table[:, inputs[:, slot]] for slot in slots], dim=1).detach()
        columns += [places + rows * place for place in range(len(slots))]
    own = network.with_embeddings(tables)
    leaves = [own.get_parameter(name) for name in tables]
    with torch.enable_grad():
        logits = own(torch.stack(columns, 1))[0]
    cosines = torch.empty(rows, task.classes, dtype=torch.float64)
    for c in range(task.classes):
        gradients = torch.autograd.grad(
            logits[:, c].sum(), leaves, retain_graph=c + 1 < task.classes
        )
        toward = [gradient[0, : rows * (1 + one_table)] for gradient in gradients]
        first, second = toward[0].chunk(2) if one_table else toward
        cosines[:, c] = torch.nn.functional.cosine_similarity(
            _scaled(first), _scaled(second), dim=-1
        )
    return Symmetricity(
        float(cosines.mean()), float(cosines.std()), cosines.numel(), count <= pairs
    )


def _scaled(vectors: Tensor) -> Tensor:
    """Vectors divided by their largest entry, so that cosines are those of tiny ones too."""
    largest = vectors.abs().amax(-1, keepdim=True)
    return vectors / largest.clamp_min(torch.finfo(vectors.dtype).tiny)


def circularity(network: Network) -> float:
    r"""Return the share of the first principal components on single frequencies.

    With $v$ the first four principal components over the elements (unit vectors),
    $\operatorname{mean}_v \max_k \frac2p |\sum_t v_t e^{2\pi i k t/p}|^2$: 1 if each is a cosine of
    one frequency. With separate tables it is the mean over slots. The group is C_p, with elements
    in order.

    Parameters
    ----------
    network
        Ensemble of one network with embeddings.

    Notes
    -----
    Zhong et al. 2023, section 4.
    """
    return float(np.mean([_circularity(table) for table in network.embeddings().values()]))


def _circularity(table: Tensor) -> float:
    left, _, _ = _components(table[0])
    power = _power(left[:, :4])
    return float(power.max(0).mean())


def _components(table: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Principal components over the elements, their sizes, and their directions.

    Components of equal size are any rotation of one another: those of one frequency each are taken.
    """
    values = table.detach().double().cpu().numpy()
    left, sizes, right = np.linalg.svd(values - values.mean(0), full_matrices=False)
    p = len(left)
    waves = np.fft.fft(np.eye(p), norm="ortho")
    frequency = np.minimum(np.arange(p), p - np.arange(p))
    start = 0
    while start < len(sizes) and sizes[start] > 1e-9 * sizes[0]:
        stop = start + int((sizes[start:] > sizes[start] * (1 - 1e-6)).sum())
        if stop - start > 2:
            seen = np.conj(waves) @ left[:, start:stop]
            _, turn = np.linalg.eigh(np.real(np.conj(seen).T @ (frequency[:, None] * seen)))
            left[:, start:stop] = left[:, start:stop] @ turn
            right[start:stop] = turn.T @ right[start:stop]
        start = stop
    return left, sizes, right


def _power(vectors: Float[np.ndarray, "element vector"]) -> Float[np.ndarray, "frequency vector"]:
    """Return 2/p |sum_t v_t exp(2 pi i k t/p)|^2 from k = 1 on; 1/p at k = p/2."""
    p = len(vectors)
    power = 2 / p * np.abs(np.fft.rfft(vectors, axis=0)[1:]) ** 2
    if p % 2 == 0:
        power[-1] /= 2
    return power


@dataclass(frozen=True)
class Circle:
    r"""Circle of a frequency in the embedding, and the logits that it alone gives.

    Each explained share is $2r - 1$, with r the correlation over all (a, b, c) of the logits with
    the
    form: one minus the variance of the difference, both scaled to variance 1 (the authors'
    definition;
    it may be negative). With $w = 2\pi k/p$,

    * ``clock``: $\cos w(a+b-c)$,
    * ``pizza``: $|\cos\tfrac w2(a-b)| \cos w(a+b-c)$,
    * ``absolute``: $|\cos\tfrac w2(a-b)|\,(|\cos\tfrac w2(a+b-c)| - |\sin\tfrac w2(a+b-c)|)$, the
      logits of absolute values of the sum of both embeddings.

    Attributes
    ----------
    frequency, components
        Frequency k, and indices of the two principal components, from 0.
    clock, pizza, absolute
        Share of the logits that each form explains.
    """

    frequency: int
    components: tuple[int, ...]
    clock: float
    pizza: float
    absolute: float

    @property
    def form(self) -> str:
        """``"clock"`` or ``"pizza"``, whichever explains more; ``"neither"`` below one half."""
        if max(self.clock, self.pizza) < EXPLAINED:
            return "neither"
        return "pizza" if self.pizza > self.clock else "clock"


def circles(
    network: Network, task: Task, *, frequencies: list[int] | None = None
) -> tuple[Circle, ...]:
    """Isolate each circle of the embedding, and compare its logits with clock and pizza.

    A circle is the span of the first two principal components with the same largest frequency; the
    others are taken out of the embedding, whose mean stays.

    Parameters
    ----------
    network
        Ensemble of one network with one embedding for both inputs.
    task
        Task of C_p, with elements in order.
    frequencies
        Frequencies of the circles; ``None`` for the key frequencies of the logits.

    Notes
    -----
    Zhong et al. 2023, section 5 and Table 2.
    """
    tables = network.embeddings()
    p = task.size
    if frequencies is None:
        found = logit_spectrum(network.logits(task).double().numpy(), task)
        frequencies = key_frequencies(task, found.spectral_weights[0] >= KEY)
    parts = {name: _components(table[0]) for name, table in tables.items()}
    strongest = {name: _power(part[0]).argmax(0) + 1 for name, part in parts.items()}
    result = []
    for k in frequencies:
        chosen = {name: np.flatnonzero(order == k)[:2] for name, order in strongest.items()}
        components = tuple(next(iter(chosen.values())).tolist())
        if not components:
            continue
        isolated = {
            name: _isolated(tables[name], part, chosen[name]) for name, part in parts.items()
        }
        logits = network.with_embeddings(isolated).logits(task)[0].numpy()
        result.append(Circle(k, components, *_explained(logits.reshape(p, p, p), k)))
    return tuple(result)


def key_frequencies(task: Task, key: Bool[np.ndarray, " feature"]) -> list[int]:
    """Return the frequencies of a cyclic group's key features.

    Parameters
    ----------
    task
        Task of a cyclic group.
    key
        Mask of the key features, shape (feature,).
    """
    return [f.frequency or 0 for f, is_key in zip(task.features, key, strict=True) if is_key]


def _isolated(
    table: Tensor, part: tuple[np.ndarray, np.ndarray, np.ndarray], chosen: np.ndarray
) -> Tensor:
    """Return the embedding of some components only, with its mean."""
    left, values, right = part
    kept = torch.as_tensor((left[:, chosen] * values[chosen]) @ right[chosen])
    return kept[None] + table.detach().double().cpu().mean(1, keepdim=True)


def _explained(logits: Float[np.ndarray, "a b c"], k: int) -> tuple[float, float, float]:
    p = len(logits)
    a, b, c = np.ogrid[:p, :p, :p]
    half = np.pi * k / p
    amplitude = np.abs(np.cos(half * (a - b)))
    angle = half * (a + b - c)
    clock = np.cos(2 * angle)
    absolute = amplitude * (np.abs(np.cos(angle)) - np.abs(np.sin(angle)))
    return _share(logits, clock), _share(logits, amplitude * clock), _share(logits, absolute)


def _share(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(), y - y.mean()
    length = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(2 * (x * y).sum() / length - 1) if length > 0 else 0.0
