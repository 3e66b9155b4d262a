"""Our character tables against GAP's, stored and live."""

import json
from pathlib import Path

import numpy as np
import pytest
from gap_oracle import compare, gap_characters, needs_gap, numbers
from group_table import named

from marginlens.groups import group

STORED = json.loads(
    (Path(__file__).parent.parent / "data" / "gap_character_tables.json").read_text("utf-8")
)


@pytest.mark.parametrize("spec", STORED["named"])
def test_named_groups_agree_with_stored_gap_tables(spec):
    stored = STORED["named"][spec]
    compare(group(spec), np.array(stored["representatives"]), numbers(stored["characters"]))


@pytest.mark.parametrize("name", STORED["small"])
def test_groups_of_gap_s_library_agree_with_stored_gap_tables(name):
    stored = STORED["small"][name]
    g = group(stored["table"], name=name)
    compare(g, np.array(stored["representatives"]), numbers(stored["characters"]))


@needs_gap
@pytest.mark.parametrize("name", ["S4~3", "SL(2,3)~4", "Q8xC3~5", "A5~6", "D7xC2~7", "C2xA4~8"])
def test_renumbered_groups_agree_with_gap_itself(name):
    g = named(name)
    representatives = g.class_representatives
    theirs = numbers(gap_characters(g.table, g.generators, representatives))
    compare(g, representatives, theirs)


@pytest.mark.parametrize("spec", ["S4", "SL(2,3)"])
def test_the_comparison_fails_on_a_wrong_table(spec):
    stored = STORED["named"][spec]
    representatives, theirs = np.array(stored["representatives"]), numbers(stored["characters"])
    g = group(spec)
    wrong = theirs.copy()
    wrong[-1, -1] += 1e-9
    with pytest.raises(AssertionError):
        compare(g, representatives, wrong)
    with pytest.raises(AssertionError):
        compare(g, representatives, theirs[[0, 0, *range(2, len(theirs))]])
