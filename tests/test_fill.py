import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from reference import fill as twin
from semrt import _core
from semrt.errors import EmptyScan, InvalidOption, InvalidShape, InvalidValue
from semrt.kernels import distance_to_sample, mask_statistics, natural_neighbour


@st.composite
def scans(draw):
    """Intensities and visited pixels of a small field, from one sample to all of them."""
    shape = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    coverage = draw(st.sampled_from([0.0, 0.02, 0.1, 0.5, 1.0]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    visited = rng.random(shape) < coverage
    visited[rng.integers(shape[0]), rng.integers(shape[1])] = True
    return rng.normal(100, 30, shape).astype(np.float32), visited


def random_scan(shape, coverage, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random(shape, dtype=np.float32), rng.random(shape) < coverage


@settings(deadline=None, max_examples=60)
@given(scans())
def test_the_distance_is_that_to_the_nearest_of_all_samples(scan):
    _, visited = scan
    squared = twin.squared_distance_to_sample(visited)
    np.testing.assert_array_equal(distance_to_sample(visited), np.sqrt(squared).astype(np.float32))


@pytest.mark.parametrize("shape", [(1, 300), (300, 1), (257, 190)])
def test_the_distance_is_that_of_scipy(shape):
    _, visited = random_scan(shape, 0.01)
    visited[0, 0] = True
    expected = ndimage.distance_transform_edt(~visited)
    np.testing.assert_allclose(distance_to_sample(visited), expected, rtol=1e-6)


@settings(deadline=None, max_examples=60)
@given(scans())
def test_natural_neighbours_are_those_of_the_definition(scan):
    intensity, visited = scan
    expected = twin.natural_neighbour(intensity.astype(float), visited)
    np.testing.assert_allclose(natural_neighbour(intensity, visited), expected, rtol=2e-6)


def test_far_from_the_samples_counting_blocks_of_pixels_changes_little():
    visited = np.zeros((30, 330), bool)
    visited[[0, 12, 29, 20], [0, 14, 3, 329]] = True  # up to 165 px away: blocks of 2 by 2 pixels
    intensity = np.where(visited, np.indices(visited.shape)[1] / 329, 0).astype(np.float32)
    assert distance_to_sample(visited).max() > 150
    expected = twin.natural_neighbour(intensity.astype(float), visited)
    np.testing.assert_allclose(natural_neighbour(intensity, visited), expected, atol=0.01)


def test_a_nearly_empty_field_is_filled_with_its_only_sample():
    visited = np.zeros((700, 901), bool)
    visited[3, 5] = True
    intensity = np.full(visited.shape, 7.25, np.float32)
    np.testing.assert_array_equal(natural_neighbour(np.where(visited, intensity, np.nan), visited), intensity)


@settings(deadline=None, max_examples=30)
@given(scans(), st.floats(-(2.0**100), 2.0**100, width=32), st.sampled_from([0.0, 0.7, 3.0, 40.0]))
def test_a_constant_scan_is_filled_with_that_constant(scan, constant, smooth):
    _, visited = scan
    intensity = np.full(visited.shape, constant, np.float32)
    np.testing.assert_array_equal(natural_neighbour(intensity, visited, smooth=smooth), intensity)


@settings(deadline=None, max_examples=30)
@given(scans(), st.floats(-(2.0**100), 2.0**100, width=32), st.integers(-30, 30))
def test_the_fill_stays_inside_the_range_of_the_samples(scan, offset, decade):
    intensity, visited = scan
    intensity = (intensity * 10.0**decade + offset).astype(np.float32)
    filled = natural_neighbour(intensity, visited)
    assert filled.min() == intensity[visited].min()
    assert filled.max() == intensity[visited].max()


@settings(deadline=None, max_examples=30)
@given(scans())
def test_measured_pixels_keep_their_values(scan):
    intensity, visited = scan
    np.testing.assert_array_equal(natural_neighbour(intensity, visited)[visited], intensity[visited])


def test_a_ramp_is_reproduced_away_from_the_border():
    y, x = np.indices((160, 160))
    ramp = (3 * x - 2 * y).astype(np.float32)
    _, visited = random_scan(ramp.shape, 0.05)
    error = (natural_neighbour(ramp, visited) - ramp)[20:-20, 20:-20]
    slope = np.hypot(3, 2)
    assert abs(error.mean()) < 0.02 * slope  # unbiased
    assert error.std() < 0.3 * slope  # a third of a pixel, where samples lie 4.5 px apart


def test_what_was_not_visited_is_never_read():
    intensity, visited = random_scan((40, 50), 0.1)
    unknown = np.where(visited, intensity, np.nan)
    np.testing.assert_array_equal(natural_neighbour(unknown, visited), natural_neighbour(intensity, visited))


@pytest.mark.parametrize("sigma", [0.1, 0.5, 2.5, 30.0])
@pytest.mark.parametrize("shape", [(1, 1), (1, 90), (70, 3), (65, 129)])
def test_smoothing_is_the_gaussian_of_scipy(shape, sigma):
    intensity, _ = random_scan(shape, 1.0)
    smooth = natural_neighbour(intensity, np.ones(shape, bool), smooth=sigma)
    expected = ndimage.gaussian_filter(intensity.astype(float), sigma, mode="reflect", truncate=4)
    np.testing.assert_allclose(smooth, expected, atol=1e-6)


@pytest.mark.parametrize(("shape", "coverage"), [((200, 170), 0.05), ((513, 300), 0.0001)])
def test_the_fill_does_not_depend_on_the_number_of_threads(shape, coverage):
    intensity, visited = random_scan(shape, coverage)
    for smooth in (0.0, 1.5):
        alone = natural_neighbour(intensity, visited, smooth=smooth, n_threads=1)
        for n_threads in (2, 5):
            together = natural_neighbour(intensity, visited, smooth=smooth, n_threads=n_threads)
            np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(distance_to_sample(visited, n_threads=1), distance_to_sample(visited, n_threads=3))


def test_mask_statistics_of_a_line_with_one_sample_at_its_end():
    visited = np.zeros((1, 5), bool)
    visited[0, 0] = True  # distances 0 1 2 3 4
    statistics = mask_statistics(visited)
    assert statistics.coverage == pytest.approx(0.2)
    assert statistics.largest_gap == 8
    assert statistics.mean_gap == 4


def test_a_full_scan_has_no_gaps():
    statistics = mask_statistics(np.ones((4, 7), bool))
    assert (statistics.coverage, statistics.largest_gap, statistics.mean_gap) == (1, 0, 0)


def test_a_mask_of_numbers_counts_as_visited_where_it_is_not_zero():
    intensity, visited = random_scan((20, 30), 0.2)
    np.testing.assert_array_equal(natural_neighbour(intensity, visited * 255), natural_neighbour(intensity, visited))


@pytest.mark.parametrize(
    "fill", [lambda mask: natural_neighbour(mask * 1.0, mask), distance_to_sample, mask_statistics]
)
def test_a_scan_that_visited_nothing_is_refused(fill):
    with pytest.raises(EmptyScan):
        fill(np.zeros((5, 6), bool))
    with pytest.raises(InvalidShape):
        fill(np.ones((0, 6), bool))
    with pytest.raises(InvalidShape):
        fill(np.ones(6, bool))


def test_the_core_itself_refuses_a_scan_that_visited_nothing():
    nowhere = np.zeros((3, 4), bool)
    with pytest.raises(ValueError, match="at least one visited"):
        _core.distance_to_sample(nowhere, 2)
    with pytest.raises(ValueError, match="at least one visited"):
        _core.natural_neighbour(np.zeros((3, 4), np.float32), nowhere, 0.0, 2)
    with pytest.raises(ValueError, match="same shape"):
        _core.natural_neighbour(np.zeros((3, 5), np.float32), ~nowhere, 0.0, 2)


def test_what_cannot_be_filled_is_refused_in_words():
    intensity, visited = random_scan((6, 7), 0.5)
    with pytest.raises(InvalidShape, match=r"intensity: expected shape \(6, 7\)"):
        natural_neighbour(intensity[:5], visited)
    with pytest.raises(InvalidValue, match="finite"):
        natural_neighbour(np.where(visited, np.inf, intensity), visited)
    for smooth in (-1.0, np.nan, np.inf):
        with pytest.raises(InvalidOption, match="smooth"):
            natural_neighbour(intensity, visited, smooth=smooth)
