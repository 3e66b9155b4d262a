"""Which algorithm logits look like."""

import numpy as np
import pytest

from marginlens.groups import group
from marginlens.measures import compare_logits, logit_table
from marginlens.networks import construct
from marginlens.tasks import task
from marginlens.theory import ALGORITHMS, algorithm


def test_an_algorithm_looks_like_itself():
    c7 = group("C7")
    known = [algorithm(name, c7, frequencies=[1, 3]) for name in ALGORITHMS]
    for one in known:
        shifted = 3.0 * one.logits + np.arange(49).reshape(7, 7, 1)  # scale and offset do not count
        fits = {fit.name: fit for fit in compare_logits(shifted, known)}
        assert fits[one.name].cosine == pytest.approx(1, abs=1e-12)
        assert fits[one.name].explained == pytest.approx(1, abs=1e-12)
        assert fits[one.name].agreement == 1


@pytest.mark.parametrize("name", ["C7", "C23"])
def test_a_maximum_margin_network_is_the_clock_over_all_frequencies(name):
    problem = task(name)
    logits = logit_table(construct(problem), problem)
    clock, pizza = compare_logits(
        logits, [algorithm("clock", problem.group), algorithm("pizza", problem.group)]
    )
    assert clock.cosine == pytest.approx(1, abs=1e-10)
    assert pizza.cosine < 0.95


def test_a_maximum_margin_network_is_all_representations_where_the_closed_form_holds():
    for name, same in (("S4", True), ("Q8", True), ("A5", False)):
        problem = task(name)
        (fit,) = compare_logits(
            logit_table(construct(problem), problem), [algorithm("representations", problem.group)]
        )
        assert (fit.cosine > 1 - 1e-10) == same
        assert fit.agreement == 1


def test_bad_logits_are_refused():
    clock = algorithm("clock", group("C7"))
    (flat,) = compare_logits(np.zeros((7, 7, 7)), [clock])
    assert (flat.cosine, flat.explained) == (0, 0)
    (opposite,) = compare_logits(-clock.logits, [clock])
    assert opposite.explained == 0
    with pytest.raises(ValueError, match="finite"):
        compare_logits(np.full((7, 7, 7), np.nan), [clock])
    with pytest.raises(ValueError, match=r"shape \(5, 5, 5\), but 'clock' has \(7, 7, 7\)"):
        compare_logits(np.zeros((5, 5, 5)), [clock])
    with pytest.raises(ValueError, match="with two factors, got parity"):
        logit_table(construct(task("parity(4,2)")), task("parity(4,2)"))
