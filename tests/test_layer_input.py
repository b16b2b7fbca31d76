"""What the network of `layers` sees: a Markov field's layers, and what they leave over."""

import numpy as np
import pytest

from semrt.data import EnergyStack
from semrt.errors import InvalidOption
from semrt.kernels.layers import DetectorResponse
from semrt.physics.backscatter import ENERGIES
from semrt.simulate.layers import Recording, draw, split_seed
from semrt.tasks.layer_input import INPUT_CHANNELS, N_COMPONENTS, NOISES, THICKEST, layer_input
from semrt.tasks.layer_optics import Optics
from semrt.tasks.layer_solvers import estimated_noise, layer_table

AS_IT_IS = DetectorResponse(np.ones(31))


def stack_of(number, shape=(64, 64), kind="perlin", **recording):
    sample = draw(split_seed("test", number), shape, kind, recording=Recording(**recording))
    return sample, EnergyStack(sample.intensity, sample.energies)


@pytest.mark.parametrize("noise", [0.01, 0.03])
def test_the_noise_is_estimated_from_what_no_thickness_can_look_like(noise):
    _, stack = stack_of(0, noise=noise)
    assert estimated_noise(stack, layer_table(ENERGIES, "repo")) == pytest.approx(noise, rel=0.05)
    planes = layer_input(stack, "repo", response=AS_IT_IS)
    np.testing.assert_allclose(planes[INPUT_CHANNELS.index("noise")], np.log(noise / 0.02), atol=0.05)


def test_the_first_guess_is_near_the_truth_and_what_it_leaves_over_is_noise():
    sample, stack = stack_of(1)
    planes = layer_input(stack, "repo", response=AS_IT_IS)
    off = np.abs(planes[:2] * np.array(THICKEST)[:, None, None] - sample.thickness).mean((1, 2))
    assert (off < (0.1, 2.5)).all()
    left = planes[2 + N_COMPONENTS : 2 + 2 * N_COMPONENTS]
    np.testing.assert_allclose(NOISES * left.std((1, 2)), 1, rtol=0.15)
    assert (planes[INPUT_CHANNELS.index("variant")] == 0).all()


def test_the_detector_is_put_right_before_anything_is_looked_at():
    _, stack = stack_of(2)
    gain = 1 + 0.03 * np.where(np.arange(31) % 2, 1, -1)
    shaky = EnergyStack((gain[:, None, None] * stack.intensity + 0.02).astype(np.float32), stack.energies)
    told = layer_input(shaky, "repo", response=DetectorResponse(gain, 0.02))
    off = np.abs(told - layer_input(stack, "repo", response=AS_IT_IS))
    assert (off[:2] > 0.1).any(0).mean() < 0.03
    assert off[2 : 2 + N_COMPONENTS].max() < 0.1


def test_the_response_is_found_where_nobody_tells_it():
    sample, stack = stack_of(3, gain=0.015, offset=0.01)
    found, ignored = (layer_input(stack, "repo", response=response) for response in (None, AS_IT_IS))
    off, before = (np.abs(planes[1] * THICKEST[1] - sample.thickness[1]).mean() for planes in (found, ignored))
    assert off < 0.4 * before


def test_an_image_may_have_any_size_and_the_threads_any_number():
    _, stack = stack_of(4, (23, 41), "strips")
    one, two = (layer_input(stack, "phys", response=AS_IT_IS, n_threads=n) for n in (1, 2))
    assert one.shape == (len(INPUT_CHANNELS), 23, 41)
    assert np.isfinite(one).all()
    np.testing.assert_array_equal(one, two)
    assert (one[INPUT_CHANNELS.index("variant")] == 1).all()


def test_another_variant_is_refused():
    with pytest.raises(InvalidOption, match="variant"):
        layer_input(stack_of(5, (16, 16))[1], "published")


def test_blur_and_drift_are_undone_before_anything_is_looked_at_and_the_blur_is_told():
    sample = draw(split_seed("test", 8), (80, 80), "perlin", recording=Recording(blur=0.7, drift=0.3))
    stack = EnergyStack(sample.intensity, sample.energies)
    optics = Optics(np.array(sample.settings["shifts_px"]), 0.7)
    known, ignored = (layer_input(stack, "repo", response=AS_IT_IS, optics=of) for of in (optics, None))
    off, before = (np.abs(planes[0] * THICKEST[0] - sample.thickness[0]).mean() for planes in (known, ignored))
    assert off < 0.5 * before
    blur = INPUT_CHANNELS.index("blur")
    assert (known[blur] == np.float32(0.7)).all()
    assert (ignored[blur] == 0).all()
