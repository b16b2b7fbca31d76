"""What a detector makes of a clean image: shot noise, read noise and the jitter of scan lines."""

from __future__ import annotations

import numpy as np

from semrt.errors import InvalidOption
from semrt.simulate.fields import Plane, choice, log_uniform

__all__ = ["expose", "random_noise"]


def expose(
    image: Plane, rng: np.random.Generator, *, dose: float | None = None, read_noise: float = 0.0, jitter: float = 0.0
) -> Plane:
    """Record an image: (ny, nx) float32 in the image's units, never clipped, so that the mean stays what it was.

    dose: mean counts at intensity 1 (Poisson; negative intensities count as 0); None for no shot noise.
    read_noise: standard deviation [intensity].  jitter: standard deviation of each line's shift along x [px].
    Raises InvalidOption.
    """
    if dose is not None and not dose > 0:
        raise InvalidOption(f"dose: expected counts above zero, got {dose}; use None for no shot noise")
    if not (read_noise >= 0 and jitter >= 0):
        raise InvalidOption(f"read_noise and jitter: expected zero or more, got {read_noise} and {jitter}")
    recorded = np.array(image, np.float32)
    if jitter > 0:
        recorded = _shifted_lines(recorded, rng.normal(0, jitter, (recorded.shape[0], 1)))
    if dose is not None:
        recorded = (rng.poisson(np.maximum(recorded, 0) * dose) / dose).astype(np.float32)
    if read_noise > 0:
        recorded += read_noise * rng.standard_normal(recorded.shape, dtype=np.float32)
    return recorded


def random_noise(image: Plane, rng: np.random.Generator) -> Plane:
    """Add noise as real scans have it: none in a fifth of the calls, else sigma up to 0.15 of the image's range.

    Sigma is log-distributed; shot noise, read noise or both. A constant image counts as one of range 1.
    """
    if rng.random() < 0.2:
        return np.array(image, np.float32)
    low, high = float(image.min()), float(image.max())
    extent = high - low if high > low else 1.0
    sigma = log_uniform(rng, 0.002, 0.15) * extent
    shot = choice(rng, 0.0, 1.0, rng.random())  # share of the variance that is shot noise
    # Shot noise follows the signal above the dark level; its variance, averaged over the image, is what sigma asks for.
    dark = low - log_uniform(rng, 0.01, 1) * extent
    signal = np.asarray(image, np.float32) - dark
    dose = float(signal.mean()) / (shot * sigma**2) if shot > 0 else None
    jitter = log_uniform(rng, 0.05, 0.6) if rng.random() < 0.15 else 0.0
    return expose(signal, rng, dose=dose, read_noise=sigma * (1 - shot) ** 0.5, jitter=jitter) + dark


def _shifted_lines(image: Plane, shifts: Plane) -> Plane:
    """Move each row along x by its own shift, (ny, 1) [px], linearly between pixels; the edges repeat."""
    nx = image.shape[1]
    at = np.clip(np.arange(nx) - shifts, 0, nx - 1)
    left = at.astype(np.intp)
    right = np.minimum(left + 1, nx - 1)
    part = (at - left).astype(np.float32)
    return np.take_along_axis(image, left, 1) * (1 - part) + np.take_along_axis(image, right, 1) * part
