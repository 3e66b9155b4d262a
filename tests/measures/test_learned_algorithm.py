"""One answer to which algorithm a network learned, on networks that are built to use it."""

import numpy as np
import pytest
import torch

from marginlens.groups import group
from marginlens.measures import examine, examine_network, hidden_evidence, logit_spectrum
from marginlens.measures.logits.clock_pizza import circles
from marginlens.networks import MLP, Transformer, TransformerSettings, construct
from marginlens.tasks import task
from marginlens.theory import (
    ALGORITHMS,
    algorithm,
    memorizing_weights,
    parse_activation,
    same_logits,
)


def network(activation, **weights):
    tensors = {
        name: torch.tensor(np.asarray(w, dtype=np.float64))[None] for name, w in weights.items()
    }
    return MLP(tensors, parse_activation(activation), () if "v" in weights else ("u", "v"))


def waves(n, k, phases):
    return np.cos(2 * np.pi * k * np.arange(n)[:, None] / n + np.asarray(phases)[None])


def memorizing(n_or_name, centred="all"):
    known = group(n_or_name)
    return network(
        "x^2", **dict(zip("uvw", memorizing_weights(known.table, centred=centred), strict=True))
    )


def one_hot_relu(name):
    """A ReLU for each pair that is large where both inputs are its own."""
    known = group(name)
    first, second = np.divmod(np.arange(known.order**2), known.order)
    unit = np.eye(known.order)
    return network(
        "relu", u=unit[:, first] - 0.5, v=unit[:, second] - 0.5, w=unit[:, known.table.ravel()]
    )


def adding_integers(n):
    """ReLUs of a + b - t, and the readout that turns each sum into its class."""
    thresholds = np.arange(-1, 2 * n - 1)
    sums = np.arange(2 * n - 1)
    hidden = np.maximum(sums[:, None] - thresholds, 0)
    out = np.linalg.lstsq(hidden, np.eye(n)[sums % n], rcond=None)[0].T
    inputs = np.arange(n)[:, None] - thresholds / 2
    return network("relu", u=inputs, v=inputs, w=out)


def fourier(n, frequencies, activation="x^2", phases=8):
    """Neurons cos(ka + s) + cos(kb + t) with readout cos(kc + s + t), for all phases s and t."""
    s, t = np.meshgrid(*[2 * np.pi * np.arange(phases) / phases] * 2)
    parts = [s.ravel(), t.ravel(), (s + t).ravel()]
    columns = {
        name: np.concatenate([waves(n, k, part) for k in frequencies], axis=1)
        for name, part in zip("uvw", parts, strict=True)
    }
    return network(activation, **columns)


def pizza(n, frequencies, activation="abs", phases=16, tied=True):
    """Absolute values of cos(ka + s) + cos(kb + s), readout cos(kc + 2s)."""
    s = 2 * np.pi * np.arange(phases) / phases
    u = np.concatenate([waves(n, k, s) for k in frequencies], axis=1)
    w = np.concatenate([waves(n, k, 2 * s) for k in frequencies], axis=1)
    return network(activation, **({"u": u, "w": w} if tied else {"u": u, "v": u, "w": w}))


def random_features(name, activation, width=300):
    """Random neurons and the least-squares readout: right everywhere, structured nowhere."""
    problem = task(name)
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=(2, problem.size, width))
    a, b = problem.inputs.T
    sums = u[a] + v[b]
    hidden = sums**2 if activation == "x^2" else np.maximum(sums, 0)
    w = np.linalg.lstsq(hidden, np.eye(problem.size)[problem.answers], rcond=None)[0].T
    return network(activation, u=u, v=v, w=w)


@pytest.mark.parametrize(
    ("name", "made", "answer", "words"),
    [
        ("C5", lambda: construct(task("C5")), "representations", "one of 2 frequencies"),
        ("C12", lambda: construct(task("C12")), "representations", "one of 6 frequencies"),
        (
            "C23",
            lambda: construct(task("C23")),
            "representations",
            "takes only its cos(2πk(a+b−c)/23)",
        ),
        ("S3", lambda: construct(task("S3")), "representations", "one of 2 irreps"),
        ("A4", lambda: construct(task("A4")), "representations", "only its character of ρ(a)ρ(b)"),
        ("C23", lambda: fourier(23, [3]), "representations", "the frequency k=3"),
        ("C13", lambda: fourier(13, [1, 5], "relu"), "representations", "one of 2 frequencies"),
        ("C23", lambda: pizza(23, [1]), "pizza", "1 circle of the embedding alone follows"),
        ("C23", lambda: pizza(23, [1, 5], tied=False), "pizza", "2 circles"),
        ("C13", lambda: pizza(13, [1, 2, 3, 4, 5, 6], "relu", 32), "pizza", "6 circles"),
        ("C4", lambda: memorizing("C4"), "memorizing", "one pair"),
        ("C23", lambda: memorizing("C23", "none"), "memorizing", "91.5 %"),
        ("S3", lambda: memorizing("S3", "output"), "memorizing", "no irrep"),
        ("S3", lambda: one_hot_relu("S3"), "memorizing", "one pair"),
        ("C8", lambda: adding_integers(8), "subtracting", "integer a + b"),
        ("C23", lambda: adding_integers(23), "subtracting", "modulo 23"),
        ("C11", lambda: random_features("C11", "x^2"), "unclear", "nearest to memorizing"),
        ("A4", lambda: random_features("A4", "relu"), "unclear", "nearest to memorizing"),
        ("C3", lambda: construct(task("C3")), "unclear", "Cannot be decided on C3"),
    ],
)
def test_built_networks_are_called_what_they_are(name, made, answer, words):
    found = examine_network(made(), task(name)).learned
    assert found.algorithm == answer
    assert words in found.summary
    assert found.summary.endswith(".")
    assert len(found.evidence) <= 8


def test_equal_logits_are_told_apart_by_the_hidden_layer():
    problem = task("C23")
    lists, features = (
        examine_network(made, problem) for made in (memorizing("C23"), construct(problem))
    )
    everything = ("counting", "subtracting", "memorizing", "clock", "representations")
    for seen in (lists, features):
        assert seen.learned.same_logits == everything
        assert any("only the hidden layer decides" in line for line in seen.learned.evidence)
    assert (lists.learned.algorithm, features.learned.algorithm) == (
        "memorizing",
        "representations",
    )
    # one frequency's neurons hold that frequency alone, or a part of all of them alike
    assert features.learned.hidden.lost_own == pytest.approx(1)
    assert features.learned.hidden.lost_others == pytest.approx(0, abs=1e-9)
    assert lists.learned.hidden.lost_own == pytest.approx(lists.learned.hidden.lost_others)


def operation(name, answers):
    problem = task(name)
    a, b = problem.inputs.T
    return problem, 10 * np.eye(problem.size)[
        answers(problem.group.table, problem.group.inverses, a, b)
    ]


@pytest.mark.parametrize(
    ("name", "answers", "words"),
    [
        (
            "C7",
            lambda t, i, a, b: t[a, i[b]],
            "14.3 % of the rows of C7, and 100 % of those of a − b",
        ),
        ("C12", lambda t, i, a, b: t[i[a], b], "b − a"),
        ("C11", lambda t, i, a, b: a * b % 11, "a·b modulo 11"),
        ("C7", lambda t, i, a, b: (a + b + 3) % 7, "a + b + 3"),
        ("C7", lambda t, i, a, b: 0 * a + 4, "gives one answer, 4, to all"),
        ("C7", lambda t, i, a, b: a, "a, whatever b is"),
        ("S3", lambda t, i, a, b: t[b, a], "50 % of the rows of S3, and 100 % of those of b a"),
        ("A4", lambda t, i, a, b: t[a, i[b]], "a b^-1"),
    ],
)
def test_the_wrong_operation_is_no_algorithm_and_is_named(name, answers, words):
    problem, logits = operation(name, answers)
    found = examine(logits, problem).learned
    assert found.algorithm == "none"
    assert words in found.summary


@pytest.mark.parametrize("name", ["C7", "C23", "S3", "A4"])
def test_noise_and_untrained_networks_have_no_algorithm(name):
    problem = task(name)
    rng = np.random.default_rng(0)
    settings = TransformerSettings(width=8, heads=2, hidden=9)
    seen = [
        examine(rng.normal(size=(problem.size**2, problem.size)), problem),
        examine_network(
            network(
                "relu", **dict(zip("uvw", rng.normal(size=(3, problem.size, 20)), strict=True))
            ),
            problem,
        ),
        examine_network(Transformer.initial(problem, settings, dtype=torch.float64), problem),
        examine_network(
            network("x^2", **dict.fromkeys("uvw", np.zeros((problem.size, 3)))), problem
        ),
    ]
    for one in seen:
        assert one.learned.algorithm == "none"
        assert one.learned.summary.startswith("No algorithm found: it answers")
        assert one.clock_pizza.verdict in ("neither", "unknown")
        assert not any("rather a" in line for line in one.clock_pizza.evidence)


@pytest.mark.parametrize(
    ("made", "candidates", "words"),
    [
        (lambda: algorithm("clock", group("C23")), 5, "they are the same for counting"),
        (lambda: algorithm("clock", group("C23"), frequencies=[1, 4]), 3, "no list of answers"),
        (
            lambda: algorithm("pizza", group("C23"), frequencies=[1, 4]),
            1,
            "the pizza's formula (100 %",
        ),
        (lambda: algorithm("memorizing", group("S4")), 2, "memorizing and representations"),
        (lambda: algorithm("representations", group("S4"), irreps=["3a"]), 1, "of 3a"),
    ],
)
def test_logits_alone_leave_the_algorithms_that_have_them(made, candidates, words):
    known = made()
    n = len(known.logits)
    found = examine(known.logits.reshape(n * n, n), task("C23" if n == 23 else "S4")).learned
    assert (found.algorithm, len(found.candidates)) == ("unclear", candidates)
    assert found.summary.startswith("Logits alone cannot decide")
    assert words in found.summary


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e20])
def test_the_answer_does_not_depend_on_the_size_of_the_weights(scale):
    made = fourier(11, [1, 3])
    scaled = made.with_parameters({name: scale * p for name, p in made.tensors.items()})
    found = examine_network(scaled, task("C11"))
    assert found.learned.algorithm == "representations"
    assert found.clock_pizza.gradient_symmetricity == pytest.approx(1)


def test_rows_trained_on_and_the_others():
    problem = task("C11")
    train = np.arange(0, 121, 2)
    logits = np.random.default_rng(0).normal(size=(121, 11))
    logits[train, problem.answers[train]] += 20
    found = examine(logits, problem, train=train).learned
    assert found.algorithm == "memorizing"
    assert "100 % of the rows that it was trained on" in found.summary
    assert examine(logits, problem).learned.algorithm != "memorizing"


def test_algorithms_of_one_table_of_logits_stand_together():
    odd = same_logits([algorithm(name, group("C9")) for name in ALGORITHMS])
    assert odd == (
        ("counting", "subtracting", "memorizing", "clock", "representations"),
        ("pizza",),
    )
    sparse = same_logits(
        [algorithm("clock", group("C9"), frequencies=[1]), algorithm("memorizing", group("C9"))]
    )
    assert sparse == (("clock",), ("memorizing",))


def test_circles_of_equal_size_are_told_apart_by_their_frequencies():
    """Four principal components of one size are any rotation of two circles."""
    found = circles(fourier(11, [2, 5]), task("C11"))
    assert [circle.frequency for circle in found] == [2, 5]
    assert [circle.clock for circle in found] == pytest.approx([1, 1])
    assert all(circle.form == "clock" for circle in found)


@pytest.mark.parametrize("name", ["C5", "S3"])
@pytest.mark.parametrize("kind", ["mlp", "transformer"])
def test_evidence_of_the_hidden_layer_by_its_definitions(name, kind):
    problem = task(name)
    n, table = problem.size, problem.group.table
    if kind == "mlp":
        made = MLP.initial(problem, parse_activation("relu"), width=9, seed=1, dtype=torch.float64)
    else:
        settings = TransformerSettings(width=8, heads=2, hidden=9)
        made = Transformer.initial(problem, settings, seed=1, dtype=torch.float64)
    found = hidden_evidence(made, problem)
    with torch.no_grad():
        hidden = made.hidden(problem)[0].numpy().reshape(n, n, -1)
        out = made.unembedding()[0].numpy()
    centred = hidden - hidden.mean((0, 1))
    whole = np.square(centred).sum()
    both = centred - centred.mean(0) - centred.mean(1)[:, None]
    effect = np.square(both).sum((0, 1)) * np.square(out - out.mean(0)).sum(0)
    effect /= effect.sum()
    of_product = np.zeros_like(centred)
    for g in range(n):
        of_product[table == g] = centred[table == g].mean(0)
    shares = [
        centred.mean(1)[:, None] + 0 * centred,
        centred.mean(0)[None] + 0 * centred,
        of_product,
    ]
    assert (found.left, found.right, found.product) == pytest.approx(
        tuple(np.square(part).sum() / whole for part in shares)
    )
    assert found.left + found.right + found.product + found.pairs == pytest.approx(1)
    energy = np.maximum(np.square(both).sum((0, 1)), 1e-300)  # of dead neurons zero
    peaks = np.square(both).max((0, 1)) / energy
    assert found.largest_pair == pytest.approx(peaks @ effect)
    inside = np.array(
        [
            [np.square(f.project(f.project(both[..., m]).T)).sum() for f in problem.features]
            for m in range(both.shape[2])
        ]
    )
    assert found.purity == pytest.approx((inside.max(1) / energy) @ effect)
    if name == "C5":
        sums = np.add.outer(np.arange(n), np.arange(n))
        of_sum = np.zeros_like(centred)
        for s in range(2 * n - 1):
            of_sum[sums == s] = centred[sums == s].mean(0)
        assert found.integer_sum == pytest.approx(np.square(of_sum).sum() / whole)
    logits = made.logits(problem)[0].detach().numpy()
    own = []
    for removed in found.removed:
        index = [f.name for f in problem.features].index(removed)
        mine = inside.argmax(1) == index
        without = logits - (centred[..., mine] @ out[:, mine].T).reshape(n * n, n)
        amounts = []
        for values in (logits, without):
            spectrum = logit_spectrum(values[None], problem)
            amounts.append(spectrum.similarity[0, index] * spectrum.deviation[0])
        own.append(1 - amounts[1] / amounts[0])
    assert found.lost_own == pytest.approx(np.mean(own))
