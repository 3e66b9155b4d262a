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

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
engine, measure, textbook, transformer = map(
    import_module, ("engine", "measure", "textbook", "textbook_transformer")
)


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


@pytest.mark.parametrize(("rounds", "calls"), [(0, 1), (1, 0)])
def test_no_rounds_are_refused(rounds, calls):
    with pytest.raises(ValueError, match="at least 1"):
        measure.alternate({"a": lambda: None}, rounds=rounds, calls=calls)


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


def explicit_loss(inputs, answers, weights, activation, embedding, loss):
    """The loss row by row from its formula, in NumPy."""
    u, w = weights["u"].numpy(), weights["w"].numpy()
    v = weights["v"].numpy() if "v" in weights else u
    total = 0.0
    for (a, b), answer in zip(inputs.tolist(), answers.tolist(), strict=True):
        if embedding == "factored":
            before = np.concatenate([u[a], v[b]]) @ weights["hidden"].numpy()
        else:
            before = u[a] + v[b]
        logits = w @ (before**2 if activation == "x^2" else np.where(before > 0, before, 0))
        if loss == "cross_entropy":
            total += np.log(np.exp(logits).sum()) - logits[answer]
        else:
            total += ((logits - np.eye(len(w))[answer]) ** 2).mean()
    return total / len(answers)


def example(embedding):
    generator = torch.Generator().manual_seed(3)
    shapes = {"u": (7, 5), "v": (7, 5), "w": (6, 4 if embedding == "factored" else 5)}
    if embedding == "factored":
        shapes["hidden"] = (10, 4)
    if embedding == "tied":
        del shapes["v"]
    weights = {
        name: torch.randn(*shape, generator=generator, dtype=torch.float64)
        for name, shape in shapes.items()
    }
    inputs = torch.randint(7, (11, 2), generator=generator)
    answers = torch.randint(6, (11,), generator=generator)
    return inputs, answers, weights


@pytest.mark.parametrize("embedding", ["separate", "concatenated", "tied", "factored"])
@pytest.mark.parametrize("activation", ["x^2", "relu"])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared"])
def test_textbook_networks_have_the_loss_of_their_formula(embedding, activation, loss):
    inputs, answers, weights = example(embedding)
    before = {name: weight.clone() for name, weight in weights.items()}
    step = textbook.textbook_mlp(
        inputs, answers, weights, activation=activation, embedding=embedding, loss=loss
    )
    wanted = explicit_loss(inputs, answers, weights, activation, embedding, loss)
    assert step() == pytest.approx(wanted, rel=1e-12)
    assert step() < wanted  # it learns, and leaves the weights that it was given
    assert all(torch.equal(weights[name], weight) for name, weight in before.items())


@pytest.mark.parametrize(("activation", "power"), [("x^2", 3), ("relu", 2)])
@pytest.mark.parametrize("embedding", ["separate", "concatenated", "tied"])
def test_the_penalty_is_that_of_whole_neurons(activation, power, embedding):
    inputs, answers, weights = example(embedding)
    steps = [
        textbook.textbook_mlp(
            inputs, answers, weights, activation=activation, embedding=embedding, strength=strength
        )
        for strength in (0.0, 0.25)
    ]
    norms = np.linalg.norm(np.concatenate([w.numpy() for w in weights.values()]), axis=0)
    assert steps[1]() - steps[0]() == pytest.approx(0.25 * (norms**power).sum(), rel=1e-10)


def test_adamw_decays_and_adam_does_not():
    """With nothing to learn (all logits 0 from zero last weights) the first layer only decays."""
    inputs, answers, weights = example("separate")
    weights["w"] = torch.zeros_like(weights["w"])
    found = {}
    for optimizer in ("adam", "adamw"):
        step = textbook.textbook_mlp(
            inputs, answers, weights, optimizer=optimizer, rate=0.1, weight_decay=2.0
        )
        step()
        found[optimizer] = step()
    # the second losses differ by the first layer alone: u and v as they were, or times 1 - 0.1 * 2
    for optimizer, factor in (("adam", 1.0), ("adamw", 0.8)):
        gradient = first_gradient(inputs, answers, weights)
        moved = {name: factor * weights[name] for name in ("u", "v")}
        # Adam's first step is rate * g / (|g| + eps)
        moved["w"] = -0.1 * gradient / (np.abs(gradient) + 1e-8)
        moved["w"] = torch.as_tensor(moved["w"])
        wanted = explicit_loss(inputs, answers, moved, "x^2", "separate", "cross_entropy")
        assert found[optimizer] == pytest.approx(wanted, rel=1e-9)


def first_gradient(inputs, answers, weights):
    """Gradient of the mean cross-entropy for w where all logits are 0: (1/6 - one-hot) hidden."""
    hidden = (weights["u"].numpy()[inputs[:, 0]] + weights["v"].numpy()[inputs[:, 1]]) ** 2
    return (1 / 6 - np.eye(6)[answers.numpy()]).T @ hidden / len(answers)


def test_seeds_in_a_loop_are_the_same_networks():
    inputs, answers, weights = example("separate")
    other = {name: weight + 0.1 for name, weight in weights.items()}
    together = textbook.one_after_another(
        [textbook.textbook_mlp(inputs, answers, start) for start in (weights, other)]
    )
    alone = [textbook.textbook_mlp(inputs, answers, start) for start in (weights, other)]
    for _ in range(3):
        assert together() == statistics.fmean(step() for step in alone)


@pytest.mark.parametrize(("fraction", "count"), [(1.0, 50), (0.4, 20), (0.5, 25)])
def test_train_rows_are_that_share(fraction, count):
    rows = textbook.train_rows(50, fraction)
    assert len(rows) == count
    assert len(set(rows.tolist())) == count
    assert rows.tolist() == sorted(rows.tolist())
    assert 0 <= rows.min() <= rows.max() < 50
    assert torch.equal(rows, textbook.train_rows(50, fraction))
    if fraction < 1:
        assert not torch.equal(rows, textbook.train_rows(50, fraction, seed=1))


def smaller(case):
    """The same row on a smaller table, with a smaller network where that is a choice."""
    case = replace(case, task="C5" if case.task.startswith("C") else "S3")
    if isinstance(case, engine.TransformerCase):
        return case
    return replace(case, width=6, members=min(case.members, 3))


SMALL = [smaller(case) for case in engine.CASES]


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.label)
def test_ours_and_the_textbook_are_the_same_training(case):
    """On a smaller table and network: the losses agree step by step, where ours is there."""
    theirs, ours = engine.textbook_step(case), engine.our_step(case)
    losses = [theirs() for _ in range(5)]
    assert all(math.isfinite(loss) for loss in losses)
    assert losses[4] < losses[0]
    if ours is not None:
        np.testing.assert_allclose([ours() for _ in range(5)], losses, rtol=1e-5)
        wrong = engine.our_step(replace(case, strength=case.strength + 0.01))
        assert abs(wrong() / losses[0] - 1) > 1e-4


@pytest.mark.parametrize("attention", ["causal", "full", "constant"])
def test_the_transformer_is_that_of_its_formula(attention):
    """Logits of one row, head by head and position by position, in NumPy."""
    torch.manual_seed(0)
    sizes = {"width": 12, "heads": 3, "hidden": 10}
    model = transformer.TextbookTransformer(6, 3, 5, attention=attention, **sizes).double()
    tokens = torch.tensor([[1, 4, 5], [0, 0, 5], [3, 2, 5]])
    p = {name: value.detach().numpy() for name, value in model.named_parameters()}
    for row, logits in zip(tokens.tolist(), model(tokens).detach().numpy(), strict=True):
        stream = [p["embed.weight"][token] + p["position"][i] for i, token in enumerate(row)]
        q = p["query.weight"] @ stream[2]  # the last position sees all, masked or not
        heads = []
        for h in range(3):
            part = slice(4 * h, 4 * h + 4)
            scores = [q[part] @ (p["key.weight"] @ x)[part] / 2 for x in stream]
            weights = np.exp(scores) / np.exp(scores).sum()
            weights = np.ones(3) if attention == "constant" else weights
            values = [(p["value.weight"] @ x)[part] for x in stream]
            heads.append(sum(w * v for w, v in zip(weights, values, strict=True)))
        x = stream[2] + p["out.weight"] @ np.concatenate(heads)
        hidden = np.maximum(p["first.weight"] @ x + p["first.bias"], 0)
        x = x + p["second.weight"] @ hidden + p["second.bias"]
        np.testing.assert_allclose(logits, p["unembed.weight"] @ x, rtol=1e-10, atol=1e-12)


def test_a_causal_mask_hides_later_positions():
    torch.manual_seed(0)
    stream = torch.randn(2, 3, 12)
    later = stream.clone()
    later[:, 2] += 1
    for attention, same in (("causal", True), ("full", False)):
        model = transformer.TextbookTransformer(
            6, 3, 5, width=12, heads=3, hidden=10, attention=attention
        )
        first, second = (model._attend(x)[:, :2] for x in (stream, later))
        assert torch.allclose(first, second) == same


def test_a_row_of_the_table(monkeypatch):
    monkeypatch.setattr(engine, "BLOCK_SECONDS", 0.0)
    monkeypatch.setattr(engine, "peak_megabytes", lambda case, ours: 7.0 if ours else 14.0)
    monkeypatch.setattr(engine, "best_gemm_seconds", lambda case: 0.0)
    case = replace(engine.CASES[0], task="C5", width=6)
    row = engine.measured_row(case, 2, memory=True, rates=True)
    assert (row[0], row[6:]) == (case.label, ["0% → 0%", "14 → 7"])
    assert len(row) == 8
    assert float(row[5]) < 1e-5
    row = engine.measured_row(
        replace(case, embedding="tied", strength=0.0), 2, memory=True, rates=True
    )
    assert row[2:] == ["–", "–", "–", "–", "0%", "14"]


def test_the_products_that_are_counted():
    case = replace(engine.CASES[0], task="C7", width=11, fraction=0.5)
    assert engine.matrix_products(case) == [(24, 11, 7), (7, 24, 11), (24, 7, 11)]
    counts = {
        attention: sum(
            m * k * n
            for m, k, n in engine.matrix_products(engine.TransformerCase("", "C7", attention, 0.5))
        )
        for attention in ("constant", "full")
    }
    # forward, and twice as much backward
    assert counts["constant"] == 3 * 24 * (2 * 128 * 512 + 128 * 7)
    assert counts["full"] - counts["constant"] == 3 * 24 * 128 * 128
