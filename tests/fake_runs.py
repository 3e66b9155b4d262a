"""Synthetic runs with the fields of the real records: figures and pages need nothing more."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from marginlens.measures import Displacement, Lottery, RuleScore, Tickets, grokking
from marginlens.verdict import Claim, Verdict


class FakeRecipe(SimpleNamespace):
    def to_toml(self):
        return "".join(f"{key} = {value!r}\n" for key, value in vars(self).items())


class FakeFeature(SimpleNamespace):
    def project(self, x):
        return (x @ self.basis) @ self.basis.T

    def power(self, x):
        return ((x @ self.basis) ** 2).sum(-1)


def cyclic_run(order=71, *, generator=1, name=None, snapshots=60, theory=True) -> SimpleNamespace:
    """Addition mod an odd order: noise that turns into one cosine a neuron."""
    rng = np.random.default_rng(0)
    name = name or f"C{order}"
    frequencies = np.arange(1, (order - 1) // 2 + 1)
    positions = np.empty(order, dtype=int)
    powers = np.arange(order) * generator % order
    positions[powers] = np.arange(order)
    features = []
    for k in frequencies:
        angle = 2 * np.pi * k * positions / order
        basis = np.stack([np.cos(angle), np.sin(angle)], 1) * np.sqrt(2 / order)
        features.append(
            FakeFeature(
                name=f"k={k}", dimension=2, type="complex", basis=basis, frequency=int(k),
                coordinate=None, irrep=None,
            )
        )  # fmt: skip
    table = (np.arange(order)[:, None] + np.arange(order)) % order
    group = SimpleNamespace(
        order=order, identity=0, generator=generator, table=table, name=name,
        class_of=np.arange(order), is_abelian=True,
        powers=lambda element: np.arange(order) * element % order,
    )  # fmt: skip
    neurons = max(6 * len(frequencies), 24)
    dominant = rng.integers(len(frequencies), size=neurons)
    dominant[: len(frequencies)] = np.arange(len(frequencies))
    phases = rng.uniform(-np.pi, np.pi, (neurons, 3))
    phases[:, 2] = _wrap(phases[:, 0] + phases[:, 1] + rng.normal(0, 0.01, neurons))
    size = rng.uniform(0.8, 1.2, neurons)
    final = {
        slot: size
        * np.cos(2 * np.pi * np.outer(positions, frequencies[dominant]) / order + phases[:, place])
        for place, slot in enumerate("uvw")
    }
    dead = np.arange(neurons) >= neurons - 5
    return _run(
        name, "x^2", 3, features, group, final, dominant, dead, rng, snapshots=snapshots,
        phases=phases, margin=4.61430079154e-4 if theory else None, status="must",
        penalty_norm="homogeneous",
    )  # fmt: skip


def relu_run() -> SimpleNamespace:
    """A setting without a theorem: no maximum margin, no shares."""
    return cyclic_run(23, theory=False)


def s4_run() -> SimpleNamespace:
    """A group that is not cyclic: four features of dimensions 1, 4, 9, 9, no phases."""
    rng = np.random.default_rng(1)
    elements = list(permutations(range(4)))
    place = {element: index for index, element in enumerate(elements)}
    table = np.array([[place[tuple(a[i] for i in b)] for b in elements] for a in elements])
    types = [_cycle_type(element) for element in elements]
    names = [(1, 1, 1, 1), (2, 1, 1), (2, 2), (3, 1), (4,)]
    class_of = np.array([names.index(kind) for kind in types])
    basis, _ = np.linalg.qr(np.column_stack([np.ones(24), rng.normal(size=(24, 23))]))
    features, start = [], 1
    for label, degree in (("1b", 1), ("2a", 2), ("3a", 3), ("3b", 3)):
        features.append(
            FakeFeature(
                name=label, dimension=degree**2, type="real",
                basis=basis[:, start : start + degree**2], frequency=None, coordinate=None,
                irrep=None,
            )
        )  # fmt: skip
        start += degree**2
    group = SimpleNamespace(
        order=24, identity=0, generator=None, table=table, name="S4", class_of=class_of,
        is_abelian=False,
    )  # fmt: skip
    dominant = rng.choice(4, size=60, p=[0.05, 0.15, 0.4, 0.4])
    dominant[:4] = range(4)
    final = {slot: np.empty((24, 60)) for slot in "uvw"}
    for slot in final:
        for neuron, feature in enumerate(dominant):
            inside = features[feature].basis
            final[slot][:, neuron] = inside @ rng.normal(size=inside.shape[1])
    return _run(
        "S4", "x^2", 3, features, group, final, dominant, np.arange(60) >= 57, rng,
        phases=None, margin=2.07664799605e-3, status="must", penalty_norm="homogeneous",
    )  # fmt: skip


def parity_run() -> SimpleNamespace:
    """Sparse parity: coordinates as features, one slot."""
    rng = np.random.default_rng(2)
    features = [
        FakeFeature(
            name=f"x{i + 1}", dimension=1, type="coordinate", basis=np.eye(10)[:, i : i + 1],
            frequency=None, coordinate=i, irrep=None,
        )
        for i in range(10)
    ]  # fmt: skip
    signs = np.array(list(product([1, -1], repeat=4)) * 3)[:40]
    final = {"u": np.zeros((10, 40)), "w": np.zeros((2, 40))}
    final["u"][:4] = 1.1 * signs.T
    final["w"][:] = np.outer([1, -1], signs.prod(1))
    return _run(
        "parity(10,4)", "x^4", 5, features, None, final, np.zeros(40, int), np.zeros(40, bool), rng,
        phases=None, margin=0.6071573107523288, status=None, penalty_norm="homogeneous",
        subset=(0, 1, 2, 3),
    )  # fmt: skip


def _run(
    name, activation, degree, features, group, final, dominant, dead, rng, *,
    phases, margin, status, penalty_norm, snapshots=60, subset=None,
):  # fmt: skip
    final = {slot: np.where(dead, 1e-9, values) for slot, values in final.items()}
    noise = {slot: rng.normal(size=values.shape) * 0.35 for slot, values in final.items()}
    steps = np.unique(np.round(np.geomspace(1, 1201, snapshots)).astype(int) - 1)
    mix = 1 / (1 + np.exp(-(np.log(steps + 1.0) - 4.6) * 2.2))
    paths = {
        slot: np.stack([m * final[slot] + (1 - m) * noise[slot] * ~dead for m in mix])
        for slot in final
    }
    task = SimpleNamespace(
        name=name, kind="table" if group else "parity", features=tuple(features),
        group=group, elements=group, classes=len(next(iter(final.values()))) if group else 2,
        slots=("u", "v") if group else ("u",), factors=2 if group else 1, subset=subset,
        size=features[0].basis.shape[0],
    )  # fmt: skip
    last = _measure(task, activation, degree, {s: p[-1] for s, p in paths.items()}, dead, phases)
    first = _measure(task, activation, degree, {s: p[0] for s, p in paths.items()}, dead, phases)
    if phases is not None:
        first.phases = rng.uniform(-np.pi, np.pi, phases.shape)
    recorded = np.arange(0, 1201, 10)
    share = 1 - 1.4 * np.exp(-recorded / 90.0)
    scale = margin if margin is not None else 4.8e-3
    last.normalized_margin = scale * float(share[-1])
    history = {
        "step": recorded,
        "loss": 0.283 + 4 * np.exp(-recorded / 80.0),
        "cross_entropy": 0.0395 + 4 * np.exp(-recorded / 80.0),
        "objective": 0.5 + 4 * np.exp(-recorded / 80.0),
        "accuracy": 1 / (1 + np.exp(-(recorded - 120) / 15.0)),
        "margin": share * 5,
        "norm": 2443 * (1 - np.exp(-recorded / 150.0)),
        "normalized_margin": scale * share,
        "margin_ratio": share if margin is not None else np.full(len(recorded), np.nan),
    }
    held_out = None
    if phases is not None:
        history["test_cross_entropy"] = 3 * np.exp(-np.maximum(recorded - 700, 0) / 40.0)
        history["test_accuracy"] = 1 / (1 + np.exp(-(recorded - 800) / 15.0))
        held_out = grokking(
            recorded,
            {k: v[:, None] for k, v in history.items() if k.endswith(("entropy", "accuracy"))},
        )
    total = len(features)
    predicted, at_penalty_shares = [], {}
    for index, feature in enumerate(features):
        if margin is None:
            kind, least, greatest = "unknown", None, None
        elif subset is not None:
            least = greatest = 1 / len(subset) if index in subset else 0.0
            kind = "must" if index in subset else "cannot"
        elif total == 4:
            kind, least, greatest = (
                status,
                [0.03, 0.1, 0.38, 0.38][index],
                [0.05, 0.2, 0.5, 0.44][index],
            )
        else:
            kind, least, greatest = status, 1 / total, 1 / total
        if least is not None:
            at_penalty_shares[feature.name] = (least + greatest) / 2
        predicted.append(
            SimpleNamespace(
                name=feature.name, dimension=feature.dimension, type=feature.type, status=kind,
                frobenius_schur=None, least_share=least, greatest_share=greatest,
            )
        )  # fmt: skip
    prediction = SimpleNamespace(
        task=name, activation=activation, norm=f"L2,{degree}", margin=margin,
        features=tuple(predicted),
        certificate=None if margin is None or subset else SimpleNamespace(
            upper=margin, lower=margin * (1 - 3e-16), gap=3e-16),
        sufficient_width=None if margin is None else 210,
        theorem="Morwani et al. 2024, Theorem 7" if margin else "none",
        assumptions=("population training on the full table", "no biases", "small penalty"),
        note="" if margin is not None else "No theorem covers ReLU on this group.",
        closed_form=margin, theorem9_applies=False, proved=True, waveform=None, task_note="",
        penalty=SimpleNamespace(norm=penalty_norm, strength=1e-4),
        collapse_penalty=None if margin is None else 4.55e-4,
        at_penalty=None if margin is None else SimpleNamespace(
            loss=0.28383, cross_entropy=0.0395, norm=2442.95, margin=5.0, margin_ratio=1.0,
            shares=at_penalty_shares,
            gap=1e-12),
    )  # fmt: skip
    ratio = None if margin is None else 0.99987
    verdict = Verdict(name, ratio, 17.3, _claims(margin))
    recipe = FakeRecipe(
        task=name, activation=activation, width=len(dead), norm=penalty_norm, strength=1e-4,
        optimizer="adam", learning_rate=0.01, schedule="cosine", steps=1200, stop_margin=None,
        seed=0, members=1, dtype="float32", loss_function="cross_entropy", online=False,
    )  # fmt: skip
    return SimpleNamespace(
        folder=Path("runs") / name, recipe=recipe, task=task, prediction=prediction,
        measurement=last, first=first, verdict=verdict, history=history,
        snapshot_steps=steps, snapshots={s: p.astype(np.float32) for s, p in paths.items()},
        grokking=held_out,
        displacement=None if group is None else _displacement(features, group, rng),
        lottery=None if phases is None else _lottery(name, features, last.dominant, rng),
    )  # fmt: skip


def _displacement(features, group, rng) -> Displacement:
    """Logits that are a sum of class functions, and a little of everything."""
    parts = np.stack([feature.basis[0] @ feature.basis.T for feature in features])
    mean = parts.sum(0)
    explained = np.square(parts).sum(1) / np.square(mean).sum()
    return Displacement(mean, rng.uniform(0, 0.1, len(mean)) * mean.max(), parts, explained)


def _lottery(name, features, final, rng) -> Lottery:
    """Half of the neurons end as their tickets say."""
    shape = (len(final), len(features))
    time = rng.uniform(1, 2, shape)
    time[::2][np.arange(len(final[::2])), final[::2]] = 0.5
    live = final >= 0
    right = int((time.argmin(1) == final)[live].sum())
    score = RuleScore(right, right / live.sum(), 0.3, 0.7)
    return Lottery(
        task=name, order=2 * len(features) + 1, tied=False,
        frequencies=tuple(feature.frequency for feature in features),
        tickets=Tickets(
            rng.uniform(0.1, 1, (*shape, 3)), rng.uniform(-np.pi, np.pi, shape), time
        ),
        final=final, purity=0.9, scores={"time": score}, chance=1 / len(features), commonest=0.2,
    )  # fmt: skip


def _claims(margin):
    def claim(name, statement, predicted, measured, tolerance, holds, promised, source):
        return Claim(
            name, statement, predicted, measured, tolerance, name == "loss", holds, promised, source
        )

    known = margin is not None
    paper = "Morwani et al. 2024, Theorem 7"
    return (
        claim("accuracy", "Every input is answered correctly.", 1.0, 1.0, 0.0, True, True, paper),
        claim("margin", "The normalized margin reaches the maximum.", margin,
              margin and margin * 0.99987, 1e-3, known, known, paper),
        claim("loss", "The loss is the least possible at this penalty.", 0.28383 if known else None,
              0.283841, 1e-4, known, known, "derived in docs/theory.md, section 5"),
        claim("single_feature", "Every live neuron lies in one feature.", 1.0, 0.99993, 1e-2, True,
              True, paper),
        claim("sinusoids", "Weights are pure cosines.", 1.0, 0.9999 if known else 0.92, 1e-2, known,
              known, paper),
        claim("must", "Every must feature is used.", 2.0, 2.0, 0.0, True, True, paper),
    )  # fmt: skip


def _measure(task, activation, degree, weights, dead, phases):
    keys = [slot for slot in ("u", "v", "w") if slot in weights]
    spectrum, total, energy_all = {}, 0.0, 0.0
    for key in keys:
        rows = weights[key].T
        if rows.shape[1] != task.size:
            continue
        centred = rows - rows.mean(1, keepdims=True) if task.group else rows
        power = np.stack([feature.power(centred) for feature in task.features], 1)
        energy = (centred**2).sum(1)
        total, energy_all = total + power, energy_all + energy
        with np.errstate(invalid="ignore", divide="ignore"):
            spectrum[key] = np.where(dead[:, None], np.nan, power / energy[:, None])
    with np.errstate(invalid="ignore", divide="ignore"):
        spectrum["all"] = np.where(dead[:, None], np.nan, total / energy_all[:, None])
    dominant = np.where(dead, -1, np.nan_to_num(spectrum["all"]).argmax(1))
    norms = np.sqrt(sum((weights[key] ** 2).sum(0) for key in keys))
    weight = np.where(dead, 0, norms**degree)
    count = np.bincount(dominant[~dead], minlength=len(task.features))
    share = np.bincount(dominant[~dead], weight[~dead], len(task.features)) / weight.sum()
    if task.group is None:
        share = np.nan_to_num(spectrum["all"])[~dead].mean(0)
    error = None
    if phases is not None:
        error = np.abs(_wrap(phases[:, 0] + phases[:, 1] - phases[:, 2]))
    return SimpleNamespace(
        task=task.name, activation=activation, degree=degree, accuracy=1.0, cross_entropy=0.0395,
        norm=2443.1, margin=5.0, normalized_margin=0.0,
        features=tuple(feature.name for feature in task.features), neuron_norms=norms, live=~dead,
        spectrum=spectrum, dominant=dominant,
        max_power=np.where(dead, np.nan, np.nan_to_num(spectrum["all"]).max(1)),
        agrees=~dead, share=share, count=count, phases=phases, phase_error=error,
        cosine_fit=None if phases is None else np.where(dead, np.nan, 0.9999),
    )  # fmt: skip


def _wrap(angle):
    return (angle + np.pi) % (2 * np.pi) - np.pi


def _cycle_type(permutation):
    seen, lengths = set(), []
    for start in range(len(permutation)):
        length = 0
        while start not in seen:
            seen.add(start)
            start, length = permutation[start], length + 1
        if length:
            lengths.append(length)
    return tuple(sorted(lengths, reverse=True))
