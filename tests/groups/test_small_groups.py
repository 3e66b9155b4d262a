"""Groups that only GAP knows, and what is said where there is no GAP, or a broken one."""

import itertools
import json
import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
from gap_oracle import compare, needs_gap, numbers
from group_table import named
from scipy.optimize import linprog
from sweeping import is_alive, until

from marginlens.groups import gap, group, group_or_characters
from marginlens.groups.gap import (
    find_gap,
    library_table,
    number_of_small_groups,
    run_gap,
    small_group,
    small_groups,
)
from marginlens.tasks import task
from marginlens.theory import predict


@pytest.fixture
def fresh():
    """Nothing remembered from another GAP, before and after."""
    caches = (number_of_small_groups, library_table)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


# ---------------------------------------------------------------------- small groups


SAME = {3: "SL(2,3)", 12: "S4", 4: "Dic6", 6: "D12", 2: "C24"}


@needs_gap
def test_small_groups_of_order_24_predict_as_our_families():
    for found in small_groups([(24, number) for number in SAME], describe=False):
        assert found.structure == ""
        theirs, ours = predict(task(found.group)), predict(task(SAME[found.number]))
        assert theirs.margin == pytest.approx(ours.margin, rel=1e-12, abs=0)
        assert theirs.sufficient_width == ours.sufficient_width
        features = [
            sorted((f.dimension, f.frobenius_schur, f.status, f.least_share) for f in p.features)
            for p in (theirs, ours)
        ]
        assert [f[:3] for f in features[0]] == [f[:3] for f in features[1]]
        shares = [[f[3] for f in each] for each in features]
        np.testing.assert_allclose(*shares, rtol=0, atol=1e-9)


IDS = [
    (1, 1),
    (8, 4),
    (16, 6),
    (21, 1),
    (24, 3),
    (27, 3),
    (32, 9),
    (36, 9),
    (48, 28),
    (72, 39),
    (96, 3),
]


@needs_gap
def test_gap_s_characters_of_small_groups_are_ours():
    script = f"""
    cell := function(x) local n; n := Conductor(x); return [n, CoeffsCyc(x, n)]; end;;
    for pair in [{",".join(map(str, map(list, IDS)))}] do
      G := SmallGroup(pair[1], pair[2]);; L := AsSSortedList(G);;
      R := List(ConjugacyClasses(G), Representative);;
      Print("[", List(R, r -> Position(L, r) - 1), ",",
        List(Irr(G), chi -> List(R, g -> cell(g^chi))), "]\\n@\\n");
    od;
    """
    printed = run_gap(script, packages=["smallgrp"]).split("@")
    for found, text in zip(small_groups(IDS), printed, strict=False):
        representatives, cells = json.loads(text)
        g, theirs = found.group, numbers(cells)
        assert g.order == found.order
        compare(g, np.array(representatives), theirs)


@needs_gap
def test_the_table_is_gap_s_product():
    script = """
    L := AsSSortedList(SmallGroup(16, 3));;
    Print(List(L, a -> List(L, b -> Position(L, a*b) - 1)));
    """
    table = json.loads(run_gap(script, packages=["smallgrp"]))
    np.testing.assert_array_equal(small_group(16, 3).table, table)


@needs_gap
def test_structures_and_names():
    found = list(small_groups([(24, 3), (12, 1), (1, 1)]))
    assert [f.structure for f in found] == ["SL(2,3)", "C3 : C4", "1"]
    assert [f.group.name for f in found] == [
        "SmallGroup(24,3)",
        "SmallGroup(12,1)",
        "SmallGroup(1,1)",
    ]
    assert group(" SmallGroup( 24 , 3 ) ", name="tetrahedral").name == "tetrahedral"


@needs_gap
def test_how_many_small_groups_there_are():
    # Sloane's A000001
    assert [number_of_small_groups(n) for n in (1, 24, 32)] == [1, 15, 51]


@needs_gap
@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            "SmallGroup(24,99)",
            r"expected a number from 1 to 15 for order 24, got 99; for example SmallGroup\(24,1\)",
        ),
        ("SmallGroup(24,0)", "expected a number from 1 to 15 for order 24, got 0"),
        ("SmallGroup(23,2)", "expected a number from 1 to 1 for order 23, got 2"),
        ("SmallGroup(1024,1)", "expected an order that GAP's library covers, got 1024"),
        ("SmallGroup(3000,1)", "expected an order from 1 to 2000, got 3000"),
        ("SmallGroup(0,1)", "expected an order from 1 to 2000, got 0"),
        ("SmallGroup(999999999,999999999)", "expected an order from 1 to 2000, got 999999999"),
        ("SmallGroup(24)", "unknown group 'SmallGroup"),
        ("SmallGroup(24,3,1)", "unknown group"),
        ("SmallGroup(24,-3)", "unknown group"),
    ],
)
def test_small_groups_that_are_not_there(spec, words):
    with pytest.raises(ValueError, match=words) as caught:
        group(spec)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------------- character tables

# M11, from Conway et al., Atlas of Finite Groups: sizes of the classes and real parts of characters
# at 1A 2A 3A 4A 5A 6A 8A 8B 11A 11B; of each conjugate pair one.
M11_SIZES = np.array([1, 165, 440, 990, 1584, 1320, 990, 990, 720, 720])
M11 = {
    "10a": (1, [10, 2, 1, 2, 0, -1, 0, 0, -1, -1]),
    "10b": (0, [10, -2, 1, 0, 0, 1, 0, 0, -1, -1]),
    "11a": (1, [11, 3, 2, -1, 1, 0, -1, -1, 0, 0]),
    "16a": (0, [16, 0, -2, 0, 1, 0, 0, 0, -0.5, -0.5]),
    "44a": (1, [44, 4, -1, 0, -1, 1, 0, 0, 0, 0]),
    "45a": (1, [45, -3, 0, 1, 0, 0, -1, -1, 1, 1]),
    "55a": (1, [55, -1, 1, -1, 0, -1, 1, 1, 0, 0]),
}


def margin_by_linear_program(sizes: np.ndarray, irreps: dict) -> float:
    """Minimise t over distributions on classes with κ/c ≤ t, by SciPy: our program is not asked."""
    rows = []
    for real, values in irreps.values():
        character = np.array(values, dtype=float)
        constant = np.sqrt(character[0] * (1 if real else 2))
        rows.append((1 - character[1:] / character[0]) / constant)
    kappa = np.array(rows)
    classes = kappa.shape[1]
    # κ = 1 − Σ τ χ/d = Σ τ (1 − χ/d), as Σ τ = 1
    found = linprog(
        np.append(np.zeros(classes), 1),
        A_ub=np.column_stack([kappa, -np.ones(len(kappa))]),
        b_ub=np.zeros(len(kappa)),
        A_eq=np.append(np.ones(classes), 0)[None],
        b_eq=[1],
        bounds=[(0, None)] * (classes + 1),
    )
    return 2 / (3 * np.sqrt(3) * sizes.sum() ** 1.5) * found.fun


def test_the_typed_characters_of_m11_are_orthogonal():
    # Σ over irreps of d χ(C), pairs twice, is 0 off the identity and n on it; sizes add up.
    total = 1 + sum(
        (1 if real else 2) * values[0] * np.array(values) for real, values in M11.values()
    )
    np.testing.assert_array_equal(total, [7920] + [0] * 9)
    assert M11_SIZES.sum() == 7920


@needs_gap
def test_m11_by_its_character_table_alone():
    prediction = predict(task("M11"))
    assert prediction.margin == pytest.approx(1.3842487e-07, rel=5e-8, abs=0)
    assert prediction.margin == pytest.approx(
        margin_by_linear_program(M11_SIZES, M11), rel=1e-9, abs=0
    )
    table = group_or_characters("CharacterTable(M11)")
    assert table.order == 7920
    assert table.degrees.tolist() == [1, 10, 10, 10, 11, 16, 16, 44, 45, 55]
    assert table.frobenius_schur.tolist() == [1, 1, 0, 0, 1, 0, 0, 1, 1, 1]
    assert {f.name for f in prediction.features} == set(M11)


def test_the_oracle_notices_a_wrong_character():
    right = margin_by_linear_program(M11_SIZES, M11)
    wrong = {**M11, "11a": (1, [11, 3, 2, 3, 1, 0, -1, -1, 0, 0])}
    assert margin_by_linear_program(M11_SIZES, wrong) != pytest.approx(right, rel=1e-3, abs=0)


@needs_gap
@pytest.mark.parametrize(("name", "ours"), [("S5", "S5"), ("2.L2(3)", "SL(2,3)"), ("C12", "C12")])
def test_tables_of_the_library_predict_as_our_groups(name, ours):
    table, g = library_table(name), named(ours)
    assert sorted(table.degrees) == sorted(g.degrees)
    assert sorted(table.frobenius_schur) == sorted(g.frobenius_schur)
    assert predict(task(table)).margin == pytest.approx(predict(task(g)).margin, rel=1e-12, abs=0)


@needs_gap
@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            "CharacterTable(nope)",
            "expected a character table of GAP's library, got 'nope'; for example",
        ),
        (
            "CharacterTable(Symmetric)",
            "expected a character table of GAP's library, got 'Symmetric'",
        ),  # a generic one
        (
            "CharacterTable(Co1)",
            r"expected an order of at most 9e\+15, exact in float64, got 4.16e\+18",
        ),
        (
            'CharacterTable(M11"); Exec("true)',
            "expected the name of a character table, got .*; for example M11",
        ),
        ("CharacterTable(M11;)", "expected the name of a character table, got"),
        ("CharacterTable(M\\11)", "expected the name of a character table, got"),
        (f"CharacterTable({'A' * 1000})", "expected the name of a character table, got"),
        ("M25", "unknown group 'M25'"),
    ],
)
def test_character_tables_that_are_not_there(spec, words):
    with pytest.raises(ValueError, match=words) as caught:
        group_or_characters(spec)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("spec", ["M11", "CharacterTable(A5)"])
def test_a_group_without_a_cayley_table_says_so(spec):
    with pytest.raises(
        ValueError,
        match="expected a group with a Cayley table, got a character table alone, enough",
    ):
        group(spec)


@pytest.mark.slow
@needs_gap
def test_too_many_classes_are_refused():
    with pytest.raises(ValueError, match="expected at most 1000 conjugacy classes, got 1001"):
        library_table("C1001")


# ---------------------------------------------------------------------- no GAP, or a broken one


@pytest.fixture
def no_gap(monkeypatch, fresh):
    monkeypatch.delenv("MARGINLENS_GAP", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(gap.importlib.util, "find_spec", lambda name: None)


@pytest.mark.parametrize("spec", ["SmallGroup(24,3)", "M11", "CharacterTable(A5)"])
def test_without_gap_the_error_says_what_to_install(no_gap, spec):
    assert find_gap() is None
    with pytest.raises(ValueError, match=r"pip install 'marginlens\[gap\]'") as caught:
        group_or_characters(spec)
    message = str(caught.value)
    assert "\n" not in message
    for word in ("gap-smallgrp-extra", "gap-character-tables", "PATH", "MARGINLENS_GAP"):
        assert word in message


def test_what_needs_no_gap_works_without(no_gap):
    assert group_or_characters("S4").order == 24
    with pytest.raises(ValueError, match="expected an order from 1 to 2000, got 3000"):
        group("SmallGroup(3000,1)")


@pytest.fixture
def fake_gap(tmp_path, monkeypatch, fresh):
    """Put a shell script in GAP's place; for tests with the marker ``system``."""
    if os.name != "posix":
        pytest.skip("needs a shell")

    def write(script: str) -> Path:
        program = tmp_path / "gap"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("MARGINLENS_GAP", str(program))
        return program

    return write


@pytest.mark.system
@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 1", "GAP failed: no output"),
        ("echo 'gap: cannot find its library' >&2; exit 1", "GAP failed: gap: cannot find its lib"),
        ("cat; echo 'Error, no such thing' >&2", "GAP failed: Error, no such thing"),
        ("echo hello", "GAP failed: hello"),
        (
            "echo '@missing smallgrp'",
            "GAP with its package smallgrp, got one without; for example from pip install",
        ),
        ("printf '@begin\\n\\377 7\\n@end\\n'", "from 1 to 7 for order 24"),  # no UTF-8
    ],
)
def test_a_gap_that_fails(fake_gap, script, words):
    fake_gap(script)
    with pytest.raises(ValueError, match=words) as caught:
        group("SmallGroup(24,99)")
    assert "\n" not in str(caught.value)


@pytest.mark.system
def test_a_gap_that_cannot_be_started(fake_gap, monkeypatch, tmp_path):
    monkeypatch.setenv("MARGINLENS_GAP", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"nowhere: GAP cannot be started \(No such file"):
        group("SmallGroup(24,3)")
    monkeypatch.setenv("MARGINLENS_GAP", str(tmp_path))
    with pytest.raises(ValueError, match=r"GAP cannot be started \(Permission denied"):
        group("SmallGroup(24,3)")


@pytest.mark.system
def test_a_gap_that_prints_other_groups(fake_gap):
    fake_gap("echo @begin; echo '[24,3,\"\",1,[]]'; echo @end")
    with pytest.raises(ValueError, match="expected 2 groups from GAP, got 1"):
        list(small_groups([(24, 3), (24, 4)]))


@pytest.mark.system
def test_a_gap_that_hangs_is_ended_with_all_that_it_started(fake_gap, tmp_path):
    fake_gap(f"sleep 3000 & echo $! > {tmp_path}/pid; wait")
    with pytest.raises(ValueError, match="GAP did not finish in 1 s; take a smaller group"):
        run_gap("", timeout=1)
    pid = int((tmp_path / "pid").read_text())
    until(lambda: not is_alive(pid))


@pytest.mark.system
def test_an_interrupted_gap_is_ended(fake_gap, tmp_path, monkeypatch):
    fake_gap(f"echo $$ > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; sleep 3000")

    def interrupt_when_started():
        until((tmp_path / "pid").exists)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt_when_started)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run_gap("")
    thread.join()
    pid = int((tmp_path / "pid").read_text())
    until(lambda: not is_alive(pid))


def test_which_gap_is_taken(tmp_path, monkeypatch, fake_gap):
    program = fake_gap("exit 0")
    assert find_gap() == (str(program),)
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "init.g").write_text("")
    assert find_gap() == (str(program), "-l", str(tmp_path))  # a GAP in its own root folder
    monkeypatch.delenv("MARGINLENS_GAP")
    monkeypatch.setattr(gap.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_gap() == (str(program),)


@needs_gap
def test_errors_inside_gap_are_seen():
    with pytest.raises(ValueError, match="GAP failed: Error, hello"):
        run_gap('Error("hello"); Print("after");')
    with pytest.raises(ValueError, match="GAP failed: Syntax error"):
        run_gap("x := ;")
    with pytest.raises(ValueError, match=r"GAP failed: .*(allocate|cannot extend)"):
        run_gap("l := [1..10^9];; l[5] := 2;; Print(Length(l));")
    with pytest.raises(ValueError, match="GAP with its package nosuchpackage"):
        run_gap("Print(1);", packages=["nosuchpackage"])
    long = "".join(itertools.repeat("0123456789", 50))
    assert run_gap(f'Print(1, "{long}");') == f"1{long}"
