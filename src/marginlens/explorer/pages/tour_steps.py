"""Five steps of the tour: texts, controls, and figures that follow the controls."""

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
"""Values of the controls: a text for a choice, a whole number for a slider."""

_GROUPS = ("S3", "S4", "A4", "A5", "Q8", "SL(2,3)")
_MOST_CHOSEN = 60  # sets of frequencies tried for each size


@dataclass(frozen=True)
class Control:
    """Select with ``choices``, or slider from ``least`` to ``most``.

    Attributes
    ----------
    name, label
        Name in the address, and label on the page.
    usual
        Default value of the control.
    choices
        Options of a select; empty for a slider.
    least, most
        Range of a slider; the step may lower ``most``.
    """

    name: str
    label: str
    usual: str | int
    choices: tuple[str, ...] = ()
    least: int = 0
    most: int = 1


@dataclass(frozen=True, eq=False)
class Shown:
    """Content of a step at given values of its controls.

    Attributes
    ----------
    words
        Description of the figures in one sentence.
    figures
        Plotly figures by name.
    most
        Greatest values of sliders that depend on other controls.
    links
        Links to related pages: text and address.
    """

    words: str
    figures: dict[str, go.Figure]
    most: dict[str, int] = field(default_factory=dict)
    links: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Step:
    """Step of the tour.

    Attributes
    ----------
    short, title, lead
        Label in the list of steps, title of the page, and sentence below the title.
    text
        Paragraphs above the controls.
    controls
        Selects and sliders of the step.
    captions
        Captions of the figures by name.
    draw
        Function from values of the controls to the step's content.
    heights
        Function from values to new heights of the single figure's traces and the text; None if the whole
        figure changes.
    """

    short: str
    title: str
    lead: str
    text: tuple[str, ...]
    controls: tuple[Control, ...]
    captions: Mapping[str, tuple[str, ...]]
    draw: Callable[[Values], Shown]
    heights: Callable[[Values], tuple[list[Float[np.ndarray, " point"]], str]] | None = None


# ---------------------------------------------------------------------- sinusoids


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
        ("Train this network", address("/watch", task="C23")),
        ("Prediction for C23", address("/predict", task="C23")),
    )
    return Shown(_moment_words(moment), {"mystery": drawn}, links=links)


def _moment_heights(values: Values) -> tuple[list[Float[np.ndarray, " point"]], str]:
    moment = values["moment"]
    return moment_heights(task("C23"), recorded().weights[moment]), _moment_words(moment)


def _moment_words(moment: int) -> str:
    kept = recorded()
    when = "Before training" if moment == 0 else f"After {kept.steps[moment]} steps"
    chance = "" if moment else ", as expected by chance"
    least = np.floor(1000 * _purities()[moment].min()) / 1000
    return (
        f"{when} the network answers {kept.accuracy[moment]:.0%} of the 529 sums correctly{chance}. "
        f"Each of these neurons has at least {least:.1%} of its energy in its strongest frequency."
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
        f"{a} + {b} = {(a + b) % n} modulo {n}. At frequency k = {k}, {n} hours are {k} {turns}. The "
        f"right answer gets output 1, the best wrong one {others:.3f}."
    )
    figures = {"dial": dial_figure(n, k, a, b), "answers": answer_figure(n, k, a, b)}
    links = (
        (f"Predict addition modulo {n}", address("/predict", task=f"C{n}")),
        ("Train this network", address("/watch", task=f"C{n}")),
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
        f"With {all_of} frequencies the right answer leads by {lead:.3f}: a normalized margin of "
        f"{lead * (p - 1) / p:.1%} of γ* = {number(gamma, 5)}."
    )
    figures = {
        "cancelling": cancelling_figure(p, found.best_sets[m - 1]),
        "frequencies": frequencies_figure(found, m),
    }
    links = (
        (f"Prediction for C{p}", address("/predict", task=f"C{p}")),
        (f"Prediction for C{p} with ReLU", address("/predict", task=f"C{p}", activation="relu")),
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
            f"the weights of {len(own)} of the {weights.shape[1]} neurons of an optimal network are "
            "matrix coefficients of this irrep."
        )
    else:
        neuron, what = 0, f"character of irrep {feature.name}"
        shown = feature.project(np.eye(chosen.size)[:1])[0]
        words = (
            f"Irrep {feature.name} of {spec} cannot be used: no network of maximum margin has a neuron "
            "in it. The figure shows its character instead."
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
        (f"Prediction for {spec}", address("/predict", task=spec)),
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
        f"γ* = {k}! √(2 · {k + 1}{power}) = {gamma:.6f} for every n. {2 ** (k - 1)} "
        f"neuron{'s' * (k > 1)} suffice{'s' * (k == 1)} to reach it, with nonzero weights on {k} of the "
        f"{n} coordinates."
    )
    links = (
        (f"Prediction for parity({n},{k})", address("/predict", task=f"parity({n},{k})")),
        ("Train this network", address("/watch", task=f"parity({n},{k})")),
    )
    return Shown(words, {"signs": signs_figure(weights)}, {"k": min(n, 6)}, links)


STEPS: tuple[Step, ...] = (
    Step(
        "Sinusoids",
        "Networks that add learn sinusoids",
        "A network trained on addition modulo 23 ends with sinusoidal weights.",
        (
            "Take all sums of two numbers modulo 23, and train a network with one hidden layer on them. "
            "The network sees the numbers as symbols without an order: each has a separate weight, "
            "random at the start.",
            "Move the slider through the training. Random weights turn into sinusoids, each neuron with "
            "a single frequency. A network can fit the table of sums in many ways; the next steps "
            "explain why it ends with this one.",
        ),
        (Control("moment", "Snapshot of the training", 0, most=len(recorded().steps) - 1),),
        {
            "mystery": (
                "Left: a neuron's weight for each number. Right: distribution of its energy over "
                "frequencies. The colour is that of the neuron's final frequency.",
                "Recorded training: marginlens train C23 --steps 1000, x² neurons, seed 0. The line "
                "through the points is their band-limited interpolation.",
            )
        },
        _mystery,
        _moment_heights,
    ),
    Step(
        "The clock",
        "Addition as rotation of a clock hand",
        "Sinusoids let a network add by rotating the hand of a clock.",
        (
            "Represent each number by an angle, k/n turns for each unit. Adding two numbers adds their "
            "angles. A neuron that squares the sum of two cosines contains their product, and sums of "
            "such products give the cosine of the added angles: the network can rotate a hand.",
            "Its output for an answer c is the cosine of the angle between c and the right answer: 1 "
            "for the right answer, less for all others.",
        ),
        (
            Control("hours", "Hours on the clock n", "12", ("7", "12", "23", "59")),
            Control("k", "Frequency k", 1, least=1, most=29),
            Control("a", "First number a", 5, most=58),
            Control("b", "Second number b", 9, most=58),
        ),
        {
            "dial": ("Each number has a position on the dial; the solid hand points to the sum.",),
            "answers": (
                "The right answer is marked. Its neighbours get nearly the same output: on a large "
                "clock a single frequency barely separates them.",
            ),
        },
        _clock,
    ),
    Step(
        "The margin",
        "Many frequencies increase the margin",
        "One frequency gives a small lead to the right answer; many frequencies give a large one.",
        (
            "Cosines of several frequencies agree at the right answer and disagree elsewhere. In their "
            "average, the outputs for wrong answers cancel.",
            "Training with a small penalty on the weights maximizes the normalized margin: the lead of "
            "the right answer for weights of a given norm. Morwani et al. (2024) prove that its maximum "
            "for addition modulo a prime p is γ* = √(2/27) / (√p (p − 1)). A wide enough network "
            "reaches it only if each neuron has a single frequency and every frequency is present. "
            "Maximizing the margin therefore explains the sinusoids.",
        ),
        (
            Control("p", "Prime p", "23", ("7", "11", "23", "59")),
            Control("m", "Number of frequencies used", 3, least=1, most=29),
        ),
        {
            "cancelling": (
                "The average keeps its peak at the right answer and is flat elsewhere.",
            ),
            "frequencies": (
                "Each point is the best set of that many frequencies, with equal weights.",
                f"Best of all sets if they are at most {_MOST_CHOSEN}, else of {_MOST_CHOSEN} random "
                "ones.",
            ),
        },
        _margin,
    ),
    Step(
        "Groups",
        "The same for every finite group",
        "Irreducible representations replace frequencies, and some are never used.",
        (
            "Permutations of cards and rotations of a cube can be composed too: they form groups. "
            "Instead of a frequency, each neuron takes one irreducible representation (irrep) of the "
            "group, and its weights are a matrix coefficient of that irrep.",
            "For many groups, Theorem 9 of Morwani et al. (2024) gives the share of the norm of each "
            "irrep. Where it does not apply, a linear program over the characters determines the irreps "
            "that must, may and cannot be used. For A5, the smallest nonabelian simple group, the "
            "largest irrep cannot be used.",
        ),
        (
            Control("group", "Group", "A5", _GROUPS),
            Control("irrep", "Irrep class", 1, least=1, most=8),
        ),
        {
            "irrep": (
                "Weights over the group's elements, by conjugacy class, and their energy by irrep.",
                "Weights of an explicit optimal network, which was not trained.",
            ),
            "ranges": ("Share of the norm of each irrep in a network of maximum margin.",),
        },
        _groups,
    ),
    Step(
        "Parity",
        "Sparse parity: finding the relevant bits",
        "The margin also predicts the weights on a task without a group.",
        (
            "Inputs are n signs, and the answer is the product of k of them, unknown to the network. A "
            "network of maximum margin gives these k bits equal weights, and all others weight zero.",
            "The maximum margin depends on k only: irrelevant bits do not change it.",
        ),
        (
            Control("n", "Number of bits n", 10, least=2, most=12),
            Control("k", "Relevant bits k", 4, least=1, most=6),
        ),
        {
            "signs": (
                "One row per neuron: blue and orange are the two signs, pale is zero.",
                "Computed from Theorem 8 of Morwani et al. (2024), not trained.",
            )
        },
        _parity,
    ),
)
"""The steps, first to last."""
