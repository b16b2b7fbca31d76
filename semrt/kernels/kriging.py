"""Kriging: the best linear estimate of an image from scattered samples, with its variance."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

import numpy as np

from semrt import _core
from semrt.errors import EmptyScan
from semrt.kernels._threads import thread_count

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Variogram", "fit_variogram", "krige"]


@dataclass(frozen=True)
class Variogram:
    """How unlike two pixels are at distance r [px]: nugget + sill (1 - exp(-(r / range) ** exponent)).

    nugget is the variance of a sample's noise, sill that of the image, both in squared intensity units.
    Matheron 1963, doi:10.2113/gsecongeo.58.8.1246.
    """

    nugget: float
    sill: float
    range: float
    exponent: float

    def __call__(self, distance: ArrayLike) -> NDArray[np.float64]:
        """Semivariance at each distance [px], any shape."""
        ratio = np.asarray(distance, np.float64) / self.range
        return np.asarray(self.nugget + self.sill * -np.expm1(-(ratio**self.exponent)))


def fit_variogram(intensity: ArrayLike, visited: ArrayLike, *, seed: int = 0) -> Variogram:
    """Fit a variogram to the visited pixels: all near pairs, and random pairs at all lags.

    intensity, visited: (ny, nx).  Raises EmptyScan.  Cressie 1985, doi:10.1007/BF01032109.
    """
    mask = np.ascontiguousarray(visited, np.bool_)
    if not mask.any():
        raise EmptyScan
    return Variogram(*_core.fit_variogram(np.ascontiguousarray(intensity, np.float32), mask, seed))


def krige(
    intensity: ArrayLike,
    visited: ArrayLike,
    variogram: Variogram,
    *,
    exposure: ArrayLike | None = None,
    wanted: ArrayLike | None = None,
    n_threads: int | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Estimate the noise-free image by local ordinary kriging, and the variance of that estimate.

    intensity, visited: (ny, nx).  exposure: (ny, nx), the noise variance of a sample is nugget / exposure; None for 1.
    wanted: (ny, nx) bool; pixels far from any wanted one are left at zero.  None for all.
    Returns (estimate, variance), each (ny, nx) float32.  Raises EmptyScan.
    Cressie, Statistics for Spatial Data, 1993, ch. 3.
    """
    mask = np.ascontiguousarray(visited, np.bool_)
    if not mask.any():
        raise EmptyScan
    return _core.krige(
        np.ascontiguousarray(intensity, np.float32),
        mask,
        None if exposure is None else np.ascontiguousarray(exposure, np.float32),
        None if wanted is None else np.ascontiguousarray(wanted, np.bool_),
        astuple(variogram),
        thread_count(n_threads),
    )
