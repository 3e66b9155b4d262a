"""Every usual spelling is one group with one name; what is none gets the nearest that is."""

import itertools
from collections import Counter

import numpy as np
import pytest
from gap_oracle import needs_gap
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy.combinatorics import Permutation, PermutationGroup
from sympy.combinatorics.named_groups import (
    AbelianGroup,
    AlternatingGroup,
    CyclicGroup,
    DihedralGroup,
    SymmetricGroup,
)

from marginlens.groups import UnknownGroupError, group, is_group_name
from marginlens.groups.fields import finite_field
from marginlens.groups.gap import run_gap
from marginlens.groups.names import named_group
from marginlens.tasks import task

SPELLINGS = {
    "C5": [
        "c5",
        "Z5",
        "C_5",
        "C_{5}",
        "C₅",
        "Z/5",
        "Z/5Z",
        "ℤ/5",
        "ℤ/5ℤ",
        "Z/(5)",
        "Cyclic(5)",
        "z_5",
    ],
    "D5": ["d5", "Dih5", "D_5", "Dihedral(5)", "Dih(5)", "Ｄ５"],
    "S4": ["s4", "Sym(4)", "Sym4", "SymmetricGroup(4)", "S_4"],
    "A4": ["a4", "Alt(4)", "A₄"],
    "Q8": ["q8", "Q_8", " Q8 ", "Quaternion(8)"],
    "Dic3": ["dic3", "DIC(3)", "Dicyclic3"],
    "QD16": ["SD16", "qd16"],
    "MMC16": ["mmc16", "ModularMaximalCyclic(16)"],
    "C2xC2": [
        "V4",
        "v4",
        "K4",
        "Klein4",
        "C2×C2",
        "C2*C2",
        "C2^2",
        "Z2 x Z2",
        "C_2^{2}",
        "C2 ⊕ C2",
    ],
    "C2xC2xC2": ["C2^3", "V4xC2", "(C2xC2)xC2", "C2x(C2^2)", "Z/2 × V4", "C2³", "C2**3"],
    "C2xC4": ["Z2xZ4", "C2XC4", "Z/2Z x Z/4Z"],
    "S3xC4": ["S3 x C4", "S3×C4", "s3*z4", "S3 X Z/4"],
    "SL(2,3)": ["sl(2,3)", "SL2(3)", "SL_2(3)", "SL(2, F3)", "SL( 2 , 3 )", "SL(2,GF(3))", "2T"],
    "SL(2,4)": ["SL(2,2^2)", "SL2(F_4)"],
    "GL(2,3)": ["gl2(3)", "GL(2,Z/3)"],
    "PSL(2,7)": ["psl(2,7)", "L2(7)", "L(2,7)", "PSL_2(7)"],
    "PGL(2,5)": ["pgl2(5)"],
    "AGL(1,5)": ["F20", "F_20", "Frob20", "agl(1,5)"],
    "AGL(1,8)": ["F56"],
    "Heis(3)": ["He3", "heis3", "Heisenberg(3)"],
    "C7:C3": ["F21", "C7 : C3", "7:3", "C7⋊C3", "Z7:Z3"],
    "C3:C4": ["C3 ⋊ C4"],
    "C8:C2[5]": ["c8:c2[5]"],
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_spelling_is_the_group_of_one_name(name):
    ours = named_group(name)
    assert ours.name == name
    for spelling in SPELLINGS[name]:
        other = group(spelling)
        assert other.name == name
        np.testing.assert_array_equal(other.table, ours.table())


def of_sympy(perms: PermutationGroup) -> tuple:
    """Order, number of classes, and how many elements have which order."""
    return (
        perms.order(),
        len(perms.conjugacy_classes()),
        Counter(element.order() for element in perms.elements),
    )


def of_ours(spelling: str) -> tuple:
    ours = group(spelling)
    return ours.order, len(ours.class_sizes), Counter(ours.element_orders.tolist())


def acting(points, *maps) -> PermutationGroup:
    """The permutations that some maps make of points."""
    place = {point: i for i, point in enumerate(points)}
    return PermutationGroup([Permutation([place[f(point)] for point in points]) for f in maps])


def linear(p: int, *matrices) -> PermutationGroup:
    """Matrices modulo p, on vectors."""
    points = list(itertools.product(range(p), repeat=len(matrices[0])))

    def maps(m):
        return lambda v: tuple(sum(a * b for a, b in zip(row, v, strict=True)) % p for row in m)

    return acting(points, *map(maps, matrices))


def moebius(p: int, *matrices) -> PermutationGroup:
    """x → (ax + b)/(cx + d) on the projective line over F_p; p stands for infinity."""

    def maps(m):
        (a, b), (c, d) = m

        def f(x):
            top, bottom = (a, c) if x == p else ((a * x + b) % p, (c * x + d) % p)
            return p if bottom % p == 0 else top * pow(bottom, -1, p) % p

        return f

    return acting(list(range(p + 1)), *map(maps, matrices))


UP, DOWN = [[1, 1], [0, 1]], [[1, 0], [1, 1]]
ORACLES = {
    "C12": lambda: CyclicGroup(12),
    "D4": lambda: DihedralGroup(4),
    "D5": lambda: DihedralGroup(5),
    "A4": lambda: AlternatingGroup(4),
    "S4": lambda: SymmetricGroup(4),
    "C2^3": lambda: AbelianGroup(2, 2, 2),
    "Z2xZ4": lambda: AbelianGroup(2, 4),
    "S3xC4": lambda: acting(
        [(i, 0) for i in range(3)] + [(i, 1) for i in range(4)],
        lambda x: ((x[0] + 1) % 3, 0) if x[1] == 0 else x,
        lambda x: (-x[0] % 3, 0) if x[1] == 0 else x,
        lambda x: ((x[0] + 1) % 4, 1) if x[1] == 1 else x,
    ),
    "SL(2,3)": lambda: linear(3, UP, DOWN),
    "SL(2,4)": lambda: AlternatingGroup(5),
    "SL(2,5)": lambda: linear(5, UP, DOWN),
    "GL(2,3)": lambda: linear(3, UP, DOWN, [[2, 0], [0, 1]]),
    "GL(3,2)": lambda: linear(
        2, [[1, 1, 0], [0, 1, 0], [0, 0, 1]], [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
    ),
    "PSL(2,7)": lambda: moebius(7, UP, DOWN),
    "PGL(2,5)": lambda: moebius(5, UP, DOWN, [[2, 0], [0, 1]]),
    "PSL(2,9)": lambda: AlternatingGroup(6),
    "PGL(2,4)": lambda: AlternatingGroup(5),
    "F20": lambda: acting(range(5), lambda x: (x + 1) % 5, lambda x: 2 * x % 5),
    "AGL(1,9)": lambda: linear(  # 3^2 : 8, the powers of a Singer cycle, with translations
        3, [[0, 1, 0], [1, 1, 0], [0, 0, 1]], [[1, 0, 1], [0, 1, 0], [0, 0, 1]]
    ),
    "Heis(3)": lambda: linear(
        3, [[1, 1, 0], [0, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 1], [0, 0, 1]]
    ),
    "C7:C3": lambda: acting(range(7), lambda x: (x + 1) % 7, lambda x: 2 * x % 7),
    "C8:C2[3]": lambda: acting(range(8), lambda x: (x + 1) % 8, lambda x: 3 * x % 8),
    "QD16": lambda: acting(range(8), lambda x: (x + 1) % 8, lambda x: 3 * x % 8),
    "MMC16": lambda: acting(range(8), lambda x: (x + 1) % 8, lambda x: 5 * x % 8),
    "C8:C2[5]": lambda: acting(range(8), lambda x: (x + 1) % 8, lambda x: 5 * x % 8),
    "C3:C4": lambda: acting(
        [(i, j) for i in range(3) for j in range(4)],
        lambda x: ((x[0] + 1) % 3, x[1]),
        lambda x: (-x[0] % 3, (x[1] + 1) % 4),
    ),
}


@pytest.mark.parametrize("name", ORACLES)
def test_a_named_group_is_that_of_permutations(name):
    """Order, number of classes and element orders, by SymPy."""
    assert of_ours(name) == of_sympy(ORACLES[name]())


@pytest.mark.parametrize("q", [2, 3, 4, 8, 9, 25, 27])
def test_a_field_is_a_field(q):
    field = finite_field(q)
    every = np.arange(q)
    sums, products = field.sums, field.products
    assert (group(sums).element_orders <= max(d for d in (2, 3, 5) if q % d == 0)).all()
    assert group(products[1:, 1:] - 1).generator is not None
    np.testing.assert_array_equal(
        products[every[:, None, None], sums[every[:, None], every]],
        sums[products[:, :, None], products[:, None, :]],
    )


def test_the_order_that_is_checked_is_that_of_the_table():
    for name in (
        "GL(2,4)",
        "SL(3,2)",
        "PGL(2,7)",
        "PSL(2,8)",
        "AGL(2,3)",
        "AGL(1,11)",
        "Heis(4)",
        "PSL(2,11)",
        "AGL(3,2)",
        "C9:C6",
        "PSL(3,2)",
        "QD32",
    ):
        made = named_group(name)
        assert len(made.table()) == round(10**made.log10_order)


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("D8", "D8 is the dihedral group of order 16 (D_n has order 2n); for order 8 write D4"),
        ("D5", ""),
        ("D8xD8", "D8 is the dihedral group of order 16 (D_n has order 2n); for order 8 write D4"),
        ("Dic12", "Dic12 has order 48 (Dic_n has order 4n); for order 12 write Dic3"),
        ("C7:C3", "C7:C3: the generator of C3 acts on C7 as x → 2x, faithfully"),
        ("C3:C4", "C3:C4: the generator of C4 acts on C3 as x → 2x, not faithfully"),
        (
            "C8:C2",
            "C8:C2[3]: the generator of C2 acts on C8 as x → 3x, faithfully; other actions: "
            "C8:C2[5], C8:C2[7]",
        ),
    ],
)
def test_what_a_name_may_be_taken_for_is_said(name, note):
    assert named_group(name).note == task(name).note == note


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Q7", "expected order 8, 16, 32, … of a generalized quaternion group; did you"),
        ("Q20", "the dicyclic group of order 20 is Dic5"),
        ("D∞", "expected a finite group, got the infinite group 'D∞'"),
        ("Dinf", "infinite"),
        ("Z", "infinite"),
        ("SO(3)xC2", "infinite"),
        ("GL(2,R)", "infinite"),
        ("PLS(2,7)", "unknown group 'PLS(2,7)'; did you mean PSL(2,7)?"),
        ("S3xDc4", "did you mean S3xD"),
        ("t", "unknown group 't'; expected a name"),
        ("cylic7", "did you mean C7?"),
        ("GL(2,6)", "expected a prime power as order of the field, such as 2, 3, 4 or 5, got 6"),
        ("SL(1,3)", "at least 2 rows, got 1"),
        ("C5:C3", "expected a nontrivial action, but C3 acts on C5 only trivially"),
        ("C8:C2[4]", "expected a nontrivial action x → rx of C2 on C8, got r = 4"),
        ("A4:C4", "expected a semidirect product of two cyclic groups"),
        ("F23", "expected the order of a Frobenius group, got 23"),
        ("PSL(3,7)", "expected an order of at most 2000, got 1876896, which would take about"),
        ("SL(99999999999999,2)", "expected an order of at most 2000, got about"),
        ("C2^99", "expected a power from 1 to 20, got 99"),
        ("((C1^20)^20)^20", "too many factors"),
        ("(" * 100 + "C2", "unknown group"),
        ("C9" * 150, "a name of 300 characters"),
    ],
)
def test_what_is_no_group_gets_a_line_that_helps(text, words):
    with pytest.raises(ValueError, match=r".") as caught:
        group(text)
    message = str(caught.value)
    assert words in message
    assert "\n" not in message
    assert len(message) < 300


def test_a_suggestion_is_at_hand_for_programs():
    with pytest.raises(UnknownGroupError) as caught:
        group("Dh5")
    assert caught.value.suggestion == "D5"


@settings(max_examples=100, deadline=None)
@given(st.text("CSDQAGLPxX×*^:[]()0123456789 _Z/∞", max_size=12))
def test_what_is_read_has_a_name_that_is_read_as_the_same(text):
    read, said = None, ""
    try:
        read = named_group(text)
    except ValueError as error:
        said = str(error)
    if read is None:
        assert len(said.splitlines()) == 1
        return
    assert is_group_name(text)
    again = named_group(read.name)
    assert (again.name, again.log10_order, again.note) == (read.name, read.log10_order, read.note)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("a+b mod 71", "x+y mod 71"),
        ("x+y (mod 71)", "x+y mod 71"),
        ("(A + B) % 71", "(x+y) mod 71"),
        ("x**2+y**2 mod 97", "x^2+y^2 mod 97"),
        ("x² + y² mod 97", "x^2+y^2 mod 97"),
        ("x×y mod(7)", "x*y mod 7"),
        ("ab modulo 7", "xy mod 7"),
        ("X/Y MOD 7", "x/y mod 7"),
        ("i−j mod 5", "x-y mod 5"),
        ("a/b if b odd else a-b mod 7", "x/y if y odd else x-y mod 7"),
        ("aba⁻¹ in s3", "xyx^-1 in S3"),
        ("xyx^{-1} in S3 × C2", "xyx^-1 in S3xC2"),
        ("x**2 y in Z/4", "x^2y in C4"),
        ("compose(z7, 3)", "compose(C7,3)"),
        ("Compose( S3×C2 ,2)", "S3xC2"),
    ],
)
def test_a_task_has_one_name_whatever_was_typed(spelling, name):
    typed, ours = task(spelling), task(name)
    assert typed.name == ours.name == name
    np.testing.assert_array_equal(typed.answers, ours.answers)


@needs_gap
def test_named_groups_are_gap_s():
    """Isomorphic to the group that GAP makes of its own name for it."""
    names = {
        "AGL(1,9)": "AGL(1,9)",
        "AGL(2,3)": "AGL(2,3)",
        "GL(2,4)": "GL(2,4)",
        "PSL(2,8)": "PSL(2,8)",
        "PGL(2,7)": "PGL(2,7)",
        "SL(3,2)": "SL(3,2)",
        "QD32": "SmallGroup(32,19)",
        "MMC32": "SmallGroup(32,17)",
        "D8": "DihedralGroup(16)",
        "Dic12": "DicyclicGroup(48)",
        "F21": "SmallGroup(21,1)",
        "Heis(3)": "ExtraspecialGroup(27,3)",
        "C8:C2[5]": "SmallGroup(16,6)",
        "C8:C2[7]": "DihedralGroup(16)",
        "F56": "SmallGroup(56,11)",
    }
    lines = []
    for ours, theirs in names.items():
        made = group(ours)
        images = ",".join(f"PermList({(made.table[:, a] + 1).tolist()})" for a in made.generators)
        lines.append(f'Print(IsomorphismGroups(Group({images}), {theirs}) <> fail, "\\n");')
    script = "AGL := {n, q} -> SemidirectProduct(GL(n, q), GF(q)^n);;\n"
    found = run_gap(script + "\n".join(lines), packages=["smallgrp"]).split()
    assert dict(zip(names, found, strict=True)) == dict.fromkeys(names, "true")
