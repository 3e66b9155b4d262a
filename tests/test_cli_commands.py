"""Commands by their names: those of earlier versions, completion, and every mention in the texts."""

import ast
import json
import re
from pathlib import Path

import pytest
from cli_commands import COMMANDS, GROUPS, PAGES, command_of, parse

from marginlens import cli
from marginlens.cli import completion
from marginlens.cli.renamed_commands import RENAMED, current_command

ROOT = Path(cli.__file__).parents[3]

MOVED = [
    ("certify A5 --out a5.npz", "theory certify A5 --out a5.npz"),
    ("Path A5", "theory path A5"),
    ("widths C5 --widths 2", "theory widths C5 --widths 2"),
    ("waveform 71 --activation relu", "theory waveform 71 --activation relu"),
    ("waveform --activation relu 71", "theory waveform --activation relu 71"),
    ("waveform runs/relu --figure f.html", "analyze waveform runs/relu --figure f.html"),
    ("waveform", "theory waveform"),
    ("degrees 23", "theory degrees 23"),
    ("memorizing", "theory memorizing"),
    ("algorithms Z/71", "theory algorithms Z/71"),
    ("algorithms run", "analyze algorithms run"),
    ("algorithms net.pt --group S3", "analyze algorithms net.pt --group S3"),
    ("interference 59", "theory interference 59"),
    ("lottery runs/C23", "analyze lottery runs/C23"),
    ("grokking runs/C23 --losses", "analyze grokking runs/C23 --losses"),
    ("progress runs/C23", "analyze progress runs/C23"),
    ("query sweeps/a 'select 1'", "sweep query sweeps/a 'select 1'"),
    ("table --help", "sweep table --help"),
    ("law sweeps/a", "sweep law sweeps/a"),
    ("animate runs/C23 --out film.gif", "figure animate runs/C23 --out film.gif"),
    ("sweep pilot.toml --yes", "sweep run pilot.toml --yes"),
    ("sweep --yes pilot.toml", "sweep run --yes pilot.toml"),
    ("figure --list --json", "figure list --json"),
    ("figure wheel runs/C23 --dark", "figure draw wheel runs/C23 --dark"),
    ("figure --dark wheel runs/C23", "figure draw --dark wheel runs/C23"),
]


@pytest.mark.parametrize(("old", "new"), MOVED, ids=[old for old, _ in MOVED])
def test_a_command_of_an_earlier_version_is_the_present_one_with_a_note(
    tmp_path, monkeypatch, old, new
):
    import shlex

    monkeypatch.chdir(tmp_path)
    Path("run").mkdir()
    arguments, note = current_command(shlex.split(old))
    assert arguments == shlex.split(new)
    name, _ = command_of(arguments)
    assert note == f"{old.split()[0].lower()} is now {name}; use marginlens {new}"


def test_present_commands_are_left_alone():
    assert set(RENAMED.values()) <= set(COMMANDS)
    assert not set(RENAMED) & {*COMMANDS, *GROUPS}
    for name in [*COMMANDS, *GROUPS]:
        for words in (name.split(), [*name.split(), "--help"], [*name.split(), "C5"]):
            assert current_command(words) == (words, "")
    for words in (["figure", "lst"], ["sweep", "tabel", "sweeps/a"], ["predict", "certify"]):
        assert current_command(words) == (words, "")


def test_an_old_command_still_works_and_says_its_new_name_on_the_error_stream(call):
    code, printed, error = call("certify", "S3", "--json")
    assert code == 0
    assert json.loads(printed)["holds"]
    assert (
        error
        == "marginlens: certify is now theory certify; use marginlens theory certify S3 --json\n"
    )
    code, printed, error = call("interference", "10")
    assert (code, printed, error.count("\n")) == (2, "", 2)


def completions(monkeypatch, capsys, line):
    """Words that bash gets for a line whose last word is being typed."""
    monkeypatch.setattr("sys.argv", ["marginlens"])
    monkeypatch.setenv("_MARGINLENS_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert not caught.value.code
    return capsys.readouterr().out.split("\n")[:-1]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("marginlens pre", {"predict"}),
        ("marginlens theory w", {"widths", "waveform"}),
        ("marginlens sweep ", {"run", "query", "table", "law"}),
        ("marginlens predict A", {"A5"}),
        ("marginlens run mine", {"mine.csv"}),
        ("marginlens train --overw", {"--overwrite"}),
        ("marginlens verify runs/", {"runs/C5", "runs/more/"}),
        ("marginlens measure runs/C", {"runs/C5"}),
        ("marginlens measure net", {"net.npz"}),
        ("marginlens train --resume runs/m", {"runs/more/"}),
        ("marginlens figure draw mar", {"margin", "margins"}),
        ("marginlens figure draw wheel runs/C", {"runs/C5"}),
        ("marginlens sweep table sweeps/", {"sweeps/pilot"}),
        ("marginlens sweep table sweeps/pilot c", {"convergence", "counts", "cooccurrence"}),
        ("marginlens reproduce o5", {"o52", "o54", "o58", "o59"}),
        ("marginlens measure net.npz --as n", {"nanda", "npz"}),
    ],
)
def test_the_shell_completes_commands_tasks_figures_and_folders(
    tmp_path, monkeypatch, capsys, line, expected
):
    monkeypatch.chdir(tmp_path)
    for path in ("runs/C5/recipe.toml", "runs/more/C7/recipe.toml", "sweeps/pilot/sweep.toml"):
        Path(path).parent.mkdir(parents=True)
        Path(path).touch()
    for path in ("mine.csv", "net.npz", "note.txt", "runs/.hidden"):
        Path(path).touch()
    assert set(completions(monkeypatch, capsys, line)) == expected


def test_completion_knows_all_names():
    from marginlens.cli.figure.draw import OTHER_FIGURES
    from marginlens.figures import FIGURES
    from marginlens.formats import FORMATS
    from marginlens.reproduce import REPRODUCTIONS, STUDIES
    from marginlens.sweeps import TABLES
    from marginlens.tasks import task

    assert (*FIGURES, *OTHER_FIGURES) == completion.FIGURE_NAMES
    assert tuple(TABLES) == completion.TABLE_NAMES
    assert tuple(FORMATS) == completion.FORMAT_NAMES
    assert set(completion.REPRODUCTION_NAMES) == {*REPRODUCTIONS, *STUDIES}
    assert all(task(name).name for name in completion.TASKS)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_the_script_of_a_shell_is_printed(call, monkeypatch, shell):
    monkeypatch.setattr("typer.completion._get_shell_name", lambda: shell)
    code, printed, _ = call("--show-completion")
    assert code == 0
    assert "_MARGINLENS_COMPLETE" in printed
    assert f"complete_{shell}" in printed or shell == "powershell"


DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "docs").rglob("*.ipynb")),
]
PLACEHOLDER = re.compile(r"…|\.\.\.|\bSPEC\b|\bFOLDER\b|\bFILE\b|\bNAME\b|\bRUN\b|\bTASK\b|\{")


def unreleased():
    text = (ROOT / "CHANGELOG.md").read_text()
    return text.split("## [Unreleased]")[1].split("\n## [")[0]


def lines_of(text):
    """Command lines of a document: lines that begin with marginlens, and code in backticks."""
    text = text.replace("\\\n", " ")
    yield from re.findall(r"^\s*(?:\$ )?(marginlens .*)$", text, re.MULTILINE)
    yield from re.findall(r"`(marginlens [^`\n]+)`", text)


def wrong_lines(name, text):
    for line in lines_of(text):
        try:
            if PLACEHOLDER.search(line):
                require_names(line.split()[1:])
            elif words := line.replace("--help", "").split()[1:]:
                own = {opt for one in PAGES[""].params for opt in one.opts}
                if " ".join(words) in PAGES or words[0] in own:
                    continue
                parse(" ".join(["marginlens", *words]))
        except Exception as error:
            yield f"{name}: {line}: {error}"


def require_names(words):
    """Refuse words of which the command, or an option, does not exist."""
    if words[0] in GROUPS and set(words[1:]) <= {"--help"}:
        return
    name, rest = command_of(words)
    known = {opt for one in COMMANDS[name].params for opt in (*one.opts, *one.secondary_opts)}
    for word in rest:
        option = re.match(r"--[a-z][a-z0-9-]*", word)
        assert not option or option[0] in {*known, "--help", "--debug"}, word


@pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="installed without the documents")
def test_every_command_line_in_the_documents_parses():
    wrong = []
    for file in DOCUMENTS:
        text = file.read_text()
        if file.suffix == ".ipynb":
            cells = json.loads(text)["cells"]
            text = "\n".join("".join(cell["source"]).replace("\n!", "\n") for cell in cells)
        wrong += wrong_lines(file.relative_to(ROOT), text)
    wrong += wrong_lines("CHANGELOG.md", unreleased())
    assert wrong == []


def texts_in(tree):
    """String constants and f-strings of a module, with X for each inserted value."""
    inner = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            inner |= {id(value) for value in node.values}
            yield "".join(
                str(getattr(value, "value", "")) if isinstance(value, ast.Constant) else "X"
                for value in node.values
            )
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner
        ):
            yield node.value


FIRST = {name.split()[0] for name in (*COMMANDS, *filter(None, GROUPS))} | set(RENAMED)
MENTION = re.compile(rf"(?<![\w/.-])marginlens ((?:{'|'.join(sorted(FIRST))})\b[^`\n;:()]*)")


def test_every_command_in_the_messages_of_the_package_exists():
    wrong, count = [], 0
    for folder in ("src", "benchmarks"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            if file.name == "renamed_commands.py" or "marginlens " not in (
                text := file.read_text()
            ):
                continue
            for said in texts_in(ast.parse(text)):
                for mention in MENTION.findall(said):
                    count += 1
                    try:
                        require_names(mention.rstrip(".,").split())
                    except AssertionError as error:
                        wrong.append(f"{file.relative_to(ROOT)}: marginlens {mention}: {error}")
    assert wrong == []
    assert count > 40
