import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from fake_runs import cyclic_run, parity_run, relu_run, s4_run

from marginlens.figures import FIGURES
from marginlens.report import report, write_report
from marginlens.verdict import Premise

EVIL = '<script>alert("1")</script>'
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
    runs = {"C71": cyclic_run(), "relu": relu_run(), "S4": s4_run(), "parity": parity_run()}
    return {name: (run, report(run)) for name, run in runs.items()}


@pytest.fixture(params=["C71", "relu", "S4", "parity"])
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
    not_covered = sum(not claim.promised for claim in run.verdict.claims)
    assert parsed.text.count("not covered") == not_covered
    assert parsed.text.count("✓ passes") == len(run.verdict.claims) - not_covered
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
            ("matrices", None),  # no irreps in these runs
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
    assert len(pages["C71"][1].encode()) < 8e6
    assert len(report(cyclic_run(361)).encode()) < 8e6


def test_headline_numbers(pages):
    text = Page(pages["C71"][1]).text
    for piece in ("addition modulo 71", "4.6143 × 10⁻⁴", "99.987 %", "0.283841", "17.3 s", "λ"):
        assert piece in text, piece
    assert "6 of 6 guaranteed claims pass" in text
    assert "All 35 features must be used by a network of maximum margin, each with 2.8571 %" in text
    assert "composition in S4, a group of order 24" in Page(pages["S4"][1]).text
    assert "the parity of 4 among 10 coordinates" in Page(pages["parity"][1]).text


def test_without_a_theorem_nothing_is_claimed(pages):
    text = Page(pages["relu"][1]).text
    assert "No theorem covers ReLU" in text
    assert "no theorem applies here" in text
    assert "3 of 3 guaranteed claims pass" in text


def with_claims(run, change, **fields):
    """The run with its claims changed, and other fields of its verdict."""
    claims = tuple(map(change, run.verdict.claims))
    run.verdict = replace(run.verdict, claims=claims, summary="", **fields)
    return run


def test_a_contradicted_claim_is_marked():
    def fail(claim):
        failing = claim.name == "margin"
        return replace(claim, holds=False, status="contradicted") if failing else claim

    parsed = Page(report(with_claims(cyclic_run(7), fail)))
    assert "5 of 6 guaranteed claims pass" in parsed.text
    assert parsed.text.count("✗ contradicted") == 1
    assert ("span", {"class": "mark bad", "aria-hidden": "true"}) in parsed.tags


def test_unmet_premises_are_neutral_and_listed():
    def miss(claim):
        return replace(claim, holds=False, status="premise not met")

    width = Premise("width", "The width suffices", False, 4.0, 12.0)
    parsed = Page(report(with_claims(cyclic_run(7), miss, premises=(width,))))
    assert "The width suffices: 4, needed 12" in parsed.text
    assert parsed.text.count("premise not met") == 6
    assert "✗" not in parsed.text
    assert ("span", {"class": "mark neutral", "aria-hidden": "true"}) in parsed.tags


def test_nothing_guaranteed_is_neutral():
    run = with_claims(
        relu_run(), lambda claim: replace(claim, promised=False, status="not covered")
    )
    parsed = Page(report(run))
    assert "No theorem covers this setting" in parsed.text
    assert ("span", {"class": "mark neutral", "aria-hidden": "true"}) in parsed.tags


def test_strings_are_escaped_everywhere():
    run = cyclic_run(7, name=EVIL)
    run.task.features[0].name = EVIL
    run.prediction.features[0].name = EVIL
    run.prediction.note = run.prediction.theorem = EVIL
    run.prediction.assumptions = (EVIL,)
    with_claims(
        run,
        lambda claim: replace(claim, statement=EVIL, source=EVIL),
        premises=(Premise("rows", EVIL, None),),
    )
    run.verdict = replace(run.verdict, summary=EVIL)
    run.recipe.task = EVIL
    text = report(run)
    assert "<script>alert" not in text
    parsed = Page(text)
    assert [tag for tag, _ in parsed.tags].count("script") == 3
    # It is read as text where it stands, and the data is still whole.
    assert parsed.text.count(EVIL) > 6
    assert "&lt;script" in json.dumps(parsed.payload["figures"]["shares"])


def test_writing_is_whole_or_not_at_all(tmp_path, monkeypatch):
    run = cyclic_run(7)
    path = tmp_path / "report.html"
    path.write_text("older")
    assert write_report(run, path) == path
    assert path.read_text(encoding="utf-8") == report(run)
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]

    def broken(self, target):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", broken)
    with pytest.raises(OSError, match="disk full"):
        write_report(cyclic_run(5), path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]
    assert "addition modulo 7" in path.read_text(encoding="utf-8")


def test_writing_to_a_missing_folder_leaves_nothing(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_report(cyclic_run(5), tmp_path / "missing" / "report.html")
    assert not list(tmp_path.iterdir())
