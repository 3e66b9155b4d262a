"""Groups from GAP, and what is said where there is no GAP."""

import math
import stat

import numpy as np
import pytest

from marginlens.groups import gap, group, group_or_characters
from marginlens.tasks import task
from marginlens.theory import ClassProgram, predict, solve_margin

with_gap = pytest.mark.skipif(
    gap.find_gap() is None, reason="no GAP: set MARGINLENS_GAP, or put gap on the PATH"
)


@with_gap
@pytest.mark.parametrize(
    ("spec", "same"),
    [("SmallGroup(24,3)", "SL(2,3)"), ("SmallGroup(8,4)", "Q8"), ("SmallGroup(60,5)", "A5"),
     ("SmallGroup(1,1)", "C1"), ("SmallGroup(7,1)", "C7")],
)  # fmt: skip
def test_small_groups_are_those_of_our_families(spec, same):
    found, other = group(spec), group(same)
    assert (found.order, found.name) == (other.order, spec)
    assert sorted(found.element_orders) == sorted(other.element_orders)
    assert sorted(found.degrees) == sorted(other.degrees)
    if found.order > 1:
        assert predict(task(spec)).margin == pytest.approx(predict(task(same)).margin, rel=1e-12)


@with_gap
def test_many_groups_come_from_one_start():
    pairs = [(16, number) for number in range(1, 15)]
    found = list(gap.small_groups(pairs))
    assert [(one.order, one.number) for one in found] == pairs
    assert found[13].structure == "C2 x C2 x C2 x C2"
    assert len({tuple(sorted(one.group.element_orders)) for one in found}) > 5
    assert gap.number_of_small_groups(16) == 14


@with_gap
@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            "SmallGroup(24,99)",
            r"there are 15 groups of order 24; write SmallGroup\(24,1\) to SmallGroup\(24,15\)",
        ),
        ("SmallGroup(7,2)", r"there is 1 group of order 7; write SmallGroup\(7,1\)$"),
        ("SmallGroup(24,0)", "there are 15 groups of order 24"),
        ("SmallGroup(1024,1)", "does not hold the groups of order 1024"),
        ("SmallGroup(3000,1)", "order 3000 is not between 1 and 2000"),
        ("CharacterTable(nope)", "no character table 'nope'"),
        ('CharacterTable(M11"; Exec("id"))', "no name of a character table"),
        ("CharacterTable(M)", "above 9e"),
    ],
)
def test_bad_names_are_refused_in_one_line(spec, words):
    with pytest.raises(ValueError, match=words) as caught:
        group_or_characters(spec)
    assert "\n" not in str(caught.value)


@with_gap
def test_m11_is_known_by_its_characters():
    m11 = group_or_characters("M11")
    assert m11.order == 7920 == math.prod(range(8, 12))
    assert sorted(m11.degrees) == [1, 10, 10, 10, 11, 16, 16, 44, 45, 55]
    assert sorted(m11.frobenius_schur).count(0) == 4
    solution = solve_margin(ClassProgram.of(m11))
    assert solution.certificate.gap < 1e-12
    # the two bounds once more, from characters alone and by plain loops
    tau = {c: t for members, t in zip(solution.certificate.classes, solution.certificate.distribution,
                                      strict=True) for c in members[:1]}  # fmt: skip
    earned = [
        sum(t * (1 - m11.characters[row, c].real / degree) for c, t in tau.items())
        / math.sqrt(degree if kind == 1 else 2 * degree)
        for row, (degree, kind) in enumerate(zip(m11.degrees, m11.frobenius_schur, strict=True))
        if row
    ]
    scale = 2 / (3 * math.sqrt(3) * 7920**1.5)
    assert scale * max(earned) == pytest.approx(solution.margin, rel=1e-12)
    assert task("M11").unlisted == "only the character table is known (order 7920)"
    with pytest.raises(ValueError, match="known by its character table alone"):
        group("M11")


@with_gap
@pytest.mark.parametrize("name", ["A5", "M11", "2.A5", "L2(8)"])
def test_library_tables_are_character_tables(name):
    table = gap.library_table(name)
    sizes, characters = table.class_sizes, table.characters
    columns = characters.conj().T @ characters
    np.testing.assert_allclose(columns, np.diag(table.order / sizes), atol=1e-8)
    involutions = (table.frobenius_schur * table.degrees).sum()  # Frobenius and Schur's count
    squares_to_one = sizes[table.square_class == 0].sum()
    assert involutions == squares_to_one


@with_gap
def test_the_library_s_table_gives_the_group_s_prediction():
    ours = predict(task("A5"))
    theirs = predict(task("CharacterTable(A5)"))
    assert theirs.margin == pytest.approx(ours.margin, rel=1e-13)
    assert [f.status for f in theirs.features] == [f.status for f in ours.features]


# ---------------------------------------------------------------------- without GAP


@pytest.fixture
def no_gap(monkeypatch):
    monkeypatch.setattr(gap, "find_gap", lambda: None)
    gap.number_of_small_groups.cache_clear()
    gap.library_table.cache_clear()
    yield
    gap.number_of_small_groups.cache_clear()


@pytest.mark.parametrize("spec", ["SmallGroup(24,3)", "M11", "CharacterTable(L2(8))"])
def test_without_gap_the_error_says_what_to_install(no_gap, spec):
    with pytest.raises(ValueError, match=r"pip install 'marginlens\[gap\]', or put GAP") as caught:
        task(spec)
    assert "\n" not in str(caught.value)


def fake_gap(tmp_path, monkeypatch, script: str) -> None:
    program = tmp_path / "gap"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("MARGINLENS_GAP", str(program))


def test_a_gap_without_its_packages_says_which(tmp_path, monkeypatch):
    fake_gap(tmp_path, monkeypatch, "cat > /dev/null; echo '@missing ctbllib'")
    with pytest.raises(ValueError, match="this GAP lacks its package ctbllib"):
        gap.run_gap("Print(1);", packages=["ctbllib"])


def test_a_gap_that_fails_or_hangs_says_so(tmp_path, monkeypatch):
    fake_gap(tmp_path, monkeypatch, "cat > /dev/null; echo 'Error, no such thing' >&2; exit 1")
    with pytest.raises(ValueError, match="GAP failed: Error, no such thing"):
        gap.run_gap("Print(1);")
    fake_gap(tmp_path, monkeypatch, "exec sleep 30")
    with pytest.raises(ValueError, match="GAP did not finish in 0 s"):
        gap.run_gap("Print(1);", timeout=0.2)
    monkeypatch.setenv("MARGINLENS_GAP", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="GAP cannot be started"):
        gap.run_gap("Print(1);")


def test_a_gap_in_its_own_root_is_told_where_that_is(tmp_path, monkeypatch):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "init.g").write_text("")
    monkeypatch.setenv("MARGINLENS_GAP", str(tmp_path / "gap"))
    assert gap.find_gap() == (str(tmp_path / "gap"), "-l", str(tmp_path))
    monkeypatch.delenv("MARGINLENS_GAP")
    monkeypatch.setattr(gap.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(gap.shutil, "which", lambda name: "/somewhere/gap")
    assert gap.find_gap() == ("/somewhere/gap",)
