"""The best linear estimate from all samples at once, its power spectrum learnt from the samples themselves.

Kriging knows how alike two pixels are by their distance alone, and looks at the nearest samples. A lattice is alike
again one period away: where the power spectrum has its reflections, every sample tells of every unit cell.
Enßlin & Frommert 2011, doi:10.1103/PhysRevD.83.105014 (the critical filter).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from semrt.kernels import distance_to_sample
from semrt.tasks.sampled_field import SampledField, SpectralGrid

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LearntEstimate", "learnt_estimate"]

TREND = 4.0
"""Width of the Gaussian that takes the trend away, in the gaps of the scan: what is slower is no part of a spectrum."""
LEAST_NOISE = 0.03
"""Of the variance of the samples: a spectrum is never known so well that what it leaves is all noise."""
LEAST_NUGGET = 0.8
"""Of the noise that the variogram tells of: what is left of the samples that taught the spectrum is less than noise."""
DOUBT = 0.3
"""How much of the variance that the samples leave open stays in the spectrum, δ of Enßlin & Frommert: with 1, it is
learnt slowly; with 0, weak reflections are lost."""
SMOOTHING = 0.7
"""Gaussian over the learnt power [frequencies]: a single periodogram is as noisy as it is strong."""
N_RINGS = 60
COARSEST, FINEST = 0.05, 0.4
"""Of structures whose power falls with the frequency, between these [cycles a pixel]: finer ones are mostly noise."""
STEPS, SOLVER_STEPS, LAST_SOLVER_STEPS = 8, 20, 40
ROUGHLY, WELL = 1e-2, 1e-3
"""Residuals at which the equations count as solved, while the spectrum is learnt and at last."""
WORSE = 1.15
"""Times the least error so far at held-out samples: from there on, noise is what is learnt."""
HOPELESS = 2.5
"""Times the error of another method at held-out samples: what is still that much worse after a few steps stays so."""
LEAST_EXPOSURE = np.float32(0.05)
"""What was exposed less says next to nothing, and would spoil the condition of the equations."""


@dataclass(frozen=True, eq=False)
class LearntEstimate:
    """What a learnt spectrum makes of a scan.

    estimate: (ny, nx) float32, from all samples.  predicted: (ny, nx) float32, from those that were not held out.
    """

    estimate: NDArray[np.float32]
    predicted: NDArray[np.float32]


def learnt_estimate(
    values: NDArray[np.float32],
    visited: NDArray[np.bool_],
    held_out: NDArray[np.bool_],
    guess: NDArray[np.float32],
    *,
    noise: float,
    rival: float,
    exposure: NDArray[np.float32] | None = None,
    n_threads: int | None = None,
) -> LearntEstimate | None:
    """Estimate an image by the power spectrum that predicts held-out samples best; None where that is hopeless.

    values, visited: (ny, nx).  held_out: (ny, nx), some of the visited, but not all.
    guess: (ny, nx), an estimate whose power spectrum, without directions, is the one to begin with.
    noise: variance of a sample at full exposure.  exposure: (ny, nx); the variance of a sample goes with its inverse.
    rival: mean square error of another method at the held-out samples.
    """
    known = visited & ~held_out
    trend = _trend(values, known, n_threads)
    detail = np.where(visited, values - trend, np.float32(0))
    variance = _mean_square(detail[known])
    if variance == 0:
        return None
    grid = SpectralGrid(values.shape)
    if exposure is not None:
        exposure = np.maximum(exposure, LEAST_EXPOSURE)
    learning = SampledField(grid, detail, known, exposure)
    power = _first_power(grid, guess - trend, variance)
    least = max(LEAST_NOISE * variance, LEAST_NUGGET * noise)
    level, found, least_error, learnt_at = max(noise, least), None, np.inf, 0
    for step in range(STEPS):
        image = learning.estimate(power, level, n_steps=SOLVER_STEPS, tolerance=ROUGHLY)
        error = _mean_square(grid.cropped(image)[held_out] - detail[held_out])
        if error < least_error:
            least_error, found, learnt_at = error, (power, level), step
        elif error > WORSE * least_error or step > learnt_at + 1:
            break
        if step and least_error > HOPELESS * rival:
            return None
        power = _relearnt(grid, power, image, level, learning.exposure)
        level = max(least, learning.misfit(image))
    assert found is not None
    power, level = found
    everywhere = _trend(values, visited, n_threads)
    fields = (learning, trend), (SampledField(grid, values - everywhere, visited, exposure), everywhere)
    predicted, estimate = (
        grid.cropped(field.estimate(power, level, n_steps=LAST_SOLVER_STEPS, tolerance=WELL)) + slow
        for field, slow in fields
    )
    return LearntEstimate(estimate, predicted)


def _first_power(grid: SpectralGrid, image: NDArray[np.float32], variance: float) -> NDArray[np.float32]:
    """What to begin with: half the mean power of an image at each distance from the origin, half that of anything.

    An estimate has no reflections where its samples were too far apart for them; the second half lets them be found.
    """
    window = np.outer(*(np.hanning(side) for side in grid.shape)).astype(np.float32)
    power = np.abs(np.fft.rfft2(grid.padded(image * window))) ** 2
    ny, nx = grid.padded_shape
    frequency = np.hypot(np.fft.fftfreq(ny)[:, None], np.fft.rfftfreq(nx))
    ring = np.minimum(frequency * N_RINGS / np.sqrt(0.5), N_RINGS - 1).astype(int)
    total, count = np.bincount(ring.ravel(), power.ravel(), N_RINGS), np.bincount(ring.ravel(), minlength=N_RINGS)
    seen = total / np.maximum(count, 1) + np.finfo(np.float32).tiny
    anything = np.where(frequency < FINEST, 1.0, 0.1) / (frequency + COARSEST)
    halves = (0.5 * variance / grid.variance(each) * each for each in (seen[ring], anything))
    return np.asarray(sum(halves), np.float32)


def _relearnt(
    grid: SpectralGrid,
    power: NDArray[np.float32],
    image: NDArray[np.float32],
    noise: float,
    exposure: float,
) -> NDArray[np.float32]:
    """The power of an image that was estimated with another power, and what its samples left open of that.

    exposure: mean over the field.  noise: variance of a sample at full exposure.
    What is open is taken as if samples fell at random: to each frequency all others are noise, as far as they are open.
    """
    unknown = 0.5 * grid.variance(power)
    for _ in range(10):  # each says the other; ten times is more than enough
        left = power / (np.float32(1) + power * np.float32(exposure / (noise + unknown)))
        unknown = grid.variance(left)
    found = np.abs(np.fft.rfft2(image)).astype(np.float32) ** 2 / np.float32(image.size)
    smooth = cv2.GaussianBlur(np.fft.fftshift(found, axes=0), (0, 0), SMOOTHING)
    return np.asarray(np.fft.ifftshift(smooth, axes=0) + np.float32(DOUBT) * left, np.float32)


def _trend(values: NDArray[np.float32], visited: NDArray[np.bool_], n_threads: int | None) -> NDArray[np.float32]:
    """The local mean of the samples, (ny, nx), over a width that reaches across the gaps between them."""
    width = max(1.5, TREND * float(np.quantile(distance_to_sample(visited, n_threads=n_threads), 0.95)))
    mean = values[visited].mean()
    centred = np.where(visited, values - mean, np.float32(0))
    total, weight = (
        cv2.GaussianBlur(each, (0, 0), width, borderType=cv2.BORDER_REFLECT)
        for each in (centred, visited.astype(np.float32))
    )
    return np.asarray(total / np.maximum(weight, np.float32(1e-6)) + mean, np.float32)


def _mean_square(values: NDArray[np.float32]) -> float:
    return float(np.mean(values.astype(np.float64) ** 2))
