"""Modules, functions and arrays of a researcher's own, measured like networks of ours."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import dropout, layer_norm, one_hot

import marginlens as ml
from marginlens.networks import MLP, Transformer, construct
from marginlens.tasks import task
from marginlens.theory import parse_activation

WIDTH = 40


def weights(problem, *, width=WIDTH, seed=0):
    """u, v, ... and w, each (element, neuron), in float64."""
    random = np.random.default_rng(seed)
    sizes = [problem.size] * problem.factors + [problem.classes]
    return [random.normal(size=(size, width)) / 2 for size in sizes]


class Embeddings(nn.Module):
    """An nn.Embedding for each input, and nn.Linear for the logits."""

    def __init__(
        self, problem, sigma=torch.square, *, names=("left", "right", "third"), bias=False
    ):
        super().__init__()
        *tables, w = weights(problem)
        self.sigma, self.names = sigma, names[: len(tables)]
        for name, table in zip(self.names, tables, strict=True):
            setattr(
                self, name, nn.Embedding.from_pretrained(torch.tensor(table).float(), freeze=False)
            )
        self.out = nn.Linear(WIDTH, problem.classes, bias=bias)
        self.out.weight.data = torch.tensor(w).float()
        self.drop = nn.Dropout(0.5)

    def hidden(self, rows):
        columns = (
            getattr(self, name)(column) for name, column in zip(self.names, rows.T, strict=True)
        )
        return self.sigma(sum(columns))

    def forward(self, rows):
        return self.out(self.drop(self.hidden(rows)))


class Tied(Embeddings):
    def hidden(self, rows):
        return self.sigma(self.left(rows).sum(1))


class OneHot(Embeddings):
    """nn.Linear on the concatenated one-hot vectors of the inputs."""

    def __init__(self, problem, sigma=torch.square):
        super().__init__(problem, sigma)
        tables = [getattr(self, name).weight for name in self.names]
        self.hot = nn.Linear(problem.factors * problem.size, WIDTH, bias=False)
        self.hot.weight.data = torch.cat([t.data for t in tables]).T.contiguous()
        for name in self.names:
            delattr(self, name)
        self.size = problem.size

    def hidden(self, rows):
        return self.sigma(self.hot(one_hot(rows, self.size).flatten(1).float()))


class FloatOneHot(OneHot):
    """The same, called with one-hot rows."""

    def hidden(self, rows):
        return self.sigma(self.hot(rows))


class Stacked(Embeddings):
    """One parameter (input, element, neuron), and w (neuron, class)."""

    def __init__(self, problem, sigma=torch.square):
        super().__init__(problem, sigma)
        self.stack = nn.Parameter(torch.stack([getattr(self, n).weight.data for n in self.names]))
        self.w = nn.Parameter(self.out.weight.data.T.contiguous())
        for name in (*self.names, "out"):
            delattr(self, name)

    def forward(self, rows):
        return self.sigma(sum(t[c] for t, c in zip(self.stack, rows.T, strict=True))) @ self.w


class TwoArguments(Embeddings):
    def forward(self, a, b):
        return super().forward(torch.stack([a, b], dim=1))


class Hidden(Embeddings):
    """Returns a tuple with the hidden layer."""

    def forward(self, rows):
        return self.hidden(rows), super().forward(rows)


class Positions(Embeddings):
    """Logits at every position, the last is meant."""

    def forward(self, rows):
        last = super().forward(rows)
        return torch.stack([torch.zeros_like(last), last], dim=1)


class Factored(nn.Module):
    """Embeddings, concatenated, into nn.Linear (the usual way to write it)."""

    def __init__(self, problem):
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(problem.size, 7)
        self.net = nn.Sequential(
            nn.Linear(7 * problem.factors, WIDTH, bias=False),
            nn.ReLU(),
            nn.Linear(WIDTH, problem.classes, bias=False),
        )

    def forward(self, rows):
        return self.net(self.embed(rows).flatten(1))


class Bits(nn.Module):
    """Parity: nn.Linear on signs."""

    def __init__(self, problem):
        super().__init__()
        torch.manual_seed(0)
        self.inside = nn.Linear(problem.size, WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, 2, bias=False)

    def forward(self, rows):
        return self.out(self.inside(rows) ** 2)


def bare(problem):
    """The same weights as one of our networks."""
    *tables, w = weights(problem)
    names = (*problem.slots, "w")
    return {
        n: torch.tensor(np.float32(t), dtype=torch.float64)[None]
        for n, t in zip(names, (*tables, w), strict=True)
    }


RECOGNISED = {
    "embeddings": ("S3", Embeddings, "x^2", ()),
    "relu": ("S3", lambda of: Embeddings(of, torch.relu), "relu", ()),
    "cubes of three": ("compose(C5,3)", lambda of: Embeddings(of, lambda x: x**3), "x^3", ()),
    "an operation": ("x/y mod 7", Embeddings, "x^2", ()),
    "double precision": ("S3", lambda of: Embeddings(of).double(), "x^2", ()),
    "one embedding for both": ("Q8", Tied, "x^2", ()),
    "linear on one-hot": ("S3", OneHot, "x^2", ()),
    "called with one-hot": ("S3", FloatOneHot, "x^2", ("inputs are one-hot rows",)),
    "one stack": ("C7", Stacked, "x^2", ()),
    "two arguments": ("S3", TwoArguments, "x^2", ("called with 2 columns",)),
    "with the hidden layer": ("S3", Hidden, "x^2", ("logits are the item 1 returned",)),
    "positions": ("S3", Positions, "x^2", ("logits are those at the last of 2 positions",)),
    "compiled names": ("D4", lambda of: nn.Sequential(Embeddings(of)), "x^2", ()),
}


@pytest.mark.parametrize("kind", RECOGNISED)
def test_a_module_with_one_hidden_layer_is_measured_like_the_network_that_it_is(kind):
    name, make, activation, notes = RECOGNISED[kind]
    problem = task(name)
    module = make(problem)
    found = ml.measure(module, problem)
    tensors = bare(problem)
    if kind == "double precision":  # its weights were rounded to float32 before
        assert next(module.parameters()).dtype == torch.float64
    if isinstance(module, Tied):
        own = MLP({n: tensors[n] for n in "uw"}, parse_activation(activation), problem.slots)
    else:
        own = MLP(tensors, parse_activation(activation))
    expected = ml.measure(own, problem)
    assert found.activation == activation
    assert found.notes == notes
    assert f"of {WIDTH} neurons" in found.subject
    for number in ("accuracy", "cross_entropy", "margin", "norm", "normalized_margin"):
        assert getattr(found, number) == pytest.approx(getattr(expected, number), rel=1e-12), number
    np.testing.assert_allclose(found.share, expected.share)
    np.testing.assert_array_equal(found.dominant, expected.dominant)
    assert (found.uncovered != "") == isinstance(module, Tied)


def test_a_factored_module_and_one_on_signs_are_recognised():
    s3, parity = task("S3"), task("parity(5,2)")
    found = ml.measure(Factored(s3), s3)
    assert "embed.weight" in found.subject
    assert (found.activation, found.uncovered) == ("relu", "factored networks")
    assert found.neurons is not None
    bits = ml.measure(Bits(parity), parity)
    assert bits.subset_power is not None
    assert bits.activation == "x^2"


class Twice(Embeddings):
    def forward(self, rows):
        return 2 * super().forward(rows)


class Normalized(Embeddings):
    def forward(self, rows):
        return self.out(layer_norm(self.hidden(rows), (WIDTH,)))


class Equals(nn.Module):
    """One embedding with an equals sign, attention over three positions, logits of all tokens."""

    def __init__(self, problem):
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(problem.size + 1, 8)
        self.position = nn.Parameter(torch.randn(3, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.out = nn.Linear(8, problem.size + 1)

    def forward(self, tokens):
        x = self.embed(tokens) + self.position
        return self.out(x + self.attention(x, x, x, need_weights=False)[0])


BLACK_BOXES = {
    "twice": (Twice, "no network with one hidden layer of its tensors has its logits"),
    "layer norm": (Normalized, "no network with one hidden layer"),
    "a biased unembedding": (lambda of: Embeddings(of, bias=True), "its logits have a bias"),
    "no such shapes": (
        lambda of: nn.Sequential(nn.Flatten(0), nn.Unflatten(0, (-1, 2)), Ones(of)),
        "no tensor of it has shape (6, neurons)",
    ),
    "an equals sign": (Equals, "it has logits of other classes too"),
    "a function": (lambda of: Embeddings(of).forward, "a callable has logits alone"),
}


class Ones(nn.Module):
    def __init__(self, problem):
        super().__init__()
        self.scale, self.classes = nn.Parameter(torch.ones(())), problem.classes

    def forward(self, rows):
        return self.scale * one_hot(rows.sum(1) % self.classes, self.classes).float()


@pytest.mark.parametrize("kind", BLACK_BOXES)
def test_of_a_black_box_what_needs_weights_is_unknown_with_its_reason(kind):
    make, reason = BLACK_BOXES[kind]
    problem = task("S3")
    found = ml.measure(make(problem), problem)
    assert (found.neurons, found.norm, found.normalized_margin) == (None, None, None)
    assert reason in found.unknown["neurons"]
    assert 0 <= found.accuracy <= 1
    assert found.logits.accuracy == found.accuracy
    with pytest.raises(ml.MarginLensError, match=r"neurons of .* are unknown"):
        _ = found.live
    assert "Unknown: " in str(found)
    verdict = ml.compare(ml.predict(problem, penalty=1e-3), found)
    unknown = {claim.name for claim in verdict.claims if claim.reason}
    assert unknown >= {"norm", "loss", "margin_ratio", "shares", "one_feature"}
    assert all(claim.status == "unknown" for claim in verdict.claims if claim.reason)
    known = len(verdict.claims) - len(unknown)
    assert verdict.summary.startswith(f"{known} of {len(verdict.claims)} claims are known")


def test_an_equals_sign_is_appended_and_its_class_left_out():
    found = ml.measure(Equals(task("S3")), "S3")
    assert "rows end in an equals sign, token 6" in found.notes
    assert any("at the last of 3 positions" in note for note in found.notes)
    assert any("class 6" in note for note in found.notes)


REFUSED = {
    "no logits": (lambda rows: rows.float(), r"expected logits of shape \(36, 6\)"),
    "answers": (lambda rows: one_hot(rows.sum(1) % 6, 6), "return the logits"),
    "random": (lambda rows: dropout(torch.ones(len(rows), 6)), "second call"),
    "an error": (lambda rows: rows.nothing, "raised AttributeError"),
    "no network": (object(), "expected a network, module, callable, logits or weights"),
    "other logits": (np.zeros((35, 6)), r"needs \(6, 6, 6\)"),
    "transposed weights": ([np.zeros((9, 6)), np.zeros((6, 9)), np.zeros((6, 9))], "transpose it"),
    "other names": ({"a": np.zeros((6, 9))}, "expected weights u, v, w of S3, got a"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_network_of_the_task_is_refused_in_one_line(kind):
    what, words = REFUSED[kind]
    with pytest.raises(ml.MarginLensError, match=words) as error:
        ml.measure(what, "S3")
    assert "\n" not in str(error.value)


def test_the_module_is_left_as_it_was():
    problem = task("S3")
    module = Embeddings(problem)
    module.drop.eval()
    module.left.weight.requires_grad_(False)
    module.out.weight.grad = torch.ones_like(module.out.weight)
    modes = [one.training for one in module.modules()]
    before = {n: p.clone() for n, p in module.named_parameters()}
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    ml.measure(module, problem)
    assert torch.equal(torch.rand(3), expected)
    assert [one.training for one in module.modules()] == modes
    assert True in modes
    assert False in modes
    assert torch.is_grad_enabled()
    assert not module.left.weight.requires_grad
    assert bool((module.out.weight.grad == 1).all())
    assert all(torch.equal(p, before[n]) for n, p in module.named_parameters())


def test_arrays_of_weights_and_of_logits_give_the_record_of_the_network():
    problem = task("C5")
    best = construct(problem)
    expected = ml.measure(best, problem)
    u, v, w = (best.tensors[name] for name in "uvw")
    logits = best.logits(problem)
    two = torch.stack([torch.zeros_like(logits[0]), logits[0]])
    for given, member in (
        ((u[0], v[0], w[0]), 0),
        ([u[0].numpy(), v[0].numpy(), w[0].numpy()], 0),
        ({"w": w, "u": u, "v": v}, 0),
        ((u.repeat(3, 1, 1), v.repeat(3, 1, 1), w.repeat(3, 1, 1)), 2),
        (logits[0], 0),
        (logits[0].reshape(5, 5, 5), 0),
        (two.numpy(), 1),
    ):
        found = ml.measure(given, problem, member=member)
        assert found.margin == pytest.approx(expected.margin)
        assert found.logits.key_features == ("k=1", "k=2")
        if found.neurons is not None:
            assert found.normalized_margin == pytest.approx(expected.normalized_margin)
            np.testing.assert_array_equal(found.count, expected.count)


def test_a_transformer_and_a_training_have_the_same_record():
    problem = task("C5")
    found = ml.measure(Transformer.initial(problem), problem)
    assert found.neurons is None
    assert "no weight for each element" in found.unknown["neurons"]
    assert found.logits.gini is not None
    recipe = ml.recipe_for(problem, width=16, steps=60, train_fraction=0.6, compile="never")
    training = ml.train(problem, recipe)
    seen = ml.measure(training, problem)
    assert seen.dynamics is not None
    assert "dynamics" not in seen.unknown
    assert seen.neurons is not None


def test_a_measurement_of_another_task_is_not_compared():
    with pytest.raises(ml.MarginLensError, match="of one task, got S3 and C5"):
        ml.compare(ml.predict(task("S3")), ml.measure(construct(task("C5")), "C5"))


def test_a_state_dict_of_any_names_is_loaded_by_its_shapes_and_answers():
    problem = task("S3")
    p = construct(problem).tensors
    names = {"first.weight": p["u"][0], "second.weight": p["v"][0], "out.weight": p["w"][0]}
    loaded = ml.load(names, problem)
    assert loaded.measure().accuracy == 1
    best = ml.predict(problem).margin
    assert loaded.measure().normalized_margin == pytest.approx(best)
    assert "u: first.weight, v: second.weight, w: out.weight" in str(loaded)
    for given, words in (
        (
            (Embeddings(problem).state_dict(), problem),
            "no candidate among its tensors answers half",
        ),
        ((names,), "state the task"),
        ((Embeddings(problem),), "for a module use ml.measure"),
        (("missing.pt",), "no such file"),
    ):
        with pytest.raises(ml.MarginLensError, match=words):
            ml.load(*given)
