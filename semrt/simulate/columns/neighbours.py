"""Which columns lie near which."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["apart", "neighbour_table", "pairs", "pushed_apart"]


def pairs(y: NDArray[np.float64], x: NDArray[np.float64], radius: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """All pairs of points nearer than `radius`, both ways round: (i, j), sorted by i."""
    n = len(y)
    if n == 0:
        return np.empty(0, np.intp), np.empty(0, np.intp)
    row = ((y - y.min()) / radius).astype(np.intp) + 1
    column = ((x - x.min()) / radius).astype(np.intp) + 1
    width = int(column.max()) + 2
    cell = row * width + column
    order = np.argsort(cell, kind="stable")
    sorted_cells = cell[order]
    first: list[NDArray[np.intp]] = []
    second: list[NDArray[np.intp]] = []
    for dy in (-1, 0, 1):  # the three cells of a row follow one another
        start = np.searchsorted(sorted_cells, cell + dy * width - 1, "left")
        count = np.searchsorted(sorted_cells, cell + dy * width + 1, "right") - start
        i = np.repeat(np.arange(n), count)
        j = order[np.arange(len(i)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(start, count)]
        near = (i != j) & ((y[i] - y[j]) ** 2 + (x[i] - x[j]) ** 2 < radius * radius)
        first.append(i[near])
        second.append(j[near])
    i, j = np.concatenate(first), np.concatenate(second)
    by_first = np.argsort(i, kind="stable")
    return i[by_first], j[by_first]


def apart(y: NDArray[np.float64], x: NDArray[np.float64], least: float) -> NDArray[np.bool_]:
    """Which points to keep so that no two are nearer than `least`: (n,) bool; of a pair, the earlier one stays."""
    kept = np.ones(len(y), np.bool_)
    i, j = pairs(y, x, least)
    earlier = i < j
    for a, b in zip(i[earlier].tolist(), j[earlier].tolist(), strict=True):  # sorted by i: earlier ones decide first
        if kept[a]:
            kept[b] = False
    return kept


def pushed_apart(
    y: NDArray[np.float64], x: NDArray[np.float64], least: float, rounds: int = 12
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Move points that are nearer than `least` away from one another, a little in each round: (y, x)."""
    for _ in range(rounds):
        i, j = pairs(y, x, least)
        dy, dx = y[i] - y[j], x[i] - x[j]
        distance = np.maximum(np.hypot(dy, dx), 1e-9)
        push = 0.4 * (least - distance) / distance
        y = y + np.bincount(i, push * dy, len(y))
        x = x + np.bincount(i, push * dx, len(x))
    return y, x


def neighbour_table(
    y: NDArray[np.float64], x: NDArray[np.float64], count: int, radius: float, most: int
) -> NDArray[np.intp]:
    """Nearest neighbours of the first `count` points within `radius`: (count, k <= most), -1 where there is none."""
    i, j = pairs(y, x, radius)
    wanted = i < count
    i, j = i[wanted], j[wanted]
    order = np.lexsort(((y[i] - y[j]) ** 2 + (x[i] - x[j]) ** 2, i))
    i, j = i[order], j[order]
    rank = np.arange(len(i)) - np.searchsorted(i, i, "left")
    table = np.full((count, int(min(most, rank.max() + 1)) if len(i) else 0), -1, np.intp)
    held = rank < most
    table[i[held], rank[held]] = j[held]
    return table
