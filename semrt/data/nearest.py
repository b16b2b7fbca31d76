"""Distances from each of many points to the nearest other one, without a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["nearest_distances"]


def nearest_distances(y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) [same unit as y and x]; infinite for a single point.

    Points are sorted into square cells, and searched for in nine of them; those whose nearest may lie further off are
    searched for once more among cells of twice the side.
    """
    n = len(y)
    nearest = np.full(n, np.inf)
    if n < 2:
        return nearest
    extent = max(np.ptp(y), np.ptp(x), 1e-9)
    side = max(np.sqrt(max(np.ptp(y), 1e-3 * extent) * max(np.ptp(x), 1e-3 * extent) / n), 1e-6 * extent)
    asked = np.arange(n)
    while len(asked):
        nearest[asked] = _within_nine_cells(y, x, asked, side)
        if side > extent:
            break
        asked = asked[nearest[asked] > side]  # a nearer one may be two cells away
        side *= 2
    return nearest


def _within_nine_cells(
    y: NDArray[np.float64], x: NDArray[np.float64], asked: NDArray[np.intp], side: float
) -> NDArray[np.float64]:
    row = ((y - y.min()) / side).astype(np.intp) + 1
    column = ((x - x.min()) / side).astype(np.intp) + 1
    width = int(column.max()) + 2
    cell = row * width + column
    order = np.argsort(cell, kind="stable")
    sorted_cells = cell[order]
    nearest = np.full(len(asked), np.inf)
    for dy in (-1, 0, 1):  # the three cells of a row follow one another
        start = np.searchsorted(sorted_cells, cell[asked] + dy * width - 1, "left")
        count = np.searchsorted(sorted_cells, cell[asked] + dy * width + 1, "right") - start
        at = np.repeat(np.arange(len(asked)), count)
        other = order[np.arange(len(at)) - np.repeat(np.cumsum(count) - count - start, count)]
        distance = np.hypot(y[asked[at]] - y[other], x[asked[at]] - x[other])
        distance[other == asked[at]] = np.inf
        np.minimum.at(nearest, at, distance)
    return nearest
