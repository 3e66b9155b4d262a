"""The penalty path and the narrow networks as figures: what is drawn is what the records say."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from marginlens.figures import penalty_path_figure, widths_figure
from marginlens.figures.style import feature_color
from marginlens.runs import NarrowNetworks, train_at
from marginlens.tasks import task
from marginlens.theory import penalty_path, predict


def traces(figure, axis: str, mode: str | None = None):
    """Traces on the row of an axis, the first one having no number."""
    return [
        trace
        for trace in figure.data
        if (trace.yaxis or "y") == axis and (mode is None or trace.mode == mode)
    ]


def texts(figure):
    return [annotation.text for annotation in figure.layout.annotations]


@pytest.fixture(scope="module", params=["A5", "C5", "parity(6,3)", "compose(S3,3)", "C71"])
def path(request):
    return penalty_path(task(request.param), count=15)


@pytest.fixture(scope="module")
def runs():
    """Two trained networks and one above the collapse."""
    c5 = task("C5")
    edge = predict(c5).collapse_penalty
    return [train_at(c5, s, width=40, steps=200) for s in (1e-3, edge / 2, 2 * edge)]


@pytest.fixture(scope="module")
def c5_path():
    return penalty_path(task("C5"), count=15)


# --- the penalty path ------------------------------------------------------------------------------


def test_lines_are_the_path_s_columns(path):
    figure = penalty_path_figure(path)
    live = path.norm > 0
    for axis, name in (("y", "margin_ratio"), ("y2", "loss"), ("y3", "norm")):
        (line,) = traces(figure, axis)
        shown = np.ones_like(live) if name == "loss" else live
        np.testing.assert_array_equal(line.x, path.strengths[shown])
        np.testing.assert_array_equal(line.y, getattr(path, name)[shown])
        assert line.mode == "lines"
    lines = traces(figure, "y4", "lines")
    assert len(lines) == len(path.features)
    for index, line in enumerate(lines):
        np.testing.assert_array_equal(line.x, path.strengths[live])
        np.testing.assert_array_equal(line.y, path.shares[live, index])
        assert line.name == path.features[index]
        assert line.line.color == feature_color(index, len(path.features))
    json.loads(figure.to_json())


def test_a_network_trained_on_the_margin_is_a_level_line(c5_path, runs):
    limit = train_at(task("C5"), 0.0, width=40, steps=100, loss_function="margin")
    figure = penalty_path_figure(c5_path, [*runs, limit])
    before = penalty_path_figure(c5_path, runs)
    lines = traces(figure, "y", "lines")
    (line,) = [one for one in lines if one.name == "margin itself trained"]
    assert set(line.y) == {limit.verdict.margin_ratio}
    assert (min(line.x), max(line.x)) == (c5_path.strengths.min(), c5_path.strengths.max())
    assert len(figure.data) == len(before.data) + 1


def test_diamonds_are_the_shares_in_the_limit(path):
    figure = penalty_path_figure(path)
    (marks,) = traces(figure, "y4", "markers")
    features = path.limit.features
    np.testing.assert_allclose(
        marks.y - marks.error_y.array, [f.least_share for f in features], atol=1e-15
    )
    np.testing.assert_allclose(
        marks.y + marks.error_y.array, [f.greatest_share for f in features], atol=1e-15
    )
    assert list(marks.text) == list(path.features)
    assert (np.asarray(marks.x) < path.strengths.min()).all()


def test_axes_are_named_logarithmic_and_fall_from_the_collapse(path):
    figure = penalty_path_figure(path)
    layout = figure.layout
    titles = [getattr(layout, f"yaxis{i}").title.text for i in ("", 2, 3, 4)]
    assert titles == ["share of γ*", "cross-entropy + penalty", "norm", "share of norm"]
    assert layout.xaxis4.title.text == "strength λ of the penalty"
    for i in ("", 2, 3, 4):
        axis = getattr(layout, f"xaxis{i}")
        assert axis.type == "log"
        left, right = axis.range
        assert left > np.log10(path.strengths.max())
        assert right < np.log10(path.strengths.min())
    assert (layout.yaxis2.type, layout.yaxis3.type) == ("log", "log")
    assert path.limit.task in layout.title.text
    edge = path.limit.collapse_penalty
    assert {shape.x0 for shape in layout.shapes} == {edge}
    words, *_ = [a for a in layout.annotations if "the minimum is zero" in a.text]
    assert words.x == pytest.approx(np.log10(edge))  # an annotation stands at the logarithm


def test_without_runs_nothing_is_called_trained(c5_path):
    assert "trained" not in {trace.name for trace in penalty_path_figure(c5_path).data}


def test_circles_are_the_runs_measurements(c5_path, runs):
    figure = penalty_path_figure(c5_path, runs)
    strengths = [run.recipe.strength for run in runs]
    (ratio,), (loss,), (norm,) = (traces(figure, axis, "markers") for axis in ("y", "y2", "y3"))
    for circles in (ratio, loss, norm):
        assert list(circles.x) == strengths
        assert circles.name == "trained"
        assert circles.marker.symbol == "circle-open"
    found = [run.measurement for run in runs]
    assert list(ratio.y[:2]) == [run.verdict.margin_ratio for run in runs[:2]]
    assert list(norm.y[:2]) == [one.norm for one in found[:2]]
    assert np.isnan(ratio.y[2])  # the network above the collapse has no direction
    assert np.isnan(norm.y[2])
    expected = [one.cross_entropy + s * one.norm for one, s in zip(found, strengths, strict=True)]
    assert list(loss.y) == expected
    *shares, _ = traces(figure, "y4", "markers")
    assert len(shares) == 2
    for index, circles in enumerate(shares):
        assert list(circles.x) == strengths[:2]
        assert list(circles.y) == [float(one.share[index]) for one in found[:2]]
        assert circles.marker.color == feature_color(index, 2)
    assert [trace.showlegend for trace in figure.data if trace.name == "trained"].count(True) == 1


def test_a_margin_of_zero_is_drawn_and_not_left_out(c5_path, runs):
    run = SimpleNamespace(
        recipe=runs[0].recipe,
        measurement=runs[0].measurement,
        prediction=runs[0].prediction,
        verdict=SimpleNamespace(margin_ratio=0.0),
    )
    figure = penalty_path_figure(c5_path, [run])
    assert traces(figure, "y", "markers")[0].y[0] == 0
    assert traces(figure, "y3", "markers")[0].y[0] == run.measurement.norm


def test_a_path_above_the_collapse_has_a_figure():
    c5 = task("C5")
    path = penalty_path(c5, [2 * predict(c5).collapse_penalty])
    figure = penalty_path_figure(path)
    (loss,) = traces(figure, "y2")
    assert list(loss.y) == pytest.approx([np.log(5)])
    assert len(traces(figure, "y")[0].x) == 0


# --- widths ----------------------------------------------------------------------------------------


def records(widths=(4, 8, 12), seeds=3) -> NarrowNetworks:
    generator = np.random.default_rng(0)
    return NarrowNetworks(
        predict(task("C5")),
        np.array(widths),
        generator.uniform(-0.5, 1, (len(widths), seeds)),
        generator.integers(0, 7, (len(widths), seeds, 2)),
    )


def test_dots_line_and_bars_are_the_records():
    found = records()
    dots, line, *bars = widths_figure(found).data
    np.testing.assert_array_equal(dots.y, np.maximum(found.margin_ratio, 0).ravel())
    assert list(dots.customdata) == [4, 4, 4, 8, 8, 8, 12, 12, 12]
    np.testing.assert_array_equal(line.x, found.widths)
    np.testing.assert_array_equal(line.y, found.margin_ratio.max(axis=1).clip(0))
    assert len(bars) == 2
    for rank, bar in enumerate(bars):
        assert bar.type == "bar"
        np.testing.assert_array_equal(bar.x, found.widths)
        np.testing.assert_array_equal(bar.y, found.best_counts[:, rank])
    assert (bars[0].y >= bars[1].y).all()


@pytest.mark.parametrize("seeds", [1, 2, 3, 16])
def test_dots_lie_around_their_width(seeds):
    found = records(seeds=seeds)
    x = np.asarray(widths_figure(found).data[0].x).reshape(3, seeds)
    np.testing.assert_allclose(x.mean(axis=1), found.widths, atol=1e-12)
    assert np.abs(x - found.widths[:, None]).max() < 2  # half of the step between widths
    assert len(np.unique(x)) == x.size


def test_axes_title_and_the_sufficient_width():
    figure = widths_figure(records())
    layout = figure.layout
    assert layout.yaxis.title.text == "share of γ*"
    assert layout.yaxis2.title.text == "neurons by feature"
    assert layout.xaxis2.title.text == "width (number of neurons)"
    assert layout.barmode == "stack"
    assert "C5" in layout.title.text
    assert "3 seeds; numerical" in layout.title.text
    assert {shape.x0 for shape in layout.shapes} == {12}
    assert "12 neurons suffice" in texts(figure)
    json.loads(figure.to_json())


def test_a_sufficient_width_far_away_is_not_drawn():
    figure = widths_figure(records(widths=(2, 3)))
    assert not figure.layout.shapes
    assert not texts(figure)


def test_one_width_has_a_figure():
    dots, line, *_ = widths_figure(records(widths=(5,), seeds=1)).data
    assert list(dots.x) == list(line.x) == [5]
