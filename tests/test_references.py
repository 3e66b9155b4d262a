"""References in docstrings, messages and documents lead somewhere."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src" / "marginlens").rglob("*.py"))
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def texts(source):
    """Every string constant of a Python file, parts of f-strings included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def missing_paths(text, root):
    """Repository paths in a text that do not exist under a root."""
    named = re.findall(r"\b(?:docs|src|tests|benchmarks)/[\w./-]*\w\.\w+", text)
    return [path for path in named if not (root / path).exists()]


def missing_sections(text, headings):
    """Sections that a text refers to as ``:mod:`marginlens.theory`, "..."``, and that do not exist."""
    after = re.findall(r':mod:`marginlens\.theory`, ((?:"[^"]*"(?:,\s+|\s+and\s+)?)+)', text)
    return [
        name for quoted in after for name in re.findall('"([^"]*)"', quoted) if name not in headings
    ]


def missing_names(text):
    """Targets of roles such as ``:func:`marginlens.theory.predict``` that cannot be imported."""
    return [name for name in re.findall(r":\w+:`~?(marginlens[\w.]*)`", text) if not resolves(name)]


def resolves(name):
    home, _, last = name.rpartition(".")
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        return bool(home) and resolves(home) and named_in(home, last)
    return True


def named_in(home, last):
    try:
        value = importlib.import_module(home)
    except ModuleNotFoundError:
        outer, _, inner = home.rpartition(".")
        value = getattr(importlib.import_module(outer), inner)
    return hasattr(value, last) or last in getattr(value, "__annotations__", {})


def missing_links(text, place, root):
    """Relative links of a Markdown text, read at a place, whose file or heading does not exist."""
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        if re.match(r"\w+:", target):
            continue
        file, _, anchor = target.partition("#")
        path = (place.parent / file).resolve() if file else place
        inside = path.exists() and root.resolve() in (path, *path.parents)
        headed = inside and anchor and path.suffix == ".md"
        if not inside or (headed and anchor not in anchors(path.read_text())):
            wrong.append(target)
    return wrong


def anchors(text):
    """Anchors that a Markdown page's headings have."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_paths_in_docstrings_and_messages_exist_and_are_few():
    """An installed package has no docs folder: only the theory's docstring speaks of it."""
    for source in SOURCES:
        found = [text for text in texts(source.read_text()) if re.search(r"\bdocs/\w", text)]
        assert not [path for text in found for path in missing_paths(text, ROOT)], source
        allowed = source.relative_to(ROOT / "src/marginlens").as_posix() == "theory/__init__.py"
        assert allowed or not found, f"{source}: {found}"


def test_sections_of_the_theory_exist():
    theory = importlib.import_module("marginlens.theory")
    headings = set(re.findall(r"^## (.*)$", (ROOT / "docs/theory.md").read_text(), re.MULTILINE))
    listed = [
        name for name in headings if re.search(rf"^{name}(  |$)", theory.__doc__, re.MULTILINE)
    ]
    assert len(listed) == 11
    for source in SOURCES:
        assert not missing_sections(source.read_text(), listed), source


def test_names_in_docstrings_can_be_imported():
    for source in SOURCES:
        assert not [name for text in texts(source.read_text()) for name in missing_names(text)], (
            source
        )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_of_documents_exist(document):
    assert not missing_links(document.read_text(), document, ROOT)


def test_references_that_lead_nowhere_are_found():
    assert missing_paths("see docs/nothing.md and docs/theory.md", ROOT) == ["docs/nothing.md"]
    text = 'Derived in :mod:`marginlens.theory`, "Memorizing" and\n    "Nothing".'
    assert missing_sections(text, ["Memorizing"]) == ["Nothing"]
    assert missing_names(
        ":func:`marginlens.theory.predict` :class:`~marginlens.tasks.Nothing`"
    ) == ["marginlens.tasks.Nothing"]
    page = "[a](theory.md#setting) [b](theory.md#nothing) [c](nothing.md) [d](https://x.org/y)"
    assert missing_links(page, ROOT / "docs/page.md", ROOT) == ["theory.md#nothing", "nothing.md"]
    assert "docs/theory.md" in inspect.getdoc(importlib.import_module("marginlens.theory"))
