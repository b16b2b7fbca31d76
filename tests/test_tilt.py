"""Projections at many tilts, against their twin, against disks whose shadows arithmetic tells, and against skimage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.transform import iradon, radon

from reference.tilt import tilt_matrix
from semrt.errors import InvalidOption, InvalidShape, InvalidValue
from semrt.kernels import back_project_tilts, project_tilts
from semrt.physics.tilt import TiltGeometry

ASYMMETRIC = np.array([-61.3, -45.0, -20.0, 0.0, 13.0, 45.0, 52.5, 74.0, 90.0])


def disk(shape, centre, radius, finer=8):
    """(nz, nx): the part of each pixel that a disk covers; its centre (z, x) from the middle of the slice [px]."""
    z, x = ((np.arange(n * finer) + 0.5) / finer - n / 2 - offset for n, offset in zip(shape, centre, strict=True))
    inside = z[:, None] ** 2 + x**2 <= radius**2
    return inside.reshape(shape[0], finer, shape[1], finer).mean(axis=(1, 3)).astype(np.float32)


def shadow(angles, n_detector, centre, radius, axis_offset=0.0):
    """(n, n_detector): the chord 2 √(r² - s²) of a disk, averaged over each pixel by its antiderivative."""
    theta = np.deg2rad(angles)[:, None]
    s = (
        np.arange(n_detector)
        - (n_detector - 1) / 2
        - axis_offset
        - centre[1] * np.cos(theta)
        - centre[0] * np.sin(theta)
    )

    def area(t):
        t = np.clip(t, -radius, radius)
        return t * np.sqrt(radius**2 - t**2) + radius**2 * np.arcsin(t / radius)

    return area(s + 0.5) - area(s - 0.5)


def relative(got, wanted):
    return np.linalg.norm(got - wanted) / np.linalg.norm(wanted)


shapes = st.tuples(st.integers(1, 9), st.integers(1, 3), st.integers(1, 9))


@settings(max_examples=40, deadline=None)
@given(
    shape=shapes,
    angles=st.lists(st.floats(-180, 180) | st.sampled_from([0.0, 45.0, -45.0, 90.0]), min_size=1, max_size=9),
    n_detector=st.integers(1, 14),
    axis_offset=st.floats(-6, 6),
    seed=st.integers(0, 2**32 - 1),
)
def test_projections_and_back_projections_are_those_of_the_twin(shape, angles, n_detector, axis_offset, seed):
    rng = np.random.default_rng(seed)
    (nz, ny, nx), n = shape, len(angles)
    volume = rng.standard_normal(shape).astype(np.float32)
    series = rng.standard_normal((n, ny, n_detector)).astype(np.float32)
    matrix = tilt_matrix(angles, (nz, nx), n_detector, axis_offset)
    projected = project_tilts(volume, angles, n_detector, axis_offset=axis_offset)
    returned = back_project_tilts(series, angles, (nz, nx), axis_offset=axis_offset)
    assert (projected.shape, returned.shape) == ((n, ny, n_detector), shape)
    for y in range(ny):
        expected = matrix @ volume[:, y].ravel()
        np.testing.assert_allclose(projected[:, y].ravel(), expected, atol=2e-5)
        np.testing.assert_allclose(returned[:, y].ravel(), matrix.T @ series[:, y].ravel(), atol=2e-5)


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 70), st.integers(1, 4), st.integers(1, 70)),
    angles=st.lists(st.floats(-90, 90), min_size=1, max_size=21),
    n_detector=st.integers(1, 90),
    axis_offset=st.floats(-20, 20),
    seed=st.integers(0, 2**32 - 1),
)
def test_back_projection_is_the_adjoint_of_projection(shape, angles, n_detector, axis_offset, seed):
    rng = np.random.default_rng(seed)
    geometry = TiltGeometry(angles, (shape[0], shape[2]), n_detector, axis_offset)
    volume = rng.random(shape, dtype=np.float32)
    series = rng.random((len(angles), shape[1], n_detector), dtype=np.float32)
    forward = np.vdot(geometry.project(volume).astype(float), series)
    backward = np.vdot(volume.astype(float), geometry.back_project(series))
    assert forward == pytest.approx(backward, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(("radius", "centre", "limit"), [(30.0, (0.0, 0.0), 0.007), (22.4, (-9.3, 14.8), 0.009)])
def test_a_disk_casts_the_shadow_that_arithmetic_tells(radius, centre, limit):
    drawn = disk((96, 90), centre, radius)
    projected = project_tilts(drawn[:, None], ASYMMETRIC, 100)[:, 0]
    assert relative(projected, shadow(ASYMMETRIC, 100, centre, radius)) < limit


def test_a_small_disk_falls_where_x_cos_plus_z_sin_says_and_keeps_its_mass():
    centre, offset = (-17.3, 8.6), 2.7
    drawn = disk((64, 60), centre, 2.5)
    projected = project_tilts(drawn[:, None], ASYMMETRIC, 81, axis_offset=offset)[:, 0].astype(float)
    np.testing.assert_allclose(projected.sum(axis=1), drawn.sum(dtype=float), rtol=1e-5)
    theta = np.deg2rad(ASYMMETRIC)
    found = projected @ (np.arange(81) - 40.0) / projected.sum(axis=1)
    wanted = centre[1] * np.cos(theta) + centre[0] * np.sin(theta) + offset
    np.testing.assert_allclose(found, wanted, atol=0.02)


def test_along_the_axes_projections_are_sums_of_rows_and_columns():
    volume = np.random.default_rng(0).random((7, 2, 9), dtype=np.float32)
    upright, tilted = project_tilts(volume, [0.0, 90.0], 9)
    np.testing.assert_allclose(upright, volume.sum(axis=0), rtol=1e-6)
    np.testing.assert_allclose(tilted[:, 1:8], volume.sum(axis=2).T, rtol=1e-6)
    np.testing.assert_allclose(tilted[:, [0, 8]], 0, atol=1e-6)  # the cosine of 90° is not quite 0


def test_a_beam_from_the_other_side_sees_the_mirror_image():
    volume = np.random.default_rng(1).random((20, 1, 26), dtype=np.float32)
    here = project_tilts(volume, ASYMMETRIC, 31, axis_offset=1.5)
    there = project_tilts(volume, ASYMMETRIC + 180, 31, axis_offset=-1.5)
    np.testing.assert_allclose(there[..., ::-1], here, atol=1e-4)


def test_each_slice_is_projected_as_if_it_were_alone():
    volume = np.random.default_rng(2).random((33, 5, 40), dtype=np.float32)
    geometry = TiltGeometry(ASYMMETRIC, (33, 40), 47, 0.3)
    series = geometry.project(volume)
    returned = geometry.back_project(series)
    for y in range(5):
        np.testing.assert_array_equal(geometry.project(volume[:, y : y + 1])[:, 0], series[:, y])
        np.testing.assert_array_equal(geometry.back_project(series[:, y : y + 1])[:, 0], returned[:, y])


@pytest.mark.parametrize("shape", [(50, 1, 45), (50, 3, 45), (50, 40, 45), (1050, 1, 900)])
def test_projections_do_not_depend_on_the_number_of_threads(shape):
    volume = np.random.default_rng(3).random(shape, dtype=np.float32)
    geometry = TiltGeometry(ASYMMETRIC, shape[::2], 60)
    one, four = (geometry.project(volume, n_threads=n) for n in (1, 4))
    np.testing.assert_array_equal(one, four)
    np.testing.assert_array_equal(*(geometry.back_project(one, n_threads=n) for n in (1, 4)))


def test_the_shadow_of_a_disk_is_that_of_skimage():
    drawn = disk((95, 95), (0.0, 0.0), 25.0) + disk((95, 95), (12.0, -16.0), 9.0)
    angles = np.arange(-88.0, 89.0, 8.0)
    # skimage turns the other way, and is off by the half of a pixel that its rotation rounds.
    theirs = radon(drawn, -angles, circle=True).T
    ours = project_tilts(drawn[:, None], angles)[:, 0]
    assert relative(ours, theirs) < 0.015


def test_back_projecting_is_what_skimage_does_without_a_filter():
    angles = np.arange(-90.0, 90.0, 2.0)
    series = shadow(angles, 95, (12.0, -16.0), 20.0).astype(np.float32)
    theirs = iradon(series.T, -angles, filter_name=None, circle=True) * 2 * len(angles) / np.pi
    ours = back_project_tilts(series[:, None], angles, (95, 95))[:, 0]
    inside = disk((95, 95), (0.0, 0.0), 45.0) == 1
    assert relative(ours[inside], theirs[inside]) < 0.005


def test_a_geometry_keeps_what_it_was_given_and_knows_its_range():
    geometry = TiltGeometry([20, -60, 58], (30, 40))
    assert (geometry.n_detector, geometry.axis_offset, geometry.tilt_range) == (40, 0.0, (-60.0, 58.0))
    with pytest.raises(ValueError, match="read-only"):
        geometry.angles[0] = 3


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"angles": []}, InvalidShape, r"angles: expected shape \(n,\) with at least one"),
        ({"angles": [[1.0]]}, InvalidShape, "angles"),
        ({"angles": [0, np.nan]}, InvalidValue, r"angles: expected finite values \[degrees\]"),
        ({"shape": (3, 0)}, InvalidOption, r"shape: expected \(nz, nx\)"),
        ({"n_detector": 0}, InvalidOption, "n_detector: expected one pixel or more"),
        ({"axis_offset": np.inf}, InvalidOption, "axis_offset: expected a finite number"),
    ],
)
def test_a_geometry_that_cannot_be_is_refused_in_one_line(given, error, said):
    with pytest.raises(error, match=said) as refused:
        TiltGeometry(**({"angles": [0.0], "shape": (3, 4)} | given))
    assert "\n" not in str(refused.value)


def test_what_does_not_fit_the_geometry_is_refused():
    geometry = TiltGeometry([0.0, 10.0], (3, 4), 5)
    with pytest.raises(
        InvalidShape, match=r"volume: expected shape \(3, ny, 4\), as the geometry has, got \(4, 1, 3\)"
    ):
        geometry.project(np.zeros((4, 1, 3)))
    with pytest.raises(InvalidShape, match=r"series: expected shape \(2, ny, 5\), as the geometry has, got \(2, 5\)"):
        geometry.back_project(np.zeros((2, 5)))
    with pytest.raises(InvalidValue, match="volume: expected finite values"):
        geometry.project(np.full((3, 1, 4), np.nan))
    with pytest.raises(InvalidShape, match=r"series: expected shape \(2, ny, ns\), one projection an angle"):
        back_project_tilts(np.zeros((3, 1, 5)), [0.0, 1.0], (3, 4))
    with pytest.raises(InvalidOption, match="n_detector"):
        project_tilts(np.zeros((3, 1, 4)), [0.0], 0)
