"""Figures of comparing, the tour and the atlas: what they draw is what the records hold."""

import numpy as np
import pytest

from marginlens.atlas import packaged_atlas
from marginlens.figures.run.compare import (
    Compared,
    losses_figure,
    margins_figure,
    shares_by_run_figure,
)
from marginlens.figures.theory.atlas import atlas_figure
from marginlens.figures.theory.tour import (
    answer_figure,
    cancelling_figure,
    dial_figure,
    frequencies_figure,
    ranges_figure,
    signs_figure,
)
from marginlens.measures import measure
from marginlens.runs import execute
from marginlens.tasks import task
from marginlens.theory import interference, predict


@pytest.fixture(scope="module")
def runs():
    quick = {"steps": 60, "compile": "never", "snapshots": 2}
    return {
        "one": execute("C5", **quick),
        "many": execute("C5", members=2, seed=3, width=16, **quick),
        "<S3>": execute("S3", **quick),
        "tf": execute("C5", network="transformer", width=8, heads=2, hidden=8, **quick),
    }


@pytest.fixture(scope="module")
def compared(runs):
    return [*(Compared(name, run) for name, run in runs.items()), Compared("last", runs["many"], 1)]


def test_curves_are_the_histories(runs, compared):
    figure = margins_figure(compared)
    assert [trace.name for trace in figure.data] == ["one", "many", "&lt;S3&gt;", "last"]  # no tf
    for trace, run in zip(figure.data, (runs["one"], runs["many"], runs["<S3>"]), strict=False):
        after = run.history["step"] > 0
        assert np.array_equal(trace.x, run.history["step"][after])
        assert trace.y == pytest.approx(run.history["margin_ratio"][after], rel=1e-12)
    last = runs["many"].training.history["normalized_margin"][1:, 1]
    assert figure.data[3].y == pytest.approx(last / predict(task("C5")).margin, rel=1e-12)
    losses = losses_figure(compared)
    assert len(losses.data) == 5
    for trace, run in zip(losses.data, runs.values(), strict=False):
        assert np.array_equal(trace.y, run.history["loss"][run.history["step"] > 0])
    assert len({trace.line.color for trace in losses.data}) == 5
    assert len({trace.marker.symbol for trace in losses.data}) == 5


def test_no_margins_where_none_is_known(runs):
    assert margins_figure([Compared("tf", runs["tf"])]) is None


def test_shares_are_those_of_the_members(runs, compared):
    chosen = [compared[0], compared[1], compared[3], compared[4]]
    figure = shares_by_run_figure(chosen, [0, 1, 3, 4])
    one, first, last, marks = figure.data
    assert one.y == pytest.approx(runs["one"].measurement.share)
    assert first.y == pytest.approx(runs["many"].measurement.share)
    assert last.y == pytest.approx(measure(runs["many"].network, task("C5"), member=1).share)
    assert last.y.sum() == pytest.approx(1)
    assert marks.y == pytest.approx([0.5, 0.5])
    curves = {trace.name: trace.line.color for trace in losses_figure(compared).data}
    assert [t.marker.color for t in (one, first, last)] == [
        curves[n] for n in ("one", "many", "last")
    ]
    assert shares_by_run_figure([compared[3]], [0]) is None


def test_shares_of_several_tasks_are_refused(compared):
    with pytest.raises(ValueError, match="within one task, got C5, S3"):
        shares_by_run_figure(compared[:3], [0, 1, 2])


def test_the_atlas_draws_every_group_once():
    rows = packaged_atlas().to_pylist()
    figure = atlas_figure(rows, [f"{row['order']}/{row['number']}" for row in rows])
    counts = {trace.name.rpartition(" (")[0]: len(trace.x) for trace in figure.data}
    assert counts["Theorem 9 applies"] == 55
    assert counts["an irrep cannot be used"] == 27
    seen = [link for trace in figure.data for link in trace.customdata]
    assert len(set(seen)) == len(seen) == 318
    by_link = {f"{row['order']}/{row['number']}": row for row in rows}
    for trace in figure.data:
        for x, y, link in zip(trace.x, trace.y, trace.customdata, strict=True):
            row = by_link[link]
            assert abs(x - row["order"]) < 0.5
            assert y == pytest.approx(row["margin"] * row["order"] * row["order"] ** 0.5, rel=1e-6)
            assert (row["cannot"] > 0) == trace.name.startswith("an irrep cannot")


@pytest.mark.parametrize(("n", "k", "a", "b"), [(12, 1, 5, 9), (12, 4, 3, 11), (23, 7, 22, 22)])
def test_hands_turn_as_numbers_add(n, k, a, b):
    hands = dial_figure(n, k, a, b).data[-3:]
    angles = [np.arctan2(hand.x[1], hand.y[1]) for hand in hands]
    assert np.exp(1j * (angles[0] + angles[1])) == pytest.approx(np.exp(1j * angles[2]))
    assert hands[2].name == f"a + b = {(a + b) % n}"
    bars = answer_figure(n, k, a, b).data[0]
    direct = [np.cos(2 * np.pi * k * (a + b - c) / n) for c in range(n)]
    assert bars.y == pytest.approx(direct)
    assert bars.y[(a + b) % n] == pytest.approx(1)
    assert len(set(bars.marker.color)) == 2
    assert bars.marker.color.count(bars.marker.color[(a + b) % n]) == 1


def test_frequencies_cancel():
    found = interference(23, range(1, 12))
    average = cancelling_figure(23, found.best_sets[2]).data[-1]
    direct = [
        np.mean([np.cos(2 * np.pi * k * d / 23) for k in found.best_sets[2]]) for d in average.x
    ]
    assert average.y == pytest.approx(direct)
    assert average.y.max() == average.y[list(average.x).index(0)] == pytest.approx(1)
    share = frequencies_figure(found, 3).data[0].y
    assert share[-1] == pytest.approx(1)  # all frequencies reach the maximum
    lead = 1 - np.sort(average.y)[-2]
    assert share[2] == pytest.approx(lead * 22 / 23)


def test_the_margin_of_a_few_frequencies_is_that_of_a_network():
    """A network with equal parts of a few frequencies has the share of gamma* that is drawn."""
    import torch

    from marginlens.networks import construct

    p, found = 7, interference(7, [1, 2, 3])
    c7 = task(f"C{p}")
    whole = construct(c7)
    power = np.stack([f.power(whole.tensors["u"][0].numpy().T) for f in c7.features])
    share = frequencies_figure(found, 2).data[0].y
    for place, chosen in enumerate(found.best_sets):
        keep = torch.as_tensor(np.isin(power.argmax(0) + 1, chosen))
        few = whole.with_parameters({n: x[..., keep] for n, x in whole.tensors.items()})
        margin = measure(few, c7).normalized_margin
        assert margin / predict(c7).margin == pytest.approx(share[place], rel=1e-9)


def test_ranges_and_signs():
    a5 = predict(task("A5"))
    bars = ranges_figure(a5, 3).data[0]
    assert bars.y == pytest.approx([0.361037, 0.361037, 0.277926, 0], abs=1e-6)
    assert list(bars.text) == ["36.1%", "36.1%", "27.8%", "cannot"]
    weights = np.array([[0.5, -0.5], [0.5, 0.5], [0.0, 0.0]])
    drawn = signs_figure(weights).data[0]
    assert np.array_equal(drawn.z, [[1, 1, 0], [-1, 1, 0]])
    assert [list(row) for row in drawn.text] == [["+", "+", ""], ["−", "+", ""]]
