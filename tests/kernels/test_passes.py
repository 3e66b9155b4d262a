"""The compiled passes against autograd, textbook loops and PyTorch's operators."""

import ctypes
import math

import numpy as np
import pytest
import torch
from torch.func import functional_call

from marginlens.kernels import passes
from marginlens.kernels.build import compiler
from marginlens.networks import MLP, MLPEvaluator, Rows
from marginlens.tasks import task
from marginlens.theory import Penalty, parse_activation
from marginlens.training.penalties import add_penalty_gradient


@pytest.fixture(autouse=True)
def _compiled():
    with passes.compiled_passes():
        yield


def test_nothing_is_compiled_unless_asked_for():
    x = torch.zeros(2)
    assert passes.is_compiled_for(x)
    with passes.compiled_passes(wanted=False):
        assert not passes.is_compiled_for(x)
        with passes.compiled_passes():
            assert passes.is_compiled_for(x)
        assert not passes.is_compiled_for(x)
    assert passes.is_compiled_for(x)


pytestmark = pytest.mark.skipif(compiler() is None, reason="no C++ compiler")

DTYPES = [torch.float32, torch.float64]


def draw(*shape, dtype=torch.float64, seed=0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(*shape, generator=generator, dtype=torch.float64)).to(dtype)


def exact(logits, answers, weights):
    """Losses, margins and gradients, row by row with the error of longdouble."""
    logits = logits.numpy().astype(np.longdouble)
    losses, margins, gradients = [], [], np.zeros_like(logits)
    for member, of in enumerate(logits):
        for row, answer in enumerate(answers.tolist()):
            lead = of[:, row] - of[answer, row]
            others = np.delete(lead, answer)
            top = max(0, others.max())
            odds = np.exp(others - top).sum()  # of the wrong classes
            losses.append(top + np.log1p(odds + np.expm1(-top)))
            margins.append(-others.max())
            share = np.exp(lead - top) / (odds + np.exp(-top))
            share[answer] = -np.delete(share, answer).sum()
            gradients[member, :, row] = share * weights[row]
    shape = (len(logits), len(answers))
    return np.reshape(losses, shape), np.reshape(margins, shape), gradients


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["rows last", "classes last", "padded", "neither"])
@pytest.mark.parametrize(("classes", "rows"), [(2, 1), (5, 16), (7, 33), (23, 150)])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_is_exact(dtype, layout, classes, rows, weighted):
    values = draw(3, classes, rows, dtype=dtype, scale=5)
    if layout == "classes last":
        logits = values.mT.clone(memory_format=torch.contiguous_format).mT
    elif layout == "padded":
        logits = torch.full((3, rows, classes + 3), 7.0, dtype=dtype)[:, :, :classes].mT
        logits.copy_(values)
    elif layout == "neither":
        logits = torch.zeros(3, classes, 2 * rows, dtype=dtype)[:, :, ::2]
        logits.copy_(values)
    else:
        logits = values.clone()
    answers = torch.arange(rows) * 3 % classes
    each = draw(rows, dtype=dtype, seed=4).abs() if weighted else 1 / rows
    plain = each.double().numpy() if weighted else np.full(rows, 1 / rows)
    results = torch.tensor([[0.0, 0.0, math.inf]] * 3, dtype=torch.float64)
    passes.cross_entropy(logits, answers, each, results)
    losses, margins, gradients = exact(values, answers, plain)
    eps = torch.finfo(dtype).eps
    in_sum = plain if weighted else np.ones(rows)
    wanted = (losses * in_sum).sum(1).astype(float)
    np.testing.assert_allclose(results[:, 0], wanted, rtol=8 * eps + 1e-15)
    right = ((margins > 0) * in_sum).sum(1).astype(float)
    np.testing.assert_allclose(results[:, 1], right, rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(results[:, 2], margins.min(1).astype(float), rtol=eps)
    error = np.abs(logits.double().numpy() - gradients.astype(float))
    assert (error <= 40 * eps * np.abs(gradients) + torch.finfo(dtype).tiny).all()


def test_results_are_added_up():
    logits, answers = draw(2, 3, 40), torch.arange(40) % 3
    once = torch.tensor([[0.0, 0.0, math.inf]] * 2, dtype=torch.float64)
    passes.cross_entropy(logits.clone(), answers, 1.0, once)
    twice = once.clone()
    passes.cross_entropy(logits, answers, 1.0, twice)
    torch.testing.assert_close(
        twice, once * torch.tensor([[2.0, 2.0, 1.0]], dtype=torch.float64), rtol=1e-14, atol=0
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lead", [1.0, 10.0, 16.0, 40.0, 80.0, -3.0, -90.0, -1e4])
def test_cross_entropy_of_any_margin_is_accurate(dtype, lead):
    values = torch.zeros(1, 9, 1, dtype=dtype)
    values[0, 4] = lead
    values[0, :4, 0] = torch.tensor([0, -0.1, -2, -30], dtype=dtype)
    logits, results = values.clone(), torch.zeros(1, 3, dtype=torch.float64)
    passes.cross_entropy(logits, torch.tensor([4]), 1.0, results)
    losses, margins, gradients = exact(values, torch.tensor([4]), [1.0])
    eps = torch.finfo(dtype).eps
    assert results[0, 0].item() == pytest.approx(float(losses[0, 0]), rel=10 * eps)
    assert results[0, 2].item() == min(0.0, float(margins[0, 0]))
    error = np.abs(logits[0].double().numpy() - gradients[0].astype(float))
    # what is too small for the precision, in units of the largest gradient, may be a little more
    tiny = torch.finfo(dtype).tiny * 2
    # a difference of logits is rounded by |lead| eps, which is its exponential's relative error
    assert (error <= (20 + abs(lead)) * eps * np.abs(gradients[0]) + tiny).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("where", [0, 1, 2])
def test_what_is_not_finite_stays_so(bad, where):
    logits = torch.zeros(1, 3, 20)
    logits[0, where, 7] = bad
    results = torch.zeros(1, 3, dtype=torch.float64)
    passes.cross_entropy(logits, torch.ones(20, dtype=torch.int64), 0.05, results)
    assert not math.isfinite(results[0, 0])
    assert not logits[0, :, 7].isfinite().all()
    assert logits[0, :, :7].isfinite().all()


def network(spec, name, tied, dtype=torch.float64, width=19, members=2):
    return MLP.initial(
        task(spec), parse_activation(name), width=width, members=members, tied=tied, dtype=dtype
    )


ACTIVATIONS = ["x^2", "relu", "abs", "leaky_relu(0.1)", "relu^2", "x^3", "x^4", "x|x|"]


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize(("spec", "tied"), [("S3", False), ("C7", True), ("compose(C3,3)", False)])
def test_population_equals_autograd(monkeypatch, name, spec, tied):
    of, net = task(spec), network(spec, name, tied)
    gradients = {n: torch.full_like(p, 7.0) for n, p in net.tensors.items()}
    population = MLPEvaluator(of, net)
    calls = []
    whole = passes.EmbeddedRows.__call__
    monkeypatch.setattr(
        passes.EmbeddedRows, "__call__", lambda *given: (calls.append(1), whole(*given))
    )
    result = population(net.tensors, gradients)
    assert calls  # what is tested is what ran
    leaves = {n: p.clone().requires_grad_() for n, p in net.tensors.items()}
    logits = functional_call(net, leaves, of.inputs)
    answers = torch.as_tensor(of.answers).expand(2, -1)
    losses = torch.nn.functional.cross_entropy(logits.mT, answers, reduction="none").mean(1)
    losses.sum().backward()
    torch.testing.assert_close(result.cross_entropy, losses.detach(), rtol=1e-12, atol=1e-15)
    for n, leaf in leaves.items():
        torch.testing.assert_close(gradients[n], leaf.grad, rtol=1e-9, atol=1e-13, msg=n)


@pytest.mark.parametrize("share", [None, 0.4])
@pytest.mark.parametrize("tied", [False, True])
def test_operator_by_operator_gives_the_same(monkeypatch, share, tied):
    of, net = task("C23"), network("C23", "relu", tied, width=300)
    rows = None if share is None else Rows.of(of, np.arange(len(of.answers))[::3])
    population = MLPEvaluator(of, net, rows=rows, memory=300 * 16 * 100)  # a few blocks
    found = []
    for compiled in (True, False):
        if not compiled:
            monkeypatch.setattr(passes, "_active", False)
        gradients = {n: torch.zeros_like(p) for n, p in net.tensors.items()}
        found.append((population(net.tensors, gradients), gradients))
    (one, g), (other, h) = found
    for field in ("cross_entropy", "accuracy", "margin"):
        torch.testing.assert_close(getattr(one, field), getattr(other, field), rtol=1e-13, atol=0)
    for n in g:
        torch.testing.assert_close(g[n], h[n], rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_repeat_themselves_and_agree(monkeypatch, dtype):
    monkeypatch.setattr(passes, "_WORTH_THREADS", 1)
    of, net = task("S4"), network("S4", "relu", False, dtype, width=300)
    found = []
    before = torch.get_num_threads()
    for threads in (1, 2, 2, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        gradients = {n: torch.zeros_like(p) for n, p in net.tensors.items()}
        result = MLPEvaluator(of, net)(net.tensors, gradients)
        penalty = add_penalty_gradient(Penalty("homogeneous", 0.1), 2, net.tensors, gradients)
        found.append([result.cross_entropy, result.margin, *penalty, *gradients.values()])
    monkeypatch.undo()
    assert torch.get_num_threads() == before
    assert all(torch.equal(a, b) for a, b in zip(found[1], found[2], strict=True))
    eps = torch.finfo(dtype).eps
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            torch.testing.assert_close(a, b, rtol=100 * eps, atol=100 * eps * b.abs().max().item())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("norm", ["homogeneous", "l2"])
@pytest.mark.parametrize("homogeneity", [2, 3, 4, 2.5])
@pytest.mark.parametrize("uses", [None, {"u": 2}])
def test_penalties_equal_autograd(dtype, norm, homogeneity, uses):
    parameters = {"u": draw(3, 5, 270, dtype=dtype), "w": draw(3, 6, 270, dtype=dtype, seed=1)}
    gradients = {n: torch.ones_like(p) for n, p in parameters.items()}
    value, total = add_penalty_gradient(
        Penalty(norm, 0.25), homogeneity, parameters, gradients, uses
    )
    leaves = {n: p.double().requires_grad_() for n, p in parameters.items()}
    times = {"u": 1, "w": 1} | (uses or {})
    squares = sum(times[n] * p.square().sum(1) for n, p in leaves.items())
    power = 2 if norm == "l2" else homogeneity
    wanted = 0.25 * squares.pow(power / 2).sum(1)
    wanted.sum().backward()
    torch.testing.assert_close(value, wanted.detach(), rtol=1e-12, atol=0)
    expected = squares.detach().pow(homogeneity / 2).sum(1)
    torch.testing.assert_close(total, expected, rtol=1e-12, atol=0)
    for n, leaf in leaves.items():
        close = (
            {"rtol": 1e-5, "atol": 1e-6}
            if dtype == torch.float32
            else {"rtol": 1e-11, "atol": 1e-13}
        )
        torch.testing.assert_close(gradients[n], (1 + leaf.grad).to(dtype), **close)


def test_what_the_kernels_do_not_take():
    x = torch.zeros(2, 3)
    assert passes.is_compiled_for(x, x)
    assert not passes.is_compiled_for(x, x.double())
    assert not passes.is_compiled_for(x.half())
    assert not passes.is_compiled_for(x.T)
    assert not passes.is_compiled_for(torch.zeros(2, device="meta"))
    known = [
        name
        for name in (*ACTIVATIONS, "|x|^1.5", "x^5")
        if passes.can_activate(parse_activation(name))
    ]
    assert known == ACTIVATIONS


def test_without_a_compiler_nothing_is_compiled(monkeypatch):
    monkeypatch.setattr(passes, "compiler", lambda: None)
    passes._library.cache_clear()
    try:
        with passes.compiled_passes():
            assert not passes.is_compiled_for(torch.zeros(2))
    finally:
        passes._library.cache_clear()


def test_a_failing_compiler_is_told_of_and_openmp_may_be_missing(monkeypatch):
    tried = []

    def build(source, sizes, *, flags):
        tried.append(flags)
        if flags or broken:
            raise RuntimeError("no omp.h")
        return whole(source, sizes, flags=flags)

    whole = passes.build
    monkeypatch.setattr(passes, "build", build)
    try:
        broken = False
        passes._library.cache_clear()
        assert isinstance(passes._library(), ctypes.CDLL)
        assert tried == [("-fopenmp",), ()]
        broken = True
        passes._library.cache_clear()
        with pytest.warns(UserWarning, match="without compiled passes: no omp"):
            assert passes._library() is None
    finally:
        monkeypatch.undo()
        passes._library.cache_clear()
