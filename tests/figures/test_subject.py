"""Figures of a prediction, a measurement or a network: what they need is there, or named."""

from typing import Any

import numpy as np
import pytest
from tiny_runs import tiny_run

import marginlens as ml
from marginlens.networks import construct


@pytest.mark.parametrize("spec", ["S4", "Q8", "C2", "compose(C5,3)"])
def test_a_prediction_alone_shows_its_shares_and_widths(spec):
    prediction = ml.predict(spec, penalty=1e-5)
    drawn: Any = ml.figure("shares", prediction)
    neurons, greatest, least, at = drawn.data
    assert sum(neurons.y) == prediction.sufficient_width
    np.testing.assert_array_equal(least.y, [one.least_share for one in prediction.features])
    np.testing.assert_array_equal(greatest.y, [one.greatest_share for one in prediction.features])
    assert prediction.at_penalty is not None
    assert list(at.y) == list(prediction.at_penalty.shares.values())
    assert prediction.plot().to_json() == drawn.to_json()
    dark = prediction.plot(dark=True)
    assert dark.layout.template != drawn.layout.template


def test_a_parity_has_shares_and_no_neurons_of_one_coordinate():
    drawn: Any = ml.predict("parity(6,3)").plot()
    greatest, least = drawn.data
    assert list(least.y) == list(greatest.y) == pytest.approx([1 / 3] * 3 + [0] * 3)


@pytest.mark.parametrize("name", ["heatmap", "phases", "wheel", "logits"])
def test_what_a_measurement_and_a_network_show_is_what_their_run_shows(name):
    run = tiny_run("C11")
    expected = ml.figure(name, run).to_json()
    assert ml.figure(name, run.network.member(0), task="C11").to_json() == expected
    if name != "logits":
        assert ml.figure(name, run.measurement).to_json() == expected


def test_shares_take_a_prediction_and_a_measurement():
    run = tiny_run("C11")
    drawn = ml.figure("shares", run.prediction, run.measurement)
    assert drawn.to_json() == ml.figure("shares", run).to_json()
    assert drawn.to_json() == ml.figure("shares", run.measurement, run.prediction).to_json()


def _of(words):
    """Things to draw from, made when a test asks for them."""
    c5 = ml.Task("C5")
    return {
        "prediction": lambda: (ml.predict(c5),),
        "measurement": lambda: (ml.measure(construct(c5), c5),),
        "unknown": lambda: (ml.predict("S3", "relu"),),
        "two": lambda: (ml.predict(c5), ml.predict(c5)),
        "run and more": lambda: (tiny_run("C11"), ml.predict(c5)),
        "network": lambda: (construct(c5),),
        "number": lambda: (5,),
        "nothing": tuple,
    }[words]()


@pytest.mark.parametrize(
    ("name", "of", "message"),
    [
        (
            "margin",
            "prediction",
            "margin needs the history of a run, got a prediction; for example",
        ),
        ("neurons", "measurement", "neurons needs .*, got a measurement"),
        ("power", "measurement", "needs the network before training, which a run has"),
        ("shares", "measurement", "shares needs a prediction, got a measurement"),
        ("heatmap", "prediction", "heatmap needs a measurement, got a prediction"),
        ("loss", "measurement", "loss needs the history of a run|needs a prediction"),
        ("lottery", "prediction", "needs the network before training"),
        ("shares", "unknown", "no figure shares can be drawn: it needs known shares"),
        ("shares", "two", "at most one prediction"),
        ("shares", "run and more", "expected a run alone"),
        ("shares", "network", "task='C5'"),
        ("shares", "number", "expected a run, its folder, .* got int"),
        ("shares", "nothing", "expected a run"),
    ],
)
def test_what_a_figure_lacks_is_named_in_one_line(name, of, message):
    with pytest.raises(ml.MarginLensError, match=message) as caught:
        ml.figure(name, *_of(of))
    assert "\n" not in str(caught.value)
