"""Layers with smooth outlines: terraces cut from Perlin noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semrt.simulate.fields import Plane, Shape

__all__ = ["CELL", "MAXIMUM", "STEPS", "perlin_noise", "perlin_thickness", "terraces"]

CELL = 64.0  # [px]: two cells across the 128 px of the published structures
STEPS = (0.05, 0.1)  # noise from one terrace to the next, lower and upper layer
MAXIMUM = (15.0, 150.0)  # [nm]


def perlin_thickness(
    rng: np.random.Generator,
    shape: Shape,
    *,
    cell: float = CELL,
    steps: tuple[float, float] = STEPS,
    maximum: tuple[float, float] = MAXIMUM,
) -> NDArray[np.float32]:
    """Draw two layers from independent Perlin noise in terraces of whole nanometres, (2, ny, nx) [nm], the lower first.

    cell: of the noise [px].  steps: noise from terrace to terrace; what lies below the first step is bare.
    maximum: thickness of the highest terrace of each layer [nm].
    The published structures: github.com/p0l0satik/DL-Microtomography.
    """
    layers = [
        np.floor(terraces(perlin_noise(rng, shape, cell), step, highest))
        for step, highest in zip(steps, maximum, strict=True)
    ]
    return np.stack(layers).astype(np.float32)


def terraces(noise: Plane, step: float, highest: float) -> Plane:
    """Cut noise into terraces a step apart, the lowest at zero and the highest of all at `highest`; bare below zero."""
    level = np.floor(np.maximum(noise, 0) / step)
    top = float(level.max())
    return level * (highest / top) if top > 0 else level


def perlin_noise(rng: np.random.Generator, shape: Shape, cell: float = CELL) -> Plane:
    """Draw gradient noise, (ny, nx) float32 about zero and within ±1, with no detail finer than a cell [px].

    Perlin 2002, doi:10.1145/566654.566636, with gradients uniform in a square.
    """
    # The lattice, on which the noise is zero, lies anywhere: or a network would learn where it does.
    y, x = ((np.arange(n) / cell + rng.random()).astype(np.float32) for n in shape)
    row, column = y.astype(np.intp), x.astype(np.intp)
    gradients = rng.uniform(-1, 1, (2, int(row[-1]) + 2, int(column[-1]) + 2)).astype(np.float32)
    y, x = (y - row)[:, None], (x - column)[None, :]
    fade_y, fade_x = _fade(y), _fade(x)
    noise = np.zeros(shape, np.float32)
    for down in range(2):
        by_row = gradients[:, row + down]
        for right in range(2):
            slope_y, slope_x = by_row[:, :, column + right]
            weight = (fade_y if down else 1 - fade_y) * (fade_x if right else 1 - fade_x)
            noise += weight * (slope_y * (y - down) + slope_x * (x - right))
    return noise


def _fade(part: Plane) -> Plane:
    return part * part * part * (part * (6 * part - 15) + 10)
