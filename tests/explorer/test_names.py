"""No name or path from a browser leads out of the folder."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from marginlens.explorer.safe_paths import inside, safe_name

NASTY = [
    "../x",
    "/etc/passwd",
    "a/../../b",
    "a\0b",
    "\0",
    "..",
    ".",
    "",
    "   ",
    ".hidden",
    "a/b",
    "a\\b",
    "con",
    "NUL",
    "com1.txt",
    "x" * 81,
    "é",
    "名",
    "a b",
    "a\nb",
    "a\n",
    "~",
    "$HOME",
    "a:b",
    "C:x",
    "*",
    "a.",
    "...",
    "-\u202ex",
    "\uff0e\uff0e\uff0fx",
    "a/",
    "//a",
    "..\\..\\x",
    "%2e%2e%2fx",
    "a;b",
    "<b>",
    "١",
    "ａ",
]


def answered(function, *arguments):
    """What it returns, or None, and the words with which it refuses."""
    try:
        return function(*arguments), ""
    except ValueError as error:
        return None, str(error)


@pytest.mark.parametrize("text", NASTY)
def test_nasty_names_are_refused_in_one_line_that_says_what_to_type(text):
    with pytest.raises(ValueError, match=r"type|letters") as caught:
        safe_name(text)
    assert "\n" not in str(caught.value)
    assert "\0" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "text", ["C23", "a", "-", "(1)", "a..b", "x" * 80, "S3xC4_relu-1.5", "control"]
)
def test_good_names_stay_as_they_are(text):
    assert safe_name(text) == safe_name(f"  {text} ") == text


@given(st.text(max_size=90))
@example("..")
def test_what_is_let_through_is_one_plain_component(text):
    name, words = answered(safe_name, text)
    if name is None:
        assert len(words.splitlines()) == 1
        return
    assert re.fullmatch(r"[A-Za-z0-9_().-]{1,80}", name)
    assert os.path.normpath(name) == name == os.path.basename(name)  # noqa: PTH119
    assert not name.startswith(".")


@pytest.mark.parametrize(
    "text",
    [
        "../x",
        "/etc/passwd",
        "a/../../b",
        "a/../b",
        "a\0b",
        "..",
        "",
        ".",
        ".live/1",
        "a/.live",
        "a//b",
        "\\\\server\\x",
        "C:\\x",
        "x" * 5000,
    ],
)
def test_paths_that_lead_out_or_to_what_is_hidden_are_refused(tmp_path, text):
    with pytest.raises(ValueError, match="expected a path in the") as caught:
        inside(tmp_path, text)
    assert len(str(caught.value)) < 400


PARTS = st.lists(
    st.sampled_from(["..", ".", "a", "b", "", "/", "\\", "~", "\0", "loop", "out", "é"]), max_size=6
)


@given(PARTS, st.sampled_from(["/", "\\", ""]))
def test_whatever_comes_back_lies_in_the_folder(tmp_path_factory, parts, between):
    folder = tmp_path_factory.getbasetemp() / "inside"
    folder.mkdir(exist_ok=True)
    if not (folder / "out").is_symlink():
        (folder / "out").symlink_to("..")
        (folder / "loop").symlink_to("loop")
    path, words = answered(inside, folder, between.join(parts))
    if path is None:
        assert len(words.splitlines()) == 1
        return
    real = os.path.realpath(path)
    assert os.path.commonpath([real, os.path.realpath(folder)]) == os.path.realpath(folder)
    assert real != os.path.realpath(folder)


def test_links_that_lead_out_are_refused_and_those_within_are_not(tmp_path):
    folder = tmp_path / "runs"
    (folder / "C23").mkdir(parents=True)
    (folder / "same").symlink_to("C23")
    (folder / "out").symlink_to(tmp_path)
    (folder / "passwords").symlink_to("/etc/passwd")
    (folder / "loop").symlink_to("loop")
    assert inside(folder, "same") == folder / "same"
    assert inside(folder, "C23") == folder / "C23"
    assert inside(Path(folder), "not-there/yet") == folder / "not-there" / "yet"
    for name in ("out", "out/x", "passwords", "loop"):
        with pytest.raises(ValueError, match="expected a path"):
            inside(folder, name)
