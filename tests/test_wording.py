"""Docstrings and documents follow the wording rules: pure syntax, nothing is imported.

Rooms that pass are listed in ``ROOMS``; a room is added when its texts were rewritten.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "marginlens"
ROOMS = (
    "atlas",
    "explorer",
    "figures",
    "formats",
    "groups",
    "kernels",
    "measures",
    "networks",
    "reproduce",
    "runs",
    "sweeps",
    "tasks",
    "theory",
    "top",
    "verdict",
)

QUESTION = re.compile(r"(what|how|which|when|where|who|whether|why)\b", re.I)
LIMITS = {  # per 1,000 words of docstrings
    "what": (re.compile(r"\bwhat\b", re.I), 2.0),
    "there is": (re.compile(r"\bthere (?:is|are|was|were)\b", re.I), 0.3),
    "none": (re.compile(r"\b(?:none|nothing|nobody)\b", re.I), 2.0),
}
_CODE = re.compile(r">>> .*|\.\.\. .*|``[^`]*``|:\w+:`[^`]*`")
_SECTION = re.compile(
    r"^(?:Parameters|Attributes)\n-+\n(.*?)(?:\n\n[A-Z]\w+(?: \w+)?\n-+|\Z)", re.M | re.S
)
_LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)#\s]+)")
_PATH = re.compile(r"`([\w.-]+(?:/[\w.-]+)+\.(?:py|md|cpp|toml|ipynb))`")
_NAME = re.compile(r":(?:mod|func|class|meth|data|attr):`~?(marginlens[\w.]*)`")
_BASES = (ROOT, SOURCE, SOURCE / "explorer", ROOT / "docs", ROOT / "tests")


def nodes(tree: ast.Module) -> Iterator[tuple[str, ast.AST, bool]]:
    """Yield the module and its classes and functions: qualified name, node, public or not."""
    yield "", tree, True
    stack: list[tuple[str, ast.AST, bool, bool]] = [("", tree, True, True)]
    while stack:
        prefix, parent, public, nestable = stack.pop()
        for node in ast.iter_child_nodes(parent):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                is_public = public and nestable and not node.name.startswith("_")
                yield prefix + node.name, node, is_public
                inner = isinstance(node, ast.ClassDef)
                stack.append((f"{prefix}{node.name}.", node, is_public, inner))


def described(text: str) -> dict[str, str]:
    """Return the description of each documented parameter and attribute."""
    names: dict[str, str] = {}
    for section in _SECTION.findall(text):
        for part in re.split(r"\n(?=\S)", section):
            head, _, body = part.partition("\n")
            for name in head.split(" : ")[0].split(","):
                names[name.strip().lstrip("*")] = " ".join(body.split())
    return names


def parameters(node: ast.AST) -> list[str]:
    """Return the names of a function's parameters that callers may give."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return []
    a = node.args
    every = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
    names = [each.arg for each in every]
    return [name for name in names if name not in ("self", "cls") and not name.startswith("_")]


def exported(folder: Path) -> set[str]:
    """Return the names in ``__all__`` of a package."""
    for node in ast.parse((folder / "__init__.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return {each.value for each in ast.walk(node) if isinstance(each, ast.Constant)}
    return set()


def problems(source: str, public_names: set[str]) -> list[str]:
    """Return one line for each docstring of a module that breaks a rule."""
    lines = []
    for name, node, is_public in nodes(ast.parse(source)):
        text = ast.get_docstring(node)
        if text is None:
            if is_public:
                lines.append(f"{name}: undocumented")
            continue
        first = text.splitlines()[0]
        if QUESTION.match(first):
            lines.append(f"{name}: opens with a question word: {first}")
        if len(first) > 88:
            lines.append(f"{name}: first line of {len(first)} characters")
        texts = described(text)
        if is_public and name in public_names:
            missing = [each for each in parameters(node) if each not in texts]
            lines += [f"{name}: parameter {each} undocumented" for each in missing]
        short = {key: body for key, body in texts.items() if len(body.split()) <= 3}
        lines += [f"{name}: {key}: {body!r} is too short" for key, body in short.items()]
    return lines


def frequencies(texts: list[str]) -> dict[str, float]:
    """Return the occurrences of each phrase of ``LIMITS`` per 1,000 words."""
    counts: Counter[str] = Counter()
    words = 0
    for text in texts:
        prose = _CODE.sub(" ", text)
        words += len(prose.split())
        counts.update({key: len(phrase.findall(prose)) for key, (phrase, _) in LIMITS.items()})
    return {key: 1000 * counts[key] / max(words, 1) for key in LIMITS}


def docstrings(source: str) -> list[str]:
    """Return all docstrings of a module."""
    return [text for _, node, _ in nodes(ast.parse(source)) if (text := ast.get_docstring(node))]


def dead_references(text: str, folder: Path) -> list[str]:
    """Return the links, paths and names of a text that lead nowhere."""
    links = [link for link in _LINK.findall(text) if not (folder / link).exists()]
    paths = [p for p in _PATH.findall(text) if not any((base / p).exists() for base in _BASES)]
    return links + paths + [name for name in _NAME.findall(text) if not exists(name)]


def exists(name: str) -> bool:
    """Return whether a dotted name is a module of the package, or occurs in that module."""
    place, parts = SOURCE, name.split(".")[1:]
    while parts and ((place / parts[0]).is_dir() or (place / f"{parts[0]}.py").is_file()):
        place = place / parts.pop(0)
        if not place.is_dir():
            break
    files = sorted(place.glob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    code = "\n".join(file.read_text() for file in files)
    return all(re.search(rf"\b{part}\b", code) for part in parts)


def files_of(room: str) -> list[Path]:
    """Return the Python files of a room; ``top`` is the package's own files."""
    return sorted(SOURCE.glob("*.py") if room == "top" else (SOURCE / room).rglob("*.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_the_docstrings_of_a_room_pass(room):
    public = exported(SOURCE if room == "top" else SOURCE / room)
    sources = {file: file.read_text() for file in files_of(room)}
    lines = [
        f"{file.relative_to(SOURCE)}: {line}"
        for file, source in sources.items()
        for line in problems(source, public)
    ]
    assert lines == []
    dead = [
        f"{file.relative_to(SOURCE)}: {each}"
        for file, source in sources.items()
        for text in docstrings(source)
        for each in dead_references(text, file.parent)
    ]
    assert dead == []


def test_riddle_words_are_rare():
    sources = [file.read_text() for room in ROOMS for file in files_of(room)]
    counts = frequencies([text for source in sources for text in docstrings(source)])
    assert {key: count for key, count in counts.items() if count > LIMITS[key][1]} == {}


def test_the_links_and_paths_of_the_documents_exist():
    files = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    dead = [f"{f.name}: {each}" for f in files for each in dead_references(f.read_text(), f.parent)]
    assert dead == []


SAMPLE = '''"""What the module does."""

def train(task, *, steps=1, _cache=None):
    """Train a network, see :func:`marginlens.theory.no_such_name`, `theory/no_such_file.py`.

    Parameters
    ----------
    task
        Where.

    Returns
    -------
    There is nothing, and nobody asks what there was: what remains is none.
    """

class Network:
    """How a network is made."""

    def forward(self):
        return 1

    def fit(self):
        """Fit the network to the rows of a task, with an optimizer, for any number of steps and more."""

def _private(rows):
    return rows
'''


def test_a_bad_sample_is_refused_for_each_rule():
    assert problems(SAMPLE, {"train"}) == [
        ": opens with a question word: What the module does.",
        "train: parameter steps undocumented",
        "train: task: 'Where.' is too short",
        "Network: opens with a question word: How a network is made.",
        "Network.forward: undocumented",
        "Network.fit: first line of 91 characters",
    ]
    over = {key: value > LIMITS[key][1] for key, value in frequencies(docstrings(SAMPLE)).items()}
    assert over == {"what": True, "there is": True, "none": True}
    assert dead_references(docstrings(SAMPLE)[1] + "[a](gone.md), [b](https://x.org)", ROOT) == [
        "gone.md",
        "theory/no_such_file.py",
        "marginlens.theory.no_such_name",
    ]


def test_a_good_sample_passes():
    good = '''"""Optimizers."""

def train(task, *, steps=1):
    """Train a network, see :func:`marginlens.theory.predict` and `theory/predict.py`.

    Parameters
    ----------
    task, steps
        Task to learn, and number of steps.
    """
'''
    assert problems(good, {"train"}) == []
    assert dead_references(good, ROOT) == []
    assert max(frequencies(docstrings(good)).values()) == 0


HEAD = '"""Parts."""\n'


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ('"""Where files are kept."""', ": opens with a question word: Where files are kept."),
        (
            HEAD + 'def f():\n    """Whether it is."""',
            "f: opens with a question word: Whether it is.",
        ),
        (HEAD + "async def f():\n    return 1", "f: undocumented"),
        (HEAD + 'def f(*, rows):\n    """Fit."""', "f: parameter rows undocumented"),
        (HEAD + 'def f(*parts):\n    """Join."""', "f: parameter parts undocumented"),
        (
            HEAD + 'class A:\n    """Part.\n\n    Attributes\n    ----------\n    n : int\n'
            '        Of rows.\n    """',
            "A: n: 'Of rows.' is too short",
        ),
    ],
)
def test_each_kind_of_riddle_is_found(source, line):
    assert problems(source, {"f", "A"}) == [line]


@pytest.mark.parametrize(
    ("text", "dead"),
    [
        ("[part](docs/gone.md#part)", "docs/gone.md"),
        (":class:`~marginlens.groups.NoGroup`", "marginlens.groups.NoGroup"),
        (":mod:`marginlens.no_room`", "marginlens.no_room"),
        ("see `figures/gone.py`", "figures/gone.py"),
        ("see `docs/theory.md` and :mod:`marginlens.theory`", None),
    ],
)
def test_dead_references_are_found(text, dead):
    assert dead_references(text, ROOT) == ([dead] if dead else [])
