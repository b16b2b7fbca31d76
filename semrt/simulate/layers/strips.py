"""Layers with sharp outlines, as in the laboratory: strips of metal under and beside pads of another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semrt.simulate.fields import Shape

__all__ = ["PADS", "STRIPS", "strips_thickness"]

STRIPS = (5.0, 10.0, 15.0)  # [nm], side by side, in any order
PADS = (150.0,)  # [nm]


def strips_thickness(
    rng: np.random.Generator, shape: Shape, *, strips: tuple[float, ...] = STRIPS, pads: tuple[float, ...] = PADS
) -> NDArray[np.float32]:
    """Draw parallel strips of the lower layer across the field, under and beside pads of the upper: (2, ny, nx) [nm].

    strips, pads: thicknesses to draw from [nm].
    """
    thickness = np.zeros((2, *shape), np.float32)
    turned = rng.random() < 0.5
    across = thickness.transpose(0, 2, 1) if turned else thickness  # strips run along its second axis
    _lay_strips(rng, across[0], strips)
    for _ in range(int(rng.integers(1, 4))):
        y, x = (_span(rng, n, 0.2, 0.6) for n in across.shape[1:])
        across[1, y, x] = rng.choice(pads)
    return thickness


def _lay_strips(rng: np.random.Generator, layer: NDArray[np.float32], strips: tuple[float, ...]) -> None:
    """Lay strips of every thickness in turn, with gaps between them; they end within the field or beyond it."""
    ny, nx = layer.shape
    number = min(int(rng.integers(2, 7)), max(1, ny // 4))  # at least about 4 px from strip to strip
    period = ny / number
    order = rng.permutation(strips)
    along = slice(0, nx) if rng.random() < 0.5 else _span(rng, nx, 0.6, 0.95)
    offset = rng.uniform(0, 0.3) * period
    for k in range(number):
        first = round(k * period + offset)
        last = max(first + 1, round(first + rng.uniform(0.3, 0.7) * period))
        layer[first:last, along] = order[k % len(order)]


def _span(rng: np.random.Generator, n: int, least: float, most: float) -> slice:
    """Part of an axis of n pixels, at least one, that lies anywhere in it."""
    length = max(1, round(rng.uniform(least, most) * n))
    first = int(rng.integers(0, n - length + 1))
    return slice(first, first + length)
