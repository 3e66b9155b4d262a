"""The helpers by which tests compare fail on damaged input."""

import json

import numpy as np
import pytest
from command_line import require_one_line, require_same_bits
from killed_everywhere import same_tensors
from records import require_same_record
from safetensors.numpy import save_file
from sweeping import require_landed_once, require_pieces


def parameters():
    return {"u": np.arange(6.0).reshape(2, 3), "w": np.zeros(2)}


def moved(name):
    changed = parameters()
    changed[name] = np.nextafter(changed[name], 9.0)
    return changed


DAMAGED = {
    "a bit": moved("u"),
    "minus zero": parameters() | {"w": -np.zeros(2)},
    "precision": parameters() | {"w": np.zeros(2, np.float32)},
    "missing": {"u": parameters()["u"]},
    "added": parameters() | {"v": np.zeros(1)},
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_parameters_that_differ_are_noticed(tmp_path, damage):
    for folder, content in (("one", parameters()), ("other", DAMAGED[damage])):
        (tmp_path / folder).mkdir()
        save_file(content, tmp_path / folder / "parameters.safetensors")
    require_same_bits(tmp_path / "one", parameters())
    with pytest.raises(AssertionError):
        require_same_bits(tmp_path / "other", parameters())
    assert same_tensors(tmp_path / "one", tmp_path / "one")
    assert not same_tensors(tmp_path / "one", tmp_path / "other")


@pytest.mark.parametrize(
    "error", ["", "marginlens: a", "a\n", "marginlens: a\nb\n", "marginlens: \n"]
)
def test_an_error_that_is_not_one_line_is_noticed(error):
    require_one_line("marginlens: expected a, got b\n")
    with pytest.raises(AssertionError):
        require_one_line(error)


def sweep(folder):
    """A sweep's folder with one piece of one file, as it landed."""
    piece = folder / "pieces" / "piece=a"
    piece.mkdir(parents=True)
    (piece / "members.parquet").write_bytes(b"rows")
    (folder / "log.jsonl").write_text(json.dumps({"piece": "a"}) + "\n")
    return piece


@pytest.mark.parametrize(
    "damage", ["byte", "missing file", "added file", "added piece", "missing piece"]
)
def test_pieces_that_differ_are_noticed(tmp_path, damage):
    piece = sweep(tmp_path)
    wanted = {"a": {"members.parquet": b"rows"}}
    require_pieces(tmp_path, wanted)
    if damage == "byte":
        (piece / "members.parquet").write_bytes(b"row_")
    elif damage == "missing file":
        wanted["a"]["more.parquet"] = b""
    elif damage == "added file":
        (piece / "more.parquet").touch()
    elif damage == "added piece":
        (tmp_path / "pieces" / "piece=b").mkdir()
    else:
        wanted["b"] = wanted["a"]
    with pytest.raises(AssertionError):
        require_pieces(tmp_path, wanted)


def test_a_piece_that_landed_twice_is_noticed(tmp_path):
    sweep(tmp_path)
    require_landed_once(tmp_path)
    log = tmp_path / "log.jsonl"
    log.write_text(2 * log.read_text())
    with pytest.raises(AssertionError):
        require_landed_once(tmp_path)


RECORD = {"task": "C5", "margin": 0.5, "shares": [0.25, 0.75], "first": None, "steps": 3}


@pytest.mark.parametrize(
    "damage",
    [
        {"margin": 0.5 + 1e-9},
        {"margin": float("nan")},
        {"shares": [0.25]},
        {"steps": 4},
        {"shares": [0.25, 0.7500001]},
        {"first": 0.0},
        {"task": "C7"},
        {"more": 1},
    ],
)
def test_records_that_differ_by_more_than_rounding_are_noticed(damage):
    require_same_record(RECORD | {"margin": 0.5 + 1e-15}, RECORD)
    with pytest.raises(AssertionError):
        require_same_record(RECORD | damage, RECORD)
