"""The training loop: population gradient descent on the full table."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from marginlens.networks import MLP, Population
from marginlens.tasks import Task
from marginlens.theory import Penalty, parse_activation
from marginlens.training.penalties import add_penalty_gradient
from marginlens.training.recipe import Recipe

__all__ = ["Training", "find_device", "initial_network", "train"]

_SNAPSHOT_BYTES = 64 << 20
_WORTH_THREADS = 1 << 20  # hidden activations a step
_WINDOW = 100  # steps over which convergence is judged

HISTORY = ("loss", "cross_entropy", "accuracy", "margin", "norm", "normalized_margin")


@dataclass(frozen=True, eq=False)
class Training:
    """What training leaves behind.

    Attributes
    ----------
    network
        The last state, every member.
    steps
        Steps at which ``history`` was recorded.
    history
        Columns ``loss`` (cross-entropy + penalty), ``cross_entropy``, ``accuracy``,
        ``margin``, ``norm`` (sum ||omega_i||^nu) and ``normalized_margin`` (margin / norm).
    snapshot_steps, snapshots
        Parameters of member 0 through training, on a logarithmic scale of steps.
    seconds
        Time spent training.
    stopped
        ``"steps"``, ``"share of the margin"``, ``"converged"`` or ``"interrupted"``.
    """

    network: MLP
    steps: Int[np.ndarray, " record"]
    history: dict[str, Float[np.ndarray, "record member"]]
    snapshot_steps: Int[np.ndarray, " snapshot"]
    snapshots: dict[str, Float[np.ndarray, "snapshot element neuron"]]
    seconds: float
    stopped: str


def train(
    task: Task,
    recipe: Recipe,
    *,
    margin: float | None = None,
    start: MLP | None = None,
    progress: Callable[[int, dict[str, np.ndarray]], None] | None = None,
) -> Training:
    """Minimise mean cross-entropy + penalty over the task's whole table.

    Parameters
    ----------
    task, recipe
        What is learned, and how.
    margin
        The maximum normalized margin; needed to stop at a share of it.
    start
        A network to go on from, in place of the recipe's initial one; it is not changed.
    progress
        Called with the step and the latest row of the history at each record.

    Returns
    -------
    Training
        Also after Ctrl-C: what was learned until then is kept, and ``stopped`` says so.

    Raises
    ------
    ValueError
        If the device is not there, ``stop_share`` is asked for where the maximum is unknown, or
        ``start`` is a network of another task or recipe.
    FloatingPointError
        If the loss stops being finite, naming the step.

    Examples
    --------
    >>> from marginlens.tasks import task
    >>> from marginlens.training import recipe_for, train
    >>> run = train(task("C5"), recipe_for(task("C5"), width=40, steps=300))
    >>> run.history["accuracy"][-1]
    array([1.])
    """
    if recipe.stop_share is not None and margin is None:
        raise ValueError(
            "stop_share needs a known maximum margin; leave it out for this activation"
        )
    device = find_device(recipe.device)
    network = (
        initial_network(task, recipe, device)
        if start is None
        else _copy(start, task, recipe, device)
    )
    penalty = Penalty(recipe.penalty, recipe.strength)
    parameters = network.parameters
    gradients = {name: torch.zeros_like(p) for name, p in parameters.items()}
    for name, parameter in parameters.items():
        parameter.grad = gradients[name]
    optimizer = _optimizer(recipe, list(parameters.values()))
    population = Population(task, network)
    recorder = _Recorder(recipe, network)
    stopped, started = "steps", time.perf_counter()
    small = recipe.members * len(task.answers) * recipe.width < _WORTH_THREADS
    with torch.no_grad(), _settings(one_thread=small):
        try:
            for step in range(recipe.steps + 1):
                result = population(parameters, gradients)
                value, norm = add_penalty_gradient(
                    penalty, network.homogeneity, parameters, gradients
                )
                recorder.snapshot(step, network)
                if step % recipe.record_every == 0 or step == recipe.steps:
                    row = {
                        "loss": result.cross_entropy + value,
                        "cross_entropy": result.cross_entropy,
                        "accuracy": result.accuracy,
                        "margin": result.margin,
                        "norm": norm,
                        "normalized_margin": result.margin / norm,
                    }
                    latest = recorder.record(step, row)
                    if progress is not None:
                        progress(step, latest)
                    reason = _reason_to_stop(recipe, recorder, margin)
                    if reason is not None:
                        stopped = reason
                        break
                if step == recipe.steps:
                    break
                for group in optimizer.param_groups:
                    group["lr"] = _rate(recipe, step)
                optimizer.step()
        except KeyboardInterrupt:
            stopped = "interrupted"
    return recorder.finish(network, time.perf_counter() - started, stopped)


def initial_network(task: Task, recipe: Recipe, device: torch.device | None = None) -> MLP:
    """Network from which a training by the recipe starts: every member, on the CPU by default."""
    return MLP.initial(
        task,
        parse_activation(recipe.activation),
        width=recipe.width,
        members=recipe.members,
        seed=recipe.seed,
        scale=recipe.init_scale,
        dtype=getattr(torch, recipe.dtype),
        device=device or torch.device("cpu"),
    )


def _copy(network: MLP, task: Task, recipe: Recipe, device: torch.device) -> MLP:
    """A network as the recipe wants it, apart from the original.

    Raises
    ------
    ValueError
        If it has another width, number of members or activation than the recipe, or is a network
        of another task.
    """
    network.require_task(task)
    got = (network.members, network.width, network.activation.name)
    wanted = (recipe.members, recipe.width, recipe.activation)
    if got != wanted:
        raise ValueError(
            f"start has (members, width, activation) {got}, but the recipe says {wanted}"
        )
    dtype = getattr(torch, recipe.dtype)
    return MLP(
        {
            name: p.detach().clone().to(device=device, dtype=dtype)
            for name, p in network.parameters.items()
        },
        network.activation,
    )


@contextmanager
def _settings(*, one_thread: bool) -> Iterator[None]:
    """PyTorch's settings while training runs; they are put back afterwards.

    Weights on their way to zero pass through denormal numbers, tens of times slower to compute with.
    On small tasks threads gain nothing, and waiting for each other lose much on a busy machine.
    """
    threads = torch.get_num_threads()
    torch.set_flush_denormal(True)
    if one_thread:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


class _Recorder:
    """Collects history and snapshots while training runs."""

    def __init__(self, recipe: Recipe, network: MLP) -> None:
        self.steps: list[int] = []
        self.rows: dict[str, list[np.ndarray]] = {name: [] for name in HISTORY}
        self.snapshot_steps: list[int] = []
        self.snapshots: dict[str, list[np.ndarray]] = {name: [] for name in network.parameters}
        one = sum(p[0].numel() for p in network.parameters.values()) * 4
        count = max(2, min(recipe.snapshots, _SNAPSHOT_BYTES // one)) if recipe.snapshots else 0
        wanted = np.geomspace(1, recipe.steps + 1, count).round().astype(int) - 1
        self.wanted = set(wanted.tolist())

    def snapshot(self, step: int, network: MLP) -> None:
        if step in self.wanted:
            self.snapshot_steps.append(step)
            for name, parameter in network.parameters.items():
                self.snapshots[name].append(parameter[0].detach().float().cpu().numpy().copy())

    def record(self, step: int, row: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
        latest = {name: value.cpu().numpy().astype(np.float64) for name, value in row.items()}
        if not np.isfinite(latest["loss"]).all():
            raise FloatingPointError(
                f"training diverged: the loss is not finite at step {step}; "
                "try a smaller learning rate, for example a tenth"
            )
        self.steps.append(step)
        for name, value in latest.items():
            self.rows[name].append(value)
        return latest

    def finish(self, network: MLP, seconds: float, stopped: str) -> Training:
        detached = MLP(
            {name: p.detach().cpu() for name, p in network.parameters.items()}, network.activation
        )
        return Training(
            detached,
            np.array(self.steps, dtype=np.int64),
            {name: np.array(rows) for name, rows in self.rows.items()},
            np.array(self.snapshot_steps, dtype=np.int64),
            {
                name: np.array(values, np.float32).reshape(-1, *network.parameters[name].shape[1:])
                for name, values in self.snapshots.items()
            },
            seconds,
            stopped,
        )


def _reason_to_stop(recipe: Recipe, recorder: _Recorder, margin: float | None) -> str | None:
    if recipe.stop_share is not None and margin is not None:
        reached = recorder.rows["normalized_margin"][-1] / margin
        if (reached >= recipe.stop_share).all():
            return "share of the margin"
    back = math.ceil(_WINDOW / recipe.record_every)
    loss = recorder.rows["loss"]
    if recipe.tolerance and len(loss) > back:
        change = np.abs(loss[-1] / loss[-1 - back] - 1)
        if (change < recipe.tolerance).all():
            return "converged"
    return None


def _rate(recipe: Recipe, step: int) -> float:
    """Learning rate: constant for the first half, then down to 0 along a cosine."""
    if recipe.schedule == "constant":
        return recipe.learning_rate
    progress = max(0.0, 2 * step / max(1, recipe.steps) - 1)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def _optimizer(recipe: Recipe, parameters: list[torch.Tensor]) -> torch.optim.Optimizer:
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=recipe.learning_rate)
    return torch.optim.Adam(parameters, lr=recipe.learning_rate, fused=True)


def find_device(name: str) -> torch.device:
    """Device of that name.

    Raises
    ------
    ValueError
        If it is not there, naming those that are.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError):
        here = "cpu and cuda" if torch.cuda.is_available() else "cpu"
        raise ValueError(f"device {name!r} is not here; available: {here}") from None
    return device
