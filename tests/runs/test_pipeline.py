"""One pipeline: a run solves the theory's programs once, and a finished run is read back."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from marginlens.errors import MarginLensError
from marginlens.report import report
from marginlens.runs import Run, execute, load_run, load_verdict, resume
from marginlens.runs.folder import save_run
from marginlens.runs.pipeline import plan
from marginlens.tasks import task
from marginlens.tensor_bytes import tensor_bytes
from marginlens.theory import Prediction, Predictions, predict
from marginlens.theory.group import finite_penalty, linear_program
from marginlens.theory.neuron import best_neuron
from marginlens.training import train
from marginlens.verdict import Verdict

SMALL = {"width": 12, "steps": 30, "snapshots": 2, "compile": "never"}
_SOLVERS = (
    (linear_program, "solve_margin"),
    (finite_penalty, "minimize_penalized_loss"),
    (best_neuron, "best_neuron"),
)


@pytest.fixture
def solves(monkeypatch) -> Counter[str]:
    """How often each program of the theory is solved, wherever it is called from."""
    counts: Counter[str] = Counter()
    for home, name in _SOLVERS:
        solver = getattr(home, name)

        def counted(*arguments, solver=solver, name=name, **options):
            counts[name] += 1
            return solver(*arguments, **options)

        for module in list(sys.modules.values()):
            ours = getattr(module, "__name__", "").startswith("marginlens")
            if ours and vars(module).get(name) is solver:
                monkeypatch.setattr(module, name, counted)
    return counts


MARGIN, MINIMUM = {"solve_margin": 1}, {"minimize_penalized_loss": 1}


@pytest.mark.parametrize(
    ("spec", "chosen", "expected"),
    [
        ("C5", {}, MARGIN | MINIMUM),
        ("S3", {"strength": 1e-3, "learning_rate": 0.03}, MARGIN | MINIMUM),  # nothing to fill in
        ("C5", {"until_optimal": 0.1}, MARGIN | MINIMUM),
        ("C5", {"stop_share": 0.5, "strength": 1e-3}, MARGIN | MINIMUM),
        ("C5", {"loss_function": "margin"}, MARGIN),
        ("C5", {"penalty": "l2"}, MARGIN),
        ("C3", {"activation": "x^3"}, {"best_neuron": 1}),
        ("C5", {"network": "factored", "embedding": 2, "activation": "x^2"}, MARGIN),
        ("parity(4,2)", {}, {}),
        ("x/y mod 5", {}, {}),
    ],
)
def test_a_run_solves_each_program_once(solves, tmp_path, spec, chosen, expected):
    folder = tmp_path / "run"
    run = execute(spec, out=folder, **SMALL | chosen)
    expected = dict(expected)
    assert solves == expected
    solves.clear()
    back = load_run(folder)
    if run.is_measured:
        assert back.verdict == run.verdict
        assert load_verdict(folder).claims == run.verdict.claims
        assert back.verdict.summary == load_verdict(folder).summary
    assert not solves  # neither reading nor verifying a finished run solves anything
    resume(folder, steps=40)
    assert solves == expected


@pytest.mark.system
def test_the_page_of_a_saved_run_solves_nothing(solves, saved):
    page = report(load_run(saved.folder))
    assert not solves
    assert page == report(saved)


def test_training_alone_solves_each_program_once(solves):
    train("C5", width=12, steps=20, until_optimal=0.1, stop_share=0.9, compile="never")
    assert solves == MARGIN | MINIMUM


PREDICTIONS = [
    *(
        (spec, activation, strength)
        for spec in ("C4", "C9", "S4", "A5", "Q8", "compose(S3,3)", "C3xC3", "D6")
        for activation, strength in ((None, 1e-4), (None, None), ("relu", 1e-3))
    ),
    ("characters of S4", None, 1e-9),  # and no table
    ("C3", "relu", 1e-3),
    ("C3", "x^3", None),
    ("S3", "leaky_relu(0.1)", None),
    ("parity(10,4)", None, 1e-3),
    ("parity(6,3)", "relu", None),
    ("x-y mod 7", None, 1e-3),
    ("random(5,0)", None, None),
    ("C23", None, 1.0),  # the zero network
]


@pytest.mark.parametrize(("spec", "activation", "strength"), PREDICTIONS)
def test_a_prediction_comes_back_exactly(solves, spec, activation, strength):
    learned = task(spec.removeprefix("characters of "))
    if learned.name != spec:
        learned = replace(learned, group=None, elements=None)
    prediction = predict(learned, activation, strength)
    solves.clear()
    back = Prediction.from_dict(json.loads(json.dumps(prediction.to_dict())), learned)
    assert not solves
    for one in fields(Prediction):
        if one.name not in ("certificate", "mass_bounds", "waveform"):
            assert getattr(back, one.name) == getattr(prediction, one.name), one.name
    assert type(back.mass_bounds) is type(prediction.mass_bounds)
    if prediction.margin is not None:
        if prediction.waveform is None:
            np.testing.assert_array_equal(back.masses, prediction.masses)
            ones = np.ones(len(learned.features))
            assert back.mass_bounds.least_cross_entropy(ones) == (
                prediction.mass_bounds.least_cross_entropy(ones)
            )
        else:
            assert back.waveform.to_dict() == prediction.waveform.to_dict()
    again = Predictions(learned, back).at(activation, 1e-2)
    assert not solves.keys() - {"minimize_penalized_loss"}  # at another penalty
    assert again.to_dict() == predict(learned, activation, 1e-2).to_dict()


@pytest.mark.parametrize(
    "change",
    [
        {"margin": 0.5},
        {"task": "C11"},
        {"certificate": {"upper": 1.0}},
        {"features": []},
        {"at_penalty": {"loss": 1.0}},
        {"penalty": -1.0},
    ],
    ids=str,
)
def test_a_prediction_of_something_else_is_refused(change):
    values = predict(task("C7"), penalty=1e-3).to_dict()
    with pytest.raises(ValueError, match=r"expected|margin|certificate|penalty"):
        Prediction.from_dict(values | change, task("C7"))
    bounds = values["certificate"] | {"upper": values["certificate"]["upper"] * (1 - 1e-9)}
    with pytest.raises(MarginLensError, match=r"states upper .* proves"):
        Prediction.from_dict(values | {"certificate": bounds}, task("C7"))


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Run:
    return execute("C5", out=tmp_path_factory.mktemp("runs") / "C5", **SMALL)


def changed_recipe(folder):
    path = folder / "recipe.toml"
    path.write_text(path.read_text().replace("strength = 0.001", "strength = 0.002"))


def changed_weights(folder):
    run = load_run(folder)
    path = folder / "parameters.safetensors"
    header = {"stopped": "steps", "ends": '["steps"]', "end_steps": "[30]", **_header(path)}
    path.write_bytes(
        tensor_bytes({n: 2 * p for n, p in run.training.network.tensors.items()}, header)
    )


def other_version(folder):
    run, path = load_run(folder), folder / "parameters.safetensors"
    header = _header(path) | {"version": "0.0.1"}
    path.write_bytes(tensor_bytes(run.training.network.tensors, header))


def _header(path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())


def edited(name, values):
    def edit(folder):
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return edit


@pytest.mark.parametrize(
    ("damage", "solved"),
    [
        (lambda folder: (folder / "prediction.json").unlink(), True),
        (lambda folder: (folder / "prediction.json").write_text("{"), True),
        (lambda folder: (folder / "prediction.json").write_text("[]"), True),
        (edited("prediction.json", {"margin": 7.0}), True),
        (edited("verdict.json", {"claims": [{}]}), False),
        (lambda folder: (folder / "verdict.json").unlink(), False),
        (changed_recipe, True),
        (changed_weights, False),
        (other_version, True),
    ],
)
def test_records_that_do_not_fit_their_run_are_made_again(solves, saved, tmp_path, damage, solved):
    folder = tmp_path / "copy"
    save_run(saved, folder)
    damage(folder)
    back = load_run(folder)
    assert back.verdict == replace(back, stored_verdict=None).verdict
    assert (solves["solve_margin"] > 0) == solved
    assert back.stored_verdict is None


def test_a_verdict_comes_back_exactly(saved):
    stored = json.loads((saved.folder / "verdict.json").read_text())
    back = Verdict.from_dict(stored, str(saved.folder))
    assert back == saved.verdict
    assert back.to_dict() == stored
    assert load_run(saved.folder).stored_verdict == saved.verdict
    moved = Verdict.from_dict(stored, "elsewhere/C 5")
    assert "--resume 'elsewhere/C 5'" in moved.summary
    assert torch.equal(  # and the network is the one that was judged
        load_run(saved.folder).network.u, saved.network.u
    )


def test_a_plan_refuses_what_cannot_be_trained():
    with pytest.raises(ValueError, match="until_optimal needs a known minimum"):
        plan("S3", activation="relu", until_optimal=0.1, strength=1e-3)
    with pytest.raises(ValueError, match="device 'nowhere'"):
        plan("C5", device="nowhere")
