"""Shapes with soft edges, painted one over another, and the cells of a random tiling.

A shape is its signed distance [px], negative inside; `cover` turns it into the fraction of each pixel that it fills.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semrt.simulate.fields import Plane, Shape

__all__ = [
    "Cells",
    "Window",
    "blob",
    "capsule",
    "cells",
    "cover",
    "ellipse",
    "pack",
    "polygon",
    "power_law_radii",
    "window",
]


@dataclass(frozen=True, slots=True)
class Window:
    """The part of an image around a centre: its slices, and (y, x) [px] from that centre, turned by an angle."""

    at: tuple[slice, slice]
    y: Plane
    x: Plane


def window(shape: Shape, centre: tuple[float, float], reach: float, angle: float = 0.0) -> Window | None:
    """Cut out what an image of this shape shows within `reach` [px] of the centre; None if nothing."""
    cy, cx = centre
    y0, y1 = max(0, int(cy - reach)), min(shape[0], int(cy + reach) + 2)
    x0, x1 = max(0, int(cx - reach)), min(shape[1], int(cx + reach) + 2)
    if y0 >= y1 or x0 >= x1:
        return None
    y = np.arange(y0, y1, dtype=np.float32)[:, None] - cy
    x = np.arange(x0, x1, dtype=np.float32)[None, :] - cx
    if angle == 0.0:
        y, x = np.broadcast_arrays(y, x)
        return Window((slice(y0, y1), slice(x0, x1)), y, x)
    c, s = math.cos(angle), math.sin(angle)
    return Window((slice(y0, y1), slice(x0, x1)), c * y + s * x, c * x - s * y)


def cover(distance: Plane, edge: float = 1.0) -> Plane:
    """Turn a distance into the fraction of each pixel inside a shape, whose edge is `edge` px wide."""
    return np.asarray(np.clip(0.5 - distance / edge, 0, 1), np.float32)


def ellipse(w: Window, a: float, b: float) -> Plane:
    """Distance to an ellipse of half axes a (along y) and b (along x)."""
    y, x = w.y / a, w.x / b
    return np.asarray((np.sqrt(y * y + x * x) - 1) * min(a, b), np.float32)


def capsule(w: Window, half_length: float, radius: float) -> Plane:
    """Distance to a rod along y with round ends; half_length without the caps."""
    along = np.maximum(np.abs(w.y) - half_length, 0)
    return np.asarray(np.sqrt(along * along + w.x * w.x) - radius, np.float32)


def polygon(w: Window, normals: NDArray[np.float64], offsets: NDArray[np.float64]) -> Plane:
    """Distance to a convex polygon: normals as angles (n,), offsets (n,) [px] of the sides from the centre."""
    distance = np.full(w.y.shape, -np.inf, np.float32)
    for angle, offset in zip(normals.tolist(), offsets.tolist(), strict=True):
        side = math.sin(angle) * w.y + math.cos(angle) * w.x - offset
        np.maximum(distance, side, out=distance)
    return distance


def blob(w: Window, radius: float, waves: NDArray[np.float64], stretch: float = 1.0) -> Plane:
    """Distance to a rounded irregular outline.

    waves: (n, 2) cosine and sine amplitudes, relative to the radius, of the outline's harmonics from the second on.
    """
    y, x = w.y * stretch, w.x / stretch
    r = np.sqrt(y * y + x * x) + 1e-6
    turn = (x + 1j * y) / r
    power, outline = turn, np.ones_like(r)
    for c, s in waves.tolist():
        power = power * turn
        outline += c * power.real + s * power.imag
    return np.asarray(r - radius * outline, np.float32)


def power_law_radii(rng: np.random.Generator, n: int, low: float, high: float, exponent: float) -> NDArray[np.float64]:
    """Draw n radii between low and high [px] with density r**-exponent (3: the scale-invariant dead leaves)."""
    u = rng.random(n)
    if abs(exponent - 1) < 1e-6:
        return np.asarray(low * (high / low) ** u)
    p = 1 - exponent
    return np.asarray((low**p + u * (high**p - low**p)) ** (1 / p))


def pack(
    rng: np.random.Generator, shape: Shape, radii: NDArray[np.float64], *, overlap: float = 0.0, tries: int = 8
) -> list[tuple[float, float, float]]:
    """Throw discs in one by one, each kept where it overlaps no earlier one by more than allowed: their (y, x, radius).

    overlap: the fraction of the smaller radius by which two discs may overlap. The field is wider than the image by the
    largest radius, so that discs are cut by its edges.
    """
    margin = float(radii.max(initial=0.0))
    kept = np.empty((len(radii), 3))
    n = 0
    for radius in radii:
        y = rng.uniform(-margin, shape[0] + margin, tries)
        x = rng.uniform(-margin, shape[1] + margin, tries)
        others = kept[:n]
        gap = np.hypot(others[:, 0] - y[:, None], others[:, 1] - x[:, None]) - others[:, 2] - radius
        free = (gap > -overlap * np.minimum(others[:, 2], radius)).all(axis=1)
        if free.any():
            first = int(free.argmax())
            kept[n] = y[first], x[first], radius
            n += 1
    return [(y, x, r) for y, x, r in kept[:n].tolist()]


@dataclass(frozen=True, slots=True)
class Cells:
    """A tiling of the plane.

    label: (ny, nx), the cell of each pixel, 0 to count - 1.
    inside: (ny, nx) [px], distance to the nearest boundary.  y, x: [px] from the cell's seed.
    """

    label: NDArray[np.intp]
    count: int
    inside: Plane
    y: Plane
    x: Plane

    def show(self, values: NDArray[Any]) -> Plane:
        """Give each pixel its cell's value: (count,) -> (ny, nx)."""
        return np.asarray(values, np.float32)[self.label]


def cells(
    rng: np.random.Generator, y: Plane, x: Plane, size: float, *, disorder: float = 0.9, spread: float = 0.3
) -> Cells:
    """Tile the plane with the Voronoi cells of a jittered grid, over any coordinates [px].

    size: mean cell diameter [px].  disorder: 0 square .. 1 random.  spread: relative variation of the cell sizes.
    Cost: nine passes over the image, whatever the number of cells. Worley 1996, doi:10.1145/237170.237267.
    """
    scale = 1 / size
    y, x = y * scale, x * scale
    iy, ix = np.floor(y).astype(np.intp), np.floor(x).astype(np.intp)
    iy_min, ix_min = int(iy.min()) - 1, int(ix.min()) - 1
    rows, columns = int(iy.max()) - iy_min + 2, int(ix.max()) - ix_min + 2
    knots = np.stack(np.meshgrid(np.arange(rows) + iy_min, np.arange(columns) + ix_min, indexing="ij"))
    seeds = knots + 0.5 + disorder * rng.uniform(-0.5, 0.5, knots.shape)
    seed_y, seed_x = seeds.astype(np.float32).reshape(2, -1)
    weight = (spread * rng.uniform(-0.5, 0.5, rows * columns)).astype(np.float32)
    home = (iy - iy_min) * columns + (ix - ix_min)
    nearest = np.full(y.shape, np.inf, np.float32)
    second = np.full(y.shape, np.inf, np.float32)
    label = home
    for step in (0, 1, -1, columns, -columns, columns + 1, columns - 1, 1 - columns, -1 - columns):
        index = home + step
        dy, dx = y - seed_y[index], x - seed_x[index]
        distance = np.sqrt(dy * dy + dx * dx) + weight[index]
        np.minimum(second, np.maximum(distance, nearest), out=second)
        label = np.where(distance < nearest, index, label)
        np.minimum(nearest, distance, out=nearest)
    inside = (second - nearest) * (size / 2)
    return Cells(label, rows * columns, inside, (y - seed_y[label]) * size, (x - seed_x[label]) * size)
