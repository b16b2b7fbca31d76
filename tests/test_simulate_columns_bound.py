"""The Cramér–Rao bound of a column's position: where it is known in closed form, by differences, and by fits."""

from math import pi, sqrt

import numpy as np
import pytest

from reference import columns_bound as twin
from semrt.simulate.columns import Imaging, Probe, Specimen, position_bound, record


def bound(y, x, peak, variance, probe, spacing, count=None):
    arrays = [np.asarray(a, float) for a in (y, x, peak)]
    return position_bound(*arrays, len(y) if count is None else count, np.asarray(variance), probe, spacing)


@pytest.mark.parametrize("sigma", [1.5, 2.4, 4.7])
def test_a_lone_column_without_background_is_located_to_sigma_over_the_root_of_its_electrons(sigma):
    # Each electron says where the column is to within sigma; peak I holds 2 pi sigma² I of them. Where there is no
    # light there is no noise either, so that the background is known at no cost.
    n = int(24 * sigma) | 1
    probe, peak = Probe(sigma), 400.0
    r = np.hypot(*(np.indices((n, n)) - (n // 2)))
    found = bound([n // 2 + 0.3], [n // 2 - 0.2], [peak], np.maximum(peak * probe.profile(r), 1e-12), probe, 3 * sigma)
    np.testing.assert_allclose(np.concatenate(found), sigma / sqrt(2 * pi * sigma**2 * peak), rtol=0.03)


def test_a_lone_column_in_white_noise_pays_for_the_slope_of_its_background():
    # Noise variance v: the Fisher information of y is pi I²/2v, less what the slope of the background takes:
    # (2 pi sigma² I / v)² / (w⁴ / 12 v) in a window of side w.
    sigma, peak, v, half = 2.0, 50.0, 9.0, 9
    spacing = half / 1.5
    found = bound([30.0], [31.0], [peak], np.full((61, 61), v), Probe(sigma), spacing)
    w = 11 * 2  # pixels are taken by twos from sigma = 2 on: 5 such pairs to either side of the middle one
    information = pi * peak**2 / (2 * v) - (2 * pi * sigma**2 * peak / v) ** 2 / (w**4 / (12 * v))
    np.testing.assert_allclose(np.concatenate(found), 1 / sqrt(information), rtol=0.01)


@pytest.mark.parametrize("middle", [40, 1.2, 77.9])  # the last two at the border
@pytest.mark.parametrize("probe", [Probe(1.7), Probe(1.6, 0.4, 1.3), Probe(3.1)])
def test_the_bound_among_neighbours_is_that_of_derivatives_by_differences(probe, middle):
    spacing, side = 3.2 * probe.sigma, 80
    y = middle + spacing * np.array([0.03, 0.0, 1.0, -0.95, 0.1])
    x = 41 + spacing * np.array([0.0, 1.0, 0.05, 0.0, -1.02])
    peak = np.array([300.0, 500.0, 120.0, 300.0, 80.0])
    pixels = np.indices((side, side))
    image = sum(p * probe.profile(np.hypot(pixels[0] - a, pixels[1] - b)) for p, a, b in zip(peak, y, x, strict=True))
    variance = image + 40 + 0.5 * np.arange(side) + 9
    found = bound(y, x, peak, variance, probe, spacing, count=1)
    step = max(1, int(probe.sigma)) if middle == 40 else 1  # pixels are taken together away from the border
    half = int(np.ceil(max(1.5 * spacing, 4 * probe.sigma) / step))
    centres = [int(np.rint((c[0] - (step - 1) / 2) / step)) for c in (y, x)]
    window = np.clip([edge for m in centres for edge in ((m - half) * step, (m + half + 1) * step)], 0, side)
    expected = twin.bound_of_first(y, x, peak, variance, probe.profile, window, spacing / 4)
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=3e-3)
    alone = bound(y[:1], x[:1], peak[:1], variance, probe, spacing)
    assert found[0][0] > alone[0][0]  # neighbours cost precision


def test_a_maximum_likelihood_fit_scatters_as_the_bound_says():
    probe, spacing, side = Probe(1.8), 5.5, 17
    y, x, peak = np.array([8.2, 8.0, 13.4]), np.array([7.9, 13.3, 8.3]), np.array([200.0, 150.0, 100.0])
    plane, read = np.array([15.0, 0.3, -0.2]), 3.0
    rows, columns = (part.ravel() for part in np.indices((side, side), dtype=float))

    def model(unknown):
        """Image and its derivatives for 12 unknowns: (pixels,), (12, pixels)."""
        at_y, at_x, height = unknown[:9].reshape(3, 3)
        dy, dx = rows - at_y[:, None], columns - at_x[:, None]
        shape = np.exp(-(dy**2 + dx**2) / (2 * probe.sigma**2))
        background = np.stack([np.ones_like(rows), rows - 8, columns - 8])
        slopes = height[:, None] * shape / probe.sigma**2
        return height @ shape + unknown[9:] @ background, np.concatenate([slopes * dy, slopes * dx, shape, background])

    truth = np.concatenate([y, x, peak, plane])
    expected, derivatives = model(truth)
    rng = np.random.default_rng(4)
    fits = []
    for _ in range(600):
        counts = rng.poisson(expected) + read * rng.standard_normal(len(expected))
        unknown = truth.copy()
        for _ in range(4):  # Fisher scoring, weighted by the variance that the fit itself expects
            image, derivatives = model(unknown)
            weighted = derivatives / (np.maximum(image, 1) + read**2)
            unknown = unknown + np.linalg.solve(weighted @ derivatives.T, weighted @ (counts - image))
        fits.append(unknown)
    scatter = np.std(fits, axis=0)
    variance = (expected + read**2).reshape(side, side)
    found = bound(y, x, peak, variance, probe, spacing, count=1)
    # 600 fits tell a standard deviation to 3 %.
    assert scatter[0] == pytest.approx(found[0][0], rel=0.1)
    assert scatter[3] == pytest.approx(found[1][0], rel=0.1)
    assert np.mean(fits, axis=0)[0] == pytest.approx(8.2, abs=4 * scatter[0] / sqrt(600))


def test_a_column_too_faint_to_be_seen_costs_its_neighbour_nothing():
    probe, variance = Probe(2.0), np.full((41, 41), 100.0)
    alone = bound([20.0], [20.0], [300.0], variance, probe, 7.0)
    beside = bound([20.0, 20.0], [20.0, 27.0], [300.0, 0.01], variance, probe, 7.0, count=1)
    np.testing.assert_allclose(np.concatenate(beside), np.concatenate(alone), rtol=0.03)


def test_the_bound_grows_at_the_border_and_falls_with_the_dose():
    specimen = Specimen("square", 12, angle=10)
    image, brighter = (
        record(specimen, Imaging(2.5, dose=dose, read_noise=1.0), (100, 100), np.random.default_rng(0))
        for dose in (300.0, 1200.0)
    )
    inner = (np.abs(image.y - 49.5) < 30) & (np.abs(image.x - 49.5) < 30)
    cut = image.y < 1
    assert cut.any()
    assert image.crlb_y[cut].min() > 1.3 * image.crlb_y[inner].max()
    # Fourfold dose; the read noise matters little.
    np.testing.assert_allclose(image.crlb_x[inner] / brighter.crlb_x[inner], 2, rtol=0.03)


def test_no_columns_have_no_bounds():
    found = bound([], [], [], np.ones((9, 9)), Probe(2.0), 8.0)
    assert [len(part) for part in found] == [0, 0]
