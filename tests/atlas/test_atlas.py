"""The atlas: its rows, that it goes on where it was stopped, and its page."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gap_oracle import needs_gap
from reference import reference_rows
from sweeping import until

from marginlens.atlas import atlas_page, atlas_row, atlas_totals, build, build_atlas, read_atlas
from marginlens.atlas.build import SCHEMA
from marginlens.groups.gap import our_structure, small_groups
from marginlens.tasks import task
from marginlens.theory import predict

COUNTS = [1, 1, 2, 1, 2, 1, 5, 2, 2, 1, 5]  # groups of order 2 to 12: Sloane's A000001
TO_24 = [*COUNTS, 1, 2, 1, 14, 1, 5, 1, 5, 2, 2, 1, 15]
FROM_25_TO_31 = [2, 2, 5, 4, 1, 4, 1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    built = tmp_path_factory.mktemp("atlas") / "to" / "12"
    build_atlas(12, built, workers=1)
    return built


@pytest.fixture(scope="module")
def rows(folder):
    return read_atlas(folder).to_pylist()


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Parts, and whether they are the same files as before."""
    return {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in (folder / "parts").iterdir()}


def check_row(row: dict, prediction) -> None:
    """Everything in a row that a prediction says."""
    assert row["margin"] == pytest.approx(prediction.margin, rel=1e-12, abs=0)
    assert row["gap"] == pytest.approx(prediction.certificate.gap, abs=1e-12)
    assert row["gap"] < 1e-11
    assert row["theorem9"] == prediction.theorem9_applies
    assert row["closed_form"] == (prediction.closed_form is not None)
    assert row["width"] == prediction.sufficient_width
    for irrep, feature in zip(row["irreps"], prediction.features, strict=True):
        assert (irrep["name"], irrep["status"]) == (feature.name, feature.status)
        assert irrep["degree"] ** 2 * (2 if irrep["type"] == "complex" else 1) == feature.dimension
        assert irrep["least_share"] == pytest.approx(feature.least_share, abs=1e-9)
        assert irrep["greatest_share"] == pytest.approx(feature.greatest_share, abs=1e-9)
    for status in ("must", "may", "cannot"):
        assert row[status] == [f.status for f in prediction.features].count(status)


# ---------------------------------------------------------------------- rows


@needs_gap
def test_there_is_one_row_for_every_group_in_order(rows):
    expected = [(n, i) for n, count in enumerate(COUNTS, 2) for i in range(1, count + 1)]
    assert [(row["order"], row["number"]) for row in rows] == expected
    by_number = {(row["order"], row["number"]): row["structure"] for row in rows}
    assert by_number[8, 4] == "Q8"
    assert by_number[12, 1] == "C3 : C4"
    assert by_number[12, 3] == "A4"


@needs_gap
def test_rows_are_the_predictions(rows):
    names = {
        (2, 1): "C2",
        (6, 1): "S3",
        (8, 4): "Q8",
        (12, 1): "Dic3",
        (12, 3): "A4",
        (9, 2): "C3xC3",
    }
    pairs = [(row["order"], row["number"]) for row in rows]
    for row, found in zip(rows, small_groups(pairs, describe=False), strict=True):
        check_row(row, predict(task(found.group)))
        sizes = found.group.class_sizes
        assert row["classes"] == len(sizes)
        assert row["unique"]
        if (row["order"], row["number"]) in names:
            ours = predict(task(names[row["order"], row["number"]]))
            assert row["margin"] == pytest.approx(ours.margin, rel=1e-12, abs=0)
            assert row["width"] == ours.sufficient_width


@needs_gap
def test_the_comparison_of_rows_fails_on_a_wrong_row(rows):
    row = next(row for row in rows if row["structure"] == "A4")
    prediction = predict(task("A4"))
    check_row(row, prediction)
    other = {**row["irreps"][1], "least_share": row["irreps"][1]["least_share"] + 1e-6}
    for wrong in (
        {"margin": row["margin"] * (1 + 1e-10)},
        {"theorem9": not row["theorem9"]},
        {"closed_form": not row["closed_form"]},
        {"width": row["width"] + 1},
        {"must": row["must"] - 1},
        {"irreps": row["irreps"][:1]},
        {"irreps": [row["irreps"][0], other]},
    ):
        with pytest.raises((AssertionError, ValueError)):
            check_row({**row, **wrong}, prediction)


@needs_gap
def test_every_group_of_the_reference_atlas():
    reference = reference_rows("atlas_to_order_20.csv")
    assert len(reference) == sum(TO_24[:19])  # order 2 to 20
    pairs = [(int(row["order"]), int(row["id"])) for row in reference]
    for theirs, found in zip(reference, small_groups(pairs), strict=True):
        row = atlas_row(found)
        assert row["structure"] == our_structure(theirs["structure"])  # GAP's D8 is our D4
        assert row["margin"] == pytest.approx(float(theirs["gamma_star"]), rel=1e-11, abs=0)
        assert row["classes"] == int(theirs["classes"])
        assert row["theorem9"] == bool(int(theirs["theorem9_applies"]))
        assert row["closed_form"] == bool(int(theirs["closed_form_applies"]))
        types = {"real": 1, "complex": 0, "quaternionic": -1}
        ours = sorted(
            (i["degree"], types[i["type"]], i["least_share"], i["greatest_share"])
            for i in row["irreps"]
        )
        expected = sorted(
            tuple(map(float, entry.split(":")))
            for entry in theirs["irreps_dim_type_least_most"].split(";")
        )
        assert len(ours) == len(expected)
        for mine, other in zip(ours, expected, strict=True):
            assert mine == pytest.approx(other, abs=6e-7)


# ---------------------------------------------------------------------- going on


@needs_gap
def test_totals_and_files(folder, rows):
    table = read_atlas(folder)
    assert table.schema.equals(SCHEMA)
    assert read_atlas(folder / "atlas.parquet").equals(table)
    totals = atlas_totals(table)
    assert totals["groups"] == sum(COUNTS) == 23
    assert totals["theorem9"] == sum(row["theorem9"] for row in rows)
    assert totals["closed_form"] == 23
    assert totals["with_cannot"] == totals["not_unique"] == 0
    assert sorted(p.name for p in folder.iterdir()) == ["atlas.html", "atlas.parquet", "parts"]
    assert len(files(folder)) == 11


@needs_gap
def test_only_what_is_missing_is_computed(folder, tmp_path):
    target = tmp_path / "copy"
    shutil.copytree(folder, target)
    lost = [p for p in (target / "parts").iterdir() if "-0008-" in p.name or "-0012-" in p.name]
    for part in lost:
        part.unlink()
    (target / "atlas.parquet").unlink()
    kept, seen = files(target), []
    table = build_atlas(
        12, target, workers=1, progress=lambda done, total: seen.append((done, total))
    )
    assert table.equals(read_atlas(folder))
    assert seen == [(13, 23), (23, 23)]
    now = files(target)
    assert set(now) == set(kept) | {p.name for p in lost}
    assert all(now[name] == kept[name] for name in kept)
    # a smaller order is a part of what is there: nothing is computed or lost
    assert build_atlas(8, target).num_rows == 13
    assert files(target) == now


@needs_gap
def test_a_killed_run_goes_on(tmp_path):
    target = tmp_path / "atlas"
    command = [sys.executable, "-m", "marginlens", "atlas", "--max-order", "31", "--workers", "1"]
    process = subprocess.Popen(
        [*command, "--out", str(target)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    parts = target / "parts"
    until(lambda: list(parts.glob("order*.parquet")) or process.poll() is not None)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()  # the workers are not told
    process.wait()
    assert not (target / "atlas.parquet").exists()
    assert not psutil.wait_procs(workers, timeout=600)[1]
    kept = files(target)
    whole = {p.name for p in parts.glob("order*.parquet")}
    assert 0 < len(whole) < 30
    table = build_atlas(31, target, workers=1)
    assert table.num_rows == sum(TO_24) + sum(FROM_25_TO_31)
    now = files(target)
    assert all(now[name] == kept[name] for name in whole)


@needs_gap
@pytest.mark.slow
def test_an_interrupted_run_ends(tmp_path):
    command = [sys.executable, "-m", "marginlens", "atlas", "--max-order", "63", "--workers", "2"]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    until(lambda: list(tmp_path.glob("parts/*.parquet")) or process.poll() is not None)
    os.killpg(process.pid, signal.SIGINT)
    printed = process.communicate(timeout=600)[0]
    assert process.returncode == 130, printed
    assert b"Traceback" not in printed


@needs_gap
@pytest.mark.slow
@pytest.mark.parametrize(
    ("greatest", "groups", "theorem9", "closed_form", "with_cannot"),
    [(31, 92, 21, 92, 0), (63, 318, 55, 291, 27)],
)
def test_totals_of_the_theory(tmp_path, greatest, groups, theorem9, closed_form, with_cannot):
    table = build_atlas(greatest, tmp_path)
    totals = atlas_totals(table)
    assert totals["groups"] == groups
    assert totals["theorem9"] == theorem9
    assert totals["closed_form"] == closed_form
    assert totals["with_cannot"] == with_cannot
    smallest = [(r["order"], r["number"]) for r in table.to_pylist() if r["cannot"]][:5]
    assert smallest == [(32, i) for i in (5, 9, 23, 25, 28)][: 5 if greatest > 31 else 0]
    assert max(table["gap"].to_pylist()) < 1e-10


# ---------------------------------------------------------------------- the page


class Page(HTMLParser):
    """What a page loads, and its data."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.scripts: dict[str, str] = {}
        self.current = ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        for key in ("src", "href", "action", "data", "srcset"):
            if named.get(key):
                self.links.append(named[key])
        self.current = named.get("id", "code") if tag == "script" else ""

    def handle_data(self, data):
        if self.current:
            self.scripts[self.current] = self.scripts.get(self.current, "") + data

    def handle_endtag(self, tag):
        self.current = ""


@needs_gap
def test_the_page_holds_the_data_in_order(folder, rows):
    html = (folder / "atlas.html").read_text("utf-8")
    data = json.loads(Page(html).scripts["data"])
    assert [entry[:4] for entry in data] == [
        [row["order"], row["number"], row["structure"], row["classes"]] for row in rows
    ]
    for entry, row in zip(data, rows, strict=True):
        assert entry[4] == pytest.approx(row["margin"], rel=1e-8)
        assert entry[5:10] == [
            row["theorem9"],
            row["closed_form"],
            row["cannot"],
            row["may"],
            row["width"],
        ]
        for shown, irrep in zip(entry[10], row["irreps"], strict=True):
            assert shown[:2] == [irrep["name"], irrep["type"]]
            assert shown[2:4] == pytest.approx(
                [irrep["least_share"], irrep["greatest_share"]], abs=6e-7
            )
            assert shown[4] == irrep["status"]
    for value in (23, "Theorem 9", "order 2 to 12"):
        assert str(value) in html


@needs_gap
def test_the_page_loads_nothing(folder):
    html = (folder / "atlas.html").read_text("utf-8")
    assert all(link.startswith(("data:", "#")) for link in Page(html).links)
    assert not re.findall(r"url\((?!data:|#|['\"]?data:)|@import|fetch\(|XMLHttp|https?://", html)


def test_the_check_of_what_a_page_loads_sees_it():
    html = '<script src="https://example.org/x.js"></script><link href="/a.css">'
    assert Page(html).links == ["https://example.org/x.js", "/a.css"]


def test_a_structure_cannot_end_the_page_s_data():
    row = {
        "order": 2,
        "number": 1,
        "structure": "</script><b>&",
        "classes": 2,
        "margin": 0.25,
        "theorem9": True,
        "closed_form": True,
        "cannot": 0,
        "may": 0,
        "width": 2,
        "irreps": [],
    }
    names = ("groups", "theorem9", "closed_form", "with_cannot", "not_unique")
    html = atlas_page([row], dict.fromkeys(names, 1))
    assert json.loads(Page(html).scripts["data"])[0][2] == "</script><b>&"
    assert "<b>&" not in html


# ---------------------------------------------------------------------- what is refused


def test_there_is_no_atlas(tmp_path):
    with pytest.raises(ValueError, match=r"no atlas at .*; build one with: marginlens atlas"):
        read_atlas(tmp_path)
    with pytest.raises(ValueError, match="no atlas at"):
        read_atlas(tmp_path / "atlas.parquet")


def test_a_file_that_is_no_atlas_is_refused(tmp_path):
    (tmp_path / "atlas.parquet").write_text("not Parquet")
    with pytest.raises(
        ValueError, match=r"expected a readable Parquet file \(Could not open Parquet"
    ) as caught:
        read_atlas(tmp_path)
    assert "\n" not in str(caught.value)
    pq.write_table(pa.table({"a": [1], "b": [2]}), tmp_path / "atlas.parquet")
    with pytest.raises(ValueError, match="expected the columns order, number, structure, classes"):
        read_atlas(tmp_path)


@pytest.mark.parametrize("order", [-1, 0, 1, 2001, 10**12])
def test_impossible_orders(tmp_path, order):
    with pytest.raises(ValueError, match=f"from 2 to 2000, got {order}"):
        build_atlas(order, tmp_path / "atlas")
    assert not (tmp_path / "atlas").exists()


def test_a_folder_that_is_a_file_and_no_workers(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="expected a folder, got the file"):
        build_atlas(12, tmp_path / "file")
    for workers in (0, -1):
        with pytest.raises(ValueError, match=f"expected at least 1 worker, got {workers}"):
            build_atlas(12, tmp_path / "atlas", workers=workers)


@needs_gap
@pytest.mark.slow
def test_an_order_that_gap_does_not_have(tmp_path):
    with pytest.raises(ValueError, match=r"order 1024; the greatest order possible is 1023"):
        build_atlas(1024, tmp_path / "atlas")
    assert not (tmp_path / "atlas").exists()


@pytest.mark.system
def test_without_gap_nothing_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv("MARGINLENS_GAP", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="GAP cannot be started"):
        build_atlas(12, tmp_path / "atlas")
    assert not (tmp_path / "atlas").exists()


def test_too_many_groups_are_refused_with_their_number(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "run_gap", lambda script, packages: "1 1 200000")
    with pytest.raises(
        ValueError, match="expected at most 100000 groups, got 200002 of order 2 to 4"
    ):
        build_atlas(4, tmp_path / "atlas")
    assert not (tmp_path / "atlas").exists()
