from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semrt.errors import InvalidOption, InvalidShape
from semrt.simulate import detector, fields, micrographs, shapes

ANY_SHAPE = st.tuples(st.integers(1, 40), st.integers(1, 40))


def ring_power(image, low, high):
    """Mean power between two frequencies [1/px]; a Hann window keeps the edges out of it."""
    image = (image - image.mean()) * np.outer(*(np.hanning(n + 2)[1:-1] for n in image.shape))
    power = np.abs(np.fft.fft2(image)) ** 2
    frequency = np.hypot(*np.meshgrid(*(np.fft.fftfreq(n) for n in image.shape), indexing="ij"))
    return power[(frequency >= low) & (frequency < high)].mean()


def spectral_slope(image):
    """Exponent p of a power spectrum falling as frequency**-p, between 1/40 and 1/8 of a cycle a pixel."""
    edges = np.geomspace(1 / 40, 1 / 8, 6)
    power = [ring_power(image, low, high) for low, high in pairwise(edges)]
    return -np.polyfit(np.log(np.sqrt(edges[:-1] * edges[1:])), np.log(power), 1)[0]


# --- micrographs


@pytest.mark.parametrize("kind", micrographs.KINDS)
@given(shape=ANY_SHAPE, seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=8)
def test_every_kind_fills_any_shape_with_intensities_from_0_to_1(kind, shape, seed):
    for image in (
        micrographs.KINDS[kind](np.random.default_rng(seed), shape),
        micrographs.draw(np.random.default_rng(seed), shape, kind),
    ):
        assert image.shape == shape
        assert image.dtype == np.float32
        assert np.isfinite(image).all()
        assert image.min() >= 0
        assert image.max() <= 1


@pytest.mark.parametrize("kind", [*micrographs.KINDS, None])
def test_the_same_seed_draws_the_same_image_and_another_seed_another(kind):
    first, again, other = (micrographs.draw(np.random.default_rng(seed), (48, 32), kind) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.005


@pytest.mark.parametrize("kind", micrographs.KINDS)
def test_every_kind_shows_structure(kind):
    contrasts = [float(micrographs.KINDS[kind](np.random.default_rng(seed), (96, 96)).std()) for seed in range(4)]
    assert max(contrasts) > 0.02


def test_a_probe_leaves_little_detail_at_the_finest_frequencies():
    """A probe cannot draw stairs of one pixel: most images hold far less power near Nyquist than near 1/8."""
    ratios = []
    for seed in range(24):
        image = micrographs.draw(np.random.default_rng(seed), (128, 128))
        ratios.append(ring_power(image, 0.45, 0.5) / ring_power(image, 0.1, 0.15))
    assert np.median(ratios) < 0.02
    assert max(ratios) < 0.8  # a white image would have 1


def test_spectra_fall_as_those_of_natural_images_do_and_differ_among_themselves():
    """Edges give a slope of 3, natural images 2 to 3, defocused ones more; noise-like textures less."""
    slopes = np.array([spectral_slope(micrographs.draw(np.random.default_rng(seed), (128, 128))) for seed in range(32)])
    assert 1.8 < np.median(slopes) < 4.2
    assert np.quantile(slopes, 0.9) - np.quantile(slopes, 0.1) > 1.0


def test_some_images_use_a_narrow_part_of_the_range():
    used = [float(np.ptp(micrographs.draw(np.random.default_rng(seed), (32, 32)))) for seed in range(60)]
    assert 0.05 < np.mean(np.array(used) < 0.4) < 0.5
    assert np.mean(np.array(used) > 0.95) > 0.3


def test_an_unknown_kind_is_refused_with_the_nearest_name():
    with pytest.raises(InvalidOption, match="did you mean 'spheres'"):
        micrographs.draw(np.random.default_rng(0), (8, 8), "sphere")


@pytest.mark.parametrize("shape", [(0, 5), (5,), (2, 3, 4)])
def test_a_shape_that_is_no_image_is_refused(shape):
    with pytest.raises(InvalidShape, match="at least one pixel"):
        micrographs.draw(np.random.default_rng(0), shape)


@given(ANY_SHAPE, st.integers(0, 999))
@settings(deadline=None, max_examples=40)
def test_an_augmented_micrograph_keeps_its_shape_and_lies_in_0_to_1(shape, seed):
    measured = np.random.default_rng(1).integers(0, 4000, shape).astype(np.uint16)
    image = micrographs.augment(measured, np.random.default_rng(seed))
    assert image.shape == shape
    assert image.dtype == np.float32
    assert 0 <= image.min() <= image.max() <= 1


def test_augmenting_leaves_the_micrograph_alone():
    measured = np.random.default_rng(1).random((20, 20), dtype=np.float32)
    before = measured.copy()
    for seed in range(10):
        micrographs.augment(measured, np.random.default_rng(seed))
    np.testing.assert_array_equal(measured, before)


# --- the detector


def test_shot_noise_has_the_mean_and_the_variance_of_counts():
    image = np.full((400, 400), 0.3, np.float32)
    recorded = detector.expose(image, np.random.default_rng(0), dose=50)
    assert recorded.mean() == pytest.approx(0.3, rel=0.005)
    assert recorded.var() == pytest.approx(0.3 / 50, rel=0.02)  # var(counts) = mean(counts) = 15; / 50**2
    assert np.allclose(recorded * 50, np.round(recorded * 50), atol=1e-3)  # whole counts


def test_read_noise_adds_its_variance_and_is_not_clipped():
    image = np.zeros((400, 400), np.float32)
    recorded = detector.expose(image, np.random.default_rng(0), read_noise=0.1)
    assert recorded.mean() == pytest.approx(0, abs=0.001)
    assert recorded.std() == pytest.approx(0.1, rel=0.01)
    assert recorded.min() < -0.2


def test_jitter_shifts_each_row_as_a_whole_and_only_along_it():
    x = np.arange(200, dtype=np.float32)
    image = np.tile(x, (300, 1))  # on a ramp of 1 a pixel, the change of intensity is the shift
    shift = image - detector.expose(image, np.random.default_rng(0), jitter=2.0)
    middle = shift[:, 20:-20]
    assert np.ptp(middle, axis=1).max() < 1e-3
    assert middle[:, 0].std() == pytest.approx(2.0, rel=0.15)
    np.testing.assert_allclose(detector.expose(image.T, np.random.default_rng(0), jitter=2.0), image.T, rtol=1e-6)


def test_no_noise_asked_for_is_no_noise_and_a_copy():
    image = np.random.default_rng(0).random((5, 7), dtype=np.float32)
    recorded = detector.expose(image, np.random.default_rng(0))
    np.testing.assert_array_equal(recorded, image)
    assert not np.shares_memory(recorded, image)


@pytest.mark.parametrize("wrong", [{"dose": 0.0}, {"dose": -1.0}, {"read_noise": -0.1}, {"jitter": -1.0}])
def test_impossible_noise_is_refused(wrong):
    with pytest.raises(InvalidOption, match="expected"):
        detector.expose(np.zeros((3, 3), np.float32), np.random.default_rng(0), **wrong)


def test_random_noise_spans_none_to_a_seventh_of_the_range_without_bias():
    ramp = np.tile(np.linspace(0.2, 0.6, 128, dtype=np.float32), (128, 1))
    noise = [detector.random_noise(ramp, np.random.default_rng(seed)) - ramp for seed in range(80)]
    sigmas = np.array([n.std() for n in noise]) / 0.4
    assert 0.08 < np.mean(sigmas == 0) < 0.35
    assert sigmas.max() < 0.16
    assert np.mean(sigmas > 0.05) > 0.1
    assert all(abs(n.mean()) < 6 * n.std() / 128 + 1e-4 for n in noise)


@given(ANY_SHAPE, st.integers(0, 999))
@settings(deadline=None, max_examples=40)
def test_random_noise_keeps_shape_and_stays_finite_even_on_a_constant_image(shape, seed):
    recorded = detector.random_noise(np.full(shape, 0.4, np.float32), np.random.default_rng(seed))
    assert recorded.shape == shape
    assert recorded.dtype == np.float32
    assert np.isfinite(recorded).all()


# --- fields and shapes


@pytest.mark.parametrize("exponent", [1.0, 2.0, 3.0])
def test_a_power_law_field_has_the_exponent_asked_for(exponent):
    slopes = [spectral_slope(fields.power_law(np.random.default_rng(s), (256, 256), exponent)) for s in range(4)]
    assert np.mean(slopes) == pytest.approx(exponent, abs=0.25)


def test_a_stretched_field_is_longer_along_its_direction():
    field = fields.power_law(np.random.default_rng(0), (256, 256), 2.0, stretch=4.0)
    along, across = (np.mean(np.diff(field, axis=axis) ** 2) for axis in (0, 1))
    assert along < 0.5 * across


@pytest.mark.parametrize("wavelength", [4.0, 20.0, 90.0])
def test_a_smooth_field_has_unit_variance_over_many_draws(wavelength):
    rng = np.random.default_rng(0)
    values = np.concatenate([fields.smooth(rng, (37, 41), wavelength).ravel() for _ in range(200)])
    assert values.var() == pytest.approx(1, rel=0.15)


@given(st.tuples(st.integers(1, 50), st.integers(1, 50)), st.floats(0.3, 4))
@settings(deadline=None, max_examples=20)
def test_blur_equals_scipy(shape, sigma):
    from scipy.ndimage import gaussian_filter

    image = np.random.default_rng(0).random(shape, dtype=np.float32)
    theirs = gaussian_filter(image, sigma, truncate=3.5, mode="reflect")
    np.testing.assert_allclose(fields.blur(image, sigma), theirs, atol=1e-5)


def test_resampling_keeps_a_ramp_where_it_is():
    ramp = np.add.outer(2.0 * np.arange(20), 3.0 * np.arange(15)).astype(np.float32)
    finer = fields.resample(ramp, (60, 30))
    y, x = (np.arange(60) + 0.5) / 3 - 0.5, (np.arange(30) + 0.5) / 2 - 0.5
    np.testing.assert_allclose(finer[12:-12, 6:-6], np.add.outer(2 * y, 3 * x)[12:-12, 6:-6], atol=1e-3)


def test_the_pixels_that_an_ellipse_covers_sum_to_its_area():
    cut = shapes.window((80, 80), (40.3, 38.8), 35, 0.7)
    assert cut is not None
    assert shapes.cover(shapes.ellipse(cut, 20, 15)).sum() == pytest.approx(np.pi * 20 * 15, rel=0.01)
    assert shapes.cover(shapes.capsule(cut, 10, 8)).sum() == pytest.approx(np.pi * 64 + 320, rel=0.01)
    square = shapes.polygon(cut, np.arange(4) * np.pi / 2, np.full(4, 12.0))
    assert shapes.cover(square).sum() == pytest.approx(24**2, rel=0.01)


def test_a_window_outside_the_image_is_none():
    assert shapes.window((10, 10), (-30.0, 5.0), 8) is None
    assert shapes.window((10, 10), (5.0, 30.0), 8) is None


def test_packed_discs_overlap_no_more_than_allowed():
    discs = np.array(shapes.pack(np.random.default_rng(0), (100, 100), np.full(80, 8.0), overlap=0.25))
    gap = np.hypot(*(np.subtract.outer(discs[:, k], discs[:, k]) for k in (0, 1)))
    np.fill_diagonal(gap, np.inf)
    assert len(discs) > 20
    assert gap.min() >= 16 - 0.25 * 8 - 1e-9


def test_cells_belong_to_the_nearest_seed():
    y, x = np.meshgrid(*(np.arange(60, dtype=np.float32),) * 2, indexing="ij")
    tiling = shapes.cells(np.random.default_rng(0), y, x, 12.0, disorder=0.8, spread=0.0)
    seed_y, seed_x = y - tiling.y, x - tiling.x
    seeds = np.unique(np.round(np.stack([seed_y.ravel(), seed_x.ravel()]), 3), axis=1)
    distance = np.hypot(y.ravel()[:, None] - seeds[0], x.ravel()[:, None] - seeds[1])
    np.testing.assert_allclose(np.hypot(tiling.y, tiling.x).ravel(), distance.min(axis=1), atol=2e-3)
    ordered = np.sort(distance, axis=1)
    inner = (slice(15, -15),) * 2  # beyond it, the second nearest seed may own no pixel of the image
    expected = (0.5 * (ordered[:, 1] - ordered[:, 0])).reshape(60, 60)
    np.testing.assert_allclose(tiling.inside[inner], expected[inner], atol=2e-3)


def test_power_law_radii_follow_their_density():
    radii = shapes.power_law_radii(np.random.default_rng(0), 200_000, 1.0, 100.0, 3.0)
    assert radii.min() >= 1
    assert radii.max() <= 100
    assert np.mean(radii > 2) == pytest.approx(0.25, abs=0.005)  # the tail of r**-3 falls as r**-2
