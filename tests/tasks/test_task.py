import numpy as np
import pytest
from group_table import named

from marginlens.groups import group
from marginlens.tasks import task


@pytest.mark.parametrize("spec", ["S4", "C12", "Q8"])
def test_group_task_is_the_cayley_table(spec):
    t = task(spec)
    n = t.group.order
    assert (t.name, t.kind, t.slots, t.size, t.classes) == (spec, "table", ("u", "v"), n, n)
    a, b = t.inputs.T
    np.testing.assert_array_equal(a * n + b, np.arange(n * n))
    np.testing.assert_array_equal(t.answers, t.group.table[a, b])
    assert sum(f.dimension for f in t.features) == n - 1
    assert [f.name for f in t.features] == [i.name for i in t.group.irrep_classes[1:]]


def test_features_split_the_energy_of_centred_weights():
    t = task("SL(2,3)")
    x = np.random.default_rng(0).normal(size=(3, 24))
    centred = x - x.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(sum(f.project(x) for f in t.features), centred, atol=1e-12)
    np.testing.assert_allclose(
        sum(f.power(x) for f in t.features), (centred**2).sum(axis=1), rtol=1e-12
    )
    assert t.features[0].power(x[0]).shape == ()
    assert {f.type for f in t.features} == {"real", "complex", "quaternionic"}


def test_frequencies_are_the_fft_s():
    t = task("C7")
    x = np.random.default_rng(0).normal(size=7)
    power = np.abs(np.fft.rfft(x)) ** 2 * 2 / 7
    assert [f.frequency for f in t.features] == [1, 2, 3]
    for feature in t.features:
        np.testing.assert_allclose(feature.power(x), power[feature.frequency], rtol=1e-12)


def test_a_group_or_its_file_is_a_task(tmp_path):
    renumbered = named("Q8~2")
    assert task(renumbered).group is renumbered
    assert task(renumbered).name == "Q8~2"
    np.savetxt(tmp_path / "mine.csv", renumbered.table, fmt="%d", delimiter=",")
    t = task(str(tmp_path / "mine.csv"))
    assert t.name == "mine.csv"
    np.testing.assert_array_equal(t.answers, renumbered.table.ravel())


@pytest.mark.parametrize(("bits", "subset"), [(1, 1), (4, 2), (6, 3), (10, 4), (5, 5)])
def test_parity_multiplies_the_first_signs(bits, subset):
    t = task(f"parity({bits},{subset})")
    assert (t.kind, t.slots, t.size, t.classes) == ("parity", ("u",), bits, 2)
    assert t.inputs.shape == (2**bits, bits)
    assert len(np.unique(t.inputs, axis=0)) == 2**bits
    assert t.subset == tuple(range(subset))
    np.testing.assert_array_equal(1 - 2 * t.answers, t.inputs[:, :subset].prod(1))


def test_parity_features_are_the_coordinates():
    t = task(" parity( 4 , 2 ) ")
    assert t.name == "parity(4,2)"
    x = np.random.default_rng(0).normal(size=(2, 4))
    for j, feature in enumerate(t.features):
        assert (feature.name, feature.type, feature.coordinate) == (f"x{j + 1}", "coordinate", j)
        assert (feature.dimension, feature.frequency, feature.irrep) == (1, None, None)
        np.testing.assert_array_equal(feature.power(x), x[:, j] ** 2)
        np.testing.assert_array_equal(feature.project(x)[:, j], x[:, j])


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("parity(4,10)", r"parity\(4,10\): the subset has 10 of only 4 bits; write parity\(10,4\)"),
        ("parity(4,9999)", r"9999 of only 4 bits; write e.g. parity\(10,4\)"),
        ("parity(4,0)", "at least 1 bit"),
        ("parity(0,0)", "expected 1 to 1000 bits, got 0"),
        ("parity(4000,2)", "expected 1 to 1000 bits, got 4000"),
        ("parity(4)", r"expected parity\(bits,subset\), got 'parity\(4\)'"),
        ("parity(4,-1)", r"expected parity\(bits,subset\), got 'parity\(4,-1\)'"),
        ("C1", "expected a group of order at least 2, got the trivial group"),
        ("D5x", "expected a group, a table file, an operation, random"),
        ("S99", r"expected an order of at most 2000, got about 10\^156, which"),
        ("missing.npy", "no such file"),
    ],
)
def test_bad_tasks_are_refused_in_one_line(spec, words):
    with pytest.raises(ValueError, match=words) as caught:
        task(spec)
    assert "\n" not in str(caught.value)


def test_the_trivial_group_is_no_task():
    with pytest.raises(
        ValueError, match="expected a group of order at least 2, got the trivial group"
    ):
        task(group([[0]], name="one"))
