import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from tiny_runs import renamed, tiny_run

from marginlens.figures import FIGURES
from marginlens.figures.style import number
from marginlens.report import report, write_report
from marginlens.runs import execute
from marginlens.verdict import Premise

EVIL = '<script>alert("1")</script>'
KINDS = ("C11", "relu", "S4", "parity")
LOADING = {"src", "srcset", "href", "data", "poster", "action", "background", "xlink:href"}


class Page(HTMLParser):
    """What a browser would find in a page, scripts apart."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.scripts, self.styles, self.inside = [], [], [], [], None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag if tag in ("script", "style") else None

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        kept = {"script": self.scripts, "style": self.styles, None: self.words}[self.inside]
        kept.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    @property
    def payload(self):
        return json.loads(next(s for s in self.scripts if s.startswith('{"figures"')))


@pytest.fixture(scope="module")
def pages():
    runs = {name: tiny_run(name) for name in KINDS}
    return {name: (run, report(run)) for name, run in runs.items()}


@pytest.fixture(params=KINDS)
def page(request, pages):
    run, text = pages[request.param]
    return run, Page(text), text


def test_nothing_is_loaded_from_a_network(page):
    _, parsed, _ = page
    for tag, attributes in parsed.tags:
        for name in LOADING & set(attributes):
            value = attributes[name]
            if tag == "a":
                assert value.startswith(("#", "https://arxiv.org/"))
            else:
                assert value == "data:,", f"<{tag} {name}={value}>"
    assert not re.search(r"@import|url\(", "".join(parsed.styles))
    # Ours, plotly.js, and the data: none by address.
    assert [tag for tag, _ in parsed.tags].count("script") == 3


def test_every_claim_is_there_with_its_outcome(page):
    run, parsed, _ = page
    for claim in run.verdict.claims:
        for piece in (claim.statement, claim.name, claim.source):
            assert piece in parsed.text
    found = [claim.status for claim in run.verdict.claims]
    for shown, status in (
        ("✓ passes", "passes"),
        ("premise not met", "premise not met"),
        ("not covered", "not covered"),
    ):
        assert parsed.text.count(shown) == found.count(status)
    assert run.verdict.summary in parsed.text
    assert "✗" not in parsed.text


def test_figures_are_those_of_the_run(page):
    run, parsed, _ = page
    absent = {
        name
        for name, needed in (
            ("phases", run.measurement.phases),
            ("waveform", run.prediction.waveform),
            ("grokking", run.grokking),
            ("lottery", run.lottery),
            ("wheel", run.measurement.phases),
            ("logits", run.displacement),
            ("matrices", (run.task.group and not run.task.group.is_abelian) or None),
        )
        if needed is None
    }
    expected = [name for name, entry in FIGURES.items() if entry.in_report and name not in absent]
    assert list(parsed.payload["figures"]) == expected
    assert list(parsed.payload["templates"]) == ["light", "dark"]
    shown = [
        attributes["data-figure"] for _, attributes in parsed.tags if "data-figure" in attributes
    ]
    assert shown == expected
    for name in expected:
        assert FIGURES[name].heading in parsed.text
        for sentence in FIGURES[name].caption(run):
            assert sentence.replace("\N{NO-BREAK SPACE}", " ") in parsed.text


def test_the_pages_own_player_replaces_plotlys(page):
    _, parsed, _ = page
    figure = parsed.payload["figures"]["neurons"]
    assert "sliders" not in figure["layout"]
    assert "updatemenus" not in figure["layout"]
    slider = next(attributes for tag, attributes in parsed.tags if tag == "input")
    assert int(slider["max"]) == len(figure["frames"]) - 1
    assert slider["aria-label"] == "Training step"


def test_the_page_is_accessible(page):
    _, parsed, _ = page
    levels = [int(tag[1]) for tag, _ in parsed.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    identities = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(identities) == len(set(identities))
    for tag, attributes in parsed.tags:
        if tag == "th":
            assert attributes["scope"] in ("row", "col")
        if "aria-labelledby" in attributes:
            assert attributes["aria-labelledby"] in identities
        if "data-figure" in attributes:
            assert attributes["aria-label"]
        if tag == "a" and attributes["href"].startswith("#"):
            assert attributes["href"][1:] in identities
    assert ("html", {"lang": "en"}) in parsed.tags


def test_the_page_is_small_enough(pages):
    assert len(pages["C11"][1].encode()) < 8e6
    many = execute("C101", width=300, steps=0, snapshots=60, compile="never")
    assert len(report(many).encode()) < 8e6


def test_headline_numbers(pages):
    run, page = pages["C11"]
    text = Page(page).text
    shown = (
        number(run.prediction.margin),
        f"{run.verdict.margin_ratio:.5g}"[:4],
        number(run.history["loss"][-1]),
        "λ",
        "addition modulo 11",
    )
    for piece in shown:
        assert piece in text, piece
    count = len(run.verdict.claims)
    assert f"{count} of {count} guaranteed claims pass" in text
    assert "All 5 features must be used by a network of maximum margin, each with 20 %" in text
    assert "composition in S4, a group of order 24" in Page(pages["S4"][1]).text
    assert "the parity of 2 among 5 coordinates" in Page(pages["parity"][1]).text


def test_without_a_theorem_nothing_is_claimed(pages):
    text = Page(pages["relu"][1]).text
    assert "No theorem covers the activation relu on S3" in text
    assert "no theorem applies here" in text
    assert "claims are reported, not scored" in text
    assert "guaranteed claims pass" not in text
    assert ("span", {"class": "mark neutral", "aria-hidden": "true"}) in Page(pages["relu"][1]).tags


def with_claims(run, change, **fields):
    """The run with its claims changed, and other fields of its verdict."""
    claims = tuple(map(change, run.verdict.claims))
    verdict = replace(run.verdict, **{"claims": claims, "summary": "", **fields})
    return replace(run, stored_verdict=verdict)


def test_a_contradicted_claim_is_marked():
    def fail(claim):
        failing = claim.name == "margin"
        return replace(claim, holds=False, status="contradicted") if failing else claim

    run = with_claims(tiny_run("C11"), fail)
    parsed = Page(report(run))
    number = len(run.verdict.claims)
    assert f"{number - 1} of {number} guaranteed claims pass" in parsed.text
    assert parsed.text.count("✗ contradicted") == 1
    assert ("span", {"class": "mark bad", "aria-hidden": "true"}) in parsed.tags


def test_unmet_premises_are_neutral_and_listed():
    def miss(claim):
        return replace(claim, holds=False, status="premise not met")

    width = Premise("width", "The width suffices", False, 4.0, 12.0)
    run = with_claims(tiny_run("C11"), miss, premises=(width,))
    parsed = Page(report(run))
    assert "The width suffices: 4, needed 12" in parsed.text
    assert parsed.text.count("premise not met") == len(run.verdict.claims)
    assert "✗" not in parsed.text
    assert ("span", {"class": "mark neutral", "aria-hidden": "true"}) in parsed.tags


def test_strings_are_escaped_everywhere():
    run = with_claims(
        renamed(tiny_run("C7"), EVIL),
        lambda claim: replace(claim, statement=EVIL, source=EVIL),
        premises=(Premise("rows", EVIL, None),),
        summary=EVIL,
    )
    first, *others = run.prediction.features
    prediction = replace(
        run.prediction,
        note=EVIL,
        theorem=EVIL,
        assumptions=(EVIL,),
        features=(replace(first, name=EVIL), *others),
    )
    first, *others = run.task.features
    task = replace(run.task, features=(replace(first, name=EVIL), *others))
    text = report(replace(run, prediction=prediction, task=task))
    assert "<script>alert" not in text
    parsed = Page(text)
    assert [tag for tag, _ in parsed.tags].count("script") == 3
    # It is read as text where it stands, and the data is still whole.
    assert parsed.text.count(EVIL) > 6
    assert "&lt;script" in json.dumps(parsed.payload["figures"]["shares"])


def test_writing_is_whole_or_not_at_all(tmp_path, monkeypatch):
    run = tiny_run("C7")
    path = tmp_path / "report.html"
    path.write_text("older")
    assert write_report(run, path) == path
    assert path.read_text(encoding="utf-8") == report(run)
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]

    def broken(self, target):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", broken)
    with pytest.raises(OSError, match="disk full"):
        write_report(tiny_run("C11"), path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]
    assert "addition modulo 7" in path.read_text(encoding="utf-8")


def test_writing_to_a_missing_folder_leaves_nothing(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_report(tiny_run("C7"), tmp_path / "missing" / "report.html")
    assert not list(tmp_path.iterdir())
