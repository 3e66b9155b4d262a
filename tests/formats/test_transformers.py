"""Transformers of other projects: the same function as theirs, on the task they learned, or refused."""

import argparse
import json

import numpy as np
import pytest
import torch
from pair_transformers import (
    answering_weights,
    bridge_names,
    forward,
    nanda_axes,
    pairs,
    random_weights,
    save,
)

from marginlens.formats import read_network
from marginlens.groups import FiniteGroup, group
from marginlens.measures import examine_table
from marginlens.tasks import task


def addition(n):
    return np.add.outer(np.arange(n), np.arange(n)) % n


GELU = torch.nn.functional.gelu
VARIANTS = {
    # sizes of random weights, what the plain forward pass is told, settings
    "plain": ({}, {}, {"normalization_type": None}),
    "biases": ({"biases": True}, {}, {"normalization_type": None}),
    "two layers": ({"layers": 2}, {}, {"normalization_type": None, "n_layers": 2}),
    "layer norm with gains": ({"gains": True}, {"kind": "LN"}, {"normalization_type": "LN"}),
    "layer norm without": ({"layers": 2}, {"kind": "LN"}, {"normalization_type": "LNPre"}),
    "root mean square": ({}, {"kind": "RMS"}, {"normalization_type": "RMSPre"}),
    "gelu": ({}, {"act": GELU}, {"act_fn": "gelu", "normalization_type": None}),
    "silu": (
        {"layers": 2, "biases": True},
        {"act": torch.nn.functional.silu},
        {"act_fn": "silu", "normalization_type": None},
    ),
    "attention alone": ({"hidden": 0}, {}, {"attn_only": True, "normalization_type": None}),
    "heads that do not divide": (
        {"width": 10, "heads": 3, "channels": 4},
        {},
        {"normalization_type": None, "d_head": 4},
    ),
    "no scale": ({}, {"scale": 1.0}, {"use_attn_scale": False, "normalization_type": None}),
    "parallel": (
        {"gains": True},
        {"kind": "LN", "parallel": True},
        {"parallel_attn_mlp": True, "normalization_type": "LN"},
    ),
    "bidirectional": (
        {"layers": 2},
        {"causal": False},
        {"attention_dir": "bidirectional", "normalization_type": None},
    ),
}


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("names", ["lens", "bridge"])
def test_a_transformer_lens_file_is_the_function_that_its_settings_say(tmp_path, name, names):
    sizes, told, settings = VARIANTS[name]
    t = random_weights(3, tokens=6, positions=3, classes=5, **sizes)
    wanted = forward(t, pairs(5, 5), **told)
    heads = len(t["blocks.0.attn.W_Q"])
    path = save(
        tmp_path,
        bridge_names(t) if names == "bridge" else t,
        config={**settings, "n_heads": heads, "n_ctx": 3, "d_vocab": 6},
    )
    found = read_network(path)
    assert found.form == "nanda"
    np.testing.assert_allclose(found.logits, wanted, atol=1e-9)
    network = found.network
    assert network is not None
    again = network.logits(task("C5"))[0]
    np.testing.assert_allclose(again, wanted, atol=1e-9)
    assert examine_table(found.logits, found.task, network=network).clock_pizza is not None


@pytest.mark.parametrize(
    ("tokens", "positions", "rate", "layers", "act", "config"),
    [
        (5, 2, 0.4, 1, "ReLU", {}),
        (6, 3, 0.4, 1, "ReLU", {"eqn_sign": True}),
        (5, 2, 0.0, 2, "ReLU", {"n_layers": 2}),
        (10, 2, 1.0, 1, "ReLU", {"diff_vocab": True}),
        (11, 3, 0.5, 1, "GeLU", {"diff_vocab": 1, "eqn_sign": 1}),
        (5, 2, 0.7, 1, "GeLU", {}),
    ],
)
def test_zhong_s_variants(tmp_path, tokens, positions, rate, layers, act, config):
    t = random_weights(1, tokens=tokens, positions=positions, classes=tokens, layers=layers)
    shift = 5 if config.get("diff_vocab") else 0
    rows = pairs(5, tokens - 1 if positions == 3 else None, shift)
    told = {"act": GELU if act == "GeLU" else torch.relu, "rate": rate, "causal": False}
    wanted = forward(t, rows, **told)[:, :5]
    beside = {"C": 5, "attn_coeff": rate, "act_fn": act, **config}
    found = read_network(save(tmp_path, nanda_axes(t), config_x=beside))
    assert found.form == "pizza"
    np.testing.assert_allclose(found.logits, wanted, atol=1e-9)
    seen = examine_table(found.logits, found.task, network=found.network).clock_pizza
    # by the definition: finite differences of the logits in the embeddings of both inputs
    assert seen.gradient_symmetricity == pytest.approx(
        _symmetricity(t, rows, told, separate=bool(shift)), abs=1e-5
    )
    tables = [t["embed.W_E"][:5], t["embed.W_E"][5:10]] if shift else [t["embed.W_E"][:5]]
    assert seen.circularity == pytest.approx(np.mean([_circularity(one) for one in tables]))


def _symmetricity(t, rows, told, *, separate):
    """Mean cosine of the logits' gradients in both inputs' embeddings, a row at a time."""
    cosines = []
    for row in rows:
        own = t["embed.W_E"][row].clone().requires_grad_(True)
        logits = forward({**t, "embed.W_E": own}, torch.arange(len(row))[None], **told)[0, :5]
        for logit in logits:
            first, second = torch.autograd.grad(logit, own, retain_graph=True)[0][:2]
            cosines.append(torch.nn.functional.cosine_similarity(first, second, dim=0))
    assert separate in (True, False)
    return float(torch.stack(cosines).mean())


def _circularity(table):
    p = len(table)
    v = np.linalg.svd((table - table.mean(0)).numpy(), full_matrices=False)[0][:, :4]
    waves = np.exp(2j * np.pi * np.outer(np.arange(1, p // 2 + 1), np.arange(p)) / p)
    return float((2 / p * np.abs(waves @ v) ** 2).max(0).mean())


OPERATIONS = [
    # text, n, answer, name, its group and how many elements
    ("lambda x: (x[0]+x[1])%7", 7, lambda a, b: (a + b) % 7, "C7", None),
    ("lambda x: (x[0]*x[1])%7", 7, lambda a, b: a * b % 7, "xy mod 7", "C6"),
    ("lambda a, b: (a - b) % 7", 7, lambda a, b: (a - b) % 7, "x-y mod 7", "C7"),
    (
        "lambda x: (x[0]**2 + x[1]**2) % 7",
        7,
        lambda a, b: (a * a + b * b) % 7,
        "x^2+y^2 mod 7",
        None,
    ),
    (
        "lambda x: (3*x[0]+2*x[1]+5)%7",
        7,
        lambda a, b: (3 * a + 2 * b + 5) % 7,
        "3x+2y+5 mod 7",
        "C7",
    ),
    ("lambda x: (x[0]**x[1])%7", 7, lambda a, b: a**b % 7, "x[0] ** x[1] % 7", None),
    ("lambda x: x[0]*pow(x[1],-1,7)%7", 7, lambda a, b: a * pow(b, 5, 7) % 7, "x/y mod 7", "C6"),
    ("lambda x: (x[0]*x[1])%8", 8, lambda a, b: a * b % 8, "xy mod 8", "the units mod 8"),
    (
        "lambda x: x[0] if x[1] % 2 else (x[0]-x[1]) % 7",
        7,
        lambda a, b: a if b % 2 else (a - b) % 7,
        "x[0] if x[1] % 2 else (x[0] - x[1]) % 7",
        None,
    ),
]


@pytest.mark.parametrize(("text", "n", "answer", "name", "over"), OPERATIONS)
def test_an_operation_is_measured_as_what_its_text_says(tmp_path, text, n, answer, name, over):
    table = [[answer(a, b) for b in range(n)] for a in range(n)]
    path = save(
        tmp_path,
        nanda_axes(answering_weights(table)),
        config_x={"C": n, "attn_coeff": 1, "funcs": text},
    )
    found = read_network(path)
    assert (found.task.name, found.warning) == (name, "")
    seen = examine_table(found.logits, found.task, network=found.network)
    assert (seen.accuracy, seen.margin > 0) == (1.0, True)
    if found.task.group is None:
        assert seen.symmetricity is not None
        assert seen.circularity is not None
        assert (None if seen.on_group is None else seen.on_group.task) == over
        if seen.on_group is not None:
            # in group coordinates the same function answers the group's table
            assert seen.on_group.accuracy == 1.0
            assert seen.on_group.spectrum.total[0] > 0.5
    assert seen.to_dict()["task"] == name


def test_the_group_named_on_the_command_line_stands_above_the_settings(tmp_path):
    table = [[a * b % 7 for b in range(7)] for a in range(7)]
    path = save(tmp_path, nanda_axes(answering_weights(table)))
    found = read_network(path, "pizza", group="xy mod 7", attention=1.0)
    assert (found.task.name, found.warning) == ("xy mod 7", "")
    # nothing says the operation: addition is wrong, and the warning knows what is right
    found = read_network(path, "pizza", attention=1.0)
    assert '--group "xy mod 7"' in found.warning
    (tmp_path / "config_x.json").write_text("{broken")
    with pytest.raises(ValueError, match=r"expected a JSON file.*; or say --group and --attention"):
        read_network(path, "pizza", group="xy mod 7")
    found = read_network(path, "pizza", group="xy mod 7", attention=1.0)
    assert (found.task.name, found.warning) == ("xy mod 7", "")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"funcs": "lambda x: foo(x)"}, r"lambda x: foo\(x\)"),
        ({"funcs": "lambda x: __import__('os').getcwd()"}, "__import__"),
        ({"funcs": "lambda x: x[0]/x[1]"}, r"x\[0\]/x\[1\]"),
        ({"funcs": "lambda x: x[0]+x[1]"}, "got 7 for"),
        ({"funcs": 7}, "funcs = 7"),
        ({"funcs": ["lambda x: x[0]"]}, "text of a function"),
        ({"funcs": "modular multiplication"}, "modular multiplication"),
        ({"name": "modmul_7"}, "modmul_7"),
        ({"C": 9}, "C = 9.*has 7 tokens"),
        ({"C": -3}, "C = -3.*has 7 tokens"),
        ({"C": True}, "C = True"),
        ({"C": 2.5}, r"C = 2\.5"),
        ({"C": "7"}, "C = '7'"),
        ({"d_model": 128}, "d_model = 128.*width 23"),
        ({"n_heads": 4}, "n_heads = 4.*2 heads"),
        ({"n_layers": 2}, "n_layers = 2.*1 blocks"),
        ({"eqn_sign": True}, "eqn_sign = True.*2 positions"),
        ({"diff_vocab": True}, "7 tokens; expected twice"),
        ({"act_fn": "solu"}, "'solu'"),
        ({"use_bias": False}, "use_bias = False.*biases that are not zero"),
        ({"attn_coeff": True}, "number from 0 to 1"),
        ({"attn_coeff": "abc"}, "number from 0 to 1"),
    ],
)
def test_settings_that_do_not_fit_the_tables_are_named(tmp_path, config, words):
    t = answering_weights(addition(7))
    path = save(tmp_path, nanda_axes(t), config_x={"C": 7, "attn_coeff": 1, **config})
    with pytest.raises(ValueError, match=words) as error:
        read_network(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"p": 9}, "p = 9.*8 tokens, 7 elements"),
        ({"p": True}, "p = True"),
        ({"p": 7.0}, r"p = 7\.0"),
        ({"fn_name": "rand"}, "'rand' .random answers"),
        ({"fn_name": "cubic"}, "'cubic'"),
        ({"n_ctx": 4}, "n_ctx = 4.*3 positions"),
        ({"d_vocab": 114}, "d_vocab = 114.*8 tokens"),
        ({"d_head": 5}, "d_head = 5.*8 channels"),
        ({"d_mlp": 5}, "d_mlp = 5.*49 neurons"),
        ({"attn_only": True}, "attn_only = True.*MLP"),
        ({"positional_embedding_type": "rotary"}, "rotary"),
        ({"gated_mlp": True}, "gated_mlp = True"),
        ({"use_softmax": False}, "use_softmax = False"),
        ({"normalization_type": "LN"}, "LN.*no gains"),
        ({"normalization_type": "batch"}, "batch"),
        ({"use_ln": True}, "use_ln = True.*no gains"),
        ({"act_fn": "solu_ln"}, "solu_ln"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings"),
        ({"n_key_value_heads": 1}, "n_key_value_heads = 1.*2 heads"),
    ],
)
def test_settings_inside_a_file_that_do_not_fit_are_named(tmp_path, config, words):
    path = save(tmp_path, answering_weights(addition(7), sign=True), inside=config)
    with pytest.raises(ValueError, match=words) as error:
        read_network(path)
    assert "\n" not in str(error.value)


def test_nanda_s_functions_by_name(tmp_path):
    functions = {
        "subtract": lambda a, b: a - b,
        "x2xyy2": lambda a, b: a * a + a * b + b * b,
        "xy": lambda a, b: a * b,
    }
    for function, answer in functions.items():
        table = [[answer(a, b) % 7 for b in range(7)] for a in range(7)]
        t = answering_weights(table, sign=True)
        found = read_network(save(tmp_path, t, inside={"fn_name": function, "p": 7}))
        assert not found.warning
        assert found.task.name.endswith("mod 7")
        found = read_network(save(tmp_path, t, inside={"fn_name": function, "p": 7}), group="C7")
        assert found.warning
        assert any(function in note for note in found.notes)


def test_two_files_of_settings_that_differ_are_named(tmp_path):
    t = answering_weights(addition(5), sign=True)
    path = save(tmp_path, t, config={"d_model": 18}, cfg={"d_model": 20})
    with pytest.raises(ValueError, match=r"cfg.json says d_model = 20, and config.json says 18"):
        read_network(path)
    # the run's own stands above both
    assert not read_network(save(tmp_path, t, inside={"d_model": 18})).warning


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("blocks.0.mlp.W_gate", (18, 25)),
        ("blocks.0.attn.rotary_sin", (3, 6)),
        ("embed2.W_E", (6, 18)),
        ("y_embed", (6, 18)),
        ("blocks.0.attn.W_Q_extra", (2, 18, 6)),
        ("blocks.0.mlp.ln.w", (25,)),
        ("unembed.scale", (5,)),
        ("head.weight", (5, 18)),
        ("W_skip", (18, 18)),
        ("scale", (18,)),
        ("temperature", (5,)),
    ],
)
def test_tensors_that_are_not_understood_are_named(tmp_path, name, shape):
    t = answering_weights(addition(5), sign=True)
    t[name] = torch.ones(shape)
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        read_network(save(tmp_path, t), "nanda")


def test_layer_norm_at_one_place_alone_is_refused(tmp_path):
    t = answering_weights(addition(5), sign=True)
    t["blocks.0.ln1.w"] = torch.ones(18)
    with pytest.raises(ValueError, match="as attention_norm but not as final_norm"):
        read_network(save(tmp_path, t))


@pytest.mark.parametrize("n", [3, 5])  # a mask (3, 3) has an axis of three elements
def test_masks_are_ignored(tmp_path, n):
    t = answering_weights(addition(n), sign=n == 5)
    t |= {"blocks.0.attn.mask": torch.ones(3, 3).tril(), "blocks.0.attn.IGNORE": torch.tensor(-1e5)}
    attention = None if n == 5 else 1.0
    assert not read_network(save(tmp_path, nanda_axes(t)), attention=attention).warning


def test_layer_norm_that_no_settings_name_is_taken_where_it_clearly_answers_best(tmp_path):
    """The network of ``LNPre`` has no tensors that say so."""
    with_norm = answering_weights(addition(7), sign=True, kind="LN")
    rows = pairs(7, 7)
    found = read_network(save(tmp_path, with_norm))
    np.testing.assert_allclose(found.logits, forward(with_norm, rows, kind="LN"), atol=1e-9)
    assert not found.warning
    assert "clearly answers best" in found.notes[-1]
    without = read_network(save(tmp_path, with_norm), layer_norm="none")
    np.testing.assert_allclose(without.logits, forward(with_norm, rows), atol=1e-9)
    assert "--layer-norm" in without.warning
    plain = answering_weights(addition(7), sign=True)
    found = read_network(save(tmp_path, plain))
    np.testing.assert_allclose(found.logits, forward(plain, rows), atol=1e-9)
    found = read_network(save(tmp_path, with_norm, config={"normalization_type": "LNPre"}))
    assert not found.warning


def test_an_activation_that_nothing_says_is_another_only_where_it_clearly_answers(tmp_path):
    t = answering_weights(addition(7), sign=True)
    found = read_network(save(tmp_path, nanda_axes(t)))  # tanh answers all of it too
    assert found.notes[0] == "activation relu, as in the project (else say --activation)"
    # 7 at the pair, 6 where one element is right, 5 elsewhere: 49 + 25 > 36 + 36, and no other convex
    t["blocks.0.mlp.b_in"] = torch.full((49,), 5.0, dtype=torch.float64)
    found = read_network(save(tmp_path, nanda_axes(t)))
    assert found.notes[-1].startswith("activation x^2, which clearly answers best")
    assert not found.warning
    wanted = forward(t, pairs(7, 7), act=torch.square)
    np.testing.assert_allclose(found.logits, wanted, atol=1e-9)
    # what is said is not guessed
    assert read_network(save(tmp_path, nanda_axes(t)), activation="relu").warning
    said = read_network(save(tmp_path, nanda_axes(t), inside={"act_type": "ReLU"}))
    assert said.warning


def test_settings_of_other_shapes_are_read(tmp_path):
    """A namespace, a mapping in a mapping, and numbers beside the weights."""
    t = answering_weights(addition(7), sign=True)
    for inside, beside in (
        (argparse.Namespace(p=9), {}),
        (None, {"cfg": {"cfg": {"p": 9}}}),
        (None, {"config": {"n_embd": 768, "vocab_size": 50257}}),
    ):
        with pytest.raises(ValueError, match=r"p = 9|n_embd = 768"):
            read_network(save(tmp_path, t, inside=inside, **beside))
        for file in ("cfg.json", "config.json"):
            (tmp_path / file).unlink(missing_ok=True)
    with pytest.raises(ValueError, match="p = 9"):
        read_network(save(tmp_path, {"model": t, "p": 9}))


def test_more_tokens_than_elements_and_equals(tmp_path):
    """Tokens for an operation and for =: never C_(n+1), and the group may be said."""
    t = answering_weights(addition(7), sign=True, extra=1)
    # the equals sign is token 7, the last one is never used
    t["embed.W_E"] = t["embed.W_E"][[*range(7), 8, 7]]
    t["embed.W_E"][8] = torch.linspace(-9, 9, 24)
    t["unembed.W_U"] = torch.nn.functional.pad(t["unembed.W_U"], (0, 2))
    path = save(tmp_path, t)
    found = read_network(path, group="C7")
    assert not found.warning
    assert "first 7 are elements; token 7 as =" in found.notes[-1]
    with pytest.raises(ValueError, match="9 tokens, but C5 has 5 elements"):
        read_network(path, group="C5")


@pytest.mark.parametrize(
    ("positions", "form", "words"),
    [
        (4, None, "4 positions"),
        (4, "pizza", "4 positions"),
        (2, "nanda", "2 positions"),
        (1, None, "1 positions"),
        (2, "chughtai", "2 positions"),
    ],
)
def test_positions_of_a_format(tmp_path, positions, form, words):
    t = random_weights(0, tokens=6, positions=positions, classes=6)
    with pytest.raises(ValueError, match=words):
        read_network(save(tmp_path, t), form, attention=0.0 if form == "pizza" else None)


def test_names_of_transformer_lens_4_that_leave_something_open(tmp_path):
    t = random_weights(0, tokens=6, positions=3, classes=5)
    with pytest.raises(ValueError, match="n_heads"):
        read_network(save(tmp_path, bridge_names(t)))
    with pytest.raises(ValueError, match="multiple of 5 heads"):
        read_network(save(tmp_path, bridge_names(t), config={"n_heads": 5}))
    named = bridge_names(t)
    named["blocks.0.mlp.in.weight"] = named["blocks.0.mlp.in.weight"].T.contiguous()
    with pytest.raises(ValueError, match="axes cannot be told"):  # the square ones
        read_network(save(tmp_path, named, config={"n_heads": 2}))


# ---------------------------------------------------------------- Chughtai et al.


def relabelled_table(name, seed=0):
    """A group's table with its elements in another order."""
    table = group(name).table
    order = np.random.default_rng(seed).permutation(len(table))
    place = np.argsort(order)
    return place[table[np.ix_(order, order)]]


def chughtai_file(folder, table, cfg):
    t = answering_weights(table, sign=True)
    t |= {"x_embed": t["embed.W_E"].clone(), "y_embed": t["embed.W_E"].clone()}
    return save(folder, t, name="model.pt", cfg={"model": "Transformer", **cfg})


def test_elements_are_in_the_order_of_the_network_s_own_table(tmp_path):
    table = relabelled_table("D5")
    path = chughtai_file(tmp_path, table, {"group": "DihedralGroup", "group_parameter": 5})
    found = read_network(path)
    assert (found.form, found.task.name, found.warning) == ("chughtai", "D5", "")
    assert np.array_equal(found.task.answers, table.ravel())
    seen = examine_table(found.logits, found.task, network=found.network)
    # the logits are the table's delta: each character in proportion to its degree squared
    degrees = [feature.irrep.degree for feature in found.task.features]
    weights = np.square(seen.spectrum.spectral_weights[0])
    assert weights == pytest.approx(np.square(degrees) * weights[0])


@pytest.mark.parametrize(
    ("cfg", "words"),
    [
        ({"group": "QuaternionGroup", "group_parameter": 8}, "group_parameter = 8.*10 elements"),
        ({"group": "FrobeniusGroup", "group_parameter": 5}, "FrobeniusGroup"),
        ({"group": "DihedralGroup", "group_parameter": 59}, "59.*10 elements"),
        ({"group": "DihedralGroup", "group_parameter": True}, "group_parameter = True"),
        ({"group": "DihedralGroup"}, "without group_parameter"),
        ({"group": "SymmetricGroup", "group_parameter": 10**9}, "10 elements"),
        ({"group": "CyclicGroup", "group_parameter": 10}, "says C10.*answers form the table"),
    ],
)
def test_groups_that_the_tables_do_not_have(tmp_path, cfg, words):
    path = chughtai_file(tmp_path, relabelled_table("D5"), cfg)
    with pytest.raises(ValueError, match=words):
        read_network(path)


def test_an_embedding_for_each_input_is_not_ignored(tmp_path):
    path = chughtai_file(tmp_path, relabelled_table("D5"), {})
    tensors = torch.load(path, weights_only=True)
    tensors["y_embed"] = tensors["y_embed"] + 1
    with pytest.raises(ValueError, match=r"y_embed is not embed\.W_E"):
        read_network(save(tmp_path, tensors, name="model.pt"))


def test_a_group_that_nobody_names_is_the_network_s_own(tmp_path):
    path = save(tmp_path, answering_weights(relabelled_table("Q8"), sign=True))
    found = read_network(path)
    assert (found.task.name, found.warning) == ("own group of order 8", "")
    assert "names no group" in found.notes[-1]
    assert read_network(path, group="Q8").task.name == "Q8"
    assert not read_network(path, group="Q8").warning
    assert "another group of order 8" in read_network(path, group="D4").warning


def without_carry(n):
    """C_(n/2) x C_2, element 2i + j: three rows of four are those of C_n."""
    i, j = np.divmod(np.arange(n), 2)
    return 2 * (np.add.outer(i, i) % (n // 2)) + np.add.outer(j, j) % 2


@pytest.mark.parametrize("n", [8, 12])
def test_a_group_that_agrees_in_three_rows_of_four_is_not_taken_for_another(tmp_path, n):
    table = without_carry(n)
    assert (table == addition(n)).mean() == 0.75
    lens = save(tmp_path, answering_weights(table, sign=True))
    found = read_network(lens)
    assert (found.task.name, found.warning) == (f"own group of order {n}", "")
    assert np.array_equal(found.task.answers, table.reshape(-1))
    said = read_network(lens, group=f"C{n}").warning
    assert said.startswith(f"the network answers 75.0% of the rows of C{n}: its answers form")
    assert "name it with --group" in said
    pizza = save(
        tmp_path, nanda_axes(answering_weights(table)), name="p.pt", config_p={"attn_coeff": 1}
    )
    assert read_network(pizza).task.name == f"own group of order {n}"
    assert not read_network(pizza, group=f"C{n // 2}xC2").warning


def test_layer_norm_is_not_guessed_from_a_reading_that_answers_too_little(tmp_path):
    """Neither reading is right where the activation is another; the better one is no evidence."""
    t = answering_weights(addition(7), sign=True, kind="LN")
    right = read_network(save(tmp_path, t)).logits
    doubt = t | {"unembed.W_U": t["unembed.W_U"].clone()}
    doubt["unembed.W_U"][:, 0] = doubt["unembed.W_U"][:, 1]  # two classes of seven are equal
    path = save(tmp_path, doubt)
    with pytest.raises(ValueError, match=r"no reading answers nearly all rows.*--layer-norm"):
        read_network(path)
    asked = read_network(path, layer_norm="pre")
    np.testing.assert_allclose(asked.logits[:, 1:], right[:, 1:], atol=1e-9)


def test_orders_of_elements_where_the_answers_do_not_tell(tmp_path):
    """One answer wrong: the order is SymPy's, by agreement with the others."""
    from marginlens.formats.chughtai_groups import permutation_task

    true = permutation_task("S", 3).answers.reshape(6, 6).copy()
    true[0, 0] = (true[0, 0] + 1) % 6
    path = chughtai_file(tmp_path, true, {"group": "SymmetricGroup", "group_parameter": 3})
    found = read_network(path)
    assert isinstance(found.task.group, FiniteGroup)
    assert np.array_equal(found.task.answers, permutation_task("S", 3).answers)
    assert "of the rows are then right" in found.notes[0]


def test_a_file_beside_settings_of_another_project_is_that_project_s(tmp_path):
    t = answering_weights(addition(5), sign=True)
    assert read_network(save(tmp_path, nanda_axes(t))).form == "nanda"
    assert read_network(save(tmp_path, nanda_axes(t)), attention=1.0).form == "pizza"
    with pytest.raises(ValueError, match="belongs to pizza files"):
        read_network(save(tmp_path, nanda_axes(t)), "nanda", attention=0.4)
    path = save(tmp_path, nanda_axes(t), config_x={"C": 5, "attn_coeff": 1, "eqn_sign": True})
    assert read_network(path).form == "pizza"
    assert json.loads((tmp_path / "config_x.json").read_text())["C"] == 5
