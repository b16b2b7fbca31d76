"""Tomograms against the truth: what is missing where, told from volumes whose errors are put in by hand."""

import numpy as np
import pytest

from semrt.errors import InvalidOption, InvalidShape
from semrt.metrics import fourier_ring_correlation, object_rmse, sector_errors

RANGE = (-60.0, 60.0)


def plane_wave(kz, kx, n=32, ny=2):
    z, _, x = np.indices((n, ny, n))
    return np.cos(2 * np.pi * (kz * z + kx * x) / n)


def test_an_error_counts_in_the_sector_where_it_lies():
    # Along kx all tilts near 0 measure; along kz, the beam, none up to 60 degrees does.
    seen, unseen = plane_wave(0, 4), plane_wave(4, 0)
    truth = seen + unseen
    wedge, measured = sector_errors(truth + 0.5 * seen, truth, RANGE)
    assert (wedge, measured) == pytest.approx((0, 0.5), abs=1e-9)
    wedge, measured = sector_errors(truth - unseen, truth, RANGE)
    assert (wedge, measured) == pytest.approx((1, 0), abs=1e-9)


def test_which_side_of_the_wedge_is_measured_follows_the_tilts():
    leaning = plane_wave(4, 4)  # along 45 degrees, beyond tilts of -70 to 30
    truth = leaning + plane_wave(0, 4) + plane_wave(4, 0)
    wedge, measured = sector_errors(truth + leaning, truth, (-70, 30))
    assert measured == pytest.approx(0, abs=1e-9)
    assert wedge == pytest.approx(np.sqrt(1 / 2), abs=1e-9)  # of two waves that it holds
    wedge, measured = sector_errors(truth + leaning, truth, (-30, 70))
    assert wedge == pytest.approx(0, abs=1e-9)


def test_finer_errors_than_asked_for_do_not_count():
    truth, fine = plane_wave(0, 4) + plane_wave(4, 0), plane_wave(0, 10)  # 10 / 32 is above a quarter
    assert sector_errors(truth + fine, truth, RANGE).measured == pytest.approx(0, abs=1e-9)
    assert sector_errors(truth + fine, truth, RANGE, finest=0.4).measured == pytest.approx(1, abs=1e-9)


def test_error_in_the_object_leaves_vacuum_out():
    truth = np.zeros((8, 2, 8))
    truth[2:4] = 2.0
    volume = truth + 0.4
    volume[5:] = 99
    assert object_rmse(volume, truth) == pytest.approx(0.2)
    assert np.isnan(object_rmse(volume, np.zeros_like(truth)))


def test_correlation_is_one_where_alike_and_none_where_unlike():
    rng = np.random.default_rng(0)
    coarse, fine = plane_wave(0, 3), plane_wave(0, 12)
    truth = coarse + fine
    frequency, correlation = fourier_ring_correlation(3 * coarse - fine, truth)
    assert frequency[[3, 12]] == pytest.approx([3 / 32, 12 / 32])
    assert correlation[[3, 12]] == pytest.approx([1, -1])
    noise, other = rng.standard_normal((2, 64, 4, 64))
    correlation = fourier_ring_correlation(noise, other)[1]
    assert len(correlation) == 33
    # A ring at radius k holds about 2 pi k frequencies in each of four slices, half of them of its own.
    assert np.abs(correlation[8:]).max() < 4 / np.sqrt(np.pi * 8 * 4)


@pytest.mark.parametrize("metric", [object_rmse, fourier_ring_correlation, lambda a, b: sector_errors(a, b, RANGE)])
def test_shapes_that_differ_are_refused(metric):
    with pytest.raises(InvalidShape, match="volume"):
        metric(np.ones((4, 2, 4)), np.ones((4, 2, 5)))
    with pytest.raises(InvalidShape, match="volume"):
        metric(np.ones((4, 4)), np.ones((4, 4)))


def test_a_frequency_that_is_none_is_refused():
    with pytest.raises(InvalidOption, match="finest"):
        sector_errors(np.ones((4, 1, 4)), np.ones((4, 1, 4)), RANGE, finest=0)
