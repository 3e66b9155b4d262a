"""Explicit networks reach the predicted margin, by plain NumPy."""

import functools

import numpy as np
import pytest
from reference import reference_rows

from marginlens.groups import FiniteGroup, group
from marginlens.networks import evaluate
from marginlens.networks.constructions import construct, gromov
from marginlens.tasks import Task, task
from marginlens.theory import Penalty, predict

# group: (simplex neurons, sign neurons)
NEURONS = {
    "C2": (2, 2),
    "C3": (6, 8),
    "C4": (8, 10),
    "C5": (12, 16),
    "C12": (32, 42),
    "C23": (66, 88),
    "S3": (12, 18),
    "D4": (16, 22),
    "D5": (22, 34),
    "Q8": (26, 38),
    "A4": (36, 62),
    "Dic3": (38, 58),
    "F21": (120, 224),
    "S4": (72, 126),
    "SL23": (92, 158),
    "A5": (128, 236),
    "S4xC3": (336, 620),
    "S5": (620, 1190),
    "SL25": (100, 172),
}


@functools.cache
def matrix_group(name: str) -> FiniteGroup:
    """F21, SL25 and PSL27: 2 x 2 matrices over a prime field, up to sign for the last."""
    p, generators = {
        "F21": (7, [(2, 0, 0, 1), (1, 1, 0, 1)]),
        "SL25": (5, [(1, 1, 0, 1), (1, 0, 1, 1)]),
        "PSL27": (7, [(1, 1, 0, 1), (1, 0, 1, 1)]),
    }[name]

    def product(x, y):
        (a, b, c, d), (e, f, g, h) = x, y
        z = tuple(v % p for v in (a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h))
        return min(z, tuple(-v % p for v in z)) if name == "PSL27" else z

    elements = {(1, 0, 0, 1)}
    fresh = elements
    while fresh:
        fresh = {product(x, y) for x in fresh for y in generators} - elements
        elements = elements | fresh
    ordered = sorted(elements)
    index = {x: i for i, x in enumerate(ordered)}
    return group(np.array([[index[product(x, y)] for y in ordered] for x in ordered]), name=name)


def problem(name: str) -> Task:
    if name in ("F21", "SL25", "PSL27"):
        return task(matrix_group(name))
    return task({"SL23": "SL(2,3)"}.get(name, name))


def blocks(network) -> dict[str, np.ndarray]:
    for block in network.tensors.values():
        assert block.shape[0] == 1
    return {slot: block[0].numpy() for slot, block in network.tensors.items()}


def logits(weights: dict[str, np.ndarray], of: Task) -> np.ndarray:
    """Logits row by row, as the definition says."""
    if of.kind == "table":
        a, b = of.inputs.T
        return np.concatenate(
            [
                (weights["u"][rows] + weights["v"][others]) ** 2 @ weights["w"].T
                for rows, others in zip(np.array_split(a, 16), np.array_split(b, 16), strict=True)
            ]
        )
    return (of.inputs @ weights["u"]) ** len(of.subset) @ weights["w"].T


def margin_and_norm(weights: dict[str, np.ndarray], of: Task) -> tuple[float, float]:
    """Least margin over all inputs, and sum ||omega||^nu."""
    f = logits(weights, of)
    rows = np.arange(len(f))
    right = f[rows, of.answers]
    f[rows, of.answers] = -np.inf
    nu = 3 if of.kind == "table" else len(of.subset) + 1
    square = sum((block**2).sum(axis=0) for block in weights.values())
    return float((right - f.max(axis=1)).min()), float((square ** (nu / 2)).sum())


@pytest.mark.parametrize("method", ["simplex", "signs"])
@pytest.mark.parametrize("name", NEURONS)
def test_margin_and_width(name, method):
    of = problem(name)
    prediction = predict(of)
    weights = blocks(construct(of, method=method))
    margin, norm = margin_and_norm(weights, of)
    assert norm == pytest.approx(1.0, rel=1e-12)
    assert margin / norm == pytest.approx(prediction.margin, rel=1e-10)
    assert weights["w"].shape[1] == NEURONS[name][method == "signs"]
    if method == "simplex":
        assert prediction.sufficient_width == weights["w"].shape[1]


@pytest.mark.slow
def test_psl27():
    of = problem("PSL27")
    margin, _ = margin_and_norm(blocks(construct(of)), of)
    assert margin == pytest.approx(6.775545645516946e-05, rel=1e-10)


@pytest.mark.parametrize("p", [3, 5, 7, 11])
def test_dihedral_width(p):
    assert construct(task(f"D{p}")).tensors["w"].shape[2] == 5 * p - 3


@pytest.mark.parametrize("name", ["C12", "S4", "A5", "Q8", "F21"])
def test_neurons_are_pure_and_carry_their_mass(name):
    of = problem(name)
    prediction = predict(of)
    weights = blocks(construct(of))
    powers = {
        slot: np.array([feature.power(block.T) for feature in of.features])
        for slot, block in weights.items()
    }
    together = sum(powers.values())
    norms = sum((block**2).sum(axis=0) for block in weights.values()) ** 0.5
    assert together.max(axis=0) == pytest.approx(norms**2, rel=1e-10)
    home = together.argmax(axis=0)
    for block in weights.values():  # the three vectors of a neuron have equal norms
        assert (block**2).sum(axis=0) == pytest.approx(norms**2 / 3, rel=1e-10)
    for index, mass in enumerate(prediction.masses):
        assert (norms[home == index] ** 3).sum() == pytest.approx(mass, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("parity(4,2)", 2),
        ("parity(6,3)", 4),
        ("parity(10,4)", 8),
        ("parity(5,1)", 1),
        ("parity(6,5)", 16),
    ],
)
def test_parity(name, width):
    of = task(name)
    weights = blocks(construct(of))
    margin, norm = margin_and_norm(weights, of)
    assert norm == pytest.approx(1.0, rel=1e-12)
    assert margin == pytest.approx(predict(of).margin, rel=1e-10)
    assert weights["u"].shape == (of.size, width)
    inputs = (weights["u"] ** 2).sum(axis=1)
    assert inputs / inputs.sum() == pytest.approx(predict(of).masses, abs=1e-12)


@pytest.mark.parametrize("name", ["C5", "C23", "parity(6,3)"])
@pytest.mark.parametrize("strength", [1e-3, 1e-5])
def test_scaled_network_has_the_predicted_loss_at_a_penalty(name, strength):
    """Where the margin ratio is one, the maximum-margin network is the minimum up to scale."""
    of = task(name)
    expected = predict(of, penalty=Penalty("homogeneous", strength)).at_penalty
    weights = blocks(construct(of))
    f = expected.norm * logits(weights, of)
    rows = np.arange(len(f))
    loss = float(np.mean(np.log(np.exp(f - f[rows, of.answers][:, None]).sum(axis=1))))
    assert loss == pytest.approx(expected.cross_entropy, rel=1e-8)
    assert loss + strength * expected.norm == pytest.approx(expected.loss, rel=1e-8)
    margin, _ = margin_and_norm(weights, of)
    assert expected.norm * margin == pytest.approx(expected.margin, rel=1e-10)


def test_a_damaged_network_loses_margin():
    of = task("S3")
    weights = blocks(construct(of))
    weights["v"] = np.roll(weights["v"], 1, axis=1)
    assert margin_and_norm(weights, of)[0] < 0.9 * predict(of).margin


def test_errors():
    with pytest.raises(ValueError, match='method: expected "simplex" or "signs"'):
        construct(task("C5"), method="best")


def test_neurons_file():
    compared = 0
    for row in reference_rows("constructions.csv"):
        name = row["group"]
        if name.startswith("SG") or name == "PSL27":
            continue
        prediction = predict(problem(name))
        assert prediction.margin == pytest.approx(float(row["gamma_star"]), rel=1e-12)
        assert prediction.sufficient_width == int(row["simplex_neurons"])
        assert construct(problem(name), method="signs").tensors["w"].shape[2] == int(
            row["sign_neurons"]
        )
        compared += 1
    assert compared == 20


def test_gromovs_network_is_the_formula():
    network = gromov(task("C7"), width=30, seed=3)
    u, v, w = (network.tensors[name][0].numpy() for name in ("u", "v", "w"))
    scale = (2 / 30) ** (1 / 3)
    step = np.exp(2j * np.pi / 7)
    for i in range(30):
        # cos(theta a + phi) = Re(z e^(i theta a)): the best fit over all theta leaves nothing
        fits = []
        for k in range(7):
            wave = step ** (k * np.arange(7))
            design = np.stack([wave.real, wave.imag], axis=1)
            parts = [np.linalg.lstsq(design, x[:, i], rcond=None) for x in (u, v, w)]
            angles = [np.angle(a - 1j * b) for (a, b), *_ in parts]
            left = sum(
                np.abs(design @ p[0] - x[:, i]).max() for p, x in zip(parts, (u, v, w), strict=True)
            )
            sizes = [np.hypot(*p[0]) for p in parts]
            fits.append((left, k, angles, sizes))
        left, k, (one, two, both), sizes = min(fits)
        assert left < 1e-12
        if k:
            np.testing.assert_allclose(sizes, scale, rtol=1e-10)
            assert abs(np.exp(1j * (one + two - both)) - 1) < 1e-10


def test_gromovs_error_is_the_variance_of_its_neurons_over_the_width():
    n, of = 7, task("C7")
    target = np.eye(n)[of.answers]
    # of a neuron with s = 1, over all phases: a grid of 16 x 16 is exact for these polynomials
    one, two = np.meshgrid(*[2 * np.pi * np.arange(16) / 16] * 2)
    variance = np.mean(
        [
            np.var((np.cos(one) + np.cos(two)) ** 2 * np.cos(one + two - 2 * np.pi * k * d / n))
            for k in range(n)
            for d in range(n)
        ]
    )
    for width in (10 * n, 40 * n, 160 * n):
        errors = [
            np.mean((gromov(of, width=width, seed=seed).logits(of)[0].numpy() - target) ** 2)
            for seed in range(100)
        ]
        spread = np.std(errors) / 100**0.5
        assert abs(np.mean(errors) - 4 * variance / width) < 4 * spread
        assert spread < 0.05 * np.mean(errors)


def test_a_wide_gromov_network_answers_rightly():
    of = task("C23")
    network = gromov(of, width=23 * 300)
    logits = network.logits(of)[0].numpy()
    assert evaluate(network, of).accuracy.item() == 1
    right = np.eye(23)[of.answers] == 1
    assert logits[right].mean() == pytest.approx(1, abs=0.02)
    assert logits[~right].mean() == pytest.approx(0, abs=0.02)


def test_gromovs_network_follows_the_generator_of_a_relabelled_group():
    plain = group("C11")
    shuffled = np.random.default_rng(0).permutation(11)
    table = np.empty_like(plain.table)
    table[np.ix_(shuffled, shuffled)] = shuffled[plain.table]
    of = task(FiniteGroup(table, "relabelled"))
    assert evaluate(gromov(of, width=4000), of).accuracy.item() == 1


@pytest.mark.parametrize("name", ["S3", "parity(4,2)", "compose(C5,3)"])
def test_gromovs_network_is_one_of_cyclic_groups(name):
    with pytest.raises(ValueError, match="expected addition of two integers modulo n"):
        gromov(task(name))
    with pytest.raises(ValueError, match="width: expected at least 1"):
        gromov(task("C5"), width=0)
