"""Trainings of a page: started, queued, watched, changed, saved, left. Workers are threads here."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest
from explorer_threads import Threaded, until

from marginlens.explorer.jobs import jobs as live
from marginlens.explorer.jobs.jobs import GoneError, Trainings
from marginlens.explorer.jobs.limits import Limits
from marginlens.runs import load_run, resume

SHORT = {"task": "C5", "width": 12, "steps": 30, "strength": 1e-3, "compile": "never"}
LONG = {**SHORT, "steps": 200_000}


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Makes explorers whose workers are threads, and closes them."""
    monkeypatch.setattr(live, "Process", Threaded)
    monkeypatch.setattr("marginlens.explorer.jobs.worker.FRAME_SECONDS", 0.02)
    everything = []

    def make(**limits):
        everything.append(Trainings(tmp_path, limits=Limits(**{"running": 2, **limits})))
        return everything[-1]

    yield make
    for trainings in everything:
        trainings.close()


def reached(trainings, id, *status):
    return until(lambda: (now := trainings.state(id)).status in status and now)


def moving(trainings, id, step=0):
    return until(lambda: (now := trainings.state(id)).step > step and now)


def test_it_is_watched_paused_changed_stopped_and_saved_as_a_run(made, tmp_path):
    trainings = made()
    id = trainings.start("me", LONG)
    first = moving(trainings, id)
    assert (first.owner, first.task, first.features) == ("me", "C5", ("k=1", "k=2"))
    assert (first.status, first.place, first.steps) == ("running", 0, 200_000)
    assert first.maximum == pytest.approx((2 / 27) ** 0.5 / 5**0.5 / 4, rel=1e-9)  # Morwani et al.
    assert first.proved
    later = moving(trainings, id, first.step)
    assert later.version > first.version
    assert later.steps_per_second > 0
    trainings.pause(id)
    paused = reached(trainings, id, "paused")
    time.sleep(0.3)
    assert trainings.state(id).version == paused.version
    trainings.set_strength(id, 2e-3)  # also while it waits
    until(lambda: trainings.state(id).recipe.strength == 2e-3)
    assert trainings.state(id).status == "paused"
    assert trainings.state(id).step == paused.step
    with pytest.raises(ValueError, match="is paused; stop it or wait for its end"):
        trainings.save(id, "mine")
    trainings.go_on(id)
    moving(trainings, id, trainings.state(id).step)
    trainings.stop(id)
    ended = reached(trainings, id, "stopped")
    assert (ended.message, ended.ended, ended.saved_as) == ("stopped by hand", True, None)
    path = trainings.save(id, " mine ")
    assert path == tmp_path / "mine"
    assert trainings.state(id).saved_as == "mine"
    with pytest.raises(ValueError, match="this training is already saved as 'mine'"):
        trainings.save(id, "other")
    run = load_run(path)
    assert run.recipe == ended.recipe
    assert run.recipe.strength == 2e-3
    assert run.training.steps[-1] <= ended.step == run.training.end_steps[0]
    np.testing.assert_array_equal(ended.share, run.measurement.share)
    assert json.loads((path / "verdict.json").read_text()) == json.loads(
        json.dumps(run.verdict.to_dict())
    )
    trainings.leave("me")
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != ".live") == ["mine"]
    # and it can be gone on with, outside
    assert resume(path, steps=int(ended.step) + 5).training.stopped == "steps"


def test_a_reloaded_page_finds_its_own_trainings_and_no_others(made):
    trainings = made()
    mine, other = trainings.start("me", SHORT), trainings.start("you", {**SHORT, "seed": 1})
    assert [(now.id, now.recipe.seed) for now in trainings.of_owner("me")] == [(mine, 0)]
    assert [(now.id, now.recipe.seed) for now in trainings.of_owner("you")] == [(other, 1)]
    assert trainings.of_owner("nobody") == []
    ended = reached(trainings, mine, "finished")
    assert ended.message == "all steps are taken"
    assert ended.step == 30
    reached(trainings, other, "finished")
    assert trainings.save(mine, "a").name == "a"
    with pytest.raises(ValueError, match=r"'a' exists; type another name, e\.g\. a-2"):
        trainings.save(other, "a")
    assert load_run(trainings.folder / "a").recipe.seed == 0


def test_no_name_leads_out_of_the_folder(made, tmp_path):
    trainings = made()
    id = trainings.start("me", {**SHORT, "steps": 0})
    reached(trainings, id, "finished")
    for name in ("../a", "/tmp/a", "a/b", "..", "", ".live", "a\0", "nul"):
        with pytest.raises(ValueError, match=r"name|letters|device"):
            trainings.save(id, name)
    assert [p.name for p in tmp_path.iterdir()] == [".live"]
    assert trainings.save(id, "a").is_dir()


def test_a_queue_has_places_and_an_end(made):
    trainings = made(running=1, queued=2, per_owner=3)
    first, second, third = (trainings.start("me", LONG) for _ in range(3))
    assert [trainings.state(id).place for id in (first, second, third)] == [0, 1, 2]
    assert [trainings.state(id).status for id in (second, third)] == ["queued", "queued"]
    with pytest.raises(ValueError, match="you have 3 active trainings of at most 3: stop one"):
        trainings.start("me", SHORT)
    with pytest.raises(ValueError, match=r"the queue is full \(2 of 2 trainings\): try again"):
        trainings.start("you", SHORT)
    trainings.set_strength(third, 3e-3)
    trainings.pause(third)
    with pytest.raises(ValueError, match="is queued; stop it"):
        trainings.save(third, "a")
    trainings.stop(second)
    assert trainings.state(second).message == "stopped by hand before it started"
    with pytest.raises(ValueError, match=r"left no network to save: stopped by hand before"):
        trainings.save(second, "a")
    assert trainings.state(third).place == 1
    trainings.stop(first)
    assert reached(trainings, third, "paused").recipe.strength == 3e-3
    assert trainings.state(first).status == "stopped"
    trainings.go_on(third)
    moving(trainings, third)


def test_what_is_impossible_or_too_large_is_refused_in_one_line(made, tmp_path):
    trainings = made(steps=1000, width=100, memory_mb=400.0, hours=0.5)
    for fields, words in (
        ({}, "type a task, such as C23"),
        ({"task": "C0"}, "C0"),
        ({"task": "W23"}, "unknown task 'W23'; "),
        ({"task": "/etc/group.npy"}, "expected a task's name, got a path"),
        ({"task": "xy in /etc/x.npy mod 5"}, "expected a task's name, got a path"),
        ({"task": "compose(../x.CSV,3)"}, "expected a task's name, got a path"),
        ({"task": "/etc/passwd"}, "expected a task's name, got a path"),
        ({**SHORT, "width": -1}, "width: input should be greater than or equal to 1, got -1"),
        ({**SHORT, "wide": 3}, "wide: extra inputs are not permitted"),
        ({**SHORT, "strength": float("nan")}, "strength: input should be a finite number"),
        ({**SHORT, "activation": "__import__('os')"}, "activation"),
        ({**SHORT, "device": "abacus"}, "'abacus' is not here"),
        (
            {**SHORT, "steps": 2000},
            "expected at most 1,000 steps in the explorer, got 2,000: choose",
        ),
        ({**SHORT, "width": 200}, "at most 100 neurons in the explorer, got 200: choose fewer"),
        ({**SHORT, "members": 20}, "at most 16 members in the explorer, got 20: choose fewer"),
        ({**SHORT, "task": "random(1999,0)"}, "at most 400 MB in the explorer, got about"),
        (
            {**SHORT, "task": "random(400,0)", "width": 90, "steps": 999, "members": 9},
            "at most 0.5 hours in the explorer, got about",
        ),
    ):
        with pytest.raises(ValueError, match=r".") as caught:
            trainings.start("me", fields)
        assert words in str(caught.value), fields
        assert "\n" not in str(caught.value)
    assert trainings.of_owner("me") == []
    assert list(tmp_path.iterdir()) == []  # nothing was written


def test_the_penalty_of_a_path_and_of_an_ended_training_are_left_alone(made):
    trainings = made()
    path = trainings.start("me", {**LONG, "anneal_to": 1e-5})
    with pytest.raises(ValueError, match="anneals its penalty to 1e-05; to change"):
        trainings.set_strength(path, 1e-4)
    short = trainings.start("me", SHORT)
    with pytest.raises(ValueError, match="strength: input should be greater than or equal to 0"):
        trainings.set_strength(short, -1.0)
    reached(trainings, short, "finished")
    for change in (lambda: trainings.set_strength(short, 1e-4), lambda: trainings.pause(short)):
        with pytest.raises(ValueError, match=r"has ended \(all steps are taken\); start another"):
            change()
    trainings.stop(short)  # it has ended anyway
    assert trainings.state(short).status == "finished"


def test_who_leaves_takes_what_is_not_saved_along_and_others_stay(made, tmp_path):
    trainings = made(running=1)
    mine, yours = trainings.start("me", LONG), trainings.start("you", LONG)
    scratch = tmp_path / ".live"
    moving(trainings, mine)
    assert len(list(scratch.glob("*/*"))) == 2
    trainings.leave("me")
    with pytest.raises(GoneError, match="was discarded: its page was closed; start another one"):
        trainings.state(mine)
    assert trainings.of_owner("me") == []
    moving(trainings, yours)  # its turn has come
    until(lambda: len(list(scratch.glob("*/*"))) == 1)
    with pytest.raises(GoneError, match="it was stopped, or the explorer was restarted"):
        trainings.state("0" * 12)
    trainings.close()
    with pytest.raises(GoneError, match="the explorer was shut down"):
        trainings.state(yours)
    with pytest.raises(GoneError, match="is being shut down"):
        trainings.start("you", SHORT)
    until(lambda: not scratch.exists() or not list(scratch.glob("*/*")))


def test_of_whom_nothing_is_seen_is_taken_to_have_left(made):
    trainings = made()
    mine, yours = trainings.start("me", LONG), trainings.start("you", LONG)
    for owner in ("me", "you"):
        trainings._seen[owner] -= 100
    trainings.seen("you")  # a page that is open says so, whether or not it draws
    assert len(trainings._entries) == 2
    for owner in ("me", "you"):
        trainings._seen[owner] -= 100
    until(lambda: len(trainings._entries) == 1)
    with pytest.raises(GoneError, match="its page sent no sign of life for 150 seconds"):
        trainings.state(mine)
    moving(trainings, yours)


def test_what_takes_too_long_is_stopped_and_can_be_saved(made):
    trainings = made()
    id = trainings.start("me", LONG)
    moving(trainings, id)
    trainings.limits = replace(trainings.limits, hours=1e-5)
    ended = reached(trainings, id, "stopped")
    assert ended.message == "stopped at the limit of 1e-05 hours"
    assert load_run(trainings.save(id, "a")).training.stopped == "interrupted"


def test_what_fails_says_why_and_the_others_go_on(made):
    trainings = made()
    bad = trainings.start("me", {**SHORT, "optimizer": "sgd", "learning_rate": 1e6})
    good = trainings.start("me", {**SHORT, "seed": 3})
    failed = reached(trainings, bad, "failed")
    assert "training diverged" in failed.message
    with pytest.raises(ValueError, match="left no network to save: training diverged"):
        trainings.save(bad, "a")
    assert reached(trainings, good, "finished").step == 30


def test_the_last_that_ended_are_kept(made):
    trainings = made(kept=2)
    ids = []
    for seed in range(4):
        ids.append(trainings.start("me", {**SHORT, "steps": 0, "seed": seed}))
        reached(trainings, ids[-1], "finished")
    assert [now.id for now in trainings.of_owner("me")] == ids[1:]  # two before the newest began
    with pytest.raises(GoneError, match="only the last 2 ended trainings are kept"):
        trainings.state(ids[0])


def test_a_process_is_kept_ready_only_while_somebody_is_there_and_there_is_room(made):
    trainings = made(running=1)
    time.sleep(0.5)
    assert trainings._warm is None
    trainings.seen("me")
    ready = until(lambda: trainings._warm)
    id = trainings.start("me", LONG)
    assert trainings._entries[id].process is ready
    time.sleep(1.5)
    assert trainings._warm is None  # there is no room for another one
    trainings.limits = replace(trainings.limits, running=2)
    until(lambda: trainings._warm)
    trainings.leave("me")
    until(lambda: trainings._warm is None)
    assert not trainings._entries


def test_a_folder_that_cannot_be_written_to_is_named(made, tmp_path):
    (tmp_path / ".live").write_text("no folder")
    trainings = made()
    with pytest.raises(ValueError, match=r"cannot write in .*; make room or make it writable"):
        trainings.start("me", SHORT)
    (tmp_path / ".live").unlink()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".live").symlink_to("elsewhere")
    with pytest.raises(ValueError, match=r"\.live' is a link; remove it"):
        trainings.start("me", SHORT)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert trainings.of_owner("me") == []
