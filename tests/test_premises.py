"""Contradicted, premise not met, not covered: told apart, in a sentence, with a command that works."""

import json
import shlex
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from records import changed
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from typer.main import get_command

from marginlens.cli import app
from marginlens.measures import measure
from marginlens.networks import MLP, construct
from marginlens.runs import execute, load_run, load_verdict, resume
from marginlens.runs.advice import RunAdvice, option_of
from marginlens.tasks import task
from marginlens.theory import Penalty, predict
from marginlens.training import Recipe, recipe_for
from marginlens.verdict import TrainingFacts, judge

SMALL = {"width": 20, "learning_rate": 0.1, "strength": 1e-2}  # C3 is at its minimum in 300 steps


def at_minimum(name, below=20.0):
    """The network of the minimum, where it is the maximum-margin network up to scale."""
    of = task(name)
    strength = predict(of).collapse_penalty / below
    prediction = predict(of, penalty=Penalty("homogeneous", strength))
    one = construct(of)
    factor = prediction.at_penalty.norm ** (1 / one.homogeneity)
    return of, prediction, MLP({s: p * factor for s, p in one.tensors.items()}, one.activation)


# contradicted


def shares(found):
    moved = np.zeros_like(found.share)
    moved[:2] = 0.05, -0.05
    return {"share": found.share + moved}


ALTERED = {
    "accuracy": lambda found: {"accuracy": 0.9},
    "shares": shares,
    "margin": lambda found: {
        "margin": 0.8 * found.margin,
        "normalized_margin": 0.8 * found.normalized_margin,
    },
    "margin_ratio": lambda found: {"normalized_margin": 1.002 * found.normalized_margin},
    "loss": lambda found: {"cross_entropy": found.cross_entropy * (1 - 1e-3)},
    "cross_entropy": lambda found: {"cross_entropy": 0.9 * found.cross_entropy},
    "one_feature": lambda found: {"max_power": np.full_like(found.max_power, 0.9)},
    "same_feature": lambda found: {"agrees": np.arange(len(found.agrees)) > 0},
    "sinusoidal": lambda found: {"cosine_fit": np.full_like(found.cosine_fit, 0.9)},
    "phases_add": lambda found: {"phase_error": np.full_like(found.phase_error, 0.2)},
}
ALTERED_PARITY = {
    "on_subset": lambda found: {"subset_power": np.full_like(found.subset_power, 0.9)},
    "equal_magnitudes": lambda found: {"magnitude_ratio": np.full(len(found.live), 0.5)},
    "signs": lambda found: {"signs_agree": np.arange(len(found.live)) > 0},
    "shares": lambda found: {"share": np.roll(found.share, 1)},
    "accuracy": lambda found: {"accuracy": 0.5},
}


@pytest.mark.parametrize(
    ("name", "claim", "change"),
    [("C5", *case) for case in ALTERED.items()]
    + [("parity(4,2)", *case) for case in ALTERED_PARITY.items()],
)
def test_a_measurement_that_no_network_at_the_minimum_has_contradicts(name, claim, change):
    of, prediction, network = at_minimum(name)
    found = measure(network, of)
    assert judge(prediction, found).status == "passes"
    verdict = judge(prediction, changed(found, **change(found)))
    failing = {one.name: one.status for one in verdict.claims if not one.holds}
    assert failing[claim] == "contradicted"
    assert (verdict.status, verdict.exit_code) == ("contradicted", 1)
    assert verdict.summary.startswith("Contradicted: ")
    assert claim.replace("_", " ") in verdict.summary
    # nor does it help that training is said to have been short, or the rows to be others
    facts = TrainingFacts(ended="interrupted", rows_share=0.5, other_rows="on half of the rows")
    assert judge(prediction, changed(found, **change(found)), facts=facts).exit_code == 1


def test_a_loss_below_the_minimum_contradicts_although_it_is_within_the_tolerance():
    of, prediction, network = at_minimum("C5")
    found = measure(network, of)
    for part, status in ((1e-4, "contradicted"), (1e-9, "passes"), (-1e-4, "passes")):
        moved = found.cross_entropy - part * prediction.at_penalty.loss
        verdict = judge(prediction, replace(found, cross_entropy=moved))
        loss = next(claim for claim in verdict.claims if claim.name == "loss")
        assert loss.status == status


@settings(deadline=None, max_examples=40)
@given(
    name=st.sampled_from(["C5", "C6", "S3", "Q8", "parity(4,2)", "parity(5,3)", "compose(C3,3)"]),
    seed=st.integers(0, 2**31),
    noise=st.floats(-6, 0.5),
    below=st.floats(-0.1, 3),
    damage=st.sampled_from(["noise", "masses", "scale", "half", "all"]),
)
def test_no_network_whatever_contradicts_the_theory(name, seed, noise, below, damage):
    """Perturbed in every way, close to the minimum and far: at least the minimum is not reached."""
    of, _, network = at_minimum(name)
    rng = np.random.default_rng(seed)
    parameters = dict(network.tensors)
    width = parameters["w"].shape[-1]
    size = 10.0**noise
    if damage in ("noise", "all"):
        parameters = {
            s: p + size * p.abs().max() * torch.from_numpy(rng.normal(size=p.shape))
            for s, p in parameters.items()
        }
    if damage in ("masses", "all"):
        factor = torch.from_numpy(np.exp(size * rng.normal(size=width)))
        parameters = {s: p * factor for s, p in parameters.items()}
    if damage in ("scale", "all"):
        parameters = {s: p * (1 + size * rng.uniform()) for s, p in parameters.items()}
    if damage in ("half", "all"):
        parameters = {s: p[..., : max(1, width // 2)] for s, p in parameters.items()}
    found = measure(MLP(parameters, network.activation), of)
    strength = predict(of).collapse_penalty * 10.0**-below
    for prediction in (predict(of, penalty=Penalty("homogeneous", strength)), predict(of)):
        verdict = judge(prediction, found)
        assert verdict.status in ("passes", "premise not met"), verdict.summary
        unmet = [premise.name for premise in verdict.premises if premise.met is False]
        failing = [claim for claim in verdict.claims if not claim.holds]
        assert unmet or not failing
        assert verdict.exit_code == (3 if failing else 0)
        json.dumps(verdict.to_dict(), allow_nan=False)


@pytest.mark.parametrize("output", [-1.0, -0.05, -1e-3])
def test_a_weak_neuron_of_the_opposite_phase_contradicts_nothing(output):
    """Its output is so weak that it earns hardly less than nothing: it costs its norm, no more."""
    of, prediction, network = at_minimum("C5")
    wave = torch.cos(2 * torch.pi * torch.arange(5, dtype=torch.float64) / 5)[:, None]
    added = {"u": wave, "v": wave, "w": output * wave}
    size = 0.2 * network.tensors["u"].abs().max()
    parameters = {
        s: torch.cat([p, size * added[s].expand(*p.shape[:-1], 1)], -1)
        for s, p in network.tensors.items()
    }
    verdict = judge(prediction, measure(MLP(parameters, network.activation), of))
    (phases,) = [claim for claim in verdict.claims if claim.name == "phases_add"]
    assert phases.measured == pytest.approx(np.pi)
    assert (phases.status, verdict.status) == ("premise not met", "premise not met")


# premises


UNMET = [
    ("C5", {"width": 4}, "width", "Too narrow: 4 neurons, where 12 suffice"),
    ("S3", {"steps": 1}, "minimum", "Not trained to the end: loss "),
    ("S3", {"steps": 0}, "minimum", "Not trained to the end: loss "),
    ("C7", {"train_fraction": 0.7}, "rows", "Trained on 70 % of the rows"),
    ("C7", {"corrupt": 0.2}, "rows", "Trained with 20 % wrong labels"),
    (
        "C5",
        {"strength": 0.05},
        "strength",
        "The penalty is too strong: at strength 0.05, above 0.0243",
    ),
    ("parity(4,2)", {"width": 1}, "width", "Too narrow: 1 neuron, where 2 suffice"),
    (
        "S3",
        {"steps": 300, "width": 100, "strength": 1e-9},
        "minimum",
        "Not trained to the end: loss ",
    ),
    ("parity(20,2)", {"online": True, "batch": 8}, "rows", "Trained and measured on a sample"),
]
UNCOVERED = [
    ({"activation": "relu", "penalty": "l2"}, "the activation relu on C5"),
    ({"penalty": "l2"}, "the squared L2 penalty"),
    ({"strength": 0.0}, "training without a penalty"),
    ({"biases": True}, "networks with biases"),
    ({"tied": True}, "one embedding for all inputs"),
    ({"loss_function": "squared"}, "the squared loss"),
    ({"optimizer": "adamw", "weight_decay": 0.1}, "decoupled weight decay"),
    ({"network": "factored", "activation": "x^2"}, "factored networks"),
]


@pytest.mark.parametrize(("name", "fields", "premise", "first"), UNMET)
def test_a_premise_that_is_not_met_is_named_first(name, fields, premise, first):
    verdict = execute(name, **{"width": 30, "steps": 20, **fields}).verdict
    assert (verdict.status, verdict.exit_code) == ("premise not met", 3)
    assert verdict.premise(premise).met is False
    assert verdict.summary.startswith(first)
    assert {claim.status for claim in verdict.claims} <= {"premise not met", "passes"}


@pytest.mark.parametrize(("fields", "words"), UNCOVERED)
def test_without_a_theorem_claims_are_reported_and_not_scored(fields, words):
    verdict = execute("C5", **{"width": 12, "steps": 5, **fields}).verdict
    assert (verdict.status, verdict.exit_code, verdict.holds) == ("not covered", 0, True)
    assert verdict.summary == f"No theorem covers {words}: claims are reported, not scored."
    assert {claim.status for claim in verdict.claims} == {"not covered"}


@pytest.mark.parametrize(
    ("ended", "first"),
    [
        ("share of the margin", "Stopped early, as --stop-share asks: loss "),
        ("converged", "Stopped early, as --tolerance asks: loss "),
        ("diverged", "Diverged after step 7"),
        ("interrupted", "Not trained to the end: stopped at step 7 of 9"),
    ],
)
def test_how_training_ended_is_said(ended, first):
    of, prediction, network = at_minimum("C5")
    half = {slot: 0.9 * p for slot, p in network.tensors.items()}
    found = measure(MLP(half, network.activation), of)
    verdict = judge(prediction, found, facts=TrainingFacts(ended=ended, step=7, steps=9))
    assert verdict.summary.startswith(first)
    assert verdict.exit_code == 3


def test_claims_that_pass_pass_whatever_premise_is_not_met():
    of = task("Q8")  # eight neurons suffice, more than the construction's number is not needed
    found = measure(construct(of), of)
    facts = TrainingFacts(rows_share=0.7, other_rows="on 70 % of the rows")
    verdict = judge(predict(of), found, facts=facts)
    assert (verdict.status, verdict.exit_code) == ("passes", 0)
    assert verdict.summary == (
        f"{len(verdict.claims)} of {len(verdict.claims)} claims pass, although it was trained on 70 % "
        "of the rows: the theory does not guarantee that."
    )


@pytest.mark.parametrize(
    ("fall", "width", "words"),
    [
        (0.5, 24, "and still falling"),
        (0.0, 20, "fewer than twice the 12 that suffice"),
        (0.0, 24, "Stuck: "),
    ],
)
def test_unfinished_and_stuck_are_told_apart_by_the_last_part_of_the_way(fall, width, words):
    of, prediction, network = at_minimum("C5")
    zeros = width - network.tensors["w"].shape[-1]
    louder = {s: torch.nn.functional.pad(1.05 * p, (0, zeros)) for s, p in network.tensors.items()}
    found = measure(MLP(louder, network.activation), of)
    verdict = judge(prediction, found, facts=TrainingFacts(last_fall=fall))
    assert words in verdict.summary


# non-finite and altered weights


def altered_file(folder, change):
    path = folder / "parameters.safetensors"
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    parameters = load_file(path)
    change(parameters)
    save_file(parameters, path, metadata=metadata)


def altered(folder, change):
    altered_file(folder, change)
    return load_run(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("slot", ["u", "w"])
def test_non_finite_weights_are_a_failure_of_their_own(tmp_path, value, slot):
    execute("C3", width=12, steps=5, out=tmp_path / "run")
    run = altered(tmp_path / "run", lambda p: p[slot].view(-1).__setitem__(3, value))
    verdict = run.verdict
    assert verdict.summary.startswith("The network has non-finite weights (1 is NaN or infinite)")
    assert (verdict.status, verdict.exit_code) == ("premise not met", 3)
    assert not any(claim.holds for claim in verdict.claims)
    assert run.measurement.to_dict()["accuracy"] is None
    json.dumps([verdict.to_dict(), run.measurement.to_dict()], allow_nan=False)


def test_a_folder_without_its_curves_is_judged_by_its_weights(tmp_path):
    folder = tmp_path / "run"
    run = execute("C3", width=4, steps=5, out=folder)
    for name in ("history.parquet", "snapshots.safetensors"):
        (folder / name).unlink()
    assert load_verdict(folder).summary == run.verdict.summary
    altered_file(folder, lambda p: p["u"].view(-1).__setitem__(3, float("nan")))
    assert load_verdict(folder).summary.startswith("The network has non-finite weights")


def test_weights_that_training_did_not_end_with_are_noticed(tmp_path):
    execute("C3", width=12, steps=20, out=tmp_path / "run")
    run = altered(tmp_path / "run", lambda p: [p[slot].mul_(1.2) for slot in p])
    assert run.verdict.summary.startswith("The weights are not those that training ended with")
    assert run.verdict.exit_code == 3


# going on


def options_of(command):
    words = shlex.split(command)
    known = get_command(app).commands[words[1]].params
    names = {option for param in known for option in (*param.opts, *param.secondary_opts)}
    return words, {word for word in words if word.startswith("--")}, names


def test_every_field_of_a_recipe_has_the_option_that_advice_names():
    _, _, names = options_of("marginlens run")
    named = {"betas": {"--beta1", "--beta2"}}
    fields = Recipe.model_fields.keys() - {"task"}
    assert not {field for field in fields if not named.get(field, {option_of(field)}) <= names}


def test_the_command_of_a_narrow_network_is_that_of_the_same_recipe_but_wider(tmp_path):
    run = execute("C5", width=4, steps=20, seed=3, learning_rate=0.05, out=tmp_path / "a run")
    (command,) = [part for part in run.verdict.summary.split("`") if part.startswith("marginlens")]
    words, used, names = options_of(command)
    assert words[:3] == ["marginlens", "run", "C5"]
    assert used <= names
    given = dict(zip(words[3::2], words[4::2], strict=True))
    assert given == {
        "--width": str(recipe_for(task("C5")).width),
        "--seed": "3",
        "--learning-rate": "0.05",
        "--out": f"{tmp_path}/a run-width",
    }


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_finished_run_goes_on_to_more_steps_and_passes(tmp_path, dtype):
    folder = tmp_path / "run"
    first = execute("C3", **SMALL, steps=60, out=folder, members=2, dtype=dtype)
    assert first.verdict.summary.startswith("Not trained to the end: ")
    assert f"--resume {folder} --steps 1000" in first.verdict.summary
    run = resume(folder, steps=300)
    verdict = run.verdict
    assert (verdict.status, verdict.exit_code) == ("passes", 0)
    assert verdict.summary.startswith("12 of 12 guaranteed claims pass: ")
    assert "Theorem 7" in verdict.summary
    assert all(premise.met for premise in verdict.premises)
    assert run.training.ends == ("steps", "steps")
    steps = run.history["step"]
    assert (steps[0], steps[-1]) == (0, 300)
    assert (np.diff(steps) > 0).all()
    # the first part of the history is that of the first training
    np.testing.assert_array_equal(run.history["loss"][:7], first.history["loss"])
    assert run.training.seconds > first.training.seconds
    assert json.loads((folder / "changes.json").read_text()) == [
        {"step": 60, "field": "steps", "from": 60, "to": 300}
    ]
    assert load_run(folder).verdict.summary == verdict.summary
    with pytest.raises(ValueError, match="finished after 300 steps; train it further with"):
        resume(folder)


def test_a_path_that_has_ended_stays_at_its_last_strength(tmp_path):
    folder = tmp_path / "run"
    execute("C3", width=12, strength=1e-2, anneal_to=1e-3, steps=40, out=folder)
    run = resume(folder, steps=60)
    assert (run.recipe.strength, run.recipe.anneal_to) == (1e-3, None)
    late = run.history["step"] >= 40
    parts = {name: run.history[name][late] for name in ("loss", "cross_entropy", "norm")}
    np.testing.assert_allclose(
        parts["loss"], parts["cross_entropy"] + 1e-3 * parts["norm"], rtol=1e-5
    )


def test_a_run_that_stopped_by_itself_does_not_go_on(tmp_path):
    folder = tmp_path / "run"
    execute("C3", width=12, steps=300, tolerance=0.9, out=folder)
    with pytest.raises(ValueError, match="stopped before the last step"):
        resume(folder, steps=600)


def test_a_verdict_of_before_is_still_read(tmp_path):
    """A folder whose verdict has none of the new fields: it is recomputed."""
    folder = tmp_path / "run"
    run = execute("C5", width=12, steps=20, out=folder)
    written = json.loads((folder / "verdict.json").read_text())
    assert {"summary", "status", "premises", "holds", "claims"} <= written.keys()
    assert "--resume FOLDER --steps 1000" in written["summary"]  # a run may be moved
    assert f"--resume {folder} --steps 1000" in run.verdict.summary
    for claim in written["claims"]:
        assert claim.pop("status") in ("passes", "premise not met")
        claim.pop("least_excess")
    old = {
        key: value for key, value in written.items() if key not in ("summary", "status", "premises")
    }
    (folder / "verdict.json").write_text(json.dumps(old))
    assert load_run(folder).verdict.summary == run.verdict.summary


def test_advice_for_a_network_that_is_not_saved_names_no_folder():
    recipe = recipe_for(task("C5"), width=30, steps=100)
    advice = RunAdvice(recipe, task("C5"), None, 100)
    assert advice.longer() == "marginlens run C5 --width 30 --steps 1000"
    assert advice.wider(24) == "marginlens run C5 --width 100"
    assert advice.other_seed() == "marginlens run C5 --width 30 --steps 100 --seed 1"


@pytest.mark.parametrize(
    ("name", "basis"),
    [
        ("C5", "Theorem 7 (Morwani et al. 2024)"),
        ("S3", "Theorem 9 (Morwani et al. 2024)"),
        ("parity(4,2)", "Theorem 8 (Morwani et al. 2024)"),
        ("Q8", "the theory"),
        ("compose(C3,3)", "the theory"),
    ],
)
def test_the_first_line_names_the_theorem_that_covers_the_task(name, basis):
    of = task(name)
    verdict = judge(predict(of), measure(construct(of), of))
    count = f"{len(verdict.claims)} of {len(verdict.claims)} guaranteed claims pass"
    assert verdict.summary == f"{count}: the network is the one that {basis} predicts."
