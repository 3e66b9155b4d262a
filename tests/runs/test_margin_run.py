"""A run that trains the margin itself: claims, bounds, files, figures and advice."""

from dataclasses import replace

import numpy as np
import pytest

from marginlens.figures import loss_caption, loss_figure, margin_caption, margin_figure
from marginlens.figures.run.compare import Compared, margins_figure
from marginlens.measures import measure
from marginlens.networks import construct
from marginlens.runs import execute, load_run
from marginlens.tasks import task
from marginlens.theory import predict
from marginlens.verdict import TrainingFacts, judge


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "S3"
    return execute(
        "S3",
        loss_function="margin",
        width=60,
        steps=600,
        record_every=20,
        snapshots=3,
        compile="never",
        out=folder,
    )


def test_every_claim_passes_and_both_bounds_meet(run):
    verdict = run.verdict
    assert verdict.status == "passes", verdict.summary
    named = {one.name: one for one in verdict.claims}
    assert named["margin_ratio"].measured > 0.999
    assert 1 - 1e-9 <= named["upper_bound"].measured < 1.001
    assert {"one_feature", "shares", "must_features"} <= named.keys()
    assert not {"loss", "norm", "cross_entropy"} & named.keys()  # nothing is said of a penalty
    assert run.prediction.at_penalty is None


def test_a_folder_gives_the_same_verdict_and_history(run):
    again = load_run(run.folder)
    assert again.verdict.to_dict() == run.verdict.to_dict()
    for name in ("sharpness", "upper_bound", "normalized_margin"):
        np.testing.assert_array_equal(again.history[name], run.history[name])
    np.testing.assert_allclose(
        again.history["sharpness"][-1] * run.prediction.margin, run.recipe.sharpness_end
    )


def test_figures_show_the_smoothed_margin_and_the_upper_bound(run):
    best = run.prediction.margin
    (curve, bound) = margin_figure(run).data
    assert (np.asarray(bound.y) >= best * (1 - 1e-9)).all()
    assert (np.asarray(curve.y) <= best * (1 + 1e-6)).all()
    soft = np.asarray(loss_figure(run).data[0].y)
    assert soft[-1] < curve.y[-1] < best < 1.02 * soft[-1]
    share, least = margins_figure([Compared("S3", run)]).data
    np.testing.assert_allclose(np.asarray(least.y) * best, bound.y)
    np.testing.assert_allclose(np.asarray(share.y) * best, curve.y)
    assert "adversary" in margin_caption(run)[1]
    assert "sharpness" in loss_caption(run)[0]


def test_advice_keeps_the_objective():
    short = execute("S3", loss_function="margin", width=60, steps=20, compile="never", snapshots=0)
    assert short.verdict.status == "premise not met"
    words = short.verdict.summary
    assert "continue with `marginlens run S3 --width 60 --loss margin --steps 1000" in words
    assert "--strength" not in words
    assert "--optimizer" not in words


@pytest.mark.parametrize(
    ("share", "status"), [(1.0005, "passes"), (1.2, "premise not met"), (0.99, "contradicted")]
)
def test_an_upper_bound_is_judged(share, status):
    s3 = task("S3")
    best = predict(s3).margin
    facts = TrainingFacts(trains_margin=True, upper_bound=share * best)
    verdict = judge(predict(s3), measure(construct(s3), s3), facts=facts)
    (one,) = [claim for claim in verdict.claims if claim.name == "upper_bound"]
    assert one.status == status
    assert verdict.status == status


def test_a_margin_below_999_thousandths_is_not_enough_where_it_was_trained():
    s3 = task("S3")
    found = measure(construct(s3), s3)
    short = replace(found, normalized_margin=found.normalized_margin * 0.997)
    statuses = [
        judge(predict(s3), short, facts=TrainingFacts(trains_margin=trained)).status
        for trained in (True, False)
    ]
    assert statuses == ["premise not met", "passes"]
