"""The atlas that comes with the package: what is in it is what is computed."""

from collections import Counter

import pytest
from gap_oracle import needs_gap

from marginlens.atlas import (
    atlas_row,
    atlas_totals,
    family_spec,
    pack_atlas,
    packaged_atlas,
    read_atlas,
)
from marginlens.groups.gap import small_groups
from marginlens.tasks import task
from marginlens.theory import predict

# of one order, small groups, S5's and A5's order, all with Theorem 9's and forbidden irreps among them
SAMPLE = [
    (2, 1),
    (6, 1),
    (8, 4),
    (12, 3),
    (16, 13),
    (24, 3),
    (27, 4),
    (32, 9),
    (48, 33),
    (60, 5),
    (61, 1),
    (63, 4),
]


@pytest.fixture(scope="module")
def rows():
    return packaged_atlas().to_pylist()


def exact(row):
    """What of a row is no floating-point number."""
    whole = {name: value for name, value in row.items() if name not in ("margin", "gap", "irreps")}
    irreps = [(i["name"], i["degree"], i["type"], i["status"]) for i in row["irreps"]]
    return whole, irreps


def check(row, again):
    assert exact(row) == exact(again)
    assert row["margin"] == pytest.approx(again["margin"], rel=1e-12, abs=0)
    for ours, theirs in zip(row["irreps"], again["irreps"], strict=True):
        for name in ("least_share", "greatest_share"):
            assert ours[name] == pytest.approx(theirs[name], abs=1e-9)


@needs_gap
def test_a_sample_computed_again_is_the_same(rows):
    by_name = {(row["order"], row["number"]): row for row in rows}
    for pair, found in zip(SAMPLE, small_groups(SAMPLE), strict=True):
        check(by_name[pair], atlas_row(found))
        for wrong in ({"width": 1}, {"margin": by_name[pair]["margin"] * (1 + 1e-9)}):
            with pytest.raises(AssertionError):
                check({**by_name[pair], **wrong}, atlas_row(found))


def test_totals_are_those_of_the_theory(rows):
    assert atlas_totals(packaged_atlas()) == {
        "groups": 318,
        "theorem9": 55,
        "closed_form": 291,
        "with_cannot": 27,
        "not_unique": 2,
    }
    counts = Counter(row["order"] for row in rows)
    assert (counts[16], counts[32], counts[48], counts[63]) == (14, 51, 52, 4)
    forbidden = [row["number"] for row in rows if row["order"] == 32 and row["cannot"]]
    assert forbidden == [5, 9, 23, 25, 28]
    assert not any(row["cannot"] for row in rows if row["order"] < 32)


def test_names_of_families_are_the_same_groups(rows):
    named = [(row, family_spec(row["structure"])) for row in rows]
    assert sum(spec is not None for _, spec in named) == 197
    for row, spec in named:
        if spec is None or row["order"] > 40:
            continue
        prediction = predict(task(spec))
        assert prediction.margin == pytest.approx(row["margin"], rel=1e-12)
        assert prediction.sufficient_width == row["width"]


@pytest.mark.parametrize("structure", ["C3 : C4", "(C3 x C3) : C2", "C2 x (C3 : C4)", "1", ""])
def test_descriptions_of_several_groups_have_no_family(structure):
    assert family_spec(structure) is None


def test_packing_keeps_every_value(tmp_path):
    table = packaged_atlas()
    folder = tmp_path / "atlas"
    folder.mkdir()
    import pyarrow.parquet as pq

    pq.write_table(table, folder / "atlas.parquet")
    pack_atlas(folder, tmp_path / "packed.parquet")
    assert read_atlas(tmp_path / "packed.parquet").equals(table)
    with pytest.raises(ValueError, match="no atlas"):
        pack_atlas(tmp_path / "none", tmp_path / "x.parquet")
