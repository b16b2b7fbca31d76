"""From the signal of samples that were exposed unequally to what full exposure would have shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semrt.data import SparseScan

__all__ = ["black_level", "exposure_told", "relative_exposure", "sample_values"]

WINDOW = 1024
"""Side of the middle of the field that tells the black level [px]: hundreds of thousands of pairs are enough."""
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))  # (dy, dx), each pair once
CERTAIN = 4.0
"""Standard errors by which a black level must differ from zero; without one, the detector is taken at its word."""
SHARED = 2.0
"""By how much the error of the black level exceeds that of unrelated pairs: a pixel is in up to eight of them."""


def sample_values(scan: SparseScan) -> NDArray[np.float32]:
    """Intensities at full exposure, (ny, nx), zero where unvisited."""
    if scan.exposure is None:
        return scan.intensity
    values: NDArray[np.float32] = np.zeros_like(scan.intensity)
    np.divide(scan.intensity - np.float32(black_level(scan)), scan.exposure, out=values, where=scan.visited)
    return values


def relative_exposure(scan: SparseScan) -> NDArray[np.float32] | None:
    """How long the probe was at each pixel, (ny, nx): the noise variance of `sample_values` goes with its inverse.

    As the scan tells its exposure, or its dwell time in the one at which the variance is the mean of all samples, which
    is what a variogram tells of. None where all samples are alike.
    """
    if scan.exposure is not None or scan.dwell_time is None:
        return scan.exposure
    stayed = scan.dwell_time[scan.visited]
    if stayed.min() == stayed.max():
        return None
    return scan.dwell_time * np.float32(np.mean(1 / stayed.astype(np.float64)))


def black_level(scan: SparseScan) -> float:
    """What the detector shows of no exposure, where neighbours of different exposure tell; 0.0 where they do not.

    Neighbours show nearly the same specimen, so with signals s and exposures e, s = black + e·brightness has
    black = (e' s - e s') / (e' - e): the weighted mean over all pairs, its weights from counting noise. A signal that
    was rescaled by its own smallest and largest value, as the published partial scans are, has lost its zero
    (github.com/Jeffrey-Ede/partial-STEM).
    """
    if scan.exposure is None:
        return 0.0
    middle = tuple(slice(max(0, side - WINDOW) // 2, max(0, side - WINDOW) // 2 + WINDOW) for side in scan.shape)
    crossed, slopes, weights = _pairs(scan.intensity[middle], scan.exposure[middle], scan.visited[middle])
    information = float(np.sum(weights * slopes**2))
    if not information > 0:  # all alike, or no two neighbours
        return 0.0
    level = float(np.sum(weights * slopes * crossed)) / information
    misfit = float(np.sum(weights * (crossed - level * slopes) ** 2)) / max(1, len(crossed) - 1)
    return level if abs(level) > CERTAIN * SHARED * (misfit / information) ** 0.5 else 0.0


def exposure_told(scan: SparseScan) -> dict[str, float]:
    """What the record of a result says of how its scan was exposed: nothing where all pixels were alike."""
    return {} if scan.exposure is None else {"black_level": black_level(scan)}


def _pairs(
    intensity: NDArray[np.float32], exposure: NDArray[np.float32], visited: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Of all pairs of neighbours: e' s - e s', e' - e, and the inverse of the first one's variance by counting."""
    parts = []
    ny, nx = visited.shape
    for dy, dx in NEIGHBOURS:
        here = slice(0, ny - dy), slice(max(0, -dx), nx - max(0, dx))
        there = slice(dy, ny), slice(max(0, dx), nx - max(0, -dx))
        both = visited[here] & visited[there]
        e, e_next = (exposure[part][both].astype(np.float64) for part in (here, there))
        s, s_next = (intensity[part][both].astype(np.float64) for part in (here, there))
        parts.append(np.stack((e_next * s - e * s_next, e_next - e, 1 / (e * e_next * (e + e_next)))))
    crossed, slopes, weights = np.concatenate(parts, axis=1)
    return crossed, slopes, weights
