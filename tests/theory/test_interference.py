"""Averaged cosines against the FFT, and leads against brute force."""

import itertools

import numpy as np
import pytest

from marginlens.theory import averaged_cosine, interference


@pytest.mark.parametrize("frequencies", [[1], [2, 7], list(range(1, 12))])
def test_averaged_cosines_are_an_inverse_fourier_transform(frequencies):
    spectrum = np.zeros(12)
    spectrum[frequencies] = 23 / 2 / len(frequencies)
    np.testing.assert_allclose(
        averaged_cosine(23, frequencies), np.fft.irfft(spectrum, 23), atol=1e-12
    )


def test_leads_are_those_of_all_sets():
    found = interference(11)
    assert found.sizes.tolist() == [1, 2, 3, 4, 5]
    assert all(found.exhaustive)
    for i, size in enumerate(found.sizes.tolist()):
        leads = [
            1 - averaged_cosine(11, chosen)[1:].max()
            for chosen in itertools.combinations(range(1, 6), size)
        ]
        assert found.best[i] == pytest.approx(max(leads), rel=1e-12)
        assert found.worst[i] == pytest.approx(min(leads), rel=1e-12)
        assert found.median[i] == pytest.approx(float(np.median(leads)), rel=1e-12)
        assert 1 - averaged_cosine(11, found.best_sets[i])[1:].max() == pytest.approx(
            found.best[i], rel=1e-12
        )


def test_one_and_all_frequencies():
    found = interference(59, [1, 29], sets=10)
    assert found.best[0] == pytest.approx(1 - np.cos(2 * np.pi / 59), rel=1e-12)
    assert found.best[1] == found.worst[1] == pytest.approx(59 / 58, rel=1e-12)


@pytest.mark.parametrize("order", [0, 1, 2, 10])
def test_even_or_small_orders_are_refused(order):
    with pytest.raises(ValueError, match="expected an odd number of at least 3"):
        interference(order)


@pytest.mark.parametrize("sizes", [[0], [6], []])
def test_sizes_are_checked(sizes):
    with pytest.raises(ValueError, match="sizes: expected 1 to 5"):
        interference(11, sizes)
