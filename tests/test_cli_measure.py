"""marginlens measure: runs, and files of other projects."""

import json

import numpy as np
import pytest
import torch

from marginlens.networks import construct
from marginlens.runs import execute
from marginlens.tasks import task


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("foreign")
    s3 = task("S3")
    network = construct(s3)
    np.savez(folder / "mine.npz", **{k: p[0].numpy() for k, p in network.tensors.items()})
    np.savez(folder / "logits.npz", logits=network.logits(s3)[0].reshape(6, 6, 6).numpy())
    torch.save({"model": {"x": torch.ones(2)}}, folder / "other.pt")
    execute(
        "C5",
        network="transformer",
        width=8,
        heads=2,
        hidden=8,
        steps=20,
        train_fraction=0.6,
        out=folder / "run",
    )
    return folder


def test_a_file_as_a_table_and_as_json(files, call):
    code, shown, error = call("measure", files / "mine.npz", "--group", "S3")
    assert code == 0, error
    assert "S3: interpretability metrics" in shown
    assert "unknown: clock or pizza" in shown
    _, shown, _ = call("measure", files / "mine.npz", "--as", "uvw", "--group", "S3", "--json")
    values = json.loads(shown)
    assert values["accuracy"] == 1
    assert values["sum_b2"] == pytest.approx(1)
    assert set(values["weight_shares"]) == {"u", "v", "w"}
    json.dumps(values, allow_nan=False)


def test_logits_alone_say_what_is_unknown(files, call):
    _, shown, _ = call("measure", str(files / "logits.npz"), "--group", "S3", "--json")
    values = json.loads(shown)
    assert values["key_features"]
    assert values["gini"] is None
    assert values["unknown"]["gini"].startswith("needs the weights")


def test_the_mechanism_of_a_run(files, call):
    _, shown, _ = call("measure", str(files / "run"), "--mechanism", "--json")
    values = json.loads(shown)
    assert values["train_loss"] > 0
    assert values["test_loss"] > 0
    assert values["gradient_symmetricity"] is not None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mine.npz", "--as", "pizza"], "it looks like --as uvw"),
        (["other.pt"], "of no known format"),
        (["no.pt"], "no.pt' (no such file or folder)"),
        (["no.pt", "--as", "pizza"], "no such file"),
        (["run", "--group", "C5"], "expect a network's file, got"),
        (["logits.npz", "--group", "S4"], "S4: expected a group of order 6"),
        (["mine.npz", "--attention", "2"], "attention"),
    ],
)
def test_refusals(files, call, arguments, words):
    code, _, error = call("measure", files / arguments[0], *arguments[1:])
    assert code == 2
    assert words in error.replace("\n", " ")
