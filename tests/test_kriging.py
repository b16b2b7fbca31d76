"""The variogram and the kriging kernel, against their equations and against fields whose statistics are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.kriging import krige as krige_slowly
from semrt.data import SparseScan
from semrt.errors import EmptyScan
from semrt.kernels import Variogram, fit_variogram, krige
from semrt.tasks.kriging import Kriging, classical_estimate


def exponential_field(rng, shape, correlation_range):
    """A Gaussian random field of unit variance whose covariance is exp(-r / correlation_range), by its circulant."""
    distances = [np.minimum(np.arange(side), side - np.arange(side)) for side in shape]
    spectrum = np.fft.fft2(np.exp(-np.hypot(distances[0][:, None], distances[1]) / correlation_range)).real
    noise = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    return np.fft.fft2(np.sqrt(np.maximum(spectrum, 0) / np.prod(shape)) * noise).real.astype(np.float32)


def random_scan(rng, shape, coverage):
    visited = rng.random(shape) < coverage
    visited.flat[0] = True
    return visited


def test_the_variogram_of_a_known_field_is_found():
    rng = np.random.default_rng(0)
    fits = []
    for _ in range(6):
        field = exponential_field(rng, (512, 512), 12.0) + 0.3 * rng.standard_normal((512, 512)).astype(np.float32)
        visited = random_scan(rng, field.shape, 0.1)
        fits.append(fit_variogram(field * visited, visited))
    at = np.array([2.0, 6.0, 12.0, 40.0])
    found = np.mean([fit(at) for fit in fits], axis=0)
    np.testing.assert_allclose(found, 0.09 + 1 - np.exp(-at / 12), rtol=0.12)
    assert np.median([fit.nugget for fit in fits]) == pytest.approx(0.09, abs=0.05)


def test_the_variogram_scales_with_the_square_of_the_intensity():
    rng = np.random.default_rng(1)
    field, visited = exponential_field(rng, (96, 80), 6.0), random_scan(rng, (96, 80), 0.2)
    one, ten = (fit_variogram(scale * field * visited, visited) for scale in (1, 10))
    assert (ten.range, ten.exponent) == pytest.approx((one.range, one.exponent), rel=1e-4)
    assert (ten.nugget, ten.sill) == pytest.approx((100 * one.nugget, 100 * one.sill), rel=1e-3, abs=1e-6)


def test_an_image_without_variation_gives_itself_back_and_no_error():
    visited = random_scan(np.random.default_rng(2), (40, 30), 0.1)
    flat = np.where(visited, np.float32(7), np.float32(0))
    variogram = fit_variogram(flat, visited)
    estimate, variance = krige(flat, visited, variogram)
    assert (variogram.nugget, variogram.sill) == (0, 0)
    assert (estimate == 7).all()
    assert (variance == 0).all()


@pytest.mark.parametrize(("shape", "n"), [((6, 6), 12), ((512, 512), 6), ((512, 512), 2), ((300, 20), 3)])
def test_few_samples_that_differ_leave_the_rest_unsure(shape, n):
    rng = np.random.default_rng(n)
    visited = np.zeros(shape, bool)
    visited.ravel()[rng.choice(visited.size, n, replace=False)] = True
    intensity = np.where(visited, 50 + 15 * rng.standard_normal(shape), 0).astype(np.float32)
    variogram = fit_variogram(intensity, visited)
    assert variogram.nugget + variogram.sill > 0.2 * intensity[visited].var()
    _, variance = krige(intensity, visited, variogram)
    assert np.median(variance[~visited]) > 0


def test_samples_too_far_apart_to_be_paired_tell_how_much_an_image_varies():
    visited = np.zeros((2, 9000), bool)
    visited[0, [0, -1]] = True
    assert fit_variogram(np.where(visited, [np.arange(9000.0)] * 2, 0), visited).sill > 0


def test_a_result_of_very_few_samples_says_so():
    visited = np.zeros((40, 40), bool)
    visited[3, [4, 20, 30]] = True
    scan = SparseScan(np.where(visited, 7.0, 0), visited)
    (note,) = Kriging().solve(scan).provenance["notes"]
    assert note.startswith("so few samples (3) do not tell")
    visited[::8, ::8] = True
    assert "notes" not in Kriging().solve(SparseScan(np.where(visited, 7.0, 0), visited)).provenance


@settings(max_examples=12, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 26), st.integers(1, 26)),
    coverage=st.sampled_from([0.02, 0.1, 0.5]),
    nugget=st.sampled_from([0.0, 0.05, 2.0]),
    exponent=st.sampled_from([0.7, 1.0, 1.5]),
    seed=st.integers(0, 2**32 - 1),
)
def test_kriging_solves_the_textbook_equations(shape, coverage, nugget, exponent, seed):
    rng = np.random.default_rng(seed)
    visited = random_scan(rng, shape, coverage)
    intensity = np.where(visited, rng.standard_normal(shape), 0).astype(np.float32)
    exposure = rng.uniform(0.2, 1, shape).astype(np.float32)
    variogram = Variogram(nugget, 1.0, 5.0, exponent)
    estimate, variance = krige(intensity, visited, variogram, exposure=exposure, n_threads=1)
    wanted_estimate, wanted_variance = krige_slowly(intensity, visited, variogram, exposure)
    np.testing.assert_allclose(estimate, wanted_estimate, atol=2e-3)
    np.testing.assert_allclose(variance, wanted_variance, atol=2e-3)


def test_samples_without_noise_are_reproduced():
    rng = np.random.default_rng(3)
    field, visited = exponential_field(rng, (64, 64), 8.0), random_scan(rng, (64, 64), 0.1)
    estimate, variance = krige(field * visited, visited, Variogram(0.0, 1.0, 8.0, 1.0))
    np.testing.assert_allclose(estimate[visited], field[visited], atol=0.01)
    assert variance[visited].max() < 1e-3 < variance[~visited].min()


def test_a_smooth_noiseless_variogram_does_not_make_the_estimate_run_wild():
    y, x = np.mgrid[:200, :200]
    truth = (0.5 + 0.4 * np.sin(x / 40.0) * np.cos(y / 50.0) + 0.1 * (x > 120)).astype(np.float32)
    visited = np.zeros(truth.shape, bool)
    visited[10::97] = True  # lines far apart: the gaps between them ask for extrapolation
    estimate, variance = krige(truth * visited, visited, Variogram(0.0, 0.04, 43.0, 1.9))
    assert np.isfinite(estimate).all()
    assert np.isfinite(variance).all()
    assert truth.min() - 0.3 < estimate.min() < estimate.max() < truth.max() + 0.3


@pytest.mark.parametrize(("fitted", "tolerance"), [(False, 0.02), (True, 0.05)])
def test_the_stated_intervals_hold_what_they_promise(fitted, tolerance):
    rng = np.random.default_rng(4)
    held = []
    for correlation_range in (4.0, 10.0, 30.0):
        for _ in range(2):
            truth = exponential_field(rng, (160, 160), correlation_range)
            visited = random_scan(rng, truth.shape, 0.08)
            samples = (truth + 0.2 * rng.standard_normal(truth.shape).astype(np.float32)) * visited
            known = Variogram(0.04, 1.0, correlation_range, 1.0)
            estimate, variance = krige(samples, visited, fit_variogram(samples, visited) if fitted else known)
            held.append(np.mean(np.abs(estimate - truth)[~visited] < 1.645 * np.sqrt(variance[~visited])))
    assert np.mean(held) == pytest.approx(0.90, abs=tolerance)


def test_the_estimate_does_not_depend_on_the_number_of_threads():
    rng = np.random.default_rng(5)
    field, visited = exponential_field(rng, (90, 70), 8.0), random_scan(rng, (90, 70), 0.05)
    one, three = (krige(field * visited, visited, Variogram(0.1, 1, 8, 1), n_threads=n) for n in (1, 3))
    for alone, together in zip(one, three, strict=True):
        np.testing.assert_array_equal(alone, together)


def test_only_wanted_blocks_are_computed():
    rng = np.random.default_rng(6)
    field, visited = exponential_field(rng, (64, 64), 8.0), random_scan(rng, (64, 64), 0.1)
    wanted = np.zeros((64, 64), bool)
    wanted[10:20, 30:40] = True
    variogram = Variogram(0.1, 1, 8, 1)
    everywhere, _ = krige(field * visited, visited, variogram)
    some, _ = krige(field * visited, visited, variogram, wanted=wanted)
    np.testing.assert_array_equal(some[wanted], everywhere[wanted])
    assert (some == 0).mean() > 0.9


def test_a_less_exposed_sample_counts_less():
    visited = np.zeros((1, 3), bool)
    visited[0, [0, 2]] = True
    intensity = np.array([[0.0, 0.0, 1.0]], np.float32)
    even, _ = krige(intensity, visited, Variogram(0.5, 1, 5, 1))
    uneven, _ = krige(intensity, visited, Variogram(0.5, 1, 5, 1), exposure=[[1.0, 0.0, 0.1]])
    assert even[0, 1] == pytest.approx(0.5, abs=1e-5)
    assert uneven[0, 1] < 0.35


def test_an_unvisited_field_is_refused():
    nothing = np.zeros((4, 4), bool)
    with pytest.raises(EmptyScan):
        fit_variogram(np.zeros((4, 4)), nothing)
    with pytest.raises(EmptyScan):
        krige(np.zeros((4, 4)), nothing, Variogram(0, 1, 1, 1))


def test_kriging_is_chosen_for_a_correlated_image_and_beats_smoothed_natural_neighbours():
    rng = np.random.default_rng(7)
    truth = exponential_field(rng, (128, 128), 15.0)
    visited = random_scan(rng, truth.shape, 0.1)
    classical = classical_estimate(SparseScan(truth, visited))
    assert classical.method == "kriging"
    kriged, smooth = (np.mean((image - truth) ** 2) for image in (classical.estimate, classical.smooth))
    assert kriged < 0.8 * smooth


def test_a_misleading_variogram_is_found_out_by_held_out_samples(monkeypatch):
    rng = np.random.default_rng(8)
    y, x = np.mgrid[:128, :128]
    truth = np.sin(y / 9.0) * np.cos(x / 11.0)
    visited = random_scan(rng, truth.shape, 0.1)
    monkeypatch.setattr("semrt.tasks.kriging.fit_variogram", lambda *_: Variogram(5.0, 0.01, 1.0, 1.0))
    assert classical_estimate(SparseScan(truth, visited)).method == "natural neighbour"


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_held_out_samples_of_a_field_like_its_variogram_miss_by_what_kriging_states(noise):
    rng = np.random.default_rng(11)
    truth = exponential_field(rng, (192, 192), 15.0) + noise * rng.standard_normal((192, 192)).astype(np.float32)
    classical = classical_estimate(SparseScan(truth, random_scan(rng, truth.shape, 0.1)))
    assert classical.misfit == pytest.approx(1, abs=0.12)


def test_a_variogram_that_promises_too_much_is_told_by_the_misfit(monkeypatch):
    rng = np.random.default_rng(12)
    truth = exponential_field(rng, (128, 128), 4.0)
    visited = random_scan(rng, truth.shape, 0.1)
    honest = classical_estimate(SparseScan(truth, visited)).misfit
    monkeypatch.setattr("semrt.tasks.kriging.fit_variogram", lambda *_: Variogram(0.0, 1.0, 60.0, 1.5))
    assert classical_estimate(SparseScan(truth, visited)).misfit > 1.3 * honest
    one = np.zeros_like(visited)
    one[5, 5] = True
    assert classical_estimate(SparseScan(truth, one)).misfit == 1  # nothing could be held out


def test_measured_pixels_stay_measured_unless_they_are_to_be_denoised():
    rng = np.random.default_rng(9)
    truth = exponential_field(rng, (64, 64), 10.0)
    noisy = truth + 0.5 * rng.standard_normal(truth.shape).astype(np.float32)
    visited = random_scan(rng, truth.shape, 0.2)
    kept = Kriging().solve(SparseScan(noisy, visited))
    denoised = Kriging().solve(SparseScan(noisy, visited), denoise=True)
    np.testing.assert_array_equal(kept.intensity[visited], noisy[visited])
    assert np.mean((denoised.intensity - truth)[visited] ** 2) < 0.6 * np.mean((noisy - truth)[visited] ** 2)
    np.testing.assert_array_equal(kept.intensity[~visited], denoised.intensity[~visited])


def test_exposure_turns_accumulated_signal_back_into_intensity():
    rng = np.random.default_rng(10)
    truth = 100 + 10 * exponential_field(rng, (64, 64), 10.0)
    visited = random_scan(rng, truth.shape, 0.3)
    exposure = np.where(visited, rng.uniform(0.1, 0.6, truth.shape), 0).astype(np.float32)
    result = Kriging().solve(SparseScan(truth * exposure, visited, exposure=exposure))
    assert np.sqrt(np.mean((result.intensity - truth) ** 2)) < 5
