"""Compiled steps, against the eager loop, autograd and the optimizers of PyTorch."""

import dataclasses

import numpy as np
import pytest
import torch

from marginlens.kernels import build as building
from marginlens.kernels.ensemble_steps import EnsembleSteps, compiler, worth_compiling
from marginlens.networks import MLP, evaluate, neuron_norms
from marginlens.tasks import task
from marginlens.theory import Penalty, parse_activation
from marginlens.training import Recipe, initial_network, train

needs_compiler = pytest.mark.skipif(compiler() is None, reason="no C++ compiler")


def begin(recipe: Recipe, rows=None, **state) -> EnsembleSteps:
    network = initial_network(task(recipe.task), recipe)
    return EnsembleSteps(
        task(recipe.task),
        network.activation,
        Penalty(recipe.penalty, recipe.strength),
        recipe.optimizer,
        network.tensors,
        state,
        rows,
        betas=recipe.betas,
    )


def go(steps: EnsembleSteps, recipe: Recipe, count: int):
    return steps.advance([recipe.learning_rate] * count, [recipe.strength] * count)


def recipe_of(name="C5", activation="x^2", penalty="homogeneous", optimizer="adam", **changes):
    return Recipe(
        **{
            "task": name,
            "activation": activation,
            "penalty": penalty,
            "optimizer": optimizer,
            "width": 8,
            "members": 10,
            "strength": 1e-4,
            "learning_rate": {"sgd": 0.1}.get(optimizer, 0.01),
            "schedule": "constant",
            "steps": 1000,
            "record_every": 500,
            "dtype": "float64",
            "init_scale": 0.3,
        }
        | changes
    )


def one_bit_apart(recipe: Recipe) -> MLP:
    """The start of a training with every weight moved by one unit in its last place."""
    start = initial_network(task(recipe.task), recipe)
    rng = np.random.default_rng(0)
    moved = {
        name: torch.tensor(np.nextafter(p.numpy(), rng.choice([-np.inf, np.inf], p.shape)))
        for name, p in start.tensors.items()
    }
    return MLP(moved, start.activation)


def differences(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> torch.Tensor:
    """Greatest difference of a weight in each member."""
    return torch.stack([(one[n] - other[n]).abs().amax((1, 2)) for n in one]).amax(0)


def difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    return float(differences(one, other).max())


QUICK = [
    ("C5", "x^2", "homogeneous", "adam"),
    ("S3", "relu", "l2", "adam"),
    ("S3", "x^2", "homogeneous", "neuronwise-adam"),
    ("S3", "x^3", "homogeneous", "sgd"),
    ("parity(4,2)", "x^2", "l2", "sgd"),
    ("compose(C3,3)", "abs", "homogeneous", "sgd"),
]
ALL = [
    (name, activation, penalty, optimizer)
    for name in ("C5", "S3")
    for activation in ("x^2", "relu", "x^3")
    for penalty in ("homogeneous", "l2")
    for optimizer in ("adam", "sgd")
] + [
    ("C7", "relu^2", "homogeneous", "adam"),
    ("C7", "|x|^1.5", "homogeneous", "sgd"),
    ("C7", "leaky_relu(0.1)", "l2", "adam"),
    ("C5", "x^1", "homogeneous", "adam"),
    ("C11", "x^2", "homogeneous", "adam"),
]


@pytest.mark.system
@needs_compiler
@pytest.mark.parametrize(
    "case", [*QUICK, *(pytest.param(c, marks=pytest.mark.slow) for c in ALL if c not in QUICK)]
)
def test_hundreds_of_steps_end_where_the_eager_loop_ends(case):
    """A neuron that dies, or a kink met exactly, makes of one bit in the start any difference at the
    end: Adam divides a gradient that is all rounding by its own size. So members count in which
    the eager loop itself, started one bit apart, ends in the same place.
    """
    recipe = recipe_of(*case, steps=400)
    expected = train(task(recipe.task), recipe)
    apart = train(task(recipe.task), recipe, start=one_bit_apart(recipe))
    steps = begin(recipe)
    go(steps, recipe, 150)
    metrics = go(steps, recipe, 250)
    counts = differences(apart.network.tensors, expected.network.tensors) < 1e-11
    assert counts.sum() >= 7
    ours = differences(steps.unload()[0], expected.network.tensors)
    assert float(ours[counts].max()) < 1e-9
    assert expected.history["loss"][-1].mean() < 0.999 * expected.history["loss"][0].mean()
    loss = metrics.cross_entropy + recipe.strength * metrics.penalty
    history = {name: values[-1][counts.numpy()] for name, values in expected.history.items()}
    assert loss[counts].numpy() == pytest.approx(history["loss"], rel=1e-9)
    for column in ("cross_entropy", "accuracy", "margin", "norm"):
        mine = getattr(metrics, column)[counts].numpy()
        assert mine == pytest.approx(history[column], rel=1e-8)


class Plain:
    """One step as anyone would write it: one-hot rows, autograd, PyTorch's optimizer; one member."""

    def __init__(self, recipe: Recipe, member: int, rows=None) -> None:
        self.task, self.recipe = task(recipe.task), recipe
        chosen = np.arange(len(self.task.answers)) if rows is None else np.asarray(rows)
        start = initial_network(self.task, recipe).tensors
        self.weights = {n: p[member].clone().requires_grad_() for n, p in start.items()}
        eye = torch.eye(self.task.size, dtype=torch.float64)
        self.one_hot = [eye[torch.tensor(self.task.inputs[chosen, s])] for s in (0, 1)]
        self.answers = torch.tensor(self.task.answers[chosen])
        kind = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[recipe.optimizer]
        self.optimizer = kind(self.weights.values(), lr=recipe.learning_rate)

    def loss(self) -> torch.Tensor:
        u, v, w = (self.weights[name] for name in ("u", "v", "w"))
        hidden = (self.one_hot[0] @ u + self.one_hot[1] @ v).square()
        norms = torch.cat([u, v, w]).norm(dim=0)
        penalty = norms.pow(3 if self.recipe.penalty == "homogeneous" else 2).sum()
        entropy = torch.nn.functional.cross_entropy(hidden @ w.T, self.answers)
        return entropy + self.recipe.strength * penalty

    def step(self, rate: float) -> None:
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.zero_grad()
        self.loss().backward()
        self.optimizer.step()


@needs_compiler
def test_rates_change_and_rows_are_chosen_as_in_a_plain_loop():
    recipe = recipe_of("S3", members=3)
    rows = np.random.default_rng(0).permutation(36)[:20]
    rates = np.linspace(0.02, 0.001, 60).tolist()
    steps = begin(recipe, rows)
    metrics = steps.advance(rates, [recipe.strength] * 60)
    parameters, _ = steps.unload()
    for member in range(3):
        plain = Plain(recipe, member, rows)
        for rate in rates:
            plain.step(rate)
        for name, weight in plain.weights.items():
            assert float((weight.detach() - parameters[name][member]).abs().max()) < 1e-11
        loss = metrics.cross_entropy[member] + recipe.strength * metrics.penalty[member]
        assert float(loss) == pytest.approx(plain.loss().item(), rel=1e-12)
    constant = begin(recipe, rows)
    go(constant, recipe, 60)
    assert difference(constant.unload()[0], parameters) > 1e-3


@needs_compiler
def test_an_sgd_step_is_the_gradient_by_finite_differences():
    recipe = recipe_of("C5", optimizer="sgd", members=2, width=8)
    before = begin(recipe)
    start, _ = before.unload()
    before.advance([1.0], [recipe.strength])
    after, _ = before.unload()
    h = 1e-5
    rng = np.random.default_rng(1)
    for name in ("u", "v", "w"):
        for _ in range(5):
            index = tuple(int(rng.integers(k)) for k in start[name].shape)
            losses = []
            for sign in (1, -1):
                moved = {n: p.clone() for n, p in start.items()}
                moved[name][index] += sign * h
                network = MLP(moved, parse_activation("x^2"))
                entropy = evaluate(network, task("C5")).cross_entropy
                losses.append(entropy + recipe.strength * neuron_norms(moved).pow(3).sum(1))
            slope = float((losses[0] - losses[1])[index[0]]) / (2 * h)
            assert float((start[name] - after[name])[index]) == pytest.approx(slope, abs=1e-9)


@needs_compiler
def test_a_member_does_not_depend_on_its_ensemble_nor_on_threads():
    many, few = recipe_of(members=37), recipe_of(members=2)
    together, alone = begin(many), begin(few)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        all_metrics = go(together, many, 1000)
        torch.set_num_threads(1)
        two_metrics = go(alone, few, 1000)
    finally:
        torch.set_num_threads(threads)
    big, small = together.unload()[0], alone.unload()[0]
    assert difference({n: p[:2] for n, p in big.items()}, small) < 1e-9
    assert difference({n: p[1:3] for n, p in big.items()}, small) > 1e-3
    for field in dataclasses.fields(all_metrics):
        one, two = getattr(all_metrics, field.name), getattr(two_metrics, field.name)
        assert one.shape == (37,)
        assert one[:2].numpy() == pytest.approx(two.numpy(), rel=1e-9)


@needs_compiler
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_what_is_unloaded_goes_on_where_it_stopped_also_in_pytorch(optimizer):
    recipe = recipe_of(optimizer=optimizer)
    whole, first = begin(recipe), begin(recipe)
    go(whole, recipe, 50)
    go(first, recipe, 30)
    parameters, state = first.unload()
    network = MLP(parameters, parse_activation("x^2"))
    penalty = Penalty(recipe.penalty, recipe.strength)
    second = EnsembleSteps(task("C5"), network.activation, penalty, optimizer, parameters, state)
    go(second, recipe, 20)
    assert difference(second.unload()[0], whole.unload()[0]) == 0
    plain = Plain(recipe, 4)
    for name, weight in plain.weights.items():
        weight.data.copy_(parameters[name][4])
        if optimizer == "adam":
            moments = {k: x if k == "step" else x[4] for k, x in state[name].items()}
            plain.optimizer.state[weight] = moments
    for _ in range(20):
        plain.step(recipe.learning_rate)
    ours = whole.unload()[0]
    assert (
        max(float((w.detach() - ours[n][4]).abs().max()) for n, w in plain.weights.items()) < 1e-11
    )


@needs_compiler
def test_no_step_gives_the_metrics_of_the_start_and_changes_nothing():
    recipe = recipe_of("S3", dtype="float32", members=5, init_scale=0.5)
    network = initial_network(task("S3"), recipe)
    steps = begin(recipe)
    metrics, expected = steps.advance([], []), evaluate(network, task("S3"))
    assert difference(steps.unload()[0], network.tensors) == 0
    for name in ("cross_entropy", "accuracy", "margin"):
        given = getattr(metrics, name).numpy()
        assert given == pytest.approx(getattr(expected, name).numpy(), rel=1e-5)
    assert metrics.norm.numpy() == pytest.approx(network.norm().numpy(), rel=1e-5)


@needs_compiler
def test_float32_keeps_its_accuracy_at_large_margins():
    recipe = recipe_of("C5", members=1, width=20, init_scale=None, strength=0.0, steps=4000)
    steps = begin(recipe)
    go(steps, recipe, 400)
    parameters, _ = steps.unload()
    parameters = {name: p * 2.0 for name, p in parameters.items()}
    square, single = parse_activation("x^2"), {n: p.float() for n, p in parameters.items()}
    exact = {n: p.double() for n, p in single.items()}
    entropies = []
    for of in (exact, single):
        kernel = EnsembleSteps(task("C5"), square, Penalty(strength=0.0), "adam", of, {})
        entropies.append(float(kernel.advance([], []).cross_entropy[0]))
    assert 0 < entropies[0] < 1e-6
    assert entropies[1] == pytest.approx(entropies[0], rel=1e-4)
    logits = MLP(single, square).logits(task("C5"))[0]
    usual = torch.nn.functional.cross_entropy(logits, torch.tensor(task("C5").answers))
    assert abs(float(usual) / entropies[0] - 1) > 1e-2


@needs_compiler
@pytest.mark.parametrize("weight", [float("nan"), float("inf"), 1e200])
def test_what_diverged_is_not_finite(weight):
    parameters = initial_network(task("C5"), recipe_of()).tensors
    parameters["u"][3, 0, 0] = weight
    steps = EnsembleSteps(task("C5"), parse_activation("x^2"), Penalty(), "adam", parameters, {})
    metrics = steps.advance([0.01] * 3, [1e-3] * 3)
    assert not torch.isfinite(metrics.cross_entropy + metrics.penalty)[3]
    assert torch.isfinite(metrics.cross_entropy)[[0, 1, 2, 4, 5, 6, 7, 8, 9]].all()


def given(**changes):
    recipe = recipe_of()
    network = initial_network(task("C5"), recipe)
    return {
        "task": task("C5"),
        "activation": network.activation,
        "penalty": Penalty(),
        "optimizer": "adam",
        "parameters": network.tensors,
        "state": {},
    } | changes


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"task": task("S3")}, "S3 needs"),
        ({"parameters": {}}, "C5 needs"),
        ({"optimizer": "adamw"}, "'neuronwise-adam', 'sgd'"),
        ({"rows": [0, 25]}, "from 0 to 24"),
        ({"rows": []}, "at least one"),
    ],
)
def test_what_does_not_belong_together_is_refused(changes, complaint):
    with pytest.raises(ValueError, match=complaint) as caught:
        EnsembleSteps(**given(**changes))
    assert "\n" not in str(caught.value)


def test_other_precisions_are_refused():
    half = {n: p.half() for n, p in given()["parameters"].items()}
    with pytest.raises(ValueError, match=r"got torch\.float16 on cpu"):
        EnsembleSteps(**given(parameters=half))


@needs_compiler
def test_rates_and_strengths_come_in_pairs():
    with pytest.raises(ValueError, match="one of each a step"):
        EnsembleSteps(**given()).advance([0.1, 0.1], [1e-3])


@needs_compiler
def test_a_library_is_compiled_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first, second = EnsembleSteps(**given()), EnsembleSteps(**given())
    assert first.compile_seconds > 0
    assert second.compile_seconds == 0
    assert len(list(tmp_path.rglob("*.so"))) == 1


def test_without_a_compiler_one_line_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert compiler() is None
    with pytest.raises(RuntimeError, match="install g"):
        EnsembleSteps(**given())


def test_a_compiler_that_fails_is_quoted(monkeypatch, tmp_path):
    fake = tmp_path / "cxx"
    fake.write_text("#!/bin/sh\necho 'x.cpp: error: no such flag' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("CXX", str(fake))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert compiler() == str(fake)
    with pytest.raises(RuntimeError, match=r"could not compile ensemble_steps\.cpp: x\.cpp: error"):
        EnsembleSteps(**given())


@needs_compiler
def test_a_cache_that_cannot_be_written_is_replaced_by_a_folder_of_this_process(
    monkeypatch, tmp_path
):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert building._folder() == building._folder()
    assert building._folder().is_dir()


@needs_compiler
@pytest.mark.parametrize(
    ("name", "members", "width", "steps", "worth"),
    [
        ("C5", 100, 8, 1_000, False),
        ("C5", 100, 8, 20_000, True),
        ("S3", 100, 8, 20_000, True),
        ("C23", 16, 128, 20_000, True),
        ("C71", 1, 500, 20_000, False),
        pytest.param("M11", 100, 8, 20_000, False, marks=pytest.mark.system),  # GAP
    ],
)
def test_long_runs_of_tiny_ensembles_are_worth_compiling(name, members, width, steps, worth):
    assert worth_compiling(task(name), members, width, steps) == worth
