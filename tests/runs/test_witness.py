"""Training as the witness, at five strengths of the penalty; and beyond the collapse."""

import numpy as np
import pytest

from marginlens.groups import gap
from marginlens.runs import execute, train_at
from marginlens.tasks import task
from marginlens.theory import penalty_path, predict

DIVISORS = (3, 10, 30, 100, 300)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "last_steps"),
    [("Q8", None), ("SL(2,3)", None), ("C4xD4", None), ("SmallGroup(32,9)", None), ("A5", 20000)],
)  # C4xD4 is SmallGroup(32,25): of its irreps eight are forbidden, and no GAP is needed
def test_five_strengths(spec, last_steps):
    if spec.startswith("SmallGroup") and gap.find_gap() is None:
        pytest.skip("no GAP: set MARGINLENS_GAP, or put gap on the PATH")
    problem = task(spec)
    edge = predict(problem).collapse_penalty
    path = penalty_path(problem, [edge / divisor for divisor in DIVISORS])
    for i, strength in enumerate(path.strengths.tolist()):
        # the least row's margin settles last; the default steps leave it short at the weakest penalty
        steps = last_steps if i == len(DIVISORS) - 1 else None
        run = train_at(problem, strength, steps=steps)
        found = run.measurement
        loss = found.cross_entropy + strength * found.norm
        assert loss == pytest.approx(path.loss[i], rel=1e-3)
        assert loss >= path.loss[i] * (1 - 1e-6)
        assert found.norm == pytest.approx(path.norm[i], rel=0.01)
        assert run.verdict.margin_ratio == pytest.approx(path.margin_ratio[i], abs=0.01)
        assert np.abs(found.share - path.shares[i]).max() < 0.01


def test_a_group_that_needs_no_gap_has_irreps_that_cannot_be_used():
    statuses = [feature.status for feature in predict(task("C4xD4")).features]
    assert (statuses.count("must"), statuses.count("cannot")) == (6, 8)


@pytest.mark.system
@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ("C5", {"width": 24, "steps": 2000}),
        *(
            pytest.param(spec, {"steps": 3000}, marks=pytest.mark.slow)
            for spec in ("S3", "Q8", "SL(2,3)", "C4xD4", "A5")
        ),
    ],
)
def test_just_above_the_collapse_nothing_is_learned(spec, fields):
    edge = predict(task(spec)).collapse_penalty
    run = execute(spec, strength=1.05 * edge, **fields)
    assert run.prediction.at_penalty.norm == 0
    assert run.measurement.norm < 1e-3
    assert run.measurement.cross_entropy == pytest.approx(np.log(task(spec).classes), abs=1e-4)
    assert run.verdict.holds
    below = execute(spec, strength=0.8 * edge, **fields)
    assert below.measurement.norm == pytest.approx(below.prediction.at_penalty.norm, rel=0.02)
