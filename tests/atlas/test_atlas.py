"""The atlas against predictions, GAP's numbering and the totals of docs/theory.md."""

import csv
import json
import os
import re
from pathlib import Path

import pytest

from marginlens.atlas import atlas_totals, build, build_atlas, read_atlas
from marginlens.groups import gap
from marginlens.tasks import task
from marginlens.theory import predict

REFERENCE = Path(
    os.environ.get("MARGINLENS_REFERENCE", Path(__file__).parents[3] / "shared" / "reference")
)
with_gap = pytest.mark.skipif(
    gap.find_gap() is None, reason="no GAP: set MARGINLENS_GAP, or put gap on the PATH"
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("atlas") / "atlas"
    return folder, build_atlas(20, folder, workers=2)


@with_gap
def test_one_row_a_group_in_order(built):
    folder, rows = built
    keys = list(zip(rows["order"].to_pylist(), rows["number"].to_pylist(), strict=True))
    assert keys == sorted(keys)
    assert len(keys) == len(set(keys)) == 53
    assert read_atlas(folder).equals(rows)
    assert read_atlas(folder / "atlas.parquet").equals(rows)
    for row in rows.to_pylist():
        assert row["gap"] < 1e-12
        assert sum(irrep["least_share"] for irrep in row["irreps"]) == pytest.approx(1, abs=1e-9)
        assert row["must"] + row["may"] + row["cannot"] == len(row["irreps"])


@with_gap
def test_rows_are_predictions(built):
    rows = {(row["order"], row["number"]): row for row in built[1].to_pylist()}
    for key, name in (((8, 4), "Q8"), ((12, 3), "A4"), ((6, 1), "S3"), ((19, 1), "C19")):
        prediction = predict(task(name))
        row = rows[key]
        assert row["margin"] == pytest.approx(prediction.margin, rel=1e-13)
        assert row["width"] == prediction.sufficient_width
        assert row["theorem9"] == prediction.theorem9_applies


@with_gap
def test_reference_file(built):
    path = REFERENCE / "atlas_to_order_20.csv"
    if not path.exists():
        pytest.skip(f"no reference file {path}; set MARGINLENS_REFERENCE to its folder")
    ours = {(row["order"], row["number"]): row for row in built[1].to_pylist()}
    with path.open(newline="") as opened:
        theirs = list(csv.DictReader(opened))
    assert len(theirs) == len(ours)
    for row in theirs:
        found = ours[int(row["order"]), int(row["id"])]
        assert found["structure"] == row["structure"]
        assert found["margin"] == pytest.approx(float(row["gamma_star"]), rel=1e-11)
        assert found["theorem9"] == bool(int(row["theorem9_applies"]))
        assert found["closed_form"] == bool(int(row["closed_form_applies"]))
        assert found["classes"] == int(row["classes"])
        kinds = {"real": 1, "complex": 0, "quaternionic": -1}
        shares = sorted(
            (i["degree"], kinds[i["type"]], i["least_share"], i["greatest_share"])
            for i in found["irreps"]
        )
        reference = sorted(
            tuple(float(part) for part in entry.split(":"))
            for entry in row["irreps_dim_type_least_most"].split(";")
        )
        for mine, other in zip(shares, reference, strict=True):
            assert mine == pytest.approx(other, abs=6e-7)


@with_gap
def test_what_is_there_is_kept_and_what_is_missing_computed(built, monkeypatch):
    folder, rows = built
    parts = sorted((folder / "parts").iterdir())
    kept = {part: part.stat().st_mtime_ns for part in parts}
    parts[3].unlink()
    (folder / "parts" / ".half.tmp").write_text("what a kill leaves behind")
    seen = []
    again = build_atlas(
        20, folder, workers=1, progress=lambda done, total: seen.append((done, total))
    )
    assert again.equals(rows)
    assert seen[0][0] < seen[-1][0] == seen[-1][1] == 53
    for part, time in kept.items():
        assert (part.stat().st_mtime_ns == time) == (part != parts[3])
    # nothing is missing now: no group is made
    monkeypatch.setattr(gap, "small_groups", None)
    assert build_atlas(12, folder, workers=1).num_rows == rows.filter(
        [order <= 12 for order in rows["order"].to_pylist()]
    ).num_rows  # fmt: skip


@with_gap
def test_the_page_holds_everything_and_asks_for_nothing(built):
    folder, _ = built
    build_atlas(20, folder, workers=1)
    page = (folder / "atlas.html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "fetch(" not in page
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    assert len(data) == 53
    assert [24, 3] not in [row[:2] for row in data]
    assert data[0][:3] == [2, 1, "C2"]


@pytest.mark.parametrize("order", [0, 1, 2001, -5])
def test_impossible_orders_are_refused(order, tmp_path):
    with pytest.raises(ValueError, match="greatest order must be 2 to 2000"):
        build_atlas(order, tmp_path / "atlas")
    assert not (tmp_path / "atlas").exists()


def test_a_file_in_the_way_and_a_missing_atlas_are_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file; choose another folder"):
        build_atlas(5, tmp_path / "file")
    with pytest.raises(ValueError, match="no atlas at"):
        read_atlas(tmp_path)


def test_orders_that_the_library_lacks_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "run_gap", lambda script, packages: "1 1 -1")  # orders 2, 3, 4
    with pytest.raises(ValueError, match="groups of order 4; the greatest order possible is 3"):
        build_atlas(4, tmp_path / "atlas")


@with_gap
@pytest.mark.slow
@pytest.mark.parametrize(
    ("order", "totals"),
    [(31, (92, 21, 92, 0)), (63, (318, 55, 291, 27)), (64, (585, 74, 468, 117))],
)
def test_totals(order, totals, tmp_path_factory):
    rows = build_atlas(order, tmp_path_factory.getbasetemp() / "atlas64")
    found = atlas_totals(rows)
    assert (
        found["groups"], found["theorem9"], found["closed_form"], found["with_cannot"]
    ) == totals  # fmt: skip
    cannot = rows.filter([count > 0 for count in rows["cannot"].to_pylist()])
    if order >= 63:
        first = [n for o, n in zip(cannot["order"].to_pylist(), cannot["number"].to_pylist(),
                                   strict=True) if o == 32]  # fmt: skip
        assert first == [5, 9, 23, 25, 28]
        smallest = min(
            irrep["least_share"]
            for row in rows.to_pylist()
            for irrep in row["irreps"]
            if irrep["status"] == "must"
        )
        assert smallest > 0.0038 - 5e-5
