"""Groups from generators, against sympy and against families known otherwise."""

import itertools

import numpy as np
import pytest
from group_table import named
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy.combinatorics import Permutation, PermutationGroup

from marginlens.groups import group
from marginlens.groups.generated import generated_table, table_from_translations
from marginlens.tasks import task
from marginlens.theory import predict

permutations = st.lists(st.permutations(range(5)), min_size=1, max_size=3)


def cycles(images: list[int]) -> str:
    """A permutation of 0, 1, ... in cycle notation from 1."""
    return (
        "".join(
            "(" + ",".join(str(point + 1) for point in cycle) + ")"
            for cycle in Permutation(images).cyclic_form
        )
        or "()"
    )


@settings(max_examples=40, deadline=None)
@given(permutations)
def test_permutations_generate_the_group_that_sympy_says(generators):
    found = group("<" + ",".join(cycles(images) for images in generators) + ">")
    assert found.order == PermutationGroup([Permutation(list(g)) for g in generators]).order()
    assert found.identity == 0


@settings(max_examples=30, deadline=None)
@given(
    st.integers(2, 6), st.lists(st.lists(st.integers(-9, 9), min_size=4, max_size=4), max_size=2)
)
def test_matrices_generate_a_group_or_are_refused(modulus, entries):
    matrices = [[row[:2], row[2:]] for row in entries] or [[[1, 1], [0, 1]]]
    units = {u for u in range(modulus) if np.gcd(u, modulus) == 1}
    spec = f"<{','.join(map(str, matrices))}> mod {modulus}"
    if all((a * d - b * c) % modulus in units for (a, b), (c, d) in matrices):
        found = group(spec)  # its table is validated
        # brute force: products until nothing new appears
        seen = {(1 % modulus, 0, 0, 1 % modulus)}
        fresh = set(seen)
        while fresh:
            fresh = {
                tuple(np.array(x).reshape(2, 2).dot(np.array(m)).reshape(-1) % modulus)
                for x in fresh for m in matrices
            } - seen  # fmt: skip
            seen |= fresh
        assert found.order == len(seen)
    else:
        with pytest.raises(ValueError, match="is singular modulo"):
            group(spec)


def test_products_are_composed_from_the_right():
    """(pq)(i) = p(q(i)), as in the family S_n."""
    elements = list(itertools.permutations(range(3)))
    found = group("<(1,2,3),(1,2)>")
    first, second = found.table[0, 1], found.table[0, 2]  # the generators, found in this order
    p, q = (1, 2, 0), (1, 0, 2)  # (1,2,3) and (1,2) as images of 0, 1, 2
    product = tuple(p[q[i]] for i in range(3))
    s3 = group("S3")
    index = {element: i for i, element in enumerate(elements)}
    assert s3.table[index[p], index[q]] == index[product]
    written = group(f"<{cycles(list(p))},{cycles(list(q))},{cycles(list(product))}>")
    assert written.table[first, second] == 3  # the product is the third generator, found next
    assert generated_table("<(1,2)(2,3)>").shape == (3, 3)


@pytest.mark.parametrize(
    ("spec", "same"),
    [
        ("<(1,2,3),(1,2)>", "S3"),
        ("<(1,2,3,4,5,6,7)>", "C7"),
        ("<(1,2,3,4,5),(1,2,3)>", "A5"),
        ("< ( 1 , 2 , 3 , 4 ) , (1,3) >", "D4"),
        ("<[[1,1],[0,1]],[[1,0],[1,1]]> mod 3", "SL(2,3)"),
        ("<[[0,-1],[1,0]],[[1,1],[1,-1]]> mod 3", "Q8"),
        ("<[[2]]> mod 11", "C10"),
        ("<()>", "C1"),
    ],
)
def test_known_groups(spec, same):
    found, other = group(spec), named(same) if same in ("C7", "S3") else group(same)
    assert found.order == other.order
    assert sorted(found.element_orders) == sorted(other.element_orders)
    if found.order > 1:
        assert predict(task(spec)).margin == pytest.approx(predict(task(other)).margin, rel=1e-12)


def test_names_have_no_spaces():
    assert group("< (1,2, 3) , (1,2) >").name == "<(1,2,3),(1,2)>"
    assert group("<[[1, 1],[0, 1]]>   mod 5").name == "<[[1,1],[0,1]]> mod 5"
    assert task("compose(<(1,2,3),(1,2)>,3)").name == "compose(<(1,2,3),(1,2)>,3)"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("<>", "has no generators"),
        ("<(1,2", "no list of generators"),
        ("<(1,2>", "malformed cycles"),
        ("<(1 2)>", "malformed cycles"),
        ("<(1,2),,(1,3)>", "malformed cycles"),
        ("<(1,2,1)>", "names 1 twice"),
        ("<(0,1)>", "numbered from 1"),
        ("<(1,200)>", "point 200 is above 100"),
        ("<(1,2)> mod 5", "a modulus belongs to matrices"),
        ("<[[1,1],[0,1]]>", "matrices need a modulus"),
        ("<[[1,1],[0,1]]> mod 1", "the modulus must be 2 to"),
        ("<[[1,1],[0,1]]> mod 99999999", "the modulus must be 2 to"),
        ("<[[1,1],[1,1]]> mod 3", "singular modulo 3: its determinant 0"),
        ("<[[2,0],[0,1]]> mod 4", "singular modulo 4: its determinant 2"),
        ("<[[1,1]]> mod 3", "is not a square matrix"),
        ("<[[1.5]]> mod 3", "is not a square matrix"),
        ("<[[true]]> mod 3", "is not a square matrix"),
        ("<[[1]],[[1,0],[0,1]]> mod 3", "matrices of different sizes"),
        ("<[[1,1],[0,1]> mod 3", "malformed matrices"),
        ("<(1,2,3,4,5,6,7,8,9,10,11,12),(1,2)>", "has order 479001600, which would take about"),
        (
            "<(" + ",".join(map(str, range(1, 41))) + "),(1,2)>",
            r"has order about 10\^48, which would take about 10\^",
        ),
        ("<[[1,1],[0,1]],[[1,0],[1,1]]> mod 97", "more than 2000 elements"),
    ],
)
def test_bad_generators_are_refused_in_one_line(spec, words):
    with pytest.raises(ValueError, match=words) as caught:
        group(spec)
    assert "\n" not in str(caught.value)


def test_generators_that_reach_too_little_are_noticed():
    with pytest.raises(ValueError, match="reach only 2 of 4"):
        table_from_translations([np.array([1, 0, 3, 2])])


def test_a_group_of_order_two_thousand():
    points = ",".join(str(2 + i) for i in range(99))
    assert group(f"<(1,{points[: points.rindex(',')]})>").order == 99
    heisenberg = group("<[[1,1,0],[0,1,0],[0,0,1]],[[1,0,0],[0,1,1],[0,0,1]]> mod 11")
    assert heisenberg.order == 1331
    assert len(heisenberg.class_sizes) == 11**2 + 11 - 1
