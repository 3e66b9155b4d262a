"""Figures of selection laws: what is drawn is what the records say, for any names and any sizes."""

import json

import numpy as np
import plotly.graph_objects as go
import pytest
from scipy.stats import binomtest, ttest_1samp

from marginlens.figures import (
    Multiplicities,
    SpectralCounts,
    feature_color,
    law_figure,
    laws_by_setting_figure,
    multiplicities_figure,
    spectral_counts_figure,
)
from marginlens.figures.sweep.selection import headed, percent
from marginlens.measures import selection_law

EVIL = "<b>%{x}</b>"
SHOWN = "&lt;b&gt;%{x}&lt;/b&gt;"


def random_law(runs=200, features=4, share=0.4, seed=0, names=None):
    key = np.random.default_rng(seed).random((runs, features)) < share
    return selection_law(key, names or [f"k={i + 1}" for i in range(features)])


def by_name(figure):
    return {trace.name: trace for trace in figure.data}


def texts(figure):
    return [annotation.text for annotation in figure.layout.annotations]


def ends(bar, middle):
    """Ends of error bars."""
    middle = np.asarray(middle, dtype=float)
    return middle - np.asarray(bar.arrayminus), middle + np.asarray(bar.array)


def assert_safe(figure):
    """No markup and no template of a person's name reaches Plotly's own language."""
    content = json.loads(figure.to_json())
    assert "<b>" not in json.dumps(content)
    for trace in content["data"]:
        assert "<b" not in trace.get("hovertemplate", "")
        assert "&lt;b" not in trace.get("hovertemplate", "")


@pytest.mark.parametrize("evil", ["<b>x</b>", "&lt;b&gt;"])
def test_markup_in_a_figure_is_noticed(evil):
    assert_safe(go.Figure(go.Scatter(y=[1], hovertemplate="x")))
    with pytest.raises(AssertionError):
        assert_safe(go.Figure(go.Scatter(y=[1], hovertemplate=evil)))


# --- the law of one configuration ------------------------------------------------------------------


@pytest.mark.parametrize("most", [3, 20])
def test_bars_are_the_sets_probabilities_with_simultaneous_intervals(most):
    law = random_law()
    assert 3 < len(law.sets) <= 20
    shown = law.sets[:most]
    found = by_name(law_figure(law, "C9", most=most))
    bars, lines = found["key sets"], found["intervals of sets"]
    assert list(bars.x) == list(lines.x) == list(range(len(shown)))
    np.testing.assert_array_equal(bars.y, [one.count / law.runs for one in shown])
    level = 1 - (1 - law.confidence) / 2**4  # Bonferroni, by another implementation
    exact = [binomtest(one.count, law.runs).proportion_ci(level) for one in shown]
    low, high = ends(lines.error_y, lines.y)
    np.testing.assert_allclose(low, [one.low for one in exact], atol=1e-9)
    np.testing.assert_allclose(high, [one.high for one in exact], atol=1e-9)
    assert bars.customdata[0].startswith(f"key set: {', '.join(_names(law, shown[0]))}")


def _names(law, one):
    return [law.features[index] for index in one.features] or ["none"]


def test_dots_are_the_sets_features_in_the_features_colours():
    law = random_law()
    figure = law_figure(law, "C9")
    found = by_name(figure)
    dots, rows = found["in the set"], figure.layout.yaxis2.ticktext
    assert list(rows) == list(law.features)
    drawn = {(x, rows[y]) for x, y in zip(dots.x, dots.y, strict=True)}
    expected = {(i, name) for i, one in enumerate(law.sets) for name in _names(law, one)}
    assert drawn == {pair for pair in expected if pair[1] != "none"}
    for y, color in zip(dots.y, dots.marker.color, strict=True):
        assert color == feature_color(law.features.index(rows[y]), len(law.features))
    everywhere = {(x, y) for x in range(len(law.sets)) for y in range(4)}
    absent = found["not in the set"]
    assert set(zip(absent.x, absent.y, strict=True)) == everywhere
    together = found["together"]
    segments = list(zip(together.x[::3], together.y[::3], together.y[1::3], strict=True))
    assert segments == [
        (i, a, b)
        for i, one in enumerate(law.sets)
        for a, b in zip(one.features[:-1], one.features[1:], strict=True)
    ]


def test_features_have_their_probability_with_an_interval_of_its_own():
    law = random_law()
    found = by_name(law_figure(law, "C9"))
    bars, lines = found["features"], found["intervals of features"]
    np.testing.assert_array_equal(bars.x, law.feature_count / law.runs)
    exact = [binomtest(int(c), law.runs).proportion_ci(0.95) for c in law.feature_count]
    low, high = ends(lines.error_x, lines.x)
    np.testing.assert_allclose(low, [one.low for one in exact], atol=1e-9)
    np.testing.assert_allclose(high, [one.high for one in exact], atol=1e-9)
    assert list(bars.marker.color) == [feature_color(i, 4) for i in range(4)]


def test_the_empty_set_is_a_column_without_dots_called_none():
    key = np.array([[False, False]] * 6 + [[True, False]] * 4)
    figure = law_figure(selection_law(key, ["k=1", "k=2"]), "C5")
    assert list(by_name(figure)["key sets"].y) == [0.6, 0.4]
    assert list(by_name(figure)["in the set"].x) == [1]
    assert list(figure.layout.xaxis3.tickvals) == [0]
    assert list(figure.layout.xaxis3.ticktext) == ["none"]
    assert "1 of 2 features" in figure.layout.title.text


def test_nothing_is_ever_key():
    figure = law_figure(selection_law(np.zeros((30, 2), dtype=bool), ["k=1", "k=2"]), "C5")
    found = by_name(figure)
    assert list(found["key sets"].y) == [1.0]
    assert [len(found[name].x) for name in ("in the set", "not in the set", "features")] == [0] * 3
    json.loads(figure.to_json())


def test_one_run_says_little_and_shows_it():
    figure = law_figure(selection_law(np.array([[True, False]]), ["k=1", "k=2"]), "C5")
    lines = by_name(figure)["intervals of sets"]
    low, high = ends(lines.error_y, lines.y)
    assert (low.item(), high.item()) == (pytest.approx(0.00625), 1.0)  # alpha / 4 sets / 2 tails
    assert "1 run;" in figure.layout.title.text


def test_many_features_and_many_sets_are_pooled_and_counted():
    law = random_law(runs=300, features=60, share=0.05)
    assert len(law.sets) > 20
    figure = law_figure(law, "C121")
    found = by_name(figure)
    assert len(found["key sets"].y) == 20
    rows = sorted({index for one in law.sets[:20] for index in one.features})
    assert list(figure.layout.yaxis2.ticktext) == [law.features[index] for index in rows]
    np.testing.assert_array_equal(found["features"].x, law.feature_probability[rows])
    assert list(found["features"].marker.color) == [feature_color(i, 60) for i in rows]
    left = 1 - sum(one.count for one in law.sets[:20]) / law.runs
    assert texts(figure) == [f"{len(law.sets) - 20} more: {percent(left)}"]
    assert f"{len(rows)} of 60 features" in figure.layout.title.text.replace("<br>", " ")


def test_law_names_are_shown_not_interpreted():
    figure = law_figure(random_law(features=2, names=[EVIL, "k=2"]), f"{EVIL} C5")
    assert_safe(figure)
    assert SHOWN in figure.layout.title.text
    assert SHOWN in figure.layout.yaxis2.ticktext
    assert any(SHOWN in about for about in by_name(figure)["key sets"].customdata)


def test_no_set_to_show_is_refused():
    with pytest.raises(ValueError, match="most: expected at least 1, got 0"):
        law_figure(random_law(), "C9", most=0)


# --- laws against two settings ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def laws():
    """The law of C5 at two widths and three decays, the last of which leaves nothing."""
    shares = {0.0: 0.5, 1e-4: 0.4, 1e-2: 0.0}
    return {
        (width, decay): random_law(100, 2, share, seed=width)
        for width in (8, 2)
        for decay, share in reversed(shares.items())
    }


def test_lines_are_the_probabilities_at_each_setting(laws):
    figure = laws_by_setting_figure(laws, "width", "strength", "C5, x^2")
    assert texts(figure) == ["width 2", "width 8"]
    assert list(figure.layout.xaxis.ticktext) == ["0", "10⁻⁴", "0.01"]
    names = {"none": (), "k=1": (0,), "k=2": (1,), "k=1, k=2": (0, 1)}
    assert [trace.name for trace in figure.data[::2]] == list(names)
    for trace in figure.data:
        width = 2 if trace.xaxis == "x" else 8
        np.testing.assert_array_equal(np.round(trace.x), [0, 1, 2])
        low, high = ends(trace.error_y, trace.y)
        for i, decay in enumerate((0.0, 1e-4, 1e-2)):
            law = laws[width, decay]
            count = sum(one.count for one in law.sets if one.features == names[trace.name])
            assert trace.y[i] == count / 100
            level = 1 - 0.05 / 2**2
            exact = binomtest(count, 100).proportion_ci(level)
            assert (low[i], high[i]) == pytest.approx((exact.low, exact.high), abs=1e-9)
            assert f"{count} of 100 runs" in trace.customdata[i]


def test_a_set_that_never_occurred_has_an_interval_too(laws):
    figure = laws_by_setting_figure(laws, "width", "strength", "C5")
    trace = by_name(figure)["k=1"]
    assert trace.y[2] == 0
    assert trace.error_y.array[2] > 0.03


def test_lines_have_the_features_colours_and_symbols_of_their_own(laws):
    traces = laws_by_setting_figure(laws, "width", "strength", "C5").data[::2]
    colors = {trace.name: trace.line.color for trace in traces}
    assert (colors["k=1"], colors["k=2"]) == (feature_color(0, 2), feature_color(1, 2))
    assert len(set(colors.values())) == 4
    assert len({trace.marker.symbol for trace in traces}) == 4
    assert all(trace.error_y.color == trace.line.color for trace in traces)


def test_what_is_not_among_the_most_frequent_is_pooled():
    law = random_law(runs=300, features=60, share=0.05)
    figure = laws_by_setting_figure({(2, 0.0): law}, "width", "strength", "C121", most=3)
    assert len(figure.data) == 4
    others = by_name(figure)["others"]
    assert others.y[0] == pytest.approx(1 - sum(one.probability for one in law.sets[:3]))
    assert others.error_y.array is None
    assert sum(trace.y[0] for trace in figure.data) == pytest.approx(1.0)
    assert f"{len(law.sets) - 3} more key sets" in figure.layout.title.text.replace("<br>", " ")


def test_settings_need_not_form_a_grid_nor_be_numbers():
    laws = {("x^2", None): random_law(), ("relu", 10): random_law(), ("relu", 9): random_law()}
    figure = laws_by_setting_figure(laws, EVIL, "width", "C9")
    assert texts(figure) == [f"{SHOWN} relu", f"{SHOWN} x^2"]
    assert list(figure.layout.xaxis.ticktext) == ["–", "9", "10"]
    relu, square = figure.data[:2]
    np.testing.assert_array_equal(np.round(relu.x), [1, 2])
    np.testing.assert_array_equal(np.round(square.x), [0])
    assert_safe(figure)


def test_laws_of_different_tasks_are_not_mixed(laws):
    with pytest.raises(ValueError, match="expected at least one selection law"):
        laws_by_setting_figure({}, "width", "strength", "C5")
    with pytest.raises(ValueError, match="different features"):
        laws_by_setting_figure({**laws, (2, 1.0): random_law()}, "width", "strength", "C5")
    with pytest.raises(ValueError, match="most: expected at least 1"):
        laws_by_setting_figure(laws, "width", "strength", "C5", most=0)


# --- multiplicities --------------------------------------------------------------------------------


def s4(seeds=12, names=("1b", "2a", "3a", "3b")):
    shares = np.random.default_rng(1).dirichlet([1, 4, 9, 9, 2], size=seeds)[:, :4]
    squares = np.array([1.0, 4.0, 9.0, 9.0]) / 23
    program = np.array([0.0, 0.2, 0.4, np.nan])
    rules = {"d² law": squares, "linear program": program}
    return shares, Multiplicities.of_seeds("S4", names, shares, rules)


def test_bars_are_means_over_seeds_with_t_intervals():
    shares, record = s4()
    found = by_name(multiplicities_figure([record], "S4"))
    bars, lines = found["measured"], found["intervals"]
    np.testing.assert_allclose(bars.y[:4], shares.mean(0))
    assert bars.y[4] == pytest.approx(1 - shares.mean(0).sum())
    assert list(bars.marker.color[:4]) == [feature_color(i, 4) for i in range(4)]
    exact = [ttest_1samp(column, 0.0).confidence_interval(0.95) for column in shares.T]
    low, high = ends(lines.error_y, lines.y)
    np.testing.assert_allclose(low, [one.low for one in exact])
    np.testing.assert_allclose(high, [one.high for one in exact])


def test_marks_are_the_rules_shares_right_of_the_intervals():
    _, record = s4()
    found = by_name(multiplicities_figure([record], "S4"))
    for rule, shares in record.predictions.items():
        np.testing.assert_array_equal(found[rule].y, shares)
        np.testing.assert_array_equal(np.round(np.asarray(found[rule].x, float)), range(4))
        assert (np.asarray(found[rule].x) > found["intervals"].x).all()
    assert found["linear program"].customdata[3] == "3b, linear program: –"
    assert found["d² law"].marker.symbol != found["linear program"].marker.symbol


def test_a_panel_a_task_and_one_entry_a_rule_in_the_legend():
    (_, first), (_, second) = s4(), s4(3)
    figure = multiplicities_figure([first, second], "two")
    assert texts(figure) == ["S4", "S4"]
    entries = [trace.name for trace in figure.data if trace.showlegend is not False]
    assert entries == ["d² law", "linear program"]
    bars = [trace for trace in figure.data if trace.name == "measured"]
    assert [bar.yaxis for bar in bars] == ["y", "y2"]


def test_one_seed_has_no_interval_and_full_shares_no_rest():
    record = Multiplicities.of_seeds("S3", ["1b", "2a"], np.array([[0.25, 0.75]]), {})
    figure = multiplicities_figure([record], "S3")
    assert list(by_name(figure)["measured"].y) == [0.25, 0.75]
    assert len(by_name(figure)["intervals"].x) == 0
    assert list(figure.layout.xaxis.ticktext) == ["1b", "2a"]
    json.loads(figure.to_json())


def test_sixty_features_have_readable_ticks():
    shares = np.full((3, 60), 1 / 80)
    record = Multiplicities.of_seeds("C121", [f"k={i}" for i in range(60)], shares, {})
    figure = multiplicities_figure([record], "C121")
    assert len(by_name(figure)["measured"].y) == 61
    assert len(figure.layout.xaxis.tickvals) <= 24
    assert figure.layout.xaxis.ticktext[1] == f"k={figure.layout.xaxis.tickvals[1]}"


def test_names_of_tasks_features_and_rules_are_shown_not_interpreted():
    record = Multiplicities.of_seeds(
        EVIL, [EVIL], np.array([[0.5], [0.4]]), {EVIL: np.array([1.0])}
    )
    figure = multiplicities_figure([record], EVIL)
    assert_safe(figure)
    assert texts(figure) == [SHOWN]
    assert figure.layout.yaxis.title.text == "share of neurons"
    assert by_name(figure)[SHOWN].customdata[0].startswith(f"{SHOWN}, {SHOWN}")


def test_a_rule_of_another_task_is_refused():
    with pytest.raises(ValueError, match="S3: d² law has 3 shares of 2 features"):
        Multiplicities.of_seeds("S3", ["1b", "2a"], np.ones((2, 2)) / 2, {"d² law": np.ones(3)})
    with pytest.raises(ValueError, match="expected at least one record of multiplicities"):
        multiplicities_figure([], "none")


# --- number of frequencies against p ---------------------------------------------------------------


def counts(what="key frequencies", fit=None, seeds=10):
    generator = np.random.default_rng(len(what))
    orders = (5, 13, 59)
    values = tuple(generator.integers(1, 9, size=seeds) for _ in orders)
    return SpectralCounts(orders, values, what, fit)


def test_dots_are_seeds_and_marks_their_means_with_t_intervals():
    record = counts()
    dots, means = spectral_counts_figure(record, "C_p").data
    np.testing.assert_array_equal(dots.y, np.concatenate(record.counts))
    nearest = [min(record.order, key=lambda p, x=x: abs(np.log(p / x))) for x in dots.x]
    assert nearest == list(np.repeat(record.order, 10))
    assert len(set(dots.x)) == 30  # no dot hides another
    np.testing.assert_allclose(means.x, record.order)
    np.testing.assert_allclose(means.y, [one.mean() for one in record.counts])
    exact = [ttest_1samp(one, 0.0).confidence_interval(0.95) for one in record.counts]
    low, high = ends(means.error_y, means.y)
    np.testing.assert_allclose(low, [one.low for one in exact])
    np.testing.assert_allclose(high, [one.high for one in exact])


def test_dots_are_moved_in_the_same_way_every_time():
    first, again = (spectral_counts_figure(counts(), "C_p").to_json() for _ in range(2))
    assert first == again


def test_a_line_is_drawn_only_where_one_was_fitted():
    fitted = counts("spectral count", (-0.5, 1.5, 0.2))
    figure = spectral_counts_figure([counts(), fitted], "C_p")
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    assert [line.name for line in lines] == ["spectral count, fit"]
    np.testing.assert_allclose(lines[0].y, -0.5 + 1.5 * np.log(lines[0].x))
    assert (lines[0].x[0], lines[0].x[-1]) == pytest.approx((5, 59))
    legend = [trace.name for trace in figure.data if trace.showlegend is not False]
    words = [name.replace("<br>", " ").replace("\N{NO-BREAK SPACE}", " ") for name in legend]
    assert words == ["key frequencies", "spectral count: −0.50 + (1.50 ± 0.20) ln p"]
    key, spectral = (trace for trace in figure.data if trace.name in legend)
    assert (np.asarray(key.x) < spectral.x).all()  # side by side
    assert key.marker.color != spectral.marker.color


def test_one_seed_and_one_order_are_drawn_without_interval():
    record = SpectralCounts((7,), (np.array([2]),), EVIL)
    figure = spectral_counts_figure(record, "C7")
    dots, mean = figure.data
    assert (list(dots.y), list(mean.y), list(mean.error_y.array)) == ([2.0], [2.0], [0.0])
    assert_safe(figure)
    assert mean.name == SHOWN


def test_impossible_counts_are_refused():
    with pytest.raises(ValueError, match="expected counts of at least one order"):
        spectral_counts_figure([], "C_p")
    with pytest.raises(ValueError, match="1 arrays of counts for 2 orders"):
        SpectralCounts((5, 7), (np.array([1]),), "key")
    with pytest.raises(ValueError, match="order 7 with 0"):
        SpectralCounts((7,), (np.array([], dtype=np.int64),), "key")


def test_long_names_are_broken_in_the_legend_which_has_room_for_them():
    what = "frequencies that carry 95 % of the logits (N) & more"
    long = spectral_counts_figure(counts(what, (0.1, 1.5, 0.2)), "C_p")
    short = spectral_counts_figure(counts("key", (0.1, 1.5, 0.2)), "C_p")
    (label,) = [trace.name for trace in long.data if trace.showlegend is not False]
    lines = label.split("<br>")
    assert lines[-1].startswith("0.10")  # a formula is not broken in two
    assert (
        " ".join(lines).replace("\N{NO-BREAK SPACE}", " ")
        == f"{what.replace('&', '&amp;')}: 0.10 + (1.50 ± 0.20) ln p"
    )
    assert max(map(len, lines)) <= 44
    more = long.layout.margin.b - short.layout.margin.b
    assert more == 21 * (len(lines) - 1)
    assert long.layout.height - short.layout.height == more


def test_a_key_set_of_many_features_is_broken_in_the_legend():
    law = selection_law(np.ones((4, 20), dtype=bool), [f"k={i}" for i in range(20)])
    (trace,) = laws_by_setting_figure({(2, 0.0): law}, "width", "strength", "C41").data
    assert trace.name.replace("<br>", " ") == ", ".join(law.features)
    assert max(map(len, trace.name.split("<br>"))) <= 40


# --- headings --------------------------------------------------------------------------------------


def test_headings_fit_a_narrow_column_and_leave_room_for_themselves():
    figure = spectral_counts_figure(counts(), "C_p " + "with a long description " * 8)
    lines = figure.layout.title.text.split("<br>")
    assert len(lines) > 5
    assert max(len(line) for line in lines if not line.startswith("<span")) <= 40
    assert figure.layout.margin.t >= 21 * len(lines)
    plot = figure.layout.height - figure.layout.margin.t - figure.layout.margin.b
    short = spectral_counts_figure(counts(), "C_p").layout
    assert plot == short.height - short.margin.t - short.margin.b


def test_the_first_line_stands_below_the_figure_s_edge():
    for height in (200, 900):
        figure = headed(spectral_counts_figure(counts(), ""), "title", "note", height=height)
        assert (1 - figure.layout.title.y) * figure.layout.height == pytest.approx(30)
