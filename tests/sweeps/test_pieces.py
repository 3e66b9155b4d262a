import io

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load
from sweeping import tiny

from marginlens.measures import measure, observe
from marginlens.networks import evaluate
from marginlens.sweeps import pieces, read_sweep
from marginlens.sweeps.pieces import compute_piece, payload_of
from marginlens.sweeps.schema import FEATURES, MEMBERS
from marginlens.training import initial_network, train

SMALL = {"width": 4, "steps": 100, "compile": "never", "dtype": "float64"}


def piece_of(seeds=3, seed=5, **recipe):
    sweep = read_sweep({"seeds": seeds, "seed": seed, "recipe": {"task": "C5", **SMALL, **recipe}})
    (one,) = sweep.pieces(sweep.configurations())
    return one, payload_of(one, sweep.observe)


def files_of(payload):
    made = compute_piece(payload)
    assert "files" in made, made
    return made["files"]


def rows(files, name):
    return pq.read_table(io.BytesIO(files[f"{name}.parquet"]))


def test_the_same_bytes_however_many_threads_there_are():
    _, payload = piece_of(width=300, steps=20)
    threads = torch.get_num_threads()
    try:
        made = []
        for number in (1, 2, 1):
            torch.set_num_threads(number)
            made.append(files_of(payload))
            assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(threads)
    assert made[0] == made[1] == made[2]
    assert sorted(made[0]) == [
        "features.parquet",
        "members.parquet",
        "parameters.safetensors",
        "recipe.toml",
    ]


@pytest.mark.parametrize("spec", ["C5", "S3"])
def test_rows_say_what_was_trained(spec):
    """Against a training of each seed alone, and measures of one network at a time."""
    piece, payload = piece_of(task=spec, activation="relu", strength=1e-3, penalty="l2")
    files = files_of(payload)
    members, features = rows(files, "members"), rows(files, "features")
    assert members.schema.equals(MEMBERS)
    assert features.schema.equals(FEATURES)
    assert members["seed"].to_pylist() == [5, 6, 7]
    task = piece.configuration.task
    names = [feature.name for feature in task.features]
    for index, member in enumerate(members.to_pylist()):
        recipe = piece.recipe.model_copy(update={"seed": 5 + index, "members": 1})
        alone = train(task, recipe)
        found = measure(alone.network, task)
        seen = observe(alone.network, task)
        assert member["configuration"] == piece.configuration.digest
        assert (member["task"], member["width"], member["activation"]) == (spec, 4, "relu")
        assert (member["end"], member["end_step"]) == ("steps", 100)
        for name in ("loss", "cross_entropy", "accuracy", "margin", "norm", "normalized_margin"):
            assert member[name] == pytest.approx(alone.history[name][-1, 0], rel=1e-9, abs=1e-12)
        assert member["test_margin"] is None
        assert member["key_set"] == seen.key_sets[0]
        assert member["key_count"] == seen.key.sum()
        assert member["spectral_count"] == seen.spectral_count[0]
        assert member["spectral_total"] == pytest.approx(np.square(seen.spectral_weights).sum())
        assert member["dead_neurons"] == seen.dead.sum()
        assert member["pure_neurons"] == (seen.pure >= 0).sum()
        mine = [row for row in features.to_pylist() if row["seed"] == 5 + index]
        assert [row["feature"] for row in mine] == names
        assert [row["position"] for row in mine] == list(range(len(names)))
        assert [row["dimension"] for row in mine] == [f.dimension for f in task.features]
        for number, row in enumerate(mine):
            assert row["spectral_weight"] == pytest.approx(seen.spectral_weights[0, number])
            assert row["key"] == seen.key[0, number]
            assert row["pure_neurons"] == (seen.pure == number).sum()
            assert row["multiplicity"] == row["pure_neurons"] / 4
            assert row["norm_share"] == pytest.approx(found.share[number])


def test_parameters_are_those_of_the_last_step():
    piece, payload = piece_of()
    files = files_of(payload)
    task = piece.configuration.task
    network = initial_network(task, piece.recipe).with_parameters(
        load(files["parameters.safetensors"])
    )
    assert network.members == 3
    margin = rows(files, "members")["margin"].to_numpy()
    np.testing.assert_allclose(evaluate(network, task).margin.numpy(), margin, rtol=1e-9)


def test_a_seed_starts_the_same_in_any_piece():
    whole, part = (
        load(files_of(payload_)["parameters.safetensors"])
        for payload_ in (
            piece_of(seeds=6, seed=0, steps=0)[1],
            piece_of(seeds=2, seed=3, steps=0)[1],
        )
    )
    for name, values in part.items():
        assert torch.equal(whole[name][3:5], values)


def test_needs_neither_the_table_s_file_nor_its_folder(tmp_path, monkeypatch):
    file = tmp_path / "group.csv"
    file.write_text("0,1,2,3\n1,0,3,2\n2,3,0,1\n3,2,1,0\n")
    _, payload = piece_of(task=str(file))
    file.unlink()
    empty = tmp_path / "elsewhere"
    empty.mkdir()
    monkeypatch.chdir(empty)
    assert rows(files_of(payload), "members")["task"].to_pylist() == ["group.csv"] * 3
    assert not list(empty.iterdir())


def test_a_share_of_the_maximum_margin():
    _, payload = piece_of(width=40, stop_share=0.9, steps=1500, learning_rate=0.03)
    members = rows(files_of(payload), "members")
    assert members["end"].to_pylist() == ["share of the margin"] * 3


def test_a_transformer_has_no_neurons_to_be_pure():
    _, payload = piece_of(
        network="transformer", width=8, heads=2, hidden=8, activation="relu", steps=2
    )
    files = files_of(payload)
    members, features = rows(files, "members"), rows(files, "features")
    for name in ("dead_neurons", "pure_neurons", "same_feature"):
        assert members[name].null_count == 3
    assert members["key_set"].null_count == features["spectral_weight"].null_count == 0
    for name in ("pure_neurons", "multiplicity", "norm_share"):
        assert features[name].null_count == len(features) == 6


def test_parity_has_no_characters():
    _, payload = piece_of(task="parity(6,2)", steps=20)
    files = files_of(payload)
    members, features = rows(files, "members"), rows(files, "features")
    assert members["loss"].null_count == 0
    assert members["key_set"].null_count == 3
    assert (
        features["feature"].to_pylist()[:2]
        == [
            feature.name for feature in piece_of(task="parity(6,2)")[0].configuration.task.features
        ][:2]
    )
    assert features["spectral_weight"].null_count == len(features)


def test_held_out_rows():
    _, payload = piece_of(task="C7", train_fraction=0.5)
    members = rows(files_of(payload), "members")
    for name in ("test_cross_entropy", "test_accuracy", "test_margin"):
        assert members[name].null_count == 0


def test_what_cannot_be_computed_says_why(monkeypatch):
    diverging = piece_of(optimizer="sgd", learning_rate=1e8, activation="x^4")[1]
    made = compute_piece(diverging)
    assert made["reason"].startswith("training diverged: ")
    assert "\n" not in made["reason"]
    older = {**piece_of()[1], "version": "0.0.1"}
    reason = compute_piece(older)["reason"]
    assert "expected marginlens 0.0.1 on the worker, got" in reason

    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr(pieces, "train", full)
    assert compute_piece(piece_of()[1])["reason"] == "MemoryError"

    def broken(*_, **__):
        raise RuntimeError("of two\nlines")

    monkeypatch.setattr(pieces, "train", broken)
    assert compute_piece(piece_of()[1])["reason"] == "RuntimeError: of two lines"


def test_a_member_that_diverges_alone_is_a_row():
    _, payload = piece_of(
        seeds=12,
        optimizer="sgd",
        learning_rate=2.0,
        activation="x^2",
        strength=0.0,
        init_scale=1.0,
        width=2,
        steps=300,
        record_every=1,
        schedule="constant",
    )
    members = rows(files_of(payload), "members")
    ends = members["end"].to_pylist()
    assert {"diverged", "steps"} == set(ends)
    for end, step in zip(ends, members["end_step"].to_pylist(), strict=True):
        assert (end == "diverged") == (step < 300)
    assert members["loss"].null_count == 0
    assert members["key_set"].null_count == 0


def test_a_payload_is_plain():
    """So that any scheduler may carry it: text, numbers, bytes, and tables of them."""

    def require_plain(value):
        if isinstance(value, dict):
            assert all(isinstance(key, str) for key in value)
            value = list(value.values())
        if isinstance(value, list):
            for part in value:
                require_plain(part)
        else:
            assert value is None or type(value) in (str, int, float, bool, bytes), type(value)

    sweep = tiny()
    for piece in sweep.pieces(sweep.configurations()):
        require_plain(payload_of(piece, sweep.observe))


def test_no_field_of_a_recipe_has_the_name_of_a_result():
    for schema in (MEMBERS, FEATURES):
        assert len(set(schema.names)) == len(schema.names)
