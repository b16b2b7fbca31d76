"""What a pixel tells of thickness: against the kernel's own bound, and against slopes by finite differences."""

import numpy as np
import pytest

from semrt.kernels.layers import likeliest_layers
from semrt.physics.backscatter import ENERGIES, backscatter
from semrt.tasks.layer_precision import THINNEST, pixel_sigma
from semrt.tasks.layer_solvers import layer_table


@pytest.mark.parametrize("variant", ["repo", "phys"])
def test_the_bound_is_that_of_slopes_by_finite_differences(variant):
    thickness = np.array([[[3.0, 8.0, 12.0]], [[40.0, 75.0, 120.0]]])
    sigma = pixel_sigma(thickness.astype(np.float32), ENERGIES, variant, 0.02)
    step = np.array([0.01, 0.1])
    for x in range(3):
        at = thickness[:, 0, x]
        signal = backscatter(at, variant=variant)
        slopes = [
            (backscatter(at + move, variant=variant) - backscatter(at - move, variant=variant)) / (2 * move.sum())
            for move in np.diag(step)
        ]
        relative = np.stack(slopes) / (0.02 * signal)
        wanted = np.sqrt(np.diag(np.linalg.inv(relative @ relative.T)))
        np.testing.assert_allclose(sigma[:, 0, x], wanted, rtol=1e-3)


def test_it_is_what_the_kernel_says_of_pixels_by_themselves():
    thickness = np.stack(np.meshgrid([4.0, 9.0, 13.0], [30.0, 70.0, 110.0], indexing="ij")).astype(np.float32)
    solved = likeliest_layers(backscatter(thickness), layer_table(ENERGIES, "repo"))
    np.testing.assert_allclose(pixel_sigma(thickness, ENERGIES, "repo", 0.02), solved.sigma, rtol=0.05)


def test_it_grows_with_the_noise_and_is_finite_where_there_is_nothing():
    nothing = np.zeros((2, 3, 4), np.float32)
    one, two = (pixel_sigma(nothing, ENERGIES, "repo", noise) for noise in (0.02, 0.04))
    assert one.shape == (2, 3, 4)
    assert np.isfinite(one).all()
    np.testing.assert_allclose(two, 2 * one, rtol=1e-3)


def test_no_gold_is_known_as_well_as_the_thinnest_is_told_from_it():
    none = np.array([0.0, 60.0])
    sigma = pixel_sigma(none.astype(np.float32)[:, None, None], ENERGIES, "phys", 0.02)
    signal = backscatter(none, variant="phys")
    jump = (backscatter(np.add(none, (THINNEST, 0)), variant="phys") - signal) / THINNEST
    by_aluminium = (
        backscatter(np.add(none, (0, 0.1)), variant="phys") - backscatter(np.subtract(none, (0, 0.1)), variant="phys")
    ) / 0.2
    relative = np.stack([jump, by_aluminium]) / (0.02 * signal)
    wanted = np.sqrt(np.diag(np.linalg.inv(relative @ relative.T)))
    # Aluminium by more than 1 µm, of which the 10 µm that anything is known to take 1 %.
    np.testing.assert_allclose(sigma[:, 0, 0], wanted, rtol=0.02)
