"""Samples that were exposed unequally: their black level, and what full exposure would have shown."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

import semrt
from semrt import scan
from semrt.data import SparseScan
from semrt.metrics import blur_5x5, rmse
from semrt.simulate import micrographs
from semrt.simulate.columns import cases
from semrt.tasks.exposure import black_level, sample_values

SIDE = 192


def exposed(black, *, noise=0.0, seed=0, pattern="archimedean", coverage=1 / 15):
    """A scan of a probe wider than a pixel, its image, and the exposure."""
    rng = np.random.default_rng(seed)
    image = micrographs.draw(np.random.default_rng((11, seed)), (SIDE, SIDE), "spheres")
    visited = scan.generate(pattern, image.shape, coverage, seed=seed).visited
    exposure = cv2.GaussianBlur(visited.astype(np.float32), (3, 3), 0.8)
    signal = exposure * image + np.sqrt(exposure) * noise * rng.standard_normal(image.shape)
    return SparseScan(signal + black, exposure > 0, exposure=exposure), image


@pytest.mark.parametrize("black", [-0.3, 0.05, 0.6, 40.0])
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_a_black_level_is_found_from_neighbours_of_unequal_exposure(black, noise):
    sparse, _ = exposed(black, noise=noise)
    assert black_level(sparse) == pytest.approx(black, abs=0.01)


def test_values_at_full_exposure_are_those_of_the_image_whatever_the_black_level():
    for black in (0.0, 0.6):
        sparse, image = exposed(black)
        well = sparse.exposure > 0.2
        np.testing.assert_allclose(sample_values(sparse)[well], image[well], atol=0.06)
        assert not sample_values(sparse)[~sparse.visited].any()


def test_a_detector_whose_zero_is_zero_is_taken_at_its_word():
    for seed in range(4):
        assert black_level(exposed(0.0, noise=0.1, seed=seed)[0]) == 0


@pytest.mark.parametrize("exposure", [1.0, 0.4])
def test_equal_exposures_tell_nothing_of_the_black_level(exposure):
    sparse, _ = exposed(0.5)
    alike = SparseScan(sparse.intensity, sparse.visited, exposure=np.full(sparse.shape, exposure, np.float32))
    assert black_level(alike) == 0
    np.testing.assert_allclose(sample_values(alike)[alike.visited], alike.intensity[alike.visited] / exposure)


def test_samples_without_neighbours_tell_nothing_of_the_black_level():
    visited = np.zeros((40, 40), bool)
    visited[::4, ::4] = True
    exposure = np.random.default_rng(0).uniform(0.3, 1, visited.shape).astype(np.float32)
    assert black_level(SparseScan(exposure * 2.0 + 1, visited, exposure=exposure)) == 0


def test_kriging_of_the_published_signal_is_nearly_twice_as_good_for_the_black_level():
    """d = m·(m·I + 2·(1 - m)·u·(I blurred)), I from -1 to 1, then scaled by its own extremes: Ede & Beanland 2020."""
    rng = np.random.default_rng(3)
    image = 2 * micrographs.draw(np.random.default_rng(5), (SIDE, SIDE), "dead-leaves") - 1
    visited = scan.generate("ede-spiral", image.shape, nominal=8.0).visited
    m = cv2.GaussianBlur(visited.astype(np.float32), (3, 3), 0.8)
    signal = m * (m * image + 2 * (1 - m) * rng.random(image.shape) * cv2.GaussianBlur(image, (5, 5), 2.5))
    low, high = signal.min(), signal.max()
    sparse = SparseScan((signal - low) / (high - low), m > 0, exposure=m)
    assert black_level(sparse) == pytest.approx(-low / (high - low), abs=0.03)
    found = semrt.infer("kriging", sparse, denoise=True).intensity * (high - low)
    without = SparseScan(sparse.intensity + 1e-9, sparse.visited)  # as if all were exposed alike
    alike = semrt.infer("kriging", without, denoise=True).intensity
    a, b = np.polyfit(alike.ravel(), image.ravel(), 1)
    truth = blur_5x5(image)
    assert rmse(found, truth) < 0.6 * rmse(a * alike + b, truth)


def test_the_middle_of_a_large_field_tells_its_black_level():
    sparse, _ = exposed(0.4)
    tiled = [np.tile(part, (6, 6)) for part in (sparse.intensity, sparse.visited, sparse.exposure)]  # 1152 px
    outside = np.ones(tiled[0].shape, bool)
    outside[64:-64, 64:-64] = False
    tiled[0][outside & tiled[1]] += 5  # what lies beyond does not count
    assert black_level(SparseScan(tiled[0], tiled[1], exposure=tiled[2])) == pytest.approx(0.4, abs=0.01)


@pytest.mark.parametrize("model", ["infill", "kriging", "natural-neighbours"])
def test_every_record_tells_the_black_level_that_was_taken_off(model):
    sparse, _ = exposed(0.5)
    assert semrt.infer(model, sparse).provenance["details"]["black_level"] == pytest.approx(0.5, abs=0.01)
    alike = SparseScan(sparse.intensity, sparse.exposure > 0.3)
    assert "black_level" not in semrt.infer(model, alike).provenance.get("details", {})


@pytest.mark.parametrize("model", ["kriging", "wiener"])
def test_samples_of_longer_dwell_time_count_more_and_state_a_smaller_error(model):
    scan, truth, stayed = _of_two_dwell_times()
    found = semrt.infer(model, scan, denoise=True).intensity
    blind = semrt.infer(model, semrt.SparseScan(scan.intensity, scan.visited), denoise=True).intensity
    assert rmse(found, truth) < 0.6 * rmse(blind, truth)
    error = semrt.infer(model, scan).error
    noise = [np.sqrt(np.mean((scan.intensity - truth)[chosen] ** 2)) for chosen in (stayed == 1, stayed == 100)]
    stated = [np.sqrt(np.mean(error[chosen] ** 2)) for chosen in (stayed == 1, stayed == 100)]
    np.testing.assert_allclose(stated, noise, rtol=0.25)


def test_pixels_that_a_path_stays_at_do_not_outweigh_a_lattice():
    image = cases()["bcc-jittered"].image(bound=False)
    truth = image.expected[:384, :384].astype(np.float32)
    path = scan.generate("archimedean", truth.shape, 1 / 10, seed=1)
    y, x = np.clip(np.round(path.positions).astype(int), 0, len(truth) - 1).T
    counts = np.random.default_rng(1).poisson(np.maximum(truth[y, x], 0))
    sparse = SparseScan.from_positions(path.positions, counts, truth.shape, dwell_time=np.ones(len(counts)))
    assert sparse.dwell_time.max() > 30 * np.median(sparse.dwell_time[sparse.visited])
    told, untold = (
        rmse(semrt.infer("wiener", each, denoise=True).intensity, truth)
        for each in (sparse, replace(sparse, dwell_time=None))
    )
    assert told < 1.1 * untold < 0.3 * truth.std()


def test_only_the_ratio_of_dwell_times_counts():
    scan, _, _ = _of_two_dwell_times()
    slower = replace(scan, dwell_time=1024 * scan.dwell_time)
    np.testing.assert_array_equal(semrt.infer("kriging", scan).intensity, semrt.infer("kriging", slower).intensity)
    alike, unsaid = (
        semrt.SparseScan(scan.intensity, scan.visited, dwell_time=time) for time in (np.full(scan.shape, 3.0), None)
    )
    for part in ("intensity", "error"):
        results = (getattr(semrt.infer("kriging", each), part) for each in (alike, unsaid))
        np.testing.assert_array_equal(*results)


def _of_two_dwell_times():
    """A smooth image, a tenth of it visited at random, half of that a hundred times longer: scan, truth, dwell time."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:96, :96] / 96
    truth = (100 + 40 * np.sin(5 * x) * np.cos(4 * y)).astype(np.float32)
    visited = rng.random(truth.shape) < 0.1
    stayed = np.where(visited, np.where(rng.random(truth.shape) < 0.5, 1, 100), 0).astype(np.float32)
    noisy = truth + 60 * rng.standard_normal(truth.shape) / np.sqrt(np.maximum(stayed, 1))
    return semrt.SparseScan(np.where(visited, noisy, 0), visited, dwell_time=stayed), truth, stayed
