"""What the terminal shows of names and numbers: literally, unbroken, and nothing left out."""

import io
import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.text import Text

from marginlens.cli.app import err
from marginlens.cli.console import PlainConsole, printable, styled
from marginlens.cli.tables import Table
from marginlens.cli.text_output import counting, print_json, progress

NAMES = [
    "a[bold]b",
    "x[/y]",
    "[red]q",
    "p [link=file:///etc]q[/link]",
    "[@click=f()]x[/]",
    ":smile: :warning:",
    "esc\x1b[31mred\x1b[0m",
    "title\x1b]0;owned\x07",
    "back\x08\x08space",
    "turn\u202eedoc",
    "c1\x9b2J",
    "lone\udcff",
    "<b>html</b> & co",
    "back\\slash[bold]",
    "[[]]",
    "50%",
    "{curly}",
    "line\u2028end",
]
FORBIDDEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def shown(*things, width=80, terminal=False, **options):
    console = PlainConsole()
    console._file, console._width, console._force_terminal = io.StringIO(), width, terminal
    for thing in things:
        console.print(thing, **options)
    return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_name_is_printed_as_it_is_however_it_gets_there(name):
    table = Table("name", name, title=name, caption=name)
    table.add_row(name, styled(name))
    printed = shown(name, styled((name, "bold")), table, width=400)
    assert printed.count(printable(name)) == 7
    assert FORBIDDEN.search(printed + shown(Text(name))) is None
    assert shown(name, soft_wrap=True, style="red") == printable(name) + "\n"


@pytest.mark.parametrize(
    "name", [n for n in NAMES if "/" not in n and "\udcff" not in n], ids=ascii
)
def test_commands_print_names_of_files_and_folders_as_they_are(call, name):
    np.savetxt(f"{name}.csv", [[0, 1], [1, 0]], fmt="%d", delimiter=",")
    code, printed, error = call("predict", f"{name}.csv")
    assert code == 0, error
    assert FORBIDDEN.search(printed) is None
    if FORBIDDEN.search(name) is None and "\\" not in name:  # other names are cleaned by the task
        assert name in printed
    for arguments in (["predict", name], ["measure", name], [name], ["predict", "C5", f"--{name}"]):
        code, out, error = call(*arguments)
        assert code == 2, arguments
        assert FORBIDDEN.search(out + error) is None
        assert error.count("\n") == 1


def test_a_run_in_a_folder_with_brackets_is_trained_shown_and_reported(call):
    folder = "runs/x[/y] [bold]z"
    code, printed, error = call(
        "train",
        "C5",
        "--steps",
        "3",
        "--width",
        "4",
        "--strength",
        "1e-3",
        "--learning-rate",
        "0.01",
        "--out",
        folder,
    )
    assert code == 0, error
    assert f"everything is in {folder}" in printed
    for arguments in (["measure", folder], ["verify", folder]):
        assert call(*arguments)[0] != 70


def test_progress_bars_print_names_as_they_are(monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr(err, "_file", written)
    monkeypatch.setattr(err, "_force_terminal", True)
    monkeypatch.setattr(err, "is_interactive", True)
    monkeypatch.setenv("TERM", "xterm")
    with counting("a[bold]b[/y]\x1b]0;x", quiet=False) as show:
        show(1, 2)
    with progress(5, None, quiet=False) as step:
        assert step is not None
        step(1, {name: np.ones(1) for name in ("loss", "accuracy", "normalized_margin")})
    assert "a[bold]b[/y]\\x1b]0;x" in written.getvalue()


NUMBER = st.one_of(
    st.floats(allow_nan=True).map(lambda v: f"{v:.7g}"),
    st.floats().map(repr),
    st.tuples(st.floats(0, 9), st.floats(0, 9)).map(lambda p: f"{p[0]:.3f} ± {p[1]:.3f}"),
    st.floats(0, 1).map(lambda v: f"{v:.2%}"),
    st.integers().map(str),
)
WORDS = st.lists(st.text("abcdefgh[/]", min_size=1, max_size=11), max_size=9).map(" ".join)


@settings(deadline=None, max_examples=60)
@given(data=st.data(), width=st.integers(40, 160))
def test_no_number_is_broken_and_no_cell_is_left_out_at_any_width(data, width):
    count = data.draw(st.integers(1, 9))
    columns = data.draw(
        st.lists(st.text("xyz_", min_size=1, max_size=14), min_size=count, max_size=count)
    )
    kinds = data.draw(st.lists(st.sampled_from([NUMBER, WORDS]), min_size=count, max_size=count))
    table = Table(*columns, row_name=data.draw(st.sampled_from([None, "row"])))
    rows = [[data.draw(kind) for kind in kinds] for _ in range(data.draw(st.integers(0, 4)))]
    for row in rows:
        table.add_row(*row)
    printed = shown(table, width=width)
    assert all(len(line) <= width for line in printed.splitlines())
    if rows or table.fits(width):
        assert all(name in printed for name in columns)
    for row in rows:
        for cell, kind in zip(row, kinds, strict=True):
            if kind is NUMBER:
                assert cell in printed
            else:
                assert all(word in printed for word in cell.split())


def test_a_table_that_does_not_fit_is_printed_a_line_a_column():
    table = Table(*(f"column_{i}" for i in range(30)), row_name="row")
    table.add_row(*(f"{i}.25" for i in range(30)))
    table.add_row(*(f"{i}.75" for i in range(30)))
    lines = shown(table).splitlines()
    assert lines[0].split() == ["row", "1", "row", "2"]
    assert [line.split() for line in lines[1:]] == [
        [f"column_{i}", f"{i}.25", f"{i}.75"] for i in range(30)
    ]


def test_json_is_valid_whatever_the_numbers(capsys):
    print_json({"a": float("nan"), "b": [float("inf"), (1.5, -float("inf"))], "c": "NaN"})
    text = capsys.readouterr().out
    assert json.loads(text, parse_constant=pytest.fail) == {
        "a": None,
        "b": [None, [1.5, None]],
        "c": "NaN",
    }


def test_sentences_end_their_lines_between_words_and_paths_stay_whole():
    path = "/very/long/" + "x" * 90 + "[/y]/report.html"
    printed = shown(f"  wrote 12.5 % of {path} at 0.25 ± 0.01 in 3.5 s", width=24)
    assert [line.strip() for line in printed.splitlines()] == [
        "wrote 12.5 % of",
        path,
        "at 0.25 ± 0.01 in",
        "3.5 s",
    ]
    assert all(line.startswith("  ") for line in printed.splitlines())
