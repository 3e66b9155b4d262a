"""Reference values: typed here, and from files of ``tests/data``."""

import pytest
from reference import reference_rows

from marginlens.groups import group
from marginlens.tasks import task
from marginlens.theory import (
    ClassProgram,
    closed_form_applies,
    closed_form_margin,
    collapse_penalty,
    cyclic_margin,
    minimize_penalized_loss,
    parity_margin,
    parity_width,
    predict,
    solve_margin,
    theorem9_applies,
    theorem9_margin,
)

MARGINS = {
    "C5": 3.04290309725e-2,
    "C12": 7.33787583681e-3,
    "C23": 2.57956524472e-3,
    "C71": 4.61430079154e-4,
    "C113": 2.285998e-4,
    "S3": 2.36049693105e-2,
    "S4": 2.07664799605e-3,
    "S5": 1.32597749002e-4,
    "A4": 6.03311117890e-3,
    "Q8": 1.23711603171e-2,
    "SL(2,3)": 1.85226758769e-3,
    "A5": 4.31570898769e-4,
    "A6": 2.055221e-5,
    "S6": 7.266303e-6,
}


@pytest.mark.parametrize("name", MARGINS)
def test_margin(name):
    digits = 1e-11 if name not in ("C113", "A6", "S6") else 3e-7
    prediction = predict(task(name))
    assert prediction.margin == pytest.approx(MARGINS[name], rel=digits, abs=0)
    assert prediction.certificate.gap < 1e-12


@pytest.mark.parametrize("name", ["C5", "C23", "S3", "S4", "S5", "Q8"])
def test_all_features_must(name):
    assert {f.status for f in predict(task(name)).features} == {"must"}


@pytest.mark.parametrize(
    ("name", "shares"),
    [
        ("C5", {(2, 0): 0.5}),
        ("A4", {(2, 0): 0.153578, (9, 1): 0.846422}),
        ("A5", {(9, 1): 0.361037, (16, 1): 0.277926, (25, 1): 0.0}),
    ],
)
def test_shares(name, shares):
    for feature in predict(task(name)).features:
        expected = shares[feature.dimension, feature.frobenius_schur]
        assert feature.least_share == pytest.approx(expected, abs=6e-7)
        assert feature.greatest_share == pytest.approx(expected, abs=6e-7)


def test_a6_and_s6_forbid():
    a6, s6 = predict(task("A6")), predict(task("S6"))
    cannot = sorted(f.dimension for f in a6.features if f.status == "cannot")
    assert cannot == [64, 64, 81]
    cannot = sorted(f.dimension for f in s6.features if f.status == "cannot")
    assert cannot == [1, 81, 81, 256]
    loose = [f for f in s6.features if f.status != "cannot"]
    assert all(f.greatest_share - f.least_share > 0.3 for f in loose)


@pytest.mark.parametrize("name", ["C5", "C23", "C71", "C113", "C12", "S3", "S5", "Q8", "D5", "Q16"])
def test_closed_form_against_the_linear_program(name):
    chosen = group(name)
    assert closed_form_applies(chosen)
    solved = solve_margin(ClassProgram.of(chosen), use_closed_form=False)
    assert solved.certificate.gap < 1e-12
    assert closed_form_margin(chosen) == pytest.approx(solved.margin, rel=1e-12, abs=0)
    if chosen.is_abelian:
        assert closed_form_applies(chosen, strict=True)
        if chosen.order % 2:
            assert cyclic_margin(chosen.order) == pytest.approx(solved.margin, rel=1e-12, abs=0)
    if theorem9_applies(chosen):
        assert theorem9_margin(chosen) == pytest.approx(solved.margin, rel=1e-12, abs=0)


def test_theorem9_needs_its_hypotheses():
    with pytest.raises(ValueError, match="Theorem 9 does not apply to Q8"):
        theorem9_margin(group("Q8"))
    with pytest.raises(ValueError, match="an odd number of at least 3"):
        cyclic_margin(4)


@pytest.mark.parametrize(
    ("name", "edge"), [("C71", 4.55e-4), ("A5", 4.78e-4), ("S5", 2.93e-4), ("A4", 6.547285e-3)]
)
def test_collapse_penalty(name, edge):
    digits = 2e-3 if name != "A4" else 1e-6
    assert collapse_penalty(ClassProgram.of(group(name))) == pytest.approx(edge, rel=digits, abs=0)


@pytest.mark.parametrize(
    ("name", "strength", "ratio"),
    [("S5", 1e-4, 0.837), ("S5", 1e-5, 0.932), ("S5", 1e-6, 0.951), ("A5", 1e-4, 0.9737113)],
)
def test_margin_ratio_at_a_penalty(name, strength, ratio):
    program = ClassProgram.of(group(name))
    minimum = minimize_penalized_loss(program, strength)
    measured = minimum.margin / minimum.norm / solve_margin(program).margin
    assert measured == pytest.approx(ratio, abs=6e-4)


def test_c23_objective_at_a_penalty():
    minimum = minimize_penalized_loss(ClassProgram.of(group("C23")), 1e-4)
    assert minimum.loss + 1e-4 * minimum.norm == pytest.approx(0.2838312, rel=2e-7)
    assert minimum.norm == pytest.approx(2442.95, rel=1e-5)


@pytest.mark.parametrize(("k", "margin"), [(2, 0.544331), (3, 0.530330), (4, 0.607157)])
def test_parity(k, margin):
    assert parity_margin(k) == pytest.approx(margin, abs=6e-7)


# ---------------------------------------------------------------------- reference files


def our_name(structure: str, order: int, number: int) -> str | None:
    """Our name of a small group: GAP's D8 is our D4, and C3 : C4 may be several groups."""
    exceptions = {(12, 1): "Dic3", (20, 1): "Dic5"}
    if (order, number) in exceptions:
        return exceptions[order, number]
    if ":" in structure or structure.startswith("QD"):
        return None
    return "x".join(
        f"D{int(factor[1:]) // 2}" if factor.startswith("D") else factor
        for factor in structure.split(" x ")
    )


def test_atlas():
    compared = 0
    for row in reference_rows("atlas_to_order_20.csv"):
        name = our_name(row["structure"], int(row["order"]), int(row["id"]))
        if name is None:
            continue
        problem = task(name)
        assert problem.group.order == int(row["order"])
        assert len(problem.group.class_sizes) == int(row["classes"])
        prediction = predict(problem)
        assert prediction.margin == pytest.approx(float(row["gamma_star"]), rel=1e-11, abs=0)
        assert prediction.theorem9_applies == bool(int(row["theorem9_applies"]))
        assert (prediction.closed_form is not None) == bool(int(row["closed_form_applies"]))
        measured = sorted(
            (i.degree, i.frobenius_schur, f.least_share, f.greatest_share)
            for i, f in zip(problem.group.irrep_classes[1:], prediction.features, strict=True)
        )
        reference = sorted(
            (int(d), int(t), float(least), float(most))
            for d, t, least, most in (
                entry.split(":") for entry in row["irreps_dim_type_least_most"].split(";")
            )
        )
        for ours, theirs in zip(measured, reference, strict=True):
            assert ours[:2] == theirs[:2]
            assert ours[2:] == pytest.approx(theirs[2:], abs=6e-7)
        compared += 1
    assert compared >= 45


def test_finite_penalty():
    compared = 0
    for row in reference_rows("finite_penalty.csv"):
        if row["group"].startswith("SG"):
            continue
        chosen = group(row["group"])
        program = ClassProgram.of(chosen)
        assert collapse_penalty(program) == pytest.approx(float(row["lambda_c"]), rel=1e-12, abs=0)
        minimum = minimize_penalized_loss(program, float(row["lambda"]))
        assert minimum.margin == pytest.approx(float(row["margin"]), rel=1e-9, abs=1e-12)
        compared += 1
        if not row["ratio_to_gamma_star"]:
            assert minimum.norm == 0
            continue
        ratio = minimum.margin / minimum.norm / solve_margin(program).margin
        assert ratio == pytest.approx(float(row["ratio_to_gamma_star"]), rel=1e-9)
        shares = sorted(
            (irrep.degree, irrep.frobenius_schur, share)
            for irrep, share in zip(
                chosen.irrep_classes[1:], minimum.masses / minimum.norm, strict=True
            )
        )
        reference = sorted(
            (int(d), int(t), float(share))
            for d, t, share in (e.split(":") for e in row["shares(dim:type:share)"].split(";"))
        )
        for ours, theirs in zip(shares, reference, strict=True):
            assert ours[:2] == theirs[:2]
            assert ours[2] == pytest.approx(theirs[2], abs=6e-6)
    assert compared == 40


def test_parity_file():
    for row in reference_rows("parity.csv"):
        k = int(row["k"])
        assert parity_margin(k) == pytest.approx(float(row["gamma_star"]), rel=1e-13, abs=0)
        assert parity_width(k) == int(row["neurons"])
        assert predict(task(f"parity({row['n']},{k})")).margin == parity_margin(k)
