import shutil
import subprocess

import numpy as np
import pytest
from group_table import NAMES, named, relabelled
from hypothesis import given, settings
from hypothesis import strategies as st

from marginlens.groups import group


@pytest.mark.parametrize("name", NAMES)
def test_characters_are_orthogonal_both_ways(name):
    g = named(name)
    weighted = g.characters * g.class_sizes
    k = len(g.class_sizes)
    np.testing.assert_allclose(weighted @ g.characters.conj().T / g.order, np.eye(k), atol=1e-12)
    columns = g.characters.conj().T @ g.characters * g.class_sizes / g.order
    np.testing.assert_allclose(columns, np.eye(k), atol=1e-12)
    assert (g.degrees**2).sum() == g.order


@pytest.mark.parametrize("name", NAMES)
def test_irreps_are_unitary_homomorphisms(name):
    g = named(name)
    for irrep in g.irrep_classes:
        for rho in (irrep.unitary, irrep.orthogonal):
            product = np.einsum("aij,bjk->abik", rho, rho)
            np.testing.assert_allclose(product, rho[g.table], atol=1e-11)
            np.testing.assert_allclose(
                rho @ rho.conj().swapaxes(1, 2), np.broadcast_to(np.eye(rho.shape[1]), rho.shape), atol=1e-11
            )
        character = g.characters[irrep.members[0]][g.class_of]
        np.testing.assert_allclose(np.trace(irrep.unitary, 0, 1, 2), character, atol=1e-11)


@pytest.mark.parametrize("name", NAMES)
def test_isotypic_projections_split_the_space_and_commute_with_translation(name):
    g = named(name)
    projections = [i.isotypic_basis @ i.isotypic_basis.T for i in g.irrep_classes]
    np.testing.assert_allclose(sum(projections), np.eye(g.order), atol=1e-11)
    shift = g.table[g.order // 2]
    for p in projections:
        np.testing.assert_allclose(p @ p, p, atol=1e-11)
        np.testing.assert_allclose(p[np.ix_(shift, shift)], p, atol=1e-11)


@pytest.mark.parametrize("name", NAMES)
def test_fourier_inverts_and_keeps_energy(name):
    g = named(name)
    values = np.random.default_rng(0).normal(size=(3, g.order))
    coefficients = g.fourier(values)
    np.testing.assert_allclose(g.inverse_fourier(coefficients), values, atol=1e-11)
    energy = sum(
        i.degree * len(i.members) * np.abs(c) ** 2 @ np.ones(i.degree) @ np.ones(i.degree)
        for i, c in zip(g.irrep_classes, coefficients, strict=True)
    )
    np.testing.assert_allclose(energy / g.order, (values**2).sum(1), rtol=1e-11)


def test_fourier_is_the_fft_on_cyclic_groups():
    g = named("C12")
    values = np.random.default_rng(1).normal(size=12)
    ours = [complex(c[0, 0]) for c in g.fourier(values)]
    np.testing.assert_allclose(ours, np.fft.fft(values).conj()[:7], atol=1e-12)


def test_real_isotypic_power_is_the_fft_power():
    g = named("C23")
    values = np.random.default_rng(1).normal(size=23)
    powers = [np.square(values @ i.isotypic_basis).sum() for i in g.irrep_classes]
    fft = np.abs(np.fft.rfft(values)) ** 2 / 23 * np.array([1] + [2] * 11)
    np.testing.assert_allclose(powers, fft, rtol=1e-10)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(["C12", "S4", "Q8", "SL(2,3)", "Dic3"]), st.integers(0, 2**32 - 1))
def test_relabelling_keeps_the_character_table(name, seed):
    original = named(name)
    other, _ = relabelled(original, seed)

    def rows(g):
        values = g.characters[:, g.class_of]
        return sorted(np.round(np.sort_complex(r.round(8)), 6).tolist().__repr__() for r in values)

    assert sorted(original.frobenius_schur) == sorted(other.frobenius_schur)
    np.testing.assert_array_equal(np.sort(original.class_sizes), np.sort(other.class_sizes))
    moments = lambda g: np.sort((np.abs(g.characters) ** 4 @ g.class_sizes).round(6))  # noqa: E731
    np.testing.assert_allclose(moments(original), moments(other))


@pytest.mark.skipif(shutil.which("gap") is None, reason="GAP is not installed")
@pytest.mark.parametrize("name", ["S4", "SL(2,3)", "A5", "Q8xC3", "Dic3"])
def test_characters_agree_with_gap(name):
    g, _ = relabelled(named(name), 5)
    permutations = ",".join(
        f"PermList({[int(g.table[x, a]) + 1 for x in range(g.order)]})" for a in range(g.order)
    )
    # right multiplication x -> x a is a homomorphism for GAP's left-to-right products
    script = f"""p:=[{permutations}];;g:=Group(p);;
    reps:={[int(c[0]) + 1 for c in g.conjugacy_classes]};;
    for c in Irr(g) do for r in reps do v:=p[r]^c; n:=Conductor(v);
    Print(n,":",CoeffsCyc(v,n),";"); od; Print("|"); od; QUIT;"""
    out = subprocess.run(
        ["gap", "-q", "-A"], input=script, capture_output=True, text=True, timeout=120, check=True
    ).stdout
    rows = []
    for row in "".join(out.split()).strip("|").split("|"):
        values = []
        for cell in row.strip(";").split(";"):
            n, coefficients = cell.split(":")
            c = [int(x) for x in coefficients.strip("[]").split(",")]
            values.append(sum(x * np.exp(2j * np.pi * j / int(n)) for j, x in enumerate(c)))
        rows.append(values)
    theirs = np.array(rows)
    overlap = np.abs((theirs * g.class_sizes) @ g.characters.conj().T / g.order)
    match = overlap.argmax(1)
    assert sorted(match) == list(range(len(match)))
    np.testing.assert_allclose(theirs, g.characters[match], atol=1e-12)


LOOP = [[0, 1, 2, 3, 4], [1, 0, 3, 4, 2], [2, 4, 0, 1, 3], [3, 2, 4, 0, 1], [4, 3, 1, 2, 0]]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ([[0, 1], [1, 0], [0, 1]], "not square"),
        ([[0, 1], [1]], "not square"),
        ([[0, 0.5], [0.5, 0]], "expected integers"),
        ([[0, 7], [1, 0]], r"entry \(0,1\) is 7"),
        ([[0, 1], [0, 1]], "column 0 holds 0 twice"),
        ([[0, 0], [1, 1]], "row 0 holds 0 twice"),
        ([[1, 0, 2], [0, 2, 1], [2, 1, 0]], "no identity"),
        (LOOP, r"not associative: \(\d·\d\)·\d = \d but"),
    ],
)
def test_what_is_no_group_is_refused(table, words):
    with pytest.raises(ValueError, match=words):
        group(table)


@pytest.mark.parametrize("name", ["C0", "S99", "D5x", "Q7", "", "C", "S3xx", "missing.csv", "S9"])
def test_bad_names_are_refused_in_one_line(name):
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        group(name)


def test_one_wrong_entry_is_found():
    for a, b, c in ((1, 2, 3), (5, 4, 0)):
        table = named("S3").table.copy()
        table[a, [b, c]] = table[a, [c, b]]
        with pytest.raises(ValueError, match="twice"):
            group(table)


def test_tables_come_from_files(tmp_path):
    np.save(tmp_path / "q.npy", named("Q8").table)
    np.savetxt(tmp_path / "q.csv", named("Q8").table, fmt="%d", delimiter=",")
    for file in ("q.npy", "q.csv"):
        np.testing.assert_array_equal(group(tmp_path / file).table, named("Q8").table)
    (tmp_path / "bad.csv").write_text("0,1\n1,zero\n")
    with pytest.raises(ValueError, match="not a table of integers"):
        group(tmp_path / "bad.csv")
