"""Optimizers of an ensemble, against PyTorch's and the published Muon on each member alone."""

import copy

import pytest
import torch
from textbook_loop import TextbookMuon, TextbookNeuronwiseAdam, newton_schulz

from marginlens.kernels.passes import compiled_passes
from marginlens.tasks import task
from marginlens.training import Recipe, initial_network, recipe_for, train
from marginlens.training.optimizers import Stepper, muon_, orthogonalize

SHAPES = {"u": (3, 5, 6), "v": (3, 9, 6), "w": (3, 6, 6)}  # member, row, column
RECIPES = {
    "sgd": {"optimizer": "sgd"},
    "momentum": {"optimizer": "sgd", "momentum": 0.7},
    "adam": {"optimizer": "adam", "betas": (0.8, 0.95)},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.4},
    "muon": {"optimizer": "muon"},
    "muon with decay": {"optimizer": "muon", "weight_decay": 0.4, "momentum": 0.5},
    "neuronwise": {"optimizer": "neuronwise-adam", "betas": (0.8, 0.7)},
}


def recipe_of(name: str) -> Recipe:
    return Recipe(task="C5", learning_rate=0.1, **RECIPES[name])


def drawn(seed: int, dtype=torch.float64) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
        for name, shape in SHAPES.items()
    }


def rate_of(step: int) -> float:
    return 0.1 / (1 + step)


def go(stepper: Stepper, gradients: dict[str, torch.Tensor], steps: range) -> None:
    for step in steps:
        for name, value in drawn(100 + step).items():
            gradients[name].copy_(value)
        stepper.step(rate_of(step))


def alone(name: str, member: int, steps: int, kind=None) -> dict[str, torch.Tensor]:
    """One member's matrices by PyTorch's optimizer, or the published Muon."""
    recipe = recipe_of(name)
    p = {n: value[member].clone() for n, value in drawn(0).items()}
    options = dict(RECIPES[name])
    which = options.pop("optimizer")
    default = {
        "sgd": torch.optim.SGD,
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "neuronwise-adam": TextbookNeuronwiseAdam,
    }
    if which == "muon":
        options = {"momentum": recipe.momentum or 0.95, "weight_decay": recipe.weight_decay}
    made = (kind or default.get(which, TextbookMuon))(list(p.values()), lr=0.1, **options)
    for step in range(steps):
        made.param_groups[0]["lr"] = rate_of(step)
        for n, value in drawn(100 + step).items():
            p[n].grad = value[member].clone()
        made.step()
    return p


def assert_members(parameters: dict, name: str, steps: int, tolerance: float, kind=None) -> None:
    for member in range(3):
        for n, expected in alone(name, member, steps, kind).items():
            error = (parameters[n][member] - expected).abs().max() / expected.abs().max()
            assert float(error) < tolerance


@pytest.mark.parametrize("name", RECIPES)
def test_each_member_moves_as_it_would_alone(name):
    parameters, gradients = drawn(0), drawn(1)
    go(Stepper(recipe_of(name), parameters, gradients), gradients, range(8))
    assert_members(parameters, name, 8, 1e-13)
    parameters["v"][2, 8, 3] += 1e-11
    with pytest.raises(AssertionError):  # the comparison can fail
        assert_members(parameters, name, 8, 1e-13)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="PyTorch has Muon from 2.9 on")
@pytest.mark.parametrize("name", ["muon", "muon with decay"])
def test_muon_is_pytorch_s_but_for_its_rounding_to_bfloat16(name):
    parameters, gradients = drawn(0), drawn(1)
    go(Stepper(recipe_of(name), parameters, gradients), gradients, range(8))
    # bfloat16 has eight bits; five steps multiply its errors, and the moves are a part of the weights
    assert_members(parameters, name, 8, 0.01, torch.optim.Muon)
    for member in range(3):  # which is much nearer than they have moved
        moved = (parameters["u"][member] - drawn(0)["u"][member]).abs().max()
        assert float(moved) > 0.05


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("at", [0, 1, 5])
def test_it_goes_on_from_its_state_bit_by_bit(name, at):
    whole, gradients = drawn(0), drawn(1)
    go(Stepper(recipe_of(name), whole, gradients), gradients, range(9))
    parameters, gradients = drawn(0), drawn(1)
    first = Stepper(recipe_of(name), parameters, gradients)
    go(first, gradients, range(at))
    state = {key: value.clone() for key, value in first.state().items()}
    kept = copy.deepcopy(state)
    parameters = {n: p.clone() for n, p in parameters.items()}
    gradients = {n: torch.full_like(g, torch.nan) for n, g in gradients.items()}
    go(Stepper(recipe_of(name), parameters, gradients, state), gradients, range(at, 9))
    for n, p in whole.items():
        assert torch.equal(parameters[n], p)
    for key, value in kept.items():
        assert torch.equal(state[key], value)  # which is left as it was


def test_without_its_state_it_would_go_elsewhere():
    for name in ("momentum", "adam", "muon", "neuronwise"):
        whole, gradients = drawn(0), drawn(1)
        go(Stepper(recipe_of(name), whole, gradients), gradients, range(9))
        parameters, gradients = drawn(0), drawn(1)
        go(Stepper(recipe_of(name), parameters, gradients), gradients, range(5))
        go(Stepper(recipe_of(name), parameters, gradients), gradients, range(5, 9))
        assert float((parameters["u"] - whole["u"]).abs().max()) > 1e-3


@pytest.mark.parametrize(
    ("name", "remembered"),
    [
        ("sgd", set()),
        ("momentum", {"momentum_buffer"}),
        ("adam", {"step", "exp_avg", "exp_avg_sq"}),
        ("adamw", {"step", "exp_avg", "exp_avg_sq"}),
        ("muon", {"momentum_buffer"}),
        ("neuronwise", {"exp_avg"}),
    ],
)
def test_what_it_remembers_has_names_and_the_shapes_of_the_parameters(name, remembered):
    parameters, gradients = drawn(0), drawn(1)
    stepper = Stepper(recipe_of(name), parameters, gradients)
    assert stepper.state() == {}
    go(stepper, gradients, range(3))
    state = stepper.state()
    if name == "neuronwise":  # one second moment a neuron, of all parameters together
        assert state.pop("neuron.exp_avg_sq").shape == (3, 6)
        assert state.pop("neuron.step") == 3
    assert state.keys() == {f"{n}.{quantity}" for n in SHAPES for quantity in remembered}
    for key, value in state.items():
        n, quantity = key.split(".")
        assert value.shape == (() if quantity == "step" else SHAPES[n])
        assert quantity != "step" or value == 3


@pytest.mark.parametrize("shape", [(4, 4), (3, 8), (8, 3), (2, 5, 7, 6), (1, 6), (6, 1)])
def test_orthogonalize_moves_singular_values_and_nothing_else(shape):
    """Against the singular value decomposition, on whose values the quintic acts one by one."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    u, s, v = torch.linalg.svd(x, full_matrices=False)
    s = s / s.square().sum(-1, keepdim=True).sqrt()
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    torch.testing.assert_close(orthogonalize(x), u * s[..., None, :] @ v, rtol=1e-9, atol=1e-11)
    assert float(s.min()) > 0
    assert float(s.max()) < 1.25


def test_orthogonalize_treats_each_matrix_alone_and_its_transpose_alike():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(4, 7, 5, generator=generator, dtype=torch.float64)
    together = orthogonalize(x)
    for one, expected in zip(x, together, strict=True):
        torch.testing.assert_close(newton_schulz(one), expected, rtol=1e-11, atol=1e-13)
        torch.testing.assert_close(orthogonalize(one), expected, rtol=1e-11, atol=1e-13)
    torch.testing.assert_close(orthogonalize(x.mT), together.mT, rtol=1e-11, atol=1e-13)
    torch.testing.assert_close(orthogonalize(1e-3 * x), together, rtol=1e-11, atol=1e-13)


def test_orthogonalize_leaves_zero_where_it_is():
    assert (orthogonalize(torch.zeros(2, 3, 4)) == 0).all()
    assert orthogonalize(torch.zeros(2, 3, 4)).dtype == torch.float32


def test_muon_scales_its_rate_by_the_shape_of_a_single_matrix():
    """A step from nothing: rate times the update, times sqrt(rows / columns) where rows are more."""
    for rows, columns, scale in ((5, 20, 1.0), (20, 5, 2.0), (6, 6, 1.0)):
        generator = torch.Generator().manual_seed(2)
        p = torch.zeros(3, rows, columns, dtype=torch.float64)
        p.grad = torch.randn(p.shape, generator=generator, dtype=torch.float64)
        muon_([p], [p.grad], [torch.zeros_like(p)], rate=0.1)
        torch.testing.assert_close(p, -0.1 * scale * orthogonalize(p.grad))


# Neuron-wise


NEURONWISE = {"task": "C5", "optimizer": "neuronwise-adam", "betas": (0.8, 0.7)}


def neuronwise(dtype: torch.dtype, *, compiled: bool) -> dict[str, torch.Tensor]:
    """Parameters after some steps with drawn gradients, in which neuron 1 of member 0 has none."""
    parameters, gradients = drawn(0, dtype), drawn(1, dtype)
    stepper = Stepper(Recipe(**NEURONWISE), parameters, gradients, None, {"u": 2})
    with compiled_passes(compiled):
        for step in range(12):
            for n, value in drawn(100 + step, dtype).items():
                gradients[n].copy_(value)
                gradients[n][0, :, 1] = 0
            stepper.step(rate_of(step))
    return parameters


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-13), (torch.float32, 2e-6)])
def test_compiled_neuronwise_steps_are_the_operators(dtype, close):
    ours = neuronwise(dtype, compiled=True)
    for n, expected in neuronwise(dtype, compiled=False).items():
        torch.testing.assert_close(ours[n], expected, rtol=close, atol=close)
        assert torch.equal(ours[n][0, :, 1], drawn(0, dtype)[n][0, :, 1])  # no gradient: it stays
        assert not torch.isclose(ours[n][1], drawn(0, dtype)[n][1]).any()


def test_a_first_neuronwise_step_is_the_rate_times_the_norm_however_small_the_gradient():
    for scale in (1.0, 1e-25):
        p = {"u": torch.randn(1, 4, 3), "w": torch.randn(1, 5, 3)}
        g = {n: scale * torch.randn(x.shape) for n, x in p.items()}
        before = {n: x.clone() for n, x in p.items()}
        Stepper(Recipe(**NEURONWISE), p, g).step(0.01)
        moved = torch.cat([p[n] - before[n] for n in p], dim=1)
        expected = 0.01 * torch.cat(list(before.values()), dim=1).norm(dim=1)
        torch.testing.assert_close(moved.norm(dim=1), expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("compiled", [False, True])
def test_tied_embeddings_move_as_equal_ones_would(compiled):
    """On a task that takes its inputs in either order, from u = v."""
    recipe = Recipe(
        **NEURONWISE,
        width=7,
        steps=30,
        strength=1e-3,
        dtype="float64",
        tied=True,
        compile="always" if compiled else "never",
    )
    tied = train(task("C5"), recipe)
    start = initial_network(task("C5"), recipe).untied()
    apart = train(task("C5"), recipe.model_copy(update={"tied": False}), start=start)
    for slot in ("u", "v", "w"):
        ours = tied.network.untied().tensors[slot]
        torch.testing.assert_close(ours, apart.network.tensors[slot], rtol=1e-9, atol=1e-11)
        assert (ours - start.tensors[slot]).abs().max() > 0.05


def test_neuronwise_steps_are_refused_where_weights_are_not_of_neurons():
    for network in ("transformer", "factored"):
        with pytest.raises(ValueError, match=f"^neuronwise-adam steps by neurons.*{network}"):
            recipe_for(task("C5"), network=network, optimizer="neuronwise-adam")
    with pytest.raises(ValueError, match="weight_decay belongs to adamw and muon"):
        recipe_for(task("C5"), optimizer="neuronwise-adam", weight_decay=0.1)
    with pytest.raises(ValueError, match="momentum belongs to sgd and muon"):
        recipe_for(task("C5"), optimizer="neuronwise-adam", momentum=0.1)
    recipe = recipe_for(task("C5"), optimizer="neuronwise-adam")
    assert (recipe.learning_rate, recipe.betas) == (0.03, (0.97, 0.95))
    assert recipe_for(task("C5"), optimizer="neuronwise-adam", betas=(0.5, 0.6)).betas == (0.5, 0.6)
