import json
from dataclasses import replace

import numpy as np
import pytest
from records import changed
from tiny_runs import SETTINGS, altered, renamed, shuffled_run, tiny_run

from marginlens.figures import (
    DARK,
    FIGURES,
    LIGHT,
    band_limited,
    choose_neurons,
    feature_color,
    loss_figure,
    margin_figure,
    neurons_figure,
    phases_figure,
    power_figure,
    shares_figure,
    template,
)
from marginlens.figures.run.neurons import MOST_FRAMES, element_order, spectra
from marginlens.figures.style import contrast, decades, number


@pytest.fixture(params=list(SETTINGS))
def run(request):
    return tiny_run(request.param)


@pytest.fixture
def c11():
    return tiny_run("C11")


def by_name(figure):
    return {trace.name: trace for trace in figure.data}


def texts(figure):
    return [annotation.text for annotation in figure.layout.annotations]


# --- all figures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(FIGURES))
def test_every_figure_of_every_run_is_json_with_a_title_or_absent(run, name):
    figure = FIGURES[name].draw(run)
    if figure is None:
        needed = {
            "phases": run.measurement.phases,
            "waveform": run.prediction.waveform,
            "grokking": run.grokking,
            "lottery": run.lottery,
            "wheel": run.measurement.phases,
            "logits": run.displacement,
            "excess": None if run.recipe.holds_out else run.prediction.at_penalty,
        }
        if name in ("matrices", "irreps"):
            assert run.task.group is None or run.task.group.is_abelian
        else:
            assert needed[name] is None
        assert FIGURES[name].needs
        return
    content = json.loads(figure.to_json())
    assert run.task.name in content["layout"]["title"]["text"]
    look_for, computed = FIGURES[name].caption(run)
    assert look_for.endswith(".")
    assert computed.endswith(".")


@pytest.mark.parametrize(
    "name", [n for n in FIGURES if n not in ("waveform", "matrices", "irreps", "excess")]
)
def test_names_are_shown_not_interpreted(name):
    figure = FIGURES[name].draw(renamed(tiny_run("C7"), "<b>evil</b>"))
    assert "&lt;b&gt;evil" in figure.layout.title.text
    assert "<b>evil" not in json.dumps(json.loads(figure.to_json()))


@pytest.mark.parametrize("name", list(FIGURES))
def test_a_collapsed_network_breaks_no_figure(name):
    run = tiny_run("C7")
    found = run.measurement
    unknown = {
        name: np.full_like(getattr(found, name), np.nan)
        for name in ("max_power", "share", "phases")
    }
    nothing = np.full(len(run.history["step"]), np.nan)
    network = run.training.network
    zero = network.with_parameters({name: 0 * p for name, p in network.tensors.items()})
    collapsed = altered(
        replace(run, training=replace(run.training, network=zero)),
        measurement=changed(
            found,
            live=np.zeros_like(found.live),
            dominant=np.full_like(found.dominant, -1),
            **unknown,
        ),
        history=run.history | {"normalized_margin": nothing, "loss": nothing},
    )
    figure = FIGURES[name].draw(collapsed)
    absent = ("neurons", "waveform", "lottery", "heatmap", "wheel", "matrices", "irreps", "excess")
    assert (figure is None) == (name in absent)


# --- neurons ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [5, 12, 71])
@pytest.mark.parametrize("factor", [1, 2, 8])
def test_the_curve_passes_through_the_points(count, factor):
    values = np.random.default_rng(count).normal(size=(3, count))
    curve = band_limited(values, factor)
    assert curve.shape == (3, factor * count + 1)
    np.testing.assert_allclose(curve[:, :-1:factor], values, atol=1e-12)
    np.testing.assert_allclose(curve[:, -1], values[:, 0], atol=1e-12)


@pytest.mark.parametrize("count", [5, 12])
def test_the_curve_is_the_fourier_series(count):
    values = np.random.default_rng(0).normal(size=count)
    coefficients = np.fft.fft(values) / count
    frequencies = np.fft.fftfreq(count, 1 / count)
    points = np.arange(6 * count + 1) / 6
    series = np.exp(2j * np.pi * np.outer(points, frequencies) / count) @ coefficients
    np.testing.assert_allclose(band_limited(values, 6), series.real, atol=1e-12)


def test_band_limited_names_a_bad_factor():
    with pytest.raises(ValueError, match=r"factor: expected a positive number.*got 0"):
        band_limited(np.ones(4), 0)


def test_spectra_of_a_cyclic_group_are_those_of_the_fft(c11):
    weights = np.random.default_rng(1).normal(size=(2, 11))
    power = np.abs(np.fft.rfft(weights)[:, 1:]) ** 2
    np.testing.assert_allclose(
        spectra(c11.task, weights), power / power.sum(-1, keepdims=True), atol=1e-12
    )
    assert spectra(c11.task, np.zeros(11)).tolist() == [0.0] * 5


def test_cyclic_elements_are_ordered_by_the_generator():
    run = shuffled_run()
    group = run.task.group
    powers = [group.identity]
    while (power := group.table[powers[-1], group.generator]) != group.identity:
        powers.append(power)
    assert element_order(group).tolist() == powers != list(range(7))
    neuron = choose_neurons(run.measurement)[0]
    points = neurons_figure(run).data[1]
    np.testing.assert_array_equal(points.y, run.snapshots["u"][-1][powers, neuron])
    frequency = run.task.features[run.measurement.dominant[neuron]].frequency
    assert np.abs(np.fft.rfft(points.y))[1:].argmax() + 1 == frequency


def test_other_groups_are_ordered_by_conjugacy_class():
    run = tiny_run("S4")
    order = element_order(run.task.group)
    assert sorted(order) == list(range(24))
    assert (np.diff(run.task.group.class_of[order]) >= 0).all()
    figure = neurons_figure(run)
    assert len(figure.layout.shapes) == 4 * len(choose_neurons(run.measurement))


def test_neurons_shows_the_records_at_every_step(c11):
    figure = neurons_figure(c11)
    chosen = choose_neurons(c11.measurement)
    assert len(chosen) == 4
    assert len(figure.data) == 3 * 4
    assert len(figure.frames) == len(figure.layout.sliders[0].steps) <= MOST_FRAMES
    steps = [int(frame.name) for frame in figure.frames]
    assert steps[0] == c11.snapshot_steps[0]
    assert steps[-1] == c11.snapshot_steps[-1]
    for frame, step in zip(figure.frames, steps, strict=True):
        place = list(c11.snapshot_steps).index(step)
        assert list(frame.traces) == list(range(12))
        for row, neuron in enumerate(chosen):
            weights = c11.snapshots["u"][place, :, neuron]
            curve, points, bars = frame.data[3 * row : 3 * row + 3]
            np.testing.assert_array_equal(points.y, weights)
            np.testing.assert_allclose(curve.y[:-1:8], weights, atol=1e-5)
            np.testing.assert_allclose(bars.y, spectra(c11.task, weights), atol=1e-6)
    assert all(trace.y.dtype == np.float32 for trace in figure.data)


def test_neurons_of_parity_are_bars_over_coordinates():
    run = tiny_run("parity")
    (neuron, *_) = choose_neurons(run.measurement)
    figure = neurons_figure(run, chosen=[neuron])
    weights, power = figure.data
    np.testing.assert_array_equal(weights.y, run.snapshots["u"][-1][:, neuron])
    np.testing.assert_allclose(power.y, [0.5, 0.5, 0, 0, 0], atol=0.02)
    assert list(weights.x) == [f"x{i}" for i in range(1, 6)]


def test_other_slots_can_be_shown(c11):
    figure = neurons_figure(c11, chosen=[0], slot="w")
    np.testing.assert_array_equal(figure.data[1].y, c11.snapshots["w"][-1][:, 0])
    with pytest.raises(ValueError, match="slot must be one of u, v, w, got 'z'"):
        neurons_figure(c11, slot="z")
    with pytest.raises(ValueError, match="slot must be one of u, got 'w'"):
        neurons_figure(tiny_run("parity"), slot="w")


def test_chosen_neurons_are_live_large_and_of_distinct_features(run):
    measurement = run.measurement
    chosen = choose_neurons(measurement)
    assert len(set(chosen)) == 4
    assert measurement.live[chosen].all()
    dominant = set(measurement.dominant[measurement.live])
    assert len(set(measurement.dominant[chosen])) == min(4, len(dominant))
    assert len(choose_neurons(measurement, 6)) == 6


def test_chosen_neurons_fall_back_to_the_next_largest():
    run = tiny_run("C7")
    chosen = choose_neurons(run.measurement, 5)
    assert len(set(chosen)) == 5
    assert len(set(run.measurement.dominant[chosen])) == 3


# --- margin, loss ----------------------------------------------------------------------------------


def test_margin_shows_history_and_maximum(c11):
    figure = margin_figure(c11, log_steps=False)
    np.testing.assert_array_equal(figure.data[0].y, c11.history["normalized_margin"])
    assert [shape.y0 for shape in figure.layout.shapes] == [c11.prediction.margin]
    assert number(c11.prediction.margin) in texts(figure)[0]
    assert 0 not in margin_figure(c11).data[0].x


def test_margin_shows_the_value_at_the_penalty_where_it_differs():
    run = tiny_run("S4")
    at_penalty = replace(run.prediction.at_penalty, margin_ratio=0.8)
    run = replace(run, prediction=replace(run.prediction, at_penalty=at_penalty))
    heights = [shape.y0 for shape in margin_figure(run).layout.shapes]
    assert heights == [run.prediction.margin, pytest.approx(0.8 * run.prediction.margin)]


def test_margin_without_a_theorem_has_no_line_and_says_so():
    figure = margin_figure(tiny_run("relu"))
    assert not figure.layout.shapes
    assert "no theorem" in figure.layout.title.text.replace("<br>", " ")


def test_loss_shows_history_and_prediction(c11):
    figure = loss_figure(c11, log_steps=False)
    np.testing.assert_array_equal(by_name(figure)["loss"].y, c11.history["loss"])
    np.testing.assert_array_equal(by_name(figure)["accuracy"].y, c11.history["accuracy"])
    loss = c11.prediction.at_penalty.loss
    assert [shape.y0 for shape in figure.layout.shapes] == [loss]
    # On a logarithmic axis a shape stands at the value, an annotation at its logarithm.
    assert figure.layout.annotations[0].y == pytest.approx(np.log10(loss))
    assert not loss_figure(tiny_run("relu")).layout.shapes


# --- power, shares, phases -------------------------------------------------------------------------


def test_power_counts_every_live_neuron(run):
    before, after = power_figure(run).data
    assert sum(after.y) == run.measurement.live.sum()
    assert sum(before.y) == np.isfinite(run.first.max_power).sum()
    powers = run.measurement.max_power[run.measurement.live]
    for (low, high), count in zip(after.customdata[:-1], after.y[:-1], strict=True):
        assert count == ((low <= powers) & (powers < high)).sum()


def test_shares_are_the_records(run):
    figure = shares_figure(run)
    traces = by_name(figure)
    np.testing.assert_array_equal(traces["neurons"].y, run.measurement.count)
    np.testing.assert_array_equal(traces["measured"].y, run.measurement.share)
    if run.prediction.margin is None:
        assert set(traces) == {"neurons", "measured"}
        return
    marks = traces["at the maximum margin"]
    least = [feature.least_share for feature in run.prediction.features]
    greatest = [feature.greatest_share for feature in run.prediction.features]
    np.testing.assert_allclose(marks.y - marks.error_y.array, least, atol=1e-15)
    np.testing.assert_allclose(marks.y + marks.error_y.array, greatest, atol=1e-15)
    shares = traces["predicted at this penalty"].y
    assert list(shares) == list(run.prediction.at_penalty.shares.values())


@pytest.mark.parametrize("name", ["C7", "C11"])
def test_phases_lie_as_far_from_the_line_as_their_error(name):
    run = tiny_run(name)
    figure = phases_figure(run)
    points = [trace for trace in figure.data if trace.mode == "markers"]
    neurons = np.concatenate([trace.customdata[:, 0] for trace in points]).astype(int)
    heights = np.concatenate([np.asarray(t.y) - np.asarray(t.x) for t in points])
    assert sorted(neurons) == list(np.flatnonzero(run.measurement.live))
    np.testing.assert_allclose(np.abs(heights), run.measurement.phase_error[neurons], atol=1e-12)


def test_phases_do_not_exist_off_the_cycle():
    assert phases_figure(tiny_run("S4")) is None
    assert phases_figure(tiny_run("parity")) is None


# --- style -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("total", [1, 8, 9, 35, 180])
@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_feature_colors_are_distinct_and_readable_on_both_backgrounds(total, palette):
    colors = [feature_color(index, total) for index in range(total)]
    assert len(set(colors)) == total
    assert min(contrast(color, palette.card) for color in colors) > 3


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_text_is_readable(palette):
    for color in (palette.ink, palette.muted, palette.accent, palette.good, palette.bad):
        assert min(contrast(color, palette.card), contrast(color, palette.page)) > 4.5
    assert template(palette).layout.paper_bgcolor == palette.card


@pytest.mark.parametrize(("index", "total"), [(-1, 3), (3, 3), (0, 0)])
def test_feature_color_names_a_bad_index(index, total):
    with pytest.raises(ValueError, match=f"feature index: expected 0 to.*got {index}"):
        feature_color(index, total)


def test_decades_stay_in_range():
    for low, high in ((0.2, 3.0), (1e-9, 5.0), (1e-3, 1e-2)):
        values = decades(low, high)["tickvals"]
        assert 1 <= len(values) <= 12
        assert low <= min(values)
        assert max(values) <= high
