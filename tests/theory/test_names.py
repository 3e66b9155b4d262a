"""Activations, penalties and prediction records."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marginlens.tasks import task
from marginlens.theory import Activation, Penalty, parse_activation, predict


@pytest.mark.parametrize(
    ("spec", "name", "degree"),
    [
        ("x^2", "x^2", 2),
        ("x2", "x^2", 2),
        ("square", "x^2", 2),
        ("quadratic", "x^2", 2),
        (" X^3 ", "x^3", 3),
        ("x^16", "x^16", 16),
        ("relu", "relu", 1),
        ("ReLU", "relu", 1),
        ("relu^1", "relu", 1),
        ("relu^2", "relu^2", 2),
        ("relu^1.5", "relu^1.5", 1.5),
        ("abs", "abs", 1),
        ("|x|", "abs", 1),
        ("|X|^1.5", "|x|^1.5", 1.5),
        ("abs^1.50", "|x|^1.5", 1.5),
        ("|x|^3", "|x|^3", 3),
        ("|x|^2", "x^2", 2),
        ("abs^4", "x^4", 4),
        ("leaky_relu(0.1)", "leaky_relu(0.1)", 1),
        ("leaky_relu( 0.10 )", "leaky_relu(0.1)", 1),
        ("leaky_relu(0)", "relu", 1),
    ],
)
def test_parse_activation(spec, name, degree):
    parsed = parse_activation(spec)
    assert (parsed.name, parsed.degree, parsed.homogeneity) == (name, degree, degree + 1)
    assert parse_activation(parsed) is parsed


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "x^0",
        "x^17",
        "x^2.5",
        "x^-1",
        "x^02",
        "gelu",
        "x^100",
        "relu^0.5",
        "relu^17",
        "relu^",
        "|x|^0.9",
        "|x|^",
        "leaky_relu",
        "leaky_relu(1)",
        "leaky_relu(-0.1)",
        "leaky_relu(a)",
    ],
)
def test_unknown_activation_lists_the_known(spec):
    with pytest.raises(ValueError, match=r'known: "x\^2".*"relu"') as caught:
        parse_activation(spec)
    assert "\n" not in str(caught.value)


@given(
    name=st.sampled_from(["x^1", "x^2", "x^3", "x^4", "relu", "relu^2", "relu^1.3", "abs", "|x|^3"])
    | st.floats(0, 0.999).map(lambda slope: f"leaky_relu({slope:.3f})")
    | st.floats(1, 16).map(lambda degree: f"|x|^{degree:.4f}"),
    x=st.floats(-3, 3).filter(lambda x: abs(x) > 1e-2),
    scale=st.floats(0.1, 3),
)
def test_an_activation_is_homogeneous_and_its_slope_is_that_of_its_value(name, x, scale):
    sigma = parse_activation(name)
    assert parse_activation(sigma.name) == sigma
    step = 1e-5 * abs(x)
    at, scaled, one, minus, after, before = sigma.value(
        np.array([x, scale * x, 1.0, -1.0, x + step, x - step])
    )
    assert (one, minus) == (1, sigma.at_minus_one)
    assert scaled == pytest.approx(scale**sigma.degree * at)
    slope = sigma.slope(np.array([x]))[0]
    assert slope == pytest.approx((after - before) / (2 * step), rel=1e-7, abs=1e-9)


def test_activation_must_be_consistent():
    with pytest.raises(ValueError, match="has degree 3, got 2"):
        Activation("x^3", 2)


@pytest.mark.parametrize("strength", [-1.0, float("inf"), float("nan")])
def test_penalty_strength_is_checked(strength):
    with pytest.raises(ValueError, match="penalty strength: expected a finite number"):
        Penalty("homogeneous", strength)


@pytest.mark.parametrize(
    ("spec", "activation", "penalty"),
    [
        ("A5", None, Penalty("homogeneous", 1e-5)),
        ("A5", None, Penalty("homogeneous", 1.0)),
        ("Q8", "relu", None),
        ("C5", "relu", Penalty("homogeneous", 1e-3)),
        ("C5", "|x|^1.5", Penalty("l2", 1e-3)),
        ("S3", "x^2", Penalty("l2", 1e-3)),
        ("parity(6,3)", None, Penalty("homogeneous", 1e-3)),
        ("parity(6,3)", "x^2", None),
    ],
)
def test_every_prediction_is_plain_json(spec, activation, penalty):
    prediction = predict(task(spec), activation, penalty)
    record = json.loads(json.dumps(prediction.to_dict(), allow_nan=False))
    assert record["margin"] == prediction.margin
    assert record["penalty"] == (None if penalty is None else penalty.strength)
    assert len(record["features"]) == len(prediction.features)
    if prediction.certificate is not None:
        assert record["certificate"]["gap"] == prediction.certificate.gap
    if prediction.at_penalty is not None:
        assert record["at_penalty"]["shares"] == prediction.at_penalty.shares
