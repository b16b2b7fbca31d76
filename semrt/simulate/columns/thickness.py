"""How thick a specimen is at each column: profiles from 0 (vacuum) to 1. To add one, write it and its line in PROFILES.

A profile takes (rng, y, x, shape, spacing) with positions and spacing in px and gives (n,) floats.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from semrt.simulate.fields import log_uniform

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from semrt.simulate.fields import Shape

    Values = NDArray[np.float64]

__all__ = ["PROFILES", "Outline", "waves"]


def waves(
    rng: np.random.Generator, y: Values, x: Values, wavelength: float, count: int = 4, *, spread: float = 2.0
) -> Values:
    """Sum sine waves of random direction at points, (n,), within -1 and 1.

    wavelength: the shortest [px]; the longest is `spread` times as long.
    """
    total = np.zeros(len(y))
    for _ in range(count):
        angle, phase = rng.uniform(0, 2 * math.pi, 2)
        k = 2 * math.pi / log_uniform(rng, wavelength, spread * wavelength)
        total += np.sin(k * (math.cos(angle) * y + math.sin(angle) * x) + phase)
    return total / count


class Outline:
    """A particle seen from above: a disc, or a polygon with corners cut by a disc.

    centre: (y, x) [px].  radius: of the disc [px].
    """

    def __init__(self, rng: np.random.Generator, centre: tuple[float, float], radius: float) -> None:
        self.centre = centre
        self.radius = radius
        self.fade = rng.uniform(0.15, 1.0)  # share of the radius over which a facet slopes
        self.round = rng.random() < 0.5
        sides = int(rng.integers(3, 9))
        self.normals = np.arange(sides) * 2 * math.pi / sides + rng.uniform(0, 2 * math.pi)
        self.facets = radius * rng.uniform(0.65, 0.95, sides)

    def thickness(self, y: Values, x: Values) -> Values:
        """From 0 at the outline to 1 where the particle is thickest, (n,)."""
        dy, dx = y - self.centre[0], x - self.centre[1]
        ball = np.sqrt(np.maximum(0, 1 - (dy * dy + dx * dx) / self.radius**2))
        if self.round:
            return ball
        within = np.full(len(y), np.inf)
        for normal, facet in zip(self.normals, self.facets, strict=True):
            within = np.minimum(within, facet - (math.cos(normal) * dy + math.sin(normal) * dx))
        return np.clip(within / (self.fade * self.radius), 0, 1) * (ball > 0)


def _flat(rng: np.random.Generator, y: Values, x: Values, shape: Shape, spacing: float) -> Values:
    return np.ones(len(y))


def _ramp(rng: np.random.Generator, y: Values, x: Values, shape: Shape, spacing: float) -> Values:
    """Build a wedge across the whole field."""
    along, extent = _across(rng, y, x, shape)
    thin = rng.uniform(0.05, 0.6)
    return np.asarray(thin + (1 - thin) * np.clip(along / extent + 0.5, 0, 1))


def _edge(rng: np.random.Generator, y: Values, x: Values, shape: Shape, spacing: float) -> Values:
    """Build the crystal's edge, sharp or fading out over many columns, straight or ragged; vacuum beyond."""
    along, extent = _across(rng, y, x, shape)
    along = along - rng.uniform(-0.3, 0.3) * extent
    if rng.random() < 0.6:
        along = along + rng.uniform(0.3, 4) * spacing * waves(rng, y, x, 6 * spacing, spread=6)
    fade = min(log_uniform(rng, 0.3, 25) * spacing, 0.8 * extent)
    return np.clip(along / fade + 0.5, 0, 1) ** rng.uniform(0.7, 1.5)


def _waved(rng: np.random.Generator, y: Values, x: Values, shape: Shape, spacing: float) -> Values:
    """Build an uneven film, with holes in some."""
    field = waves(rng, y, x, max(0.25 * max(shape), 4 * spacing), 5, spread=4)
    return np.clip(rng.uniform(0.35, 0.9) + rng.uniform(0.3, 1.2) * field, 0, 1)


def _steps(rng: np.random.Generator, y: Values, x: Values, shape: Shape, spacing: float) -> Values:
    """Build terraces: whole layers, up to a dozen."""
    along, extent = _across(rng, y, x, shape)
    height = along / extent + 0.5 + 0.3 * waves(rng, y, x, max(0.3 * max(shape), 4 * spacing))
    layers = int(rng.integers(2, 13))
    return np.clip(np.ceil(height * layers), int(rng.integers(0, 2)), layers) / layers


def _across(rng: np.random.Generator, y: Values, x: Values, shape: Shape) -> tuple[Values, float]:
    """Distance along a random direction from the field's centre [px], and the field's extent that way."""
    angle = rng.uniform(0, 2 * math.pi)
    c, s = math.cos(angle), math.sin(angle)
    extent = abs(c) * shape[0] + abs(s) * shape[1]
    return c * (y - (shape[0] - 1) / 2) + s * (x - (shape[1] - 1) / 2), extent


PROFILES: dict[str, Callable[[np.random.Generator, Values, Values, Shape, float], Values]] = {
    "edge": _edge,
    "flat": _flat,
    "ramp": _ramp,
    "steps": _steps,
    "waved": _waved,
}
