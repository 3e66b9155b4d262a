"""Results: questions in SQL, tables, the verbs, and figures drawn from them."""

import csv
import io
import json
import re
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest
from command_line import require_one_line
from fake_sweep import fake_sweep
from hypothesis import given, settings
from hypothesis import strategies as st

from marginlens.figures import (
    Multiplicities,
    SpectralCounts,
    law_figure,
    laws_by_setting_figure,
    multiplicities_figure,
    spectral_counts_figure,
)
from marginlens.measures import selection_law
from marginlens.measures.ensembles.intervals import clopper_pearson
from marginlens.reproduce import REPRODUCTIONS, write_page
from marginlens.reproduce.claims import counts_of
from marginlens.sweeps import TABLES, Results

LAWS = {
    ("C5", 2): [(0,)] * 7 + [(1,)] * 5 + [(0, 1)] * 6 + [()] * 2,
    ("C5", 8): [(0, 1)] * 20,
    ("C11", 2): [(0, 2), (1, 4)] * 10,
}


@pytest.fixture
def folder(tmp_path):
    return fake_sweep(tmp_path / "sweep", LAWS)


def test_tables_are_joined_and_ordered(folder):
    results = Results(folder)
    members = results.members
    assert members.num_rows == 60
    assert results.varying == ("task", "width")
    found = list(zip(members["task"].to_pylist(), members["width"].to_pylist(), strict=True))
    assert found == sorted(found)
    features = results.features.to_pandas()
    assert len(features) == 2 * 40 + 5 * 20
    counted = features[features.key].groupby(["task", "width", "feature"]).size()
    assert counted["C5", 2, "k=1"] == 13
    law = results.law("task = 'C5' and width = 2")
    assert [(one.name, one.count) for one in law.sets] == [
        ("{k=1}", 7),
        ("{k=1, k=2}", 6),
        ("{k=2}", 5),
        ("{}", 2),
    ]
    with pytest.raises(ValueError, match=r"got 2 \(width: 2, 8\)") as several:
        results.law("task = 'C5'")
    proposed = str(several.value).split('"')[1]  # taken at its word, it is one configuration
    assert results.law(f"task = 'C5' and {proposed}").runs == 20
    with pytest.raises(ValueError, match="got 3 ") as several:
        results.law()
    assert results.law(str(several.value).split('"')[1]).runs == 20
    with pytest.raises(ValueError, match="no network"):
        results.law("width = 77")


@pytest.mark.parametrize(
    "sql",
    [
        "copy members to 'x.csv'",
        "attach 'x.db'",
        "create table a as select 1",
        "insert into members values (1)",
        "delete from members",
        "update members set seed = 1",
        "drop view members",
        "pragma database_list",
        "set threads = 1",
        "install httpfs",
        "load json",
        "export database 'x'",
        "vacuum",
        "call pragma_version()",
        "select 1; drop view members",
        "select * from read_csv('/etc/passwd')",
        "select * from read_text('/etc/passwd')",
        "select * from '/etc/passwd'",
        "select * from glob('/*')",
        "select * from parquet_scan('x')",
        "select * from results",
        "",
        "explain analyze copy members to 'x.csv'",
        "explain analyze drop view members",
        "explain (analyze) delete from members",
        "EXPLAIN create view v as select 1",
        "explain analyze create or replace temp view members as select 1 as seed",
        "select * from read_csv('.tmp/x.csv')",
        "explain (analyze /* ) select 1 -- */ ) drop view members",
        "select",
        "selct 1",
        "select wdth from members",
    ],
)
def test_what_changes_something_or_reads_another_file_is_refused_in_one_line(folder, sql):
    results = Results(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the words are DuckDB's)
        results.query(sql)
    assert "\n" not in str(caught.value)
    assert results.query("select count(*) as n from members")["n"].to_pylist() == [60]
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "sql",
    [
        "describe members",
        "explain select 1",
        "explain analyze select 1",
        "from members",
        "with a as (select 1) from a",
        "select * from configurations",
        "summarize members",
    ],
)
def test_what_only_asks_is_answered(folder, sql):
    assert Results(folder).query(sql).num_rows


def test_a_misspelt_column_is_answered_with_its_neighbours(folder):
    with pytest.raises(ValueError, match="width"):
        Results(folder).query("select wdth from members")


def test_an_unknown_table_is_answered_with_those_that_exist(folder):
    with pytest.raises(
        ValueError, match="expected one of members, features, configurations"
    ) as caught:
        Results(folder).query("select * from member_table")
    assert "Did you mean" not in str(caught.value)


def test_no_sweep_nothing_finished_a_damaged_file(folder, tmp_path):
    with pytest.raises(ValueError, match="not a sweep's folder"):
        Results(tmp_path / "nowhere")
    piece = next((folder / "pieces").iterdir())
    (piece / "members.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(ValueError, match=r"members\.parquet.*damaged"):
        _ = Results(folder).members
    for path in (folder / "pieces").iterdir():
        path.rename(folder / path.name)
    with pytest.raises(ValueError, match="has no finished pieces"):
        Results(folder)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.sampled_from([(), (0,), (1,), (0, 1)]), min_size=1, max_size=25))
def test_the_law_is_that_of_counting_by_hand(tmp_path_factory, sets):
    folder = fake_sweep(tmp_path_factory.mktemp("s") / "a", {("C5", 3): sets})
    table = TABLES["law"](Results(folder), None)
    names = {(): "{}", (0,): "{k=1}", (1,): "{k=2}", (0, 1): "{k=1, k=2}"}
    counts = Counter(sets)
    low, high = clopper_pearson(np.array(list(counts.values())), len(sets))
    wanted = {
        (names[s], str(c), f"{c / len(sets):.3f}", f"{low[i]:.3f} to {high[i]:.3f}")
        for i, (s, c) in enumerate(counts.items())
    }
    assert {row[1:5] for row in table.rows} == wanted


def test_the_other_tables_say_what_the_pieces_hold(folder):
    results = Results(folder)
    tables = {name: make(results, None) for name, make in TABLES.items()}
    convergence = {row[:2]: row[2:] for row in tables["convergence"].rows}
    assert convergence["C5", "2"] == ("20", "7", "13", "0", "2", "10", "1.000")
    assert {row[:2]: row[3] for row in tables["same"].rows}["C5", "2"] == "0.600"
    together = {row[:4]: row[4] for row in tables["cooccurrence"].rows}
    assert together["C5", "2", "k=1", "k=2"] == "0.300"
    features = {row[:3]: row[3] for row in tables["features"].rows}
    assert features["C5", "2", "k=1"] == "0.650"
    assert {row[:2]: row[2] for row in tables["counts"].rows}["C5", "8"] == "2.000 ± 0.000"
    kinds = {(*row[:2], row[2]) for row in tables["symmetry"].rows}
    assert ("C11", "2", "exchangeability beyond symmetry") in kinds
    assert (
        "C5",
        "8",
        "invariance",
    ) not in kinds  # one set only, which the symmetry leaves as it is
    for table in tables.values():
        assert table.to_markdown().count("\n|") == len(table.rows) + 2
        assert r"\begin{tabular}" in table.to_latex()


def test_the_verbs(folder, call, tmp_path):
    code, printed, _ = call(
        "sweep",
        "query",
        folder,
        "select key_set, count(*) as n from members group by all order by n desc",
        "--csv",
    )
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(printed)))
    assert rows[0] == {"key_set": "{k=1, k=2}", "n": "26"}
    code, printed, _ = call("sweep", "query", folder, "select 1 as one", "--json")
    assert json.loads(printed) == [{"one": 1}]
    code, printed, _ = call(
        "sweep", "query", folder, "from members", "--out", tmp_path / "m.parquet"
    )
    assert pq.read_table(tmp_path / "m.parquet").num_rows == 60
    code, printed, _ = call("sweep", "query", folder, "from features", "--out", tmp_path / "f.csv")
    assert len((tmp_path / "f.csv").read_text().splitlines()) == 181
    code, printed, _ = call("sweep", "query", folder, "from features")
    assert "170 more rows" in printed
    code, printed, _ = call("sweep", "query", folder)
    assert "spectral_weight" in printed
    code, printed, _ = call("sweep", "table", folder, "law", "--markdown", "--where", "width = 8")
    assert "{k=1, k=2} | 20 | 1.000" in printed
    code, printed, _ = call("sweep", "table", folder, "law", "convergence", "--json")
    assert len(json.loads(printed)) == 2
    figure = tmp_path / "law.html"
    code, printed, _ = call("sweep", "law", folder, "--where", "width = 8", "--figure", figure)
    assert code == 0
    assert "key set" in figure.read_text()
    assert "task C5, activation x^2, " in figure.read_text()
    code, printed, _ = call(
        "sweep", "law", folder, "--where", "task = 'C5'", "--by", "task,width", "--json"
    )
    assert [one["width"] for one in json.loads(printed)] == [2, 8]
    several = tmp_path / "by.html"
    code, printed, _ = call(
        "sweep", "law", folder, "--where", "task = 'C5'", "--by", "task,width", "--figure", several
    )
    assert code == 0
    assert '"text":"activation x^2' in several.read_text()
    for arguments, words in (
        (("sweep", "law", folder, "--by", "width,width"), "--by expected two columns"),
        (("sweep", "query", folder, "drop view members"), "read-only"),
        (("sweep", "table", folder, "lawn"), "TABLE expected convergence"),
        (("sweep", "table", folder, "law", "--where", "1; drop view members"), "syntax error"),
        (("sweep", "law", folder, "--where", "task = 'C5'"), "expected one configuration, got 2"),
        (("sweep", "law", folder, "--by", "task"), "--by expected two columns"),
        (("sweep", "query", tmp_path, "select 1"), "not a sweep's folder"),
        (("reproduce", "o99"), "did you mean o59?"),
    ):
        code, _, error = call(*arguments)
        assert code == 2
        assert words in error
        require_one_line(error)


def test_an_unfinished_sweep_is_said_to_be_one(folder, call):
    next((folder / "pieces").iterdir()).rename(folder / "away")
    _, _, error = call("sweep", "table", folder, "counts")
    assert "2 of 3 pieces are finished" in error


def test_the_law_figure_draws_the_law(folder):
    law = Results(folder).law("task = 'C5' and width = 2")
    figure = law_figure(law, "<b>C5</b>")
    bars = next(t for t in figure.data if t.name == "key sets")
    assert list(bars.y) == [one.probability for one in law.sets]
    intervals = next(t for t in figure.data if t.name == "intervals of sets")
    assert intervals.error_y.array + bars.y == pytest.approx(
        [o.simultaneous_high for o in law.sets]
    )
    dots = next(t for t in figure.data if t.name == "in the set")
    assert list(zip(dots.x, dots.y, strict=True)) == [(0, 0), (1, 0), (1, 1), (2, 1)]
    assert "&lt;b&gt;C5" in figure.layout.title.text
    by_feature = next(t for t in figure.data if t.name == "features")
    assert list(by_feature.x) == [0.65, 0.55]


@pytest.mark.parametrize("key", [np.zeros((1, 3), dtype=bool), np.eye(60, dtype=bool)])
def test_a_law_of_one_run_and_one_of_many_features_can_be_drawn(key):
    law = selection_law(key, [f"k={i}" for i in range(key.shape[1])])
    figure = law_figure(law, "a law")
    bars = next(t for t in figure.data if t.name == "key sets")
    assert len(bars.y) == min(20, len(law.sets))


def test_laws_against_two_settings(folder):
    results = Results(folder)
    laws = {("C5", w): results.law(f"task = 'C5' and width = {w}") for w in (2, 8)}
    figure = laws_by_setting_figure(laws, "task", "width", "C5")
    both = next(t for t in figure.data if t.name == "k=1, k=2")
    assert list(both.y) == [0.3, 1.0]
    with pytest.raises(ValueError, match="at least one selection law"):
        laws_by_setting_figure({}, "task", "width", "C5")


def test_multiplicities_and_counts_are_drawn_as_recorded():
    shares = np.array([0.2, 0.8])
    record = Multiplicities("S3", ("1b", "2a"), shares, shares - 0.1, shares + 0.1, {"d²": shares})
    figure = multiplicities_figure([record], "S3")
    assert list(figure.data[0].y) == [0.2, 0.8]
    intervals = next(trace for trace in figure.data if trace.name == "intervals")
    assert intervals.error_y.array == pytest.approx([0.1, 0.1])
    counts = SpectralCounts((5, 11), (np.array([1, 2]), np.array([3, 3])), "N", (0.0, 1.0, 0.1))
    figure = spectral_counts_figure(counts, "counts")
    assert list(figure.data[1].y) == [1.5, 3.0]
    assert sorted(figure.data[0].y) == [1, 2, 3, 3]


def test_the_fit_of_counts_is_a_line_in_the_logarithm(tmp_path):
    laws = {
        ("C5", 2): [(0,), (0,)],
        ("C7", 2): [(0, 1), (0, 1)],
        ("C11", 2): [(0, 1, 2), (1, 2, 3)],
    }
    record = counts_of(Results(fake_sweep(tmp_path / "a", laws)))
    x = np.log([5, 5, 7, 7, 11, 11])
    slope, start = np.polyfit(x, [1, 1, 2, 2, 3, 3], 1)
    assert record.order == (5, 7, 11)
    assert record.fit[:2] == pytest.approx((start, slope))


@pytest.mark.parametrize("name", list(REPRODUCTIONS))
def test_every_reproduction_is_a_valid_sweep(name):
    what = REPRODUCTIONS[name]
    sweep = what.sweep(seeds=2)
    assert sweep.name == name
    assert len(sweep.configurations()) == sweep.size
    assert set(what.tables) <= set(TABLES)


def test_the_pilot_is_the_one_that_was_specified():
    sweep = REPRODUCTIONS["o61"].sweep()
    assert (sweep.size, sweep.runs) == (24, 2400)
    for one in sweep.configurations():
        r = one.recipe
        assert (r.dtype, r.optimizer, r.betas, r.learning_rate) == (
            "float64",
            "adam",
            (0.9, 0.999),
            1e-3,
        )
        assert (r.steps, r.tolerance, r.patience, r.schedule) == (20_000, 1e-7, 500, "constant")
        assert r.is_population
        assert r.init_scale is None  # |G|^(-1/2)
        assert r.penalty == "l2"
        assert not r.weight_decay


def test_a_page_holds_claims_and_tables_and_is_the_same_again(tmp_path):
    what = REPRODUCTIONS["o58"]
    folder = fake_sweep(
        tmp_path / "a", {("C7", 6): [(0,), (1,), (2,)] * 9, ("C11", 6): [(0, 1)] * 27}
    )
    results = Results(folder)
    verdict = what.verdict(results)
    page = write_page(what, verdict, results)
    text = page.read_text()
    assert write_page(what, verdict, Results(folder)).read_text() == text
    assert "exchangeability" in text
    assert len(list((folder / "figures").glob("*.html"))) == 2
    names = {claim.name for claim in verdict.claims}
    assert "invariance" in names
    # C11 always the same pair: neither invariant nor uniform
    assert not verdict.holds
    assert re.search(r"\*\*does not hold\*\* \|", text)


def test_a_wide_answer_shows_every_column_and_value_at_80_columns(folder, call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    question = "select * from members limit 5"
    rows = json.loads(call("sweep", "query", folder, question, "--json")[1])
    code, printed, _ = call("sweep", "query", folder, question)
    assert code == 0
    assert max(map(len, printed.splitlines())) <= 80
    shown = re.sub(r"\s+", " ", printed)
    for name, value in rows[0].items():
        assert name in shown
        assert (
            value is None or (f"{value:.6g}" if isinstance(value, float) else str(value)) in shown
        )
    code, printed, _ = call("sweep", "query", folder, "from members")
    assert "50 more rows: --csv, --json or --out FILE have all" in printed
    assert code == 0
    code, printed, _ = call(
        "sweep", "query", folder, "select 'a|b_c' as x, 'nan'::double as y, 1 as x", "--json"
    )
    assert json.loads(printed, parse_constant=pytest.fail) == [{"x": "a|b_c", "y": None, "x_2": 1}]
    assert (
        "no rows" in call("sweep", "query", folder, "select seed from members where seed = -1")[1]
    )
    assert {"members", "features"} <= json.loads(call("sweep", "query", folder, "--json")[1]).keys()


def test_tables_as_csv_markdown_and_latex_hold_any_name(folder, call):
    code, printed, _ = call("sweep", "table", folder, "law", "same", "--csv")
    assert code == 0
    law, same = (list(csv.reader(io.StringIO(part))) for part in printed.split("\n\n"))
    assert [row[:2] for row in law[:2]] == [["task", "width"], ["C11", "2"]]
    assert len(same[0]) == len(set(same[0]))
    table = TABLES["law"](Results(folder))
    evil = type(table)(
        "50% of a|b_c & d", ("x|y_z", "#1"), [("\\{|~^}$", "<i>*a*`b`[c](d)\n")], "_n_"
    )
    assert evil.to_latex().splitlines()[2:4] == [
        r"x\textbar{}y\_z & \#1 \\ \hline",
        r"\textbackslash{}\{\textbar{}\textasciitilde{}\textasciicircum{}\}\$ & "
        r"\textless{}i\textgreater{}*a*`b`[c](d)  \\",
    ]
    assert evil.to_markdown().splitlines()[2:5] == [
        r"| x\|y\_z | #1 |",
        "|---|---|",
        r"| \\{\|\~^}\$ | \<i\>\*a\*\`b\`\[c\](d)  |",
    ]
    assert list(csv.reader(io.StringIO(evil.to_csv()))) == [list(evil.columns), list(evil.rows[0])]


def test_an_interrupted_question_ends_without_a_traceback(folder, call):
    import threading

    results, done = Results(folder), threading.Event()
    question = "select sum(a.range * b.range) from range(10000000) a, range(10000000) b"

    def interrupt():
        while not done.wait(0.05):
            results._connection.interrupt()

    results.query("select 1")
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            results.query(question)
    finally:
        done.set()
        thread.join()
