"""State dicts of two linear layers, against the module that they are from."""

import numpy as np
import pytest
import torch
from torch import nn

from marginlens.formats import read_network
from marginlens.networks import construct
from marginlens.tasks import task

NAMES = [("0", "2"), ("net.0", "net.2"), ("fc1", "fc2")]


def one_hot_pairs(of):
    eye = torch.eye(of.size, dtype=torch.float64)
    return torch.cat([eye[of.inputs[:, 0]], eye[of.inputs[:, 1]]], 1)


@pytest.mark.parametrize("names", NAMES, ids=lambda one: one[0])
def test_two_layers_have_the_module_s_logits(tmp_path, names):
    torch.manual_seed(0)
    c7 = task("C7")
    module = nn.Sequential(nn.Linear(14, 9), nn.ReLU(), nn.Linear(9, 7, bias=False)).double()
    renamed = {
        key.replace("0.", f"{names[0]}.").replace("2.", f"{names[1]}."): tensor
        for key, tensor in module.state_dict().items()
    }
    torch.save(renamed, tmp_path / "model.pt")
    found = read_network(tmp_path / "model.pt", activation="relu")
    assert found.form == "linear"
    with torch.no_grad():
        np.testing.assert_allclose(found.logits, module(one_hot_pairs(c7)).numpy(), rtol=1e-12)


def test_the_activation_is_read_from_the_answers(tmp_path):
    weights = {name: tensor[0] for name, tensor in construct(task("S3")).tensors.items()}
    first = torch.cat([weights["u"], weights["v"]]).T.contiguous()
    torch.save({"fc1.weight": first, "fc2.weight": weights["w"].contiguous()}, tmp_path / "s3.pt")
    found = read_network(tmp_path / "s3.pt", group="S3")
    assert "activation x^2, which clearly answers best" in found.notes[0]
    assert not found.warning


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        (
            {"fc1.weight": (9, 13), "fc2.weight": (7, 9)},
            r"fc1.weight has shape \(9, 13\); expected",
        ),
        (
            {"fc1.weight": (9, 14), "fc2.weight": (7, 8)},
            r"fc1.weight has shape \(9, 14\); expected",
        ),
        ({"0.weight": (9, 14), "2.weight": (7, 9), "2.bias": (7,)}, "2.bias is not zero"),
        ({"0.weight": (9, 14), "2.weight": (7, 9), "4.weight": (7, 7)}, "4.weight besides two"),
        ({"0.weight": (9, 14), "2.weight": (7, 9), "0.bias": (8,)}, "0.bias has shape"),
    ],
)
def test_other_shapes_and_layers_are_refused(tmp_path, tensors, words):
    torch.save({name: torch.ones(shape) for name, shape in tensors.items()}, tmp_path / "m.pt")
    with pytest.raises(ValueError, match=words):
        read_network(tmp_path / "m.pt", activation="relu")
