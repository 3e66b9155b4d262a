"""What a training's process sends: frames against measurements, changes, and how it fails."""

import json
import queue
import shutil

import numpy as np
import pytest
import torch
from explorer_threads import Collected

from marginlens.explorer.jobs.frames import POINTS, Frame, Frames
from marginlens.explorer.jobs.worker import Worker
from marginlens.measures import measure
from marginlens.networks import construct
from marginlens.runs import load_run
from marginlens.tasks import task
from marginlens.training import TrainingState, initial_network, recipe_for, train

FIELDS = {"width": 24, "steps": 60, "strength": 1e-3, "compile": "never"}


def worked(folder, out=None, commands=(), spec="C5", **fields):
    """Train in a folder, with commands that are there from the start; what was sent, and the worker."""
    recipe = recipe_for(task(spec), **{**FIELDS, **fields})
    waiting = queue.Queue()
    for command in commands:
        waiting.put(command)
    out = out or Collected()
    job = {"recipe": recipe.model_dump(mode="json"), "folder": str(folder), "paused": False}
    worker = Worker(job, waiting, out)
    worker.run()
    return out, worker


@pytest.fixture
def often(monkeypatch):
    """Frames after each step or two, so that a short training has several."""
    monkeypatch.setattr("marginlens.explorer.jobs.worker.FRAME_SECONDS", 0.005)
    monkeypatch.setattr("marginlens.explorer.jobs.worker._COST", 0)


def last_frame(out):
    return Frame.from_message(*out.of("frame")[-1])


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ("C5", {}),
        ("S3", {"dtype": "float64", "members": 2}),
        ("parity(4,2)", {"width": 10}),
        ("C5", {"network": "factored", "embedding": 6, "strength": 0.0}),
        ("C5", {"penalty": "l2", "biases": True}),
    ],
)
def test_the_last_frame_is_what_is_measured_in_the_saved_run(tmp_path, spec, fields):
    out, _ = worked(tmp_path / "run", spec=spec, **fields)
    assert out.messages[-1][0] == {"kind": "end", "status": "finished", "message": "steps"}
    run, frame = load_run(tmp_path / "run"), last_frame(out)
    found = measure(run.training.network.as_mlp(), run.task)
    assert frame.step == 60
    for name in ("dominant", "max_power", "share", "count"):
        np.testing.assert_allclose(getattr(frame, name), getattr(found, name), rtol=1e-6, atol=1e-7)
    assert frame.history["step"].tolist() == run.training.steps.tolist()
    for name, values in run.training.history.items():
        np.testing.assert_array_equal(frame.history[name], values[:, 0])
    weights = run.training.network.as_mlp().tensors
    chosen = frame.neurons
    assert len(set(chosen.tolist())) == len(chosen) == min(12, run.recipe.width)
    for name, shown in frame.weights.items():
        # a factored embedding is a float32 product, rounded as the processor adds it up
        expected = weights[name][0][:, chosen.tolist()]
        np.testing.assert_allclose(shown, expected, rtol=1e-6, atol=1e-7)
    assert set(frame.weights) == set(weights) - {"bias"}
    for name, shown in frame.spectra.items():
        np.testing.assert_allclose(shown, found.spectrum[name][chosen], rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="read-only"):
        frame.share[0] = 1


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ("random(5,0)", {"width": 8}),
        ("C5", {"network": "transformer", "width": 8, "hidden": 8, "heads": 2, "strength": 0.0}),
    ],
)
def test_where_neurons_hold_no_features_there_are_curves_alone(tmp_path, spec, fields):
    out, _ = worked(tmp_path / "run", spec=spec, **{"steps": 20, **fields})
    frame = last_frame(out)
    assert frame.history["loss"][-1] > 0
    assert len(frame.neurons) == len(frame.share) == len(frame.weights) == 0
    assert out.messages[-1][0]["status"] == "finished"


def state_of(network, steps=()):
    state = TrainingState.start(recipe_for(task("C5"), **FIELDS), network)
    state.steps = list(steps)
    state.rows = {"loss": [np.array([float(step), -1.0]) for step in steps]}
    return state


def test_the_chosen_neurons_are_the_largest_of_each_feature_and_stay(tmp_path):
    network = construct(task("C5"))  # 6 neurons of each of 2 features
    frames = Frames(task("C5"), shown=4)
    p = {name: value.clone() for name, value in network.tensors.items()}
    scale = 1 + 0.01 * torch.arange(12).flip(0)  # the first is the largest
    p = {name: value * scale for name, value in p.items()}
    network = network.with_parameters(p)
    first = frames.of(state_of(network))
    of = measure(network, task("C5")).dominant
    places = [[i for i in range(12) if of[i] == feature] for feature in (0, 1)]
    assert sorted(first.neurons.tolist()) == sorted(places[0][:2] + places[1][:2])
    # smaller than others by now, but alive: they stay, each in its place
    p = {name: value * scale.flip(0) ** 4 for name, value in p.items()}
    second = frames.of(state_of(network.with_parameters(p)))
    assert second.neurons.tolist() == first.neurons.tolist()
    # the second has died: another of its feature takes its place
    dead = int(first.neurons[1])
    p = {name: value * (torch.arange(12) != dead) for name, value in p.items()}
    third = frames.of(state_of(network.with_parameters(p)))
    assert third.neurons.tolist()[0] == first.neurons.tolist()[0]
    assert third.neurons.tolist()[2:] == first.neurons.tolist()[2:]
    assert of[third.neurons[1]] == of[dead]
    assert third.neurons[1] != dead


@pytest.mark.parametrize("records", [0, 1, 2, POINTS - 1, POINTS, POINTS + 1, 5 * POINTS + 3])
def test_long_histories_are_thinned_to_rows_of_theirs(records):
    steps = [10 * i for i in range(records)]
    network = initial_network(task("C5"), recipe_for(task("C5"), **FIELDS))
    frame = Frames(task("C5")).of(state_of(network, steps))
    shown = frame.history["step"]
    assert len(shown) <= POINTS
    assert len(shown) >= min(records, POINTS / 2 - 1)
    assert set(shown.tolist()) <= set(steps)
    assert frame.history["loss"].tolist() == shown.tolist()  # of member 0
    if records:
        assert (shown[0], shown[-1]) == (0, steps[-1])


def test_a_changed_penalty_is_a_training_gone_on_from_there_and_the_run_says_so(tmp_path, often):
    out = Collected()
    waiting = []

    def then(header):
        if header["kind"] == "frame" and header["step"] > 0 and not waiting:
            waiting.append(header["step"])
            worker_commands.put({"do": "strength", "value": 4e-3})

    out.then = then
    recipe = recipe_for(task("C5"), **{**FIELDS, "steps": 150, "dtype": "float64"})
    worker_commands = queue.Queue()
    job = {
        "recipe": recipe.model_dump(mode="json"),
        "folder": str(tmp_path / "run"),
        "paused": False,
    }
    Worker(job, worker_commands, out).run()
    assert out.messages[-1][0]["status"] == "finished"
    assert out.of("strength") == [({"kind": "strength", "value": 4e-3}, {})]
    (change,) = json.loads((tmp_path / "run" / "changes.json").read_text())
    assert (change["from"], change["to"]) == (1e-3, 4e-3)
    assert 0 < change["step"] < 150
    run = load_run(tmp_path / "run")
    assert (run.recipe.strength, run.prediction.penalty.strength) == (4e-3, 4e-3)
    kept = []
    train(
        task("C5"),
        recipe,
        watch_seconds=0.0,
        watch=lambda state: (kept.append(state), state.step < change["step"])[1],
    )
    right = train(task("C5"), recipe.model_copy(update={"strength": 4e-3}), state=kept[-1])
    for name, p in right.network.tensors.items():
        assert torch.equal(p, run.training.network.tensors[name])


def test_nobody_looks_and_no_frames_are_made(tmp_path, monkeypatch, often):
    monkeypatch.setattr("marginlens.explorer.jobs.worker._WANTED", -1.0)
    out, _ = worked(tmp_path / "run", steps=100)
    assert [header["step"] for header, _ in out.of("frame")] == [100]
    monkeypatch.setattr("marginlens.explorer.jobs.worker._WANTED", 100.0)
    out, _ = worked(tmp_path / "other", steps=100)
    assert out.of("frame")[0][0]["step"] == 0
    assert len(out.of("frame")) > 2


def test_what_diverges_fails_and_says_what_to_do(tmp_path):
    out, _ = worked(tmp_path / "run", learning_rate=1e6, optimizer="sgd", width=8)
    header = out.messages[-1][0]
    assert header["status"] == "failed"
    assert header["message"].startswith("training diverged: ")
    assert "try a smaller learning rate" in header["message"]
    assert str(tmp_path) not in header["message"]


def test_a_disk_that_fails_fails_the_training_and_says_so(tmp_path):
    folder = tmp_path / "run"
    out = Collected(lambda header: shutil.rmtree(folder, ignore_errors=True))
    worked(folder, out)
    header = out.messages[-1][0]
    assert header["status"] == "failed"
    assert "could not be written: No such file or directory" in header["message"]


def test_what_was_stopped_before_its_first_step_is_a_run_too(tmp_path):
    out, _ = worked(tmp_path / "run", commands=[{"do": "stop"}])
    assert out.messages[-1][0]["status"] == "stopped"
    run = load_run(tmp_path / "run")
    assert run.training.stopped == "interrupted"
    assert run.training.steps.tolist() == [0]
