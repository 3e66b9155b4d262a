"""Figures of the best neuron: what is drawn is what was computed."""

from dataclasses import replace

import numpy as np
import pytest
from records import changed
from tiny_runs import altered, tiny_run

from marginlens.figures import FIGURES, degree_law_figure, waveform_figure
from marginlens.measures import fit_waveform
from marginlens.report import report
from marginlens.runs import execute
from marginlens.theory import degree_law


@pytest.fixture(scope="module")
def run():
    return execute("C7", activation="relu", width=70, steps=200, strength=1e-3)


def trace(figure, name, axis):
    chosen = [t for t in figure.data if t.name == name and t.xaxis == axis]
    assert len(chosen) == 1
    return chosen[0]


def test_the_prediction_and_every_neuron_are_drawn(run):
    figure = waveform_figure(run)
    neuron = run.prediction.waveform
    fit = fit_waveform(run.network, run.task, neuron)
    live = int(fit.live.sum())
    for slot, axis in zip("uvw", ("x", "x2", "x3"), strict=True):
        predicted = trace(figure, "predicted", axis)
        assert predicted.x.tolist() == list(range(-3, 4))
        assert predicted.y[3] == getattr(neuron, slot)[0]
        assert predicted.y[2] == getattr(neuron, slot)[-1]
        trained = np.reshape(trace(figure, "trained", axis).y, (-1, 8))
        assert len(trained) == min(live, 60)
        assert np.isnan(trained[:, -1]).all()
        far = np.abs(trained[:, :-1] - predicted.y).mean()
        assert far < np.abs(predicted.y).mean()
        cosine = trace(figure, "its best cosine", axis).y
        assert np.abs(np.fft.rfft(cosine))[2:] == pytest.approx(0, abs=1e-12)
    assert f"{fit.total():.1%}" in figure.layout.title.text.replace("<br>", " ")


def test_no_waveform_no_figure():
    assert waveform_figure(tiny_run("C11")) is None
    assert "No waveform" in FIGURES["waveform"].caption(tiny_run("C11"))[0]


def test_names_are_shown_not_interpreted(run):
    title = waveform_figure(replace(run, task=replace(run.task, name="<b>evil</b>"))).layout.title
    assert "&lt;b&gt;evil" in title.text
    assert "<b>evil" not in title.text


def test_a_collapsed_network_has_no_waveform_to_show(run):
    dead = changed(run.measurement, live=np.zeros_like(run.measurement.live))
    assert waveform_figure(altered(run, measurement=dead)) is None


def test_the_caption_says_found_and_not_proved(run):
    words, how = FIGURES["waveform"].caption(run)
    assert "not proved" in words
    assert f"{run.prediction.waveform.starts} starts" in words
    assert "variance" in how


def test_the_page_never_calls_a_found_margin_the_maximum(run):
    page = report(run)
    assert "largest margin found" in page
    assert "The predicted waveform beside trained neurons" in page
    assert "not proved" in page
    assert "of the maximum margin" not in page


def test_the_law_of_degree_is_drawn_with_its_crossing():
    law = degree_law(7, [2.0, 2.5, 3.0], starts=4)
    figure = degree_law_figure(law)
    one, memorizing, energy = figure.data
    assert one.y == pytest.approx(law.fourier / law.best)
    assert memorizing.customdata == pytest.approx(law.memorizing)
    assert energy.y == pytest.approx(law.concentration)
    words = [annotation.text for annotation in figure.layout.annotations]
    assert any(f"{law.crossing:.2f}" in text for text in words)
    assert any("2/(p − 1)" in text for text in words)
    never = degree_law_figure(degree_law(7, [2.0], starts=4))
    assert not any("cross" in a.text for a in never.layout.annotations)
