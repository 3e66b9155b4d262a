"""Groups from generators: against SymPy, against our families, and what is refused."""

import itertools
import math

import numpy as np
import pytest
from group_table import named, relabelled
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Matrix
from sympy.combinatorics import Permutation, PermutationGroup

from marginlens.groups import FiniteGroup, group
from marginlens.groups.generated import _determinant, generated_table, table_from_translations
from marginlens.groups.permutation_order import permutation_order

permutations = st.integers(1, 6).flatmap(
    lambda degree: st.lists(st.permutations(range(degree)), min_size=1, max_size=3)
)


def cycles(images) -> str:
    """A permutation of 0, 1, … as cycles of the points 1, 2, …; fixed points are written too."""
    written, seen = "", set()
    for start in range(len(images)):
        cycle, point = [], start
        while point not in seen:
            seen.add(point)
            cycle.append(point + 1)
            point = images[point]
        if cycle:
            written += f"({','.join(map(str, cycle))})"
    return written


def closure(generators: list[tuple], multiply) -> list[tuple]:
    """Every element, numbered as documented: breadth first, multiplying from the right."""
    size = len(generators[0])
    elements = [tuple(range(size))] if multiply is compose else [identity_matrix(size)]
    for element in elements:
        for generator in generators:
            product = multiply(element, generator)
            if product not in elements:
                elements.append(product)
    return elements


def compose(p: tuple, q: tuple) -> tuple:
    return tuple(p[q[i]] for i in range(len(q)))


def identity_matrix(size: int) -> tuple:
    return tuple(tuple(int(i == j) for j in range(size)) for i in range(size))


def times(modulus: int):
    def multiply(a: tuple, b: tuple) -> tuple:
        n = range(len(a))
        return tuple(tuple(sum(a[i][k] * b[k][j] for k in n) % modulus for j in n) for i in n)

    return multiply


def assert_table(table: np.ndarray, elements: list[tuple], multiply) -> None:
    index = {element: i for i, element in enumerate(elements)}
    expected = [[index[multiply(a, b)] for b in elements] for a in elements]
    np.testing.assert_array_equal(table, expected)


# ---------------------------------------------------------------------- what is generated


@settings(max_examples=60, deadline=None)
@given(permutations)
def test_a_permutation_group_is_the_closure_of_its_generators(generators):
    g = group("<" + ",".join(cycles(images) for images in generators) + ">")
    order = PermutationGroup(*(Permutation(list(images)) for images in generators)).order()
    assert g.order == order
    assert g.identity == 0
    elements = closure([tuple(images) for images in generators], compose)
    if order <= 120:
        assert_table(g.table, elements, compose)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_matrix_group_is_the_closure_of_its_generators(data):
    size, modulus = data.draw(st.sampled_from([(1, 7), (1, 60), (2, 2), (2, 3), (2, 4), (3, 2)]))
    entries = st.lists(st.integers(-9, 9), min_size=size, max_size=size)
    matrix = st.lists(entries, min_size=size, max_size=size).filter(
        lambda rows: math.gcd(int(Matrix(rows).det()), modulus) == 1
    )
    generators = data.draw(st.lists(matrix, min_size=1, max_size=3))
    spec = f"<{','.join(map(str, generators))}> mod {modulus}"
    reduced = [tuple(tuple(x % modulus for x in row) for row in rows) for rows in generators]
    elements = closure(reduced, times(modulus))
    assert_table(group(spec).table, elements, times(modulus))


def test_the_comparison_fails_on_a_wrong_table():
    elements = closure([(1, 2, 0), (1, 0, 2)], compose)
    table = generated_table("<(1,2,3),(1,2)>")
    assert_table(table, elements, compose)
    with pytest.raises(AssertionError):
        assert_table(table.T, elements, compose)  # composed from the other side
    with pytest.raises(AssertionError):
        assert_table(table[:, [0, 2, 1, 3, 4, 5]], elements, compose)


def test_the_convention_is_that_of_the_symmetric_groups():
    # (1,2,3)(1,2) = (1,3): 1 → 2 → 3, 2 → 1 → 2, 3 → 3 → 1
    assert group("<(1,2,3)(1,2)>").order == 2
    s4, ours = named("S4"), group("<(1,2,3,4),(1,2)>")
    index = {p: i for i, p in enumerate(itertools.permutations(range(4)))}
    elements = closure([(1, 2, 3, 0), (1, 0, 2, 3)], compose)
    new = np.array([index[element] for element in elements])
    np.testing.assert_array_equal(new[ours.table], s4.table[np.ix_(new, new)])


@pytest.mark.parametrize(
    ("spec", "same"),
    [
        ("<(1,2,3,4,5)>", "C5"),
        ("<(1,2,3,4),(1,3)>", "D4"),
        ("<(1,2,3),(3,4,5)>", "A5"),
        ("<[[1,1],[0,1]],[[0,-1],[1,0]]> mod 3", "SL(2,3)"),
        ("<[[0,1],[-1,0]],[[1,1],[1,-1]]> mod 3", "Q8"),
        ("<[[2]]> mod 11", "C10"),
        ("<(1,2),(3,4),(5,6,7,8)>", "C2xC2xC4"),
        (" < ( 1 , 2 ) ( 3 , 4 ) , ( 1 , 3 ) ( 2 , 4 ) > ", "C2xC2"),
        ("<()>", "C1"),
        ("<(3)>", "C1"),
        ("<[[1,0],[0,1]]>mod 5", "C1"),
    ],
)
def test_known_groups_have_the_characters_of_their_families(spec, same):
    ours, theirs = group(spec), named(same)

    def signature(g):
        table = g.character_table
        return sorted(zip(table.degrees.tolist(), table.frobenius_schur.tolist(), strict=True))

    assert ours.order == theirs.order
    assert signature(ours) == signature(theirs)
    orders = [np.sort(g.element_orders).tolist() for g in (ours, theirs)]
    assert orders[0] == orders[1]


@settings(max_examples=20, deadline=None)
@given(permutations.filter(lambda found: len(found[0]) <= 5), st.integers(0, 2**32 - 1))
def test_characters_do_not_depend_on_the_generators_order_or_the_numbering(generators, seed):
    words = [cycles(images) for images in generators]
    first = group(f"<{','.join(words)}>")
    for other in (group(f"<{','.join(words[::-1])}>"), relabelled(first, seed)[0]):
        assert_same_characters(first, other)


def assert_same_characters(first: FiniteGroup, other: FiniteGroup) -> None:
    """Equal tables up to the order of rows and columns: the same multisets, line by line."""
    for axis in (0, 1):
        lines = [
            sorted(
                tuple(sorted((round(x.real, 9) + 0.0, round(x.imag, 9) + 0.0) for x in line))
                for line in np.moveaxis(g.characters, axis, 0)
            )
            for g in (first, other)
        ]
        assert lines[0] == lines[1]
    assert sorted(first.class_sizes) == sorted(other.class_sizes)


def test_the_comparison_of_characters_fails_on_another_group():
    assert_same_characters(named("D4"), group("<(1,2,3,4),(1,3)>"))
    with pytest.raises(AssertionError):
        assert_same_characters(named("C2xC4"), named("D4"))
    with pytest.raises(AssertionError):
        assert_same_characters(named("S4"), named("SL(2,3)"))


def test_names_are_tidy():
    assert group("< (1, 2, 3), (1, 2) >").name == "<(1,2,3),(1,2)>"
    assert group("<[[1,1], [0,1]]>mod  3").name == "<[[1,1],[0,1]]> mod 3"
    assert group("<(1,2)>", name="signs").name == "signs"


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("<>", "expected at least one generator, got '<>'"),
        ("<  >", "expected at least one generator, got '<  >'"),
        ("<(1,2)", r"expected a list of generators, got '<\(1,2\)'"),
        ("<(1,2)>xC3", r"expected a list of generators, got '<\(1,2\)>xC3'"),
        ("<(1,2,3),(1,2)> mod", r"expected a list of generators, got '<\(1,2,3\),\(1,2\)> mod'"),
        (
            "<(1 2 3)>",
            r"expected permutations separated by commas, got malformed cycles '<\(1 2 3\)>'",
        ),
        ("<(1,2),>", "malformed cycles"),
        ("<1,2>", "malformed cycles"),
        ("<(1,-2)>", "malformed cycles"),
        ("<(1,2.5)>", "malformed cycles"),
        ("<(1,2))>", "malformed cycles"),
        ("<((1,2))>", "malformed cycles"),
        ("<(1,٣)>", "malformed cycles"),  # a digit, but not of ours
        ("<(1,2,1)>", "expected each point once in a cycle, got 1 twice"),
        ("<(3,3)>", "expected each point once in a cycle, got 3 twice"),
        ("<(0,1)>", "expected points from 1, got 0"),
        ("<(1,101)>", "expected points up to 100, got 101; renumber the points or give a Cayley"),
        ("<(1,1000)>", "expected points up to 100, got 1000; renumber the points or give a Cayley"),
        (
            f"<(1,{'9' * 5000})>",
            "expected points up to 100, got 99999999999999999999…; renumber the points",
        ),
        ("<(1,2)> mod 3", "expected a modulus for matrices only, got one for permutations"),
        ("<[[1,1],[0,1]]>", "expected matrices with a modulus"),
        ("<[[1,1],[0,1]]> mod 0", "expected a modulus from 2 to 1000000, got 0"),
        ("<[[1,1],[0,1]]> mod 1", "expected a modulus from 2 to 1000000, got 1"),
        ("<[[1,1],[0,1]]> mod 1000001", "expected a modulus from 2 to 1000000, got 1000001"),
        (
            f"<[[1]]> mod {'9' * 5000}",
            "expected a modulus from 2 to 1000000, got 99999999999999999999…",
        ),
        ("<[[1,1],[0,1]> mod 5", "expected matrices as rows in brackets, got malformed matrices"),
        ("<[[1,1],[0,x]]> mod 5", "malformed matrices"),
        (f"<[[{'9' * 5000}]]> mod 5", "malformed matrices"),
        (f"<{'[' * 10**5}> mod 5", "malformed matrices"),
        ("<[[1,1],[0,1]],7> mod 5", "expected a square integer matrix of at most 12 rows, got 7"),
        (
            "<[[1,1]]> mod 5",
            r"expected a square integer matrix of at most 12 rows, got \[\[1, 1\]\]",
        ),
        (
            "<[[1,1],[1]]> mod 5",
            r"expected a square integer matrix of at most 12 rows, got \[\[1, 1\], \[1\]\]",
        ),
        ("<[]> mod 5", r"expected a square integer matrix of at most 12 rows, got \[\]"),
        ("<[[1.0]]> mod 5", "expected a square integer matrix of at most 12 rows, got"),
        ("<[[true]]> mod 5", "expected a square integer matrix of at most 12 rows, got"),
        ("<[[NaN]]> mod 5", "expected a square integer matrix of at most 12 rows, got"),
        (f"<{np.eye(13, dtype=int).tolist()}> mod 2", "of at most 12 rows"),
        ("<[[1,1],[0,1]],[[1]]> mod 5", "expected matrices of one size, got 1, 2 rows"),
        (
            "<[[2,0],[0,1]]> mod 4",
            r"expected invertible matrices modulo 4, got \[\[2, 0\], \[0, 1\]\] with",
        ),
        (
            "<[[1,1],[1,1]]> mod 5",
            r"expected invertible matrices modulo 5, got \[\[1, 1\], \[1, 1\]\] with",
        ),
        (
            "<[[0,3],[2,0]]> mod 6",
            r"expected invertible matrices modulo 6, got \[\[0, 3\], \[2, 0\]\] with",
        ),
    ],
)
def test_bad_generators_are_refused(spec, words):
    with pytest.raises(ValueError, match=words) as caught:
        group(spec)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("degree", "order"),
    [(7, "got 5040, which would take about 2.03 GB"), (8, "got 40320"), (100, "about 10^158")],
)
def test_a_group_too_large_is_refused_with_its_order(degree, order):
    cycle = ",".join(map(str, range(1, degree + 1)))
    with pytest.raises(ValueError, match="expected an order of at most 2000") as caught:
        group(f"<({cycle}),(1,2)>")
    assert order in str(caught.value)


def test_many_generators_take_no_memory():
    words = [cycles(np.random.default_rng(i).permutation(100).tolist()) for i in range(400)]
    with pytest.raises(
        ValueError, match=r"expected an order of at most 2000, got about 10\^158, which would take"
    ):
        group(f"<{','.join(words)}>")


def test_a_matrix_group_too_large_is_refused_with_the_limit():
    with pytest.raises(
        ValueError,
        match=r"expected at most 2000 elements, got more; its table would take over 0\.32",
    ):
        group("<[[1,1],[0,1]]> mod 1000000")
    assert group("<[[1,1],[0,1]]> mod 2000").order == 2000


def test_order_2000_is_accepted():
    c5 = ["(1,2,3,4,5)", "(6,7,8,9,10)", "(11,12,13,14,15)"]
    assert (
        group(f"<{','.join(c5)},(16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31)>").order == 2000
    )
    assert group("<[[1,1],[0,1]],[[-1,0],[0,1]]> mod 1000").order == 2000


# ---------------------------------------------------------------------- the algorithms


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 9).flatmap(
        lambda degree: st.lists(st.permutations(range(degree)), min_size=1, max_size=4)
    )
)
def test_the_order_of_a_permutation_group_is_sympy_s(generators):
    theirs = PermutationGroup(*(Permutation(list(images)) for images in generators)).order()
    assert permutation_order([np.array(images) for images in generators]) == theirs


def test_orders_that_are_known():
    def orders(*generators):
        return permutation_order([np.array(images) for images in generators])

    swap, rotate = [1, 0, *range(2, 100)], [*range(1, 100), 0]
    assert orders(swap, rotate) == math.factorial(100)
    pairs = [(i + 2) % 100 for i in range(100)]  # S2 wr S50
    exchange = [2, 3, 0, 1, *range(4, 100)]
    assert orders(swap, pairs, exchange) == 2**50 * math.factorial(50)
    m11 = ["(1,2,3,4,5,6,7,8,9,10,11)", "(3,7,11,8)(4,10,5,6)"]
    with pytest.raises(
        ValueError,
        match=r"expected an order of at most 2000, got 7920, which would take about 5\.02",
    ):
        group(f"<{','.join(m11)}>")


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 5).flatmap(
        lambda n: st.lists(
            st.lists(st.integers(-3, 3), min_size=n, max_size=n), min_size=n, max_size=n
        )
    )
)
def test_determinants_are_sympy_s(rows):
    assert _determinant([list(row) for row in rows]) == Matrix(rows).det()


def test_translations_that_do_not_generate_are_refused():
    with pytest.raises(ValueError, match="expected generators of all 4 elements, got 2 elements"):
        table_from_translations([np.array([2, 3, 0, 1])])


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(["S4", "Q8", "C12", "S4~3", "SL(2,3)~4"]))
def test_a_table_comes_back_from_its_translations(name):
    g = named(name)
    table = table_from_translations([g.table[:, a] for a in g.generators], g.identity)
    np.testing.assert_array_equal(table, g.table)
