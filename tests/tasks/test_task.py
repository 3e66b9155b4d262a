import numpy as np
import pytest

from marginlens.tasks import task


def test_group_task_is_the_cayley_table():
    t = task("S4")
    assert t.inputs.shape == (576, 2)
    a, b = t.inputs.T
    np.testing.assert_array_equal(t.answers, t.group.table[a, b])
    assert sum(f.dimension for f in t.features) == 23


def test_parity_multiplies_the_first_signs():
    t = task("parity(6,3)")
    assert t.inputs.shape == (64, 6)
    assert len(np.unique(t.inputs, axis=0)) == 64
    np.testing.assert_array_equal(1 - 2 * t.answers, t.inputs[:, :3].prod(1))


@pytest.mark.parametrize("spec", ["parity(4,10)", "parity(4)", "parity(40,2)", "C1", "D5x"])
def test_bad_tasks_are_refused(spec):
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        task(spec)
