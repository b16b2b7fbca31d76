"""Layers of any outline and thickness, so that a network learns what layers are rather than one kind of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from semrt.simulate.fields import blur, log_uniform
from semrt.simulate.layers.perlin import MAXIMUM, perlin_noise, terraces
from semrt.simulate.layers.strips import strips_thickness

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semrt.simulate.fields import Plane, Shape

__all__ = ["varied_thickness"]

_CELLS = (16.0, 160.0)  # [px]
_STEPS = (0.02, 0.25)


def varied_thickness(rng: np.random.Generator, shape: Shape) -> NDArray[np.float32]:
    """Draw two layers of any outline, in terraces or sloping, up to 15 and 150 nm or less: (2, ny, nx) [nm].

    Either layer comes from Perlin noise of any scale, or from strips and pads; at times it covers the whole field, or
    is not there at all.
    """
    sharp = strips_thickness(rng, shape, strips=tuple(rng.uniform(1, 15, 3)), pads=tuple(rng.uniform(10, 150, 3)))
    layers = [sharp[k] if rng.random() < 0.35 else _smooth(rng, shape, MAXIMUM[k]) for k in range(2)]
    if rng.random() < 0.1:
        layers[int(rng.integers(2))][...] = 0
    return np.stack(layers).astype(np.float32)


def _smooth(rng: np.random.Generator, shape: Shape, most: float) -> Plane:
    noise = perlin_noise(rng, shape, log_uniform(rng, *_CELLS))
    if rng.random() < 0.15:  # no bare ground
        noise = noise - noise.min() + 0.05
    highest = most * rng.uniform(0.2, 1)
    layer = terraces(noise, log_uniform(rng, *_STEPS), highest)
    if rng.random() < 0.3:  # slopes, where it was etched or grown through a mask
        layer = np.where(layer > 0, blur(layer, log_uniform(rng, 0.5, 8)), 0)
    return layer
