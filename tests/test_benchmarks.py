"""What the benchmarks measure with, and what they measure against; no test has a clock."""

import math
import statistics
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from marginlens.tasks import task

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
cases, engine, measure, textbook = map(import_module, ("cases", "engine", "measure", "textbook"))
optimizers = import_module("optimizers")


class FakeClock:
    """Time passes only where the callables say so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def takes(self, seconds):
        """A callable of which call i takes ``seconds[i]`` and returns i."""
        calls = iter(enumerate(seconds))

        def call():
            number, duration = next(calls)
            self.now += duration
            return number

        return call


def test_each_is_called_equally_often_and_in_turn():
    order = []
    callables = {name: lambda name=name: order.append(name) for name in "abc"}
    measure.alternate(callables, rounds=4, calls=2)
    assert all(order.count(name) == (4 + 1) * 2 for name in "abc")
    blocks = ["".join(order[i : i + 6]) for i in range(0, 30, 6)]
    assert blocks == ["ccbbaa", "aabbcc", "ccbbaa", "aabbcc", "ccbbaa"]


def test_medians_and_ratios_by_a_fake_clock():
    clock = FakeClock()
    # two calls a round; the first round (100 and 100 seconds) warms up and does not count
    slow = clock.takes([100, 100, 8, 12, 30, 30, 20, 20])  # rounds: 10, 30, 20 seconds a call
    fast = clock.takes([100, 100, 1, 1, 6, 6, 2, 6])  # 1, 6, 4
    timings = measure.alternate({"slow": slow, "fast": fast}, rounds=3, calls=2, clock=clock)
    assert timings.seconds == {"slow": [10, 30, 20], "fast": [1, 6, 4]}
    assert timings.returned == {"slow": list(range(8)), "fast": list(range(8))}
    assert (timings.median("slow"), timings.median("fast")) == (20, 4)
    assert timings.ratio("slow", "fast") == 5  # 20 / 4
    assert timings.ratio("fast", "slow") == 0.2
    assert timings.paired_ratio("slow", "fast") == statistics.median([10 / 1, 30 / 6, 20 / 4])
    lopsided = measure.Timings({"slow": [1, 9, 3], "fast": [3, 1, 1]}, {})
    assert lopsided.ratio("slow", "fast") == lopsided.paired_ratio("slow", "fast") == 3
    lopsided = measure.Timings({"slow": [2, 9, 8], "fast": [1, 4, 8]}, {})
    assert (lopsided.ratio("slow", "fast"), lopsided.paired_ratio("slow", "fast")) == (2, 2)
    lopsided = measure.Timings({"slow": [2, 9, 8], "fast": [1, 3, 2]}, {})
    assert (lopsided.ratio("slow", "fast"), lopsided.paired_ratio("slow", "fast")) == (4, 3)


def test_blocks_may_differ_in_their_calls():
    clock = FakeClock()
    slow, fast = clock.takes([9, 4, 6]), clock.takes([9, 9, 9, 1, 2, 3, 2, 2, 5])
    timings = measure.alternate(
        {"slow": slow, "fast": fast}, rounds=2, calls={"slow": 1, "fast": 3}, clock=clock
    )
    assert timings.seconds == {"slow": [4, 6], "fast": [2, 3]}


@pytest.mark.parametrize(("rounds", "calls"), [(0, 1), (1, 0), (1, {"a": 0})])
def test_no_rounds_are_refused(rounds, calls):
    with pytest.raises(ValueError, match="at least 1"):
        measure.alternate({"a": lambda: None}, rounds=rounds, calls=calls)


@pytest.mark.system
def test_memory_of_a_known_allocation_is_found():
    size = 96 * 2**20
    found = measure.peak_memory(np.ones, size // 8)
    assert 0.8 * size < found < 1.2 * size
    # what this process holds besides does not hide it, nor does what came before count
    held = np.ones(4 * size // 8)
    found = measure.peak_memory(np.ones, size // 16, warm=(size // 8,))
    assert held[0] == 1
    assert 0.8 * size / 2 < found < 1.2 * size / 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_way_to_multiply_is_measured_and_right(dtype):
    found = measure.gemm_rates(24, 16, 40, dtype=dtype, rounds=1)
    assert [gemm.rate for gemm in found] == sorted((gemm.rate for gemm in found), reverse=True)
    assert all(math.isfinite(gemm.rate) and gemm.rate > 0 for gemm in found)
    a, b = torch.randn(24, 16, dtype=dtype), torch.randn(16, 40, dtype=dtype)
    ways = dict(measure._products(a, b))
    assert {gemm.layout for gemm in found} <= {layout for _, layout in ways}
    for way, product in ways.items():
        torch.testing.assert_close(product(), a @ b, msg=str(way))
        assert product().stride()[0 if way[1][2] == "T" else 1] == 1, way
    libraries = {library for library, _ in ways}
    onednn = torch.backends.mkldnn.is_available() and dtype == torch.float32
    assert ("oneDNN" in libraries) == onednn


def test_a_wrong_product_has_no_rate(monkeypatch):
    wrong = {("MKL", "NNN"): lambda: torch.zeros(4, 5)}
    monkeypatch.setattr(measure, "_products", lambda a, b: wrong.items())
    with pytest.raises(ValueError, match="is wrong by"):
        measure.gemm_rates(4, 3, 5)


def explicit_loss(inputs, answers, weights, activation):
    """The loss row by row from its formula, in NumPy."""
    u, w = weights["u"].numpy(), weights["w"].numpy()
    v = weights["v"].numpy() if "v" in weights else u
    total = 0.0
    for (a, b), answer in zip(inputs.tolist(), answers.tolist(), strict=True):
        before = u[a] + v[b]
        logits = w @ (before**2 if activation == "x^2" else np.where(before > 0, before, 0))
        total += np.log(np.exp(logits).sum()) - logits[answer]
    return total / len(answers)


def example(form):
    generator = torch.Generator().manual_seed(3)
    shapes = {"u": (7, 5), "v": (7, 5), "w": (6, 5)}
    if form == "tied":
        del shapes["v"]
    weights = {
        name: torch.randn(*shape, generator=generator, dtype=torch.float64)
        for name, shape in shapes.items()
    }
    inputs = torch.randint(7, (11, 2), generator=generator)
    answers = torch.randint(6, (11,), generator=generator)
    return inputs, answers, weights


@pytest.mark.parametrize("form", ["separate", "concatenated", "tied"])
@pytest.mark.parametrize("activation", ["x^2", "relu"])
def test_textbook_mlps_have_the_loss_and_the_gradients_of_their_formula(form, activation):
    inputs, answers, weights = example(form)
    before = {name: weight.clone() for name, weight in weights.items()}
    step = textbook.Training(textbook.TextbookMLP(weights, activation, form), inputs, answers)
    assert step() == pytest.approx(explicit_loss(inputs, answers, weights, activation), rel=1e-12)
    generator, small = torch.Generator().manual_seed(0), 1e-6
    for name, gradient in step.model.gradients().items():
        way = torch.randn(gradient.shape, generator=generator, dtype=torch.float64)
        up, down = (
            explicit_loss(
                inputs, answers, {**weights, name: weights[name] + sign * small * way}, activation
            )
            for sign in (1, -1)
        )
        assert (gradient * way).sum().item() == pytest.approx((up - down) / 2 / small, rel=1e-6)
    assert step() < explicit_loss(inputs, answers, weights, activation)  # it learns
    assert all(torch.equal(weights[name], weight) for name, weight in before.items())


@pytest.mark.parametrize(("activation", "power"), [("x^2", 3), ("relu", 2)])
@pytest.mark.parametrize("form", ["separate", "concatenated", "tied"])
def test_the_penalty_is_that_of_whole_neurons(activation, power, form):
    inputs, answers, weights = example(form)
    losses = [
        textbook.Training(
            textbook.TextbookMLP(weights, activation, form, strength), inputs, answers
        )()
        for strength in (0.0, 0.25)
    ]
    norms = np.linalg.norm(np.concatenate([w.numpy() for w in weights.values()]), axis=0)
    assert losses[1] - losses[0] == pytest.approx(0.25 * (norms**power).sum(), rel=1e-10)


def test_adamw_decays_and_adam_does_not():
    """With nothing to learn (all logits 0 from zero last weights) the first layer only decays."""
    inputs, answers, weights = example("separate")
    weights["w"] = torch.zeros_like(weights["w"])
    # the second losses differ by the first layer alone: u and v as they were, or times 1 - 0.1 * 2
    for optimizer, factor in (("adam", 1.0), ("adamw", 0.8)):
        model = textbook.TextbookMLP(weights, "x^2", "separate")
        step = textbook.Training(
            model,
            inputs,
            answers,
            optimizer=optimizer,
            rate=0.1,
            weight_decay=2.0 if optimizer == "adamw" else 0.0,
        )
        step()
        gradient = first_gradient(inputs, answers, weights)
        moved = {name: factor * weights[name] for name in ("u", "v")}
        # Adam's first step is rate * g / (|g| + eps)
        moved["w"] = torch.as_tensor(-0.1 * gradient / (np.abs(gradient) + 1e-8))
        wanted = explicit_loss(inputs, answers, moved, "x^2")
        assert step() == pytest.approx(wanted, rel=1e-9)


def first_gradient(inputs, answers, weights):
    """Gradient of the mean cross-entropy for w where all logits are 0: (1/6 - one-hot) hidden."""
    hidden = (weights["u"].numpy()[inputs[:, 0]] + weights["v"].numpy()[inputs[:, 1]]) ** 2
    return (1 / 6 - np.eye(6)[answers.numpy()]).T @ hidden / len(answers)


def test_seeds_in_a_loop_are_the_same_networks():
    case = replace(cases.SEEDS[0], task="C5", width=6, members=2)
    network, rows = case.network(), case.rows()
    alone = [
        textbook.Training(
            textbook.TextbookMLP(
                {name: p[member] for name, p in network.tensors.items()},
                "x^2",
                "separate",
                case.strength,
            ),
            rows.inputs,
            rows.answers,
        )
        for member in range(2)
    ]
    together = cases.Textbook(case)
    for _ in range(3):
        assert together() == statistics.fmean(step() for step in alone)


@pytest.mark.parametrize(("fraction", "count"), [(1.0, 25), (0.4, 10), (0.5, 12)])
def test_train_rows_are_that_share(fraction, count):
    of = task("C5")
    rows = cases.some_rows(of, fraction)
    assert len(rows) == count
    index = (rows.inputs * torch.tensor([5, 1])).sum(1)
    assert len(set(index.tolist())) == count
    assert index.tolist() == sorted(index.tolist())
    assert torch.equal(rows.answers, torch.as_tensor(of.answers)[index])
    assert torch.equal(rows.inputs, cases.some_rows(of, fraction).inputs)
    if fraction < 1:
        assert not torch.equal(rows.inputs, cases.some_rows(of, fraction, seed=1).inputs)


def smaller(case):
    """The same row on a smaller table, with a smaller network where that is a choice."""
    settings = replace(case.settings, width=12, hidden=10)
    case = replace(case, task="C5" if case.task.startswith("C") else "S3", settings=settings)
    return replace(case, width=6, embedding=4, members=min(case.members, 3))


ROWS = [*cases.CASES, *cases.SEEDS]


@pytest.mark.parametrize("case", ROWS, ids=lambda case: case.label)
def test_ours_and_the_textbook_are_the_same_training(case):
    """On a smaller table and network: the losses agree step by step, and a wrong step shows."""
    case = engine.in_float64(smaller(case))
    sides = engine.contestants(case)
    engine.compare(case, sides)
    theirs, ours = sides["textbook"], sides["ours"]
    losses = [theirs() for _ in range(30)]
    assert all(math.isfinite(loss) for loss in losses)
    assert losses[-1] < losses[0]
    # ours returns the loss after its ten steps; one was taken before
    np.testing.assert_allclose([ours(), ours()], [losses[10], losses[20]], rtol=1e-7)
    wrong = cases.Textbook(replace(case, strength=case.strength + 0.01))
    if case.form not in ("factored", "transformer"):
        with pytest.raises(engine.DifferError, match="differ by"):
            engine.compare(case, {"textbook": wrong, "ours": engine.contestants(case)["ours"]})


def test_different_gradients_are_not_timed():
    case = engine.in_float64(smaller(cases.CASES[-1]))
    sides = engine.contestants(case)
    first = sides["ours"].first
    for spoil in (lambda g: g.mul_(1 + 1e-7), lambda g: g.add_(1e-6)):

        def spoiled(spoil=spoil):
            loss, gradients = first()
            spoil(gradients["query"])
            return loss, gradients

        sides["ours"].first = spoiled
        with pytest.raises(engine.DifferError, match="differ by"):
            engine.compare(case, {**sides, "textbook": cases.Textbook(case)})


def test_a_row_of_the_table(monkeypatch):
    monkeypatch.setattr(engine, "BLOCK_SECONDS", 0.0)
    monkeypatch.setattr(
        engine, "peak_megabytes", lambda case, name: {"textbook": 14.0, "ours": 7.0}[name]
    )
    monkeypatch.setattr(engine, "best_gemm_seconds", lambda case: 0.0)
    case = smaller(cases.CASES[0])
    row = engine.measured_row(case, 2)
    assert (row[0], row[5:]) == (case.label, ["0% → 0%", "14 → 7"])
    assert all(float(cell) > 0 for cell in row[1:5])
    assert len(engine.measured_row(case, 1, quick=True)) == 5


def test_a_row_that_fails_is_marked_and_the_others_are_measured(monkeypatch, capsys):
    def measured(case, rounds, *, quick):
        if "S5" in case.label:
            raise engine.DifferError("loss and gradients differ by 4e-08 and 4e-04")
        return [case.label, *"1234"]

    monkeypatch.setattr(engine, "measured_row", measured)
    monkeypatch.setattr(sys, "argv", ["engine.py", "--quick"])
    with pytest.raises(SystemExit) as caught:
        engine.main()
    printed = capsys.readouterr().out
    assert printed.count("failed") == 2  # S5 factored and its transformer
    assert cases.SEEDS[-1].label in printed
    assert caught.value.code.splitlines() == [
        "S5, factored, 40 %: loss and gradients differ by 4e-08 and 4e-04",
        "transformer, S5, 60 %: loss and gradients differ by 4e-08 and 4e-04",
    ]


def test_the_products_that_are_counted():
    case = replace(cases.CASES[2], task="C7", width=11, fraction=0.5)
    assert engine.matrix_products(case) == [(24, 11, 7), (7, 24, 11), (24, 7, 11)]
    tied = replace(case, form="tied", fraction=1.0)
    assert engine.matrix_products(tied)[0] == (7 * 8 // 2, 11, 7)
    network = replace(case, form="transformer")
    assert engine.matrix_products(network)[0] == (24, 512, 7)


def test_steps_that_are_not_relative_are_the_same_where_all_neurons_are_as_long():
    """A comparison that leaves out one part of an optimizer leaves the others as they are."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(2, 9, 5, generator=generator, dtype=torch.float64)
    for lengths, same in ((torch.ones(5), True), (torch.arange(1.0, 6), False)):
        ends = []
        for update in (optimizers.product.neuronwise_adam_, optimizers.absolute_neuronwise_adam_):
            p = {"w": start / start.norm(dim=1, keepdim=True) * lengths.double()}
            g = {"w": torch.ones_like(start).cumsum(1)}
            m, v = {"w": torch.zeros_like(start)}, torch.zeros(2, 5, dtype=torch.float64)
            update(p, g, m, v, step=1, rate=0.1, betas=(0.9, 0.8))
            ends.append(p["w"])
        assert torch.allclose(*ends, rtol=1e-12) == same


def test_a_row_of_the_optimizers_says_when_each_level_was_reached(monkeypatch):
    monkeypatch.setattr(optimizers, "LEVELS", (1e3, 1e-9))
    row = optimizers.row("parity(4,2)", "Adam", optimizers.ADAM, 0, 20)
    assert row[:2] == ["parity(4,2)", "Adam"]
    assert row[2].startswith("0 / ")
    assert row[3] == "–"
    assert float(row[4]) > 1e-9
    assert row[5].endswith(" of 1.0000")
    assert row[6].startswith("20 / ")
