"""What is no group is refused, and the message says where."""

import numpy as np
import pytest
from group_table import NAMES, named
from hypothesis import given, settings
from hypothesis import strategies as st

from marginlens.groups import UnknownGroupError, group

LOOP = [[0, 1, 2, 3, 4], [1, 0, 3, 4, 2], [2, 4, 0, 1, 3], [3, 2, 4, 0, 1], [4, 3, 1, 2, 0]]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ([[0, 1], [1, 0], [0, 1]], r"not square: shape \(3, 2\)"),
        ([[0, 1], [1]], "not square: its rows differ in length"),
        ([0, 1], r"not square: shape \(2,\)"),
        (np.zeros((0, 0), dtype=int), "not square"),
        ([[0, 0.5], [0.5, 0]], r"entry \(0,1\) is 0.5; expected whole numbers"),
        ([[0.0, np.nan], [1.0, 0.0]], r"entry \(0,1\) is nan; expected whole numbers"),
        ([[True, False], [False, True]], "entries of type bool"),
        ([["0", None], ["1", "0"]], "expected integers"),
        ([[0, 7], [1, 0]], r"entry \(0,1\) is 7, outside 0..1"),
        ([[0, -1], [1, 0]], r"entry \(0,1\) is -1"),
        ([[1, 2], [2, 3]], "count from 1"),
        ([[0, 1], [0, 1]], "column 0 holds 0 twice"),
        ([[0, 0], [1, 1]], "row 0 holds 0 twice"),
        ([[1, 0, 2], [0, 2, 1], [2, 1, 0]], "no identity"),
        (LOOP, r"not associative: \(\d·\d\)·\d = \d but \d·\(\d·\d\) = \d"),
    ],
)
def test_what_is_no_group_is_refused(table, words):
    with pytest.raises(ValueError, match=words) as caught:
        group(table)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name in NAMES if named(name).order >= 6])
def test_every_kind_of_corruption_is_found(name):
    clean = named(name).table
    generator = np.random.default_rng(0)
    for _ in range(5):
        row = generator.integers(len(clean))
        a, b = generator.choice(len(clean), size=2, replace=False)
        swapped = clean.copy()
        swapped[row, [a, b]] = swapped[row, [b, a]]
        with pytest.raises(ValueError, match="column"):
            group(swapped)
        swapped = clean.copy()
        swapped[[a, b], row] = swapped[[b, a], row]
        with pytest.raises(ValueError, match="row"):
            group(swapped)
        rows = clean.copy()
        rows[[a, b]] = rows[[b, a]]  # still a Latin square
        with pytest.raises(ValueError, match=r"identity|associative"):
            group(rows)
        entry = clean.copy()
        entry[a, b] = (entry[a, b] + 1) % len(clean)
        with pytest.raises(ValueError, match="twice"):
            group(entry)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["D6", "Q8", "S4", "C2xC2xC4", "S4~3", "Q16"]), st.integers(0, 2**32 - 1))
def test_a_loop_that_is_not_associative_is_found_where_it_says(name, seed):
    # For t of order 2 the cells (a, b), (a, tb), (at, b), (at, tb) hold two values crosswise;
    # exchanging them keeps the Latin square and, off the identity's lines, the identity.
    g = named(name)
    generator = np.random.default_rng(seed)
    t = generator.choice(np.flatnonzero(g.element_orders == 2))
    a, b = generator.choice(np.flatnonzero(~np.isin(np.arange(g.order), [g.identity, t])), size=2)
    rows, columns = [a, g.table[a, t]], [b, g.table[t, b]]
    loop = g.table.copy()
    loop[np.ix_(rows, columns)] = loop[np.ix_(rows[::-1], columns)]
    with pytest.raises(ValueError, match="not associative") as caught:
        group(loop)
    numbers = [
        int(n) for n in "".join(c if c.isdigit() else " " for c in str(caught.value)).split()
    ]
    x, y, z, left = numbers[:4]
    assert loop[loop[x, y], z] == left
    assert loop[x, loop[y, z]] == numbers[-1] != left


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("C0", r"expected a number of at least 1, for example C12; did you mean C1\?"),
        (
            "D5x",
            r"unknown group 'D5x'; did you mean D5\? expected a name such as C12, D5, .* S3xC4",
        ),
        ("", "unknown group ''"),
        ("C", "unknown group"),
        ("S3xx", "unknown group"),
        ("C٣", "unknown group"),
        ("Q7", "generalized quaternion"),
        ("Q12", "Dic3"),
        ("SL(2,6)", "expected a prime power as order of the field, such as 2, 3, 4 or 5, got 6"),
        ("S9", "expected an order of at most 2000, got 362880, which would take about"),
        ("S99", r"about 10\^156"),
        (
            "S999999999999999",
            r"expected an order of at most 2000, got about 10\^14565705518096742, which",
        ),
        ("C" + "9" * 6000, "far too large"),
        ("S6xS6", "expected an order of at most 2000, got 518400, which would take about"),
        ("missing.csv", "no such file"),
        (
            "missing/group",
            r"expected a \.csv, \.tsv, \.txt, \.json, \.jsonl, \.g, \.npy or \.npz file, for",
        ),
    ],
)
def test_bad_names_are_refused_in_one_line(name, words):
    with pytest.raises(ValueError, match=words) as caught:
        group(name)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_unknown_names_can_be_told_from_bad_ones():
    with pytest.raises(UnknownGroupError):
        group("Monster")


@pytest.mark.parametrize(
    ("name", "order", "classes", "abelian", "orders"),
    [
        # orders: numbers of elements of order 1, 2, 3, 4 (textbook values)
        ("C12", 12, 12, True, [1, 1, 2, 2]),
        ("D1", 2, 2, True, [1, 1, 0, 0]),
        ("D5", 10, 4, False, [1, 5, 0, 0]),
        ("D6", 12, 6, False, [1, 7, 2, 0]),
        ("Q8", 8, 5, False, [1, 1, 0, 6]),
        ("Q16", 16, 7, False, [1, 1, 0, 10]),
        ("Dic3", 12, 6, False, [1, 1, 2, 6]),
        ("S1", 1, 1, True, [1, 0, 0, 0]),
        ("A1", 1, 1, True, [1, 0, 0, 0]),
        ("A2", 1, 1, True, [1, 0, 0, 0]),
        ("S4", 24, 5, False, [1, 9, 8, 6]),
        ("A4", 12, 4, False, [1, 3, 8, 0]),
        ("A5", 60, 5, False, [1, 15, 20, 0]),
        ("SL(2,3)", 24, 7, False, [1, 1, 8, 6]),
        ("SL(2,2)", 6, 3, False, [1, 3, 2, 0]),
        ("S3xC4", 24, 12, False, [1, 7, 2, 8]),
    ],
)
def test_families_are_the_groups_they_say(name, order, classes, abelian, orders):
    g = group(name)
    assert (g.order, len(g.class_sizes), g.is_abelian) == (order, classes, abelian)
    assert [int((g.element_orders == m).sum()) for m in (1, 2, 3, 4)] == orders
    np.testing.assert_array_equal(g.table[g.identity], np.arange(order))
    np.testing.assert_array_equal(g.table[:, g.identity], np.arange(order))


def test_permutations_compose_from_the_right():
    s3 = group("S3")
    # Lexicographic: 1 is (0, 2, 1), 2 is (1, 0, 2); (1·2)(i) = p1(p2(i)) = (2, 0, 1), the fifth.
    assert s3.table[1, 2] == 4
    assert s3.table[2, 1] == 3


def test_tables_come_from_files(tmp_path):
    q8 = named("Q8").table
    np.save(tmp_path / "q.npy", q8.astype(np.uint8))
    np.savetxt(tmp_path / "q.csv", q8, fmt="%d", delimiter=",")
    (tmp_path / "spaced.csv").write_bytes(b"\xef\xbb\xbf0, 1\r\n1, 0\r\n\r\n")
    for file in ("q.npy", "q.csv"):
        read = group(tmp_path / file)
        np.testing.assert_array_equal(read.table, q8)
        assert read.name == file  # as a whole: C5.csv may hold any group
        assert group(str(tmp_path / file), name="mine").name == "mine"
    assert group(tmp_path / "spaced.csv").order == 2


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("a.csv", b"0,1\n1,zero\n", "expected integers or labels, got 'zero'"),
        ("a.csv", b"0,1\n1,0.5\n", r"expected integers or labels, got '0\.5'"),
        ("a.csv", b"0,1\n1\n", "expected 2 entries as in line 1, got 1"),
        ("a.csv", b"0,1\n", "not square"),
        ("a.csv", b"", "empty"),
        ("a.csv", b"\xff\xfe\x00", "expected comma-separated integers, got a binary file"),
        (
            "a.csv",
            b"0,1\n1," + b"9" * 5000,
            "expected integers or labels, got '99999999999999999999'",
        ),
        (
            "a.csv",
            b",".join([b"1"] * 2002),
            "expected an order of at most 2000, got 2001, which would",
        ),
        ("a.csv", b"0\n" * 2002, "expected an order of at most 2000, got 2001, which would"),
        ("a.npy", b"not an array", "not a readable .npy"),
        ("a.npy", b"", "not a readable .npy"),
        ("a.npy", b"PK\x03\x04", "not a readable .npy"),
        (
            "a.xlsx",
            b"0,1\n1,0\n",
            r"expected a \.csv, \.tsv, \.txt, \.json, \.jsonl, \.g, \.npy or \.npz file, for",
        ),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path, file, content, words):
    (tmp_path / file).write_bytes(content)
    with pytest.raises(ValueError, match=words) as caught:
        group(tmp_path / file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((2, 2)) + 0.5, r"a.npy: entry \(0,0\) is 0.5"),
        (np.array([[0, None], [1, 0]], dtype=object), "not a readable .npy"),
        (np.zeros(4, dtype=int), "not square"),
    ],
)
def test_bad_arrays_are_refused(tmp_path, array, words):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match=words):
        group(tmp_path / "a.npy")


def test_an_archive_of_arrays_is_refused(tmp_path):
    with (tmp_path / "a.npy").open("wb") as file:
        np.savez(file, table=np.zeros((2, 2), dtype=int))
    with pytest.raises(ValueError, match=r"not a readable \.npy"):
        group(tmp_path / "a.npy")


def test_a_huge_array_is_refused_by_its_header(tmp_path):
    np.lib.format.open_memmap(tmp_path / "a.npy", mode="w+", dtype=np.int64, shape=(10**5, 10**5))
    with pytest.raises(
        ValueError,
        match="expected an order of at most 2000, got 100000, which would take about 800",
    ):
        group(tmp_path / "a.npy")


def test_the_given_array_stays_the_caller_s():
    table = np.array([[0, 1], [1, 0]])
    held = group(table)
    table[0, 0] = 1
    assert held.table[0, 0] == 0
    with pytest.raises(ValueError, match="read-only"):
        held.table[0, 0] = 1
