"""Rows: parts, batches and merged rows give the mean they should; gradients are slopes."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import functional_call

from marginlens.networks import MLP, Evaluation, MLPEvaluator, Rows
from marginlens.tasks import Task, task
from marginlens.theory import Penalty, parse_activation
from marginlens.training.penalties import add_penalty_gradient

NAMES = ("C5", "S3", "Q8", "parity(5,2)", "compose(C3,3)", "compose(S3,3)")
TIED = ("C5", "S3", "Q8", "compose(C3,3)", "compose(S3,3)")


def network(of: Task, *, tied=False, activation="x^2", members=2, width=4, seed=0) -> MLP:
    sigma = parse_activation(activation)
    return MLP.initial(
        of,
        sigma,
        width=width,
        members=members,
        seed=seed,
        scale=0.6,
        tied=tied,
        dtype=torch.float64,
    )


def on(of: Task, net: MLP, rows: Rows | None, **options) -> tuple[Evaluation, dict]:
    gradients = {name: torch.full_like(p, torch.nan) for name, p in net.tensors.items()}
    return MLPEvaluator(of, net, rows=rows, **options)(net.tensors, gradients), gradients


def by_definition(of: Task, net: MLP, rows: Rows) -> tuple[torch.Tensor, dict]:
    """Weighted mean of log-softmax on the whole table's logits, and its gradient, by autograd."""
    leaves = {name: p.clone().requires_grad_() for name, p in net.tensors.items()}
    table = {tuple(row): i for i, row in enumerate(of.inputs.tolist())}
    index = [table[tuple(row)] for row in rows.inputs.tolist()]
    logits = functional_call(net, leaves, of.inputs)[:, index]
    chosen = torch.log_softmax(logits, -1)[:, torch.arange(len(rows)), rows.answers]
    weights = torch.full((len(rows),), 1 / len(rows), dtype=torch.float64)
    losses = -(chosen * (weights if rows.weights is None else rows.weights)).sum(1)
    losses.sum().backward()
    return losses.detach(), {name: p.grad for name, p in leaves.items()}


def close(actual: dict, expected: dict) -> bool:
    assert actual.keys() == expected.keys()
    return all(torch.allclose(actual[n], expected[n], rtol=1e-11, atol=1e-13) for n in expected)


def same(one: Rows, two: Rows) -> bool:
    return torch.equal(one.inputs, two.inputs) and torch.equal(one.answers, two.answers)


def chosen_rows(of: Task, seed: int = 0) -> Rows:
    """Some rows in any order, one of them twice, with some wrong answers and uneven weights."""
    random = np.random.default_rng(seed)
    index = random.permutation(len(of.answers))[: len(of.answers) // 2]
    index = np.append(index, index[0])
    answers = random.integers(0, of.classes, len(of.answers))
    rows = Rows.of(of, index, answers=answers)
    weights = torch.as_tensor(random.uniform(0.1, 1, len(index)))
    return Rows(rows.inputs, rows.answers, weights / weights.sum())


@pytest.mark.parametrize(
    ("name", "tied"), [*((name, False) for name in NAMES), *((name, True) for name in TIED)]
)
def test_any_rows_have_the_loss_and_gradient_of_the_definition(name, tied):
    of = task(name)
    net = network(of, tied=tied)
    unweighted = chosen_rows(of, 1)
    every = (Rows.of(of), chosen_rows(of), Rows(unweighted.inputs, unweighted.answers))
    for rows, memory in itertools.product(every, (None, 1, 1000)):
        result, gradients = on(of, net, rows, memory=memory)
        losses, expected = by_definition(of, net, rows)
        assert torch.allclose(result.cross_entropy, losses, rtol=1e-12)
        assert close(gradients, expected)
    damaged = {n: g.clone() for n, g in gradients.items()}
    damaged["w"][-1, 0, 0] += 1e-9
    assert not close(damaged, expected)  # the comparison can fail


@pytest.mark.parametrize("name", NAMES)
def test_all_rows_are_the_table(name):
    of = task(name)
    rows = Rows.of(of)
    assert len(rows) == len(of.answers)
    np.testing.assert_array_equal(rows.inputs.numpy(), of.inputs)
    np.testing.assert_array_equal(rows.answers.numpy(), of.answers)
    assert rows.weights is None
    index = np.array([3, 0, 3])
    other = Rows.of(of, index, answers=np.zeros(len(of.answers), np.int64))
    np.testing.assert_array_equal(other.inputs.numpy(), of.inputs[index])
    assert other.answers.tolist() == [0, 0, 0]
    moved = chosen_rows(of).to("cpu")
    assert same(moved, chosen_rows(of))
    assert torch.equal(moved.weights, chosen_rows(of).weights)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(NAMES), st.integers(1, 9), st.booleans(), st.integers(0, 99))
def test_parts_add_up_to_the_whole(name, world, weighted, seed):
    of = task(name)
    rows = chosen_rows(of, seed) if weighted else Rows.of(of)
    parts = [rows.part(rank, world) for rank in range(world)]
    sizes = [len(part) for part in parts]
    assert sum(sizes) == len(rows)
    assert max(sizes) - min(sizes) <= 1
    assert torch.equal(torch.cat([part.inputs for part in parts]), rows.inputs)
    assert torch.equal(torch.cat([part.answers for part in parts]), rows.answers)
    assert sum(float(part.weights.sum()) for part in parts) == pytest.approx(1, rel=1e-12)
    net = network(of)
    whole, expected = on(of, net, rows)
    results = [on(of, net, part) for part in parts]
    for column in ("cross_entropy", "accuracy"):
        total = sum(getattr(result, column) for result, _ in results)
        assert torch.allclose(total, getattr(whole, column), rtol=1e-12, atol=1e-14)
    margins = torch.stack([result.margin for result, _ in results])
    assert torch.allclose(margins.amin(0), whole.margin, rtol=1e-12)
    assert close({n: sum(g[n] for _, g in results) for n in expected}, expected)


def test_more_parts_than_rows_leave_some_without_any():
    of = task("C5")
    net, rows = network(of), Rows.of(of, np.arange(2))
    whole, expected = on(of, net, rows)
    parts = [on(of, net, rows.part(rank, 5)) for rank in range(5)]
    assert [len(rows.part(rank, 5)) for rank in range(5)] == [0, 0, 1, 0, 1]
    nothing, zeros = parts[0]
    assert nothing.cross_entropy.tolist() == nothing.accuracy.tolist() == [0, 0]
    assert nothing.margin.tolist() == [np.inf, np.inf]
    assert all((g == 0).all() for g in zeros.values())
    total = sum(result.cross_entropy for result, _ in parts)
    assert torch.allclose(total, whole.cross_entropy, rtol=1e-12)
    assert close({n: sum(g[n] for _, g in parts) for n in expected}, expected)


@given(st.lists(st.integers(0, 12), min_size=1, max_size=10), st.integers(0, 9))
def test_taken_rows_are_a_mean_of_their_own(index, seed):
    of = task("C5")
    rows = chosen_rows(of, seed)
    taken = rows.take(torch.tensor(index))
    assert torch.equal(taken.inputs, rows.inputs[index])
    assert torch.equal(taken.answers, rows.answers[index])
    assert float(taken.weights.sum()) == pytest.approx(1, rel=1e-12)
    ratio = taken.weights / rows.weights[index]
    assert torch.allclose(ratio, ratio[:1].expand(len(index)))  # in the same proportions
    assert Rows.of(of).take(torch.tensor(index)).weights is None


def test_all_rows_taken_in_another_order_are_the_same_mean():
    of = task("S3")
    net, rows = network(of), chosen_rows(task("S3"))
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
    one, expected = on(of, net, rows)
    two, gradients = on(of, net, rows.take(order))
    assert torch.allclose(one.cross_entropy, two.cross_entropy, rtol=1e-13)
    assert close(gradients, expected)


@pytest.mark.parametrize("name", TIED)
@pytest.mark.parametrize("activation", ["x^2", "relu"])
def test_merged_rows_are_the_same_loss_and_gradient_for_a_tied_network(name, activation):
    of = task(name)
    net = network(of, tied=True, activation=activation)
    for rows in (Rows.of(of), chosen_rows(of)):
        merged = rows.merged()
        assert len(merged) < len(rows)
        assert float(merged.weights.sum()) == pytest.approx(1, rel=1e-12)
        whole, expected = on(of, net, rows, merge=False)
        result, gradients = on(of, net, merged, merge=False)
        for column in ("cross_entropy", "accuracy", "margin"):
            values = getattr(whole, column)
            assert torch.allclose(getattr(result, column), values, rtol=1e-12, atol=1e-14)
        assert close(gradients, expected)
        itself, again = on(of, net, rows)  # which merges by itself
        assert torch.equal(itself.cross_entropy, result.cross_entropy)
        assert all(torch.equal(again[n], g) for n, g in gradients.items())
        twice = merged.merged()
        assert same(twice, merged)
        assert torch.allclose(twice.weights, merged.weights)


@pytest.mark.parametrize("name", TIED)
def test_merged_are_rows_of_permuted_inputs_with_the_same_answer_only(name):
    """Counted one by one: each class of rows has its number of rows over all as its weight."""
    of = task(name)
    classes: dict[tuple, int] = {}
    for inputs, answer in zip(of.inputs.tolist(), of.answers.tolist(), strict=True):
        key = (*sorted(inputs), answer)
        classes[key] = classes.get(key, 0) + 1
    merged = Rows.of(of).merged()
    got = {
        (*row, answer): weight * len(of.answers)
        for row, answer, weight in zip(
            merged.inputs.tolist(), merged.answers.tolist(), merged.weights.tolist(), strict=True
        )
    }
    assert len(got) == len(merged)
    assert got == pytest.approx(classes)
    if of.factors == 2:
        size, table = of.size, of.answers.reshape(of.size, of.size)
        commuting = int((table == table.T).sum())
        pairs = (commuting - size) // 2  # that become one
        assert len(merged) == size**2 - pairs
        assert (len(merged) == size * (size + 1) // 2) == (commuting == size**2)


def test_merging_an_untied_network_would_be_another_loss():
    of = task("C5")
    net = network(of)
    whole, _ = on(of, net, Rows.of(of))
    merged, _ = on(of, net, Rows.of(of).merged())
    assert float((whole.cross_entropy - merged.cross_entropy).abs().min()) > 1e-3


@pytest.mark.parametrize("penalty", [None, "homogeneous", "l2"])
@pytest.mark.parametrize(
    ("name", "tied", "some", "activation"),
    [
        ("C5", False, True, "x^2"),
        ("C5", True, False, "x^2"),
        ("S3", True, True, "relu"),
        ("compose(C3,3)", False, False, "x^3"),
        ("compose(C3,3)", False, True, "x^2"),
        ("compose(C3,3)", True, False, "x^3"),
        ("parity(5,2)", False, False, "x^2"),
        ("parity(5,2)", False, True, "relu"),
    ],
)
def test_the_gradient_is_the_slope_of_loss_and_penalty(name, tied, some, activation, penalty):
    """Every entry by four-point differences; of all members at once, as they do not mix."""
    of = task(name)
    net = network(of, tied=tied, activation=activation, width=3, seed=2)
    rows = chosen_rows(of) if some else None
    population = MLPEvaluator(of, net, rows=rows)
    added = Penalty(penalty or "l2", 0.05 if penalty else 0.0)

    def both(p: dict, gradients: dict) -> torch.Tensor:
        result = population(p, gradients)
        value, _ = add_penalty_gradient(added, net.homogeneity, p, gradients, net.uses)
        return result.cross_entropy + value

    gradients = {n: torch.empty_like(p) for n, p in net.tensors.items()}
    both(net.tensors, gradients)
    step = 1e-4
    for slot, gradient in gradients.items():
        for row, neuron in itertools.product(range(gradient.shape[1]), range(gradient.shape[2])):
            around = {}
            for shift in (-2, -1, 1, 2):
                moved = {key: p.clone() for key, p in net.tensors.items()}
                moved[slot][:, row, neuron] += shift * step
                around[shift] = both(moved, {n: torch.empty_like(p) for n, p in moved.items()})
            slope = (8 * (around[1] - around[-1]) - (around[2] - around[-2])) / (12 * step)
            assert slope.tolist() == pytest.approx(
                gradient[:, row, neuron].tolist(), rel=1e-8, abs=1e-10
            )


@pytest.mark.parametrize("name", TIED)
@pytest.mark.parametrize("penalty", ["homogeneous", "l2"])
def test_a_tied_penalty_counts_the_shared_weights_once_a_slot(name, penalty):
    of = task(name)
    net = network(of, tied=True)
    added = Penalty(penalty, 0.1)
    zeros = {n: torch.zeros_like(p) for n, p in net.tensors.items()}
    value, norm = add_penalty_gradient(added, 3, net.tensors, zeros, net.uses)
    apart = net.untied()
    others = {n: torch.zeros_like(p) for n, p in apart.tensors.items()}
    other, total = add_penalty_gradient(added, 3, apart.tensors, others)
    assert torch.allclose(value, other, rtol=1e-13)
    assert torch.allclose(norm, total, rtol=1e-13)
    assert torch.allclose(zeros["w"], others["w"], rtol=1e-13)
    assert torch.allclose(zeros["u"], sum(others[slot] for slot in of.slots), rtol=1e-13)
