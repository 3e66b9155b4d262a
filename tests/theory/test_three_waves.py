"""The closed form of the time to grow, against an integrator of the three waves."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from marginlens.theory import growth_time


def integrated(waves):
    """Time until one of the three is 10^5, and what is left from there: 1 / m of m aligned ones."""

    def slope(time, y):
        u, v, w = y
        return np.array([np.conj(v) * w, np.conj(u) * w, u * v])

    def large(time, y):
        return abs(y).max() - 1e5

    large.terminal = True
    path = solve_ivp(slope, [0, 1e4], waves, events=large, rtol=1e-11, atol=1e-13, method="DOP853")
    return path.t[-1] + 1 / abs(path.y[:, -1]).max()


def closed(waves):
    waves = np.atleast_2d(waves)
    misalignment = np.angle(waves[..., 0] * waves[..., 1] * waves[..., 2].conj())
    return growth_time(*(np.abs(waves[..., slot]) for slot in range(3)), misalignment)


@pytest.mark.parametrize("seed", range(6))
def test_the_time_is_that_of_an_integrator(seed):
    rng = np.random.default_rng(seed)
    waves = (rng.normal(size=3) + 1j * rng.normal(size=3)) * rng.choice([0.1, 1, 3], size=3)
    assert closed(waves) == pytest.approx(integrated(waves), rel=1e-9)


@pytest.mark.parametrize("misalignment", [1.7, 2.5, 3.1])
def test_a_badly_aligned_frequency_first_shrinks(misalignment):
    waves = np.array([0.7, 1.1, 0.9 * np.exp(-1j * misalignment)])
    assert closed(waves) == pytest.approx(integrated(waves), rel=1e-9)
    assert closed(waves) > closed(np.abs(waves) + 0j)


def test_order_scale_and_phase_as_the_equations_have_them():
    rng = np.random.default_rng(0)
    waves = rng.normal(size=(50, 3)) + 1j * rng.normal(size=(50, 3))
    time = closed(waves)
    np.testing.assert_allclose(closed(0.01 * waves), 100 * time, rtol=1e-10)
    a, b, c = np.abs(waves).T
    angle = np.angle(waves[:, 0] * waves[:, 1] * waves[:, 2].conj())
    np.testing.assert_allclose(growth_time(c, a, b, -angle), time, rtol=1e-8)


def test_what_is_not_there_does_not_grow():
    zero, one = np.zeros(1), np.ones(1)
    assert growth_time(one, zero, zero, 2 * one) == np.inf
    assert growth_time(zero, zero, zero, zero) == np.inf
    assert growth_time(one, one, zero, 3 * one) == pytest.approx(np.pi / 2)  # w = tan t
    tiny = np.full(1, 1e-200)
    assert growth_time(tiny, tiny, tiny, zero) == pytest.approx(1e200)


def test_negative_magnitudes_are_refused():
    one = np.ones(2)
    with pytest.raises(ValueError, match="below 0"):
        growth_time(one, -one, one, one)
