"""Time of a step of transformers and of the factored MLP: ours against the textbook's.

The textbook's models are written as in the public notebooks of Nanda et al. 2023 (transformer), Zhong
et al. 2023 (its attention) and Chughtai et al. 2023 (MLP): the whole sequence through every layer,
a causal mask, logits at all positions, autograd, AdamW. Both start from the same weights; losses and
gradients are held against each other before anything is timed.

    OMP_NUM_THREADS=2 python benchmarks/textbook_transformer.py
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import ClassVar

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn

from marginlens.networks import Rows
from marginlens.networks.factored import Factored, FactoredPopulation
from marginlens.networks.transformer import Transformer, TransformerSettings
from marginlens.networks.transformer_population import TransformerPopulation
from marginlens.tasks import Task, task

Step = Callable[[], float]
RATE = 1e-3


class TextbookTransformer(nn.Module):
    """One member of a `Transformer`, at all positions of the sequence."""

    def __init__(self, network: Transformer, member: int = 0) -> None:
        super().__init__()
        p = {name: value[member].detach().clone() for name, value in network.parameters.items()}
        self.settings = network.settings
        self.W_E = nn.Parameter(p["embed"])
        self.W_pos = nn.Parameter(p["position"])
        self.W_Q, self.W_K = nn.Parameter(p["query"]), nn.Parameter(p["key"])
        self.W_V, self.W_O = nn.Parameter(p["value"]), nn.Parameter(p["output"])
        self.W_in, self.W_out = nn.Parameter(p["up"]), nn.Parameter(p["down"])
        self.W_U = nn.Parameter(p["unembed"])
        if self.settings.biases:
            self.b_in, self.b_out = nn.Parameter(p["up_bias"]), nn.Parameter(p["down_bias"])
        length = len(p["position"])
        self.register_buffer("mask", torch.tril(torch.ones(length, length)))

    NAMES: ClassVar = {
        "W_E": "embed", "W_pos": "position", "W_Q": "query", "W_K": "key", "W_V": "value",
        "W_O": "output", "W_in": "up", "b_in": "up_bias", "W_out": "down", "b_out": "down_bias",
        "W_U": "unembed",
    }  # fmt: skip

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits at every position, (row, position, class)."""
        x = self.W_E[tokens] + self.W_pos
        q = torch.einsum("hcd,bpd->bhpc", self.W_Q, x)
        k = torch.einsum("hcd,bpd->bhpc", self.W_K, x)
        v = torch.einsum("hcd,bpd->bhpc", self.W_V, x)
        scores = torch.einsum("bhqc,bhpc->bhqp", q, k) / self.settings.channels**0.5
        scores = scores.masked_fill(self.mask == 0, -1e10)
        alpha = self.settings.attention
        pattern = alpha * scores.softmax(-1) + (1 - alpha) * self.mask.to(scores.dtype)
        z = torch.einsum("bhqp,bhpc->bhqc", pattern, v)
        x = x + torch.einsum("hcd,bhqc->bqd", self.W_O, z)
        before = torch.einsum("nd,bpd->bpn", self.W_in, x)
        if self.settings.biases:
            before = before + self.b_in
        x = x + torch.einsum("nd,bpn->bpd", self.W_out, torch.relu(before))
        if self.settings.biases:
            x = x + self.b_out
        return torch.einsum("cd,bpd->bpc", self.W_U, x)

    def loss(self, inputs: Tensor, answers: Tensor) -> Tensor:
        """Cross-entropy at the last position; the equals sign is put where it belongs."""
        if self.settings.sequence == "ab=":
            inputs = nn.functional.pad(inputs, (0, 1), value=len(self.W_E) - 1)
        return nn.functional.cross_entropy(self(inputs)[:, -1], answers)


class TextbookFactored(nn.Module):
    """One member of a `Factored`: embeddings side by side, a hidden layer, an unembedding."""

    def __init__(self, network: Factored, member: int = 0) -> None:
        super().__init__()
        p = {name: value[member].detach().clone() for name, value in network.parameters.items()}
        self.W_x, self.W_y = nn.Parameter(p["embed_u"]), nn.Parameter(p["embed_v"])
        self.W = nn.Parameter(torch.cat([p["mix_u"], p["mix_v"]]))
        self.W_U = nn.Parameter(p["w"].T.contiguous())

    def loss(self, inputs: Tensor, answers: Tensor) -> Tensor:
        """Cross-entropy of the rows."""
        joined = torch.cat([self.W_x[inputs[:, 0]], self.W_y[inputs[:, 1]]], 1)
        return nn.functional.cross_entropy(torch.relu(joined @ self.W) @ self.W_U, answers)


def gradients_of(model: TextbookTransformer | TextbookFactored) -> dict[str, Tensor]:
    """Autograd's gradients under our names; None, where nothing depends on it, as zero."""
    got = {
        name: torch.zeros_like(p) if p.grad is None else p.grad
        for name, p in model.named_parameters()
    }
    if isinstance(model, TextbookTransformer):
        return {model.NAMES[name]: value for name, value in got.items()}
    mix_u, mix_v = got["W"].chunk(2)
    return {
        "embed_u": got["W_x"], "embed_v": got["W_y"], "mix_u": mix_u, "mix_v": mix_v,
        "w": got["W_U"].T,
    }  # fmt: skip


def some_rows(chosen: Task, share: float, seed: int = 0) -> Rows:
    """A random share of a task's rows."""
    count = int(share * len(chosen.answers))
    order = torch.randperm(
        len(chosen.answers), generator=torch.Generator().manual_seed(seed)
    )[:count]  # fmt: skip
    return Rows.of(chosen, order.numpy())


def our_step(population: object, network: Transformer | Factored, *, optimize: bool) -> Step:
    """Loss and gradients by hand; then, if asked, fused AdamW."""
    parameters = {name: p.clone() for name, p in network.parameters.items()}
    gradients = {name: torch.zeros_like(p) for name, p in parameters.items()}
    for name, parameter in parameters.items():
        parameter.grad = gradients[name]
    optimizer = torch.optim.AdamW(list(parameters.values()), lr=RATE, weight_decay=1, fused=True)

    def step() -> float:
        result = population(parameters, gradients)  # type: ignore[operator]
        if optimize:
            optimizer.step()
        return float(result.cross_entropy)

    return step


def textbook_step(
    model: TextbookTransformer | TextbookFactored, rows: Rows, *, optimize: bool
) -> Step:
    """Autograd; then, if asked, AdamW as it comes."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=1)

    def step() -> float:
        optimizer.zero_grad()
        loss = model.loss(rows.inputs, rows.answers)
        loss.backward()
        if optimize:
            optimizer.step()
        return loss.item()

    return step


def require_equal(
    population: object, network: Transformer | Factored,
    model: TextbookTransformer | TextbookFactored, rows: Rows,
) -> tuple[float, float]:  # fmt: skip
    """Relative differences of the losses and of the worst gradient; an error if they are large."""
    ours = {name: torch.empty_like(p) for name, p in network.parameters.items()}
    loss = population(network.parameters, ours).cross_entropy.item()  # type: ignore[operator]
    textbook = model.loss(rows.inputs, rows.answers)
    textbook.backward()
    theirs = gradients_of(model)
    differences = [abs(loss / textbook.item() - 1)]
    largest = 0.0
    for name, gradient in theirs.items():
        if scale := gradient.norm().item():
            largest = max(largest, (ours[name][0] - gradient).norm().item() / scale)
        elif ours[name].any():
            raise SystemExit(f"the gradient of {name} should be zero")
    differences.append(largest)
    if differences[0] > 1e-6 or differences[1] > 1e-5:
        raise SystemExit(f"loss and gradients differ by {differences}, more than round-off")
    return differences[0], differences[1]


def cases() -> dict[str, tuple[str, TransformerSettings | None, float]]:
    """Name of each row of the table: task, settings (None for the MLP) and share of the rows."""
    sum_ = TransformerSettings(sequence="ab", attention=0.0)
    return {
        "transformer p=113, 30 %": ("C113", TransformerSettings(), 0.3),
        "transformer p=59, constant attention, 80 %": ("C59", sum_, 0.8),
        "transformer p=59, full attention, 80 %": (
            "C59", TransformerSettings(sequence="ab"), 0.8,
        ),
        "transformer S5, 60 %": ("S5", TransformerSettings(), 0.6),
        "factored MLP S5, 40 %": ("S5", None, 0.4),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", default="", help="part of the names of the rows to time")
    given = parser.parse_args()
    table = Table(
        "network and share of the table", "ours, ms", "textbook, ms", "ratio", "with AdamW: ours, ms",
        "textbook, ms", "ratio", "difference of loss", "of gradients",
        title=f"a full-batch step, float32, {torch.get_num_threads()} threads, "
        f"medians over {given.rounds} alternating blocks of 8 and 2 steps",
    )  # fmt: skip
    err = Console(stderr=True)
    for name, (spec, settings, share) in cases().items():
        if given.only not in name:
            continue
        chosen = task(spec)
        rows = some_rows(chosen, share)
        if settings is None:
            network = Factored.initial(chosen)
            population = FactoredPopulation(chosen, network, rows=rows if share < 1 else None)
            model = TextbookFactored(network)
        else:
            network = Transformer.initial(chosen, settings)
            population = TransformerPopulation(chosen, network, rows=rows)
            model = TextbookTransformer(network)
        differences = require_equal(population, network, model, rows)
        steps = {
            (who, optimize): step
            for optimize in (False, True)
            for who, step in (
                ("ours", our_step(population, network, optimize=optimize)),
                ("textbook", textbook_step(model, rows, optimize=optimize)),
            )
        }
        times: dict[tuple[str, bool], list[float]] = {key: [] for key in steps}
        for turn in track(range(given.rounds + 1), name, console=err, transient=True):
            for key, step in steps.items():
                for _ in range(8 if key[0] == "ours" else 2):
                    started = time.perf_counter()
                    step()
                    if turn:  # the first block of each warms up
                        times[key].append((time.perf_counter() - started) * 1e3)
        cells = []
        for optimize in (False, True):
            ours, textbook = (
                statistics.median(times[who, optimize]) for who in ("ours", "textbook")
            )
            cells += [f"{ours:.2f}", f"{textbook:.1f}", f"{textbook / ours:.1f}"]
        table.add_row(name, *cells, *(f"{d:.0e}" for d in differences))
    Console(width=190).print(table)


if __name__ == "__main__":
    main()
