"""Products of k factors, and tasks too large to list."""

import itertools

import numpy as np
import pytest
from group_table import named
from hypothesis import given, settings
from hypothesis import strategies as st

from marginlens.groups import group
from marginlens.measures import measure
from marginlens.networks import MLP, construct, evaluate
from marginlens.runs import execute, train_at, train_narrow
from marginlens.tasks import Task, name_of_elements, task, task_over
from marginlens.theory import default_activation, predict
from marginlens.training import Recipe, train

UNLISTED = ["parity(50,3)", "parity(1000,2)", "compose(S5,4)", "compose(C9,8)"]


def product(table: np.ndarray, row) -> int:
    """a_1 a_2 ... a_k, from the right: associativity makes it the same."""
    answer = row[-1]
    for factor in row[-2::-1]:
        answer = table[factor, answer]
    return int(answer)


def disagreements(problem: Task) -> int:
    """Rows whose inputs or answer are not those of the k-fold product, by plain loops."""
    table, k = problem.group.table, problem.factors
    rows = list(itertools.product(range(len(table)), repeat=k))
    if problem.inputs.shape != (len(rows), k) or len(problem.answers) != len(rows):
        return max(len(rows), len(problem.answers))
    return sum(
        tuple(problem.inputs[i].tolist()) != row or int(problem.answers[i]) != product(table, row)
        for i, row in enumerate(rows)
    )


@pytest.mark.parametrize(
    ("spec", "k", "slots"),
    [
        ("compose(C5,1)", 1, ("u",)),
        ("compose(C5,3)", 3, ("u1", "u2", "u3")),
        ("compose(S3,3)", 3, ("u1", "u2", "u3")),
        ("compose(Q8,4)", 4, ("u1", "u2", "u3", "u4")),
        ("compose(C2,8)", 8, tuple(f"u{i}" for i in range(1, 9))),
        ("compose(<(1,2,3),(1,2)>,3)", 3, ("u1", "u2", "u3")),
        ("compose(<[[1,1],[0,1]]> mod 3,3)", 3, ("u1", "u2", "u3")),
        ("compose(SL(2,3),2)", 2, ("u", "v")),
        ("compose(S3xC2,2)", 2, ("u", "v")),
    ],
)
def test_rows_are_all_tuples_and_answers_their_products(spec, k, slots):
    problem = task(spec)
    assert (problem.kind, problem.factors, problem.slots) == ("table", k, slots)
    assert problem.size == problem.classes == problem.group.order
    assert disagreements(problem) == 0
    assert problem.is_listed
    problem.require_rows()


@pytest.mark.parametrize("name", ["S4~3", "Q8~2", "SL(2,3)~4"])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_group_whose_identity_is_not_the_first_element(name, k):
    """The product of one factor is the factor, wherever the identity lies."""
    assert disagreements(task(named(name), inputs=k)) == 0


@pytest.mark.parametrize("damage", ["answer", "input", "row"])
def test_the_comparison_notices_one_wrong_entry(damage):
    problem = task("compose(S3,3)")
    inputs, answers = problem.inputs.copy(), problem.answers.copy()
    if damage == "answer":
        answers[100] = (answers[100] + 1) % 6
    elif damage == "input":
        inputs[100, 2] = (inputs[100, 2] + 1) % 6
    else:
        inputs, answers = inputs[:-1], answers[:-1]
    wrong = Task(**{**vars(problem), "inputs": inputs, "answers": answers})
    assert disagreements(wrong) > 0


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("compose(C7,3)", "compose(C7,3)"),
        (" Compose( C7 , 3 ) ", "compose(C7,3)"),
        ("compose(C7,2)", "C7"),
        ("compose(C7,03)", "compose(C7,3)"),
        ("compose(<(1,2,3), (1,2)>, 3)", "compose(<(1,2,3),(1,2)>,3)"),
    ],
)
def test_a_name_is_a_spec_of_the_same_task(spec, name):
    problem = task(spec)
    again = task(problem.name)
    assert problem.name == again.name == name
    np.testing.assert_array_equal(problem.answers, again.answers)
    assert problem.slots == again.slots


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["C2", "C3", "C6", "S3", "D4", "Q8", "C2xC2", "<(1,2,3)>"]),
    st.integers(1, 4),
    st.sampled_from(["", " ", "  "]),
    st.sampled_from(["compose", "COMPOSE", "Compose"]),
)
def test_a_spec_is_the_group_with_its_inputs(name, k, space, word):
    read = task(f"{space}{word}({space}{name}{space},{space}{k}{space}){space}")
    made = task(name, inputs=k)
    assert (read.name, read.slots, read.classes) == (made.name, made.slots, made.classes)
    np.testing.assert_array_equal(read.inputs, made.inputs)
    np.testing.assert_array_equal(read.answers, made.answers)
    assert disagreements(read) == 0


@settings(max_examples=80, deadline=None)
@given(
    st.text("compseparity()<>,[]0123456789CSx- ", max_size=24)
    | st.builds("compose({},{})".format, st.text("CS()<>,x1 -", max_size=8), st.integers(-3, 10**6))
)
def test_whatever_is_written_is_a_task_or_one_line(words):
    problem, said = None, ""
    try:
        problem = task(words)
    except ValueError as error:
        said = str(error)
    if problem is None:
        assert said
        assert "\n" not in said
    else:
        assert task(problem.name).name == problem.name


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("compose(C7)", r"expected compose\(group,factors\), got 'compose\(C7\)'"),
        ("compose", r"expected compose\(group,factors\), got 'compose'"),
        ("compose()", r"expected compose\(group,factors\), got 'compose\(\)'"),
        ("compose(,3)", r"expected compose\(group,factors\), got 'compose\(,3\)'"),
        ("compose(C7,3", r"expected compose\(group,factors\), got 'compose\(C7,3'"),
        ("compose(C7,3.5)", r"expected compose\(group,factors\), got 'compose\(C7,3\.5\)'"),
        ("compose(C7,-1)", r"expected compose\(group,factors\), got 'compose\(C7,-1\)'"),
        ("compose(C7,٣)", r"expected compose\(group,factors\), got 'compose\(C7,٣\)'"),
        ("compose(C7,0)", "expected 1 to 16 factors, got 0"),
        ("compose(C7,17)", "expected 1 to 16 factors, got 17"),
        ("compose(C7,123456)", "expected 1 to 16 factors, got 123456"),
        ("compose(C1,3)", "expected a group of order at least 2, got the trivial group"),
        ("compose(D5x,3)", "unknown task 'D5x'; did you mean D5. expected a group"),
        ("compose(S99,3)", r"expected an order of at most 2000, got about 10\^156, which"),
        ("compose(missing.npy,3)", "no such file"),
        ("compose(compose(C5,2),3)", r"expected a group, got the task compose\(C5,2\)"),
        ("compose(parity(4,2),3)", r"expected a group, got the task parity\(4,2\)"),
    ],
)
def test_bad_compositions_are_refused_in_one_line(spec, words):
    with pytest.raises(ValueError, match=words) as caught:
        task(spec)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "stem", ["compose", "parity_of_two", "Composed(C5,3)", "x mod 7", "xy in x"]
)
def test_a_file_may_be_called_like_a_kind_of_task(tmp_path, monkeypatch, stem):
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"{stem}.csv").write_text("0,1\n1,0\n")
    name = "xy_in_x.csv" if stem == "xy in x" else f"{stem}.csv"
    assert task(f"{stem}.csv").name == task_over(name, group(f"{stem}.csv")).name == name
    assert name_of_elements(name) == name
    assert task(f"compose({stem}.csv,3)").answers.tolist() == [0, 1, 1, 0, 1, 0, 0, 1]


# --- tasks too large to list -----------------------------------------------------------------------


def test_where_listing_ends():
    assert len(task("compose(C2,16)").answers) == 2**16
    assert len(task("parity(16,3)").answers) == 2**16
    assert not task("parity(17,3)").is_listed
    assert task("compose(S4,4)").is_listed  # 331 776 rows
    assert not task("compose(A5,4)").is_listed  # 12 960 000
    assert repr(task("parity(50,3)")) == "Task(parity(50,3), rows not listed, 2 classes)"


@pytest.mark.parametrize("spec", UNLISTED)
def test_what_is_not_listed_is_predicted(spec):
    problem = task(spec)
    prediction = predict(problem)
    assert prediction.margin > 0
    assert prediction.sufficient_width >= 1
    assert sum(prediction.masses) == pytest.approx(1, abs=1e-12)
    assert len(problem.answers) == 0


def test_the_prediction_does_not_depend_on_the_rows():
    """The margin of parity does not depend on n, so the listed one tells that of the other."""
    assert predict(task("parity(50,3)")).margin == predict(task("parity(6,3)")).margin
    listed = predict(task("compose(C3,8)"))
    closed = predict(task("compose(C3,16)"))
    assert task("compose(C3,8)").is_listed
    assert not task("compose(C3,16)").is_listed
    for one in (listed, closed):
        assert one.margin == pytest.approx(one.closed_form, rel=1e-14)


WAYS = {
    "execute": lambda of: execute(of, width=4, steps=1),
    "train_at": lambda of: train_at(of, 1e-3, width=4, steps=1),
    "train_narrow": lambda of: train_narrow(of, [2], seeds=1, steps=1),
    "train": lambda of: train(of, Recipe(task=of.name, width=4, steps=1)),
    "evaluate": lambda of: evaluate(small(of), of),
    "measure": lambda of: measure(small(of), of),
    "logits": lambda of: small(of).logits(of),
    "require_rows": lambda of: of.require_rows(),
}


def small(of: Task) -> MLP:
    return MLP.initial(of, default_activation(of), width=2)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("parity(50,3)", r"2\^50 rows"),
        ("compose(S5,4)", r"120\^4 rows"),
        ("S3's", "character table"),
    ],
)
def test_what_is_not_listed_is_neither_trained_nor_measured(spec, reason, way):
    of = task(group("S3").character_table) if spec == "S3's" else task(spec)
    with pytest.raises(
        ValueError, match=f"with listed rows to train or measure.*{reason}"
    ) as caught:
        WAYS[way](of)
    assert "\n" not in str(caught.value)
    assert of.name in str(caught.value)


def test_a_network_that_can_be_made_still_cannot_be_evaluated():
    for spec in ("parity(50,3)", "compose(C9,8)"):
        of = task(spec)
        network = construct(of)
        assert network.width == predict(of).sufficient_width
        with pytest.raises(
            ValueError, match="expected a task with listed rows to train or measure, but"
        ):
            evaluate(network, of)


def test_a_network_too_large_to_make_is_refused_with_the_number():
    for spec in ("compose(S5,6)", "compose(A5,12)"):
        with pytest.raises(ValueError, match=r"got [\d.]+ GB for \d+ neurons") as caught:
            construct(task(spec))
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="multiplications, got"):
        predict(task("compose(A5,12)")).certificate.verify()
    with pytest.raises(ValueError, match="only the character table is known"):
        construct(task(group("S3").character_table))
