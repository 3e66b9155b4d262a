"""Networks of other projects, as test data: not part of this one."""

import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from marginlens.groups import FiniteGroup
from marginlens.networks import Factored
from marginlens.tasks import Task, task
from marginlens.theory import parse_activation

ROOT = Path(__file__).parents[1]
FOLDER = Path(os.environ.get("MARGINLENS_FIXTURES", ROOT.parent / "shared" / "fixtures"))
needs_fixtures = pytest.mark.skipif(
    not (FOLDER / "chughtai").is_dir(), reason="no folder of trained networks (MARGINLENS_FIXTURES)"
)


def symmetric_task(degree: int) -> Task:
    """S_n with its elements as SymPy generates them, the left factor applied first."""
    from sympy.combinatorics.named_groups import SymmetricGroup

    elements = list(SymmetricGroup(degree).generate())
    number = {tuple(p.array_form): i for i, p in enumerate(elements)}
    table = np.zeros((len(elements), len(elements)), dtype=np.int64)
    for i, j in itertools.product(range(len(elements)), repeat=2):
        table[i, j] = number[tuple((elements[i] * elements[j]).array_form)]
    return task(FiniteGroup(table, f"S{degree}"))


def chughtai(name: str) -> tuple[Factored, Task]:
    """ReLU([E_a; E_b] W) W_U as a ``Factored`` network, and its group."""
    state = torch.load(
        FOLDER / "chughtai" / name / "model.pt", weights_only=True, map_location="cpu"
    )
    mix_u, mix_v = state["W"].double().chunk(2)
    parameters = {
        "embed_u": state["W_x"].double()[None],
        "embed_v": state["W_y"].double()[None],
        "mix_u": mix_u[None],
        "mix_v": mix_v[None],
        "w": state["W_U"].double().T[None],
    }
    contiguous = {k: v.contiguous() for k, v in parameters.items()}
    network = Factored(contiguous, parse_activation("relu"))
    if name.startswith("S5"):
        return network, symmetric_task(5)
    # the order of A5's elements is not known: but the network has learned its Cayley table
    answers = network.logits(task("A5"))[0].argmax(1).reshape(60, 60).numpy()
    return network, task(FiniteGroup(answers, "A5"))


def stored(name):
    """What their file says of a network."""
    return json.loads((FOLDER / "chughtai" / name / "summary_metrics.json").read_text())


def their_names(problem):
    """What the files call each feature, told apart by its values at a transposition of S5."""
    swap = {
        (1, -1): "sign",
        (4, 2): "standard",
        (4, -2): "standard_sign",
        (5, -1): "s5_5d_a",
        (5, 1): "s5_5d_b",
        (6, 0): "s5_6d",
    }
    group = problem.group
    transposition = int(np.flatnonzero(group.class_sizes == 10)[0])
    names = []
    for feature in problem.features:
        value = round(float(group.characters[feature.irrep.members[0], transposition].real))
        names.append(swap[feature.irrep.degree, value])
    return names
