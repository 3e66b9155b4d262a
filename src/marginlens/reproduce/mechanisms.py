"""Expected results of other papers' systems, as claims and table rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

import numpy as np
import plotly.graph_objects as go

from marginlens.figures import grokking_figure, lottery_chart
from marginlens.measures import (
    Lottery,
    Mechanism,
    ParityProgress,
    examine_network,
    parity_progress,
    time_to_learn,
)
from marginlens.measures.logits.clock_pizza import PUBLISHED_MEANS
from marginlens.networks import evaluate, gromov
from marginlens.runs import Run
from marginlens.tasks import Task, task
from marginlens.training import recorded_rows, trained_rows
from marginlens.verdict import Claim, at_least, claim

__all__ = [
    "barak",
    "barak_row",
    "chughtai",
    "chughtai_row",
    "curves",
    "grokked_row",
    "gromov_claims",
    "gromov_row",
    "lottery",
    "lottery_figures",
    "lottery_row",
    "names_of_s5",
    "nanda",
    "nanda_row",
    "nothing",
    "pizza",
    "pizza_row",
    "power",
]

Runs = Mapping[str, Run]
Row = dict[str, float | str]

_NANDA = "Nanda et al. 2023"
_ZHONG = "Zhong et al. 2023"
_CHUGHTAI = "Chughtai et al. 2023"
_LATE = "not within the steps"

_PUBLISHED = (
    {"sign", "standard"},
    {"sign", "standard", "5d_a"},
    {"sign", "standard", "5d_a", "standard_sign"},
    {"sign", "standard", "5d_b"},
    {"sign", "standard", "standard_sign"},
    {"sign", "standard_sign"},
)
"""Key sets of S5 that the authors' table and seeds have more than twice, or for a transformer."""

_NAMES_OF_S5 = {
    (1, -1): "sign",
    (4, 2): "standard",
    (4, -2): "standard_sign",
    (5, -1): "5d_a",
    (5, 1): "5d_b",
    (6, 0): "6d",
}
"""The authors' names, by degree and value at a transposition."""


def nothing(runs: Runs) -> Iterable[tuple[str, go.Figure]]:
    """Return an empty list of figures."""
    return []


def curves(runs: Runs) -> Iterable[tuple[str, go.Figure]]:
    """Yield train and test curves of each run with held-out rows."""
    for label, run in runs.items():
        figure = grokking_figure(run)
        if figure is not None:
            yield label, figure


def _final(run: Run, name: str) -> float:
    return float(run.history[name][-1])


@lru_cache(maxsize=32)  # for the claims and for the row
def _mechanism(run: Run) -> Mechanism:
    return examine_network(run.training.network, run.task, train=trained_rows(run.task, run.recipe))


def grokked_row(run: Run) -> Row:
    """Return accuracies, and the steps at which they were reached."""
    assert run.grokking is not None  # systems that grok hold rows back
    stages = run.grokking.stages[0]
    steps = {
        "memorised at step": stages.memorised,
        "clean-up from step": stages.clean_up,
        "generalised at step": stages.generalised,
    }
    return {
        "train accuracy": _final(run, "accuracy"),
        "test accuracy": _final(run, "test_accuracy"),
        **{name: _at(step) for name, step in steps.items()},
    }


def power(runs: Runs) -> list[Claim]:
    """Return the claims of Power et al.: memorisation first, generalisation later."""
    claims = []
    for label, run in runs.items():
        claims.append(
            at_least(
                label,
                f"Test accuracy of {run.recipe.task}",
                _final(run, "test_accuracy"),
                0.99,
                "Power et al. 2022, Figure 1",
                promised=True,
            )
        )
        ratio = None if run.grokking is None else run.grokking.stages[0].ratio
        claims.append(
            at_least(
                f"{label} delay",
                f"Steps until {run.recipe.task} is generalised, over those until it is memorised",
                ratio,
                2.0,
                "Power et al. 2022",
                promised=True,
            )
        )
    return claims


def nanda_row(run: Run) -> Row:
    """Return the progress measures at the end of training."""
    found = _mechanism(run)
    return {
        **grokked_row(run),
        "key frequencies": ", ".join(name.removeprefix("k=") for name in found.key_features),
        "loss": found.loss,
        "restricted loss": found.progress.restricted,
        "excluded loss": found.progress.excluded,
        "Gini": 0.0 if found.gini is None else found.gini,
        "gradient symmetricity": found.clock_pizza.gradient_symmetricity or 0.0,
        "distance irrelevance": found.clock_pizza.distance_irrelevance,
        "verdict": found.clock_pizza.verdict,
    }


def nanda(runs: Runs) -> list[Claim]:
    """Return the claims of Nanda et al.: seeds generalise by key frequencies."""
    groks = [label for label, run in runs.items() if _final(run, "test_accuracy") == 1]
    claims = [
        at_least(
            "seeds",
            f"Share of {len(runs)} seeds with test accuracy 1",
            len(groks) / len(runs),
            0.8,
            _NANDA,
            promised=True,
        )
    ]
    for label in groks:
        found = _mechanism(runs[label])
        claims += [
            at_least(
                f"{label} restricted",
                f"{label}: full loss over restricted loss (above 1: the key "
                "frequencies alone do better)",
                found.loss / found.progress.restricted,
                1.0,
                _NANDA,
                promised=True,
            ),
            at_least(
                f"{label} excluded",
                f"{label}: excluded loss over the full loss on the rows trained on",
                found.progress.excluded / (found.train_loss or np.nan),
                1.0,
                _NANDA,
                promised=True,
            ),
            at_least(
                f"{label} explained",
                f"{label}: share of the logits that characters explain (sum b^2); "
                "the mainline network's is .95",
                float(found.spectrum.total[0]),
                0.9,
                _NANDA,
                promised=False,
            ),
        ]
    return claims


def pizza_row(run: Run) -> Row:
    """Return the two measures of the clock and pizza plane."""
    found = _mechanism(run)
    clock = found.clock_pizza
    return {
        "attention rate": run.recipe.attention,
        "test accuracy": _final(run, "test_accuracy"),
        "gradient symmetricity": clock.gradient_symmetricity or 0.0,
        "distance irrelevance": clock.distance_irrelevance,
        "circularity": clock.circularity or 0.0,
        "key frequencies": ", ".join(name.removeprefix("k=") for name in found.key_features),
        "verdict": clock.verdict,
    }


def pizza(runs: Runs) -> list[Claim]:
    """Return the claims of Zhong et al.: a pizza without attention, a clock with it."""
    claims = []
    for label, run in runs.items():
        found, rate = _mechanism(run).clock_pizza, run.recipe.attention
        _, symmetricity, irrelevance = next(mean for mean in PUBLISHED_MEANS if rate < mean[0])
        if rate in (0, 1):
            wanted = "clock" if rate else "pizza"
            claims.append(
                claim(
                    f"{label} verdict",
                    f"Attention rate {rate:g} gives a {wanted} (1: yes; it is: {found.verdict})",
                    1.0,
                    float(found.verdict == wanted),
                    0.0,
                    f"{_ZHONG}, models A and B",
                    promised=True,
                )
            )
        claims += [
            claim(
                f"{label} symmetricity",
                f"Gradient symmetricity at attention rate {rate:g}, against "
                "the mean of the published networks near it",
                symmetricity,
                found.gradient_symmetricity,
                0.2,
                f"{_ZHONG}, result table",
                promised=False,
            ),
            claim(
                f"{label} irrelevance",
                f"Distance irrelevance at attention rate {rate:g}, likewise",
                irrelevance,
                found.distance_irrelevance,
                0.2,
                f"{_ZHONG}, result table",
                promised=False,
            ),
        ]
    return claims


def names_of_s5(problem: Task) -> list[str]:
    """Return the authors' names of the features of S5, by degree and character."""
    group = problem.group
    if group is None or group.order != 120:
        raise ValueError(f"{problem.name} is not S5")
    swap = int(np.flatnonzero(group.class_sizes == 10)[0])  # the transpositions
    names = []
    for feature in problem.features:
        assert feature.irrep is not None
        value = round(float(group.characters[feature.irrep.members[0], swap].real))
        names.append(_NAMES_OF_S5[feature.irrep.degree, value])
    return names


def _key_of_s5(run: Run, found: Mechanism) -> set[str]:
    return {name for name, key in zip(names_of_s5(run.task), found.key, strict=True) if key}


def chughtai_row(run: Run) -> Row:
    """Return the key irreps and the variance that they explain."""
    found = _mechanism(run)
    hidden = found.hidden
    return {
        **grokked_row(run),
        "key irreps": ", ".join(sorted(_key_of_s5(run, found))),
        "logit variance explained": float(found.spectrum.explained[0].sum()),
        "restricted loss": 0.0 if hidden is None else hidden.total_restricted,
        "excluded loss": 0.0 if hidden is None else hidden.total_excluded,
        "rho(ab) in the hidden layer": 0.0
        if hidden is None
        else float(hidden.product[found.key].sum()),
        "largest coset concentration": (found.cosets or {}).get("largest_left", np.nan),
    }


def chughtai(runs: Runs) -> list[Claim]:
    """Return the claims of Chughtai et al.: S5 is learned by a published set of irreps."""
    claims = []
    for label, run in runs.items():
        found = _mechanism(run)
        key = _key_of_s5(run, found)
        claims += [
            at_least(
                f"{label} accuracy",
                f"{label}: test accuracy on S5",
                _final(run, "test_accuracy"),
                0.99,
                _CHUGHTAI,
                promised=True,
            ),
            claim(
                f"{label} key set",
                f"{label}: its key set ({', '.join(sorted(key))}) is among the published ones",
                1.0,
                float(key in _PUBLISHED),
                0.0,
                f"{_CHUGHTAI}, tables",
                promised=True,
            ),
        ]
        if found.hidden is not None:
            ratio = found.loss / found.hidden.total_restricted
            claims.append(
                at_least(
                    f"{label} restricted",
                    f"{label}: full loss over the loss of rho(ab) of the key irreps alone",
                    ratio,
                    1.0,
                    _CHUGHTAI,
                    promised=False,
                )
            )
    return claims


def gromov_row(run: Run) -> Row:
    """Return the errors and accuracies of a run."""
    row = grokked_row(run) if "test_accuracy" in run.history else {}
    purity = float(np.nanmedian(run.measurement.max_power)) if run.is_measured else np.nan
    return {
        **row,
        "corrupted": run.recipe.corrupt,
        "loss": _final(run, "loss"),
        "median share of one frequency": purity,
    }


def gromov_claims(runs: Runs) -> list[Claim]:
    """Return the claims of Gromov, and of Doshi et al. with corrupted labels."""
    claims = []
    for label, run in runs.items():
        source = "Doshi et al. 2023" if run.recipe.corrupt else "Gromov 2023"
        claims.append(
            at_least(
                f"{label} test",
                f"{label}: test accuracy",
                _final(run, "test_accuracy"),
                0.99,
                source,
                promised=True,
            )
        )
        if run.recipe.corrupt:
            claims.append(
                claim(
                    f"{label} train",
                    f"{label}: accuracy on the rows trained on, "
                    f"{run.recipe.corrupt:.0%} of which have wrong labels (published: .786)",
                    0.786,
                    _final(run, "accuracy"),
                    0.15,
                    source,
                    promised=False,
                )
            )
    first = next(iter(runs.values()))
    problem = task(first.recipe.task)
    found = evaluate(gromov(problem, width=first.recipe.width, seed=0), problem)
    claims.append(
        at_least(
            "analytic",
            f"Accuracy of the analytic solution with {first.recipe.width} neurons",
            float(found.accuracy[0]),
            0.99,
            "Gromov 2023, eq. (10)-(12)",
            promised=False,
        )
    )
    return claims


@lru_cache(maxsize=32)
def _hidden_progress(run: Run) -> ParityProgress:
    return parity_progress(run.task, run.training, rows=recorded_rows(run.task, run.recipe))


def _at(step: float | None) -> str:
    return _LATE if step is None or np.isnan(step) else str(int(step))


def barak_row(run: Run) -> Row:
    """Return the steps of learning, and of half of the weights' movement."""
    found = _hidden_progress(run)
    return {
        "bits": float(run.task.size),
        "relevant": float(len(run.task.subset or ())),
        "accuracy": _final(run, "accuracy"),
        "learned at step": _at(float(time_to_learn(run.training)[0])),
        "one neuron's share halfway at step": _at(found.neuron_step),
        "all neurons' share halfway at step": _at(found.hidden_step),
        "accuracy .9 at step": _at(found.accuracy_step),
        "share at the end": float(found.total_share[-1]),
        "positive Fourier gaps at the start": float((found.gaps[0] > 0).mean()),
    }


def barak(runs: Runs) -> list[Claim]:
    """Return the claims of Barak et al.: hidden progress precedes accuracy."""
    source = "Barak et al. 2022"
    claims = []
    for label, run in runs.items():
        found = _hidden_progress(run)
        claims.append(
            at_least(
                f"{label} learned",
                f"{label}: accuracy",
                _final(run, "accuracy"),
                0.99,
                source,
                promised=True,
            )
        )
        lead = None
        if found.neuron_step is not None and found.accuracy_step is not None:
            lead = float(found.accuracy_step - found.neuron_step)
        claims.append(
            at_least(
                f"{label} hidden progress",
                f"{label}: steps by which the largest share of a neuron on "
                "the relevant coordinates is halfway before the accuracy is .9",
                lead,
                1.0,
                source,
                promised=True,
            )
        )
    return claims


def _scored(run: Run) -> Lottery:
    if run.lottery is None:
        raise ValueError(f"{run.recipe.network} networks have no lottery")
    return run.lottery


def lottery_row(run: Run) -> Row:
    """Return the share of neurons whose frequency each rule predicts."""
    found = _scored(run)
    return {
        "activation": str(run.recipe.activation),
        "live neurons": float(found.live),
        "median share of one frequency": found.purity,
        **{name: score.share for name, score in found.scores.items()},
        "chance": found.chance,
    }


def lottery(runs: Runs) -> list[Claim]:
    """Return the claims of He et al.: initial weights predict the frequency."""
    claims = []
    for label, run in runs.items():
        found = _scored(run)
        score = found.scores["time"]
        claims += [
            at_least(
                f"{label} chance",
                f"{label}: lower end of the 95 % interval of the share of neurons "
                "whose frequency is told, over chance",
                score.low / found.chance,
                1.0,
                "He et al. 2026",
                promised=True,
            ),
            at_least(
                f"{label} share",
                f"{label}: that share",
                score.share,
                0.9,
                "He et al. 2026",
                promised=False,
            ),
        ]
    return claims


def lottery_figures(runs: Runs) -> Iterable[tuple[str, go.Figure]]:
    """Yield the magnitudes against misalignments of each run."""
    for label, run in runs.items():
        yield label, lottery_chart(_scored(run))
