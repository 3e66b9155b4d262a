"""Help pages: readable at 80 columns, literal, with every default and with examples that are true."""

import re

import pytest
from cli_commands import COMMANDS, GROUPS, PAGES, parse

from marginlens.cli.app import ORDER
from marginlens.cli.suggestions import SPELLINGS, suggestion
from marginlens.training import Recipe

TOP = ("predict", "run", "train", "measure", "verify", "report", "reproduce", "explore")
IMAGES = (
    "predict",
    "figure draw",
    "figure animate",
    "theory widths",
    "theory path",
    "analyze lottery",
)
QUESTION = re.compile(r"\b(what|how|why|who|whose|whether)\b", re.IGNORECASE)
OPENING = re.compile(r"(what|how|which|when|where|who|whether|why)\b", re.IGNORECASE)
VERBS = {
    "Analyze",
    "Animate",
    "Check",
    "Compare",
    "Compute",
    "Draw",
    "Estimate",
    "Explore",
    "Find",
    "List",
    "Measure",
    "Open",
    "Predict",
    "Print",
    "Prove",
    "Query",
    "Recompute",
    "Reproduce",
    "Run",
    "Tabulate",
    "Train",
    "Write",
}


@pytest.mark.parametrize("name", PAGES)
def test_every_help_page_fits_80_columns_and_keeps_its_brackets(call, monkeypatch, name):
    monkeypatch.setenv("COLUMNS", "80")
    code, printed, error = call(*name.split(), "--help")
    assert (code, error) == (0, "")
    assert max(map(len, printed.splitlines())) <= 80
    assert "\\[" not in printed
    assert "…" not in printed  # nothing is cut
    if name in IMAGES:
        assert "'marginlens[images]'" in printed
    if name == "explore":
        assert "'marginlens[explorer]'" in printed
    if name == "sweep run":
        assert "[recipe]" in printed
        assert "[grid]" in printed


TRAINING = {option.name for option in COMMANDS["train"].params}


@pytest.mark.parametrize("name", PAGES)
def test_every_help_page_is_in_plain_words(name):
    page = PAGES[name]
    assert page.help.split()[0] in VERBS
    assert page.help.count(". ") == 0, "one sentence"
    assert page.help.endswith(".")
    for parameter in page.params:
        if parameter.name in TRAINING:
            continue
        text = parameter.help
        assert len(text.split()) > 3, (parameter.opts, text)
        assert not QUESTION.search(text), (parameter.opts, text)
        assert not OPENING.match(text), (parameter.opts, text)
        assert text[0].isupper() or not text[0].isalpha(), (parameter.opts, text)


@pytest.mark.parametrize("name", PAGES)
def test_every_help_page_has_two_examples_that_parse(name):
    examples = re.findall(r"^  (marginlens (?:.*\\\n)*.*)", PAGES[name].epilog, re.MULTILINE)
    examples += re.findall(r"torchrun .* -m (marginlens .*)", PAGES[name].epilog)
    parsed = [parse(example) for example in examples]
    own = [one for one in parsed if one == name or one.startswith(f"{name} ") or not name]
    assert len(own) >= 2, name


def test_commands_are_listed_in_the_order_of_their_use(call):
    printed = call("--help")[1]
    listed = re.findall(r"^│ (\w+) {2}", printed, re.MULTILINE)
    groups = ["theory", "analyze", "sweep", "figure", "atlas"]
    assert listed == [*TOP, *groups]
    assert [name for name in GROUPS if name] == sorted(groups[:-1], key=list(GROUPS).index)
    assert set(ORDER) == {word for name in PAGES for word in name.split()}
    assert "Exit codes" in printed


def test_every_option_says_its_default():
    for name, command in COMMANDS.items():
        for option in command.params:
            if option.required or not option.opts[-1].startswith("--"):
                continue
            if option.is_flag and not option.secondary_opts:
                continue  # off
            shown = option.show_default if isinstance(option.show_default, str) else option.default
            assert shown is not None, (name, option.opts)


NAMES = {
    "loss": "loss_function",
    "penalty_name": "penalty",
    "beta1": "betas",
    "beta2": "betas",
    "compile": "compile",
}


def test_defaults_that_help_states_are_those_of_the_recipe():
    checked = 0
    for option in COMMANDS["train"].params:
        field = Recipe.model_fields.get(NAMES.get(str(option.name), str(option.name)))
        if field is None or not isinstance(option.show_default, str) or field.default is None:
            continue
        default = field.default
        if option.name in ("beta1", "beta2"):
            default = default[int(option.name[-1]) - 1]
        by_task = ("width", "strength", "learning_rate", "steps", "activation")
        if option.name in (*by_task, "optimizer", "exchange_every"):
            continue
        said = re.split(r"[:;,]", option.show_default)[0]
        number = isinstance(default, int | float) and not isinstance(default, bool)
        assert said == default or (number and float(said) == default), option.name
        checked += 1
    assert checked > 20


UNKNOWN = [
    ("train", "--lr", "--learning-rate"),
    ("run", "--wd", "--weight-decay"),
    ("train", "--epochs", "--steps"),
    ("train", "--hidden_size", "--width"),
    ("train", "--d-mlp", "--hidden"),
    ("train", "--d-model", "--width"),
    ("train", "--batch-size", "--batch"),
    ("train", "--n-layers", "--layers"),
    ("train", "--num_layers", "--layers"),
    ("train", "--weight_decay", "--weight-decay"),
    ("run", "--output", "--out"),
    ("run", "--output-dir", "--out"),
    ("train", "--gpu", "--device"),
    ("train", "--lambda", "--strength"),
    ("train", "--reg", "--strength"),
    ("run", "-o", "--out"),
    ("train", "--iterations", "--steps"),
    ("train", "--n-heads", "--heads"),
    ("train", "--LR", "--learning-rate"),
    ("train", "--learning-rte", "--learning-rate"),
    ("train", "--lr=0.1", "--learning-rate"),
    ("train", "--optimiser", "--optimizer"),
    ("train", "--frac-train", "--train-fraction"),
    ("sweep run", "--n-jobs", "--workers"),
    ("atlas", "--output", "--out"),
    ("theory widths", "--n-seeds", "--seeds"),
    ("predict", "--lambda", "--strength"),
    ("figure draw", "-o", "--out"),
    ("measure", "--format", "--as"),
]


@pytest.mark.parametrize(("verb", "written", "ours"), UNKNOWN, ids=[" ".join(u) for u in UNKNOWN])
def test_well_known_spellings_suggest_ours(call, verb, written, ours):
    code, printed, error = call(*verb.split(), "C5", written, "1")
    assert (code, printed) == (2, "")
    unknown = written.partition("=")[0]
    assert error == (
        f"marginlens: no such option {unknown}; did you mean {ours}? See marginlens {verb} --help\n"
    )


def test_an_option_that_resembles_none_suggests_none(call):
    code, _, error = call("predict", "C5", "--qqqq", "1")
    assert (code, error) == (
        2,
        "marginlens: no such option --qqqq; see marginlens predict --help\n",
    )


WRONG = [
    (
        "train C5 --steps 1e3",
        "--steps expected a whole number, got '1e3'; for example --steps 1000",
    ),
    (
        "predict C5 --strength abc",
        "--strength expected a number, got 'abc'; for example --strength 0.001",
    ),
    ("explore --port 99999", "--port expected a number less than or equal to 65535, got '99999'"),
    (
        "theory interference C7",
        "N expected a whole number, got 'C7'; for example marginlens theory interference 59",
    ),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG, ids=[w[0] for w in WRONG])
def test_a_value_of_a_wrong_type_or_range_is_named_with_what_was_expected(call, arguments, words):
    verb = " ".join(word for word in arguments.split()[:2] if word.islower() and "-" not in word)
    assert call(*arguments.split()) == (
        2,
        "",
        f"marginlens: {words}; see marginlens {verb} --help\n",
    )


def test_help_is_found_however_it_is_asked_for(call):
    for arguments in ((), ("predict",)):
        code, printed, _ = call(*arguments, "-h")
        assert code == 0
        assert printed == call(*arguments, "--help")[1]
    assert call("help")[2].endswith("did you mean marginlens --help?\n")
    assert call("version")[2].endswith("did you mean marginlens --version?\n")


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        (("figure", "draw", "neuron", "C5"), "did you mean neurons"),
        (("figure", "draw", "qqq", "C5"), "got 'qqq'; marginlens figure list shows all"),
        (("reproduce", "nand"), "did you mean nanda?"),
        (("reproduce", "qqq"), "expected an experiment of marginlens reproduce --help, got 'qqq';"),
    ],
)
def test_an_unknown_name_gets_the_nearest_and_never_the_whole_list(call, arguments, near):
    code, _, error = call(*arguments)
    assert code == 2
    assert near in error
    assert error.count(",") + error.count(" or ") <= 8


def test_every_suggestion_is_an_option_of_some_verb():
    known = {
        name for c in COMMANDS.values() for p in c.params for name in (*p.opts, *p.secondary_opts)
    }
    assert set(SPELLINGS) <= known | {"--version", "--help"}
    assert suggestion("--lr", ["--width"]) is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "C5", "-lr", "1"), "no such option -lr; did you mean --learning-rate? See"),
        (("train", "C5", "-bs=3"), "no such option -bs; did you mean --batch? See"),
        (
            ("explor",),
            "no such command 'explor'; did you mean 'explore', 'report'? See marginlens --help",
        ),
        (
            ("train", "C5", "--steps", "1e3"),
            "--steps expected a whole number, got '1e3'; for example",
        ),
        (
            ("train", "C5", "--strength=small"),
            "--strength expected a number, got 'small'; for example",
        ),
        (("theory", "degrees", "x"), "see marginlens theory degrees --help"),
        (
            ("predict",),
            "expected TASK; for example marginlens predict C71; see marginlens predict --help",
        ),
    ],
    ids=str,
)
def test_wrong_arguments_are_said_in_one_line(call, arguments, words):
    code, printed, error = call(*arguments)
    assert (code, printed) == (2, "")
    assert error.startswith("marginlens: ")
    assert error.count("\n") == 1
    assert words in error


def test_a_verb_in_capitals_is_understood_and_none_gives_help(call):
    assert call("Predict", "C5")[0] == 0
    code, printed, error = call()
    assert (code, error) == (2, "")
    assert "Usage: marginlens" in printed
