"""The smoothed minimum of the margins: brute force, autograd, blocks, members and weights."""

import numpy as np
import pytest
import torch
from torch.func import functional_call

from marginlens.kernels import build, passes
from marginlens.networks import MLP, Rows, SoftMarginEvaluator
from marginlens.tasks import task
from marginlens.theory import parse_activation

needs_compiler = pytest.mark.skipif(
    build.compiler() is None, reason="there is no C++ compiler (g++ or clang++)"
)
CASES = {
    "C5": "x^2",
    "S3": "x^2",
    "compose(C3,3)": "x^3",
    "parity(4,2)": "x^2",
    "D4": "relu",
    "x/y mod 5": "leaky_relu(0.2)",
    "Q8": "|x|^1.5",
}


def network_of(spec, activation, *, members=2, width=7, tied=False, dtype=torch.float64):
    return MLP.initial(
        task(spec),
        parse_activation(activation),
        width=width,
        members=members,
        dtype=dtype,
        tied=tied,
        seed=3,
    )


def plain_margins(network, of, rows=None, tensors=None):
    """Margins (member, row, wrong class) by the network's own logits, and the multiplicities."""
    logits = functional_call(network, tensors or {}, of.inputs)
    answers = torch.as_tensor(of.answers)
    if rows is not None:
        logits, answers = logits[:, rows], answers[rows]
    index = torch.arange(len(answers))
    margins = logits[:, index, answers].unsqueeze(2) - logits
    wrong = torch.ones(margins.shape[1:], dtype=torch.bool)
    wrong[index, answers] = False
    return margins[:, wrong].view(len(margins), len(answers), -1)


@pytest.mark.parametrize(("spec", "activation"), CASES.items())
@pytest.mark.parametrize("memory", [None, 4096])
def test_value_and_gradient_are_those_of_the_plain_formula(spec, activation, memory):
    of, network = task(spec), network_of(spec, activation)
    beta = torch.tensor([3.0, 700.0], dtype=torch.float64)
    gradients = {name: torch.full_like(p, torch.nan) for name, p in network.tensors.items()}
    soft = SoftMarginEvaluator(of, network, memory=memory)
    found = soft(network.tensors, beta, gradients, adversary=True)

    leaves = {n: p.clone().requires_grad_() for n, p in network.tensors.items()}
    margins = plain_margins(network, of, tensors=leaves).flatten(1)
    value = -torch.logsumexp(-beta[:, None] * margins, 1) / beta
    torch.testing.assert_close(found.value, value.detach())
    torch.testing.assert_close(found.margin, margins.detach().amin(1))
    (-value.sum()).backward()
    for name, leaf in leaves.items():
        torch.testing.assert_close(gradients[name], leaf.grad, rtol=1e-9, atol=1e-12)
    q = torch.softmax(-beta[:, None] * margins.detach(), 1)
    torch.testing.assert_close(found.mean, (q * margins.detach()).sum(1))

    matrix = torch.zeros(2, of.classes, of.classes, dtype=torch.float64)
    each = q.view(2, len(of.answers), of.classes - 1)
    for row, answer in enumerate(of.answers):
        wrong = [c for c in range(of.classes) if c != answer]
        matrix[:, answer, wrong] += each[:, row]
    torch.testing.assert_close(found.adversary, matrix)


def test_a_member_is_the_same_alone_and_among_others():
    of, network = task("S3"), network_of("S3", "x^2", members=5, dtype=torch.float32)
    beta = torch.tensor([1.0, 10.0, 1e2, 1e3, 1e4], dtype=torch.float64)
    gradients = {name: torch.zeros_like(p) for name, p in network.tensors.items()}
    whole = SoftMarginEvaluator(of, network)(network.tensors, beta, gradients)
    for i in range(5):
        alone = network.member(i)
        own = {name: torch.zeros_like(p) for name, p in alone.tensors.items()}
        found = SoftMarginEvaluator(of, alone)(alone.tensors, beta[i : i + 1], own)
        torch.testing.assert_close(found.value[0], whole.value[i], rtol=1e-6, atol=0)
        for name, gradient in own.items():
            scale = float(gradient.abs().max())
            torch.testing.assert_close(gradient[0], gradients[name][i], rtol=0, atol=1e-4 * scale)


def test_chosen_rows_with_their_multiplicities_and_sums_over_parts():
    of, network = task("C5"), network_of("C5", "x^2", tied=True)
    beta = torch.tensor([50.0, 5.0], dtype=torch.float64)
    chosen = np.array([0, 3, 7, 7, 15, 24, 3, 3])
    margins = plain_margins(network.untied(), of, chosen).flatten(1)
    value = -torch.logsumexp(-beta[:, None] * margins, 1) / beta
    # rows that tied embeddings cannot tell apart are merged, with weights
    soft = SoftMarginEvaluator(of, network, rows=Rows.of(of, chosen))
    assert len(soft.rows.answers) < len(chosen)
    found = soft(network.tensors, beta)
    torch.testing.assert_close(found.value, value)
    parts = [
        SoftMarginEvaluator(of, network, rows=Rows.of(of, chosen).merged().part(i, 2), count=8)
        for i in range(2)
    ]
    sums = [part.sums(network.tensors, beta) for part in parts]
    reference = torch.maximum(*(part.reference for part in sums))
    for part in sums:
        part.rebase(reference, None)
    total = sums[0].total + sums[1].total
    torch.testing.assert_close(-(reference + total.log()) / beta, value)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_no_sharpness_over_or_underflows(scale):
    of, network = task("S3"), network_of("S3", "x^2", dtype=torch.float32)
    network = network.with_parameters({n: p * scale for n, p in network.tensors.items()})
    gradients = {name: torch.zeros_like(p) for name, p in network.tensors.items()}
    beta = torch.tensor([1e9 / scale**3, 0.0], dtype=torch.float64)
    found = SoftMarginEvaluator(of, network, memory=4096)(network.tensors, beta, gradients)
    assert all(bool(g.isfinite().all()) for g in gradients.values())
    least = plain_margins(network.copy().to(torch.float64), of).detach().flatten(1)
    torch.testing.assert_close(found.mean[0], least[0].amin(), rtol=1e-3, atol=0)
    torch.testing.assert_close(found.mean[1], least[1].mean(), rtol=1e-4, atol=1e-6 * scale**3)


def test_biases_are_refused_in_one_line():
    of = task("C5")
    network = MLP.initial(of, parse_activation("x^2"), width=3, biases=True)
    with pytest.raises(ValueError, match="has no biases: leave biases out"):
        SoftMarginEvaluator(of, network)


@needs_compiler
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    ("spec", "activation", "tied"),
    [
        ("C5", "x^2", True),
        ("S4", "x^2", False),
        ("compose(C3,3)", "x^3", False),
        ("x/y mod 5", "relu", False),
    ],
)
def test_the_compiled_pass_is_the_operators(spec, activation, tied, threads, dtype):
    of, network = task(spec), network_of(spec, activation, width=9, tied=tied, dtype=dtype)
    beta = torch.tensor([3.0, 700.0], dtype=torch.float64)
    before = torch.get_num_threads()
    results = []
    for compiled in (False, True):
        gradients = {name: torch.full_like(p, torch.nan) for name, p in network.tensors.items()}
        try:
            torch.set_num_threads(threads)
            with passes.compiled_passes(compiled):
                # little memory: many blocks, whose references differ
                soft = SoftMarginEvaluator(of, network, memory=2000)
                found = soft(network.tensors, beta, gradients, adversary=True, size=True)
        finally:
            torch.set_num_threads(before)
        results.append(({**vars(found)}, gradients))
    for slow, fast in zip(*results, strict=True):
        for name, value in slow.items():
            scale = 1e-10 if dtype == torch.float64 else 3e-4
            atol = scale * float(value.abs().max())
            torch.testing.assert_close(fast[name], value, rtol=0, atol=atol, msg=name)
