"""Training by every option of a recipe, against the textbook's loop, member by member."""

from itertools import combinations, product

import numpy as np
import pytest
import torch
from textbook_loop import difference, greatest_difference, textbook, weight_difference
from torch import nn

from marginlens.networks import MLP, cross_entropy_
from marginlens.tasks import task
from marginlens.training import Recipe, initial_network, train

NETWORKS = {
    "C5": {"task": "C5"},
    "C5 tied": {"task": "C5", "tied": True},
    "S3": {"task": "S3"},
    "S3 tied": {"task": "S3", "tied": True},
    "parity": {"task": "parity(5,2)"},
    "three": {"task": "compose(C5,3)", "width": 9},
    "three tied": {"task": "compose(C5,3)", "tied": True, "width": 9},
}
OPTIMIZERS = {
    "sgd": {"optimizer": "sgd", "learning_rate": 0.05},
    "momentum": {"optimizer": "sgd", "learning_rate": 0.005, "momentum": 0.8},
    "adam": {"optimizer": "adam", "learning_rate": 0.003, "betas": (0.9, 0.98)},
    # rate times decay is a power of two, so that float32 holds 1 minus it
    "adamw": {"optimizer": "adamw", "learning_rate": 2**-8, "weight_decay": 2**-2},
    "muon": {"optimizer": "muon", "learning_rate": 2**-9, "weight_decay": 2**-1},
}
WAYS = {
    "as it comes": {},
    "a share": {"train_fraction": 0.6},
    "batches": {"batch": 8},
    "batches of a share": {"batch": 5, "train_fraction": 0.7, "split_seed": 3},
    "corrupted": {"corrupt": 0.2, "split_seed": 2},
    "warm-up": {"warmup": 30, "schedule": "decay"},
    "cosine": {"warmup": 11, "schedule": "cosine"},
    "annealed": {"strength": 1e-2, "anneal_to": 1e-4},
    "normalized": {"step_size": "normalized"},
    "by the loss": {"step_size": "loss"},
    "all at once": {
        "train_fraction": 0.8,
        "batch": 6,
        "corrupt": 0.1,
        "warmup": 20,
        "schedule": "decay",
        "anneal_to": 1e-5,
        "step_size": "loss",
        "init_scale": 0.25,
    },
}
ACTIVATIONS = ("x^2", "relu", "x^3")
PENALTIES = ("homogeneous", "l2")


def case(number: int) -> tuple[str, ...]:
    """Choice ``number`` of all five. Their counts 7, 5, 11, 3 and 2 have no common factor, so that
    two of them meet in all ways within as many numbers in a row as the product of their counts.
    """
    options = (NETWORKS, OPTIMIZERS, WAYS, ACTIVATIONS, PENALTIES)
    return tuple(list(some)[number % len(some)] for some in options)


# In 35 each network meets each optimizer and each activation; 11 are every way of training
QUICK = {"float64": 35, "float32": 11}
CASES = [
    pytest.param(
        case(i),
        dtype,
        ("never", "always")[i % 2],  # steps of PyTorch's operators, or compiled ones
        marks=[pytest.mark.slow] if i >= QUICK[dtype] else [],
        id="-".join((*case(i), dtype)),
    )
    for dtype in QUICK
    for i in range(77)
]


def test_the_cases_let_every_two_choices_meet():
    chosen = [case(i) for i in range(77)]
    options = (NETWORKS, OPTIMIZERS, WAYS, ACTIVATIONS, PENALTIES)
    for one, other in combinations(range(5), 2):
        met = {(c[one], c[other]) for c in chosen}
        assert met == set(product(options[one], options[other]))
    for other in (1, 3, 4):
        met = {(c[0], c[other]) for c in chosen[: QUICK["float64"]]}
        assert met == set(product(NETWORKS, options[other]))


def recipe_of(choice: tuple[str, ...], **changes) -> Recipe:
    network, optimizer, way, activation, penalty = choice
    return Recipe(
        **{
            "width": 12,
            "members": 2,
            "init_scale": 0.4,
            "strength": 1e-3,
            "schedule": "constant",
            "steps": 60,
            "record_every": 12,
            "snapshots": 0,
            "compile": "never",
            "seed": 3,
            "activation": activation,
            "penalty": penalty,
            **NETWORKS[network],
            **OPTIMIZERS[optimizer],
            **WAYS[way],
            **changes,
        }
    )


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(("choice", "dtype", "compiled"), CASES)
def test_training_is_the_textbook_s(choice, dtype, compiled):
    """In float64 to 1e-10, in float32 to 1e-5, through 60 steps; and so are the last weights."""
    expected = textbook(recipe_of(choice, dtype="float64"), member=1)
    recipe = recipe_of(choice, dtype=dtype, compile=compiled)
    training = train(task(recipe.task), recipe)
    tolerance = {"float64": 1e-10, "float32": 1e-5}[dtype]
    recorded = training.steps.tolist()
    assert recorded[-1] == 60
    losses = [expected.losses[step] for step in recorded]
    assert abs(losses[-1] / losses[0] - 1) > 1e-2  # it has learned
    assert greatest_difference(losses, training, member=1) < tolerance
    if dtype == "float64":
        assert weight_difference(expected.tensors, training, member=1) < 1e-9
    if recipe.train_fraction < 1:
        held = [expected.held_out[step] for step in recorded]
        assert difference(held, training.history["test_cross_entropy"][:, 1]) < tolerance


@pytest.mark.slow
@pytest.mark.parametrize("choice", [case(i) for i in range(77)], ids="-".join)
def test_the_textbook_s_own_loop_is_stable_where_it_is_compared_with(choice):
    """Its losses move by less than they are asked to agree when its start moves in the twelfth digit,
    and when it computes in float32: else to agree would be luck.
    """
    recipe = recipe_of(choice, dtype="float64")
    losses = textbook(recipe, member=1).losses
    assert difference(losses, textbook(recipe, member=1, moved=1e-12).losses) < 2e-11
    single = recipe_of(choice, dtype="float32")
    assert difference(losses, textbook(single, member=1).losses) < 1e-5


CHANGES = [
    {"strength": 1.001e-3},
    {"penalty": "l2"},
    {"activation": "relu"},
    {"tied": True},
    {"batch": 9},
    {"batch": 8, "split_seed": 1},
    {"train_fraction": 0.96},
    {"corrupt": 0.05},
    {"learning_rate": 0.00301},
    {"optimizer": "adamw", "weight_decay": 1e-4},
    {"betas": (0.9, 0.981)},
    {"warmup": 2},
    {"schedule": "cosine"},
    {"anneal_to": 9e-4},
    {"step_size": "loss", "batch": 8},
    {"seed": 4},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_the_comparison_notices_another_recipe(change):
    plain = recipe_of(
        ("C5", "adam", "as it comes", "x^2", "homogeneous"), dtype="float64", steps=36
    )
    base = Recipe(**{**plain.model_dump(), "batch": 8 if "batch" in change else None})
    other = Recipe(**{**base.model_dump(), **change})
    training = train(task("C5"), base)
    losses = np.array(textbook(base, member=1).losses)[training.steps]
    assert greatest_difference(list(losses), training, member=1) < 1e-10
    losses = np.array(textbook(other, member=1).losses)[training.steps]
    assert greatest_difference(list(losses), training, member=1) > 1e-6


def test_the_comparisons_notice_one_wrong_number():
    recipe = recipe_of(("C5", "adam", "as it comes", "x^2", "l2"), dtype="float64", steps=40)
    expected, training = textbook(recipe, member=1), train(task("C5"), recipe)
    losses = [expected.losses[step] for step in training.steps]
    for place in (0, 1, 2):
        training.history["loss"][place, 1] *= 1 + 1e-9
        assert greatest_difference(losses, training, member=1) > 1e-10
        training.history["loss"][place, 1] = np.nan
        assert not greatest_difference(losses, training, member=1) < 1e-10
        training.history["loss"][place, 1] = losses[place]
    assert greatest_difference(losses, training, member=1) < 1e-10
    assert greatest_difference(losses, training, member=0) > 1e-3
    for name in ("u", "v", "w"):
        weight = training.network.tensors[name][1]
        weight[-1, -1] += 1e-8
        assert weight_difference(expected.tensors, training, member=1) > 1e-9
        weight[-1, -1] = torch.nan
        assert not weight_difference(expected.tensors, training, member=1) < 1e-9
        weight[-1, -1] = expected.tensors[name][-1, -1]
    assert weight_difference(expected.tensors, training, member=1) < 1e-9


@pytest.mark.parametrize("name", ["C5", "S3", "compose(C3,3)"])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_a_tied_network_is_the_untied_one_with_equal_slots(name, penalty):
    """Its loss is that network's, with the shared weights in the norm once a slot; its shared
    gradient is the sum of the slots' equal ones, so that SGD moves them k times as fast.
    """
    of = task(name)
    recipe = Recipe(
        task=name,
        tied=True,
        width=8,
        penalty=penalty,
        strength=1e-2,
        optimizer="sgd",
        learning_rate=0.01,
        schedule="constant",
        dtype="float64",
        steps=1,
        snapshots=0,
        compile="never",
    )
    start = initial_network(of, recipe)
    tied = train(of, recipe)
    apart = train(of, Recipe(**{**recipe.model_dump(), "tied": False}), start=start.untied())
    for column in ("loss", "cross_entropy", "accuracy", "margin", "norm"):
        np.testing.assert_allclose(tied.history[column][0], apart.history[column][0], rtol=1e-13)
    moves = [apart.network.tensors[slot] - start.tensors["u"] for slot in of.slots]
    together = tied.network.tensors["u"] - start.tensors["u"]
    torch.testing.assert_close(together, sum(moves), rtol=1e-11, atol=1e-15)
    torch.testing.assert_close(tied.network.tensors["w"], apart.network.tensors["w"])
    omega = torch.cat([start.tensors["u"][0]] * of.factors + [start.tensors["w"][0]])
    assert tied.history["norm"][0] == pytest.approx(
        float((omega.norm(dim=0) ** 3).sum()), rel=1e-13
    )


def test_at_a_loss_of_1e_7_float32_keeps_the_loss_and_every_gradient():
    """Where log-softmax in float32 has lost the loss and half the gradients of the right class."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(4, 7, 500, generator=generator)
    answers = torch.randint(7, (4, 1, 500), generator=generator)
    wrong = logits.scatter(1, answers, -torch.inf).logsumexp(1, keepdim=True)
    logits.scatter_(1, answers, wrong + 16.1)  # -log(1e-7) = 16.1

    gaps = (logits.double() - logits.double().gather(1, answers)).scatter(1, answers, -torch.inf)
    exact = torch.log1p(gaps.exp().sum(1, keepdim=True))
    assert exact.mean().item() == pytest.approx(1e-7, rel=0.05)
    gradient = logits.clone()
    losses, _ = cross_entropy_(gradient, answers, 1.0)
    assert losses.double().mean().item() == pytest.approx(exact.mean().item(), rel=1e-6)
    # a difference of 16 is rounded to a half of 2^-19
    assert float((losses.double() / exact - 1).abs().max()) < 2**-19
    right = gradient.gather(1, answers)
    assert (right < 0).all()
    assert float((right.double() / -(1 - (-exact).exp()) - 1).abs().max()) < 2**-19

    leaf = logits.clone().requires_grad_()
    usual = nn.functional.cross_entropy(leaf, answers[:, 0], reduction="none")
    usual.sum().backward()
    assert abs(usual.double().mean().item() / exact.mean().item() - 1) > 0.05
    assert (leaf.grad.gather(1, answers) == 0).float().mean() > 0.2


def test_a_trained_network_s_tiny_loss_in_float32_is_the_float64_loss_of_its_logits():
    """From initial weights to a loss of 1e-7 and below; evaluated again in float64 as by definition."""
    of = task("C5")
    recipe = Recipe(
        task="C5",
        width=16,
        strength=0.0,
        learning_rate=0.1,
        steps=400,
        betas=(0.9, 0.9),
        schedule="constant",
        snapshots=0,
        record_every=200,
        compile="never",
    )
    training = train(of, recipe)
    loss = training.history["cross_entropy"][-1, 0]
    assert loss < 1e-7
    double = training.network.copy().to(torch.float64)
    logits = MLP(double.tensors, double.activation).logits(of)[0]
    right = logits.gather(1, torch.tensor(of.answers)[:, None])
    gaps = (logits - right).scatter(1, torch.tensor(of.answers)[:, None], -torch.inf)
    exact = torch.log1p(gaps.exp().sum(1)).mean().item()
    # the logits themselves are sums of 16 neurons, of this size, each rounded a few times
    assert loss == pytest.approx(exact, rel=4 * 2**-23 * float(logits.abs().max()))
