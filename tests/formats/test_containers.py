"""One network in every container, number type and damage: its weights, or a line that says why."""

import argparse
import collections
import datetime
import gzip
import io
import json
import os
import pathlib
import pickle
import random
import tarfile
import types
import zipfile

import numpy as np
import pytest
import torch
from foreign_networks import FOLDER
from safetensors.torch import save_file

from marginlens.formats import read_network
from marginlens.formats.files import read_file
from marginlens.formats.find_tensors import find_tensors
from marginlens.formats.torch_file import read_zip
from marginlens.networks import construct
from marginlens.runs import execute
from marginlens.tasks import task

C5 = task("C5")
W = {name: p[0].float().contiguous() for name, p in construct(C5).tensors.items()}
ZERO = {name: 0 * p for name, p in W.items()}
NAMED = frozenset(W)
SUFFIXES = ("pt", "npz", "safetensors")
tries = pytest.mark.skipif(not (FOLDER / "tries").is_dir(), reason="no folder of small inputs")


def saved(path, content, **options):
    torch.save(content, path, **options)
    return path


def prefixed(prefix, tensors=W):
    return {prefix + name: p for name, p in tensors.items()}


def optimizer():
    parameters = [torch.nn.Parameter(p.clone()) for p in W.values()]
    adam = torch.optim.AdamW(parameters)
    sum(p.square().sum() for p in parameters).backward()
    adam.step()
    return adam.state_dict()


def is_w(file):
    return {n: torch.equal(p, W[n]) for n, p in file.tensors.items()} == dict.fromkeys(W, True)


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (prefixed("module."), ""),
        (prefixed("_orig_mod."), ""),
        (prefixed("_orig_mod.module."), ""),
        (prefixed("module._orig_mod.module."), ""),
        (prefixed("some.name.nobody.knows."), ""),
        ({"module.u": W["u"], "v": W["v"], "_orig_mod.w": W["w"]}, ""),
        ({"net": W, "epoch": 3}, ""),
        ({"model": {"state_dict": W}}, ""),
        ({"model": {}, "state_dict": prefixed("model.")}, ""),
        ({"a": {"b": {"c": prefixed("net.")}}}, ""),
        ({"model_state_dict": W, "optimizer_state_dict": optimizer(), "loss": torch.ones(())}, ""),
        ({"optimizer": optimizer(), **W}, ""),
        ({"model": W, "ema": ZERO}, "read is model, not ema"),
        ([ZERO, W], "of the 2 networks in its list the last is read: [1]"),
        ((W, optimizer()), ""),
        ({"state_dicts": [ZERO, ZERO, W]}, "of the 3 networks in state_dicts the last is read"),
        ({"checkpoints": {100: W, 0: ZERO}}, "the last is read: checkpoints.100"),
        ({**prefixed("model."), "loss.weight": torch.ones(2)}, "left out: loss.weight"),
        ({name: p.numpy() for name, p in W.items()}, ""),
        (collections.OrderedDict((n, torch.nn.Parameter(p)) for n, p in W.items()), ""),
    ],
)
def test_the_network_is_found_in_any_container(tmp_path, content, note):
    file = read_file(saved(tmp_path / "a.ckpt", content), marks=[NAMED])
    assert is_w(file)
    assert note in " ".join(file.notes) if note else not file.notes


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({**W, **prefixed("module.")}, "holds both u and module.u"),
        ({**prefixed("module."), "_orig_mod.u": W["u"]}, "both module.u and _orig_mod.u"),
        ({"student": W, "teacher": W}, "several networks (student, teacher)"),
        (W["u"], "one tensor of shape [5, 12] without a name"),
        ({"a": 1, "b": "x"}, "holds no tensors, but 'a', 'b'"),
        ([W["u"], W["w"]], "holds no tensors, but 2 values without names"),
        ({"state_dict": {}}, "holds no tensors"),
        (
            {"model": {f"layer{i}": torch.ones(i, 2) for i in range(11)}},
            "layer0 (0, 2), model.layer1 (1, 2)",
        ),
        (
            {"pos_embed.W_pos": W["u"], "embed.W_E": W["u"], "unembed.W_U": W["u"]},
            "nearest is pizza, which also has blocks.0.attn.W_K",
        ),
        ({"x": {"embed.W_E": W["u"]}, "y": 1}, "the nearest is"),
        ({"a\nb\x1b[1m": W["u"]}, "it has a\\nb\\x1b[1m (5, 12)"),
    ],
)
def test_what_is_no_single_network_is_named(tmp_path, content, words):
    with pytest.raises(ValueError, match=r"^a\.pt ") as error:
        read_network(saved(tmp_path / "a.pt", content))
    assert words in str(error.value)
    assert len(str(error.value)) < 500
    assert "\n" not in str(error.value)


HARMLESS = {
    "namespace": argparse.Namespace(p=11),
    "path": pathlib.Path("a/b"),
    "default": collections.defaultdict(list, {"a": [1]}),
    "deque": collections.deque([1, 2]),
    "counter": collections.Counter("aab"),
    "simple": types.SimpleNamespace(x=(1, 2)),
    "time": datetime.datetime(2024, 1, 2),
    "half": np.float32(1.5),
    "int": np.int64(3),
    "flag": np.bool_(True),
    "array": np.arange(3.0),
    "words": np.array(["a", "b"]),
    "state": np.random.RandomState(0).get_state(),
    "complex": 1j,
    "bytes": b"x",
    "set": {1},
    "device": torch.device("cpu"),
    "dtype": torch.float16,
    "size": torch.Size([1]),
    "slice": slice(2),
    "range": range(3),
    "none": None,
    "class": torch.nn.ReLU,
    "function": os.getcwd,
    "long": 10**30,
    "nan": float("nan"),
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_values_beside_the_weights_are_read(tmp_path, protocol):
    path = saved(tmp_path / "a.pt", {"model": W, **HARMLESS}, pickle_protocol=protocol)
    file = read_file(path, marks=[NAMED])
    assert is_w(file)
    expected = {
        "namespace": {"p": 11},
        "path": "a/b",
        "default": {"a": [1]},
        "deque": [1, 2],
        "counter": {"a": 2, "b": 1},
        "simple": {"x": (1, 2)},
        "half": 1.5,
        "int": 3,
        "flag": True,
        "complex": 1j,
        "bytes": b"x",
        "dtype": torch.float16,
        "size": (1,),
        "none": None,
        "class": "torch.nn.modules.activation.ReLU",
        "function": f"{os.getcwd.__module__}.getcwd",
        "long": 10**30,
    }
    assert {name: file.values[name] for name in expected} == expected
    assert np.array_equal(file.values["array"], np.arange(3.0))


class Calls:
    """A pickle of it calls a function when it is read."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


class Settings:
    pass


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Calls(print, "hello"), "builtins.print"),
        (Calls(os.getcwd), f"{os.getcwd.__module__}.getcwd"),
        (Calls(eval, "1"), "builtins.eval"),
        (Calls(getattr, {}, "keys"), "builtins.getattr"),
        (Calls(Calls, 1), __name__ + ".Calls"),
        (Settings(), __name__ + ".Settings"),
        (torch.nn.Linear(1, 1), "torch.nn.modules.linear.Linear"),
        ([Calls(print), Calls(os.getcwd)], "builtins.print, "),
    ],
)
@pytest.mark.parametrize("how", ["zip", "legacy", "pickle", "old pickle"])
def test_a_file_that_would_execute_code_names_what_it_calls(tmp_path, capsys, value, name, how):
    content, path = {"model": W, "more": value}, tmp_path / "a.pt"
    if how in ("zip", "legacy"):
        saved(path, content, _use_new_zipfile_serialization=how == "zip")
    else:
        path.write_bytes(pickle.dumps(content, 4 if how == "pickle" else 0))
    with pytest.raises(ValueError, match="would execute code") as error:
        read_network(path)
    assert f"it calls {name}" in str(error.value).replace("__builtin__", "builtins")
    assert capsys.readouterr().out == ""


def test_names_that_stand_for_plain_data_do_nothing_else():
    """State and attributes given to allowed functions, classes and tensors reach nothing."""
    for target in (
        b"ctorch._utils\n_rebuild_tensor_v2\n",
        b"cargparse\nNamespace\n",
        b"cnumpy\ndtype\n",
        b"ctorch\nfloat32\n",
        b"ccollections\nOrderedDict\n",
        b"ctorch\nFloatStorage\n",
    ):
        for state in (b"}S'evil'\nI1\ns", b"(N}S'evil'\nI1\nst"):
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w") as archive:
                archive.writestr("a/data.pkl", b"\x80\x02" + target + state + b"b.")
            with zipfile.ZipFile(buffer) as archive, pytest.raises(Exception, match=r"\S"):
                read_zip(archive, "a/data.pkl", 1000)
    for kind in (argparse.Namespace, np.dtype, collections.OrderedDict, torch.Tensor):
        assert not hasattr(kind, "evil")


@pytest.mark.parametrize("legacy", [False, True])
def test_tensors_are_those_that_pytorch_reads(tmp_path, legacy):
    base = torch.arange(24.0).reshape(4, 6)
    content = {
        "rows": base[1:3],
        "turned": base.T,
        "steps": base[:, ::2],
        "one": base[2, 3],
        "wide": torch.ones(1).expand(3, 4),
        "none": base[:0],
        "parameter": torch.nn.Parameter(base),
        "negative": torch.complex(base, base).conj().imag,
        "double": base.double(),
        "int": base.int(),
        "bool": base > 3,
        "complex": torch.complex(base, -base),
        "byte": base.byte(),
        "long": base.long(),
    }
    path = saved(tmp_path / "a.pt", content, _use_new_zipfile_serialization=not legacy)
    theirs, ours = torch.load(path, weights_only=True), read_file(path).tensors
    assert list(ours) == list(theirs)
    for name, tensor in theirs.items():
        assert ours[name].dtype == tensor.dtype
        assert torch.equal(ours[name], tensor.detach()), name


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_plain_pickles_of_arrays_and_tensors(tmp_path, protocol):
    for content in (W, {n: np.asfortranarray(p.numpy()) for n, p in W.items()}):
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol))
        assert is_w(read_file(tmp_path / "a.pkl", marks=[NAMED]))


TORCH_TYPES = {
    "float16": "float16",
    "bfloat16": "bfloat16",
    "float8_e4m3fn": "float8_e4m3fn",
    "float8_e5m2": "float8_e5m2",
    "float64": "",
    "int8": "",
    "uint16": "uint16",
    "bool": "",
    "complex64": "u holds complex numbers",
}


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize(("name", "words"), TORCH_TYPES.items())
def test_number_types_of_pytorch(tmp_path, name, words, suffix):
    path, tensors = tmp_path / f"a.{suffix}", {n: p.to(getattr(torch, name)) for n, p in W.items()}
    save_file(tensors, path) if suffix == "safetensors" else torch.save(tensors, path)
    if name == "complex64":
        with pytest.raises(ValueError, match=words):
            read_network(path)
        return
    found = read_network(path)
    assert torch.equal(found.network.tensors["u"][0], tensors["u"].double())
    stored = [note for note in found.notes if "stored as" in note]
    assert stored == ([f"all tensors are stored as {words}"] if words else [])


@pytest.mark.filterwarnings("ignore")
def test_sparse_tensors_are_converted_and_others_refused_by_name(tmp_path):
    for change in ("to_sparse", "to_sparse_csr", "to_sparse_csc"):
        path = saved(tmp_path / "a.pt", {**W, "w": getattr(W["w"], change)()})
        file = read_file(path, marks=[NAMED])
        assert is_w(file)
        assert file.notes == ("w is stored as sparse",)
    quantized = torch.quantize_per_tensor(W["w"], 0.1, 0, torch.qint8)
    ragged = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
    for tensor, words in (
        (quantized, "w is a quantized tensor; save it after x.dequantize()"),
        (W["w"].to("meta"), "w is a meta tensor, a shape without numbers"),
        (ragged, "w is a nested tensor"),
    ):
        with pytest.raises(ValueError, match=r"a\.pt") as error:
            read_network(saved(tmp_path / "a.pt", {**W, "w": tensor}))
        assert words in str(error.value)


def raw_bfloat16(array):
    return torch.from_numpy(array).bfloat16().view(torch.int16).numpy().view("V2")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a.astype(">f4"), "stored as big-endian float32"),
        (lambda a: a.astype(">f8"), "stored as big-endian float64"),
        (lambda a: a.astype("f2"), "stored as float16"),
        (lambda a: a.astype(np.longdouble), "stored as long double"),
        (raw_bfloat16, "stored as bfloat16"),
        (np.asfortranarray, ""),
        (lambda a: a.astype("i1").view("V1"), "u is bytes without a type"),
        (lambda a: a.astype(object), "u is an array of Python objects"),
        (lambda a: a.astype("U4"), "u is text"),
        (lambda a: a.astype("M8[s]"), "u is an array of datetime64"),
        (lambda a: np.zeros(a.shape, [("a", "f4")]), "u is an array of"),
        (lambda a: a + 0j, "u holds complex numbers"),
    ],
)
def test_number_types_of_numpy(tmp_path, change, words):
    path = tmp_path / "a.npz"
    np.savez(path, task="C5", **{name: change(p.numpy()) for name, p in W.items()})
    if words and "stored as" not in words:
        with pytest.raises(ValueError, match=r"^a\.npz: ") as error:
            read_network(path)
        assert words in str(error.value)
        assert "allow_pickle" not in str(error.value)
        return
    found = read_network(path)
    expected = W["u"].bfloat16() if change is raw_bfloat16 else W["u"]
    stored = torch.as_tensor(expected).double()
    tolerance = 1e-3 if "float16" in words else 0
    assert torch.allclose(found.network.tensors["u"][0], stored, rtol=tolerance, atol=0)
    assert words in " ".join(found.notes)


def archive_of(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


def tar_of(name):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    return buffer.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935\nsize 12345\n"
KINDS = {
    "a Git LFS pointer, not the file itself; fetch the file with: git lfs pull": LFS,
    "a Git annex pointer": b"/annex/objects/SHA256E-s1--2.pt\n",
    "a web page (HTML)": b"\xef\xbb\xbf\n <!DOCTYPE html>\n<html><body>404</body></html>",
    "a JSON answer of a server ('Not Found')": b'{"message":"Not Found","status":"404"}',
    "a JSON text": b"[1, 2]",
    "an XML text": b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>',
    "a text that begins 'import torch print(": b"import torch\nprint(1)\n",
    "a text that begins 'Gr": "Größe\n".encode("utf-16"),
    "a gzip archive; unpack it": gzip.compress(b"x" * 100, mtime=0),
    "a 7z archive": b"7z\xbc\xaf\x27\x1c" + bytes(30),
    "a tar archive": tar_of("x"),
    "a zip archive that holds folder/x.txt": archive_of(**{"folder__x.txt": "1"}),
    "a TorchScript archive": archive_of(**{"m__data.pkl": b"", "m__code__x.py": b""}),
    "a GGUF file": b"GGUF" + bytes(100),
    "an HDF5 file": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "one NumPy array (.npy); give it a name": b"\x93NUMPY" + bytes(100),
    "an ONNX model": b"\x08\x07\x12\x07pytorch\x1a\x051.0",
    "a TensorFlow checkpoint's index": bytes(99) + bytes.fromhex("57fb808b247547db"),
    "empty (0 bytes)": b"",
    "truncated (5 bytes)": b"\xb8\x00\x00\x00\x00",
    "filled with zero bytes": bytes(5000),
    "bytes 8f 3a": b"\x8f\x3a" + random.Random(0).randbytes(3000),
    "truncated (the end of its zip archive is missing)": b"PK\x03\x04" + bytes(range(200)),
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(("words", "content"), KINDS.items())
def test_a_file_of_another_kind_is_called_what_it_is(tmp_path, words, content, suffix):
    path = tmp_path / f"model.{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"^model\.{suffix} is ") as error:
        read_network(path)
    assert words in str(error.value)
    assert "execute" not in str(error.value)
    assert "allow_pickle" not in str(error.value)


def test_the_content_decides_and_not_the_ending(tmp_path):
    save_file(W, tmp_path / "a.bin")
    saved(tmp_path / "b.safetensors", W)
    np.savez(tmp_path / "c.npz", **{name: p.numpy() for name, p in W.items()})
    (tmp_path / "c.npz").rename(tmp_path / "c")
    for name in ("a.bin", "b.safetensors", "c"):
        assert is_w(read_file(tmp_path / name, marks=[NAMED]))


def test_a_flipped_bit_is_refused_or_changes_nothing(tmp_path):
    path = saved(tmp_path / "a.pt", {"model": W, "config": {"p": 5}})
    whole, draw, refused = path.read_bytes(), random.Random(0), []
    for bit in draw.sample(range(8 * len(whole)), 150):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            file = read_file(path, marks=[NAMED])
        except ValueError as error:
            refused.append(str(error))
        else:
            assert is_w(file)
            assert file.values["config"] == {"p": 5}
    assert len(refused) > 50
    assert all(line.startswith("a.pt ") for line in refused)
    flipped = bytearray(whole)
    flipped[whole.index(W["v"].numpy().tobytes())] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(ValueError, match=r"a\.pt is damaged \(model\.v: Bad CRC-32"):
        read_file(path)


def test_members_that_no_tensor_uses_are_checked_too(tmp_path):
    path = saved(tmp_path / "a.pt", {"model": W, "optimizer": {"param_groups": [], "m": ZERO}})
    with zipfile.ZipFile(path) as archive:
        unused = archive.read("a/.data/serialization_id")
    content = bytearray(path.read_bytes())
    content[content.index(unused)] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"is damaged \(Bad CRC-32.*serialization_id"):
        read_file(path, marks=[NAMED])


def test_safetensors_headers_must_describe_the_whole_file(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file(W, path)
    whole = path.read_bytes()
    for content, words in (
        (whole[:-1], "is truncated (its header promises 720 bytes of numbers, and 719 are there)"),
        (whole[:100], "is truncated (its header has"),
        (whole + b"xx", "is damaged (its header promises 720 bytes"),
        (whole.replace(b'"data_offsets"', b'"data_offsots"'), "says no offsets of u"),
        (whole.replace(b'"shape"', b'"shape '), "is damaged (its header is no JSON)"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"^a\.safetensors is ") as error:
            read_file(path)
        assert words in str(error.value)


def test_shared_parts_do_not_multiply():
    """Mappings of ten times the mapping before: small in a file, and of 10^12 values."""
    content = {"u": torch.ones(1)}
    for _ in range(12):
        content = {str(index): content for index in range(10)}
    with pytest.raises(ValueError, match="too many"):
        find_tensors(content, [NAMED])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            '{"seed": 1' + "0" * 30 + "}",
            "cfg.json beside a.pt: expected an integer of 64 bits for seed, got one of 31",
        ),
        (
            '{"a": {"b": [0, -1' + "0" * 400 + "]}}",
            "expected an integer of 64 bits for a.b[1], got one of 401 digits",
        ),
        ('{"seed": ' + "1" * 5000 + "}", "64 bits for seed, got one of 5000 digits"),
        ('{"seed": 9223372036854775808}', "64 bits for seed, got one of 19 digits"),
        ("[" * 100_000, "cfg.json beside a.pt: expected a JSON file"),
        ("[1]", "cfg.json beside a.pt: expected a JSON object"),
        ("{'a': 1}", "cfg.json beside a.pt: expected a JSON file (Expecting property name"),
        ("\xff\xfe", "cfg.json beside a.pt: expected a JSON file"),
    ],
)
def test_settings_beside_a_file_are_refused_by_name_and_key(tmp_path, text, words):
    file = read_file(saved(tmp_path / "a.pt", W))
    (tmp_path / "cfg.json").write_text(text, "latin1")
    with pytest.raises(ValueError, match=r"cfg\.json") as error:
        file.beside("config.json", "cfg.json")
    assert words in str(error.value)
    assert len(str(error.value)) < 200


def test_settings_beside_a_file_may_hold_any_number_of_64_bits(tmp_path):
    file = read_file(saved(tmp_path / "a.pt", W))
    (tmp_path / "cfg.json").write_text('\ufeff{"a": NaN, "b": -Infinity, "c": 9223372036854775807}')
    found = file.beside("cfg.json")
    assert np.isnan(found["a"])
    assert found["b"] == -np.inf
    assert found["c"] == 2**63 - 1


def test_logits_of_other_shapes_are_explained(tmp_path):
    for shape, words in (
        ((5, 5, 6), "a.npz: logits has shape (5, 5, 6); leave out the class of the equals sign"),
        ((25, 6), "logits[..., :5]"),
        ((5, 6, 5), "expected (n, n, n), or (n*n, n)"),
        ((24, 5), "expected (n, n, n)"),
        ((), "expected (n, n, n)"),
        ((0, 0, 0), "expected (n, n, n)"),
    ):
        np.savez(tmp_path / "a.npz", logits=np.zeros(shape))
        with pytest.raises(ValueError, match=r"a\.npz") as error:
            read_network(tmp_path / "a.npz")
        assert words in str(error.value)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "s3"
    execute("S3", activation="relu", width=40, steps=60, out=folder)
    return folder


def test_a_run_is_measured_by_its_parameters_as_by_its_folder(run_folder, call):
    folder = json.loads(call("measure", run_folder, "--json")[1])
    file = json.loads(call("measure", run_folder / "parameters.safetensors", "--json")[1])
    assert file == folder
    assert file["activation"] == "relu"
    found = read_network(run_folder / "parameters.safetensors")
    assert found.task.name == "S3"
    right = (found.logits.argmax(1) == found.task.answers).mean()
    assert right == pytest.approx(folder["accuracy"])


def test_weights_alone_need_no_history(run_folder, tmp_path, call):
    for name in ("recipe.toml", "parameters.safetensors"):
        (tmp_path / name).write_bytes((run_folder / name).read_bytes())
    assert call("measure", tmp_path, "--json")[1] == call("measure", run_folder, "--json")[1]


def test_parameters_without_their_recipe_say_what_they_are(run_folder, tmp_path, call):
    path = tmp_path / "mine.safetensors"
    path.write_bytes((run_folder / "parameters.safetensors").read_bytes())
    for options in ([], ["--group", "S3"], ["--activation", "relu"]):
        code, _, error = call("measure", path, *options)
        assert code == 2
        assert "mine.safetensors holds parameters of a run" in error
    assert call("measure", path, "--group", "S3", "--activation", "relu")[0] == 0
    inside = call("measure", run_folder / "parameters.safetensors", "--group", "C6")
    assert "recipe.toml beside parameters.safetensors says group" in inside[2]
    snapshots = call("measure", run_folder / "snapshots.safetensors")
    assert "holds the snapshots of a run" in snapshots[2]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_said_first(run_folder, tmp_path, call, value):
    (tmp_path / "recipe.toml").write_bytes((run_folder / "recipe.toml").read_bytes())
    tensors = {
        n: p.clone() for n, p in read_file(run_folder / "parameters.safetensors").tensors.items()
    }
    tensors["v"][0, 2, 7] = value
    save_file(tensors, tmp_path / "parameters.safetensors")
    for what in (tmp_path, tmp_path / "parameters.safetensors"):
        code, shown, error = call("measure", what)
        assert code == 2
        assert shown == ""
        assert f"v[2, 7] = {value} (1 of 240 numbers)" in error
    with pytest.raises(
        ValueError, match=rf"parameters\.safetensors: v holds {value} at \[0, 2, 7\]"
    ):
        read_network(tmp_path / "parameters.safetensors")


TRIES = {
    "06_own_parameters/parameters.safetensors": "S3, relu, mlp by the recipe.toml",
    "07_dtypes_traceback/t14_f8.pt": "all tensors are stored as float8_e4m3fn",
    "07_dtypes_traceback/t14_sparse.pt": "stored as sparse",
    "07_dtypes_traceback/t14_meta.pt": "embed.W_E is a meta tensor",
    "07_dtypes_traceback/t14_quant.pt": "embed.W_E is a quantized tensor",
    "08_prefixes_containers/nested.pt": "C11",
    "08_prefixes_containers/t10_list.pth": "state_dicts[1]",
    "08_prefixes_containers/t6_orig_mod.pt": "C11",
    "08_prefixes_containers/t7_orig_mod_module.pt": "C11",
    "08_prefixes_containers/t8_key_net.pt": "C11",
    "08_prefixes_containers/t8_light.pt": "C11",
    "08_prefixes_containers/t9_module_module.pt": "C11",
    "08_prefixes_containers/t9_clash.pt": "holds both embed.W_E and module.embed.W_E",
    "09_would_execute_code/rand.pt": "begins with the bytes 26 58",
    "09_would_execute_code/t12_nparray_sd.pt": "C11",
    "09_would_execute_code/t12_npscalar.pt": "C11",
    "09_would_execute_code/t13_defaultdict.pt": "C11",
    "09_would_execute_code/t13_namespace.pt": "C11",
    "09_would_execute_code/t23_lfs.pt": "git lfs pull",
    "10_npz_messages/eqcls.npz": "logits[..., :5]",
    "10_npz_messages/ld.npz": "stored as long double",
    "10_npz_messages/strings.npz": "logits is text",
    "10_npz_messages/t14_bf16.npz": "stored as bfloat16",
    "10_npz_messages/t23_lfs.safetensors": "git lfs pull",
    "14_config_overflow/chu_bigseed/model.pt": "expected an integer of 64 bits for seed",
    "14_config_overflow/chu_sum/model.pt": "expected an integer of 64 bits for train_loss",
    "17_nan_run/parameters.safetensors": "u holds nan at [0, 0, 0]",
}


@tries
@pytest.mark.parametrize(("name", "words"), TRIES.items())
def test_small_inputs_that_failed(name, words):
    answer, right = "", True
    try:
        found = read_network(FOLDER / "tries" / name)
    except ValueError as error:
        answer = str(error)
    else:
        answer = f"{found.task.name}; {'; '.join(found.notes)}"
        right = (found.logits.argmax(1) == found.task.answers).all() or "ld.npz" in name
    assert words in answer
    assert right
