"""Slow twins of semrt.kernels.fill: each by its definition, comparing everything with everything."""

from __future__ import annotations

import numpy as np


def nearest_samples(visited):
    """Two (ny, nx, 2): of the equally near samples the first and the last, columns before rows."""
    samples = np.argwhere(visited.T)[:, ::-1]
    pixels = np.stack(np.indices(visited.shape), axis=-1)
    squared = ((pixels[:, :, None] - samples) ** 2).sum(axis=-1)
    return samples[squared.argmin(axis=-1)], samples[::-1][squared[:, :, ::-1].argmin(axis=-1)]


def squared_distance_to_sample(visited):
    """(ny, nx) integers [px²]."""
    pixels = np.stack(np.indices(visited.shape), axis=-1)
    return ((pixels - nearest_samples(visited)[0]) ** 2).sum(axis=-1)


def natural_neighbour(intensity, visited):
    """(ny, nx) float64: every unvisited pixel spreads its nearest sample over the disk that reaches that sample."""
    y, x = np.indices(visited.shape)
    first, last = nearest_samples(visited)
    squared_radius = squared_distance_to_sample(visited)
    total = np.zeros(visited.shape)
    count = np.zeros(visited.shape)
    for yp, xp in np.argwhere(~visited):
        disk = (y - yp) ** 2 + (x - xp) ** 2 <= squared_radius[yp, xp]
        total[disk] += (intensity[tuple(first[yp, xp])] + intensity[tuple(last[yp, xp])]) / 2
        count[disk] += 1
    return np.where(visited, intensity, total / np.maximum(count, 1))
