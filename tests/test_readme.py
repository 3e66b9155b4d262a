"""What the README shows is what happens."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


@pytest.mark.system
def test_the_python_example_runs(tmp_path, monkeypatch, capsys):
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in example.splitlines() if line]) <= 12
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "must use it" in printed
    assert "10 of 10 guaranteed claims pass" in printed
    assert (tmp_path / "runs/C23/report.html").stat().st_size > 1e6


FIGURES = (ROOT / "docs" / "figures.md").read_text()
EXPLORER = (ROOT / "docs" / "explorer.md").read_text()
COMMANDS = re.findall(
    r"^(?:\$ )?marginlens (.*?)(?:#.*)?$", README + FIGURES + EXPLORER, re.MULTILINE
)


GROUPS = {"analyze", "figure", "sweep", "theory"}


def verb_of(words):
    """The command's name: two words for a command in a group."""
    return tuple(words[: 2 if words[0] in GROUPS else 1])


USES = {
    verb: [words for words in map(shlex.split, COMMANDS) if verb_of(words) == verb]
    for verb in sorted({verb_of(command.split()) for command in COMMANDS})
}
"""The documented commands by their verb."""


@pytest.mark.parametrize("verb", USES, ids=" ".join)
def test_every_command_is_one_that_there_is(verb, monkeypatch, call):
    """Help of its verb knows all options."""
    monkeypatch.setenv("COLUMNS", "200")
    code, printed, _ = call(*verb, "--help")
    assert code == 0
    options = {word for words in USES[verb] for word in words if word.startswith("--")}
    assert {option for option in options if option not in printed} == set()


def test_every_make_target_is_one_that_there_is():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)", README + CONTRIBUTING))
    assert {"run", "test", "check", "bench"} <= named <= targets


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "CONTRIBUTING.md",
        "docs/architecture.md",
        "docs/explorer.md",
        "docs/figures.md",
        "docs/selection.md",
        "docs/sweeps.md",
    ],
)
def test_every_link_to_a_file_leads_somewhere(name):
    page = ROOT / name
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    for link in links:
        if not link.startswith("http"):
            assert (page.parent / link).exists(), link


def test_the_table_of_figures_is_that_of_the_code():
    from marginlens import figures

    assert re.findall(r"^\| `(\w+)` \|", FIGURES, re.MULTILINE) == list(figures.FIGURES)


def test_pictures_are_small():
    for picture in (ROOT / "docs" / "images").iterdir():
        assert picture.stat().st_size < (1.5e6 if picture.suffix == ".gif" else 4e5), picture


def test_the_predictions_shown_are_those_computed():
    from marginlens.tasks import task
    from marginlens.theory import Penalty, predict

    a5 = predict(task("A5"), penalty=Penalty("homogeneous", 1e-5))
    assert f"{a5.margin:.7g}" in README
    for feature in a5.features:
        shares = f"{feature.least_share:.6f}", f"{a5.at_penalty.shares[feature.name]:.6f}"
        assert re.search(rf"\| {feature.name} .*\| {shares[0]} \| {shares[1]} \|", README)
    c71 = predict(task("C71"), penalty=Penalty("homogeneous", 1e-4))
    assert f"loss {c71.at_penalty.loss:.6g}, norm {c71.at_penalty.norm:.6g}" in README


def test_version_and_citation_agree():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
