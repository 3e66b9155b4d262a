"""Members that stop, one after another: what is left goes on, whatever happens to it."""

import os
import signal
import sys

import numpy as np
import pytest
import torch

from marginlens import cli
from marginlens.kernels.passes import compiled_passes
from marginlens.networks import MLP, MLPEvaluator
from marginlens.tasks import task
from marginlens.theory import parse_activation, predict
from marginlens.training import DivergedError, Recipe, train
from marginlens.training.data import split
from marginlens.training.process_group import Ranks
from marginlens.training.steps import Steps

BASE = Recipe(
    task="C5",
    width=8,
    members=3,
    seed=20,
    strength=1e-3,
    learning_rate=0.03,
    dtype="float64",
    schedule="constant",
    steps=400,
    record_every=10,
    compile="never",
    stop_share=0.6,
)


def first_stop() -> int:
    training = train(task("C5"), BASE, margin=predict(task("C5")).margin)
    ends = sorted(training.end_steps.tolist())
    assert ends[0] < ends[1]  # one stops before the others
    return ends[0]


def spoiled_after(step: int, monkeypatch, how) -> None:
    """Do something to the members still trained when a later record is made."""
    evaluate = Steps.evaluate

    def spoiling(self, at):
        if at == step + 10:
            how(self)
        return evaluate(self, at)

    monkeypatch.setattr(Steps, "evaluate", spoiling)


@pytest.mark.parametrize("which", [[0], [0, 1]])
def test_members_diverge_after_another_has_stopped(monkeypatch, which):
    step = first_stop()

    def spoil(self):
        for p in self.network.tensors.values():
            p[which] = torch.nan
        self._fresh = -1

    spoiled_after(step, monkeypatch, spoil)
    margin = predict(task("C5")).margin
    if len(which) == 2:
        with pytest.raises(DivergedError, match=f"at step {step + 10}") as caught:
            train(task("C5"), BASE, margin=margin)
        network = caught.value.state.network
        assert caught.value.state.step == step
    else:
        training = train(task("C5"), BASE, margin=margin)
        assert sorted(training.ends).count("diverged") == 1
        network = training.network
        kept = np.array(training.snapshot_steps)  # of member 0, or of one that goes on
        assert (np.diff(kept) > 0).all()
        assert kept[-1] >= step
    for p in network.tensors.values():
        assert torch.isfinite(p).all()


def test_a_second_interrupt_after_one_has_stopped_keeps_the_last_record(monkeypatch):
    step = first_stop()

    def interrupt(self):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)

    spoiled_after(step, monkeypatch, interrupt)
    training = train(task("C5"), BASE, margin=predict(task("C5")).margin)
    assert training.stopped == "interrupted"
    assert training.end_steps.tolist().count(step) == 3


def test_along_the_path_nothing_stops_before_its_end():
    recipe = BASE.model_copy(update={"anneal_to": 1e-4, "stop_share": 0.1, "tolerance": 0.1})
    training = train(task("C5"), recipe, margin=predict(task("C5")).margin)
    assert training.end_steps.min() >= 300


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_accuracy_is_one_where_every_row_is_right_whatever_the_weights(dtype):
    recipe = BASE.model_copy(
        update={"tied": True, "width": 40, "dtype": dtype, "steps": 800, "stop_share": None}
    )
    history = train(task("C5"), recipe).history
    right = history["margin"] > 0
    assert right[-1].all()
    assert (history["accuracy"][right] == 1).all()
    assert (history["accuracy"][~right] < 1).all()


@pytest.mark.parametrize("factors", [8, 9, 12])
def test_any_number_of_slots_with_and_without_compiled_passes(factors):
    of = task(f"compose(C2,{factors})")
    network = MLP.initial(of, parse_activation("relu"), width=6, dtype=torch.float64)
    found = []
    for wanted in (True, False):
        with compiled_passes(wanted):
            gradients = {name: torch.zeros_like(p) for name, p in network.tensors.items()}
            result = MLPEvaluator(of, network)(network.tensors, gradients)
            found.append([result.cross_entropy, result.margin, *gradients.values()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-14)


def test_more_processes_than_rows_are_refused():
    recipe = BASE.model_copy(update={"batch": 1, "stop_share": None})
    network = MLP.initial(task("C5"), parse_activation("x^2"), width=8)
    with pytest.raises(ValueError, match="2 processes cannot share 1 rows; start 1 at most"):
        Steps(task("C5"), recipe, split(task("C5"), recipe), network, {}, Ranks(0, 2))


@pytest.mark.system
def test_how_members_ended_is_told_apart(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def lines(arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["marginlens", *arguments.split()])
        with pytest.raises(SystemExit):
            cli.main()
        return " ".join(capsys.readouterr().out.split())

    few = "train C5 --width 40 --seeds 4 --strength 1e-3 "
    assert "4 of 4 answer every input correctly" in lines(few + "--tied --steps 800 --out a")
    printed = lines(few + "--train-fraction 0.4 --steps 300 --out b")
    assert "4 of 4 answer every row that they were trained on correctly, 0 every row" in printed
    assert "share of γ*" not in printed
    rate = "--optimizer sgd --learning-rate 3 --schedule constant"
    printed = lines(f"train C5 --width 8 --seeds 40 {rate} --strength 1e-3 --steps 300 --out c")
    assert "diverged; the steps before are kept; try --learning-rate 0.3" in printed
