"""The lottery of frequencies: its derivation by autograd, its rules, and its score."""

import numpy as np
import pytest
import torch
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from marginlens.groups import group
from marginlens.measures import (
    RULES,
    departures,
    draw_tickets,
    grow_alone,
    score_tickets,
    ticket_time,
)
from marginlens.networks import MLP
from marginlens.tasks import task
from marginlens.theory import parse_activation
from marginlens.training import Recipe, initial_network, recipe_for, train

SQUARE = parse_activation("x^2")


def start_of(spec="C7", *, width=12, scale=0.1, members=1, tied=False, activation=SQUARE, seed=0):
    return MLP.initial(
        task(spec),
        activation,
        width=width,
        scale=scale,
        members=members,
        tied=tied,
        seed=seed,
        dtype=torch.float64,
    )


@pytest.mark.parametrize("tied", [False, True])
def test_small_networks_move_each_frequency_on_its_own(tied):
    n, problem = 7, task("C7")
    network = start_of(scale=1e-3, tied=tied)
    parameters = {name: p.clone().requires_grad_() for name, p in network.tensors.items()}
    logits = functional_call(network, parameters, problem.inputs)[0]
    cross_entropy(logits, torch.as_tensor(problem.answers)).backward()

    def waves(values):
        return np.fft.fft(values[0].detach().numpy(), axis=0)[1:]

    u, w = waves(parameters["u"]), waves(parameters["w"])
    v = u if tied else waves(parameters["v"])
    twice = 2 if tied else 1
    expected = {"u": twice * v.conj() * w, "w": u * v}
    for name, product in expected.items():
        found = -waves(parameters[name].grad)
        np.testing.assert_allclose(
            found, 2 / n**2 * product, rtol=0, atol=1e-5 * abs(product).max()
        )


@pytest.mark.parametrize("tied", [False, True])
def test_the_time_is_when_gradient_descent_takes_off(tied):
    """One neuron of one frequency, its logits scaled down: small steps until it is 30 times as large."""
    n, k, size, rate = 7, 2, 0.1, 0.02
    rng = np.random.default_rng(1)
    phases, magnitudes = rng.uniform(-np.pi, np.pi, 3), rng.uniform(0.5, 1.5, 3)
    angle = 2 * np.pi * k * np.arange(n) / n
    u, v, w = (
        torch.tensor(size * m * np.cos(angle + phase))
        for m, phase in zip(magnitudes, phases, strict=True)
    )
    v = u if tied else v
    right = (torch.arange(n)[:, None] + torch.arange(n)) % n
    network = MLP(
        {"u": u[None, :, None], "w": w[None, :, None]} | ({} if tied else {"v": v[None, :, None]}),
        SQUARE,
        ("u", "v") if tied else (),
    )
    time = draw_tickets(network, task("C7")).time[0, k - 1]
    passed, leaves = 0.0, [u, w] if tied else [u, v, w]
    first = max(float(leaf.norm()) for leaf in leaves)
    while max(float(leaf.norm()) for leaf in leaves) < 30 * first:
        for leaf in leaves:
            leaf.requires_grad_()
        u, w = leaves[0], leaves[-1]
        v = u if tied else leaves[1]
        value = ((u[:, None] + v) ** 2 * (w - w.mean())[right]).mean()
        gradients = torch.autograd.grad(value, leaves)
        leaves = [leaf.detach() for leaf in leaves]
        slope = max(float(g.norm() / x.norm()) for g, x in zip(gradients, leaves, strict=True))
        step = rate / slope
        passed += step
        leaves = [x + step * g for x, g in zip(leaves, gradients, strict=True)]
    assert passed == pytest.approx(time, rel=0.06)  # 1/30 is left, and explicit steps lag


def test_a_planted_ticket_wins_by_every_rule_and_others_by_theirs():
    n, j = 11, np.arange(11)

    def network(parts):
        """One neuron: (frequency, magnitude, misalignment) of each part."""
        sums = {name: np.zeros(n) for name in "uvw"}
        for k, size, misalignment in parts:
            wave = 2 * np.pi * k * j / n
            sums["u"] += size * np.cos(wave + misalignment)
            sums["v"] += size * np.cos(wave)
            sums["w"] += size * np.cos(wave)
        return MLP({name: torch.tensor(x)[None, :, None] for name, x in sums.items()}, SQUARE)

    def winners(*parts):
        tickets = draw_tickets(network(parts), task("C11"))
        return {rule: int(tickets.winner(rule)[0]) + 1 for rule in RULES}

    assert set(winners((2, 1.0, 0.0), (5, 0.4, 2.0)).values()) == {2}
    found = winners((2, 1.0, 2.8), (5, 0.6, 0.0))
    assert found == {"time": 5, "ticket": 5, "magnitude": 2, "phase": 5}
    found = winners((2, 1.0, 1.5), (5, 0.5, 0.0))  # a ticket that hardly grows at first overtakes
    assert found == {"time": 2, "ticket": 5, "magnitude": 2, "phase": 5}


def test_alone_every_neuron_of_x2_ends_as_its_times_say():
    for spec, tied in (("C7", False), ("C5", True)):
        network, problem = start_of(spec, width=24, tied=tied), task(spec)
        tickets = draw_tickets(network, problem)
        clear = np.partition(tickets.time, 1, axis=1)
        clear = clear[:, 1] > 1.1 * clear[:, 0]
        assert clear.sum() > 10
        np.testing.assert_array_equal(
            grow_alone(network, problem)[clear], tickets.winner("time")[clear]
        )
    start = start_of("C3", width=6)
    score = score_tickets(start, start, task("C3"), alone=True).scores["alone"]
    assert (score.right, score.share) == (6, 1.0)  # there is one frequency


def test_a_renamed_group_has_the_same_tickets():
    names = np.array([0, 3, 1, 4, 2, 6, 5])  # element a of C7 is called names[a]
    table = np.empty((7, 7), dtype=int)
    table[np.ix_(names, names)] = names[(np.arange(7)[:, None] + np.arange(7)) % 7]
    renamed = task(group(table, name="renamed"))
    network = start_of()
    moved = {}
    for name, p in network.tensors.items():
        moved[name] = torch.empty_like(p)
        moved[name][:, names] = p
    first = draw_tickets(network, task("C7"))
    second = draw_tickets(network.with_parameters(moved), renamed)
    # another generator permutes the frequencies
    np.testing.assert_allclose(np.sort(first.time, 1), np.sort(second.time, 1), rtol=1e-8)


@pytest.fixture(scope="module")
def trained():
    problem = task("C11")
    recipe = recipe_for(
        problem,
        width=32,
        strength=0.0,
        init_scale=0.05,
        dtype="float64",
        optimizer="sgd",
        learning_rate=4.0,
        schedule="constant",
        steps=400,
        compile="never",
        snapshots=0,
        members=2,
    )
    return problem, initial_network(problem, recipe), train(problem, recipe).network


def test_the_derived_rule_is_right_where_it_is_derived(trained):
    problem, start, final = trained
    found = score_tickets(start, final, problem)
    assert found.chance == 1 / 5
    assert found.scores["time"].low > found.scores["phase"].high
    assert found.scores["time"].share > 0.85
    assert found.scores["time"].share > found.scores["magnitude"].share > found.chance


def test_the_score_is_a_count_over_live_neurons(trained):
    problem, start, final = trained
    together = score_tickets(start, final, problem)
    apart = [score_tickets(start, final, problem, members=[i]) for i in (0, 1)]
    energy = sum(np.abs(np.fft.fft(p.numpy(), axis=1)[:, 1:6]) ** 2 for p in final.tensors.values())
    brute = energy.argmax(axis=1).ravel()
    live = together.final >= 0
    np.testing.assert_array_equal(together.final[live], brute[live])
    for rule, score in together.scores.items():
        hits = (together.tickets.winner(rule) == together.final)[live]
        assert (score.right, score.share) == (hits.sum(), hits.mean())
        assert score.low < score.share < score.high
        assert score.right == sum(one.scores[rule].right for one in apart)
    assert together.to_dict()["rules"]["time"]["right"] == together.scores["time"].right


def test_another_start_predicts_nothing(trained):
    problem, _, final = trained
    other = start_of("C11", width=32, members=2, scale=0.05, seed=100)
    assert score_tickets(other, final, problem).scores["time"].low < 0.25


def test_dead_networks_have_no_score():
    network = start_of()
    zero = network.with_parameters({k: torch.zeros_like(p) for k, p in network.tensors.items()})
    found = score_tickets(network, zero, task("C7"))
    assert (found.live, dict(found.scores)) == (0, {})
    assert found.to_dict()["commonest"] is None


@pytest.mark.parametrize(
    ("start", "final", "spec", "more", "word"),
    [
        (start_of(), start_of(width=5), "C7", {}, "12 neurons .* of 5"),
        (start_of(), start_of(), "C7", {"members": [1]}, "expected a member from 0 to 0, got 1"),
        (start_of(), start_of(), "C7", {"members": []}, "expected at least one member, got none"),
        (start_of("S3"), start_of("S3"), "S3", {}, "two inputs of a cyclic group"),
        (start_of("C5"), start_of("C5"), "C7", {}, "lengths"),
        (
            start_of(activation=parse_activation("x^3")),
            start_of(activation=parse_activation("x^3")),
            "C7",
            {},
            "odd",
        ),
    ],
)
def test_what_has_no_lottery_is_refused_in_a_line(start, final, spec, more, word):
    with pytest.raises(ValueError, match=word) as caught:
        score_tickets(start, final, task(spec), **more)
    assert "\n" not in str(caught.value)


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="there are time, ticket"):
        draw_tickets(start_of(), task("C7")).winner("luck")


def test_departures_name_what_the_rule_is_not_derived_for():
    assert not departures(Recipe(task="C7", optimizer="sgd", strength=0.0, init_scale=0.1))
    recipe = Recipe(task="C7", activation="relu", tied=True, train_fraction=0.5)
    words = "; ".join(departures(recipe))
    for word in ("relu", "adam", "init_scale", "whole table", "tied"):
        assert word in words


def test_tied_waves_of_size_root_two_take_half_the_time_of_untied_ones():
    one, angle = np.ones(1), np.array([0.7])
    size = np.sqrt(2) * one
    tied = ticket_time(size, size, one, angle, order=9, tied=True)
    np.testing.assert_allclose(2 * tied, ticket_time(one, one, one, angle, order=9))
