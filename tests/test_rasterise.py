import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import rasterise as twin
from semrt.data import SparseScan
from semrt.errors import EmptyScan, InvalidOption, InvalidShape, InvalidValue
from semrt.kernels import rasterise, record

FOOTPRINTS = {
    "pixel": {},
    "bilinear": {"split": True},
    "gaussian": {"probe_sigma": 0.8},
    "wide": {"probe_sigma": 7.0},
    "narrow": {"probe_sigma": 1e-3},
}
SIGMA = {name: options.get("probe_sigma", 0.0) for name, options in FOOTPRINTS.items()}
KIND = {name: name if name in ("pixel", "bilinear") else "gaussian" for name in FOOTPRINTS}
NOWHERE = [math.nan, math.inf, -math.inf, 1e300, -1e300, 1e19, -(2.0**63), 2.0**31]


@st.composite
def samples(draw):
    """Shape, positions in the field and around it, intensities and dwell times."""
    shape = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    n = draw(st.integers(0, 25))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    positions = rng.uniform(-2, np.array(shape) + 1, (n, 2))
    on_a_border = rng.random((n, 2)) < 0.3
    positions[on_a_border] = np.round(2 * positions[on_a_border]) / 2
    lost = rng.random((n, 2)) < 0.05
    positions[lost] = rng.choice(NOWHERE, np.count_nonzero(lost))
    dwell_time = rng.choice([0.0, 0.5, 1.0, 3.0], n)
    return shape, positions, rng.normal(50, 20, n), dwell_time


@pytest.mark.parametrize("footprint", FOOTPRINTS)
@settings(deadline=None, max_examples=40)
@given(samples())
def test_gridded_samples_are_those_of_the_slow_twin(footprint, drawn):
    shape, positions, intensities, dwell_time = drawn
    gridded = rasterise(
        positions, shape, intensities=intensities, dwell_time=dwell_time, n_threads=2, **FOOTPRINTS[footprint]
    )
    visited, time, intensity, outside = twin.rasterise(
        positions, shape, intensities, dwell_time, KIND[footprint], SIGMA[footprint]
    )
    assert gridded.outside == outside
    np.testing.assert_allclose(gridded.dwell_time, time, rtol=1e-6, atol=1e-12)
    sure = (time > 1e-12) | (time == 0)  # less is what rounding leaves of a Gaussian
    np.testing.assert_array_equal(gridded.visited[sure], visited[sure])
    np.testing.assert_allclose(gridded.intensity[time > 1e-12], intensity[time > 1e-12], rtol=1e-5)
    assert (gridded.intensity[~gridded.visited] == 0).all()


@pytest.mark.parametrize("footprint", FOOTPRINTS)
@settings(deadline=None, max_examples=40)
@given(samples())
def test_what_a_probe_records_is_that_of_the_slow_twin(footprint, drawn):
    shape, positions, _, _ = drawn
    image = np.random.default_rng(1).random(shape).astype(np.float32)
    options = {"split": False} | FOOTPRINTS[footprint]
    recorded = record(image, positions, n_threads=2, **options)
    expected = twin.record(image.astype(float), positions, KIND[footprint], SIGMA[footprint])
    np.testing.assert_allclose(recorded, expected, rtol=1e-5)


@pytest.mark.parametrize("footprint", FOOTPRINTS)
def test_the_grid_does_not_depend_on_the_number_of_threads(footprint):
    rng = np.random.default_rng(0)
    positions, intensities = rng.uniform(-3, 83, (5000, 2)), rng.normal(size=5000)
    options = FOOTPRINTS[footprint] | {"intensities": intensities, "dwell_time": rng.random(5000)}
    alone = rasterise(positions, (80, 70), n_threads=1, **options)
    for n_threads in (2, 7, 100):
        together = rasterise(positions, (80, 70), n_threads=n_threads, **options)
        np.testing.assert_array_equal(together.visited, alone.visited)
        np.testing.assert_array_equal(together.dwell_time, alone.dwell_time)
        np.testing.assert_array_equal(together.intensity, alone.intensity)
        assert together.outside == alone.outside
    image = rng.random((80, 70))
    np.testing.assert_array_equal(record(image, positions, n_threads=3), record(image, positions, n_threads=1))


@pytest.mark.parametrize("footprint", FOOTPRINTS)
def test_samples_that_are_nowhere_are_counted_and_leave_no_trace(footprint):
    positions = [(bad, 1.0) for bad in NOWHERE] + [(1.0, bad) for bad in NOWHERE]
    gridded = rasterise(positions, (3, 4), intensities=np.ones(len(positions)), **FOOTPRINTS[footprint])
    assert gridded.outside == len(positions)
    assert not gridded.visited.any()
    assert not gridded.dwell_time.any()
    assert np.isnan(record(np.ones((3, 4)), positions)).all()


def test_a_sample_belongs_to_the_pixel_it_rounds_to_up_to_the_rim():
    inside = [(-0.5, -0.5), (2.4999999, 3.4999999), (0.5, 1.5)]
    gridded = rasterise(inside, (3, 4))
    assert gridded.outside == 0
    np.testing.assert_array_equal(np.argwhere(gridded.visited), [[0, 0], [1, 2], [2, 3]])
    rim = [(math.nextafter(-0.5, -1), 0), (2.5, 0), (0, 3.5)]
    assert rasterise(rim, (3, 4)).outside == 3
    # 0.49999999999999994 + 0.5 rounds to 1: whatever is decided, nothing is written beyond the field.
    assert rasterise([(math.nextafter(0.5, 0), 0)], (1, 1)).outside == 1


def test_a_pixel_holds_the_mean_of_its_samples_weighted_by_their_dwell_time():
    gridded = rasterise([(1, 2), (1.3, 1.8), (0, 0)], (2, 3), intensities=[10, 40, 7], dwell_time=[1.0, 3.0, 2.0])
    np.testing.assert_array_equal(gridded.intensity, [[7, 0, 0], [0, 0, (10 + 3 * 40) / 4]])
    np.testing.assert_array_equal(gridded.dwell_time, [[2, 0, 0], [0, 0, 4]])


def test_a_split_sample_is_shared_by_the_area_of_overlap():
    gridded = rasterise([(0.25, 1.5)], (2, 3), dwell_time=8.0, split=True)
    np.testing.assert_array_equal(gridded.dwell_time, [[0, 3, 3], [0, 1, 1]])
    np.testing.assert_array_equal(rasterise([(1, 1)], (3, 3), split=True).visited.sum(), 1)


@pytest.mark.parametrize("footprint", ["pixel", "bilinear", "gaussian", "narrow"])
def test_all_exposure_arrives_away_from_the_border(footprint):
    positions = np.random.default_rng(3).uniform(6, 33, (200, 2))
    gridded = rasterise(positions, (40, 40), dwell_time=0.5, **FOOTPRINTS[footprint])
    assert gridded.dwell_time.sum(dtype=float) == pytest.approx(100, rel=1e-6)


def test_a_gaussian_probe_is_as_wide_as_it_says():
    gridded = rasterise([(30.3, 29.6)], (60, 60), probe_sigma=3.0)
    along = gridded.dwell_time.sum(axis=0, dtype=float)
    x = np.arange(60)
    assert (along * x).sum() == pytest.approx(29.6, abs=1e-3)
    variance = (along * (x - 29.6) ** 2).sum()
    assert variance == pytest.approx(3.0**2 + 1 / 12, rel=0.01)  # of the probe, and of a pixel


def test_recording_is_the_adjoint_of_gridding_away_from_the_border():
    rng = np.random.default_rng(4)
    positions, dwell_time, image = rng.uniform(12, 27, (50, 2)), rng.random(50), rng.random((40, 40))
    for options in ({"split": True}, {"probe_sigma": 1.7}):
        exposed = rasterise(positions, image.shape, dwell_time=dwell_time, **options).dwell_time
        recorded = record(image, positions, **({"split": False} | options))
        assert (exposed * image).sum(dtype=float) == pytest.approx((dwell_time * recorded).sum(), rel=1e-5)


def test_a_uniform_image_is_recorded_as_it_is_up_to_its_border():
    positions = np.random.default_rng(5).uniform(-0.5, 8.49, (100, 2))
    for options in ({"split": False}, {}, {"probe_sigma": 3.0}):
        np.testing.assert_allclose(record(np.full((9, 9), 5.0), positions, **options), 5, rtol=1e-6)


def test_an_empty_path_visits_nothing():
    gridded = rasterise([], (3, 4), intensities=[])
    assert not gridded.visited.any()
    assert gridded.outside == 0
    assert record(np.ones((3, 4)), []).shape == (0,)


def test_a_sparse_scan_is_made_of_positions():
    scan = SparseScan.from_positions([(0, 1), (0.2, 1.1), (9, 9)], [4, 6, 1], (2, 3), pixel_size=(1.0, 2.0))
    np.testing.assert_array_equal(scan.intensity, [[0, 5, 0], [0, 0, 0]])
    assert scan.coverage == pytest.approx(1 / 6)
    assert scan.pixel_size == (1, 2)
    with pytest.raises(EmptyScan):
        SparseScan.from_positions([(9, 9)], [1], (2, 3))


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"positions": [1.0, 2.0]}, InvalidShape, "positions"),
        ({"positions": [[1.0, 2.0, 3.0]]}, InvalidShape, "positions"),
        ({"shape": (0, 3)}, InvalidShape, "shape"),
        ({"shape": (3, 3, 3)}, InvalidShape, "shape"),
        ({"intensities": [1.0]}, InvalidShape, "intensities"),
        ({"intensities": [1.0, math.nan]}, InvalidValue, "intensities"),
        ({"dwell_time": [1.0, 2.0, 3.0]}, InvalidShape, "dwell_time"),
        ({"dwell_time": -1.0}, InvalidValue, "dwell_time"),
        ({"dwell_time": [1.0, math.inf]}, InvalidValue, "dwell_time"),
        ({"probe_sigma": -1.0}, InvalidOption, "probe_sigma"),
        ({"probe_sigma": math.inf}, InvalidOption, "probe_sigma"),
        ({"probe_sigma": 1.0, "split": True}, InvalidOption, "split"),
    ],
)
def test_what_cannot_be_gridded_is_refused_in_words(arguments, error, words):
    with pytest.raises(error, match=words):
        rasterise(**({"positions": [[0.0, 0], [1, 1]], "shape": (3, 4)} | arguments))


def test_an_image_that_is_none_is_refused():
    with pytest.raises(InvalidShape, match="image"):
        record(np.ones(4), [[0.0, 0]])
