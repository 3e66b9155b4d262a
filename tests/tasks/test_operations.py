"""Binary operations against plain Python: inverses by search, permutations composed one by one."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marginlens.groups import group
from marginlens.tasks import POWER_OPERATIONS, name_of_elements, operation, task, task_over
from marginlens.tasks.operations import split_operation
from marginlens.tasks.polynomials import read_formula


def quotient(a, b, n):
    """The one c with b c = a for which b has an inverse, by search; None where it has none."""
    inverses = [c for c in range(n) if b * c % n == 1]
    return a * inverses[0] % n if inverses else None


MODULAR = {
    "x+y": lambda x, y, n: (x + y) % n,
    "x-y": lambda x, y, n: (x - y) % n,
    "xy": lambda x, y, n: x * y % n,
    "x/y": quotient,
    "x/y if y odd else x-y": lambda x, y, n: quotient(x, y, n) if y % 2 else (x - y) % n,
    "x^2+y": lambda x, y, n: (x * x + y) % n,
    "x^2+y^2": lambda x, y, n: (x * x + y * y) % n,
    "x^2+xy+y^2": lambda x, y, n: (x * x + x * y + y * y) % n,
    "x^2+xy+y^2+x": lambda x, y, n: (x * x + x * y + y * y + x) % n,
    "x^3+xy": lambda x, y, n: (x**3 + x * y) % n,
    "x^3+xy^2+y": lambda x, y, n: (x**3 + x * y * y + y) % n,
}


def rows_of(oracle, n):
    """Rows and answers where the operation is defined."""
    pairs = itertools.product(range(n), repeat=2)
    known = [(x, y, oracle(x, y, n)) for x, y in pairs]
    return [[x, y] for x, y, z in known if z is not None], [z for *_, z in known if z is not None]


@pytest.mark.parametrize("n", [7, 12])
@pytest.mark.parametrize("formula", MODULAR)
def test_an_operation_modulo_n_is_its_table(formula, n):
    t = task(f"{formula} mod {n}")
    rows, answers = rows_of(MODULAR[formula], n)
    assert t.inputs.tolist() == rows
    assert t.answers.tolist() == answers
    assert (t.name, t.size, t.classes, t.slots) == (f"{formula} mod {n}", n, n, ("u", "v"))
    assert t.is_whole == (len(rows) == n * n)
    assert [f.frequency for f in t.features] == list(range(1, n // 2 + 1))


def test_division_leaves_out_zero_and_what_has_no_inverse():
    assert len(task("x/y mod 97").answers) == 97 * 96
    assert task("x/y if y odd else x-y mod 97").is_whole
    assert sorted(set(task("x/y mod 12").inputs[:, 1].tolist())) == [1, 5, 7, 11]


S3, S5 = (list(itertools.permutations(range(n))) for n in (3, 5))


def composed(*permutations):
    """The last one first: (pq)(i) = p(q(i))."""
    product = tuple(range(len(permutations[0])))
    for p in permutations[::-1]:
        product = tuple(p[i] for i in product)
    return product


def inverse(p):
    return tuple(p.index(i) for i in range(len(p)))


WORDS = {
    "xy": composed,
    "xyx^-1": lambda x, y: composed(x, y, inverse(x)),
    "xyx": lambda x, y: composed(x, y, x),
    "x^2y^-3": lambda x, y: composed(x, x, inverse(y), inverse(y), inverse(y)),
    "y^0x": lambda x, y: x,
}


@pytest.mark.parametrize(("spec", "permutations"), [("S3", S3), ("S5", S5)])
@pytest.mark.parametrize("word", WORDS)
def test_a_word_is_a_product_of_permutations(word, spec, permutations):
    t = task(f"{word} in {spec}")
    n = len(permutations)
    assert t.is_whole
    assert [f.name for f in t.features] == [f.name for f in task(spec).features]
    chosen = range(n * n) if n == 6 else np.random.default_rng(0).integers(n * n, size=500)
    for row in chosen:
        x, y = (permutations[i] for i in t.inputs[row])
        assert permutations[t.answers[row]] == WORDS[word](x, y)


def test_the_group_s_own_product_is_the_group_s_task():
    for spec, known in (("y+x mod 11", "C11"), ("x y in S4", "S4"), ("yx in C6", "C6")):
        t, plain = task(spec), task(known)
        assert t.group is not None
        assert t.group.name == known
        np.testing.assert_array_equal(t.answers, plain.answers)
    for spec in ("x-y mod 11", "yx in S4", "xy mod 2", "x/y mod 5"):
        assert task(spec).group is None
        assert task(spec).characters is None
    assert task("x-y mod 2").group is not None  # -1 is 1


def test_the_paper_s_operations_are_read_and_keep_their_names():
    assert len(POWER_OPERATIONS) == len(set(POWER_OPERATIONS)) == 14
    assert [spec.removesuffix(" mod 97") for spec in POWER_OPERATIONS[:11]] == sorted(
        MODULAR, key=[spec.removesuffix(" mod 97") for spec in POWER_OPERATIONS].index
    )
    for spec in POWER_OPERATIONS:
        assert task(spec).name == spec


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("  x ^ 2 + 2 x y (mod 11) ", "x^2+2xy mod 11"),
        ("x**2 * y mod 5", "x^2*y mod 5"),
        ("x / y if y is even else x - y mod 5", "x/y if y even else x-y mod 5"),
        ("x * y x ^ -1 in <(1,2,3), (1,2)>", "xyx^-1 in <(1,2,3),(1,2)>"),
        ("xyx in <[[1,1],[0,1]]> mod 3", "xyx in <[[1,1],[0,1]]> mod 3"),
        ("random( 5 , 3 )", "random(5,3)"),
        ("Addition( 3 ,2)", "addition(3,2)"),
    ],
)
def test_a_task_s_name_gives_the_same_task(spec, name):
    t = task(spec)
    assert t.name == name
    again = task(t.name)
    np.testing.assert_array_equal(again.inputs, t.inputs)
    np.testing.assert_array_equal(again.answers, t.answers)


def test_groups_of_matrices_are_no_operations():
    assert split_operation("<[[1,1],[0,1]],[[0,1],[1,0]]> mod 5") is None
    assert split_operation("tables/made in may.csv") is None
    assert split_operation("xyx in tables/made.csv") == ("xyx", "in", "tables/made.csv")


def test_a_word_over_a_table_s_file(tmp_path):
    renumbered = group("S3").table[::-1][:, ::-1]
    mine = group(5 - renumbered, name="mine")
    np.save(tmp_path / "mine.npy", mine.table)
    t = task(f"xyx^-1 in {tmp_path / 'mine.npy'}")
    assert t.name == "xyx^-1 in mine.npy"
    assert name_of_elements(t.name) == "mine.npy"
    x, y = t.inputs.T
    np.testing.assert_array_equal(t.answers, mine.table[mine.table[x, y], mine.inverses[x]])
    mine = group(tmp_path / "mine.npy")
    for name in (t.name, "mine.npy", "compose(mine.npy,3)"):
        assert task_over(name, mine).name == name
    np.testing.assert_array_equal(task_over(t.name, mine).answers, t.answers)
    np.testing.assert_array_equal(task_over("x/y mod 5", mine).answers, task("x/y mod 5").answers)


# Formulas as trees of Python's own: a text for Python, and one as people write it.
LEAVES = st.one_of(
    st.sampled_from([("x", "x"), ("y", "y")]), st.integers(0, 300).map(lambda n: (str(n), str(n)))
)


def combined(children):
    pairs = st.tuples(children, st.sampled_from("+-*"), children)
    powers = st.tuples(children, st.integers(0, 3))
    return st.one_of(
        pairs.map(lambda t: (f"({t[0][0]}){t[1]}({t[2][0]})", f"({t[0][1]}){t[1]}({t[2][1]})")),
        st.tuples(children, children).map(
            lambda t: (f"({t[0][0]})*({t[1][0]})", f"({t[0][1]})({t[1][1]})")
        ),
        powers.map(lambda t: (f"({t[0][0]})**{t[1]}", f"({t[0][1]})^{t[1]}")),
        children.map(lambda t: (f"-({t[0]})", f"-({t[1]})")),
    )


@settings(max_examples=80, deadline=None)
@given(st.recursive(LEAVES, combined, max_leaves=6), st.integers(2, 200), st.data())
def test_polynomials_are_python_s_own_arithmetic(texts, n, data):
    for_python, for_people = (f"{text}+0*x" for text in texts)
    if len(for_people) > 200:
        return
    xs, ys = (data.draw(st.lists(st.integers(0, n - 1), min_size=5, max_size=5)) for _ in range(2))
    values, defined = read_formula(for_people)(np.array(xs), np.array(ys), n)
    wanted = [eval(for_python, {"x": x, "y": y}) % n for x, y in zip(xs, ys, strict=True)]
    assert values.tolist() == wanted
    assert defined.all()


MONOMIALS = st.tuples(st.integers(0, 99), st.integers(0, 5), st.integers(0, 5))


@settings(max_examples=50, deadline=None)
@given(st.lists(MONOMIALS, min_size=1, max_size=4), st.sampled_from([2, 9, 97]))
def test_products_need_no_sign(terms, n):
    """3x^2y^1 is 3 * x^2 * y^1."""
    text = "+".join(f"{c}x^{i}y^{j}" for c, i, j in terms)
    x, y = np.arange(5) % n, np.array([3, 0, 1, 4, 2]) % n
    values, _ = read_formula(text)(x, y, n)
    for row in range(5):
        a, b = int(x[row]), int(y[row])
        assert values[row] == sum(c * a**i * b**j for c, i, j in terms) % n


def test_products_and_quotients_go_from_left_to_right():
    values, defined = read_formula("x/2y")(np.array([3]), np.array([4]), 7)
    assert values.tolist() == [quotient(3, 2, 7) * 4 % 7]
    assert defined.all()
    _, defined = read_formula("1/(x-y)")(np.array([1, 2]), np.array([2, 2]), 7)
    assert defined.tolist() == [True, False]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("x/ y mod 1", "at least 2 elements"),
        ("x mod 0", "at least 2 elements"),
        ("x mod 2001", "2001^2 rows"),
        ("x mod -5", "expected a modulus of at least 2, got '-5'"),
        ("x/y mod", "expected a modulus of at least 2, got ''"),
        ("__import__('os') mod 7", "expected whole numbers, x, y, + - * / ^ and brackets, got"),
        ("x.real mod 7", "expected whole numbers, x, y, + - * / ^ and brackets, got"),
        ("[x for y in x] mod 7", "unknown group"),
        ("x^999999999 mod 97", "expected powers of at most 1000; modulo a prime p, x^p is x"),
        ("x^-1 mod 97", "1/x"),
        ("x^y mod 97", "expected a power that is a whole number, such as x^2 (and"),
        ("", "unknown task ''"),
        ("mod 97", "expected a formula in x and y, got ''"),
        ("3 mod 97", "expected a formula in x and y, got '3'"),
        ("xz mod 97", "expected whole numbers, x, y, + - * / ^ and brackets, got"),
        ("x2 mod 97", "expected a polynomial in x and y, got 'x2'"),
        ("x+ mod 97", "expected a polynomial in x and y, got 'x+'"),
        ("x() mod 97", "expected a polynomial in x and y, got 'x()'"),
        ("((x mod 97", "expected a polynomial in x and y, got '((x'"),
        ("x+" * 150 + "x mod 97", "at most 200"),
        ("x/0 mod 97", "undefined everywhere"),
        ("x/y if y odd mod 97", "expected whole numbers, x, y, + - * / ^ and brackets, got"),
        ("xz in S5", "expected x, y and their whole powers, got 'z'"),
        ("x^y in S5", "expected x, y and their whole powers, got '^'"),
        ("x^1001 in S5", "expected powers from -1000 to 1000"),
        ("in S5", "expected a word in x and y, got an empty text"),
        ("xy in Zoo", "unknown group 'Zoo'"),
        ("xy in C1", "at least 2 elements"),
        ("xy in M11", "character table alone"),
        ("random(1,0)", "expected 2 to 2000 elements, got 1"),
        ("random(5)", "expected random(n,seed), got 'random(5)'"),
        ("compose(x/y mod 7,3)", "expected a group, got the task x/y mod 7"),
        ("compose(random(7,0),3)", "expected a group, got the task random(7,0)"),
    ],
)
def test_bad_operations_are_refused_in_one_line(spec, words):
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        task(spec)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_an_unknown_task_names_all_kinds():
    with pytest.raises(ValueError, match="expected a group, a table file, an operation, random"):
        task("D5x")


def test_a_random_table_has_independent_uniform_answers():
    t = task("random(97,3)")
    assert t.is_whole
    assert t.features == ()
    assert t.group is None
    np.testing.assert_array_equal(t.answers, task("random(97,3)").answers)
    assert (t.answers != task("random(97,4)").answers).mean() > 0.9
    counts = np.bincount(t.answers, minlength=97)
    assert ((counts - 97) ** 2 / 97).sum() < 160  # chi^2 of 96 degrees: above 1 time in 20,000
    table = t.answers.reshape(97, 97)
    assert abs(np.corrcoef(table[:-1].ravel(), table[1:].ravel())[0, 1]) < 0.05


def test_whole_is_all_rows_in_order():
    t = operation("x+y", 5)
    assert t.is_product
    assert task("S3").is_whole
    assert task("compose(C3,3)").is_whole
    assert not task("parity(4,2)").is_whole
    assert not task("compose(C71,16)").is_whole  # not listed
    plain = task("S3")
    order = np.random.default_rng(0).permutation(36)
    shuffled = type(plain)(
        **{**vars(plain), "inputs": plain.inputs[order], "answers": plain.answers[order]}
    )
    assert not shuffled.is_whole
