"""Lottery of frequencies: final frequency of each neuron, predicted from its start."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from marginlens.measures.dynamics.lottery_alone import grow_alone
from marginlens.measures.ensembles.intervals import clopper_pearson
from marginlens.measures.measurement import measure
from marginlens.measures.neurons.phases import generator_powers
from marginlens.networks import MLP
from marginlens.tasks import Task
from marginlens.theory import Activation, growth_time
from marginlens.training import Recipe

__all__ = [
    "RULES",
    "Lottery",
    "RuleScore",
    "Tickets",
    "departures",
    "draw_tickets",
    "score_tickets",
    "ticket_time",
    "why_no_lottery",
]

Reals = Float[np.ndarray, "*shape"]


@dataclass(frozen=True, eq=False)
class Tickets:
    """Initial magnitudes and misalignment of each frequency in each neuron.

    Attributes
    ----------
    magnitude
        |û|, |v̂|, |ŵ| with û = sum_j u(g^j) exp(-2 pi i k j / n), in the order of ``task.slots`` and w.
    misalignment
        D = theta_u + theta_v - theta_w in (-pi, pi]; 2 phi - psi with tied embeddings.
    time
        Time at which the frequency becomes infinite under gradient flow of the mean cross-entropy,
        for an isolated neuron and small logits (:func:`marginlens.theory.growth_time`). It is
        learning rate times step for x^2 and plain SGD; for other activations only its order within
        a neuron is meaningful.
    """

    magnitude: Float[np.ndarray, "neuron feature slot"]
    misalignment: Float[np.ndarray, "neuron feature"]
    time: Float[np.ndarray, "neuron feature"]

    @property
    def product(self) -> Float[np.ndarray, "neuron feature"]:
        """Product of the magnitudes, |û| |v̂| |ŵ|."""
        return self.magnitude.prod(axis=-1)

    def winner(self, rule: str) -> Int[np.ndarray, " neuron"]:
        """Return the frequency that a rule predicts, as an index among the task's features.

        Parameters
        ----------
        rule
            Name of the rule, one of ``RULES``.

        Raises
        ------
        ValueError
            The rule is unknown.
        """
        if rule not in RULES:
            raise ValueError(f"unknown rule {rule!r}; there are {', '.join(RULES)}")
        return RULES[rule](self).argmax(axis=1)


RULES: Mapping[str, Callable[[Tickets], Float[np.ndarray, "neuron feature"]]] = MappingProxyType(
    {
        "time": lambda tickets: -tickets.time,
        "ticket": lambda tickets: tickets.product * np.cos(tickets.misalignment),
        "magnitude": lambda tickets: tickets.product,
        "phase": lambda tickets: np.cos(tickets.misalignment),
    }
)
"""Rules by name, from tickets to a score whose largest wins.

``"time"``: the frequency that would be infinite first. ``"ticket"``: that which grows fastest at the
start, |û||v̂||ŵ| cos D: large and well aligned. ``"magnitude"`` and ``"phase"``: either alone.
"""


@dataclass(frozen=True)
class RuleScore:
    """Success of a rule: count, share, and the share's 95 % interval.

    The interval is Clopper and Pearson's and assumes independent neurons, although those of one
    network compete.
    """

    right: int
    share: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Lottery:
    """Frequencies predicted from the start, compared with the trained network.

    Attributes
    ----------
    task, order, tied, frequencies
        Name of the task; order n; whether embeddings are shared; frequencies in the order of the
        features.
    tickets
        Tickets of the neurons of all scored members, one member after the other.
    final
        Dominant feature of each neuron after training, -1 for a dead neuron.
    purity
        Median share of a live neuron's energy at that feature: a mixed neuron has no clear winner.
    scores
        Scores by rule of ``RULES`` (and ``"alone"``, if requested), over live neurons; empty if all
        are dead.
    chance
        Share that a guess at random gets right, 1 / number of frequencies: 2 / (p - 1).
    commonest
        Share of the most common final frequency of each member: the success of the best constant
        guess.
    """

    task: str
    order: int
    tied: bool
    frequencies: tuple[int, ...]
    tickets: Tickets
    final: Int[np.ndarray, " neuron"]
    purity: float
    scores: Mapping[str, RuleScore]
    chance: float
    commonest: float

    @property
    def live(self) -> int:
        """Number of neurons that are alive after training."""
        return int((self.final >= 0).sum())

    def to_dict(self) -> dict[str, Any]:
        """Return a summary as plain values for JSON."""
        return {
            "task": self.task,
            "frequencies": len(self.frequencies),
            "live_neurons": self.live,
            "dead_neurons": len(self.final) - self.live,
            "median_purity": self.purity if self.live else None,
            "chance": self.chance,
            "commonest": self.commonest if self.live else None,
            "first_growth_time": float(self.tickets.time.min()),
            "rules": {
                name: {"right": s.right, "share": s.share, "interval": [s.low, s.high]}
                for name, s in self.scores.items()
            },
        }


def why_no_lottery(task: Task, activation: Activation) -> str:
    """Return the reason why a task or activation has no lottery; empty if it has one.

    Parameters
    ----------
    task
        Task that the networks learn.
    activation
        Activation of the networks.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> from marginlens.theory import parse_activation
    >>> why_no_lottery(task("C23"), parse_activation("relu"))
    ''
    """
    group = task.group
    if task.factors != 2 or group is None or group.generator is None:
        return (
            f"{task.name} has no lottery of frequencies: that is for two inputs of a cyclic group, "
            "such as C23"
        )
    if activation.at_minus_one == -1:
        return (
            f"{activation.name} is odd, and frequencies grow by the even part of an activation: take "
            "x^2 or relu"
        )
    return ""


def departures(recipe: Recipe) -> list[str]:
    """Return the recipe's differences from the setting of the rule ``"time"``, as phrases.

    Parameters
    ----------
    recipe
        Recipe of the training.

    Examples
    --------
    >>> departures(Recipe(task="C23", optimizer="sgd", strength=0.0, init_scale=0.1))
    []
    >>> departures(Recipe(task="C23", activation="relu", strength=0.0, init_scale=0.1))
    ['relu: only its even part, to leading order', 'adam: steps are not along the gradient']
    """
    found = []
    if recipe.activation != "x^2":
        found.append(f"{recipe.activation}: only its even part, to leading order")
    if recipe.optimizer != "sgd":
        found.append(f"{recipe.optimizer}: steps are not along the gradient")
    if recipe.init_scale is None:
        found.append("init_scale n^(-1/2): logits are not small at the start; take 0.1 or less")
    if not recipe.is_population or recipe.batch is not None:
        found.append("rows or labels: not the whole table at every step")
    if recipe.strength and recipe.tied:
        found.append("a penalty with tied embeddings: u and w shrink at two rates")
    return found


def draw_tickets(network: MLP, task: Task, *, member: int = 0) -> Tickets:
    """Return the tickets in one member's initial weights.

    Parameters
    ----------
    network
        MLP before training, with an even part of its activation: gradient flow from small weights
        depends only on the quadratic part of sigma(h). For x^2 it is everything. For another sigma,
        with h = u(a) + v(b) approximately normal over the table, it is the second Hermite
        coefficient, the same for all frequencies of a neuron.
    task
        Task of the product of two elements of a cyclic group.
    member
        Index of the member of the ensemble.

    Raises
    ------
    ValueError
        The task is another one, the activation is odd, or the shapes are inconsistent.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> from marginlens.theory import parse_activation
    >>> start = MLP.initial(task("C7"), parse_activation("x^2"), width=3, scale=0.1)
    >>> tickets = draw_tickets(start, task("C7"))
    >>> tickets.time.shape, tickets.winner("time")
    ((3, 3), array([1, 0, 0]))
    """
    why, group = why_no_lottery(task, network.activation), task.group
    if why or group is None:
        raise ValueError(why)
    network.require_task(task)
    parameters = network.untied().tensors
    powers = generator_powers(group)
    k = np.array(_frequencies(task))
    waves = np.stack(
        [
            np.fft.fft(parameters[slot][member].detach().double().cpu().numpy()[powers], axis=0)[
                k
            ].T
            for slot in (*task.slots, "w")
        ],
        axis=-1,
    )
    magnitude = np.abs(waves)
    misalignment = np.angle(waves[..., 0] * waves[..., 1] * waves[..., 2].conj())
    u, v, w = (magnitude[..., slot] for slot in range(3))
    time = ticket_time(u, v, w, misalignment, order=group.order, tied=network.tied)
    return Tickets(magnitude, misalignment, time)


def ticket_time(
    u: Reals, v: Reals, w: Reals, misalignment: Reals, *, order: int, tied: bool = False
) -> Reals:
    """Return the time of gradient flow until a frequency on C_n is infinite, for x^2.

    n^2/2 times :func:`marginlens.theory.growth_time`. Tied embeddings move twice as fast, which is
    as
    with u = v of size |û| / sqrt 2 and everything at twice the speed.

    Parameters
    ----------
    u, v, w, misalignment
        Magnitudes |û|, |v̂|, |ŵ| and misalignment D in radians, all of one shape.
    order
        Order n of the cyclic group.
    tied
        Whether u and v are the same weights.

    Examples
    --------
    >>> ones = np.ones(1)
    >>> ticket_time(ones, ones, ones, np.zeros(1), order=10).round(9)
    array([50.])
    """
    size, speed = (np.sqrt(0.5), 2.0) if tied else (1.0, 1.0)
    return growth_time(size * u, size * v, w, misalignment) * order**2 / (2 * speed)


def score_tickets(
    start: MLP, final: MLP, task: Task, *, members: Sequence[int] | None = None, alone: bool = False
) -> Lottery:
    """Predict every neuron's frequency by every rule, and count the successes.

    Parameters
    ----------
    start, final
        Network before and after training.
    task
        Task of the product of two elements of a cyclic group.
    members
        Indices of the members to score together; all by default.
    alone
        Whether to score ``"alone"`` too: each isolated neuron's gradient flow, integrated
        (:func:`grow_alone`). It takes seconds; for x^2 it equals ``"time"``, for other activations
        it is the exact rule.

    Raises
    ------
    ValueError
        :func:`draw_tickets` refuses, the two networks differ in size, or a member does not exist.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> from marginlens.training import initial_network, recipe_for, train
    >>> c5 = task("C5")
    >>> recipe = recipe_for(c5, width=32, strength=0.0, init_scale=0.1, optimizer="sgd",
    ...     learning_rate=1.0, schedule="constant", steps=200, compile="never")
    >>> found = score_tickets(initial_network(c5, recipe), train(c5, recipe).network, c5)
    >>> found.scores["time"].share > found.scores["magnitude"].share > found.chance
    True
    """
    if (start.members, start.width) != (final.members, final.width):
        raise ValueError(
            f"the start has {start.members} members of {start.width} neurons and the trained network "
            f"{final.members} of {final.width}: they must be one network before and after training"
        )
    chosen = list(range(final.members)) if members is None else list(members)
    for member in chosen:
        if not 0 <= member < final.members:
            raise ValueError(f"expected a member from 0 to {final.members - 1}, got {member}")
    drawn = [draw_tickets(start, task, member=i) for i in chosen]
    measured = [measure(final, task, member=i) for i in chosen]
    if not drawn:
        raise ValueError("expected at least one member, got none; for example 0")
    tickets = Tickets(
        *(
            np.concatenate([getattr(one, name) for one in drawn])
            for name in ("magnitude", "misalignment", "time")
        )
    )
    dominant = np.concatenate([one.dominant for one in measured])
    power = np.concatenate([one.max_power for one in measured])
    live = dominant >= 0
    commonest = sum(int(one.count.max()) for one in measured)
    rules = {name: tickets.winner(name) for name in RULES}
    if alone:
        rules["alone"] = np.concatenate([grow_alone(start, task, member=i) for i in chosen])
    scores = {n: _score(one, dominant) for n, one in rules.items()} if live.any() else {}
    return Lottery(
        task=task.name,
        order=task.size,
        tied=start.tied,
        frequencies=_frequencies(task),
        tickets=tickets,
        final=dominant,
        purity=float(np.median(power[live])) if live.any() else float("nan"),
        scores=MappingProxyType(scores),
        chance=1 / len(task.features),
        commonest=commonest / int(live.sum()) if live.any() else float("nan"),
    )


def _frequencies(task: Task) -> tuple[int, ...]:
    return tuple(f.frequency for f in task.features if f.frequency is not None)


def _score(predicted: Int[np.ndarray, " neuron"], final: Int[np.ndarray, " neuron"]) -> RuleScore:
    live = final >= 0
    right, neurons = int((predicted == final)[live].sum()), int(live.sum())
    low, high = clopper_pearson(np.array(right), neurons)
    return RuleScore(right, right / neurons, float(low), float(high))
