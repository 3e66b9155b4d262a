"""Memorizing networks against plain loops and the reference file."""

import math

import numpy as np
import pytest
from group_table import named
from reference import reference_rows

from marginlens.groups import group
from marginlens.theory import (
    ClassProgram,
    compare_memorizing,
    memorizing_margin,
    memorizing_weights,
    solve_margin,
)


def margin_by_loops(labels: np.ndarray, weights: tuple[np.ndarray, ...]) -> float:
    u, v, w = weights
    least = math.inf
    for a in range(labels.shape[0]):
        for b in range(labels.shape[1]):
            logits = w @ (u[a] + v[b]) ** 2
            right = logits[labels[a, b]]
            least = min(least, right - np.delete(logits, labels[a, b]).max())
    return least / ((u**2).sum(0) + (v**2).sum(0) + (w**2).sum(0)).__pow__(1.5).sum()


@pytest.mark.parametrize("centred", ["none", "output", "all"])
@pytest.mark.parametrize("name", ["C2", "C5", "S3", "Q8", "Q8~2", "A4"])
def test_networks_have_the_margin_of_the_formula(name, centred):
    chosen = named(name) if "~" in name else group(name)
    weights = memorizing_weights(chosen.table, centred=centred)
    found = margin_by_loops(chosen.table, weights)
    assert found == pytest.approx(
        memorizing_margin(chosen.order, centred=centred), rel=1e-12, abs=0
    )
    norms = np.sqrt(sum((weight**2).sum(0) for weight in weights))
    assert (norms**3).sum() == pytest.approx(1, rel=1e-12, abs=0)


@pytest.mark.parametrize("centred", ["none", "output"])
def test_any_labels_can_be_memorized_with_sign_pairs(centred):
    labels = np.random.default_rng(0).integers(6, size=(6, 6))
    labels[0, 0] = 5  # six classes for sure
    weights = memorizing_weights(labels, centred=centred)
    assert weights[0].shape[1] == 2 * 36
    found = margin_by_loops(labels, weights)
    assert found == pytest.approx(memorizing_margin(6, centred=centred), rel=1e-12, abs=0)
    with pytest.raises(ValueError, match="no Latin square need sign pairs"):
        memorizing_weights(labels)


def test_the_ratio_for_any_group():
    names = ["C3", "C23", "C12", "S4", "Q8", "A5", "SL(2,3)"]
    found = compare_memorizing([group(name) for name in names])
    for i, name in enumerate(names):
        program = ClassProgram.of(group(name))
        n, value = group(name).order, solve_margin(program).margin / program.scale
        assert found.ratio[i] == pytest.approx(n / ((n - 1) ** 1.5 * value), rel=1e-12, abs=0)
    assert found.ratio[0] == pytest.approx(1, rel=1e-12, abs=0)  # C3: as good as anything
    assert found.ratio[1] == pytest.approx(math.sqrt(2 / 22), rel=1e-12, abs=0)
    assert (found.ratio <= 1 + 1e-12).all()


def test_bad_orders_are_refused():
    with pytest.raises(ValueError, match="order: expected at least 2"):
        memorizing_margin(1)


def test_reference_file():
    rows = reference_rows("memorizing.csv")
    found = compare_memorizing([group(f"C{row['p']}") for row in rows if int(row["p"]) < 60])
    for i, row in enumerate(rows):
        p = int(row["p"])
        for centred, column in (
            ("none", "mem_indicator"),
            ("output", "mem_centred_w"),
            ("all", "mem_centred_all"),
            ("output", "mem_random_labels_signpairs"),
        ):
            assert memorizing_margin(p, centred=centred) == pytest.approx(
                float(row[column]), rel=1e-12
            )
        if i < len(found.names):
            assert found.ratio[i] == pytest.approx(float(row["ratio_best"]), rel=1e-12, abs=0)
