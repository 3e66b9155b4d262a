"""What notebooks show of predictions, verdicts and runs."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

import marginlens as ml
from marginlens.display import MOST_ROWS, Shown


class Words(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.words, self.tags, self.attributes = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def run():
    return ml.run("C5", width=12, steps=40, compile="never")


def test_every_record_has_html_and_text_with_the_same_words(run):
    for record in (run, run.prediction, run.verdict):
        bundle = record._repr_mimebundle_()
        assert set(bundle) == {"text/html", "text/plain"}
        assert bundle["text/html"] == record._repr_html_()
        seen = Words(bundle["text/html"])
        text = bundle["text/plain"]
        assert all(" ".join(word.split()) in " ".join(text.split()) for word in seen.words)
        # loads nothing, and leaves colours to the notebook
        assert not {"script", "img", "link", "style"} & set(seen.tags)
        assert not {"src", "href", "onclick"} & {name for name, _ in seen.attributes}
        styles = "; ".join(value for name, value in seen.attributes if name == "style")
        colors = re.findall(r"(?<![-\w])color: ([^;]+)", styles)
        assert set(colors) <= {"inherit"}
        assert "background" not in styles
        assert max(map(len, text.splitlines())) < 140


def test_numbers_are_those_of_the_record(run):
    assert f"{run.prediction.margin:.6g}" in run.prediction._repr_html_()
    for feature in run.prediction.features:
        assert "<td" in run.prediction._repr_html_()
        assert f"{feature.least_share:.4f}" in run.prediction.shown().text()
    text = run.verdict.shown().text()
    holding = sum(claim.holds for claim in run.verdict.claims if claim.promised)
    assert f"{holding} of" in text
    assert sum(line.startswith("  ✓") for line in text.splitlines()) == holding
    assert run.verdict.summary.split()[0] in text
    for claim in run.verdict.claims:
        assert claim.statement in text
    assert f"{float(run.history['loss'][-1]):.6g}" in run._repr_html_()


def test_names_are_escaped(run):
    evil = "<script>alert('1')</script>"
    for record in (replace(run.prediction, task=evil, note=evil), replace(run.verdict, task=evil)):
        page = record._repr_html_()
        assert "<script" not in page
        assert "&lt;script&gt;" in page
        assert evil in record._repr_mimebundle_()["text/plain"]


def test_long_tables_unfold():
    rows = [[i, f"row {i}"] for i in range(MOST_ROWS + 3)]
    shown = Shown("many", columns=["n", "name"], rows=rows)
    assert "<details><summary>3 more</summary>" in shown.html()
    assert shown.html().count("<tr>") == len(rows) + 2
    assert "… and 3 more" in shown.text()
    assert f"row {MOST_ROWS}" not in shown.text()


def test_a_run_without_measured_neurons_is_shown_without_a_verdict(run):
    bare = replace(run, task=replace(run.task, features=()))
    assert "a run" in bare._repr_html_()
    assert "claim" not in bare.shown().text()


def test_every_record_prints_its_table_and_converts_to_plain_values(run):
    import json

    task = ml.Task("C5")
    records = [
        run,
        run.prediction,
        run.verdict,
        run.measurement,
        run.training,
        run.measurement.logits,
        ml.penalty_path("C5", [1e-3, 1e-4]),
        ml.certify("C5"),
        ml.best_neuron("C5", "relu", starts=2),
        ml.load({name: p[0].numpy() for name, p in ml.optimal_network(task).tensors.items()}),
    ]
    for record in records:
        assert str(record) == record.shown().text()
        assert len(str(record).splitlines()) > 2, type(record)
        json.dumps(record.to_dict())
        frame = record.to_frame()
        assert len(frame) == len(record.to_records()) > 0
        assert list(frame.columns) == list(record.to_records()[0])
    assert run.verdict.to_frame()["status"].tolist() == [c.status for c in run.verdict.claims]
    assert run.prediction.to_frame()["name"].tolist() == ["k=1", "k=2"]


def test_without_pandas_frames_are_arrow_tables(run, monkeypatch):
    monkeypatch.setattr("marginlens.display.find_spec", lambda name: None)
    frame = run.verdict.to_frame()
    assert type(frame).__module__.startswith("pyarrow")
    assert frame.num_rows == len(run.verdict.claims)
