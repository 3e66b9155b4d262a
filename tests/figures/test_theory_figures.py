"""Figures of theory: what is drawn is what the records say."""

import numpy as np
import pytest

from marginlens.figures import algorithms_figure, interference_figure, memorizing_figure
from marginlens.groups import group
from marginlens.measures import compare_logits
from marginlens.theory import algorithm, averaged_cosine, compare_memorizing, interference


def test_memorizing():
    found = compare_memorizing([group("C5"), group("C7"), group("S3")])
    figure = memorizing_figure(found)
    line, dots = figure.data
    np.testing.assert_array_equal(dots.y, found.ratio)
    assert list(dots.text) == ["C5", "C7", "S3"]
    np.testing.assert_allclose(line.y, np.sqrt(2 / (np.array(line.x) - 1)))
    assert "γ*" in figure.layout.yaxis.title.text


def test_interference():
    found = interference(23)
    figure = interference_figure(found)
    one = figure.data[0]
    np.testing.assert_allclose(one.y, averaged_cosine(23, found.best_sets[0])[np.array(one.x) % 23])
    assert figure.data[2].name == "11 frequencies"
    best = next(trace for trace in figure.data if trace.name == "best set")
    np.testing.assert_array_equal(best.y, found.best)


def test_algorithms():
    c7 = group("C7")
    known = [algorithm("clock", c7), algorithm("pizza", c7)]
    fits = compare_logits(known[1].logits, known)
    (bars,) = algorithms_figure(fits, "C7: algorithms").data
    assert list(bars.y) == ["clock", "pizza"]
    assert list(bars.x) == pytest.approx([fits[0].explained, 1.0])
