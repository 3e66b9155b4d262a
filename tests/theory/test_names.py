"""Activations, penalties and prediction records."""

import json

import pytest

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
    ],
)
def test_parse_activation(spec, name, degree):
    parsed = parse_activation(spec)
    assert (parsed.name, parsed.degree, parsed.homogeneity) == (name, degree, degree + 1)
    assert parse_activation(parsed) is parsed


@pytest.mark.parametrize("spec", ["", "x^0", "x^17", "x^2.5", "x^-1", "x^02", "gelu", "x^100"])
def test_unknown_activation_lists_the_known(spec):
    with pytest.raises(ValueError, match=r'known: "x\^2".*"relu"') as caught:
        parse_activation(spec)
    assert "\n" not in str(caught.value)


def test_activation_must_be_consistent():
    with pytest.raises(ValueError, match="has degree 3, got 2"):
        Activation("x^3", 2)


@pytest.mark.parametrize("strength", [-1.0, float("inf"), float("nan")])
def test_penalty_strength_is_checked(strength):
    with pytest.raises(ValueError, match="penalty strength must be a finite number"):
        Penalty("homogeneous", strength)


@pytest.mark.parametrize(
    ("spec", "activation", "penalty"),
    [
        ("A5", None, Penalty("homogeneous", 1e-5)),
        ("A5", None, Penalty("homogeneous", 1.0)),
        ("Q8", "relu", None),
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
