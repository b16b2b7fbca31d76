"""How much an inferred image looks as if it had been recorded, whatever it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from semrt.errors import InvalidShape

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["noise_level", "spectral_distance"]

SMALLEST = 32  # px: below, a band of frequencies may hold no frequency


def spectral_distance(image: ArrayLike, reference: ArrayLike, *, n_bands: int = 12) -> float:
    """Root mean square difference of two power spectra [dB], over bands equally wide on a logarithmic scale.

    image, reference: (ny, nx), of one shape.  n_bands: rings from two periods a field to the Nyquist frequency.
    Both are windowed (Hann), so that their borders do not count. 0 for images alike; a smooth image beside a noisy one
    has tens of dB.  Raises InvalidShape.
    """
    image, reference = np.asarray(image, np.float64), np.asarray(reference, np.float64)
    if image.ndim != 2 or min(image.shape) < SMALLEST:
        raise InvalidShape("image", f"(ny, nx) of at least {SMALLEST} px", image.shape)
    if image.shape != reference.shape:
        raise InvalidShape("image", f"{reference.shape}, as the reference has", image.shape)
    powers = [_band_powers(each, n_bands) for each in (image, reference)]
    # Rounding is all that an image without noise has at high frequencies: what it has there is not told apart.
    least = 1e-12 * max(power.max() for power in powers) or 1.0
    difference = 10 * np.log10((powers[0] + least) / (powers[1] + least))
    return float(np.sqrt(np.mean(difference**2)))


def noise_level(image: ArrayLike) -> float:
    """Standard deviation of white noise in an image, (ny, nx), in its units.

    From the mean magnitude of a Laplacian that smooth structure hardly enters.  Raises InvalidShape.
    Immerkaer 1996, doi:10.1006/cviu.1996.0060.
    """
    image = np.asarray(image, np.float64)
    if image.ndim != 2 or min(image.shape) < 3:
        raise InvalidShape("image", "(ny, nx) of at least 3 px", image.shape)
    rows = image[:-2] - 2 * image[1:-1] + image[2:]
    laplacian = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    return float(np.sqrt(np.pi / 2) * np.mean(np.abs(laplacian)) / 6)


def _band_powers(image: NDArray[np.float64], n_bands: int) -> NDArray[np.float64]:
    ny, nx = image.shape
    window = np.outer(np.hanning(ny), np.hanning(nx))
    power = np.abs(np.fft.rfft2((image - image.mean()) * window)) ** 2
    frequency = np.hypot(np.fft.fftfreq(ny)[:, None], np.fft.rfftfreq(nx)[None])
    edges = np.geomspace(2 / min(ny, nx), 0.5, n_bands + 1)
    band = np.digitize(frequency, edges) - 1  # -1 below the lowest, n_bands above the highest
    inside = (band >= 0) & (band < n_bands)
    counts = np.bincount(band[inside], minlength=n_bands)
    return np.bincount(band[inside], weights=power[inside], minlength=n_bands) / np.maximum(counts, 1)
