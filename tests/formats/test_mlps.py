"""MLPs of other projects: activation, order of elements, and arrays that are not understood."""

import json

import numpy as np
import pytest
import torch

from marginlens.formats import read_network
from marginlens.formats.network_table import same_group
from marginlens.groups import group
from marginlens.measures import examine_table
from marginlens.networks import MLP
from marginlens.tasks import group_coordinates, lambda_operation, task


def pair_layers(n):
    """ReLU weights that answer a + b: one neuron for each sum of the elements as whole numbers."""
    kinks = torch.arange(-1, 2 * n, dtype=torch.float64)
    place = torch.arange(n, dtype=torch.float64)
    inside = torch.stack([place - kink / 2 for kink in kinks])  # neuron s: relu(a + b - s)
    hats = torch.zeros(n, len(kinks), dtype=torch.float64)
    for total in range(2 * n - 1):
        hats[total % n, total : total + 3] += torch.tensor([1.0, -2.0, 1.0], dtype=torch.float64)
    return inside, hats


def test_the_activation_is_taken_from_the_answers_where_one_clearly_wins(tmp_path):
    inside, out = pair_layers(7)
    torch.save({"model": {"mlp.W_in": inside, "mlp.W_out": out}}, tmp_path / "final.pth")
    found = read_network(tmp_path / "final.pth")
    assert found.form == "yagent"
    assert isinstance(found.network, MLP)
    assert "activation relu, which clearly answers best: 100.0%" in found.notes[0]
    squared = read_network(tmp_path / "final.pth", activation="x^2")
    assert squared.notes[0] == "activation x^2, as asked for"
    assert squared.warning


def test_noise_names_no_activation(tmp_path):
    generator = torch.Generator().manual_seed(0)
    inside, out = (
        torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((16, 7), (7, 16))
    )
    path = tmp_path / "moved.pth"
    torch.save({"mlp.W_in": inside, "mlp.W_out": out, "mlp.basis": torch.eye(7)}, path)
    with pytest.raises(ValueError, match=r"with relu, .* with x\^2; .*--activation relu"):
        read_network(path)
    found = read_network(path, activation="relu")
    assert found.warning.startswith("the network answers")
    # the name of a run's folder says it
    folder = tmp_path / "p_7_dmlp_16_ReLU_random"
    folder.mkdir()
    torch.save({"mlp.W_in": inside, "mlp.W_out": out}, folder / "0.pth")
    np.testing.assert_allclose(read_network(folder / "0.pth").logits, found.logits)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"mlp.W_in": (8, 7), "mlp.W_out": (7, 8), "mlp.W_gate": (8, 7)}, "mlp.W_gate"),
        ({"mlp.W_in": (8, 7), "mlp.W_out": (7, 8), "embed_y.W_E": (7, 7)}, "embed_y.W_E"),
        ({"u": (7, 8), "w": (7, 8), "gate": (7, 8)}, "gate"),
        ({"u": (7, 8), "v": (7, 8), "w": (7, 8), "c": (7,)}, "has c,"),
        ({"W_x": (7, 3), "W_y": (7, 3), "W": (6, 8), "W_U": (8, 7), "b_U": (7,)}, "b_U"),
    ],
)
def test_arrays_that_may_be_parameters_are_not_ignored(tmp_path, tensors, words):
    path = tmp_path / "mine.pt"
    torch.save({name: torch.ones(shape) for name, shape in tensors.items()}, path)
    with pytest.raises(ValueError, match=f"{words}.*not understood"):
        read_network(path, activation="relu")


def test_numbers_beside_the_weights_are_no_parameters(tmp_path):
    np.savez(tmp_path / "x.npz", u=np.ones((7, 8)), w=np.ones((7, 8)), losses=np.ones(100))
    assert read_network(tmp_path / "x.npz").form == "uvw"


def test_logits_of_an_operation(tmp_path):
    """An array (a, b, c) has a row for every pair, also where the operation is not defined."""
    table = np.array([[a * pow(b, 5, 7) % 7 for b in range(7)] for a in range(7)])
    np.savez(tmp_path / "x.npz", logits=np.eye(7)[table])
    found = read_network(tmp_path / "x.npz", group="x/y mod 7")
    assert found.logits.shape == (42, 7)
    seen = examine_table(found.logits, found.task)
    assert (seen.accuracy, seen.on_group.task, seen.on_group.accuracy) == (1.0, "C6", 1.0)
    assert seen.to_dict()["gradient_symmetricity"] is None
    # nobody says it: it answers little of C7, and the warning knows
    assert '--group "x/y mod 7"' in read_network(tmp_path / "x.npz").warning
    with pytest.raises(ValueError, match="no table of pairs"):
        read_network(tmp_path / "x.npz", group="compose(C7,3)")


@pytest.mark.parametrize(
    ("cfg", "words"),
    [
        ({"group": "QuaternionGroup", "group_parameter": 8}, "group_parameter = 8.*6 elements"),
        ({"group": "ProductGroup", "group_parameter": 6}, "ProductGroup"),
    ],
)
def test_a_group_of_chughtai_s_settings_is_known_or_named(tmp_path, cfg, words):
    tensors = {"W_x": (6, 4), "W_y": (6, 4), "W": (8, 16), "W_U": (16, 6)}
    path = tmp_path / "model.pt"
    torch.save({name: torch.ones(shape) for name, shape in tensors.items()}, path)
    (tmp_path / "cfg.json").write_text(json.dumps(cfg))
    with pytest.raises(ValueError, match=words):
        read_network(path)
    (tmp_path / "summary_metrics.json").write_text('{"loss": NaN, "a": true, "b": 2}')
    (tmp_path / "cfg.json").write_text(json.dumps({}))
    assert read_network(path).stored == {"b": 2.0}


@pytest.mark.parametrize(
    ("cfg", "words"),
    [
        ({"layers": {"embed_dim": 9, "hidden_dim": 16}}, "embed_dim = '9'.* 4 coordinates"),
        ({"layers": {"embed_dim": 4, "hidden_dim": True}}, "hidden_dim = 'True'.* 16 neurons"),
        ({"model": "Transformer"}, "model = 'Transformer'.*MLP"),
        ({"act_fn": "gelu"}, "gelu"),
    ],
)
def test_settings_of_chughtai_s_mlp_that_do_not_fit_are_named(tmp_path, cfg, words):
    shapes = {"W_x": (6, 4), "W_y": (6, 4), "W": (8, 16), "W_U": (16, 6)}
    torch.manual_seed(0)
    torch.save({name: torch.randn(shape) for name, shape in shapes.items()}, tmp_path / "model.pt")
    (tmp_path / "cfg.json").write_text(json.dumps(cfg))
    with pytest.raises(ValueError, match=words):
        read_network(tmp_path / "model.pt")
    fitting = {"layers": {"embed_dim": 4, "hidden_dim": 16}, "act_fn": "ReLU"}
    (tmp_path / "cfg.json").write_text(json.dumps(fitting))
    fitted = read_network(tmp_path / "model.pt").logits
    (tmp_path / "cfg.json").write_text(json.dumps({"act_fn": "x^2"}))
    assert np.abs(read_network(tmp_path / "model.pt").logits - fitted).max() > 1e-3


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("xy mod 11", "C10"),
        ("x-y mod 11", "C11"),
        ("2x+3y+5 mod 11", "C11"),
        ("x/y mod 9", "C6"),
        ("xy mod 15", "the units mod 15"),
        ("xy+1 mod 7", "C6"),
        ("x^-1y in S3", "the group of x^-1y in S3"),
        ("xyx^-1 in S3", None),
        ("x^2+y^2 mod 7", None),
        ("x^2+y mod 7", None),
    ],
)
def test_group_coordinates_renumber_an_operation_into_a_group(spec, name):
    made = task(spec)
    found = group_coordinates(made)
    assert (None if found is None else found.group.name) == name
    if found is not None:
        answers = {tuple(row): int(c) for row, c in zip(made.inputs, made.answers, strict=True)}
        for i in range(found.group.order):
            for j in range(found.group.order):
                product = found.classes[found.group.table[i, j]]
                assert answers[int(found.left[i]), int(found.right[j])] == product


@pytest.mark.parametrize(
    "text",
    [
        "lambda x: (x[0]*x[1])%7",
        "lambda x: (x[0]**x[1] + 3) % 7",
        "lambda a, b: max(a, b)",
        "lambda x: pow(x[0], 3, 7) * x[1] % 7",
        "lambda x: abs(x[0] - x[1])",
        "lambda x: (x[0] // (x[1] + 1)) % 7",
        "lambda x: x[0] if x[0] >= x[1] and x[1] else x[1]",
        "lambda x: x[0] % x[1]",
        "lambda x: (x[0] ^ x[1] & 3) % 7",
        "lambda x: pow(x[0], x[1] - 3, 7)",
    ],
)
def test_the_text_of_a_function_means_what_python_means(text):
    found = lambda_operation(text, 7)
    function = eval(text)  # the test's own text
    values = {}
    for a in range(7):
        for b in range(7):
            try:
                values[a, b] = function(a, b) if text.startswith("lambda a") else function((a, b))
            except (ValueError, ZeroDivisionError):
                continue
    assert {tuple(r): int(c) for r, c in zip(found.inputs, found.answers, strict=True)} == values


@pytest.mark.parametrize(
    "text",
    [
        "lambda x: 9**9**9**9",
        "lambda x: x",
        "lambda x: x[0].real",
        "lambda x: [x[0] for _ in x]",
        "lambda x, y, z: x",
        "lambda *x: x[0]",
        "lambda x: (lambda y: y)(x[0])",
        "lambda x: x[2]",
        "lambda x: open('f')",
        "x[0]+x[1]",
        "lambda x: 1 << 99999",
        "lambda x: x[0]/2",
        "lambda",
        "",
        "lambda x: x[0] % 0",
        "lambda x: " + "x[0]+" * 99 + "0",
        "lambda x: -x[0]",
    ],
)
def test_other_texts_are_refused_by_name(text):
    with pytest.raises(ValueError, match="the operation ") as error:
        lambda_operation(text, 7)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("D4", "Q8", False),
        ("S3", "D3", True),
        ("C2xC2", "C4", False),
        ("Dic3", "C3xC4", False),
        ("S4", "SL(2,3)", False),
        ("A5", "A5", True),
        ("D6", "S3xC2", True),
    ],
)
def test_groups_are_the_same_up_to_the_order_of_elements(first, second, same):
    assert same_group(group(first), group(second)) is same
