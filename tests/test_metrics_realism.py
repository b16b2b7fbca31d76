"""How much an image looks as recorded: its spectrum, and its noise."""

import numpy as np
import pytest

from semrt.errors import InvalidShape
from semrt.metrics import blur_5x5, noise_level, spectral_distance
from semrt.simulate import micrographs


def noise(seed, shape=(128, 160), sigma=1.0):
    return sigma * np.random.default_rng(seed).standard_normal(shape)


def test_another_draw_of_the_same_noise_is_nearly_alike_and_twice_as_much_is_six_decibels_away():
    assert spectral_distance(noise(0), noise(0)) == 0
    assert spectral_distance(noise(0), noise(1)) < 1.5
    assert spectral_distance(noise(0, sigma=2.0), noise(0)) == pytest.approx(20 * np.log10(2), abs=0.01)


def test_a_smooth_image_is_far_from_one_with_noise_and_noise_of_the_right_level_brings_it_back():
    image = micrographs.draw(np.random.default_rng(3), (128, 128), "spheres").astype(float)
    recorded = image + noise(0, image.shape, 0.1)
    smooth = blur_5x5(recorded)
    renoised = smooth + noise(1, image.shape, 0.1)
    assert spectral_distance(smooth, recorded) > 5 * spectral_distance(renoised, recorded)


def test_an_image_without_any_noise_has_a_finite_distance():
    assert np.isfinite(spectral_distance(np.ones((64, 64)), noise(0, (64, 64))))
    assert spectral_distance(np.ones((64, 64)), np.zeros((64, 64))) == 0


@pytest.mark.parametrize("sigma", [0.02, 0.5])
def test_noise_is_measured_whatever_smooth_lies_under_it(sigma):
    y, x = np.mgrid[:200, :200]
    assert noise_level(np.sin(y / 40) + x / 50 + noise(0, (200, 200), sigma)) == pytest.approx(sigma, rel=0.03)


def test_images_too_small_or_unlike_are_refused():
    with pytest.raises(InvalidShape, match="32"):
        spectral_distance(noise(0, (20, 40)), noise(0, (20, 40)))
    with pytest.raises(InvalidShape, match="reference"):
        spectral_distance(noise(0, (40, 40)), noise(0, (40, 41)))
    with pytest.raises(InvalidShape):
        noise_level(np.zeros(5))
