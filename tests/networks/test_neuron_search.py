"""The best neuron against an adversary, held against exact bounds and another search."""

import pytest
import torch

from marginlens.networks import MLP, SoftMarginEvaluator, best_neuron_against, construct
from marginlens.tasks import task
from marginlens.theory import adversary_bound_for, best_neuron, parse_activation, predict


@pytest.mark.parametrize("spec", ["C5", "compose(C3,3)", "parity(4,2)"])
def test_no_neuron_beats_the_adversary_of_a_network_of_maximum_margin(spec):
    of = task(spec)
    found = best_neuron_against(construct(of), of, 1e3, starts=20)
    assert found == pytest.approx(predict(of).margin, rel=1e-9)


@pytest.mark.parametrize(("spec", "beta"), [("S3", 300.0), ("A4", 30.0)])
def test_it_earns_at_least_the_exact_bound_of_the_averaged_adversary(spec, beta):
    of = task(spec)
    network = construct(of)
    soft = SoftMarginEvaluator(of, network)
    q = soft(network.tensors, torch.tensor([beta], dtype=torch.float64), adversary=True)
    exact = adversary_bound_for(of, network.activation)(q.adversary[0].numpy())
    found = best_neuron_against(network, of, beta, starts=30)
    assert found >= exact * (1 - 1e-6)
    assert exact >= predict(of).margin * (1 - 1e-12)


def test_against_the_uniform_adversary_it_is_the_best_neuron_of_relu():
    of = task("C5")
    network = MLP.initial(of, parse_activation("relu"), width=4, dtype=torch.float64)
    found = best_neuron_against(network, of, 1e-9, starts=25)
    assert found == pytest.approx(best_neuron(5, "relu").value, rel=2e-3)
    assert found <= best_neuron(5, "relu").value * (1 + 1e-9)
