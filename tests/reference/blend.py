"""Slow twins of semrt.kernels.blend: pixel by pixel, any number of axes."""

from __future__ import annotations

import numpy as np


def inside(i, n, border):
    """The pixel of a line of n that stands at i."""
    if border == "edge":
        return min(max(i, 0), n - 1)
    while not 0 <= i < n:
        i = -1 - i if i < 0 else 2 * n - 1 - i  # mirrored in the rim of the first or the last pixel
    return i


def cut_tile(field, origin, shape, border):
    """(n, *shape): what stands from `origin` on in `field`, (n, …)."""
    tile = np.empty((len(field), *shape), np.float32)
    for place in np.ndindex(*shape):
        source = tuple(inside(start + i, n, border) for start, i, n in zip(origin, place, field.shape[1:], strict=True))
        tile[(slice(None), *place)] = field[(slice(None), *source)]
    return tile


def add_tile(tile, window, origin, canvas):
    """`canvas`, float64, with `tile` times the product of the weights added from `origin` on."""
    total = canvas.astype(float)
    for place in np.ndindex(*tile.shape[1:]):
        target = tuple(start + i for start, i in zip(origin, place, strict=True))
        if all(0 <= i < n for i, n in zip(target, canvas.shape[1:], strict=True)):
            weight = np.prod([float(along[i]) for along, i in zip(window, place, strict=True)])
            total[(slice(None), *target)] += weight * tile[(slice(None), *place)]
    return total
