"""Rules that the tests themselves keep."""

import multiprocessing
import os
import subprocess
import sys
from datetime import timedelta

import beartype
import hypothesis
import jaxtyping
import numpy as np
import pytest
import shape_checks
from jaxtyping import Float


def spawned():
    multiprocessing.get_context("spawn").Process(target=print).start()


@pytest.mark.parametrize(
    "start",
    [
        lambda: subprocess.run([sys.executable, "-c", ""], check=True),
        lambda: os.fork() or os._exit(0),
        spawned,
    ],
    ids=["subprocess", "fork", "multiprocessing"],
)
def test_a_process_is_refused_to_a_test_that_is_not_marked(start, processes):
    with processes.refused("this test"), pytest.raises(pytest.fail.Exception, match="this test"):
        start()


@shape_checks.sampled(typechecker=beartype.beartype)
def total(x: Float[np.ndarray, "a b"], y: Float[np.ndarray, " b"]) -> float:
    return float((x * y).sum())


def test_shapes_are_checked_at_first_and_now_and_then():
    last = shape_checks.FIRST + 3 * shape_checks.EVERY
    refused = []
    for call in range(1, last + 1):
        try:
            total(np.ones((2, 3)), np.ones(1 if call % 2 == 0 else 3))  # every second call is wrong
        except jaxtyping.TypeCheckError:
            refused.append(call)
    first = range(2, shape_checks.FIRST + 1, 2)
    assert refused == [*first, *range(shape_checks.EVERY, last + 1, shape_checks.EVERY)]


def test_the_package_is_checked():
    from marginlens.groups.characters import conjugate_rows

    with pytest.raises(jaxtyping.TypeCheckError):
        _ = [conjugate_rows(np.eye(3)) for _ in range(shape_checks.EVERY + 1)]  # not complex


def test_hypothesis_has_no_deadline():
    assert hypothesis.settings().deadline is None
    assert hypothesis.settings(deadline=200).deadline == timedelta(milliseconds=200)
