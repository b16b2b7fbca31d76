"""Estimates kept within the samples around: the bounds themselves, and what they do at edges and between peaks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import semrt
from semrt.metrics import rmse, ssim
from semrt.tasks.kriging import classical_estimate
from semrt.tasks.sample_bounds import LEAST_REACH, REACH, sample_bounds
from semrt.tasks.wiener import wiener_estimate


def nearest_samples(visited):
    """Of each pixel: the distance to the nearest sample and to each one, (ny, nx) and (n, ny, nx), by brute force."""
    samples = np.argwhere(visited)
    y, x = np.indices(visited.shape)
    distances = np.hypot(y - samples[:, 0, None, None], x - samples[:, 1, None, None])
    return distances.min(axis=0), distances


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(0, 10**6), st.sampled_from([(17, 23), (40, 9), (1, 12)]))
def test_bounds_hold_the_nearest_sample_and_are_of_samples_in_reach(n, seed, shape):
    rng = np.random.default_rng(seed)
    visited = np.zeros(shape, np.bool_)
    visited.flat[rng.choice(visited.size, min(n, visited.size), replace=False)] = True
    values = np.where(visited, rng.standard_normal(shape), 99).astype(np.float32)  # what was not visited is no bound
    low, high = sample_bounds(values, visited)
    nearest, distances = nearest_samples(visited)
    sampled = values[visited][:, None, None]
    # cv2 measures distances to a few per cent, so that one of two samples nearly as far may be the nearest.
    near = distances <= 1.05 * nearest + 0.1
    assert (low <= np.where(near, sampled, -np.inf).max(axis=0)).all()
    assert (high >= np.where(near, sampled, np.inf).min(axis=0)).all()
    # The nearest of a pixel in the corner of the square is no further from that pixel than this one's nearest is.
    corner = np.sqrt(2) * np.maximum(1.5 * REACH * nearest, LEAST_REACH + 1)
    in_reach = distances <= 2.1 * corner + 1.1 * nearest
    assert (low >= np.where(in_reach, sampled, np.inf).min(axis=0)).all()
    assert (high <= np.where(in_reach, sampled, -np.inf).max(axis=0)).all()


def test_a_visited_pixel_is_bounded_by_its_neighbourhood_for_it_is_noisy_itself():
    values = np.arange(15, dtype=np.float32)[None].repeat(15, axis=0)
    low, high = sample_bounds(values, np.ones((15, 15), np.bool_))
    assert (low[7, 7], high[7, 7]) == (7 - LEAST_REACH, 7 + LEAST_REACH)


def edge_scan(coverage=0.05, side=96):
    """An even half plane before vacuum, without noise, and random samples of it."""
    y, x = np.indices((side, side))
    truth = (x + 0.3 * y > 0.65 * side).astype(np.float32)
    visited = np.random.default_rng(1).random(truth.shape) < coverage
    return truth, semrt.SparseScan(np.where(visited, truth, np.float32(0)), visited)


def test_beside_an_edge_nothing_is_drawn_that_no_sample_shows():
    truth, scan = edge_scan()
    kriged, kept = classical_estimate(scan), wiener_estimate(scan)
    assert kriged.estimate.max() > 1.02, "there is nothing to keep"
    assert kept.within_samples > 0.5
    beyond = [np.maximum(made.estimate - 1, -made.estimate).clip(0) for made in (kriged, kept)]
    assert rmse(beyond[1], 0 * truth) < 0.6 * rmse(beyond[0], 0 * truth)
    assert rmse(kept.estimate, truth) < rmse(kriged.estimate, truth)
    assert ssim(kept.estimate, truth) > ssim(kriged.estimate, truth) + 0.01


def test_the_record_of_wiener_says_how_much():
    _, scan = edge_scan()
    details = semrt.infer("wiener", scan).provenance["details"]
    assert details["within_samples"] == pytest.approx(wiener_estimate(scan).within_samples)


def test_peaks_between_the_samples_of_a_smooth_image_are_not_cut():
    y, x = np.indices((96, 96))
    rng = np.random.default_rng(2)
    centres = rng.uniform(0, 96, (40, 2))
    truth = sum(np.exp(-((y - a) ** 2 + (x - b) ** 2) / (2 * 6.0**2)) for a, b in centres).astype(np.float32)
    visited = rng.random(truth.shape) < 0.03
    scan = semrt.SparseScan(np.where(visited, truth, np.float32(0)), visited)
    kriged, kept = classical_estimate(scan).estimate, wiener_estimate(scan).estimate
    cut = np.clip(kriged, *sample_bounds(scan.intensity, visited))
    assert rmse(cut, truth) > 1.05 * rmse(kriged, truth), "cutting would have done no harm"
    assert rmse(kept, truth) < 1.02 * rmse(kriged, truth)
