"""Every option of ``train`` does what it says; what is impossible is one line and writes nothing."""

import re
import shutil
import tomllib
from pathlib import Path

import pytest
import tomli_w
from training.test_trackers import mlflow_run, read_mlflow, read_tensorboard

from marginlens.runs import follow, load_run
from marginlens.tasks import task
from marginlens.training import recipe_for

SMALL = ("--width", "6", "--steps", "20")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def recipe(folder: str) -> dict:
    return tomllib.loads(Path(folder, "recipe.toml").read_text())


OPTIONS = [
    ("--activation x^4", {"activation": "x^4"}),
    ("--tied", {"tied": True}),
    ("--init-scale 0.05", {"init_scale": 0.05}),
    ("--penalty l2 --strength 1e-3", {"penalty": "l2", "strength": 1e-3}),
    ("--strength 1e-2 --anneal-to 1e-4", {"strength": 1e-2, "anneal_to": 1e-4}),
    ("--optimizer sgd --momentum 0.5", {"optimizer": "sgd", "momentum": 0.5}),
    ("--optimizer muon --momentum 0.8 --weight-decay 0.1", {"momentum": 0.8, "weight_decay": 0.1}),
    ("--optimizer adam --beta1 0.8", {"betas": [0.8, 0.999], "exchange_every": 0}),
    ("--optimizer adamw --weight-decay 1", {"optimizer": "adamw", "weight_decay": 1.0}),
    ("--beta1 0.8 --beta2 0.98", {"betas": [0.8, 0.98]}),
    ("--beta1 0.8", {"betas": [0.8, 0.95], "optimizer": "neuronwise-adam"}),
    ("--beta2 0.98", {"betas": [0.97, 0.98]}),
    ("--learning-rate 0.002 --schedule cosine", {"learning_rate": 0.002, "schedule": "cosine"}),
    ("--warmup 5", {"warmup": 5}),
    ("--step-size normalized", {"step_size": "normalized"}),
    ("--stop-share 0.9", {"stop_share": 0.9}),
    ("--tolerance 1e-5", {"tolerance": 1e-5}),
    ("--seed 7 --seeds 3", {"seed": 7, "members": 3}),
    ("--members 2", {"members": 2}),
    ("--batch 5", {"batch": 5}),
    ("--train-fraction 0.6 --split-seed 4", {"train_fraction": 0.6, "split_seed": 4}),
    ("--corrupt 0.2", {"corrupt": 0.2}),
    ("--dtype float64", {"dtype": "float64"}),
    ("--tf32", {"tf32": True}),
    ("--compile never", {"compile": "never"}),
    ("--memory 2.5", {"memory": 2.5}),
    ("--device cpu", {"device": "cpu"}),
]


@pytest.mark.parametrize(("options", "fields"), OPTIONS, ids=[options for options, _ in OPTIONS])
def test_an_option_is_a_field_of_the_recipe_and_trains(call, options, fields):
    code, printed, error = call("train", "C5", *SMALL, *options.split(), "--out", "run")
    assert (code, error) == (0, "")
    assert "everything is in run" in printed
    written = recipe("run")
    assert fields.items() <= written.items()
    usual = recipe_for(task("C5"))
    if written["optimizer"] != usual.optimizer:  # which its other settings follow
        usual = recipe_for(task("C5"), optimizer=written["optimizer"])
    untouched = tomllib.loads(tomli_w.dumps(usual.model_dump(exclude_none=True)))
    # what belongs to the activation follows it
    loose = fields.keys() | {"width", "steps", "strength", "learning_rate", "optimizer"}
    assert {k: v for k, v in written.items() if k not in loose} == {
        k: v for k, v in untouched.items() if k not in loose
    }
    assert load_run("run").training.steps[-1] <= 20


BAD = [
    (
        "C5 --optimizer lion",
        "optimizer: input should be 'adam', 'adamw', 'sgd', 'muon' or 'neuronwise-adam'",
    ),
    ("C5 --schedule stairs", "schedule: "),
    ("C5 --step-size small", "step_size: "),
    ("C5 --momentum 0.9", "momentum belongs to sgd and muon"),
    ("C5 --optimizer sgd --momentum 1", "momentum: "),
    ("C5 --weight-decay 1", "weight_decay belongs to adamw and muon"),
    ("C5 --beta1 1.5", "such as 0.9 and 0.98"),
    ("C5 --beta2 -1", "such as 0.9 and 0.98"),
    ("C5 --warmup -1", "warmup: "),
    ("C5 --anneal-to 10", "anneal_to is a strength above 0 and at most"),
    ("C5 --batch 0", "batch: "),
    ("C5 --train-fraction 0", "train_fraction: "),
    ("C5 --train-fraction 1.5", "train_fraction: "),
    ("C5 --train-fraction 0.001", "leaves none to train on; try 0.5"),
    ("C5 --split-seed -1", "split_seed: "),
    ("C5 --corrupt 1", "corrupt: "),
    ("C5 --corrupt 0.01", "changes none; try 0.04"),
    ("C5 --heads 2", "heads belongs to the transformer: add --network transformer"),
    ("C5 --network factored --biases", "a factored network has no biases"),
    ("C5 --embedding 9", "embedding belongs to the factored"),
    ("C5 --network factored --attention 0.5", "attention belongs to the transformer"),
    ("C5 --optimizer sgd --beta1 0.8", "betas belong to adam, adamw and neuronwise-adam"),
    ("C5 --train-fraction 0.5 --stop-share 0.9", "leave it out"),
    ("C5 --batch 100", "choose at most 25"),
    ("parity(6,2) --tied", "cannot be tied"),
    ("parity(6,2) --network transformer", "a transformer reads two elements or more"),
    ("C5 --network transformer --memory 1e-9", "memory: "),
    ("C5 --network transformer --penalty homogeneous --strength 1e-3", "choose --penalty l2"),
    ("C5 --memory 0", "memory: "),
    ("C5 --compile sometimes", "compile: "),
    ("C5 --seeds 0", "members: "),
    ("C5 --steps -1", "steps: "),
    ("C5 --tolerance -1", "tolerance: "),
    ("C5 --stop-share 2", "stop_share: "),
    ("C5 --dtype float16", "dtype: "),
    ("C5 --checkpoint-every 0", "--checkpoint-every"),
    ("C5 --track paper", "--track takes tensorboard, wandb or mlflow, got 'paper'"),
    ("C5 --track tensorbord --overwrite --out older", "--track takes"),
    ("C5 --previous", "--previous expects --resume, got a new run"),
    ("--resume missing", "'missing' holds no run (no recipe.toml)"),
    ("C5 --resume older", "leave TASK out"),
    ("--resume older --out other", "leave --out out"),
    ("--resume older --overwrite", "leave --overwrite out"),
    ("--resume older --width 5", "leave --width out"),
    ("--resume older --seed 5", "leave --seed out"),
    ("--resume older --train-fraction 0.5", "leave --train-fraction out"),
    ("--resume older --tied", "leave --tied out"),
    ("--resume older --tf32", "leave --tf32 out"),
    ("--resume older --beta2 0.9", "leave --beta1 and --beta2 out"),
    ("--resume older --learning-rate -1", "learning_rate: "),
    ("--resume older --steps 5", "expected --steps of at least 10"),
    ("--resume older --device abacus", "'abacus' is not here"),
    ("--resume older --track paper", "--track takes"),
    ("--resume older --previous", "leave --previous out"),
]


def interrupted(folder: str, stop: int, **options) -> None:
    def interrupt(step, row):
        if step == stop:
            raise KeyboardInterrupt

    chosen = task("C5")
    recipe = recipe_for(chosen, width=6, steps=20, dtype="float64")
    follow(recipe, chosen, out=folder, progress=interrupt, **options)


@pytest.fixture(scope="module")
def older(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("older") / "older"
    interrupted(str(folder), 10)
    return folder


@pytest.mark.parametrize(("options", "words"), BAD, ids=[options for options, _ in BAD])
def test_what_is_impossible_is_one_line_and_changes_nothing(call, older, options, words):
    shutil.copytree(older, "older")
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    code, printed, error = call("train", *options.split())
    assert (code, printed) == (2, "")
    assert re.fullmatch(r"marginlens: [^\n]+\n", error), error
    assert words in error
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before
    assert [path.name for path in Path().iterdir()] == ["older"]


def test_a_resume_says_where_it_goes_on_and_what_it_changes(call, older):
    shutil.copytree(older, "older")
    code, printed, error = call("train", "--resume", "older", "--steps", "30")
    assert (code, error) == (0, "")
    assert printed.startswith("resuming C5 at step 10 of 30\n")
    assert "stopped: steps" in printed
    assert recipe("older")["steps"] == 30
    code, _, error = call("train", "--resume", "older")
    assert code == 2
    assert "train it further with: marginlens train --resume older --steps" in error
    assert call("measure", "older")[0] == 0


def test_a_resumed_run_can_have_its_page(call, older):
    shutil.copytree(older, "older")
    code, printed, _ = call("run", "--resume", "older")
    assert code == 0
    assert "open older/report.html" in printed
    assert Path("older/report.html").exists()


READERS = {"tensorboard": read_tensorboard, "mlflow": read_mlflow}
KINDS = ["tensorboard", pytest.param("mlflow", marks=pytest.mark.system)]  # a database is made


@pytest.mark.parametrize("kind", KINDS)
def test_a_tracker_has_the_history_and_a_resume_adds_no_point_twice(call, kind, monkeypatch):
    pytest.importorskip(kind)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    interrupted("run", 10, track=kind)
    if kind == "mlflow":
        assert mlflow_run(Path("run").resolve())[1].info.status == "KILLED"
    code, _, error = call("train", "--resume", "run", "--track", kind)
    assert (code, error) == (0, "")
    history = load_run("run").history
    found = READERS[kind](Path("run").resolve())
    for name in ("loss", "cross_entropy", "accuracy", "margin", "norm", "normalized_margin"):
        assert [step for step, _ in found[name]] == [0, 10, 20]
        assert [value for _, value in found[name]] == pytest.approx(history[name], rel=1e-6)
    if kind == "mlflow":
        assert mlflow_run(Path("run").resolve())[1].info.status == "FINISHED"
        assert mlflow_run(Path("run").resolve())[1].data.tags["stopped"] == "steps"


@pytest.mark.parametrize("kind", KINDS)
def test_a_resume_tells_a_tracker_what_it_missed(call, older, kind, monkeypatch):
    pytest.importorskip(kind)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(older, "older")
    assert call("train", "--resume", "older", "--track", kind)[0] == 0
    history = load_run("older").history
    found = READERS[kind](Path("older").resolve())["loss"]
    assert [step for step, _ in found] == [0, 10, 20]
    assert [value for _, value in found] == pytest.approx(history["loss"], rel=1e-6)


@pytest.mark.system
def test_mlflow_knows_of_a_failure(call, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    code, _, error = call(
        "train",
        "C5",
        *SMALL,
        "--optimizer",
        "sgd",
        "--learning-rate",
        "1e3",
        "--track",
        "mlflow",
        "--out",
        "run",
    )
    assert code == 2
    assert "diverged" in error
    assert mlflow_run(Path("run").resolve())[1].info.status == "FAILED"


PANELS = ("Run", "Network", "Penalty", "Optimizer", "Stopping", "Data", "Engine")


@pytest.mark.parametrize("columns", [80, 120])
def test_help_of_train_is_in_panels_of_a_readable_width(call, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    code, printed, _ = call("train", "--help")
    assert code == 0
    lines = printed.splitlines()
    assert max(map(len, lines)) <= columns
    titles = [found[1] for line in lines if (found := re.match(r"╭─ (\w+) ─", line))]
    assert titles == ["Arguments", "Options", *PANELS]
    for option in re.findall(r"--[a-z0-9-]+", " ".join(options for options, _ in OPTIONS)):
        assert option in printed
    assert "…" not in printed
    for example in ("train C23 --steps", "train --resume runs/C23", "torchrun --nproc-per-node 2"):
        assert example in printed


KINDS = [
    (
        "--network transformer --width 8 --heads 2 --hidden 6 --beta1 0.8",
        {"network": "transformer", "heads": 2, "hidden": 6, "betas": [0.8, 0.98]},
    ),
    (
        "--network transformer --width 8 --hidden 6 --sequence ab --attention 0.5 --no-biases",
        {"sequence": "ab", "attention": 0.5, "biases": False},
    ),
    (
        "--network transformer --width 8 --hidden 6 --layers 2 --layer-norm post",
        {"layers": 2, "layer_norm": "post"},
    ),
    ("--network factored --embedding 7", {"embedding": 7, "betas": [0.9, 0.98], "width": 128}),
]


@pytest.mark.parametrize(("options", "fields"), KINDS)
def test_other_networks_have_options_and_defaults_of_their_own(call, options, fields):
    code, printed, error = call("train", "C5", *options.split(), "--steps", "3", "--out", "run")
    assert (code, error) == (0, "")
    assert fields.items() <= tomllib.loads(Path("run/recipe.toml").read_text()).items()
    assert ("last row of the history" in printed) == ("transformer" in options)
    code, printed, error = call("measure", "run")
    assert (code, error) == (0, "")
    assert "normalized margin" in printed
