"""Character tables as a noun of their own, and the laws that they and irreps must pass."""

import dataclasses
import re

import numpy as np
import pytest
from group_table import NAMES, named

from marginlens.groups import CharacterTable, irreps
from marginlens.tasks import task
from marginlens.theory import Penalty, predict


def corrupted(name: str, **changes) -> CharacterTable:
    return dataclasses.replace(named(name).character_table, **changes)


def entries(name: str) -> np.ndarray:
    return named(name).characters.copy()


@pytest.mark.parametrize("name", NAMES)
def test_the_table_of_a_group_keeps_the_laws(name):
    g, table = named(name), named(name).character_table
    assert (table.name, table.order) == (g.name, g.order)
    assert (table.degrees**2).sum() == table.order == table.class_sizes.sum()
    weights = table.class_sizes / table.order
    gram = (table.characters * weights) @ table.characters.conj().T
    np.testing.assert_allclose(gram, np.eye(len(weights)), rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        table.characters[:, table.inverse_class], table.characters.conj(), rtol=0, atol=1e-12
    )
    # the classes of inverses and squares by brute force over the elements
    everything = np.arange(g.order)
    np.testing.assert_array_equal(table.inverse_class[g.class_of], g.class_of[g.inverses])
    squares = g.class_of[g.table[everything, everything]]
    np.testing.assert_array_equal(table.square_class[g.class_of], squares)
    for irrep, with_matrices in zip(table.irrep_classes, g.irrep_classes, strict=True):
        for field in ("index", "members", "name", "degree", "frobenius_schur", "frequency"):
            assert getattr(irrep, field) == getattr(with_matrices, field)
        np.testing.assert_array_equal(
            irrep.normalized_character, with_matrices.normalized_character
        )


def test_a_table_does_not_change():
    table = named("S4").character_table
    with pytest.raises(ValueError, match="read-only"):
        table.characters[0, 0] = 2
    given = entries("S4")
    held = corrupted("S4", characters=given)
    given[0, 0] = 2  # the given array stays the caller's
    assert held.characters[0, 0] == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        table.order = 25
    assert repr(table) == "CharacterTable(S4, order 24, 5 classes)"


# ---------------------------------------------------------------------- corrupted tables


@pytest.mark.parametrize("name", ["S4", "Q8", "SL(2,3)", "A5", "C12", "S4~3"])
def test_wrong_class_sizes_are_noticed(name):
    sizes = named(name).class_sizes.copy()
    sizes[-1] += 1
    with pytest.raises(ArithmeticError, match=rf"got the sum {sizes.sum()} and first"):
        corrupted(name, class_sizes=sizes)
    sizes = named(name).class_sizes.copy()
    sizes[:2] = sizes[1::-1] if sizes[1] > 1 else (2, 0)  # the right sum, another first class
    with pytest.raises(ArithmeticError, match="the first being"):
        corrupted(name, class_sizes=sizes)


@pytest.mark.parametrize("name", ["S4", "SL(2,3)", "A5", "S4~3"])
def test_classes_of_each_other_s_sizes_are_noticed(name):
    sizes = named(name).class_sizes.copy()
    a, b = next(
        (a, b) for a in range(1, len(sizes)) for b in range(a) if b and sizes[a] != sizes[b]
    )
    sizes[[a, b]] = sizes[[b, a]]
    with pytest.raises(
        ArithmeticError, match=r"not orthonormal \(residual \d\.\de[+-]0\d, allowed"
    ):
        corrupted(name, class_sizes=sizes)


@pytest.mark.parametrize("name", ["S4", "Q8", "SL(2,3)", "A5", "C12"])
def test_wrong_degrees_are_noticed(name):
    wrong = entries(name)
    wrong[-1] *= 2
    excess = 3 * named(name).degrees[-1] ** 2
    with pytest.raises(ArithmeticError, match=re.escape(f"got a difference of {excess:.1e}")):
        corrupted(name, characters=wrong)


@pytest.mark.parametrize("name", ["S4", "Q8", "SL(2,3)", "A5", "C12"])
@pytest.mark.parametrize("by", [1e-6, 0.5, 1j])
def test_one_wrong_value_is_noticed(name, by):
    generator = np.random.default_rng(0)
    for _ in range(10):
        wrong = entries(name)
        wrong[tuple(generator.integers(1, len(wrong), size=2))] += by
        with pytest.raises(ArithmeticError, match="residual"):
            corrupted(name, characters=wrong)


def test_no_number_is_noticed():
    wrong = entries("S4")
    wrong[2, 3] = np.nan
    with pytest.raises(ArithmeticError, match="residual nan"):
        corrupted("S4", characters=wrong)
    wrong[2, 0] = np.nan
    with pytest.raises(
        ArithmeticError,
        match="expected squared degrees that sum to the order 24, got a difference of nan",
    ):
        corrupted("S4", characters=wrong)


@pytest.mark.parametrize("name", ["S4", "Q8", "SL(2,3)", "C12"])
def test_another_first_row_is_noticed(name):
    wrong = entries(name)
    wrong[[0, 1]] = wrong[[1, 0]]  # orthonormal all the same
    words = rf"row 0 is not the trivial character \(residual {np.abs(wrong[0] - 1).max():.1f}"
    with pytest.raises(ArithmeticError, match=words):
        corrupted(name, characters=wrong, is_cyclic=False)


def test_another_shape_is_noticed():
    with pytest.raises(
        ArithmeticError, match=r"expected characters of shape \(5, 5\), got \(4, 5\)"
    ):
        corrupted("S4", characters=entries("S4")[:4])
    with pytest.raises(
        ArithmeticError, match=r"expected one class of 0\.\.4 for squares of each class"
    ):
        corrupted("S4", square_class=np.array([0, 0, 0, 5, 1]))
    with pytest.raises(
        ArithmeticError, match=r"expected one class of 0\.\.4 for inverses of each class"
    ):
        corrupted("S4", inverse_class=np.array([0, 1, 2, 3, -1]))


def test_wrong_inverses_are_noticed():
    right = named("SL(2,3)").inverse_class
    assert (right != np.arange(7)).any()
    with pytest.raises(
        ArithmeticError, match=r"at inverses are not the conjugates \(residual 1\.7"
    ):
        corrupted("SL(2,3)", inverse_class=np.arange(7))


def test_wrong_squares_are_noticed():
    # Q8 and D4 have the same characters: with the other's squares the types are the other's,
    # and so are possible; squares that make the types impossible are refused.
    q8, d4 = named("Q8").character_table, named("D4").character_table
    assert q8.frobenius_schur[-1] == -1
    assert d4.frobenius_schur[-1] == 1
    with pytest.raises(ArithmeticError, match="Frobenius–Schur indicators"):
        corrupted("Q8", square_class=np.zeros(5, dtype=np.int64))
    with pytest.raises(ArithmeticError, match="Frobenius–Schur"):
        corrupted("SL(2,3)", square_class=np.arange(7))


# ---------------------------------------------------------------------- what can be done with it


@pytest.mark.parametrize("name", ["S4", "A5", "SL(2,3)", "C12", "C23", "Q8xC3", "D6", "S3xC4"])
def test_a_character_table_predicts_as_its_group_does(name):
    penalty = Penalty("homogeneous", 1e-5)
    ours = predict(task(named(name)), penalty=penalty)
    bare = predict(task(named(name).character_table), penalty=penalty)
    assert bare.margin == ours.margin
    assert bare.theorem == ours.theorem
    assert bare.sufficient_width == ours.sufficient_width
    assert bare.theorem9_applies == ours.theorem9_applies
    np.testing.assert_array_equal(bare.masses, ours.masses)
    assert bare.at_penalty == ours.at_penalty
    for f, g in zip(bare.features, ours.features, strict=True):
        assert (f.name, f.status, f.least_share, f.greatest_share) == (
            g.name,
            g.status,
            g.least_share,
            g.greatest_share,
        )


@pytest.mark.parametrize("name", ["S4", "C12", "Q8"])
def test_there_are_no_matrices_without_a_cayley_table(name):
    words = f"{name}: expected a group with a Cayley table, got a character table alone"
    for irrep in named(name).character_table.irrep_classes:
        for attribute in ("unitary", "orthogonal", "isotypic_basis"):
            with pytest.raises(ValueError, match=words):
                getattr(irrep, attribute)
        with pytest.raises(ValueError, match=words):
            irrep.project(np.ones(named(name).order))


# ---------------------------------------------------------------------- corrupted irreps

MATRICES = [
    ("S4", "3a"),
    ("A5", "5a"),
    ("Q8", "2a"),
    ("SL(2,3)", "2a"),
    ("SL(2,3)", "2b"),
    ("D6", "2a"),
    ("S4~3", "2a"),
]


def irrep_of(name: str, label: str):
    return next(i for i in named(name).irrep_classes if i.name == label)


def error(irrep, matrices: np.ndarray, character: np.ndarray | None = None) -> float:
    values = irrep._values if character is None else character
    return irreps.irrep_error(irrep._translations, matrices, values, np.random.default_rng(0))


@pytest.mark.parametrize(("name", "label"), MATRICES)
def test_an_irrep_passes_its_laws(name, label):
    irrep = irrep_of(name, label)
    assert error(irrep, irrep.unitary) < 1e-12


@pytest.mark.parametrize(("name", "label"), MATRICES)
def test_an_irrep_that_is_no_homomorphism_fails(name, label):
    # ρ(g)* has the trace of an irrep and is unitary, but is multiplicative the other way round;
    # ρ with two elements of a class exchanged is unitary with the right trace, too.
    irrep, g = irrep_of(name, label), named(name)
    reversed_order = irrep.unitary.conj().swapaxes(1, 2)
    assert error(irrep, reversed_order, irrep._values.conj()) > 0.1
    members = next(c for c in g.conjugacy_classes if len(c) > 1 and g.element_orders[c[0]] > 1)
    if np.abs(irrep.unitary[members[0]] - irrep.unitary[members[1]]).max() > 0.1:
        exchanged = irrep.unitary.copy()
        exchanged[members[:2]] = exchanged[members[1::-1]]
        assert error(irrep, exchanged) > 0.1


@pytest.mark.parametrize(("name", "label"), MATRICES)
def test_an_irrep_that_is_not_unitary_fails(name, label):
    irrep = irrep_of(name, label)
    degree = irrep.degree
    skew = np.eye(degree) + np.triu(np.full((degree, degree), 1e-3), 1)
    assert 1e-4 < error(irrep, skew @ irrep.unitary @ np.linalg.inv(skew)) < 0.1


@pytest.mark.parametrize(("name", "label"), MATRICES)
def test_an_irrep_with_another_s_trace_fails(name, label):
    irrep = irrep_of(name, label)
    values = irrep._values.copy()
    values[-1] += 1e-4
    assert error(irrep, irrep.unitary, values) == pytest.approx(1e-4, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "parts"), [("S4", ("1a", "2a")), ("S4", ("3a", "3b")), ("Q8", ("1a", "1b"))]
)
def test_a_sum_of_irreps_fails_by_schur_alone(name, parts):
    # a unitary homomorphism with its own trace: all that is wrong is that it is reducible
    first, second = (irrep_of(name, part) for part in parts)
    degree = first.degree + second.degree
    total = np.zeros((named(name).order, degree, degree), dtype=np.complex128)
    total[:, : first.degree, : first.degree] = first.unitary
    total[:, first.degree :, first.degree :] = second.unitary
    assert error(first, total, first._values + second._values) > 1e-3


@pytest.mark.parametrize(("name", "label"), MATRICES)
def test_one_wrong_entry_fails(name, label):
    irrep = irrep_of(name, label)
    generator = np.random.default_rng(0)
    for _ in range(20):
        wrong = irrep.unitary.copy()
        place = tuple(generator.integers(size) for size in wrong.shape)
        wrong[place] += 1e-6
        assert error(irrep, wrong) > 1e-8
