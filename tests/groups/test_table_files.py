"""Cayley tables as people have them: every dialect reads back the same, and what is wrong is named."""

import json
from pathlib import Path

import numpy as np
import pytest
from group_table import named
from hypothesis import given, settings
from hypothesis import strategies as st

from marginlens.groups import group
from marginlens.groups.table_files import file_name, is_table_file, read_table

S3 = named("S3").table
LABELS = ["e", "a", "b", "c", "d", "f"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tables")


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def gap_list(table) -> str:
    """A nested list as GAP prints it: ranges, spaces, counted from 1, broken after 78 characters."""
    rows = []
    for row in (np.asarray(table) + 1).tolist():
        is_range = len(row) > 2 and row == list(range(row[0], row[0] + len(row)))
        rows.append(f"[ {row[0]} .. {row[-1]} ]" if is_range else f"[ {', '.join(map(str, row))} ]")
    text = f"[ {', '.join(rows)} ]"
    return "\\\n".join(text[i : i + 78] for i in range(0, len(text), 78))


ROWS = "\n".join(",".join(map(str, row)) for row in S3.tolist())
WORDS = [[LABELS[entry] for entry in row] for row in S3]
LISTED = json.dumps(S3.tolist())
DIALECTS = {
    "gap.txt": gap_list(S3),
    "assigned.g": f"# S3\nT := {gap_list(S3)};\n",
    "object.json": json.dumps({"order": 6, "table": (S3 + 1).tolist(), "index_base": 1}),
    "named.json": json.dumps({"Cayley table": WORDS, "elements": LABELS}),
    "nested.json": json.dumps(
        {x: dict(zip(LABELS, row, strict=True)) for x, row in zip(LABELS, WORDS, strict=True)}
    ),
    "inside.json": json.dumps({"author": {"name": "me"}, "group": {"table": S3.tolist()}}),
    "session.txt": f"gap> MultiplicationTable(\n> SymmetricGroup(3));\n{gap_list(S3)}\ngap> \n",
    "typed.txt": f"gap> T := {gap_list(S3)};;\n",
    "one.jsonl": json.dumps({"name": "S3", "table": S3.tolist()}) + "\n",
    "two.jsonl": '{"author": "me"}\n' + json.dumps({"table": S3.tolist()}) + "\n",
    "rows.jsonl": "\n".join(json.dumps(row) for row in S3.tolist()),
    "python.txt": repr(tuple(map(tuple, WORDS))),
    "numpy.txt": str(S3),
    "array.txt": repr(S3),
    "mathematica.txt": LISTED.replace("[", "{").replace("]", "}"),
    "matlab.txt": "[" + "; ".join(" ".join(map(str, row)) for row in S3.tolist()) + "]",
    "saved.csv": "\n".join(" ".join(f"{entry:.18e}" for entry in row) for row in S3.tolist()),
    "spreadsheet.csv": ROWS.replace(",", ",0;").replace("\n", ",0\n") + ",0",
    "sep.csv": "sep=;\n" + ROWS.replace(",", ";"),
    "permutations.g": "[ [ (), (1,2) ], [ (1,2), () ] ]",
    "markdown.txt": "| |"
    + "|".join(LABELS)
    + "|\n|"
    + "---|" * 7
    + "\n"
    + "".join(f"|{x}|{'|'.join(row)}|\n" for x, row in zip(LABELS, WORDS, strict=True)),
    "written-by-R.txt": " ".join(f'"{x}"' for x in LABELS)
    + "\n"
    + "\n".join(f'"{x}" {" ".join(row)}' for x, row in zip(LABELS, WORDS, strict=True)),
    "pandas.csv": ","
    + ",".join(map(str, range(6)))
    + "\n"
    + "\n".join(f"{i},{line}" for i, line in enumerate(ROWS.splitlines())),
    "remarks.csv": "% a group\n" + ROWS.replace("\n", "  # a row\n// and\n\n", 1),
    "aligned.txt": "\n".join(" ".join(f"{entry:>4}" for entry in row) for row in S3.tolist()),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_every_program_s_table_is_read(folder, name):
    read = group(written(folder, name, DIALECTS[name]))
    np.testing.assert_array_equal(read.table, named("C2").table if "perm" in name else S3)
    assert read.name == name


def test_rows_and_columns_in_different_orders_are_matched_by_their_labels(folder):
    columns, rows = [3, 0, 5, 1, 4, 2], [1, 4, 2, 0, 3, 5]
    text = "*," + ",".join(LABELS[b] for b in columns)
    text += "".join(f"\n{LABELS[a]}," + ",".join(WORDS[a][b] for b in columns) for a in rows)
    read = group(written(folder, "shuffled.csv", text))
    place = np.argsort(columns)
    np.testing.assert_array_equal(read.table, place[S3[np.ix_(columns, columns)]])
    assert "elements c, e, f, a, d, b are numbered 0 to 5 in the order of the header" in read.note


def test_labels_without_a_header_are_numbered_by_the_row_of_the_identity(folder):
    text = "a,e\ne,a"  # the second element is the identity... and so is the first, renamed
    assert group(written(folder, "unheaded.csv", text)).order == 2
    moved = named("S3~5")
    words = [[LABELS[entry] for entry in row] for row in moved.table]
    read = group(written(folder, "moved.csv", "\n".join(map(",".join, words))))
    np.testing.assert_array_equal(np.sort(read.element_orders), np.sort(named("S3").element_orders))


def test_numbers_that_are_no_indices_are_labels(folder):
    text = "\n".join(",".join(str(x * y % 8) for y in (1, 3, 5, 7)) for x in (1, 3, 5, 7))
    read = group(written(folder, "units.csv", text))
    assert read.element_orders.tolist() == [1, 2, 2, 2]
    assert read.note == "elements 1, 3, 5, 7 are numbered 0 to 3 in the order of the first row"


TABLES = ["C1", "C2", "C5", "S3", "D5", "Q8~1", "A4", "C2xC2xC4~3"]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_table_in_any_dialect_reads_back_equal(folder, data):
    draw = data.draw
    table = named(draw(st.sampled_from(TABLES))).table
    n = len(table)
    identity_first = bool((table[0] == np.arange(n)).all())
    kind = draw(st.sampled_from(["from 0", "from 1", "floats", "labels"]))
    separator = draw(st.sampled_from(["\t", ";", ",", "|", " ", ", ", "  "]))
    header = n > 1 and draw(st.sampled_from([False, "top", "left", "both"]))
    if kind == "labels" and (n == 1 or not (header or identity_first)):
        kind = "from 0"  # a single word is no table, and labels' order is the header's or the identity's
    letters = st.text("abcdeghxyzαβγé⁻¹'", min_size=1, max_size=4).filter(lambda t: t != "'")
    labels = {
        "from 0": [str(i) for i in range(n)],
        "from 1": [str(i + 1) for i in range(n)],
        "floats": [f"{i}.0" for i in range(n)],
        "labels": draw(st.lists(letters, min_size=n, max_size=n, unique=True))
        if kind == "labels"
        else [],
    }[kind]
    quoted = draw(st.booleans())
    cell = (lambda text: f'"{text}"') if quoted else str
    rows = [[cell(labels[entry]) for entry in row] for row in table.tolist()]
    names = [cell(label) for label in labels]
    if header in ("left", "both"):
        rows = [[name, *row] for name, row in zip(names, rows, strict=True)]
    if header in ("top", "both"):
        corner = draw(st.sampled_from(["*", "·", '""' if quoted else "op"]))
        rows.insert(0, [corner, *names] if header == "both" else names)
    ends = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    trailing = separator if separator in ("\t", ";", ",", "|") and draw(st.booleans()) else ""
    lines = [separator.join(row) + trailing for row in rows]
    for _ in range(draw(st.integers(0, 2))):
        lines.insert(
            draw(st.integers(0, len(lines))), draw(st.sampled_from(["", "# remark", "   "]))
        )
    coding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]))
    text = ends.join(lines) + draw(st.sampled_from(["", ends]))
    if coding.startswith("utf-16-") and not text.isascii():
        coding = "utf-16"
    path = written(
        folder, f"drawn{draw(st.sampled_from(['.csv', '.txt', '.tsv']))}", text.encode(coding)
    )
    np.testing.assert_array_equal(group(path).table, table)


@pytest.mark.parametrize("dtype", ["u1", ">i4", "<i8", "f2", ">f8", "U2"])
@pytest.mark.parametrize("base", [0, 1])
def test_arrays_of_every_kind_are_read(folder, dtype, base):
    array = np.asfortranarray((S3 + base).astype(dtype))
    np.save(folder / "array.npy", array)
    np.savez_compressed(folder / "array.npz", table=array, other=np.zeros(3))
    np.savez(folder / "only.npz", array)
    for file in ("array.npy", "array.npz", "only.npz"):
        np.testing.assert_array_equal(group(folder / file).table, S3)
    np.testing.assert_array_equal(group(array).table, S3)


BROKEN = S3.tolist()
WRONG = {
    "label.csv": ("e,a\na,q\n", r"expected one of the elements of the first row \(e, a\), got 'q'"),
    "twice.csv": ("*,e,e\ne,e,a\na,a,e\n", "not square|no element|twice"),
    "header.csv": ("e,a,a\ne,a,b\na,b,e\nb,e,a\n", "header.csv: the header names 'a' twice"),
    "gap.csv": ("0,1,2\n1,,0\n2,0,1\n", "expected a whole number, got an empty entry"),
    "missing.csv": ("e,a,b\na,b\nb,e,a\n", "expected 3 entries as in line 1, got 2"),
    "row.csv": ("e,a,b\na,b,e\na,e,b\n", "row 2 holds|column 0 holds"),
    "outside.csv": (
        "1,2,3\n2,3,1\n3,1,4\n",
        "line 3, entry 3 is 4, outside 1..3 for 3 elements counted",
    ),
    "far.csv": ("0,1,2\n1,2,0\n2,0,9\n", r"entry \(2,2\) is 9, outside 0..2"),
    "loop.txt": (
        "[ [ 1, 2, 3, 4, 5 ], [ 2, 1, 4, 5, 3 ], [ 3, 5, 1, 2, 4 ], [ 4, 3, 5, 1, 2 ], "
        "[ 5, 4, 2, 3, 1 ] ]",
        r"not associative: \(\d·\d\)·\d = \d but \d·\(\d·\d\) = \d",
    ),
    "repeated.json": ('{"table": [[0, 1], [1, 1]]}', "row 1 holds 1 twice"),
    "ragged.json": ("[[0, 1], [1]]", "its rows differ in length"),
    "none.json": (
        '{"rows": 3}',
        "expected a list of rows, or an object with table, got one with rows",
    ),
    "many.jsonl": ('{"table": [[0]]}\n{"table": [[0]]}\n', "expected one line with a table, got 2"),
    "broken.json": ("[[0, 1], [1, 0", "no nested list that can be read"),
    "remarks.csv": ("# nothing\n", "expected a Cayley table, got comments only"),
    "fractions.csv": ("0,1.5\n1.5,0\n", r"expected integers or labels, got '1\.5'"),
    "page.csv": ("<html><body>404</body></html>", "got a web page; download the file itself"),
    "pointer.csv": ("version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "sheet.csv": (b"PK\x03\x04" + bytes(50), "a spreadsheet; save it as .csv"),
    "packed.csv": (b"\x1f\x8b\x08" + bytes(50), "a gzip archive; unpack it"),
    "hollow.json": ("[[]]", "hollow.json is not square: its rows are empty"),
    "hollow_rows.json": ('{"table": [[], []]}', "not square: its rows are empty"),
    "bytes.csv": (b"\x00\x01\x02\x03", "expected comma-separated integers, got a binary file"),
    "signs.txt": (
        "[" + "-" * 100_000 + "1]",
        r"expected integers or labels, got '\[-------------------'",
    ),
    "deep.json": ("[" * 100_000, "no nested list|not square"),
    "digits.json": ("[[" + "9" * 10_000 + "]]", "outside|read|integers|no element"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_table_is_refused_in_one_line_that_names_the_first_entry(folder, name):
    content, words = WRONG[name]
    with pytest.raises(ValueError, match=words) as caught:
        group(written(folder, name, content))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_folder_and_a_missing_file_are_told_from_a_file_of_another_kind(folder):
    (folder / "folder.csv").mkdir()
    written(folder, "table.xlsx", "0")
    for name, words in (
        ("folder.csv", "got a folder"),
        ("gone.csv", "expected a file with a Cayley table, got no such file"),
        ("gone", r"expected a \.csv, \.tsv, \.txt, \.json, \.jsonl, \.g, \.npy or"),
        ("table.xlsx", r"expected a \.csv, \.tsv, \.txt, \.json, \.jsonl, \.g, \.npy or"),
        ("n" * 300 + ".csv", "no such file"),
    ):
        with pytest.raises(ValueError, match=words):
            group(str(folder / name))


def test_archives_are_read_by_their_headers(folder):
    np.savez(folder / "two.npz", a=S3, b=S3)
    with pytest.raises(
        ValueError, match=r"expected one array, or one called table, got 2 \(a, b\)"
    ):
        group(folder / "two.npz")
    np.savez_compressed(folder / "bomb.npz", np.zeros((9000, 9000), dtype=np.int8))
    with pytest.raises(
        ValueError,
        match=r"expected an order of at most 2000, got 9000, which would take about 6\.48",
    ):
        group(folder / "bomb.npz")
    np.savez(folder / "objects.npz", np.array([[{}]], dtype=object))
    with pytest.raises(ValueError, match="got one of Python objects"):
        group(folder / "objects.npz")
    np.savez(folder / "flipped.npz", S3)
    content = bytearray((folder / "flipped.npz").read_bytes())
    content[content.index(np.int64(5).tobytes()) + 1] ^= 1
    with pytest.raises(ValueError, match=r"not a readable \.npz archive"):
        group(written(folder, "flipped.npz", bytes(content)))


def test_a_note_says_how_entries_became_elements(folder):
    assert read_table(written(folder, "zero.csv", ROWS)).note == ""
    one = read_table(written(folder, "one.txt", gap_list(S3))).note
    assert one == "entries 1 to 6 are elements 0 to 5"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("C5.csv", "C5.csv"),
        ("x mod 7.csv", "x mod 7.csv"),
        ("x in y.csv", "x_in_y.csv"),
        ("a/b/compose(S3,3).csv", "compose(S3,3).csv"),
        ("C:\\my tables\\ S3.csv", "S3.csv"),
        ("[bold]名.npy", "[bold]名.npy"),
        ("a\nb.csv", "a b.csv"),
        ("n" * 300 + ".csv", "n" * 75 + "….csv"),
    ],
)
def test_a_file_is_called_by_its_name_and_ending(path, name):
    assert file_name(path) == name
    assert is_table_file(name)
    assert len(file_name(path)) <= 80
