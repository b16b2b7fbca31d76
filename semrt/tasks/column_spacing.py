"""How far apart the columns of an image are, from the image alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Plane = NDArray[np.floating[Any]]

__all__ = ["ColumnSpacing", "column_spacing"]

WINDOW = 512  # px; a larger image is looked at through up to nine of them
SMALLEST = 12  # px; in less there is no lattice to see
PERIODS = 3.0  # of the longest wave taken for a lattice, in a window
TOP_BAND = 0.7  # of the Nyquist frequency; beyond it lies noise alone
GATE = 5.0  # times the noise, what a wave must have to be kept
NEIGHBOURHOOD = 5  # frequencies that are averaged to compare a wave with the noise
FEWEST_WAVES = 12  # that are kept: a true one lifts all averages about it over the gate, chance only a few
FINEST = 1.0  # px; maxima closer than that are noise whatever their strength
FINEST_SPACING = 2.5  # px; nearer maxima are the crest of a single wave of the noise
BRIGHT = (80.0, 0.25)  # a maximum counts above this share of this percentile of all
QUERIES = 300  # maxima of a window whose neighbours are sought
FEWEST = 5  # maxima in all
REGULAR = 0.25  # how far a neighbour may be from the median distance to count as regular
CLEAR = 0.8  # confidence from which on an estimate needs no second look
SHRINKS = (2, 4)  # factors by which an image is shrunk for another look
SMALLEST_SHRUNK = 48  # px; in less no second look is taken


class ColumnSpacing(NamedTuple):
    """spacing: of nearest columns that can be told apart [px].

    confidence: share of the columns whose neighbour is as far as that; 0 where no columns were found, and the spacing
    is a default; about 0.5 where they lie at random.
    """

    spacing: float
    confidence: float


def column_spacing(intensity: Plane, *, default: float) -> ColumnSpacing:
    """Estimate the spacing of atomic columns: keep the waves that stand out of the noise, and measure between maxima.

    intensity: (ny, nx), any shape and scale; probe, dose, orientation and how much of the field is crystal may be
    anything.  default: spacing [px] of an image without columns.
    Takes 5 to 15 ms for each window of 512². Where the image as it is shows no clear spacing, smaller ones are looked
    at too: in real ones, often finely sampled, noise that a filter or the scan has correlated passes for columns.
    """
    import cv2

    clearest = _at_one_scale(intensity, default)
    ny, nx = intensity.shape
    for shrink in SHRINKS:
        if clearest.confidence >= CLEAR or min(ny, nx) // shrink < SMALLEST_SHRUNK:
            break
        size = nx // shrink, ny // shrink
        smaller = np.asarray(cv2.resize(intensity, size, interpolation=cv2.INTER_AREA), np.float32)
        spacing, confidence = _at_one_scale(smaller, default)
        if confidence > clearest.confidence:
            clearest = ColumnSpacing(spacing * shrink, confidence)
    return clearest


def _at_one_scale(intensity: Plane, default: float) -> ColumnSpacing:
    windows = [_maxima(window) for window in _windows(intensity)]
    heights = [height for _, height in windows if len(height)]
    if not heights:
        return ColumnSpacing(default, 0.0)
    percentile, share = BRIGHT
    least = share * float(np.percentile(np.concatenate(heights), percentile))
    nearest = [_nearest(positions[height > least]) for positions, height in windows]
    distances = np.concatenate(nearest)
    if len(distances) < FEWEST:
        return ColumnSpacing(default, 0.0)
    spacing = float(np.median(distances))
    if spacing < FINEST_SPACING:
        return ColumnSpacing(default, 0.0)
    return ColumnSpacing(spacing, float(np.mean(np.abs(distances / spacing - 1) < REGULAR)))


def _windows(intensity: Plane) -> Iterator[Plane]:
    """Cut the first, the middle and the last of each axis, as far as they differ."""
    if min(intensity.shape) < SMALLEST:
        return
    starts = [sorted({0, max(0, (n - WINDOW) // 2), max(0, n - WINDOW)}) for n in intensity.shape]
    for y in starts[0]:
        for x in starts[1]:
            yield np.asarray(intensity[y : y + WINDOW, x : x + WINDOW], np.float32)


def _maxima(window: Plane) -> tuple[NDArray[np.float32], Plane]:
    """Find the maxima of a window once noise and background are gone: (n, 2) positions [px], (n,) heights."""
    import cv2

    filtered = _filtered(window)
    highest = cv2.dilate(filtered, np.ones((3, 3), np.uint8))
    y, x = np.nonzero((filtered == highest) & (filtered > 0))
    return np.stack([y, x], axis=1).astype(np.float32), filtered[y, x]


def _filtered(window: Plane) -> Plane:
    """Keep the waves above the noise, the shorter ones strengthened so that neighbours come apart."""
    import cv2

    ny, nx = window.shape
    window = window - window.mean(dtype=np.float64).astype(np.float32)
    ky = np.fft.fftfreq(ny).astype(np.float32)[:, None]
    kx = np.fft.rfftfreq(nx).astype(np.float32)[None, :]
    # Without the taper, the jump between opposite borders would put power on both axes.
    taper = np.outer(np.hanning(ny + 2)[1:-1], np.hanning(nx + 2)[1:-1]).astype(np.float32)
    power = np.abs(np.fft.rfft2(window * taper)).astype(np.float32) ** 2
    mean_power = cv2.blur(power, (NEIGHBOURHOOD, NEIGHBOURHOOD), borderType=cv2.BORDER_REFLECT)
    noise = _noise_power(power, ky, kx)
    gain = np.maximum(0, 1 - GATE * noise / np.maximum(mean_power, np.finfo(np.float32).tiny))
    gain *= (ky * ny) ** 2 + (kx * nx) ** 2 > PERIODS**2
    if np.count_nonzero(gain) < FEWEST_WAVES:
        return np.zeros_like(window)
    square = ky**2 + kx**2
    gain *= np.sqrt(square) * np.exp(-2 * (math.pi * FINEST) ** 2 * square)
    return np.asarray(np.fft.irfft2(np.fft.rfft2(window) * gain, s=(ny, nx)), np.float32)


def _noise_power(power: Plane, ky: Plane, kx: Plane) -> Plane:
    """Noise at every frequency, from where there is nothing else, as a product of its profiles along both axes.

    So noise may be white, streaks along the scan, or blurred by a filter.
    """
    import cv2

    high_y, high_x = np.abs(ky[:, 0]) > TOP_BAND / 2, kx[0] > TOP_BAND / 2
    corner = float(np.median(power[np.ix_(high_y, high_x)]))
    if corner <= 0:
        return np.zeros_like(power)
    along_y = cv2.blur(np.median(power[:, high_x], axis=1, keepdims=True).astype(np.float32), (1, 9))
    along_x = cv2.blur(np.median(power[high_y], axis=0, keepdims=True).astype(np.float32), (9, 1))
    # The power of noise is exponentially distributed: its mean is the median over ln 2.
    return np.asarray(along_y.reshape(-1, 1) * along_x.reshape(1, -1) / np.float32(corner * math.log(2)))


def _nearest(positions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Distances from some of the points, evenly taken, to the nearest other one [px]."""
    if len(positions) < 2:
        return np.empty(0, np.float32)
    some = positions[:: max(1, len(positions) // QUERIES)]
    square = ((some[:, None] - positions) ** 2).sum(-1)
    square[square == 0] = np.inf
    return np.asarray(np.sqrt(square.min(1)), np.float32)
