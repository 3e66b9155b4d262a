"""Exchange of neurons: what goes, what comes, and that narrow networks reach the minimum by it."""

import pytest
import torch

from marginlens.networks import MLP, Rows, SoftMarginEvaluator, construct, neuron_norms
from marginlens.tasks import task
from marginlens.theory import Penalty, predict
from marginlens.training import Recipe, TrainingState, initial_network, recipe_for, train
from marginlens.training.neuron_exchange import NeuronExchange, cheapest_neurons

C7 = Recipe(
    task="C7",
    width=24,
    optimizer="neuronwise-adam",
    learning_rate=0.1,
    exchange_every=20,
    strength=1e-3,
    steps=150,
    dtype="float64",
    compile="never",
    record_every=30,
)


MARGIN = {"loss_function": "margin", "strength": 0.0, "sharpness_end": 300.0}


def changed(**changes) -> Recipe:
    return Recipe(**C7.model_dump() | changes)


def exchange_of(recipe: Recipe, rows: Rows | None = None) -> NeuronExchange:
    return NeuronExchange(task(recipe.task), recipe, rows)


def test_what_goes_costs_least_once_the_others_have_adjusted():
    """Against least squares over all others, one removal after the other."""
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(40, 12, generator=generator, dtype=torch.float64)
    outputs[:, 3] = outputs[:, 5] + outputs[:, 8]  # any of the three is given by the other two
    curvature = outputs.T @ outputs
    gone, costs = cheapest_neurons(curvature, 4)
    largest = float(curvature.diagonal().max())
    left = list(range(12))
    for neuron, cost in zip(gone.tolist(), costs.tolist(), strict=True):
        distances = {}
        for i in left:
            others = outputs[:, [j for j in left if j != i]]
            fit = torch.linalg.lstsq(others, outputs[:, i]).solution
            distances[i] = float((outputs[:, i] - others @ fit).square().sum())
        assert cost == pytest.approx(min(distances.values()), abs=1e-4 * largest)
        assert distances[neuron] == pytest.approx(min(distances.values()), abs=1e-4 * largest)
        left.remove(neuron)
    assert len({3, 5, 8} & set(gone.tolist())) >= 1
    assert costs[0] < 1e-4 * largest < costs[1]


TASKS = {
    "C7": {},
    "S3, ReLU": {"task": "S3", "activation": "relu"},
    "three inputs": {"task": "compose(C3,3)", "activation": "x^3"},
    "parity": {"task": "parity(5,3)", "activation": "x^3"},
    "tied": {"tied": True},
}


@pytest.mark.parametrize("name", TASKS)
def test_new_neurons_earn_what_the_gradient_of_the_loss_says(name):
    """Minus the loss's derivative in the mass of a neuron that is added, by finite differences."""
    recipe = changed(**TASKS[name])
    of, network = task(recipe.task), initial_network(task(recipe.task), recipe)
    exchange, member = exchange_of(recipe), network.member(0)
    slopes, price = exchange._errors(member, None, 0, None)
    assert price == recipe.strength
    unit, gain = exchange._best(member, None, slopes, torch.Generator().manual_seed(0))
    best = int(gain.argmax())
    assert float(neuron_norms(unit, member.uses)[0, best]) == pytest.approx(1)

    def loss(mass: float) -> float:
        size = mass ** (1 / member.homogeneity)
        wider = {
            n: torch.cat([value, size * unit[n][:, :, best : best + 1]], dim=2)
            for n, value in member.tensors.items()
        }
        logits = MLP(wider, member.activation, member.tied_slots).logits(of)[0]
        return float(torch.nn.functional.cross_entropy(logits, torch.as_tensor(of.answers)))

    assert float(gain[best]) == pytest.approx((loss(0) - loss(1e-5)) / 1e-5, rel=1e-3)


def test_the_best_neuron_of_an_untrained_group_is_the_theory_s():
    """From no network at all the errors are those of equal chances: the best neuron earns gamma*."""
    for name in ("C7", "S3", "parity(5,3)"):
        recipe = changed(task=name, width=1, activation="x^3" if "parity" in name else "x^2")
        network = initial_network(task(name), recipe).member(0)
        zero = network.with_parameters({n: 0 * p for n, p in network.tensors.items()})
        exchange = exchange_of(recipe)
        slopes, _ = exchange._errors(zero, None, 0, None)
        _, gain = exchange._best(zero, None, slopes, torch.Generator().manual_seed(0))
        prediction = predict(task(name), recipe.activation, Penalty("homogeneous", 1e-3))
        assert float(gain.max()) == pytest.approx(prediction.collapse_penalty, rel=0.02)
        assert float(gain.max()) <= prediction.collapse_penalty * (1 + 1e-9)


def test_a_narrow_network_reaches_the_minimum_by_it():
    """At 4(p - 1) neurons, where without it some frequency is left with too few."""
    of, recipe = (
        task("C11"),
        changed(task="C11", width=40, steps=400, strength=1e-4, betas=(0.95, 0.9)),
    )
    minimum = predict(of, "x^2", Penalty("homogeneous", 1e-4)).at_penalty.loss
    excess = [
        train(of, recipe.model_copy(update={"exchange_every": every})).history["loss"][-1, 0]
        / minimum
        - 1
        for every in (50, 0)
    ]
    assert excess[0] < 1e-5
    assert excess[1] > 1e-3


def test_a_narrow_network_reaches_the_maximum_margin_by_it():
    """The margin itself is trained, at 4(p - 1) neurons."""
    of = task("C17")
    share = [
        train(of, loss_function="margin", width=64, steps=600, exchange_every=every).history[
            "normalized_margin"
        ][-1, 0]
        / predict(of).margin
        for every in (25, 0)
    ]
    assert share[0] > 0.999
    assert share[1] < 0.995


@pytest.mark.parametrize("name", ["C7", "S3, ReLU", "three inputs", "parity", "tied"])
def test_new_neurons_earn_what_the_smoothed_margin_says(name):
    """The derivative of S in the mass of a neuron that is added, by finite differences."""
    recipe = changed(**TASKS[name])
    of, network = task(recipe.task), initial_network(task(recipe.task), recipe)
    exchange, member = exchange_of(recipe), network.member(0)
    beta = torch.tensor([3.0], dtype=torch.float64)
    slopes, price = exchange._errors(member, None, 0, beta)
    unit, earned = exchange._best(member, None, slopes, torch.Generator().manual_seed(0))
    best = int(earned.argmax())

    def value(mass: float) -> tuple[float, float]:
        size = mass ** (1 / member.homogeneity)
        wider = {
            n: torch.cat([p, size * unit[n][:, :, best : best + 1]], dim=2)
            for n, p in member.tensors.items()
        }
        wide = MLP(wider, member.activation, member.tied_slots)
        gradients = {n: torch.zeros_like(p) for n, p in wide.tensors.items()}
        soft = SoftMarginEvaluator(of, wide)(wide.tensors, beta, gradients)
        return float(soft.value), float(soft.mean)

    rise = (value(1e-5)[0] - value(0)[0]) / 1e-5
    assert float(earned[best]) == pytest.approx(rise, rel=1e-3)
    assert price >= value(0)[1] / float(member.norm()[0])  # the mean over the network's own


@pytest.mark.parametrize("objective", [{}, MARGIN], ids=["cross-entropy", "margin"])
def test_members_do_not_notice_each_other_and_trainings_go_on_bit_by_bit(objective):
    recipe = changed(members=2, seed=4, steps=70, exchange_every=10, **objective)
    kept = {}
    whole = train(
        task("C7"),
        recipe,
        checkpoint_every=10,
        checkpoint=lambda s: kept.update({s.step: s.to_tensors()}),
    )
    for at in (20, 30):
        state = TrainingState.from_tensors(kept[at], initial_network(task("C7"), recipe))
        again = train(task("C7"), recipe, state=state)
        for n, p in whole.network.tensors.items():
            assert torch.equal(again.network.tensors[n], p)
    alone = train(task("C7"), recipe.model_copy(update={"members": 1, "seed": 5}))
    for n, p in whole.network.tensors.items():
        torch.testing.assert_close(alone.network.tensors[n][0], p[1], rtol=1e-7, atol=1e-9)


def test_what_is_remembered_of_a_neuron_that_went_is_forgotten():
    from marginlens.training.optimizers import Stepper

    p = {"u": torch.randn(2, 3, 4), "w": torch.randn(2, 5, 4)}
    g = {n: torch.randn(x.shape) for n, x in p.items()}
    for optimizer in ("adam", "neuronwise-adam", "muon"):
        stepper = Stepper(Recipe(task="C5", optimizer=optimizer), p, g)
        stepper.step(0.1)
        before = {n: value.clone() for n, value in stepper.state().items()}
        stepper.forget(1, torch.tensor([0, 2]))
        for n, value in stepper.state().items():
            if value.ndim:
                assert (value[1][..., [0, 2]] == 0).all()
                value[1][..., [0, 2]] = before[n][1][..., [0, 2]]
            assert torch.equal(value, before[n])


def test_at_the_minimum_nothing_is_exchanged_and_away_from_it_something_is():
    recipe = changed(strength=1e-3)
    best = construct(task("C7"))  # each neuron twice, so that one of the two costs nothing
    minimum = predict(task("C7"), "x^2", Penalty("homogeneous", 1e-3)).at_penalty
    for stretch, exchanged in ((1.0, False), (0.7, True)):
        size = stretch * float(minimum.norm / best.norm()[0]) ** (1 / 3)
        halves = {n: torch.cat([p, p], 2) / 2 ** (1 / 3) for n, p in best.tensors.items()}
        network = best.with_parameters({n: size * p for n, p in halves.items()})
        before = {n: p.clone() for n, p in network.tensors.items()}
        (gone,) = exchange_of(recipe)(network, 100)
        same = all(torch.equal(network.tensors[n], p) for n, p in before.items())
        assert (len(gone) > 0, not same) == (exchanged, exchanged)


def test_it_takes_place_in_the_first_part_of_the_steps():
    for changes, due in (({}, [20, 40, 60, 80]), (MARGIN, [20, 40])):
        exchange = exchange_of(changed(**changes))
        assert [step for step in range(151) if exchange.is_due(step)] == due


def test_a_sample_of_a_large_table_finds_the_same_neurons(monkeypatch):
    from marginlens.training import neuron_exchange

    recipe = changed(width=30)
    network = initial_network(task("C7"), recipe).member(0)
    monkeypatch.setattr(neuron_exchange, "_ENTRIES", 7 * 30)
    exchange = exchange_of(recipe)
    rows = exchange._sample(torch.Generator().manual_seed(0))
    assert len(rows) == 30
    sampled, _ = exchange._errors(network, rows, 0, None)
    monkeypatch.undo()
    whole, _ = exchange._errors(network, None, 0, None)
    order = [int(7 * a + b) for a, b in rows.inputs]
    torch.testing.assert_close(sampled * 30, whole[:, :, order] * 49)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"penalty": "l2"}, "belongs to an MLP"),
        ({"strength": 0.0}, "belongs to an MLP"),
        ({"biases": True, "penalty": "l2"}, "without biases"),
        ({"network": "transformer"}, "belongs to an MLP"),
        ({"loss_function": "squared", "strength": 1e-4}, "has the squared loss"),
        ({"online": True, "batch": 8}, "draws its rows"),
    ],
)
def test_it_is_refused_in_one_line_where_neurons_have_no_price(fields, words):
    with pytest.raises(ValueError, match=words) as caught:
        recipe_for(task("C7"), exchange_every=10, **fields)
    assert "\n" not in str(caught.value)
