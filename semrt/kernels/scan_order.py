"""The order in which to visit positions, so that the probe need not jump."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from semrt import _core
from semrt.errors import InvalidShape, InvalidValue

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["nearest_order", "serpentine_order"]


def nearest_order(positions: ArrayLike) -> NDArray[np.int64]:
    """From the first position always on to the nearest one left; of equally near ones, to the earliest.

    positions: (n, 2) as (y, x) [px].  Returns (n,): positions[order] is the new path.
    Raises InvalidShape, InvalidValue.
    """
    return _core.nearest_order(_positions(positions))


def serpentine_order(positions: ArrayLike) -> NDArray[np.int64]:
    """Back and forth in horizontal bands, of the height that makes the path shortest for evenly spread positions.

    positions: (n, 2) as (y, x) [px].  Returns (n,): positions[order] is the new path.
    Raises InvalidShape, InvalidValue.
    Daganzo 1984, doi:10.1016/0191-2615(84)90003-0.
    """
    at = _positions(positions)
    if len(at) == 0:
        return np.empty(0, np.int64)
    y, x = (at - at.min(axis=0)).T
    height, width = y.max(), x.max()
    bands = max(1, round(math.sqrt(len(at) * height / (3 * width)))) if width > 0 else len(at)
    band = np.minimum((y * (bands / height)).astype(np.int64), bands - 1) if height > 0 else np.zeros(len(at), np.int64)
    along = np.where(band % 2 == 0, x, -x)
    return np.lexsort((y, along, band))


def _positions(positions: ArrayLike) -> NDArray[np.float64]:
    at = np.ascontiguousarray(positions, np.float64)
    if at.ndim != 2 or at.shape[1] != 2:
        raise InvalidShape("positions", "(n, 2) as (y, x)", at.shape)
    if not np.isfinite(at).all():
        raise InvalidValue("positions", "finite positions", "NaN or infinite ones", "leave those samples out")
    return at
