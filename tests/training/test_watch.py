"""Watching a training: what is shown, when, and that it changes nothing."""

import numpy as np
import pytest
import torch

from marginlens.tasks import task
from marginlens.training import Recipe, TrainingState, engine, loop, train

WAYS = {
    "operators": {"compile": "never", "width": 20},
    "passes": {"compile": "always", "width": 20, "optimizer": "adamw"},
    "kernel": {"compile": "always", "width": 8, "members": 4},
}


def recipe(**fields) -> Recipe:
    return Recipe(**{"task": "C5", "steps": 120, "dtype": "float64", "strength": 1e-3, **fields})


@pytest.mark.parametrize("way", WAYS)
def test_what_is_watched_ends_with_the_same_bits(way):
    chosen = recipe(**WAYS[way], tolerance=1e-2 if way == "kernel" else 0.0)
    seen = []

    def look(state: TrainingState) -> bool:
        seen.append((state.step, state.compiled))
        for p in state.network.tensors.values():  # what it is shown is not what is trained
            p.add_(1.0)
        return True

    alone, watched = (
        train(task("C5"), chosen),
        train(task("C5"), chosen, watch=look, watch_seconds=0.0),
    )
    assert [step for step, _ in seen[:2]] == [0, 1] or way == "kernel"
    assert seen[-1][0] == max(alone.end_steps)
    assert {compiled for _, compiled in seen} == {
        {"operators": "", "passes": "passes", "kernel": "steps"}[way]
    }
    assert watched.ends == alone.ends
    for name, values in alone.history.items():
        assert values.tobytes() == watched.history[name].tobytes(), name
    seen.clear()
    again = train(task("C5"), chosen, watch=lambda state: seen.append(state.step) is None)
    for name, p in alone.network.tensors.items():
        assert torch.equal(p, again.network.tensors[name])


def test_it_is_called_as_often_as_asked_and_its_time_is_not_trainings(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(loop.time, "perf_counter", lambda: now[0])
    shown = []

    def look(state: TrainingState) -> bool:
        shown.append((state.step, round(state.seconds, 6)))
        now[0] += 50.0
        return True

    class Slow(engine.Steps):
        def advance(self, step, stop, proceed):
            while step < stop:
                step = super().advance(step, step + 1, lambda: True)
                now[0] += 1.0  # a step takes a second
                if not proceed():
                    break
            return step

    monkeypatch.setattr(engine, "Steps", Slow)
    training = train(task("C5"), recipe(steps=20, compile="never"), watch=look, watch_seconds=7.0)
    assert shown == [(0, 0.0), (7, 7.0), (14, 14.0), (20, 20.0)]
    assert training.seconds == pytest.approx(20)


def test_who_watches_may_stop_it_and_it_goes_on_to_the_same_bits():
    chosen, kept = recipe(compile="never"), []

    def until(step):
        def look(state: TrainingState) -> bool:
            kept[:] = [state]
            return state.step < step

        return look

    whole = train(task("C5"), chosen)
    part = train(task("C5"), chosen, watch=until(37), watch_seconds=0.0)
    assert (part.stopped, part.end_steps.tolist()) == ("interrupted", [37])
    rest = train(task("C5"), chosen, state=kept[0], watch=until(1000), watch_seconds=0.0)
    assert rest.stopped == "steps"
    assert rest.seconds >= part.seconds
    np.testing.assert_array_equal(rest.history["loss"], whole.history["loss"])
    for name, p in whole.network.tensors.items():
        assert torch.equal(p, rest.network.tensors[name])


def test_what_it_returns_at_the_end_does_not_make_a_finished_training_an_interrupted_one():
    training = train(task("C5"), recipe(steps=5), watch=lambda s: s.step < 5, watch_seconds=0.0)
    assert training.stopped == "steps"
