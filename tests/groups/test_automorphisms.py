"""Automorphisms: known groups, and laws."""

import numpy as np
import pytest

from marginlens.groups import FiniteGroup, feature_permutations, group
from marginlens.groups.automorphisms import induced, outer_automorphisms


@pytest.mark.parametrize("n", [3, 5, 7, 8, 9, 12, 15])
def test_on_cyclic_groups_the_search_finds_what_the_formula_says(n):
    cyclic = group(f"C{n}")
    found = outer_automorphisms(cyclic)
    assert len(found) == sum(np.gcd(a, n) == 1 for a in range(1, n))
    assert np.array_equal(induced(cyclic, found), feature_permutations(cyclic))


@pytest.mark.parametrize(
    ("name", "count"),
    [("S3", 1), ("S4", 1), ("S5", 1), ("A4", 1), ("A5", 2), ("Q8", 6), ("D4", 2), ("C2xC2", 6),
     ("D5", 2), ("C3xC3", 24)],
)  # fmt: skip
def test_known_groups(name, count):
    """Out(Q8) = S3 permutes three characters; Out(C2xC2) = GL(2,2); on C3xC3 GL(2,3) / -1."""
    assert len(feature_permutations(group(name))) == count


@pytest.mark.slow
def test_the_four_of_a6():
    assert len(feature_permutations(group("A6"))) == 4


@pytest.mark.parametrize("name", ["A5", "D4", "Q8", "C4xC2", "D6", "C15"])
def test_they_keep_degrees_and_types_and_form_a_group(name):
    whole = group(name)
    irreps = whole.irrep_classes[1:]
    rows = {tuple(row) for row in feature_permutations(whole).tolist()}
    kinds = [(irrep.degree, irrep.type) for irrep in irreps]
    for row in rows:
        assert sorted(row) == list(range(len(irreps)))
        assert [kinds[i] for i in row] == kinds
        assert {tuple(row[i] for i in other) for other in rows} == rows


def test_every_one_is_a_homomorphism():
    d6 = group("D6")
    for phi in outer_automorphisms(d6):
        assert sorted(phi) == list(range(12))
        assert np.array_equal(phi[d6.table], d6.table[np.ix_(phi, phi)])


def test_another_numbering_of_the_elements_changes_nothing():
    a5 = group("A5")
    order = np.random.default_rng(1).permutation(60)
    place = np.argsort(order)
    table = place[a5.table[np.ix_(order, order)]]
    assert len(feature_permutations(FiniteGroup(table, "relabelled"))) == 2


def test_a_group_with_too_many_generators_is_refused():
    with pytest.raises(ValueError, match="too many"):
        feature_permutations(group("C2xC2xC2xC2xC2xC2"))
