"""The tour's five steps: words, what a visitor can change, and what it changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import factorial, sqrt
from typing import Any

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from marginlens.explorer.components import address
from marginlens.explorer.jobs.recorded_neurons import recorded
from marginlens.figures.run.neuron_snapshot import moment_figure, moment_heights
from marginlens.figures.style import SUPERSCRIPTS, number
from marginlens.figures.theory.tour import (
    answer_figure,
    cancelling_figure,
    dial_figure,
    frequencies_figure,
    ranges_figure,
    signs_figure,
)
from marginlens.networks import construct
from marginlens.tasks import Task, task
from marginlens.theory import Interference, Prediction, interference, predict

__all__ = ["STEPS", "Control", "Shown", "Step", "Values"]

Values = Mapping[str, Any]
"""What the controls are set to: text of a choice, a whole number of a slider."""

_GROUPS = ("S3", "S4", "A4", "A5", "Q8", "SL(2,3)")
_MOST_CHOSEN = 60  # sets of frequencies tried for each number of them


@dataclass(frozen=True)
class Control:
    """A choice among words, or a slider from ``least`` to what the step says.

    Attributes
    ----------
    name, label
        In the address, and on the page.
    usual
        Where it stands at first.
    choices
        Of a choice; none for a slider.
    least, most
        Of a slider; the step may lower ``most``.
    """

    name: str
    label: str
    usual: str | int
    choices: tuple[str, ...] = ()
    least: int = 0
    most: int = 1


@dataclass(frozen=True, eq=False)
class Shown:
    """What a step shows at some values.

    Attributes
    ----------
    words
        What is seen, in one sentence.
    figures
        By name.
    most
        Greatest values of sliders, where they depend on other controls.
    links
        Where to go from here: words and address.
    """

    words: str
    figures: dict[str, go.Figure]
    most: dict[str, int] = field(default_factory=dict)
    links: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Step:
    """One step of the tour.

    Attributes
    ----------
    short, title, lead
        In the list of steps, above the page, and below the title.
    text
        Paragraphs.
    controls
        What a visitor can change.
    captions
        Names of the figures, with their captions.
    draw
        From values to what is shown.
    heights
        From values to new heights of the one figure's traces and the words, where nothing else changes.
    """

    short: str
    title: str
    lead: str
    text: tuple[str, ...]
    controls: tuple[Control, ...]
    captions: Mapping[str, tuple[str, ...]]
    draw: Callable[[Values], Shown]
    heights: Callable[[Values], tuple[list[Float[np.ndarray, " point"]], str]] | None = None


# ---------------------------------------------------------------------- the mystery


def _mystery(values: Values) -> Shown:
    kept, moment = recorded(), values["moment"]
    drawn = moment_figure(
        task("C23"),
        kept.weights[moment],
        kept.neurons,
        what=f"weights u of {len(kept.neurons)} of 200 neurons",
        reach=1.12 * np.abs(kept.weights).max((0, 1)),
        dominant=_last_features(),
    )
    links = (
        ("Train it yourself, and watch", address("/watch", task="C23")),
        ("What was predicted for it", address("/predict", task="C23")),
    )
    return Shown(_moment_words(moment), {"mystery": drawn}, links=links)


def _moment_heights(values: Values) -> tuple[list[Float[np.ndarray, " point"]], str]:
    moment = values["moment"]
    return moment_heights(task("C23"), recorded().weights[moment]), _moment_words(moment)


def _moment_words(moment: int) -> str:
    kept = recorded()
    when = "Before training" if moment == 0 else f"After {kept.steps[moment]} steps"
    chance = "" if moment else ", as by chance"
    least = np.floor(1000 * _purities()[moment].min()) / 1000
    return (
        f"{when} the network answers {kept.accuracy[moment]:.0%} of the 529 sums rightly{chance}; of "
        f"the energy of each of these neurons at least {least:.1%} is in its strongest frequency."
    )


@lru_cache(maxsize=1)
def _spectra() -> Float[np.ndarray, "moment neuron feature"]:
    chosen = task("C23")
    weights = recorded().weights.swapaxes(1, 2)
    power = np.stack([feature.power(weights) for feature in chosen.features], -1)
    return power / power.sum(-1, keepdims=True)


def _purities() -> Float[np.ndarray, "moment neuron"]:
    return _spectra().max(-1)


def _last_features() -> np.ndarray:
    return _spectra()[-1].argmax(-1)


# ---------------------------------------------------------------------- the clock


def _clock(values: Values) -> Shown:
    n = int(values["hours"])
    half = (n - 1) // 2
    k, a, b = max(1, min(values["k"], half)), min(values["a"], n - 1), min(values["b"], n - 1)
    others = np.cos(2 * np.pi * k * np.arange(1, n) / n).max()
    turns = "turn" if k == 1 else "turns"
    words = (
        f"{a} + {b} = {(a + b) % n} modulo {n}. At frequency k = {k}, {n} hours are {k} {turns}; the "
        f"right answer is given 1, the best wrong one {others:.3f}."
    )
    figures = {"dial": dial_figure(n, k, a, b), "answers": answer_figure(n, k, a, b)}
    links = (
        (f"Predict addition modulo {n}", address("/predict", task=f"C{n}")),
        ("Watch it being learned", address("/watch", task=f"C{n}")),
    )
    return Shown(words, figures, {"k": half, "a": n - 1, "b": n - 1}, links)


# ---------------------------------------------------------------------- sinusoids and the margin


@lru_cache(maxsize=8)
def _leads(order: int) -> Interference:
    return interference(order, range(1, (order - 1) // 2 + 1), sets=_MOST_CHOSEN)


def _margin(values: Values) -> Shown:
    p = int(values["p"])
    half = (p - 1) // 2
    m = max(1, min(values["m"], half))
    found = _leads(p)
    lead = float(found.best[m - 1])
    gamma = sqrt(2 / 27) / (sqrt(p) * (p - 1))
    all_of = "all" if m == half else f"{m} of the {half}"
    words = (
        f"With {all_of} frequencies the right answer leads by {lead:.3f}, which is a normalized margin "
        f"of {lead * (p - 1) / p:.1%} of γ* = {number(gamma, 5)}."
    )
    figures = {
        "cancelling": cancelling_figure(p, found.best_sets[m - 1]),
        "frequencies": frequencies_figure(found, m),
    }
    links = (
        (f"The prediction for C{p}", address("/predict", task=f"C{p}")),
        ("The same with ReLU", address("/predict", task=f"C{p}", activation="relu")),
    )
    return Shown(words, figures, {"m": half}, links)


# ---------------------------------------------------------------------- groups


@lru_cache(maxsize=16)
def _group(spec: str) -> tuple[Task, Prediction, Float[np.ndarray, "element neuron"]]:
    chosen = task(spec)
    weights = construct(chosen).tensors["u"][0].numpy().astype(np.float64)
    return chosen, predict(chosen), weights


def _groups(values: Values) -> Shown:
    spec = values["group"]
    chosen, prediction, weights = _group(spec)
    count = len(chosen.features)
    place = max(1, min(values["irrep"], count)) - 1
    feature, share = chosen.features[place], prediction.features[place]
    power = np.stack([one.power(weights.T) for one in chosen.features])
    own = np.flatnonzero((power.argmax(0) == place) & (power[place] > 0))
    if len(own):
        neuron, what = int(own[0]), f"weights u of neuron {own[0]}, irrep {feature.name}"
        shown = weights[:, neuron]
        words = (
            f"Irrep {feature.name} of {spec} carries {share.greatest_share or 0:.1%} of the norm: "
            f"{len(own)} of the {weights.shape[1]} neurons of an optimal network are its matrix "
            "coefficients, and nothing else."
        )
    else:
        neuron, what = 0, f"a wave of irrep {feature.name}, of no neuron"
        shown = feature.project(np.eye(chosen.size)[:1])[0]
        words = (
            f"Irrep {feature.name} of {spec} cannot be used: no network of maximum margin has a neuron "
            "in it. What is drawn is its character, which no neuron has."
        )
    drawn = moment_figure(
        chosen,
        np.asarray(shown, dtype=float)[:, None],
        [neuron],
        what=what,
        dominant=np.array([place]),
    )
    if not len(own):
        for label in drawn.layout.annotations:
            label.text = label.text.replace(f"neuron {neuron}", "character")
    figures = {"irrep": drawn, "ranges": ranges_figure(prediction, place)}
    links = (
        (f"Everything about {spec}", address("/predict", task=spec)),
        ("All groups with an irrep that cannot be used", address("/atlas", irreps="cannot")),
    )
    return Shown(words, figures, {"irrep": count}, links)


# ---------------------------------------------------------------------- parity


def _parity(values: Values) -> Shown:
    n = max(2, min(values["n"], 12))
    k = max(1, min(values["k"], n, 6))
    gamma = factorial(k) * sqrt(2 * (k + 1) ** -(k + 1))
    power = f"-{k + 1}".translate(SUPERSCRIPTS)
    weights = construct(task(f"parity({n},{k})")).tensors["u"][0].numpy().astype(np.float64)
    words = (
        f"γ* = {k}! √(2 · {k + 1}{power}) = {gamma:.6f}, whatever n is; {2 ** (k - 1)} "
        f"neuron{'s' * (k > 1)} reach it, and look at {k} of the {n} coordinates."
    )
    links = (
        (f"Predict parity({n},{k})", address("/predict", task=f"parity({n},{k})")),
        ("Watch one being learned", address("/watch", task=f"parity({n},{k})")),
    )
    return Shown(words, {"signs": signs_figure(weights)}, {"k": min(n, 6)}, links)


STEPS: tuple[Step, ...] = (
    Step(
        "The mystery",
        "A mystery in small networks",
        "Nobody tells the network what a wave is. Its neurons become waves all the same.",
        (
            "Take all sums of two numbers modulo 23, and train a network with one hidden layer on them. "
            "To the network the numbers are symbols without an order: each has a weight of its own, "
            "drawn at random.",
            "Move the slider through its training. Noise turns into sinusoids, each neuron with one "
            "frequency of its own. A table of sums can be fitted in many ways: why in this one?",
        ),
        (Control("moment", "Moment of the training", 0, most=len(recorded().steps) - 1),),
        {
            "mystery": (
                "Left: a neuron's weight for each number. Right: how its energy is spread over "
                "frequencies. Each has the colour of the frequency that it ends with.",
                "A real training, recorded: marginlens train C23 --steps 1000, x² neurons, seed 0. The "
                "line through the points is their band-limited interpolation.",
            )
        },
        _mystery,
        _moment_heights,
    ),
    Step(
        "The clock",
        "Adding is turning a hand",
        "What can be done with sinusoids: count round a clock.",
        (
            "Make each number an angle, k/n turns for each unit. To add two numbers, turn one hand by "
            "the other. A neuron that squares the sum of two cosines holds their product, and "
            "products of cosines are the cosine of the sum: the network can turn hands.",
            "Its output gives every answer c the cosine of how far it is off. That is 1 for the right "
            "answer, and less for all others.",
        ),
        (
            Control("hours", "Hours on the clock n", "12", ("7", "12", "23", "59")),
            Control("k", "Frequency k", 1, least=1, most=29),
            Control("a", "First number a", 5, most=58),
            Control("b", "Second number b", 9, most=58),
        ),
        {
            "dial": (
                "Each number has a place on the dial; the solid hand is where the sum points.",
            ),
            "answers": (
                "The right answer is marked. Its neighbours are given nearly as much: on a large clock "
                "one frequency tells them apart hardly at all.",
            ),
        },
        _clock,
    ),
    Step(
        "The margin",
        "Why all frequencies, and no mixtures",
        "One sinusoid gets it right by a hair. Many together get it right by far.",
        (
            "Cosines of several frequencies agree at the right answer and disagree elsewhere. Averaged, "
            "what they give to wrong answers cancels.",
            "Training with a small penalty on the weights looks for the largest normalized margin: by "
            "how much the right answer leads, for weights of a given size. Morwani et al. (2024) prove "
            "that for addition modulo a prime p it is γ* = √(2/27) / (√p (p − 1)), and that a wide "
            "enough network reaches it only with neurons of a single frequency each, and with every "
            "frequency present. The waves are what is left when margin is all that counts.",
        ),
        (
            Control("p", "Prime p", "23", ("7", "11", "23", "59")),
            Control("m", "Number of frequencies used", 3, least=1, most=29),
        ),
        {
            "cancelling": (
                "The average keeps its peak at the right answer, and flattens elsewhere.",
            ),
            "frequencies": (
                "Each point is the best set of so many frequencies, in equal parts.",
                f"Of all sets where there are at most {_MOST_CHOSEN}, else of {_MOST_CHOSEN} at random.",
            ),
        },
        _margin,
    ),
    Step(
        "Groups",
        "Not only numbers: every finite group",
        "Frequencies become irreducible representations, and some are never used.",
        (
            "Shuffles of cards and turns of a cube are combined too, one after the other: they form "
            "groups. In place of a frequency each neuron takes one irreducible representation (irrep) "
            "of the group, and its weights are one of the irrep's matrix coefficients.",
            "For many groups Theorem 9 of the article says how much of the norm each irrep carries. "
            "Where it does not apply, a linear program over the characters does: which irreps must be "
            "used, which may, and which cannot. The smallest simple group, A5, never uses its largest "
            "one.",
        ),
        (
            Control("group", "Group", "A5", _GROUPS),
            Control("irrep", "Irrep class", 1, least=1, most=8),
        ),
        {
            "irrep": (
                "Weights over the group's elements, by conjugacy class, and their energy by irrep.",
                "Weights are those of an optimal network that is written down, not trained.",
            ),
            "ranges": ("The shares that a network of maximum margin gives its irreps.",),
        },
        _groups,
    ),
    Step(
        "Parity",
        "Finding the bits that matter",
        "The same principle, without any group.",
        (
            "Inputs are n signs, and the answer is the product of k of them; which, nobody says. A "
            "network of maximum margin weighs these k equally, and gives no weight to any other.",
            "How large its margin is depends on k alone. Any number of bits that do not matter may be "
            "added.",
        ),
        (
            Control("n", "Number of bits n", 10, least=2, most=12),
            Control("k", "Bits that count k", 4, least=1, most=6),
        ),
        {
            "signs": (
                "A row a neuron: blue and orange are the two signs, pale is zero.",
                "Written down from the theorem (Morwani et al. 2024, Theorem 8), not trained.",
            )
        },
        _parity,
    ),
)
"""The steps, first to last."""
