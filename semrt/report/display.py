"""Arrays as they are shown: contrast, size, colour, spectra and the length of a scale bar."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semrt.data import SparseScan

__all__ = [
    "UNVISITED",
    "contrast",
    "fit",
    "grey",
    "heat",
    "power_spectrum",
    "resized",
    "sampled_points",
    "scale_bar",
    "tinted",
]

Limits = tuple[float, float]

UNVISITED = (24, 29, 51)
"""RGB of a pixel that the probe never saw: no grey, so that it is not taken for a dark one."""


def contrast(intensity: NDArray[np.float32], *, tail: float = 0.25) -> Limits:
    """Intensities shown black and white: all but `tail` percent of the finite ones at either end."""
    finite = intensity[np.isfinite(intensity)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = (float(edge) for edge in np.percentile(finite, (tail, 100 - tail)))
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def fit(shape: tuple[int, int], within: tuple[int, int]) -> tuple[int, int]:
    """Size (ny, nx) at which an image is shown: a whole multiple of its own where that fits, else shrunk to fit."""
    shrink = min(most / length for most, length in zip(within, shape, strict=True))
    ny, nx = shape
    if shrink >= 1:
        return ny * int(shrink), nx * int(shrink)
    return max(1, round(ny * shrink)), max(1, round(nx * shrink))


def resized(plane: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Enlarge by repeating pixels, shrink by averaging those that fall together; (ny, nx)."""
    import cv2

    if plane.shape == shape:
        return plane
    grows = shape[0] >= plane.shape[0] and shape[1] >= plane.shape[1]
    way = cv2.INTER_NEAREST if grows else cv2.INTER_AREA
    return np.asarray(cv2.resize(plane, shape[::-1], interpolation=way), np.float32)


def grey(plane: NDArray[np.float32], limits: Limits) -> NDArray[np.uint8]:
    """(ny, nx) as grey RGB, (ny, nx, 3)."""
    return np.repeat(_bytes(plane, limits)[..., None], 3, axis=2)


def heat(plane: NDArray[np.float32], limits: Limits) -> NDArray[np.uint8]:
    """(ny, nx) in the perceptually even colour map magma, RGB (ny, nx, 3)."""
    import cv2

    return np.ascontiguousarray(cv2.applyColorMap(_bytes(plane, limits), cv2.COLORMAP_MAGMA)[..., ::-1])


def tinted(plane: NDArray[np.float32], limits: Limits, colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """(ny, nx) from near black by way of a colour to a pale shade of it, RGB (ny, nx, 3)."""
    pale = [255 - 0.4 * (255 - channel) for channel in colour]
    ends = np.array([UNVISITED, colour, pale], np.float64)
    ramp = np.stack([np.interp(np.arange(256), (0, 200, 255), channel) for channel in ends.T], axis=1)
    return np.asarray(np.rint(ramp), np.uint8)[_bytes(plane, limits)]


def sampled_points(scan: SparseScan, limits: Limits, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Show what the probe saw on the colour of the unseen; RGB (ny, nx, 3).

    Where pixels fall together, the visited ones give the grey, and the square root of their share its opacity: a sparse
    scan stays sparse when shrunk, and a thin path stays visible.
    """
    share = resized(scan.visited.astype(np.float32), shape)
    mean = np.asarray(resized(scan.intensity, shape) / np.maximum(share, np.float32(1e-30)), np.float32)
    opacity = np.sqrt(np.clip(share, 0, 1))[..., None]
    mixed = (1 - opacity) * np.asarray(UNVISITED, np.float32) + opacity * grey(mean, limits)
    return np.asarray(np.rint(mixed), np.uint8)


def power_spectrum(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Decimal logarithm of the power spectrum, zero frequency in the middle, under a Hann window; (ny, nx)."""
    window = np.outer(np.hanning(plane.shape[0] + 2)[1:-1], np.hanning(plane.shape[1] + 2)[1:-1])
    power = np.abs(np.fft.fftshift(np.fft.fft2((plane - plane.mean()) * window))) ** 2
    floor = max(float(power.max()) * 1e-12, float(np.finfo(np.float32).tiny))
    return np.asarray(np.log10(np.maximum(power, floor)), np.float32)


def scale_bar(field_of_view: float, share: float = 0.28) -> tuple[float, str]:
    """Length [nm] and label of the longest bar of 1, 2 or 5 times a power of ten within a share of the field [nm]."""
    most = field_of_view * share
    decade = 10.0 ** math.floor(math.log10(most))
    length = max(step * decade for step in (1, 2, 5) if step * decade <= most * (1 + 1e-9))
    for unit, size in (("mm", 1e6), ("µm", 1e3), ("nm", 1.0)):
        if length >= size * (1 - 1e-9):
            return length, f"{length / size:g} {unit}"
    return length, f"{length * 1000:g} pm"


def _bytes(plane: NDArray[np.float32], limits: Limits) -> NDArray[np.uint8]:
    low, high = limits
    stretched = (np.nan_to_num(plane, nan=low, posinf=high, neginf=low) - low) * (255 / (high - low))
    return np.asarray(np.rint(np.clip(stretched, 0, 255)), np.uint8)
