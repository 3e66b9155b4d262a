"""Item-by-item reproduction of Morwani et al. 2024 and their article."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from urllib.parse import quote

import numpy as np
import plotly.graph_objects as go

from marginlens.figures import FIGURES, interference_figure, memorizing_figure
from marginlens.figures.run.compare import Compared, margins_figure
from marginlens.figures.theory.tour import dial_figure
from marginlens.groups import group
from marginlens.measures import examine_network, fit_waveform
from marginlens.networks import construct
from marginlens.runs import Run
from marginlens.theory import (
    algorithm,
    compare_memorizing,
    cyclic_margin,
    interference,
    parity_margin,
)
from marginlens.verdict import Claim, Verdict, at_least, claim

__all__ = ["Item", "Row", "claims", "figures", "items", "neuron_table", "row"]

Runs = Mapping[str, Run]

ARTICLE = "Edelman et al. 2023"
PAPER = "Morwani et al. 2024"
NOT_STATED = "not stated"
P = 71
HOUR, HOURS_LATER, CLOCK = 9, 5, 12


@dataclass(frozen=True)
class Row:
    """Line of an item: a quantity, its measured value, and the authors' value.

    Attributes
    ----------
    quantity
        Name of the quantity.
    ours, theirs
        Values as text; ``NOT_STATED`` where the authors give none.
    claim
        Claim that holds the two against each other; ``None`` for a quantity that is only reported.
    """

    quantity: str
    ours: str
    theirs: str = NOT_STATED
    claim: Claim | None = None

    @property
    def outcome(self) -> str:
        """Outcome of the claim, ``"reported"`` where no claim is made."""
        return "reported" if self.claim is None else self.claim.status


@dataclass(frozen=True)
class Item:
    """One statement of the article, or of the paper behind it, and its reproduction.

    Attributes
    ----------
    name
        Anchor of the item on the page.
    heading, statement
        Heading, and the authors' statement in other words.
    command
        Command that gives the numbers alone.
    rows
        Quantities, ours and theirs.
    text
        Paragraph that explains the numbers.
    figure
        Name of the figure in :func:`figures`; empty where the item has none.
    play
        Address of the explorer's page on which a reader can change the item's settings.
    """

    name: str
    heading: str
    statement: str
    command: str
    rows: tuple[Row, ...]
    text: str = ""
    figure: str = ""
    play: str = ""


def items(runs: Runs) -> tuple[Item, ...]:
    """Every result of the article in its order, with the numbers of these runs.

    Parameters
    ----------
    runs
        Runs by their names in ``morwani.toml``; ``S5`` may be absent.
    """
    return (
        _four_ways(),
        _clock_identity(),
        _interference(),
        _relu(runs["mod71_relu"]),
        _sinusoids(runs["mod71"]),
        *_margins(runs),
        _objectives(runs["S4"], runs["S4_margin"]),
        _spectra(runs),
        _phases(runs["mod71"]),
        _frequencies(runs["mod71"]),
        _widths(runs),
        _technique(runs["mod71"]),
        *(_representations(label, runs[label]) for label in ("S3", "S4", "S5") if label in runs),
        _parity(runs["parity"]),
        _memorizing(runs["mod71"]),
        _algorithm(runs["mod71"]),
    )


def claims(runs: Runs) -> list[Claim]:
    """Claims of all items.

    Parameters
    ----------
    runs
        Runs by their names in ``morwani.toml``.
    """
    return [row.claim for item in items(runs) for row in item.rows if row.claim is not None]


def row(run: Run) -> dict[str, float | str]:
    """Cells of a run in the table of runs.

    Parameters
    ----------
    run
        One of the study's runs.
    """
    seconds = run.training.seconds
    return {
        "task": run.recipe.task,
        "activation": str(run.prediction.activation),
        "neurons": str(run.measurement.neuron_norms.shape[-1]),
        "steps": str(int(run.history["step"][-1])),
        "γ*": float("nan") if run.prediction.margin is None else run.prediction.margin,
        "share of γ*": float(run.history["margin_ratio"][-1]),
        "verdict": run.verdict.status,
        "seconds": seconds if math.isfinite(seconds) else "not kept",
    }


def figures(runs: Runs) -> Iterable[tuple[str, go.Figure]]:
    """Figures of the items by name.

    Parameters
    ----------
    runs
        Runs by their names in ``morwani.toml``.
    """
    yield "four-ways", dial_figure(CLOCK, 1, HOUR, HOURS_LATER)
    yield "interference", interference_figure(interference(P))
    yield "relu", _drawn("neurons", runs["mod71_relu"])
    yield "sinusoids", _drawn("neurons", runs["mod71"])
    waveform = FIGURES["waveform"].draw(runs["mod71_relu"])
    if waveform is not None:
        yield "waveform", waveform
    for label, run in runs.items():
        if label in _TASKS:
            yield f"margin-{label}", _drawn("margin", run)
    both = (Compared("cross-entropy", runs["S4"]), Compared("margin", runs["S4_margin"]))
    objectives = margins_figure(both)
    if objectives is not None:
        yield "objectives", objectives
    for label in ("mod71", "S4", "parity"):
        yield f"spectra-{label}", _drawn("power", runs[label])
    yield "phases", _drawn("wheel", runs["mod71"])
    yield "frequencies", _drawn("shares", runs["mod71"])
    for label in ("S3", "S4", "S5"):
        if label in runs:
            yield f"irreps-{label}", _drawn("shares", runs[label])
    yield "memorizing", memorizing_figure(compare_memorizing([group(f"C{p}") for p in _PRIMES]))


def neuron_table(run: Run) -> list[dict[str, float | int]]:
    r"""Return frequency, phases and amplitude of every live neuron.

    Parameters
    ----------
    run
        Run on a cyclic group.

    Returns
    -------
    list
        One row a neuron with ``neuron``, ``k``, ``theta_u``, ``theta_v``, ``theta_w`` (radians),
        ``theta_u + theta_v - theta_w`` (in -pi to pi) and ``lambda_u``, ``lambda_v``, ``lambda_w``.
    """
    measurement, task = run.measurement, run.task
    assert measurement.phases is not None  # a cyclic group
    phases, dominant = np.asarray(measurement.phases), np.asarray(measurement.dominant)
    weights = {slot: run.network.tensors[slot][0].double().numpy() for slot in ("u", "v", "w")}
    rows: list[dict[str, float | int]] = []
    for neuron in np.flatnonzero(np.asarray(measurement.live)):
        theta = phases[neuron]
        apart = (theta[0] + theta[1] - theta[2] + math.pi) % (2 * math.pi) - math.pi
        amplitudes = {
            f"lambda_{slot}": float(np.sqrt(2 * np.square(values[:, neuron]).mean()))
            for slot, values in weights.items()
        }
        rows.append(
            {
                "neuron": int(neuron),
                "k": int(task.features[int(dominant[neuron])].frequency or 0),
                "theta_u": float(theta[0]),
                "theta_v": float(theta[1]),
                "theta_w": float(theta[2]),
                "theta_u + theta_v - theta_w": float(apart),
                **amplitudes,
            }
        )
    return rows


_TASKS = ("mod71", "S3", "S4", "S5", "parity")
_PRIMES = (3, 5, 7, 11, 13, 17, 23, 31, 43, 59, 71)


def _drawn(name: str, run: Run) -> go.Figure:
    figure = FIGURES[name].draw(run)
    assert figure is not None  # all of these runs have it
    return figure


def _four_ways() -> Item:
    c12 = group(f"C{CLOCK}")
    answer = (HOUR + HOURS_LATER) % CLOCK
    rows = []
    for name in ("counting", "subtracting", "memorizing", "clock"):
        one = algorithm(name, c12, frequencies=[1] if name == "clock" else None)
        result = one.run(HOUR, HOURS_LATER)
        worked = "; ".join(one.worked(HOUR, HOURS_LATER))
        checked = claim(
            f"nine plus five by {name}",
            f"{HOUR} + {HOURS_LATER} on a clock, by {name}",
            float(answer),
            float(result),
            0.0,
            ARTICLE,
            promised=True,
        )
        rows.append(Row(f"{name}: {worked}", str(result), "2 (2pm)", checked))
    return Item(
        "four-ways",
        "Five hours after nine, four ways",
        "Modular addition has at least four algorithms: counting up, adding and subtracting 12, a "
        "memorized list, and turning the hand of a clock.",
        f"marginlens theory algorithms C{CLOCK} --sum {HOUR},{HOURS_LATER}",
        tuple(rows),
        "All four return the same answer, so answers alone cannot tell which of them a network runs.",
        "four-ways",
        "/?step=1",
    )


def _clock_identity() -> Item:
    elements = np.arange(P)
    sums = np.add.outer(elements, elements) % P
    right = 0
    for k in range(1, P):
        waves = np.cos(2 * np.pi * (k * (sums[..., None] - elements) % P) / P)
        right += int((waves.argmax(-1) == sums).sum())
    share = right / (P * P * (P - 1))
    return Item(
        "clock-identity",
        "The identity of the clock algorithm",
        "For every frequency k the cosine of 2πk(a + b − c)/p is largest at c = a + b mod p.",
        f"marginlens theory algorithms C{P}",
        (
            Row(
                f"share of the {P}² pairs and {P - 1} frequencies with the right argmax",
                f"{share:.6g}",
                "1 (identity)",
                claim(
                    "clock identity",
                    "Share of pairs and frequencies where the largest cosine is at a + b",
                    1.0,
                    share,
                    0.0,
                    ARTICLE,
                    promised=True,
                ),
            ),
        ),
    )


def _interference() -> Item:
    half = (P - 1) // 2
    found = interference(P, [1, half])
    first, last = (float(x) for x in found.best)
    exact = (1 - math.cos(2 * math.pi / P), P / (P - 1))
    return Item(
        "interference",
        "Frequencies interfere destructively at wrong answers",
        "Averaging over neurons of different frequencies accentuates the right answer.",
        f"marginlens theory interference {P}",
        (
            Row(
                "lead of the right answer with one frequency (1 − cos(2π/p))",
                f"{first:.6g}",
                claim=_equal("lead of one frequency", exact[0], first),
            ),
            Row(
                f"lead with all {half} frequencies (p/(p − 1))",
                f"{last:.6g}",
                claim=_equal("lead of all frequencies", exact[1], last),
            ),
        ),
        f"With all frequencies the right answer leads {last / first:.0f} times as far as with one.",
        "interference",
        "/?step=2",
    )


def _relu(run: Run) -> Item:
    neuron = run.prediction.waveform
    rows = [_reported("least share of a neuron's energy in one frequency", _least_power(run))]
    text = (
        "The best neuron for ReLU is no cosine: it is a cosine clipped to plateaus (found by search, "
        "not proved)."
    )
    if neuron is not None:
        fit = fit_waveform(run.network, run.task, neuron)
        waveform, cosine = fit.total("explained"), fit.total("cosine")
        rows += [
            Row(
                "share of the neurons' variance that the predicted waveform explains",
                f"{waveform:.4f}",
                claim=at_least(
                    "relu waveform",
                    "Share of variance explained by the predicted waveform, over that by cosines",
                    waveform / cosine,
                    1.0,
                    "the best neuron found for ReLU (marginlens.theory)",
                    promised=False,
                ),
            ),
            Row("share that pure cosines explain", f"{cosine:.4f}", "not quite pure sinusoids"),
        ]
        text += (
            f" It explains {waveform:.1%} of the trained neurons, three free cosines {cosine:.1%}."
        )
    return Item(
        "relu",
        "Modulo 71 with ReLU: almost sinusoids",
        "With ReLU and L2 regularization each neuron's embedding becomes periodic with one dominant "
        "frequency, but is not a pure sinusoid.",
        "marginlens run C71 --activation relu",
        tuple(rows),
        text,
        "relu",
        "/watch?task=C71&activation=relu",
    )


def _sinusoids(run: Run) -> Item:
    cosine = np.asarray(run.measurement.cosine_fit)
    return Item(
        "sinusoids",
        "Modulo 71 with x²: pure sinusoids",
        "With quadratic activations every embedding and unembedding vector approaches a pure sinusoid, "
        "both of the same frequency.",
        "marginlens run C71",
        (
            _from(run, "sinusoidal", "least share of variance explained by a cosine"),
            _from(run, "same_feature", "share of neurons with one frequency in u, v and w"),
            Row("median share explained", f"{np.nanmedian(cosine):.6f}"),
        ),
        figure="sinusoids",
        play="/watch?task=C71",
    )


def _margins(runs: Runs) -> list[Item]:
    formulas = {
        "mod71": (cyclic_margin(P), "√(2/27)/(√p (p − 1))"),
        "parity": (parity_margin(4), "k! √(2(k + 1)^−(k+1))"),
    }
    result = []
    for label in _TASKS:
        if label not in runs:
            continue
        run = runs[label]
        margin = run.prediction.margin
        assert margin is not None
        theirs, formula = formulas.get(label, (margin, ""))
        rows = [
            Row(
                "maximum margin γ*",
                f"{margin:.8g}",
                f"{theirs:.8g} = {formula}" if formula else "Theorem 9's formula",
                _equal(f"{label} maximum margin", theirs, margin, source=PAPER),
            ),
            _from(run, "margin_ratio", "share of γ* that training reaches", label),
            _reported("share that a network at this penalty has at most", _limit(run)),
        ]
        result.append(
            Item(
                f"margin-{label}",
                f"The margin approaches its maximum: {run.task.name}",
                "Over training the network's normalized margin approaches the derived value.",
                f'marginlens run "{run.recipe.task}"',
                tuple(rows),
                figure=f"margin-{label}",
                play=f"/watch?task={quote(run.task.name)}",
            )
        )
    return result


def _objectives(usual: Run, margin: Run) -> Item:
    reached, limit = float(margin.history["margin_ratio"][-1]), _limit(usual)
    at_most = "less than γ*" if limit is None else f"at most {limit:.4g} of γ*"
    return Item(
        "objectives",
        "The remaining gap belongs to the penalty, not to the network (S4)",
        "Training with a sufficiently small penalty tends towards the maximum margin (Wei et al. 2019).",
        "marginlens run S4 --loss margin --out runs/S4-margin",
        (
            Row(
                "share of γ* with cross-entropy and the penalty",
                f"{float(usual.history['margin_ratio'][-1]):.6g}",
            ),
            Row(
                "share of γ* when the margin itself is trained",
                f"{reached:.6g}",
                claim=at_least(
                    "S4 margin objective",
                    "S4: share of γ* reached by training the margin itself",
                    reached,
                    0.999,
                    "marginlens.theory, Training the margin itself",
                    promised=True,
                ),
            ),
        ),
        f"Cross-entropy with this penalty allows {at_most}; the margin objective has no penalty.",
        "objectives",
    )


def _spectra(runs: Runs) -> Item:
    rows = []
    for label in ("mod71", "S4", "parity"):
        run = runs[label]
        before, after = (
            float(np.nanmean(np.asarray(one.max_power)[np.asarray(one.live)]))
            for one in (run.first, run.measurement)
        )
        rows.append(Row(f"{run.task.name}: mean largest share of a feature", _two(before, after)))
    return Item(
        "spectra",
        "Spectra before and after training",
        "Training concentrates each neuron's spectrum on a single feature.",
        "marginlens figure draw power RUN",
        tuple(rows),
        "Parity's neurons use the k relevant coordinates equally, each with 1/k of the energy.",
        "spectra-mod71",
    )


def _phases(run: Run) -> Item:
    return Item(
        "phases",
        "Phases add up: θu + θv = θw",
        "In the formula for a maximum-margin neuron the phases of the inputs add up to the output's.",
        "marginlens figure draw wheel RUN",
        (_from(run, "phases_add", "largest |θu + θv − θw| of a live neuron, radians"),),
        "neurons.csv beside this page lists k, the three phases and the amplitudes of every neuron.",
        "phases",
    )


def _frequencies(run: Run) -> Item:
    return Item(
        "frequencies",
        "Every frequency is used",
        "A maximum-margin network uses each of the (p − 1)/2 frequencies in some neuron.",
        "marginlens figure draw shares RUN",
        (
            _from(run, "must_features", f"frequencies used, of {(P - 1) // 2}"),
            _from(run, "shares", "largest difference of a share of the norm from 1/35"),
        ),
        figure="frequencies",
    )


def _widths(runs: Runs) -> Item:
    rows = []
    for label, width in (("width280", 4 * (P - 1)), ("width210", 3 * (P - 1))):
        ratio = float(runs[label].history["margin_ratio"][-1])
        rows.append(_reported(f"share of γ* trained at width {width}", ratio))
    network = construct(runs["mod71"].task)
    sufficient = int(network.tensors["u"].shape[-1])
    from marginlens.measures import measure

    constructed = measure(network, runs["mod71"].task).normalized_margin
    assert constructed is not None
    margin = runs["mod71"].prediction.margin
    assert margin is not None
    rows.append(
        Row(
            f"share of γ* of the network constructed at width {sufficient}",
            f"{constructed / margin:.12f}",
            "4(p − 1) = 280 suffice",
            _equal("constructed margin", 1.0, constructed / margin),
        )
    )
    return Item(
        "widths",
        "Width 4(p − 1), and 3(p − 1)",
        "The theorem needs a width of at least 4(p − 1) = 280.",
        "marginlens run C71 --width 280",
        tuple(rows),
        f"The network constructed here attains γ* with {sufficient} neurons, 3(p − 1).",
    )


def _technique(run: Run) -> Item:
    certificate = run.prediction.certificate
    assert certificate is not None
    return Item(
        "technique",
        "The technique: one neuron at a time",
        "A weighting of the rows turns the maximum over networks into a maximum over single neurons.",
        f"marginlens theory certify C{P}",
        (
            Row(
                "relative gap of the lower and the upper bound of γ*",
                f"{certificate.gap:.1e}" if certificate.gap > 1e-14 else "exact to rounding",
                "0 (proof)",
                claim(
                    "certificate",
                    "Relative gap of the certificate's bounds",
                    0.0,
                    certificate.gap,
                    1e-9,
                    f"{PAPER}, Section 3",
                    promised=True,
                ),
            ),
        ),
        "The certificate is checked from the addition table alone, without characters.",
    )


def _representations(label: str, run: Run) -> Item:
    return Item(
        f"irreps-{label}",
        f"Other groups: one irrep a neuron, and all of them ({label})",
        "For other groups each neuron uses a single irreducible representation, and all are used.",
        f"marginlens run {label}",
        (
            _from(run, "one_feature", "least share of a neuron's energy in one irrep", label),
            _from(run, "must_features", "irreps used", label),
            _from(
                run, "shares", "largest difference of an irrep's share from its prediction", label
            ),
        ),
        figure=f"irreps-{label}",
        play=f"/predict?task={label}",
    )


def _parity(run: Run) -> Item:
    return Item(
        "parity",
        "Sparse parity",
        "On (10, 4)-sparse parity every neuron uses the relevant coordinates alone, equally.",
        'marginlens run "parity(10,4)"',
        (
            _from(run, "on_subset", "least share of input energy on the relevant coordinates"),
            _from(run, "equal_magnitudes", "least ratio of two relevant weights"),
            _from(run, "signs", "share of neurons whose output sign is the product of the inputs'"),
        ),
    )


def _memorizing(run: Run) -> Item:
    found = compare_memorizing([group(f"C{P}")])
    ratio, exact = float(found.ratio[0]), math.sqrt(2 / (P - 1))
    return Item(
        "memorizing",
        "Memorizing is possible, and loses",
        "A network with quadratic activations can memorize the table, so that sinusoids are no "
        "necessity (footnote, and appendix of the paper).",
        f"marginlens theory memorizing C{P}",
        (
            Row(
                "margin of the memorizing network over γ*, √(2/(p − 1))",
                f"{ratio:.8f}",
                claim=_equal("memorizing ratio", exact, ratio),
            ),
        ),
        f"Memorizing reaches {ratio:.1%} of the maximum margin modulo {run.task.size}.",
        "memorizing",
    )


@lru_cache(maxsize=4)
def _summary(run: Run) -> str:
    learned = examine_network(run.training.network, run.task).learned
    return "" if learned is None else learned.summary


def _algorithm(run: Run) -> Item:
    return Item(
        "algorithm",
        "Which algorithm the trained network runs",
        "Of the four ways, networks learn the clock's: Fourier features (after Nanda et al. 2023).",
        "marginlens analyze algorithms RUN",
        (Row("algorithm found", _summary(run), "clock"),),
    )


def _from(run: Run, name: str, quantity: str, label: str | None = None) -> Row:
    """Row of a claim of the run's own verdict."""
    own = next(one for one in run.verdict.claims if one.name == name)
    label = label or run.task.name
    named = replace(own, name=f"{label} {name}", statement=f"{label}: {own.statement}")
    ours = "–" if own.measured is None else f"{own.measured:.6g}"
    predicted = "" if own.predicted is None else f"; our prediction {own.predicted:.6g}"
    theirs = NOT_STATED + predicted
    return Row(quantity, ours, theirs, named)


def _equal(name: str, exact: float, measured: float, *, source: str = "marginlens.theory") -> Claim:
    return claim(name, name, exact, measured, 1e-9, source, promised=True, relative=True)


def _reported(quantity: str, value: float | None) -> Row:
    return Row(quantity, "not known" if value is None else f"{value:.6g}")


def _two(before: float, after: float) -> str:
    return f"{before:.4f} before, {after:.4f} after"


def _least_power(run: Run) -> float:
    live = np.asarray(run.measurement.live)
    return float(np.asarray(run.measurement.max_power)[live].min())


def _limit(run: Run) -> float | None:
    at_penalty = run.prediction.at_penalty
    return None if at_penalty is None else at_penalty.margin_ratio


def questions(verdict: Verdict, runs: Runs) -> tuple[tuple[str, str], ...]:
    """Return the article's questions, each with an answer from these runs.

    Parameters
    ----------
    verdict
        Verdict on the study.
    runs
        Runs by their names in ``morwani.toml``.
    """
    ratio = math.sqrt(2 / (P - 1))
    share = float(runs["mod71"].history["margin_ratio"][-1])
    passed = sum(one.status == "passes" for one in verdict.claims)
    reported = sum(one.status == "not covered" for one in verdict.claims)
    return (
        (
            "Why sinusoids?",
            "The normalized margin of a network is the least lead of the right logit over all triples "
            "(a, b, wrong answer c), divided by the sum of its neurons' norms to the power 3 (for x²). "
            f"Weakly regularised training approaches its maximum γ* (here {share:.3%} of it). Weigh the "
            "triples by q: the average lead of any network is at most that of the best single neuron of "
            "norm 1. For the right q that bound is γ* itself, and in the Fourier basis the best neurons "
            "are exactly cosines of one frequency whose phases add up. "
            "`marginlens theory certify C71` prints this argument in numbers.",
        ),
        ("Which of the textbook algorithms?", _summary(runs["mod71"])),
        (
            "Why not memorizing?",
            f"It is possible at the same width, but its margin is √(2/(p − 1)) = {ratio:.4f} of the "
            "maximum modulo 71, and the ratio falls as p grows.",
        ),
        (
            "What of other groups, and of parity?",
            "Irreducible representations take the place of frequencies: each live neuron holds one of "
            "them, and all are used. On sparse parity each neuron holds the relevant coordinates "
            f"equally. {passed} claims on this page pass, {reported} are reported only.",
        ),
        (
            "Are learned circuits universal?",
            "Within this setting the maximum margin decides which features are used; other "
            "architectures use few key frequencies: see `marginlens reproduce "
            "nanda` (clock), `pizza` (whose "
            "algorithm also starts from Fourier features) and `chughtai` (logits tr(R(a)R(b)R(c⁻¹)) of "
            "a few irreps R). Grokking, which the article sets aside, is in "
            "`marginlens reproduce power`.",
        ),
        (
            "Can the learning process be modified to favour other circuits?",
            "The penalised norm decides the features. This version predicts the choice of the penalty "
            "λ Σ‖ω‖³ over neurons ω; penalties with a price on single features are not built yet.",
        ),
        (
            "Can failures be explained?",
            "In part. A network that is too narrow, or not trained to the end, is told from one that "
            "contradicts the theory: `marginlens verify RUN` names the premise that is not met. Digit "
            'addition, the article\'s example, is a task here (`marginlens train "addition(10,2)" '
            "--train-length 1`), but no theorem covers it.",
        ),
    )
