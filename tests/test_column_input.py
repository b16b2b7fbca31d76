"""What the network of columns is given: columns of a standard size, whatever image comes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semrt.errors import InvalidOption, InvalidShape
from semrt.simulate.columns import Imaging, Specimen, draw, record
from semrt.tasks.column_input import (
    INPUT_CHANNELS,
    LARGEST_SCALE,
    SMALLEST_SCALE,
    STANDARD_SPACING,
    network_input,
    resampled,
)
from semrt.tasks.column_spacing import column_spacing


def image_of(structure, spacing, shape=(256, 256), *, dose=100.0, width=0.2, seed=0, **specimen):
    imaging = Imaging(probe_sigma=width * spacing, dose=dose, level=0.1, read_noise=1.0, light=0.3)
    crystal = Specimen(structure, spacing, angle=17, **specimen)
    return record(crystal, imaging, shape, np.random.default_rng(seed), bound=False)


def gaussians(shape, y, x, sigma):
    rows, columns = np.arange(shape[0])[:, None], np.arange(shape[1])
    return sum(np.exp(-((rows - a) ** 2 + (columns - b) ** 2) / (2 * sigma**2)) for a, b in zip(y, x, strict=True))


@pytest.mark.parametrize("spacing", [7.0, 12.0, 25.0, 50.0])
@pytest.mark.parametrize("structure", ["square", "hexagonal", "fcc-110", "diamond-110-Si", "graphene"])
def test_the_spacing_of_a_lattice_is_estimated_within_a_tenth_at_any_scale(structure, spacing):
    side = int(np.clip(14 * spacing, 128, 512))
    estimated = column_spacing(image_of(structure, spacing, (side, side)).counts, default=1.0)
    assert estimated.spacing == pytest.approx(spacing, rel=0.1)
    assert estimated.confidence > 0.6


def test_where_light_columns_drown_the_spacing_is_that_of_the_heavy_ones():
    image = image_of("perovskite-100", 14.0, dose=15.0)
    # Heavy columns at the corners and in the middle of the cell, light ones half-way between: sqrt(2) nearer.
    estimated = column_spacing(image.counts, default=1.0).spacing
    assert 0.9 * 14 < estimated < 1.1 * 14 * 2**0.5


@pytest.mark.parametrize("dose", [8.0, 30.0, 1000.0])
def test_noise_does_not_move_the_estimate(dose):
    image = image_of("hexagonal", 15.0, dose=dose)
    assert column_spacing(image.counts, default=1.0).spacing == pytest.approx(15, rel=0.12)


def test_a_particle_in_an_empty_field_is_measured_all_the_same():
    image = image_of("fcc-110", 14.0, (384, 384), particles=1, seed=3)
    covered = (image.clean > 0.05 * image.clean.max()).mean()
    assert covered < 0.6
    assert column_spacing(image.counts, default=1.0).spacing == pytest.approx(14, rel=0.15)


def test_almost_all_images_of_the_library_are_measured_within_a_factor_of_two():
    errors = []
    for number in range(40):
        image = draw(np.random.default_rng((7, number)), (224, 224))
        if np.median(image.snr) > 5:
            errors.append(np.log2(column_spacing(image.counts, default=1.0).spacing / image.spacing))
    assert len(errors) > 20
    assert np.mean(np.abs(errors) < 1) >= 0.9
    assert np.mean(np.abs(errors) < 0.3) >= 0.7


def test_gain_and_offset_of_the_detector_change_neither_estimate_nor_planes():
    counts = image_of("square", 14.0, (128, 160)).counts
    plain, amplified = network_input(counts), network_input(300 * counts + 5000)
    assert amplified.spacing == plain.spacing
    np.testing.assert_allclose(amplified.planes, plain.planes, atol=2e-3)


@pytest.mark.parametrize("spacing", [8.0, 20.0, 44.0])
def test_columns_come_to_the_standard_spacing(spacing):
    seen = network_input(image_of("square", spacing, (300, 340)).counts)
    assert seen.planes.shape[0] == len(INPUT_CHANNELS)
    assert column_spacing(seen.planes[0], default=1.0).spacing == pytest.approx(STANDARD_SPACING, rel=0.1)
    assert seen.scale == (seen.planes.shape[1] / 300, seen.planes.shape[2] / 340)


@pytest.mark.parametrize("spacing", [6.0, 11.0, 30.0])
def test_a_place_of_the_image_is_found_again_in_the_planes(spacing):
    y, x = np.array([40.25, 97.5]), np.array([70.75, 30.0])
    seen = network_input(gaussians((140, 120), y, x, 4.0), spacing=spacing)
    rows, columns = seen.to_planes(y, x)
    for row, column in zip(rows, columns, strict=True):
        reach = int(12 * seen.scale[0])
        a, b = round(row) - reach, round(column) - reach
        window = seen.planes[0, a : a + 2 * reach + 1, b : b + 2 * reach + 1].astype(np.float64)
        window -= window.min()
        assert (window.sum(1) @ np.arange(len(window))) / window.sum() + a == pytest.approx(row, abs=0.15)
        assert (window.sum(0) @ np.arange(len(window))) / window.sum() + b == pytest.approx(column, abs=0.15)
    there_and_back = seen.to_image(rows, columns)
    np.testing.assert_allclose(there_and_back, (y, x), atol=1e-12)


def test_shrinking_gathers_the_dose():
    noise = np.random.default_rng(0).standard_normal((256, 256)).astype(np.float32)
    # The mean of 4 × 4 pixels has a quarter of their standard deviation.
    assert resampled(noise, (64, 64)).std() == pytest.approx(0.25, rel=0.05)


def test_thin_parts_look_like_thick_ones_in_the_plane_of_contrast():
    counts = image_of("square", 14.0, (256, 256), dose=1e5).clean * np.linspace(0.2, 1, 256, dtype=np.float32)
    intensity, contrast = network_input(counts, spacing=14.0).planes
    thin, thick = np.s_[20:200, 20:60], np.s_[20:200, -60:-20]
    assert intensity[thick].std() > 2 * intensity[thin].std()
    assert contrast[thick].std() == pytest.approx(contrast[thin].std(), rel=0.1)


def test_hot_pixels_do_not_set_the_units():
    counts = image_of("square", 14.0, (200, 200)).counts
    hot = counts.copy()
    hot[::67, ::59] = 65535
    plain, spoilt = network_input(counts), network_input(hot)
    assert spoilt.spread == pytest.approx(plain.spread, rel=0.2)
    assert np.abs(spoilt.planes).max() <= 12


@pytest.mark.parametrize("kind", ["flat", "white", "poisson", "streaks"])
def test_an_image_without_columns_says_so_and_keeps_its_size(kind):
    rng = np.random.default_rng(4)
    noise = rng.standard_normal((256, 300)).astype(np.float32)
    pictures = {
        "flat": np.full((256, 300), 7.0),
        "white": noise,
        "poisson": rng.poisson(3.0, (256, 300)),
        "streaks": noise + np.roll(noise, 1, axis=1),  # noise of a slow detector
    }
    seen = network_input(pictures[kind])
    assert seen.confidence == 0
    assert seen.spacing == STANDARD_SPACING
    assert seen.planes.shape[1:] == (256, 300)
    assert np.isfinite(seen.planes).all()


@settings(deadline=None, max_examples=40)
@given(ny=st.integers(1, 70), nx=st.integers(1, 70), level=st.sampled_from([0.0, 3.0, 1e4]), seed=st.integers(0, 99))
def test_any_size_from_one_pixel_is_taken(ny, nx, level, seed):
    image = np.random.default_rng(seed).poisson(level, (ny, nx))
    seen = network_input(image)
    assert seen.planes.dtype == np.float32
    assert np.isfinite(seen.planes).all()
    for n, length, scale in zip((ny, nx), seen.planes.shape[1:], seen.scale, strict=True):
        assert length == max(1, round(np.clip(STANDARD_SPACING / seen.spacing, SMALLEST_SCALE, LARGEST_SCALE) * n))
        assert scale == length / n


def test_the_number_of_threads_changes_nothing():
    counts = image_of("fcc-110", 9.0, (200, 180)).counts
    one, three = network_input(counts, n_threads=1), network_input(counts, n_threads=3)
    assert np.array_equal(one.planes, three.planes)
    assert one.spacing == three.spacing


def test_what_is_no_image_is_refused():
    with pytest.raises(InvalidShape, match="intensity"):
        network_input(np.zeros(5))
    with pytest.raises(InvalidShape, match="intensity"):
        network_input(np.zeros((0, 5)))
    with pytest.raises(InvalidOption, match="spacing"):
        network_input(np.zeros((5, 5)), spacing=-1)
