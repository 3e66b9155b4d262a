"""Files are read without executing anything in them; what is wrong with one is said in one line."""

import contextlib
import os
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from marginlens.formats import FORMATS, read_network
from marginlens.formats.files import read_file
from marginlens.networks import construct
from marginlens.tasks import task


class Canary:
    """A pickle of it touches a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def weights(name="C5"):
    return {k: p[0].contiguous() for k, p in construct(task(name)).tensors.items()}


@pytest.mark.parametrize("how", ["torch", "old torch", "pickle", "npz"])
def test_a_pickle_that_would_execute_code_is_refused_and_not_run(tmp_path, how):
    touched, path = tmp_path / "touched", tmp_path / ("bad.npz" if how == "npz" else "bad.pt")
    content = {"model": {"u": torch.ones(2, 2)}, "canary": Canary(touched)}
    if how == "npz":
        np.savez(path, logits=np.array([Canary(touched)], dtype=object), allow_pickle=True)
    elif how == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "torch")
    with pytest.raises(ValueError, match=r"\S") as error:
        read_network(path)
    assert not touched.exists()
    assert "\n" not in str(error.value)
    if how in ("torch", "old torch"):
        assert "would execute code" in str(error.value)
    # the canary sings where it is heard: the same file, read carelessly, touches
    if how != "npz":
        with contextlib.suppress(Exception):
            torch.load(path, weights_only=False)
        if not touched.exists():
            pickle.loads(path.read_bytes())
        assert touched.exists()


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".npz"])
def test_the_same_weights_from_every_kind_of_file(tmp_path, suffix):
    path, values = tmp_path / f"mine{suffix}", weights()
    if suffix == ".npz":
        np.savez(path, **{k: v.numpy() for k, v in values.items()})
    elif suffix == ".pt":
        torch.save(values, path)
    else:
        save_file(values, path)
    found = read_network(path)
    assert found.form == "uvw"
    assert np.allclose(found.logits, construct(task("C5")).logits(task("C5"))[0], atol=1e-12)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".npz"])
def test_truncated_files(tmp_path, suffix):
    path = tmp_path / f"mine{suffix}"
    if suffix == ".npz":
        np.savez(path, **{k: v.numpy() for k, v in weights("C23").items()})
    elif suffix == ".pt":
        torch.save(weights("C23"), path)
    else:
        save_file(weights("C23"), path)
    whole = path.read_bytes()
    for kept in (0, 1, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:kept])
        with pytest.raises(ValueError, match=r"\S") as error:
            read_network(path)
        assert "\n" not in str(error.value)


@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=300), suffix=st.sampled_from([".pt", ".safetensors", ".npz"]))
def test_any_bytes_are_read_or_refused_in_one_line(tmp_path_factory, content, suffix):
    path = tmp_path_factory.mktemp("bytes") / f"any{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"\S") as error:
        read_network(path)
    assert "\n" not in str(error.value)


def saved(tmp_path, **arrays):
    path = tmp_path / "mine.npz"
    np.savez(path, **arrays)
    return path


def test_wrong_shapes_groups_and_numbers(tmp_path):
    u = np.ones((6, 4))
    cases = [
        ({"u": u, "v": np.ones((5, 4)), "w": u}, {}, "v has shape (5, 4); expected (6, 4)"),
        ({"u": u, "v": u, "w": np.ones((6, 3))}, {}, "w has shape (6, 3); expected ('any', 4)"),
        ({"u": u, "v": u, "w": u}, {"group": "S4"}, "S4: expected a group of order 6"),
        ({"u": u, "v": u, "w": u}, {"group": "parity(6,2)"}, "parity(6,2) has no table of pairs"),
        (
            {"u": u, "v": u, "w": u},
            {"form": "npz"},
            "expected a file of format npz with logits; it looks like --as uvw",
        ),
        (
            {"u": u, "v": u, "w": u},
            {"form": "gguf"},
            "format 'gguf' is unknown; expected one of pizza",
        ),
        ({"x": u}, {}, "is of no known format: it has x (6, 4); no tensor of pizza"),
        ({"u": u * np.nan, "v": u, "w": u}, {}, "u holds nan at [0, 0] (24 of 24 numbers)"),
        ({"u": u * 1e300, "v": u, "w": u}, {}, "not all finite"),
        (
            {"logits": np.ones((4, 4, 5))},
            {},
            "leave out the class of the equals sign: logits[..., :4]",
        ),
        ({"logits": np.full((4, 4, 4), np.nan)}, {}, "logits holds nan at [0, 0, 0]"),
        ({"logits": np.ones((4, 4, 4)), "table": np.ones((4, 4))}, {}, "table"),
        ({"u": u, "v": u, "w": u}, {"activation": "tanh"}, "tanh"),
    ]
    for arrays, options, words in cases:
        with pytest.raises(ValueError, match=r"\S") as error:
            read_network(saved(tmp_path, **arrays), **options)
        assert words in str(error.value), (words, str(error.value))
        assert "\n" not in str(error.value)


def test_missing_files_folders_and_other_kinds(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"")
    for path, words in (
        (tmp_path / "no.pt", "no such file"),
        (tmp_path, "is a folder"),
        (tmp_path / "x.onnx", "x.onnx is empty"),
    ):
        with pytest.raises(ValueError, match=words):
            read_file(path)


def test_logits_alone_with_and_without_a_table(tmp_path):
    s3 = task("S3")
    logits = construct(s3).logits(s3)[0].numpy()
    found = read_network(saved(tmp_path, logits=logits.reshape(6, 6, 6), table=s3.group.table))
    assert np.array_equal(found.task.answers, s3.answers)
    assert np.array_equal(found.logits, logits)
    assert read_network(saved(tmp_path, logits=logits), group="S3").task.name == "S3"


def test_every_format_is_named_by_its_key():
    assert all(name == form.name and form.words for name, form in FORMATS.items())


def test_biases_are_not_dropped(tmp_path):
    generator = torch.Generator().manual_seed(1)
    c5 = task("C5")
    u, w, bias = (torch.randn(5, 4, generator=generator, dtype=torch.float64) for _ in range(3))
    bias = bias[0]
    found = read_network(saved(tmp_path, u=u, w=w, bias=bias), activation="relu")
    hidden = (u[c5.inputs[:, 0]] + u[c5.inputs[:, 1]] + bias).relu()
    assert np.allclose(found.logits, hidden @ w.T)
    torch.save({"mlp.W_in": u.T, "mlp.W_out": w, "mlp.b_in": bias}, tmp_path / "x.pt")
    again = read_network(tmp_path / "x.pt", activation="relu")
    assert np.allclose(again.logits, found.logits)
    torch.save({"mlp.W_in": u.T, "mlp.W_out": w, "mlp.b_out": w[:, 0]}, tmp_path / "x.pt")
    with pytest.raises(ValueError, match="b_out"):
        read_network(tmp_path / "x.pt")


def test_files_that_unpack_to_gigabytes_are_refused(tmp_path):
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, logits=np.zeros((50, 50, 50)))
    assert path.stat().st_size < 10_000
    with pytest.raises(ValueError, match="unpacks to"):
        read_network(path, largest=10_000)
