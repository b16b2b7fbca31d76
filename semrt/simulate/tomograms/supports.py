"""Thin films across the beam, on which particles lie."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from semrt.simulate.fields import log_uniform
from semrt.simulate.tomograms.grid import paint, ripples, waves

if TYPE_CHECKING:
    from semrt.simulate.tomograms.grid import Grid, Space

__all__ = ["Support", "draw_support"]

_WHOLE = (slice(None),) * 3


class Support(NamedTuple):
    """A film: height of its middle (1, ny, mx) [px], half its thickness [px], and what was drawn."""

    height: Space
    half: float
    settings: dict[str, Any]

    def at(self, grid: Grid, y: float, x: float) -> float:
        """Height of the film's middle at a place [px]; beyond the slices, that of the nearest."""
        row = np.searchsorted(grid.y.ravel(), y)
        column = np.searchsorted(grid.x, x)
        return float(self.height[0, min(row, self.height.shape[1] - 1), min(column, self.height.shape[2] - 1)])


def draw_support(rng: np.random.Generator, grid: Grid, density: Space) -> Support:
    """Paint a film, flat or wavy, nearly across the beam; most run out of the field at both sides, some end in it."""
    n = grid.size
    half = max(0.6, n * log_uniform(rng, 0.006, 0.03))
    level = log_uniform(rng, 0.06, 0.4)
    slope = math.tan(math.radians(rng.normal(0, 5)))
    height = slope * grid.x + rng.uniform(-0.15, 0.15) * n
    height = height + rng.uniform(0, 0.02) * n * ripples(rng, grid, log_uniform(rng, 0.4, 2) * n)
    ends = rng.random() < 0.3
    distance = np.abs(grid.z - height) - half * (1 + 0.15 * ripples(rng, grid, 0.3 * n))
    if ends:
        edge = rng.uniform(0.2, 0.45) * grid.shape[2]
        other = rng.uniform(0.42, 0.49) * grid.shape[2]
        at = grid.x if rng.random() < 0.5 else -grid.x
        distance = np.maximum(distance, np.maximum(at - edge, -at - other))
    near = np.flatnonzero((distance < grid.edge).any((1, 2)))
    rows = slice(int(near[0]), int(near[-1]) + 1) if len(near) else slice(0, 0)
    grain = rng.uniform(0, 0.2)
    texture = waves(rng, grid, max(3.0, 0.03 * n), spread=0.6, number=48)[rows]
    bright = level * np.clip(1 + grain * texture, 0.3, 1.7)
    paint(density, (rows, *_WHOLE[1:]), distance[rows], bright, grid.edge)
    settings = {"film_level": level, "film_thickness_px": 2 * half, "film_ends": ends}
    return Support(np.broadcast_to(height, (1, *density.shape[1:])), half, settings)
