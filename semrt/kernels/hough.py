"""Disks in a map of probabilities, to a part of a pixel: a circular Hough transform."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from semrt import _core
from semrt.errors import InvalidOption, InvalidShape, InvalidValue
from semrt.kernels._threads import thread_count

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Circles", "find_circles"]

ROUNDING = 1e-3  # how far beyond 0 and 1 blended tiles of a probability may be


@dataclass(frozen=True, eq=False, slots=True)
class Circles:
    """Circles found in a map, best first.

    y, x: (n,) float64 [px], their centres.
    radius: (n,) float64 [px], of a disk as large as the part of the map that is nearer to this circle than to others.
    score: (n,) float64, how much of a sharp circle's edge points at the centre, times the step there: about 0 to 1.
    """

    y: NDArray[np.float64]
    x: NDArray[np.float64]
    radius: NDArray[np.float64]
    score: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.y)

    @property
    def positions(self) -> NDArray[np.float64]:
        """(n, 2) as (y, x) [px]."""
        return np.stack([self.y, self.x], axis=1)


def find_circles(
    probability: ArrayLike,
    radii: float | tuple[float, float],
    *,
    min_distance: float | None = None,
    threshold: float = 0.09,
    n_threads: int | None = None,
) -> Circles:
    """Find the disks in a map that is about 1 inside them and 0 outside; they may touch.

    probability: (ny, nx), 0 to 1.
    radii: (r_min, r_max) [px], or the typical r, which stands for (0.7 r, 1.3 r).
    min_distance: of neighbours [px], 1 or more; None for the mean radius.
    threshold: the least score; a whole sharp disk has about 1, one in a noisy heap of touching ones 0.1 to 0.2.
    Returns the circles whose centres are in the field, the same for any number of threads.
    Raises InvalidShape, InvalidValue (not finite, not 0 to 1), InvalidOption.
    Duda & Hart 1972, doi:10.1145/361237.361242.
    """
    plane = np.ascontiguousarray(probability, np.float32)
    if plane.ndim != 2 or 0 in plane.shape:
        raise InvalidShape("probability", "(ny, nx) with at least one pixel", plane.shape)
    lowest, highest = float(plane.min()), float(plane.max())
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        raise InvalidValue("probability", "finite values", "NaN or infinite ones", "replace them, by 0 where unknown")
    if lowest < -ROUNDING or highest > 1 + ROUNDING:
        raise InvalidValue("probability", "values from 0 to 1", f"{lowest:g} to {highest:g}", "scale the map")
    r_min, r_max = _range(radii)
    distance = max(1.0, 0.5 * (r_min + r_max)) if min_distance is None else float(min_distance)
    if min_distance is not None and not (math.isfinite(distance) and distance >= 1):
        raise InvalidOption(f"min_distance: expected 1 px or more, got {min_distance}")
    if not (math.isfinite(threshold) and threshold >= 0):
        raise InvalidOption(f"threshold: expected a score of 0 or more, got {threshold}")
    rows = _core.find_circles(plane, r_min, r_max, distance, float(threshold), thread_count(n_threads))
    return Circles(*np.ascontiguousarray(rows.T))


def _range(radii: float | tuple[float, float]) -> tuple[float, float]:
    given = np.asarray(radii, np.float64)
    r_min, r_max = (0.7 * given, 1.3 * given) if given.ndim == 0 else given if given.shape == (2,) else (0, 0)
    if not (math.isfinite(r_max) and 0 < r_min <= r_max):
        raise InvalidOption(f"radii: expected r or (r_min, r_max) with 0 < r_min <= r_max [px], got {radii}")
    return float(r_min), float(r_max)
