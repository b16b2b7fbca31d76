"""What the network of `layers` sees: first guesses, calibrated on the whole image."""

import numpy as np
import pytest

from semrt.data import EnergyStack
from semrt.errors import InvalidOption
from semrt.physics.backscatter import ENERGIES, backscatter
from semrt.simulate.layers import Recording, draw, split_seed
from semrt.tasks.layer_input import INPUT_CHANNELS, N_COMPONENTS, THICKEST, layer_input


def stack_of(sample):
    return EnergyStack(sample.intensity, sample.energies)


def first_guess(seen):
    return seen.planes[:2] * np.array(THICKEST)[:, None, None]


def test_without_noise_the_first_guess_is_the_truth_to_the_grid():
    gold, aluminium = np.meshgrid([0.0, 2.5, 5.0, 10.0, 15.0], [0.0, 10.0, 48.0, 100.0, 150.0])
    thickness = np.stack([gold, aluminium]).repeat(4, 1).repeat(4, 2)
    for variant in ("repo", "phys"):
        intensity = backscatter(thickness, variant=variant).astype(np.float32)
        seen = layer_input(EnergyStack(intensity, ENERGIES), variant)
        found = first_guess(seen)
        # Aluminium under which there is no gold is nearly invisible in `phys`, and degenerate with thin gold in `repo`.
        clear = thickness[0] > 0
        np.testing.assert_allclose(found[0][clear], thickness[0][clear], atol=0.5)
        np.testing.assert_allclose(found[1][clear], thickness[1][clear], atol=6)
        assert seen.planes.shape == (len(INPUT_CHANNELS), *thickness.shape[1:])
        assert seen.planes[-1, 0, 0] == (variant == "phys")


@pytest.mark.parametrize("noise", [0.01, 0.03])
def test_the_noise_is_estimated_from_what_no_thickness_can_look_like(noise):
    sample = draw(split_seed("test", 0), (96, 96), "perlin", recording=Recording(noise=noise))
    seen = layer_input(stack_of(sample), "repo")
    assert seen.noise == pytest.approx(noise, rel=0.05)
    np.testing.assert_allclose(seen.planes[INPUT_CHANNELS.index("noise")], np.log(seen.noise / 0.02), rtol=1e-5)


def test_what_all_pixels_deviate_by_is_found_and_put_right():
    still = draw(split_seed("test", 1), (96, 96), "perlin")
    gains = 1 + 0.02 * np.where(np.arange(31) % 2, 1, -1)  # zigzag: like no thickness at all
    shaky = EnergyStack((still.intensity * gains[:, None, None]).astype(np.float32), still.energies)
    seen, before = layer_input(shaky, "repo"), layer_input(stack_of(still), "repo")
    np.testing.assert_allclose(seen.calibration - before.calibration, np.log(gains), atol=0.004)
    assert np.abs(before.calibration).max() < 0.01
    agree = np.abs(first_guess(seen) - first_guess(before)) <= np.array([1.0, 10.0])[:, None, None]
    assert agree.all(0).mean() > 0.8


def test_calibration_channels_are_the_same_everywhere_and_the_image_may_have_any_size():
    sample = draw(split_seed("test", 2), (23, 41), "strips", recording=Recording(offset=0.01))
    planes = layer_input(stack_of(sample), "phys").planes
    assert planes.shape[1:] == (23, 41)
    constant = slice(2 + N_COMPONENTS, 2 + 2 * N_COMPONENTS)
    assert (np.ptp(planes[constant], axis=(1, 2)) == 0).all()
    assert np.isfinite(planes).all()


def test_another_variant_is_refused():
    sample = draw(split_seed("test", 2), (16, 16))
    with pytest.raises(InvalidOption, match="variant"):
        layer_input(stack_of(sample), "published")
