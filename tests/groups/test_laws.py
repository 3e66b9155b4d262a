import numpy as np
import pytest
from group_table import NAMES, named, relabelled
from hypothesis import given, settings
from hypothesis import strategies as st

from marginlens.groups import group, irreps


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
                rho @ rho.conj().swapaxes(1, 2),
                np.broadcast_to(np.eye(rho.shape[1]), rho.shape),
                atol=1e-11,
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


@pytest.mark.parametrize("name", NAMES)
def test_matrix_coefficients_are_orthogonal(name):
    # Schur: (1/n) Σ ρ_ij(g) conj σ_kl(g) = δ / d, here for every pair of irrep classes at once
    g = named(name)
    columns = np.concatenate(
        [i.unitary.reshape(g.order, -1) * np.sqrt(i.degree / g.order) for i in g.irrep_classes], 1
    )
    np.testing.assert_allclose(
        columns.conj().T @ columns, np.eye(columns.shape[1]), rtol=0, atol=1e-11
    )
    for irrep in g.irrep_classes:
        coefficients = irrep.unitary.reshape(g.order, -1)
        for part in (coefficients.real.T, coefficients.imag.T):
            np.testing.assert_allclose(irrep.project(part), part, rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", NAMES)
def test_types_count_square_roots_of_the_identity(name):
    # Frobenius and Schur: Σ ν(χ) χ(1) = #{g : g² = 1}
    g = named(name)
    squares = g.table[np.arange(g.order), np.arange(g.order)]
    assert g.frobenius_schur @ g.degrees == (squares == g.identity).sum()
    for irrep in g.irrep_classes:
        assert (irrep.type == "complex") == (len(irrep.members) == 2)
        if irrep.type == "real":
            assert not irrep.unitary.imag.any()
        assert irrep.orthogonal.shape[1] == irrep.degree * (1 if irrep.type == "real" else 2)
        assert irrep.isotypic_basis.shape == (g.order, irrep.dimension)
    assert sum(irrep.dimension for irrep in g.irrep_classes) == g.order


@pytest.mark.parametrize("name", NAMES)
def test_classes_and_element_orders_by_brute_force(name):
    g = named(name)
    for x in range(0, g.order, max(1, g.order // 12)):
        conjugates = np.unique(g.table[g.table[g.inverses, x], np.arange(g.order)])
        np.testing.assert_array_equal(g.conjugacy_classes[g.class_of[x]], conjugates)
        power, order = x, 1
        while power != g.identity:
            power, order = g.table[power, x], order + 1
        assert order == g.element_orders[x]
        assert g.inverse_class[g.class_of[x]] == g.class_of[g.inverses[x]]
    assert g.conjugacy_classes[0].tolist() == [g.identity]
    np.testing.assert_array_equal(g.conjugate_irrep[g.conjugate_irrep], np.arange(len(g.degrees)))
    np.testing.assert_allclose(g.characters[g.conjugate_irrep], g.characters.conj(), atol=1e-12)


@pytest.mark.parametrize("name", ["C12", "C23", "C12~1"])
def test_frequencies_of_a_cyclic_group(name):
    g = named(name)
    assert g.generator == np.flatnonzero(g.element_orders == g.order)[0]
    assert [i.frequency for i in g.irrep_classes] == list(range(g.order // 2 + 1))
    for irrep in g.irrep_classes:
        at_generator = irrep.unitary[g.generator, 0, 0]
        expected = np.exp(2j * np.pi * irrep.frequency / g.order)
        np.testing.assert_allclose(at_generator, expected, rtol=0, atol=1e-14)
        assert irrep.name == f"k={irrep.frequency}"


def test_names_are_unique_and_the_trivial_class_is_first():
    for name in NAMES:
        names = [irrep.name for irrep in named(name).irrep_classes]
        assert len(set(names)) == len(names)
        assert named(name).irrep_classes[0].members == (0,)
        assert (named(name).characters[0] == 1).all()
    assert [i.name for i in named("S5").irrep_classes] == ["1a", "1b", "4a", "4b", "5a", "5b", "6a"]


def test_every_array_is_the_same_on_every_run_and_read_only():
    first, second = group("S3xC4").irrep_classes, group("S3xC4").irrep_classes
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.isotypic_basis, b.isotypic_basis)
        np.testing.assert_array_equal(a.unitary, b.unitary)
    with pytest.raises(ValueError, match="read-only"):
        first[1].isotypic_basis[0, 0] = 0


@pytest.mark.parametrize("name", ["S6", "SL(2,7)", "D200", "C2xDic30"])
def test_larger_groups_split_completely(name):
    g = group(name)
    columns = np.concatenate([i.isotypic_basis for i in g.irrep_classes], axis=1)
    np.testing.assert_allclose(columns.T @ columns, np.eye(g.order), rtol=0, atol=1e-10)
    values = np.random.default_rng(0).normal(size=g.order)  # uses every unitary irrep, checked
    np.testing.assert_allclose(g.inverse_fourier(g.fourier(values)), values, atol=1e-10)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(["C12", "S4", "Q8", "SL(2,3)", "Dic3"]), st.integers(0, 2**32 - 1))
def test_relabelling_keeps_the_character_table(name, seed):
    original = named(name)
    other, new = relabelled(original, seed)
    # The values at the images of the same elements: the same rows, in some order.
    theirs = other.characters[:, other.class_of[new]]
    ours = original.characters[:, original.class_of]
    overlap = np.abs(theirs @ ours.conj().T) / original.order
    match = overlap.argmax(axis=1)
    assert sorted(match) == list(range(len(match)))
    np.testing.assert_allclose(theirs, ours[match], rtol=0, atol=1e-12)
    np.testing.assert_array_equal(other.frobenius_schur, original.frobenius_schur[match])


def test_a_wrong_character_is_noticed():
    g = named("S4")
    irrep = g.irrep_classes[3]
    wrong = irrep._values.copy()
    wrong[5] += 0.5
    with pytest.raises(
        ArithmeticError,
        match=r"expected a unitary homomorphism of degree 3, got a residual of 5\.0e-01",
    ):
        irreps.unitary_irrep(irrep._translations, irrep.isotypic_basis, wrong, real=True)
    with pytest.raises(
        ArithmeticError, match="expected an isotypic space of dimension 10, got a smaller"
    ):
        irreps.isotypic_basis(irrep._translations, irrep._values.real, 3, 10)


def test_inverse_fourier_wants_every_coefficient():
    with pytest.raises(
        ValueError, match="expected 5 coefficients, one for each class of irreps, got 1"
    ):
        named("S4").inverse_fourier([np.ones((1, 1), dtype=complex)])
