"""Bounds from masses: reached by the best networks, exceeded by none."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marginlens.measures import measure
from marginlens.networks import MLP, construct
from marginlens.tasks import task
from marginlens.theory import Penalty, predict

NAMES = ["C5", "C6", "S3", "Q8", "compose(C3,3)", "parity(4,2)", "parity(5,3)", "parity(3,1)"]


@pytest.mark.parametrize("name", NAMES)
def test_the_optimal_masses_have_the_maximum_margin_and_the_least_loss(name):
    of, at = task(name), predict(task(name)).collapse_penalty / 30
    found = predict(of, penalty=Penalty("homogeneous", at))
    bounds = found.mass_bounds
    assert bounds.greatest_margin(found.masses) == pytest.approx(found.margin, rel=1e-12)
    masses = np.array(list(found.at_penalty.shares.values())) * found.at_penalty.norm
    assert bounds.least_cross_entropy(masses) == pytest.approx(
        found.at_penalty.cross_entropy, rel=1e-9
    )
    assert bounds.rows == len(of.answers)


@settings(deadline=None, max_examples=40)
@given(
    name=st.sampled_from(NAMES),
    seed=st.integers(0, 2**31),
    noise=st.floats(1e-4, 3.0),
    size=st.floats(0.1, 10.0),
)
def test_no_network_exceeds_the_bounds_of_its_masses(name, seed, noise, size):
    """Masses as defined: of a group's feature, sum ||omega||^nu e^(nu/2)."""
    of = task(name)
    rng = np.random.default_rng(seed)
    one = construct(of)
    network = MLP(
        {
            slot: size * (p + noise * p.abs().max() * torch.from_numpy(rng.normal(size=p.shape)))
            for slot, p in one.tensors.items()
        },
        one.activation,
    )
    found = measure(network, of)
    assume_live = found.live.all()
    own = found.neuron_norms**found.degree
    if of.kind == "parity":
        masses = found.share * found.norm
    else:
        masses = (own[:, None] * np.nan_to_num(found.spectrum["all"]) ** (found.degree / 2)).sum(0)
    if not assume_live:  # of dead neurons the energy is not measured
        masses = masses + own[~found.live].sum()
    bounds = predict(of).mass_bounds
    assert found.margin <= bounds.greatest_margin(masses) + 1e-9 * found.norm
    assert found.cross_entropy >= bounds.least_cross_entropy(masses) * (1 - 1e-9)
