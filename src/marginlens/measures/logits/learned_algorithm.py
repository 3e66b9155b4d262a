"""Decision which algorithm a network learned, with its evidence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from marginlens.measures.logits.clock_pizza import SYMMETRIC, Circle
from marginlens.measures.logits.spectrum import LogitSpectrum
from marginlens.measures.neurons.hidden_evidence import HiddenEvidence
from marginlens.tasks import Task

if TYPE_CHECKING:
    from marginlens.measures.logits.mechanism import ClockPizza

__all__ = ["LearnedAlgorithm", "learned_algorithm"]

Answer = Literal[
    "representations", "clock", "pizza", "memorizing", "subtracting", "unclear", "none"
]

ANSWERS_HALF = 0.5
"""Share of the rows that a network must answer before any algorithm is looked for."""

LEARNED = 0.9
"""Share of a set of rows from which it counts as learned; Zhong et al.'s measures need it too."""

SAME = 0.999
"""Two tables of logits with this cosine are the same function."""

ONE_PAIR = 0.5
"""Largest pair's share of the interactions from which neurons stand for single pairs."""

INTEGERS = 0.9
"""Share of the hidden layer that is a function of a + b, from which the network adds integers."""

ABOVE_CHANCE = 1.5
"""Share of the interactions that is a function of ab, over chance, from which there is rho(ab)."""


@dataclass(frozen=True, eq=False)
class LearnedAlgorithm:
    r"""Algorithm that a network learned, with the evidence that decides.

    The conditions, in this order:

    1. ``"memorizing"``: it answers at least 90 % of the training rows and fewer than half of the
       others.
    2. ``"none"``: it answers fewer than half of all rows, or fewer than 90 % of them and at least
       90 %
       of those of another simple operation.
    3. ``"unclear"``: the group has one feature, or the hidden layer is unknown. ``candidates``
       holds the remaining algorithms.
    4. ``"subtracting"`` (or counting, which adds the same integers one by one): at least 90 % of
       the
       hidden layer is a function of the integer a + b, from 0 to 2n - 2, and less of it, by a tenth
       or
       more, one of a + b modulo n.
    5. ``"memorizing"``: at least half of the neurons' interactions is at one pair each.
    6. ``"clock"`` or ``"pizza"``: Zhong et al.'s measures say so, and so does the formula of most
       of the
       circles that are explained (by at least half), of which there is one or more.
    7. ``"representations"``, Fourier features on a cyclic group: the neurons' purity is at least
       half-way from chance to one, the share of their interactions that is a function of ab is 1.5
       times
       chance or more, and removing one feature's neurons takes at most a tenth as much of the
       others'
       characters as of its own.
    8. ``"unclear"``.

    Attributes
    ----------
    algorithm
        Name of the algorithm, one of the above.
    summary
        One sentence that gives the answer and what decides.
    evidence
        Sentences with the measured values, their thresholds and sources.
    candidates
        Names of the algorithms that the evidence does not exclude; a single one if it decides.
    same_logits
        Names of the textbook algorithms whose logits these are (cosine of at least .999), which
        logits
        therefore cannot tell apart.
    compared
        For each textbook algorithm, its distinguishing property of the hidden layer and whether it
        holds; empty for logits alone and without an algorithm.
    hidden
        Measurements of the hidden layer; ``None`` for logits alone.

    Notes
    -----
    The measures are from the sources below; the thresholds of 1 to 5 and 7 are this package's,
    chosen with the networks of the documentation, and are not published values.

    Representations: Chughtai, Chan and Nanda 2023; on cyclic groups also Gromov 2023 and Morwani et
    al.
    2024. Clock: Nanda et al. 2023. Clock and pizza: Zhong et al. 2023. Memorizing:
    :mod:`marginlens.theory`, "Memorizing".
    """

    algorithm: Answer
    summary: str
    evidence: tuple[str, ...]
    candidates: tuple[str, ...]
    same_logits: tuple[str, ...]
    compared: Mapping[str, str]
    hidden: HiddenEvidence | None


def learned_algorithm(
    logits: Float[np.ndarray, "row class"],
    task: Task,
    spectrum: LogitSpectrum,
    key: Bool[np.ndarray, " feature"],
    clock_pizza: ClockPizza,
    hidden: HiddenEvidence | None,
    train: Int[np.ndarray, " chosen"] | None = None,
) -> LearnedAlgorithm:
    """Decide which algorithm a function on a group's table of pairs implements.

    Parameters
    ----------
    logits
        Logits in the task's row order, shape (row, class).
    task
        Group task over pairs.
    spectrum
        Spectrum of the logits.
    key
        Mask of the key features of the logits, shape (feature,).
    clock_pizza
        Zhong et al.'s measures of the same function.
    hidden
        Evidence of the hidden layer; ``None`` for logits alone.
    train
        Numbers of the training rows, if known.
    """
    return _Decision(logits, task, spectrum, key, clock_pizza, hidden, train).answer()


class _Decision:
    """Measured numbers, and the sentences that they support."""

    def __init__(
        self,
        logits: np.ndarray,
        task: Task,
        spectrum: LogitSpectrum,
        key: np.ndarray,
        clock_pizza: ClockPizza,
        hidden: HiddenEvidence | None,
        train: np.ndarray | None,
    ) -> None:
        assert task.group is not None  # group_of has looked
        self.logits, self.task, self.group = logits, task, task.group
        self.spectrum, self.clock_pizza, self.hidden, self.train = (
            spectrum,
            clock_pizza,
            hidden,
            train,
        )
        self.cyclic = task.group.generator is not None
        self.used = [f.name for f, is_key in zip(task.features, key, strict=True) if is_key]
        self.frequencies = [
            f.frequency
            for f, is_key in zip(task.features, key, strict=True)
            if is_key and f.frequency
        ]
        rows = np.arange(len(logits))
        others = logits.copy()
        others[rows, task.answers] = -np.inf
        self.right = logits[rows, task.answers] > others.max(1)
        self.accuracy = float(self.right.mean())
        self.same = _same_logits(task, spectrum) if self.accuracy >= ANSWERS_HALF else ()

    def answer(self) -> LearnedAlgorithm:
        split = self._split()
        if split is not None:
            return self._of("memorizing", split, ("memorizing",))
        other = self._other_operation() if self.accuracy < LEARNED else None
        if self.accuracy < ANSWERS_HALF or other is not None:
            summary = (
                f"No algorithm found: it answers {_percent(self.accuracy)} of the rows of "
                f"{self.task.name}{f', and {other}' if other else ''}."
            )
            return self._of("none", summary, ())
        if len(self.task.features) < 2:
            summary = (
                f"Cannot be decided on {self.task.name}: it has one {self._feature}, so that a list of "
                f"all pairs and {self._characters} are the same, in logits and in the hidden layer."
            )
            return self._of("unclear", summary, ("memorizing", "representations"))
        if self.hidden is None:
            name = self._by_circles()
            if name is not None:
                return self._of(name, self._ended(self._zhong(name)), (name,))
            return self._of("unclear", *self._by_logits())
        return self._by_hidden(self.hidden)

    def _by_hidden(self, hidden: HiddenEvidence) -> LearnedAlgorithm:
        if self._adds_integers(hidden):
            summary = (
                f"Subtracting (or counting): {_percent(hidden.integer_sum)} of the hidden layer is a "
                f"function of the integer a + b, before it is reduced modulo {self.task.size}"
            )
            return self._of("subtracting", self._ended(summary), ("counting", "subtracting"))
        if hidden.largest_pair >= ONE_PAIR:
            summary = (
                "Memorizing: each neuron stands for one pair (a, b), where "
                f"{_percent(hidden.largest_pair)} of its interaction is, and for no {self._feature}"
            )
            return self._of("memorizing", self._ended(summary), ("memorizing",))
        name = self._by_circles()
        if name is not None:
            return self._of(name, self._ended(self._zhong(name)), (name,))
        if self._pure(hidden) and self._multiplies(hidden) and self._separate(hidden):
            return self._of(
                "representations", self._ended(self._represents(hidden)), ("representations",)
            )
        return self._of("unclear", *self._unclear(hidden))

    # conditions

    def _adds_integers(self, hidden: HiddenEvidence) -> bool:
        share = hidden.integer_sum
        return share is not None and share >= INTEGERS and hidden.product <= share - 0.1

    def _pure(self, hidden: HiddenEvidence) -> bool:
        return hidden.purity >= _half_way(hidden)

    def _multiplies(self, hidden: HiddenEvidence) -> bool:
        return hidden.product_of_interaction >= ABOVE_CHANCE * hidden.chance_product

    def _separate(self, hidden: HiddenEvidence) -> bool:
        own, others = hidden.lost_own, hidden.lost_others
        return own is None or others is None or abs(others) <= 0.1 * own

    def _by_circles(self) -> Literal["clock", "pizza"] | None:
        """Decide between clock and pizza by Zhong et al.'s measures and most explained circles."""
        verdict = self.clock_pizza.verdict
        if verdict not in ("clock", "pizza"):
            return None
        votes = [circle.form for circle in _explained(self.clock_pizza.circles)]
        return verdict if 2 * votes.count(verdict) > len(votes) else None

    # sentences

    @property
    def _feature(self) -> str:
        return "frequency" if self.cyclic else "irrep"

    @property
    def _characters(self) -> str:
        return "the clock" if self.cyclic else "representations"

    def _ended(self, summary: str) -> str:
        if self.accuracy == 1:
            return f"{summary}."
        return f"{summary}; it answers {_percent(self.accuracy)} of the rows."

    def _of(self, algorithm: Answer, summary: str, candidates: tuple[str, ...]) -> LearnedAlgorithm:
        return LearnedAlgorithm(
            algorithm,
            summary,
            tuple(self._evidence()),
            candidates,
            self.same,
            self._compared(),
            self.hidden,
        )

    def _compared(self) -> dict[str, str]:
        """Return each textbook algorithm's property of the hidden layer and whether it holds."""
        hidden, zhong = self.hidden, self.clock_pizza
        if hidden is None or self.accuracy < ANSWERS_HALF:
            return {}

        def judged(holds: bool, words: str) -> str:
            return f"{'yes' if holds else 'no'}, {words}"

        result = {}
        if hidden.integer_sum is not None:
            words = judged(
                self._adds_integers(hidden),
                f"{_percent(hidden.integer_sum)} of the hidden layer is a function of the integer a + b "
                f"(from {_percent(INTEGERS)})",
            )
            result |= {"counting": words, "subtracting": words}
        result["memorizing"] = judged(
            hidden.largest_pair >= ONE_PAIR,
            f"{_percent(hidden.largest_pair)} of a neuron's interaction is at one pair (from "
            f"{_percent(ONE_PAIR)})",
        )
        if self.cyclic and zhong.verdict != "unknown":
            for name in ("clock", "pizza"):
                result[name] = judged(self._by_circles() == name, self._of_circles(name))
        result["representations"] = judged(
            self._pure(hidden) and self._multiplies(hidden) and self._separate(hidden),
            f"purity of the neurons {_percent(hidden.purity)} (from {_percent(_half_way(hidden))}), "
            f"ρ(ab) {_percent(hidden.product_of_interaction)} of the interactions (from "
            f"{_percent(ABOVE_CHANCE * hidden.chance_product)})",
        )
        return result

    def _split(self) -> str | None:
        """Return the sentence on a network that answers only its training rows."""
        if self.train is None or len(self.train) == len(self.right):
            return None
        seen = float(self.right[self.train].mean())
        rest = float(np.delete(self.right, self.train).mean())
        if seen < LEARNED or rest >= ANSWERS_HALF:
            return None
        return (
            f"Memorizing: it answers {_percent(seen)} of the rows that it was trained on and "
            f"{_percent(rest)} of the others."
        )

    def _other_operation(self) -> str | None:
        """Return another simple operation that the network's answers are, if any."""
        table, inverses, n = self.group.table, self.group.inverses, self.task.size
        a, b = self.task.inputs.T
        given = self.logits.argmax(1)
        if (given == given[0]).all():
            return f"gives one answer, {given[0]}, to all"
        sums, signs = self.group.is_abelian, ("a − b", "b − a", "−a − b")
        known = {
            signs[0] if sums else "a b^-1": table[a, inverses[b]],
            signs[1] if sums else "a^-1 b": table[inverses[a], b],
            signs[2] if sums else "(a b)^-1": inverses[table[a, b]],
            "b a, the factors in the other order": table[b, a],
            "a, whatever b is": a,
            "b, whatever a is": b,
        }
        if np.array_equal(table, np.add.outer(np.arange(n), np.arange(n)) % n):
            known |= {f"a·b modulo {n}": a * b % n, f"a² + b² modulo {n}": (a * a + b * b) % n}
            shift = int(np.bincount((given - a - b) % n).argmax())
            known |= {f"a + b + {shift}": (a + b + shift) % n}
        shares = {words: float((given == answers).mean()) for words, answers in known.items()}
        best = max(shares, key=shares.__getitem__)
        if shares[best] < LEARNED:
            return None
        return f"{_percent(shares[best])} of those of {best}"

    def _of_circles(self, name: str) -> str:
        """Return the reasons for or against a clock or a pizza from the embedding's circles."""
        found = self.clock_pizza
        votes = [circle.form for circle in found.circles].count(name)
        formula = f"{votes} of {_many(len(found.circles), 'circle')} follow its formula"
        symmetricity = found.gradient_symmetricity or 0
        if name == "clock" and symmetricity > SYMMETRIC:
            return (
                f"{formula}, {'but' if votes else 'and'} both inputs are treated alike: gradient "
                f"symmetricity {symmetricity:.3f} (clock: below {SYMMETRIC:.3f})"
            )
        return f"{formula}, and Zhong et al.'s measures say {found.verdict}"

    def _zhong(self, name: str) -> str:
        found = self.clock_pizza
        agree = [c for c in _explained(found.circles) if c.form == name]
        return (
            f"{name.capitalize()}: gradient symmetricity {found.gradient_symmetricity:.3f} and "
            f"distance irrelevance {found.distance_irrelevance:.3f} are on its side of the published "
            f"thresholds, and {_many(len(agree), 'circle')} of the embedding alone "
            f"{'follow' if len(agree) > 1 else 'follows'} its formula"
        )

    def _represents(self, hidden: HiddenEvidence) -> str:
        names = hidden.used
        plural = "frequencies" if self.cyclic else "irreps"
        one = len(names) == 1
        which = f"the {self._feature} {names[0]}" if one else f"one of {len(names)} {plural}"
        how = f"cos(2πk(a+b−c)/{self.task.size})" if self.cyclic else "character of ρ(a)ρ(b)ρ(c)^-1"
        kind = " (Fourier features, the clock's formula)" if self.cyclic else ""
        summary = (
            f"Representations{kind}: each neuron holds {which} (purity {_percent(hidden.purity)}, "
            f"by chance {_percent(hidden.chance_purity)})"
        )
        if hidden.lost_own is None:
            return summary
        which = "them" if one else f"those of one {self._feature}"
        return f"{summary}, and removing {which} takes {'' if one else 'only '}its {how} from the logits"

    def _unclear(self, hidden: HiddenEvidence) -> tuple[str, tuple[str, ...]]:
        limit = _half_way(hidden)
        start = f"Unclear: it answers {_percent(self.accuracy)} of the rows, "
        purity = (
            f"but {_percent(hidden.purity)} of the neurons' interactions are in one {self._feature} "
            f"each (random neurons: {_percent(hidden.chance_purity)}; representations: from "
            f"{_percent(limit)})"
        )
        if not self._pure(hidden) and not self._multiplies(hidden):
            words = f"{start}{purity} and ρ(ab) is at chance: no algorithm, nearest to memorizing."
            return words, ("memorizing",)
        if not self._pure(hidden):
            return f"{start}{purity}.", ("representations",)
        if not self._multiplies(hidden):
            share = _percent(hidden.product_of_interaction)
            return f"{start}but ρ(ab) is {share} of its interactions, as by chance.", ()
        return (
            f"{start}but removing one {self._feature}'s neurons takes {_percent(hidden.lost_others)} of "
            f"the others' characters too ({_percent(hidden.lost_own)} of its own)."
        ), ("representations",)

    def _by_logits(self) -> tuple[str, tuple[str, ...]]:
        total = float(self.spectrum.total[0])
        pizza = _pizza_share(self.logits, self.task, self.frequencies)
        if len(self.same) > 1:
            return (
                f"Logits alone cannot decide: they are the same for {_list(self.same)}; the hidden "
                "layer would decide, and needs the weights."
            ), self.same
        if pizza is not None and pizza >= 0.5 and pizza > total:
            return (
                f"Logits alone cannot decide, but they follow the pizza's formula ({_percent(pizza)} of "
                f"their variance) better than the clock's ({_percent(total)}), at {_few(self.used)}; "
                "the weights would decide."
            ), ("pizza",)
        if total >= 0.5:
            clocks = ("clock", "pizza", "representations")
            names = clocks if self.cyclic else ("representations",)
            what = "a clock, several pizzas together or representations"
            return (
                f"Logits alone cannot decide, but {_percent(total)} of their variance are characters, "
                f"of {_few(self.used)}: {what if self.cyclic else 'representations'}, and no list of "
                "answers; the weights would decide."
            ), names
        return (
            f"Unclear: characters explain {_percent(total)} of the logits' variance, and without the "
            "weights nothing more can be said."
        ), ()

    def _evidence(self) -> list[str]:
        lines = [
            f"answers {_percent(self.accuracy)} of the rows (an algorithm is looked for from 50 %)"
        ]
        if self.accuracy < ANSWERS_HALF:
            return lines
        total = _percent(float(self.spectrum.total[0]))
        if len(self.same) > 1:
            lines.append(
                f"these logits are the same for {_list(self.same)} (cosine at least {SAME}): "
                f"{'only the hidden layer decides' if self.hidden else 'the weights would decide'}"
            )
        else:
            of = f"; key features: {_few(self.used)}" if self.used else ""
            lines.append(f"characters explain {total} of the logits (sum of b²){of}")
        return lines + ([] if self.hidden is None else self._hidden_evidence(self.hidden))

    def _hidden_evidence(self, hidden: HiddenEvidence) -> list[str]:
        lines = [
            f"{_percent(hidden.purity)} of the neurons' interactions are in one {self._feature} each "
            f"(random neurons: {_percent(hidden.chance_purity)}; representations: from "
            f"{_percent(_half_way(hidden))}; Nanda et al. 2023, section 4)",
            f"ρ(ab) is {_percent(hidden.product)} of the hidden layer, ρ(a) and ρ(b) "
            f"{_percent(hidden.left + hidden.right)}, other functions of the pair "
            f"{_percent(hidden.pairs)} (Chughtai et al. 2023, section 5); of the interactions "
            f"{_percent(hidden.product_of_interaction)} (chance: {_percent(hidden.chance_product)}; "
            f"representations: from {ABOVE_CHANCE:g} times chance)",
        ]
        if hidden.lost_own is not None:
            rest = hidden.lost_others
            others = "" if rest is None else f" and {_percent(rest)} of all others"
            lines.append(
                f"without the neurons of one {self._feature} the logits lose "
                f"{_percent(hidden.lost_own)} of its character{others} (mean over "
                f"{_few(hidden.removed)}; representations: at most a tenth as much of the others)"
            )
        if hidden.phase_error is not None:
            error = hidden.phase_error
            exact = "to rounding" if error < 1e-9 else f"to {error:.2g} rad in the median"
            lines.append(
                f"the neurons' phases add up, θ_u + θ_v = θ_w, {exact} (random: π/2; Morwani et al. "
                "2024, Theorem 7)"
            )
        lines.append(
            f"{_percent(hidden.largest_pair)} of a neuron's interaction is at one pair (memorizing: "
            f"from {_percent(ONE_PAIR)})"
        )
        if hidden.integer_sum is not None:
            lines.append(
                f"{_percent(hidden.integer_sum)} of the hidden layer is a function of the integer a + b "
                f"(counting, subtracting: from {_percent(INTEGERS)})"
            )
        return lines


def _half_way(hidden: HiddenEvidence) -> float:
    return (1 + hidden.chance_purity) / 2


def _explained(circles: Sequence[Circle]) -> list[Circle]:
    """Circles whose logits one of the formulas explains by at least half."""
    return [circle for circle in circles if circle.form != "neither"]


def _same_logits(task: Task, spectrum: LogitSpectrum) -> tuple[str, ...]:
    """Textbook algorithms, on all features, whose logits have a cosine of .999 with these."""
    group = task.group
    assert group is not None
    irreps = [f.irrep for f in task.features if f.irrep is not None]
    # the right answers alone are the sum of d/n times every character
    exact = np.array([i.degree * math.sqrt(len(i.members)) for i in irreps])
    similarity = spectrum.similarity[0]
    names = []
    if similarity @ exact / np.linalg.norm(exact) >= SAME:
        if group.generator is not None:
            names += ["counting", "subtracting"]
        names += ["memorizing", "representations"]
    if group.generator is not None:
        equal = np.array([float(2 * (f.frequency or 0) < task.size) for f in task.features])
        if similarity @ equal / max(np.linalg.norm(equal), 1.0) >= SAME:
            names.insert(3, "clock")
    return tuple(names)


def _pizza_share(
    logits: Float[np.ndarray, "row class"], task: Task, frequencies: Sequence[int]
) -> float | None:
    """Return the share of the centred logits that the pizza's formula explains."""
    n, group = task.size, task.group
    if group is None or group.generator is None or n % 2 == 0:
        return None
    order = group.powers(group.generator)
    table = logits.reshape(n, n, n)[order][:, order][:, :, order]
    table = table - table.mean(2, keepdims=True)
    whole = float(np.square(table).sum())
    a, b = np.ogrid[:n, :n]
    explained = 0.0
    for k in frequencies:
        length = np.abs(np.cos(np.pi * (k * (a - b) % (2 * n)) / n))
        wave = np.exp(2j * np.pi * (k * np.arange(n) % n) / n)
        inner = float((length * (table @ wave * np.conj(wave[(a + b) % n])).real).sum())
        explained += inner**2 / (float(np.square(length).sum()) * n / 2)
    return explained / whole if whole > 0 else None


def _percent(share: float | None) -> str:
    """Format a share for readers: 100 %, 99.8 %, 4.3 %, 0.02 %."""
    if share is None:
        return "an unknown share"
    percent = 100 * share
    if abs(percent) < 0.005:
        return "0 %"
    text = f"{percent:.1f}" if abs(percent) >= 1 else f"{percent:.2f}"
    if share < 1 - 1e-9 and float(text) >= 100:
        text = "99.9"
    return f"{text.removesuffix('.0')} %"


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _list(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _few(names: Sequence[str]) -> str:
    if len(names) > 5:
        return f"{len(names)} features ({', '.join(names[:3])}, …, {names[-1]})"
    return ", ".join(names)
