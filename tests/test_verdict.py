"""The verdict: everything holds for the network of the theory, and every claim can fail."""

import json
import math

import numpy as np
import pytest
import torch

from marginlens.measures import measure
from marginlens.networks import MLP, construct
from marginlens.tasks import task
from marginlens.theory import Penalty, parse_activation, predict
from marginlens.verdict import Verdict, judge

STRENGTH = 1e-3
CYCLIC = {
    "accuracy",
    "loss",
    "cross_entropy",
    "norm",
    "margin",
    "margin_ratio",
    "must_features",
    "shares",
    "one_feature",
    "same_feature",
    "sinusoidal",
    "phases_add",
}
PARITY = CYCLIC - {"one_feature", "same_feature", "sinusoidal", "phases_add"} | {
    "cannot_features",
    "on_subset",
    "equal_magnitudes",
    "signs",
}


def best_network(name: str, strength: float = STRENGTH) -> MLP:
    """The minimum of loss + penalty, where it is the maximum-margin network up to scale."""
    of = task(name)
    one = construct(of)
    norm = predict(of, penalty=Penalty("homogeneous", strength)).at_penalty.norm
    factor = norm ** (1 / one.homogeneity)
    return MLP({slot: p * factor for slot, p in one.tensors.items()}, one.activation)


def judged(name: str, network: MLP, strength: float = STRENGTH) -> Verdict:
    of = task(name)
    prediction = predict(of, network.activation, Penalty("homogeneous", strength))
    return judge(prediction, measure(network, of))


def failing(verdict: Verdict) -> set[str]:
    return {claim.name for claim in verdict.claims if not claim.holds}


def wave(n: int, frequency: int) -> torch.Tensor:
    return torch.cos(2 * math.pi * frequency * torch.arange(n, dtype=torch.float64) / n)


def neurons_on(network: MLP, name: str, feature: int) -> torch.Tensor:
    return torch.from_numpy(measure(network, task(name)).dominant == feature)


@pytest.mark.parametrize(
    ("name", "claims"), [("C5", CYCLIC), ("C7", CYCLIC), ("parity(6,3)", PARITY)]
)
def test_the_network_of_the_theory_passes_every_claim(name, claims):
    verdict = judged(name, best_network(name))
    assert {claim.name for claim in verdict.claims} == claims
    assert len(verdict.claims) == len(claims)
    assert failing(verdict) == set()
    assert all(claim.promised for claim in verdict.claims)
    assert verdict.holds
    assert verdict.margin_ratio == pytest.approx(1, rel=1e-9)


def scale(p, factor):
    for slot in p:
        p[slot] *= factor


def one_frequency_louder(p, network):
    chosen = neurons_on(network, "C5", 0)
    for slot in p:
        p[slot][..., chosen] *= 1.05


def one_frequency_gone(p, network):
    chosen = neurons_on(network, "C5", 0)
    for slot in p:
        p[slot][..., chosen] = 0


def other_input(p, network):
    """One neuron gets its v from the other frequency."""
    frequency = int(measure(network, task("C5")).dominant[0]) + 1
    p["v"][0, :, 0] = p["v"][0, :, 0].norm() * wave(5, 3 - frequency) / wave(5, 1).norm()


def mixed(p, network):
    """One neuron gets a fifth of the other frequency's wave in u, v and w."""
    frequency = int(measure(network, task("C5")).dominant[0]) + 1
    for slot in p:
        p[slot][0, :, 0] += 0.2 * p[slot][0, :, 0].norm() * wave(5, 3 - frequency)


def out_of_phase(p, network):
    p["w"][0, :, 0] = p["w"][0, :, 0].roll(1)


def permuted_outputs(p, network):
    p["w"][:] = p["w"].roll(1, dims=1)


CYCLIC_DAMAGE = [
    ("accuracy", permuted_outputs),
    ("loss", lambda p, network: scale(p, 1.05)),
    ("cross_entropy", lambda p, network: scale(p, 1.001)),
    ("norm", lambda p, network: scale(p, 1.001)),
    ("margin", lambda p, network: scale(p, 1.002)),
    ("margin_ratio", one_frequency_louder),
    ("must_features", one_frequency_gone),
    ("shares", one_frequency_louder),
    ("same_feature", other_input),
    ("one_feature", mixed),
    ("sinusoidal", mixed),
    ("phases_add", out_of_phase),
]


def off_subset(p, network):
    p["u"][0, 5, 0] = 0.2 * p["u"][0, :, 0].norm()


def unequal(p, network):
    p["u"][0, 0, 0] *= 1.1


def wrong_sign(p, network):
    p["w"][0, :, 0] *= -1


def noise_on_irrelevant(p, network):
    p["u"][0, 3:] = 0.3 * p["u"][0, :3].abs().max()


def without_first_coordinate(p, network):
    p["u"][0, 0] = 0


PARITY_DAMAGE = [
    ("on_subset", off_subset),
    ("equal_magnitudes", unequal),
    ("signs", wrong_sign),
    ("cannot_features", noise_on_irrelevant),
    ("must_features", without_first_coordinate),
    ("shares", without_first_coordinate),
    ("accuracy", without_first_coordinate),
]


@pytest.mark.parametrize(
    ("name", "claim", "damage"),
    [("C5", *case) for case in CYCLIC_DAMAGE] + [("parity(6,3)", *case) for case in PARITY_DAMAGE],
)
def test_every_claim_can_fail(name, claim, damage):
    network = best_network(name)
    parameters = {slot: p.clone() for slot, p in network.tensors.items()}
    damage(parameters, network)
    verdict = judged(name, MLP(parameters, network.activation))
    assert claim in failing(verdict)
    assert not verdict.holds


def test_a_feature_that_cannot_be_used_is_noticed():
    of = task("A5")
    network = construct(of)
    prediction = predict(of)
    clean = judge(prediction, measure(network, of))
    assert "cannot_features" in {claim.name for claim in clean.claims}
    assert failing(clean) == set()
    (cannot,) = (f for f in of.features if f.dimension == 25)
    extra = torch.tensor(cannot.basis[:, :1])[None] * network.tensors["u"].norm(dim=1).max()
    more = {slot: torch.cat([p] + [extra] * 40, dim=2) for slot, p in network.tensors.items()}
    verdict = judge(prediction, measure(MLP(more, network.activation), of))
    assert {"cannot_features", "shares"} <= failing(verdict)


def test_without_a_penalty_the_limit_is_held_against_the_network():
    of = task("C5")
    verdict = judge(predict(of), measure(construct(of), of))
    names = {claim.name for claim in verdict.claims}
    assert names == CYCLIC - {"loss", "cross_entropy", "norm", "margin"}
    assert verdict.holds


def test_what_is_not_promised_is_reported_and_does_not_count():
    of = task("C5")
    network = MLP.initial(of, parse_activation("relu"), width=20, seed=0)
    prediction = predict(of, "relu", Penalty("l2", 1e-4))
    verdict = judge(prediction, measure(network, of))
    assert verdict.holds
    assert {"one_feature", "sinusoidal", "phases_add"} <= failing(verdict)
    assert not any(claim.promised for claim in verdict.claims)
    # of the neuron that was found there is a margin, and no proof that it is the greatest
    assert verdict.margin_ratio == measure(network, of).normalized_margin / prediction.margin
    unknown = predict(task("C6"), "relu", Penalty("l2", 1e-4))
    other = MLP.initial(task("C6"), parse_activation("relu"), width=20, seed=0)
    assert judge(unknown, measure(other, task("C6"))).margin_ratio is None


def test_a_network_that_collapses_is_promised_to_and_nothing_more():
    of = task("C5")
    strength = 2 * predict(of, penalty=Penalty("homogeneous", 1e-3)).collapse_penalty
    one = construct(of)
    zero = MLP({slot: 0 * p for slot, p in one.tensors.items()}, one.activation)
    prediction = predict(of, penalty=Penalty("homogeneous", strength))
    verdict = judge(prediction, measure(zero, of))
    assert verdict.holds
    promised = {claim.name for claim in verdict.claims if claim.promised}
    assert promised == {"loss", "cross_entropy", "norm", "margin"}
    # the same strength, and a network that did not collapse
    assert not judge(prediction, measure(one, of)).holds


@pytest.mark.parametrize("name", ["C5", "S3", "parity(5,3)"])
def test_the_zero_network_gives_a_verdict_that_json_can_hold(name):
    of = task(name)
    one = construct(of)
    zero = MLP({slot: 0 * p for slot, p in one.tensors.items()}, one.activation)
    verdict = judge(predict(of), measure(zero, of))
    assert not verdict.holds
    written = json.loads(json.dumps(verdict.to_dict(), allow_nan=False))
    assert written["holds"] is False
    for claim in written["claims"]:
        assert {"name", "predicted", "measured", "tolerance", "holds", "source"} <= claim.keys()
        assert claim["source"]


def test_a_tolerance_is_relative_where_it_says_so():
    """Norm: relative 1e-3; share of gamma*: absolute 5e-3."""
    verdict = judged("C5", best_network("C5"))
    for claim in verdict.claims:
        assert claim.relative == (claim.name in {"loss", "cross_entropy", "norm", "margin"})
        distance = abs(claim.measured - claim.predicted)
        allowed = claim.tolerance * (abs(claim.predicted) if claim.relative else 1)
        assert claim.holds == (distance <= allowed)
    norm = next(claim for claim in verdict.claims if claim.name == "norm")
    inside, outside = (1 + 0.99e-3) ** (1 / 3), (1 + 1.01e-3) ** (1 / 3)
    for factor, holds in ((inside, True), (outside, False)):
        network = best_network("C5")
        scale(network.tensors, factor)
        found = next(c for c in judged("C5", network).claims if c.name == "norm")
        assert found.holds is holds
        assert found.predicted == norm.predicted > 1
    assert np.isfinite(norm.measured)
