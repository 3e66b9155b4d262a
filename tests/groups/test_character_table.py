"""Character tables as nouns of their own."""

import dataclasses

import numpy as np
import pytest
from group_table import named

from marginlens.groups import CharacterTable, irreps
from marginlens.tasks import task
from marginlens.theory import Penalty, predict

GROUPS = ["C12", "S4", "Q8", "SL(2,3)", "A5", "Q8xC3~5"]


@pytest.mark.parametrize("name", GROUPS)
def test_the_characters_alone_give_the_same_prediction(name):
    penalty = Penalty("homogeneous", 1e-4)
    whole = predict(task(named(name)), penalty=penalty)
    alone = predict(task(named(name).character_table), penalty=penalty)
    assert alone.margin == whole.margin
    assert alone.features == whole.features
    assert alone.at_penalty == whole.at_penalty
    assert alone.sufficient_width == whole.sufficient_width
    assert alone.theorem9_applies == whole.theorem9_applies


def test_without_a_cayley_table_there_are_no_matrices_and_no_training():
    table = named("S4").character_table
    problem = task(table)
    assert not problem.is_listed
    irrep = problem.features[0].irrep
    for ask in (lambda: irrep.unitary, lambda: irrep.isotypic_basis, lambda: irrep.orthogonal):
        with pytest.raises(ValueError, match="known by its character table alone"):
            ask()
    with pytest.raises(ValueError, match="can be predicted but not trained"):
        problem.require_rows()
    with pytest.raises(ValueError, match="character table alone: its certificate"):
        predict(problem).certificate.verify()


def changed(table: CharacterTable, **fields: object) -> CharacterTable:
    return dataclasses.replace(table, **fields)


@pytest.mark.parametrize("name", ["S4", "Q8", "C12"])
def test_corrupted_tables_are_refused_with_the_residual(name):
    table = named(name).character_table
    values = table.characters.copy()
    values[-1, -1] += 0.3
    with pytest.raises(ArithmeticError, match=r"not orthonormal \(residual [0-9.e+-]+, allowed"):
        changed(table, characters=values)
    values = table.characters.copy()
    values[-1, 0] += 1
    with pytest.raises(ArithmeticError, match="squares of the degrees miss the order"):
        changed(table, characters=values)
    with pytest.raises(ArithmeticError, match="class sizes add up to"):
        changed(table, order=table.order + 1)
    with pytest.raises(ArithmeticError, match="row 0 is not the trivial"):
        changed(table, characters=table.characters[::-1].copy())


def test_wrong_squares_are_noticed():
    table = named("S4").character_table
    with pytest.raises(ArithmeticError, match="indicators miss integers"):
        _ = changed(table, square_class=np.roll(table.square_class, 1)).frobenius_schur


@pytest.mark.parametrize("name", ["S4", "SL(2,3)", "A5"])
def test_each_law_of_an_irrep_is_checked(name):
    irrep = named(name).irrep_classes[-1]
    rho, values = irrep.unitary, irrep._values
    translations = irrep._translations
    fresh = np.random.default_rng

    def error(matrices: np.ndarray, character: np.ndarray = values) -> float:
        return irreps.irrep_error(translations, matrices, character, fresh(0))

    assert error(rho) < 1e-12
    order = np.random.default_rng(1).permutation(len(rho))
    assert error(rho[order]) > 0.1  # no homomorphism
    assert error(rho * 1.001) > 1e-4  # not unitary
    assert error(rho, values + 0.01) > 1e-3  # another trace
    reducible = np.broadcast_to(np.eye(rho.shape[1]), rho.shape).astype(complex)
    trivial = np.full(len(rho), rho.shape[1], dtype=complex)
    # unitary, multiplicative and of its own trace: only Schur's relations tell
    assert error(reducible, trivial) > 0.01
