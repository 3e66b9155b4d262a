"""Training of the margin itself: a plain loop, resuming, members, splits, and refusals."""

import numpy as np
import pytest
import torch
from textbook_loop import SIGMAS, one_hot, rate_at

from marginlens.tasks import task
from marginlens.theory import default_activation, predict
from marginlens.training import Recipe, initial_network, recipe_for, split, train
from marginlens.training.state import TrainingState

CASES = {
    "squares of S3": {"task": "S3"},
    "relu on D4": {"task": "D4", "activation": "relu"},
    "cubes, three factors": {"task": "compose(C3,3)", "activation": "x^3"},
    "parity": {"task": "parity(4,2)", "init_scale": 0.3},
    "tied": {"task": "C5", "tied": True},
    "a part of the rows": {"task": "C7", "train_fraction": 0.6},
    "wrong labels": {"task": "C7", "corrupt": 0.1},
    "another operation": {"task": "x/y mod 5", "activation": "|x|^1.5"},
}


def recipe_of(**fields) -> Recipe:
    usual = {
        "loss_function": "margin",
        "optimizer": "neuronwise-adam",
        "width": 9,
        "steps": 40,
        "dtype": "float64",
        "record_every": 1,
        "sharpness_end": 300.0,
        "compile": "never",
    }
    return Recipe(**(usual | fields))


def plain_loop(recipe: Recipe, member: int = 0) -> tuple[list[float], list[float], dict]:
    """Soft margins, sharpnesses and last weights: one logit after the other, by autograd."""
    of, data = task(recipe.task), split(task(recipe.task), recipe)
    inputs, answers = (of.inputs, of.answers)
    if data.train is not None:
        inputs, answers = data.train.inputs.numpy(), data.train.answers.numpy()
    x = one_hot(of, inputs)
    wrong = torch.ones(len(answers), of.classes, dtype=torch.bool)
    wrong[torch.arange(len(answers)), torch.as_tensor(answers)] = False
    sigma, degree = SIGMAS.get(recipe.activation, (None, 0))
    if sigma is None:
        degree = int(recipe.activation.removeprefix("x^"))
    nu = degree + 1
    weights = {n: p[member].clone() for n, p in initial_network(of, recipe).tensors.items()}
    names = ["u" if recipe.tied else slot for slot in of.slots]

    def omega(p):
        return torch.cat([*(p[name] for name in names), p["w"]])

    def to_sphere():
        scale = (omega(weights).norm(dim=0) ** nu).sum() ** (-1 / nu)
        for p in weights.values():
            p *= scale

    def at(beta):
        leaves = {n: p.clone().requires_grad_() for n, p in weights.items()}
        before = sum(one @ leaves[name] for one, name in zip(x, names, strict=True))
        after = before**degree if sigma is None else sigma(before)
        logits = after @ leaves["w"].T
        margins = (logits.gather(1, torch.as_tensor(answers)[:, None]) - logits)[wrong]
        mean = torch.softmax(-beta * margins.detach(), 0) @ margins
        soft = mean if beta == 0 else -torch.logsumexp(-beta * margins, 0) / beta
        mean.backward(retain_graph=True) if beta == 0 else soft.backward()
        # what neuron i earns: its part of the derivative along the network, over nu
        earned = sum((leaves[n].grad * p).sum(0) for n, p in weights.items()) / nu
        mass = omega(weights).norm(dim=0) ** nu
        size = max(((earned / mass) ** 2 * mass).sum().sqrt(), (margins**2).mean().sqrt())
        norm = (omega(leaves).norm(dim=0) ** nu).sum()
        pulls = torch.autograd.grad(float(mean.detach()) * norm, list(leaves.values()))
        gradient = {
            n: -leaf.grad + pull for (n, leaf), pull in zip(leaves.items(), pulls, strict=True)
        }
        return float(soft.detach()), gradient, float(size.detach())

    to_sphere()
    known = predict(of).margin if recipe.activation == default_activation(of).name else None
    unit = known or at(0.0)[2]
    beta1, beta2 = recipe.betas
    uses = {name: names.count(name) if name in names else 1 for name in weights}
    means = {n: torch.zeros_like(p) for n, p in weights.items()}
    square, values, betas = torch.zeros(recipe.width, dtype=torch.float64), [], []
    for step in range(recipe.steps + 1):
        part = max(0, step / recipe.steps - 0.4) / 0.6
        beta = recipe.sharpness_start ** (1 - part) * recipe.sharpness_end**part / unit
        value, gradient, size = at(beta)
        unit = known or max(size, 0.995 * unit)
        values.append(value)
        betas.append(beta)
        if step == recipe.steps:
            break
        size = sum(gradient[n].square().sum(0) / uses[n] for n in weights)
        square = beta2 * square + (1 - beta2) * size
        length = omega(weights).norm(dim=0)
        for n, p in weights.items():
            means[n] = beta1 * means[n] + (1 - beta1) * gradient[n] / uses[n]
            move = means[n] / (1 - beta1 ** (step + 1))
            move = move / (square / (1 - beta2 ** (step + 1))).sqrt()
            p -= rate_at(recipe, step) * length * move
        to_sphere()
    return values, betas, weights


@pytest.mark.parametrize("fields", CASES.values(), ids=CASES.keys())
def test_steps_are_those_of_a_plain_loop(fields):
    recipe = recipe_of(**fields, members=2, seed=5)
    values, betas, weights = plain_loop(recipe, 1)
    for compiled in ("never", "always"):
        training = train(task(recipe.task), recipe.model_copy(update={"compile": compiled}))
        np.testing.assert_allclose(-training.history["loss"][:, 1], values, rtol=1e-7, atol=1e-12)
        np.testing.assert_allclose(training.history["sharpness"][:, 1], betas, rtol=1e-7)
        np.testing.assert_allclose(training.history["norm"], 1, rtol=1e-12)
        for name, p in training.network.tensors.items():
            np.testing.assert_allclose(p[1], weights[name], rtol=0, atol=1e-7)


@pytest.mark.parametrize("compile", ["never", "always"])
@pytest.mark.parametrize("fields", [{"task": "S3"}, {"task": "C7", "train_fraction": 0.6}])
def test_a_training_goes_on_with_the_same_bits(fields, compile):
    recipe = recipe_of(**fields, members=3, dtype="float32", record_every=7, compile=compile)
    states = []
    whole = train(
        task(recipe.task),
        recipe,
        checkpoint=lambda s: states.append(s.to_tensors()),
        checkpoint_every=11,
    )
    like = initial_network(task(recipe.task), recipe)
    assert len(states) == 3
    for tensors in states:
        state = TrainingState.from_tensors(tensors, like)
        again = train(task(recipe.task), recipe, state=state)
        for name, p in whole.network.tensors.items():
            assert torch.equal(p, again.network.tensors[name])
        for name, values in whole.history.items():
            np.testing.assert_array_equal(again.history[name], values)


def test_members_that_reach_their_share_stop_alone():
    recipe = recipe_of(task="C5", width=24, members=4, steps=300, stop_share=0.97, record_every=5)
    best = predict(task("C5")).margin
    training = train(task("C5"), recipe, margin=best)
    assert set(training.ends) == {"share of the margin"}
    assert len(set(training.end_steps.tolist())) > 1
    assert (training.history["normalized_margin"][-1] >= 0.97 * best).all()
    for member in (0, 3):
        alone = train(
            task("C5"), Recipe(**{**recipe.model_dump(), "members": 1, "seed": member}), margin=best
        )
        assert alone.end_steps[0] == training.end_steps[member]
        for name, p in alone.network.tensors.items():
            np.testing.assert_allclose(p[0], training.network.tensors[name][member], atol=1e-9)


# small groups, one of each kind: abelian, real, quaternionic, complex; a Theorem and none
@pytest.mark.system
@pytest.mark.parametrize("spec", ["C4", "S3", "Q8", "A4", "C2xC2", "parity(5,3)", "compose(C3,3)"])
def test_the_exact_maximum_lies_between_both_bounds(spec):
    of = task(spec)
    best = predict(of).margin
    fields = {"steps": 300, "members": 2, "record_every": 20, "snapshots": 0, "compile": "never"}
    training = train(of, recipe_for(of, loss_function="margin", dtype="float64", **fields))
    history = training.history
    assert (history["normalized_margin"] <= best * (1 + 1e-9)).all()
    assert (history["upper_bound"] >= best * (1 - 1e-9)).all()
    assert (np.diff(history["upper_bound"], axis=0) <= 0).all()
    assert history["normalized_margin"][-1].min() > 0.9 * best
    assert history["upper_bound"][-1].max() < 1.1 * best


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"strength": 1e-4}, "leave --strength, --penalty and --anneal-to out"),
        ({"penalty": "l2"}, "leave --strength, --penalty and --anneal-to out"),
        ({"biases": True}, "got an MLP with biases"),
        ({"network": "transformer"}, "got a transformer network"),
        ({"network": "factored"}, "got a factored network"),
        ({"optimizer": "adamw", "weight_decay": 1.0}, "leave --weight-decay out"),
        ({"batch": 5}, "leave --batch and --online out"),
        ({"step_size": "loss"}, "leave --step-size out"),
        ({"sharpness_start": 100.0, "sharpness_end": 10.0}, "sharpness_end must be at least"),
        ({"loss_function": "cross_entropy", "sharpness_end": 5.0}, "add --loss margin"),
    ],
)
def test_what_does_not_belong_together_is_refused_in_one_line(fields, words):
    with pytest.raises(ValueError, match=words) as refused:
        recipe_for(task("C5"), **({"loss_function": "margin"} | fields))
    assert "\n" not in str(refused.value)
