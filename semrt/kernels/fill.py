"""Fill a sparse scan from its samples, and measure how sparse it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from semrt import _core
from semrt.errors import EmptyScan, InvalidOption, InvalidShape, InvalidValue
from semrt.kernels._threads import thread_count

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["MaskStatistics", "distance_to_sample", "mask_statistics", "natural_neighbour"]


@dataclass(frozen=True, slots=True)
class MaskStatistics:
    """How sparse a scan is.

    coverage: fraction of the pixels that were visited.
    largest_gap: diameter [px] of the largest disk, centred in the field, that holds no sample.
    mean_gap: that diameter [px] averaged over all centres in the field.
    """

    coverage: float
    largest_gap: float
    mean_gap: float


def natural_neighbour(
    intensity: ArrayLike, visited: ArrayLike, *, smooth: float = 0.0, n_threads: int | None = None
) -> NDArray[np.float32]:
    """Fill the unvisited pixels with the discrete Sibson interpolant of the visited ones.

    intensity: (ny, nx), read only where visited.  visited: (ny, nx), non-zero = visited.
    smooth: standard deviation [px] of a Gaussian applied to the filled image; at 0 measured pixels keep their values.
    Returns (ny, nx) float32.  Raises InvalidShape, InvalidValue (not finite where visited), InvalidOption, EmptyScan.
    Park, Linsen, Kreylos, Owens & Hamann 2006, doi:10.1109/TVCG.2006.27.
    """
    mask = _mask(visited)
    plane = np.ascontiguousarray(intensity, np.float32)
    if plane.shape != mask.shape:
        raise InvalidShape("intensity", f"{mask.shape}, as visited has", plane.shape)
    if not np.isfinite(plane, where=mask, out=np.ones_like(mask)).all():
        raise InvalidValue("intensity", "finite values where visited", "NaN or infinite ones", "unmark those pixels")
    if not (math.isfinite(smooth) and smooth >= 0):
        raise InvalidOption(f"smooth: expected a standard deviation of 0 or more [px], got {smooth}")
    return _core.natural_neighbour(plane, mask, float(smooth), thread_count(n_threads))


def distance_to_sample(visited: ArrayLike, *, n_threads: int | None = None) -> NDArray[np.float32]:
    """Euclidean distance [px] from each pixel to the nearest visited one, exact.

    visited: (ny, nx), non-zero = visited.  Returns (ny, nx) float32.  Raises InvalidShape, EmptyScan.
    Meijster, Roerdink & Hesselink 2000, doi:10.1007/0-306-47025-X_36.
    """
    return _core.distance_to_sample(_mask(visited), thread_count(n_threads))


def mask_statistics(visited: ArrayLike, *, n_threads: int | None = None) -> MaskStatistics:
    """Coverage and gaps of a scan; beyond the border nothing is assumed to be sampled.

    visited: (ny, nx), non-zero = visited.  Raises InvalidShape, EmptyScan.
    """
    mask = _mask(visited)
    distance = _core.distance_to_sample(mask, thread_count(n_threads))
    return MaskStatistics(
        coverage=float(np.count_nonzero(mask)) / mask.size,
        largest_gap=2 * float(distance.max()),
        mean_gap=2 * float(distance.mean(dtype=np.float64)),
    )


def _mask(visited: ArrayLike) -> NDArray[np.bool_]:
    mask = np.ascontiguousarray(visited, np.bool_)
    if mask.ndim != 2 or 0 in mask.shape:
        raise InvalidShape("visited", "(ny, nx) with at least one pixel", mask.shape)
    if not mask.any():
        raise EmptyScan
    return mask
