"""Rules that the tests themselves keep."""

import multiprocessing
import os
import subprocess
import sys
from datetime import timedelta

import hypothesis
import pytest


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


def test_hypothesis_has_no_deadline():
    assert hypothesis.settings().deadline is None
    assert hypothesis.settings(deadline=200).deadline == timedelta(milliseconds=200)
