"""Patience: members stop after enough steps in a row that change hardly anything."""

import pytest
import torch

from marginlens.kernels.build import compiler
from marginlens.tasks import task
from marginlens.theory import parse_activation
from marginlens.training import Recipe, TrainingState, initial_network, train
from marginlens.training.recipe import checked_recipe

needs_compiler = pytest.mark.skipif(compiler() is None, reason="no C++ compiler")
WAYS = ["never", pytest.param("always", marks=needs_compiler)]


def recipe_of(**changes) -> Recipe:
    return Recipe(
        **{
            "task": "C5",
            "activation": "x^2",
            "penalty": "l2",
            "strength": 2e-2,
            "width": 6,
            "members": 4,
            "learning_rate": 0.05,
            "schedule": "constant",
            "dtype": "float64",
            "steps": 400,
            "record_every": 400,
            "snapshots": 0,
            "tolerance": 1e-3,
            "patience": 40,
            "compile": "never",
        }
        | changes
    )


def textbook(recipe: Recipe) -> tuple[list[int], list[dict[str, torch.Tensor]]]:
    """End step (-1: none) and last weights of each member: one-hot, autograd, torch.optim.Adam."""
    problem = task(recipe.task)
    activation = parse_activation(recipe.activation)
    start = initial_network(problem, recipe)
    first, second = (
        torch.nn.functional.one_hot(torch.as_tensor(problem.inputs[:, slot]), problem.size).double()
        for slot in (0, 1)
    )
    answers = torch.as_tensor(problem.answers)
    ends, weights = [], []
    for member in range(recipe.members):
        p = {n: v[member].clone().requires_grad_() for n, v in start.tensors.items()}
        optimizer = torch.optim.Adam(p.values(), lr=recipe.learning_rate)
        in_a_row, end, before, moved = 0, -1, None, None
        for step in range(recipe.steps + 1):
            x = first @ p["u"] + second @ p["v"]
            hidden = x**2 if activation.name == "x^2" else x.relu()
            loss = torch.nn.functional.cross_entropy(hidden @ p["w"].T, answers)
            loss = loss + recipe.strength * sum((v**2).sum() for v in p.values())
            now = loss.item()
            if before is not None:
                same = abs(now - before) < recipe.tolerance * abs(before)
                in_a_row = in_a_row + 1 if same and moved < recipe.tolerance else 0
                if in_a_row >= recipe.patience:
                    end = step
            if end >= 0 or step == recipe.steps:
                break
            optimizer.zero_grad()
            loss.backward()
            old = torch.cat([v.detach().flatten() for v in p.values()])
            optimizer.step()
            new = torch.cat([v.detach().flatten() for v in p.values()])
            before, moved = now, float((new - old).norm() / old.norm())
        ends.append(end)
        weights.append({n: v.detach() for n, v in p.items()})
    return ends, weights


@pytest.mark.system
@pytest.mark.parametrize("changes", [{}, {"task": "S3", "strength": 5e-3}])
def test_members_stop_where_a_textbook_loop_stops_them(changes, one_thread):
    ends, weights = textbook(recipe_of(**changes))
    assert len(set(ends) - {-1}) > 2  # not all at once
    for way in ("never", "always") if compiler() else ("never",):
        recipe = recipe_of(compile=way, **changes)
        training = train(task(recipe.task), recipe)
        expected = [end if end >= 0 else recipe.steps for end in ends]
        assert training.end_steps.tolist() == expected
        assert training.ends == tuple("converged" if end >= 0 else "steps" for end in ends)
        for member, wanted in enumerate(weights):
            for name, value in wanted.items():
                found = training.network.tensors[name][member]
                assert float((found - value).abs().max()) < 1e-9


@pytest.mark.parametrize("way", WAYS)
def test_when_it_is_looked_at_does_not_matter(way, one_thread):
    """One record at the end, or many, and members that leave in between: bitwise in the kernel, to
    round-off where products are of fewer members.
    """
    rare = train(task("C5"), recipe_of(compile=way))
    often = train(task("C5"), recipe_of(compile=way, record_every=7))
    assert rare.end_steps.tolist() == often.end_steps.tolist()
    assert rare.ends == often.ends
    assert "converged" in rare.ends
    error = 0.0 if way == "always" else 1e-9
    for name, values in rare.network.tensors.items():
        assert float((values - often.network.tensors[name]).abs().max()) <= error
    for name, values in rare.history.items():
        assert values[-1] == pytest.approx(often.history[name][-1], rel=error, abs=0)


@pytest.mark.parametrize("way", WAYS)
def test_a_member_stops_alone_as_among_others(way, one_thread):
    among = train(task("C5"), recipe_of(compile=way))
    alone = train(task("C5"), recipe_of(compile=way, members=1, seed=3))
    assert alone.end_steps[0] == among.end_steps[3]
    difference = alone.network.tensors["w"][0] - among.network.tensors["w"][3]
    assert float(difference.abs().max()) < 1e-9


@pytest.mark.parametrize("way", WAYS)
def test_a_training_goes_on_to_the_bit_with_the_steps_counted_so_far(way, one_thread):
    recipe = recipe_of(compile=way, record_every=120)
    kept = []

    def keep(state: TrainingState) -> None:
        kept.append({name: value.clone() for name, value in state.to_tensors().items()})

    whole = train(task("C5"), recipe, checkpoint=keep, checkpoint_every=110)
    ends = sorted(whole.end_steps.tolist())
    between = [t for t in kept if 0 < ends[0] - int(t["step"]) < recipe.patience * 3]
    assert between  # just before the first member stops
    assert any(float(t["optimizer/convergence.count"].max()) > 0 for t in kept)
    for tensors in (*between, kept[len(kept) // 2]):
        state = TrainingState.from_tensors(tensors, initial_network(task("C5"), recipe))
        again = train(task("C5"), recipe, state=state)
        assert again.end_steps.tolist() == whole.end_steps.tolist()
        assert again.ends == whole.ends
        for name, values in whole.network.tensors.items():
            assert torch.equal(values, again.network.tensors[name])


@pytest.mark.parametrize("way", WAYS)
def test_nothing_counts_before_the_last_quarter_of_a_regularization_path(way, one_thread):
    recipe = recipe_of(compile=way, anneal_to=5e-3, patience=30)
    training = train(task("C5"), recipe)
    assert set(training.ends) == {"converged"}
    assert training.end_steps.min() >= 300 + 30


def test_the_textbook_comparison_would_notice_a_longer_patience():
    ends, _ = textbook(recipe_of(members=1, patience=40))
    training = train(task("C5"), recipe_of(members=1, patience=41))
    assert training.end_steps[0] == ends[0] + 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tolerance": 0.0}, "--tolerance 1e-7"),
        ({"dtype": "float32", "tolerance": 1e-7}, "--dtype float64"),
        ({"tolerance": 1e-17}, "1e-12"),
        ({"batch": 5}, "leave batch out"),
    ],
)
def test_a_patience_that_means_nothing_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        checked_recipe(recipe_of().model_dump() | changes)
