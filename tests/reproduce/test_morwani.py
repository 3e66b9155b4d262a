"""The article's items: exact ones against their formulas, and the whole page of short trainings."""

import csv
import math
import re
from pathlib import Path

import pytest
from command_line import end, start

from marginlens.groups import group
from marginlens.reproduce import STUDIES, morwani
from marginlens.theory import ALGORITHMS, algorithm

EXACT = (morwani._four_ways, morwani._clock_identity, morwani._interference)


@pytest.mark.parametrize("item", EXACT, ids=lambda one: one.__name__)
def test_items_without_training_pass(item):
    rows = item().rows
    assert rows
    assert all(row.outcome == "passes" for row in rows)


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("spec", ["C12", "C7", "S3"])
def test_a_worked_product_ends_with_the_answer(name, spec):
    on = group(spec)
    try:
        one = algorithm(name, on)
    except ValueError:
        pytest.skip(f"{name} is not for {spec}")
    for a in range(on.order):
        for b in range(on.order):
            numbers = re.findall(r"-?\d+", one.worked(a, b)[-1])
            assert int(numbers[-1]) == on.table[a, b]
    with pytest.raises(ValueError, match=f"from 0 to {on.order - 1}, got 0 and {on.order}"):
        one.worked(0, on.order)


def test_s5_belongs_to_the_full_size_alone():
    study = STUDIES["morwani"]
    assert set(study.recipes(full=True)) - set(study.recipes()) == {"S5"}


@pytest.mark.system
def test_the_page_has_every_item_with_its_command(tmp_path: Path):
    code, _, errors = end(start("reproduce", "article", "--steps", "20", "--out", tmp_path))
    assert code == 1, errors  # 20 steps reach no maximum
    page, text = ((tmp_path / name).read_text() for name in ("page.html", "results.md"))
    headings = re.findall(r"^## (\d+)\. (.*)$", text, re.M)
    assert [int(number) for number, _ in headings] == list(range(1, len(headings) + 1))
    assert len(headings) == 20
    commands = re.findall(r"^```\n(.*)\n```$", text, re.M)
    assert len(commands) == len(headings)
    assert page.count("<section id=") == len(headings) + 2
    with (tmp_path / "neurons.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {int(row["k"]) for row in rows} <= set(range(1, 36))
    apart = [float(row["theta_u + theta_v - theta_w"]) for row in rows]
    assert max(map(abs, apart)) <= math.pi
