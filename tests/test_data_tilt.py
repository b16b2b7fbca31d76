"""Tilt series and tomograms carry what is known of them; or say in one line what is wrong."""

from dataclasses import replace

import numpy as np
import pytest

import semrt
from semrt.data import TiltSeries, Tomogram, Volume
from semrt.errors import InvalidShape, InvalidValue

SHAPE = (5, 3, 8)
ANGLES = [-60.0, -28.5, 0.0, 30.0, 58.0]


def numbers(shape=SHAPE, seed=0):
    return np.random.default_rng(seed).normal(100, 30, shape)


# --- tilt series


def test_a_tilt_series_keeps_what_it_was_given():
    series = TiltSeries(numbers(), ANGLES, 2, -1.5, {"detector": "HAADF"}, {"simulated": True})
    assert (series.shape, series.tilt_range, series.axis_offset) == (SHAPE, (-60.0, 58.0), -1.5)
    assert (series.intensity.dtype, series.angles.dtype) == (np.float32, np.float64)
    np.testing.assert_array_equal(series.intensity, numbers().astype(np.float32))
    np.testing.assert_array_equal(series.angles, ANGLES)
    assert (series.pixel_size, series.metadata, series.provenance) == (
        (2, 2),
        {"detector": "HAADF"},
        {"simulated": True},
    )
    assert semrt.TiltSeries is TiltSeries


def test_tilts_may_come_in_any_order_and_more_than_once():
    angles = [0.0, 3.0, -3.0, 6.0, 0.0]
    np.testing.assert_array_equal(TiltSeries(numbers(), angles).angles, angles)


def test_the_angles_are_the_series_own():
    angles = np.array(ANGLES)
    series = TiltSeries(numbers(), angles)
    angles[0] = 7
    assert series.angles[0] == -60


@pytest.mark.parametrize("shape", [(3, 8), (1, 3, 8), (5, 0, 8), (2, 5, 3, 8), ()])
def test_fewer_than_two_projections_are_no_tilt_series(shape):
    with pytest.raises(InvalidShape, match=r"intensity: expected shape \(n, ny, ns\), .* two tilts or more, got"):
        TiltSeries(np.ones(shape), ANGLES)


@pytest.mark.parametrize(
    ("angles", "said"),
    [
        (ANGLES[:4], r"angles: expected shape \(5,\), one for each projection, got \(4,\); list one tilt for each"),
        (np.arange(8.0), r"got \(8,\); move the axis of the projections to the front"),
        ([ANGLES], r"angles: expected shape \(5,\)"),
    ],
)
def test_as_many_angles_as_projections_are_wanted(angles, said):
    with pytest.raises(InvalidShape, match=said):
        TiltSeries(numbers(), angles)


@pytest.mark.parametrize(
    ("angles", "said"),
    [
        (np.radians(ANGLES), r"got -1.047 to 1.012, which look like radians; multiply them by 180 / π"),
        (
            [0, 45, 90, 135, 180],
            r"angles: expected degrees from -90 to 90, got 0 to 180; for a beam from behind, mirror",
        ),
        ([-60, 0, np.nan, 10, 60], r"angles: expected finite values \[degrees\]"),
        ([20] * 5, r"angles: expected two different tilts or more, got 20 alone"),
    ],
)
def test_angles_that_are_no_tilts_in_degrees_are_refused(angles, said):
    with pytest.raises(InvalidValue, match=said) as refused:
        TiltSeries(numbers(), angles)
    assert "\n" not in str(refused.value)


def test_two_images_a_degree_apart_are_a_stereo_pair_and_not_in_radians():
    assert TiltSeries(numbers((2, 3, 8)), [0.0, 1.0]).tilt_range == (0.0, 1.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_intensities_and_densities_are_finite(bad):
    values = numbers()
    values[1, 2, 3] = bad
    with pytest.raises(InvalidValue, match="intensity: expected finite values, got NaN or infinite ones; crop or fill"):
        TiltSeries(values, ANGLES)
    with pytest.raises(InvalidValue, match="density: expected finite values"):
        Tomogram(values)
    with pytest.raises(InvalidValue, match="inferred: expected finite values"):
        Tomogram(numbers(), inferred=values)


@pytest.mark.parametrize("offset", [4.5, -200, np.nan, np.inf])
def test_the_axis_falls_on_the_detector(offset):
    with pytest.raises(InvalidValue, match="axis_offset: expected from -4 to 4 px, on the detector, got"):
        TiltSeries(numbers(), ANGLES, axis_offset=offset)


def test_a_stack_becomes_a_tilt_series_with_the_angles_named_or_those_of_its_file():
    volume = Volume(numbers(), (3, 2), metadata={"tilt_angles": ANGLES})
    series = TiltSeries.from_volume(volume)
    np.testing.assert_array_equal(series.angles, ANGLES)
    assert (series.pixel_size, series.metadata) == ((3, 2), volume.metadata)
    named = TiltSeries.from_volume(volume, [0, 10, 20, 30, 40], axis_offset=1)
    assert (named.tilt_range, named.axis_offset) == ((0, 40), 1)
    with pytest.raises(InvalidValue, match=r"angles: expected one a projection \[degrees\], got none; name them"):
        TiltSeries.from_volume(replace(volume, metadata={}))


# --- tomograms


def test_a_tomogram_keeps_what_it_was_given():
    notes = ["the wedge was inferred"]
    tomogram = Tomogram(numbers(), (-60, 58), (1, 2, 3), numbers(seed=1), {"a": 1}, {"model": "wedge"}, notes)
    assert (tomogram.shape, tomogram.tilt_range, tomogram.voxel_size) == (SHAPE, (-60.0, 58.0), (1.0, 2.0, 3.0))
    np.testing.assert_array_equal(tomogram.density, numbers().astype(np.float32))
    np.testing.assert_array_equal(tomogram.inferred, numbers(seed=1).astype(np.float32))
    assert (tomogram.density.dtype, tomogram.inferred.dtype) == (np.float32, np.float32)
    assert (tomogram.metadata, tomogram.provenance, tomogram.notes) == ({"a": 1}, {"model": "wedge"}, tuple(notes))
    assert semrt.Tomogram is Tomogram


def test_what_nobody_said_of_a_tomogram_stays_unknown():
    tomogram = Tomogram(numbers())
    assert (tomogram.tilt_range, tomogram.voxel_size, tomogram.inferred, tomogram.notes) == (None, None, None, ())
    assert Tomogram(numbers(), voxel_size=0.5).voxel_size == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"tilt_range": (60, -60)}, InvalidValue, r"tilt_range: expected \(low, high\) \[degrees\], low below high"),
        ({"tilt_range": (-60, np.nan)}, InvalidValue, "tilt_range"),
        ({"tilt_range": (-1.05, 1.05)}, InvalidValue, "-1.05 to 1.05, which look like radians"),
        ({"tilt_range": (-60, 120)}, InvalidValue, "tilt_range: expected degrees from -90 to 90, got -60 to 120"),
        ({"tilt_range": 60}, InvalidShape, r"tilt_range: expected shape \(2,\), the lowest and the highest tilt"),
        ({"voxel_size": (1, 2)}, InvalidValue, r"voxel_size: expected \(dz, dy, dx\) above zero \[nm\], got \(1, 2\)"),
        ({"voxel_size": 0}, InvalidValue, "voxel_size"),
        ({"inferred": np.ones((3, 8))}, InvalidShape, r"inferred: expected shape \(5, 3, 8\), as density has"),
        ({"density": np.ones((3, 8))}, InvalidShape, r"density: expected shape \(nz, ny, nx\)"),
        ({"density": np.ones(SHAPE, complex)}, InvalidValue, "density: expected real numbers"),
    ],
)
def test_a_tomogram_that_cannot_be_is_refused_in_one_line(given, error, said):
    with pytest.raises(error, match=said) as refused:
        Tomogram(**({"density": numbers()} | given))
    assert "\n" not in str(refused.value)


def test_a_stack_becomes_a_tomogram_whose_voxel_size_is_known_where_all_of_it_is():
    volume = Volume(numbers(), (3, 2), 5, metadata={"tilt_range": [-65, 70]})
    tomogram = Tomogram.from_volume(volume)
    assert (tomogram.voxel_size, tomogram.tilt_range, tomogram.metadata) == ((5, 3, 2), (-65, 70), volume.metadata)
    assert Tomogram.from_volume(volume, (-50, 50)).tilt_range == (-50, 50)
    assert Tomogram.from_volume(replace(volume, slice_thickness=None)).voxel_size is None
    assert Tomogram.from_volume(Volume(numbers())).tilt_range is None


# --- slices along the tilt axis


def test_a_slab_is_made_of_the_chosen_slices():
    series = TiltSeries(np.arange(24.0).reshape(2, 4, 3), (-10, 10), (3, 2), 0.5, {"a": 1})
    part = series.slab(slice(1, 3))
    np.testing.assert_array_equal(part.intensity, series.intensity[:, 1:3])
    assert (series.n_slices, part.n_slices, part.axis_offset, part.pixel_size) == (4, 2, 0.5, (3, 2))
    volume = np.arange(24.0).reshape(2, 4, 3)
    tomogram = Tomogram(volume, (-10, 10), 0.5, inferred=-volume, notes=("n",))
    part = tomogram.slab(np.array([3, 0]))
    np.testing.assert_array_equal(part.density, volume[:, [3, 0]])
    np.testing.assert_array_equal(part.inferred, -volume[:, [3, 0]])
    assert (part.n_slices, part.notes, part.tilt_range) == (2, ("n",), (-10, 10))
    assert tomogram.slab(slice(0, 1)).shape == (2, 1, 3)
    for of, held in ((series, series.intensity), (tomogram, volume)):
        np.testing.assert_array_equal(np.stack(list(of.planes())), held)


def test_what_was_inferred_is_a_tomogram_by_itself():
    tomogram = Tomogram(np.ones((2, 3, 4)), (-10, 10), 0.5, inferred=np.full((2, 3, 4), 0.25))
    part = tomogram.inferred_part()
    assert float(part.density.mean()) == 0.25
    assert (part.inferred, part.voxel_size, part.tilt_range) == (None, (0.5, 0.5, 0.5), (-10, 10))
    assert Tomogram(np.ones((2, 3, 4))).inferred_part() is None
