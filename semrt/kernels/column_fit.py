"""Atomic columns on the counts themselves: places to a part of a pixel, and how well each is known."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from semrt import _core
from semrt.errors import InvalidOption, InvalidShape, InvalidValue
from semrt.kernels._threads import thread_count

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["RefinedColumns", "refine_columns"]


@dataclass(frozen=True, eq=False, slots=True)
class RefinedColumns:
    """Columns fitted to an image, in the order of their places.

    y, x: (n,) [px].  sigma_y, sigma_x: (n,) their standard deviations [px], from the Fisher matrix, with places and
        heights of neighbours and the background unknown as well; infinite where the image does not determine them.
    intensity, intensity_sigma: (n,) height of the column's own peak [counts], and its standard deviation.
    background: (n,) what lies under the peak [counts].
    chi2: (n,) mean square of the residual near the column over its variance; about 1 where the model fits.
    source: (n,) int64, the line of `positions` that the column comes from; -1 where the residual showed it.
    converged: (n,) bool; False where a column did not come to rest near its start, or is lower than three sigma.
    width, tail: the shape they share: (1 - tail) exp(-r² / 2 width²) + tail exp(-r² / 8 width²), width in px.
    gain, variance_floor: variance of a count with expectation m is gain · m + variance_floor [counts²].
    row_jitter: standard deviations (y, x) of the shifts of rows that were undone [px]; 0 where none showed.
    """

    y: NDArray[np.float64]
    x: NDArray[np.float64]
    sigma_y: NDArray[np.float64]
    sigma_x: NDArray[np.float64]
    intensity: NDArray[np.float64]
    intensity_sigma: NDArray[np.float64]
    background: NDArray[np.float64]
    chi2: NDArray[np.float64]
    source: NDArray[np.int64]
    converged: NDArray[np.bool_]
    width: float
    tail: float
    gain: float
    variance_floor: float
    row_jitter: tuple[float, float]

    def __len__(self) -> int:
        return len(self.y)

    @property
    def positions(self) -> NDArray[np.float64]:
        """(n, 2) as (y, x) [px]."""
        return np.stack([self.y, self.x], axis=1)


def refine_columns(
    image: ArrayLike,
    positions: ArrayLike,
    *,
    sigma: float | None = None,
    tail: float | None = None,
    gain: float | None = None,
    read_noise: float | None = None,
    offset: float = 0.0,
    straighten_rows: bool = True,
    find_missing: bool = False,
    threshold: float = 5.0,
    n_threads: int | None = None,
) -> RefinedColumns:
    """Fit all columns of an image together: one shape, a height each, a background that varies smoothly.

    image: (ny, nx) counts, in any unit and with any offset.
    positions: (n, 2) starts as (y, x) [px], good to about a width. Those outside the field are left out, and all but
        one of some that come to lie on each other.
    sigma: width of the columns [px]; None to estimate it.  tail: share of the height in a Gaussian twice as wide, 0 to
        0.5, which stands for the tails of a Lorentzian; None to estimate it.
    gain, read_noise, offset: variance of a count is gain · (expected - offset) + read_noise² [counts²]; with both None
        it is estimated, else a gain of 1 or a read_noise of 0 is filled in.
    straighten_rows: undo displacements of whole rows by the scan, where all columns of a row show them.
    find_missing: look for columns in the residual that `positions` lack, and fit them too.
    threshold: of their height, in standard deviations.
    The same for any number of threads.  Raises InvalidShape, InvalidValue, InvalidOption.
    Van Aert et al. 2005, doi:10.1016/j.ultramic.2005.03.002; De Backer et al. 2016, doi:10.1016/j.ultramic.2016.08.018.
    """
    plane = np.ascontiguousarray(image, np.float32)
    if plane.ndim != 2 or 0 in plane.shape:
        raise InvalidShape("image", "(ny, nx) with at least one pixel", plane.shape)
    if not np.isfinite(plane).all():
        raise InvalidValue("image", "finite counts", "NaN or infinite ones", "replace them by their neighbours' mean")
    starts = np.ascontiguousarray(positions, np.float64)
    if starts.size == 0:
        starts = starts.reshape(0, 2)
    if starts.ndim != 2 or starts.shape[1] != 2:
        raise InvalidShape("positions", "(n, 2) as (y, x)", starts.shape)
    if not np.isfinite(starts).all():
        raise InvalidValue("positions", "finite ones", "NaN or infinite ones", "leave those out")
    if sigma is not None and not (math.isfinite(sigma) and sigma >= 0.5):
        raise InvalidOption(f"sigma: expected a width of 0.5 px or more, got {sigma}")
    if tail is not None and not 0 <= tail <= 0.5:
        raise InvalidOption(f"tail: expected a share of the height from 0 to 0.5, got {tail}")
    if not (math.isfinite(threshold) and threshold > 0):
        raise InvalidOption(f"threshold: expected standard deviations above 0, got {threshold}")
    counts_an_electron, deviation = _noise(gain, read_noise, offset)
    exponent = _magnification(plane)
    magnified = 2.0**exponent
    found = RefinedColumns(
        **_core.refine_columns(
            np.ldexp(plane, exponent),
            starts,
            0.0 if sigma is None else float(sigma),
            -1.0 if tail is None else float(tail),
            counts_an_electron * magnified,
            deviation * magnified,
            float(offset) * magnified,
            straighten_rows,
            find_missing,
            float(threshold),
            thread_count(n_threads),
        )
    )
    return replace(
        found,
        intensity=found.intensity / magnified,
        intensity_sigma=found.intensity_sigma / magnified,
        background=found.background / magnified,
        gain=found.gain / magnified,
        variance_floor=found.variance_floor / magnified**2,
    )


def _magnification(plane: NDArray[np.float32]) -> int:
    """The power of two that brings the contrast of an image to about a thousand, whatever its unit.

    In amperes, variances are so small that nothing is left of them beside the kernel's floors.
    """
    contrast = float(plane.max()) - float(plane.min())
    return 10 - math.frexp(contrast)[1] if contrast > 0 else 0


def _noise(gain: float | None, read_noise: float | None, offset: float) -> tuple[float, float]:
    """Gain and read noise for the kernel, to which a negative gain says that both are unknown."""
    if gain is None and read_noise is None:
        return -1.0, 0.0
    given = (1.0 if gain is None else float(gain), 0.0 if read_noise is None else float(read_noise))
    if not (math.isfinite(sum(given)) and min(given) >= 0 and max(given) > 0 and math.isfinite(offset)):
        raise InvalidOption(
            "gain, read_noise, offset: expected numbers, the first two not negative and not both 0, "
            f"got {gain}, {read_noise}, {offset}"
        )
    return given
