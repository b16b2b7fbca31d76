"""Man-made patterns: lines, vias and blocks of a device, and lettering."""

from __future__ import annotations

import numpy as np

from semrt.simulate.fields import Plane, Shape, choice, coordinates, log_uniform, smooth, stretched, texture, warped
from semrt.simulate.shapes import cover

__all__ = ["device", "lettering"]


def device(rng: np.random.Generator, shape: Shape) -> Plane:
    """Lines, blocks and vias on a grid, in one to three levels, with bright edges and rough walls."""
    extent = max(shape)
    y, x = coordinates(rng, shape)
    if rng.random() < 0.6:  # mostly aligned with the scan
        y, x = np.meshgrid(*(np.arange(n, dtype=np.float32) + float(rng.random()) for n in shape), indexing="ij")
    pitch = log_uniform(rng, 6, 0.35 * min(extent, 512) + 6)
    image = rng.uniform(0.1, 0.4) + texture(rng, shape, 0.08)
    edge = choice(rng, 0, rng.uniform(0, 0.5))
    for level in range(int(rng.integers(1, 4))):
        v, u = warped(rng, y, x, rng.uniform(6, 30), rng.uniform(0, min(1.5, 0.03 * pitch)))  # line-edge roughness
        own = max(5.0, pitch * (choice(rng, 0.5, 1.0, 1.5, 2.0) if level else 1.0))
        distance = _figures(rng, v, u, own) if rng.random() < 0.5 else _figures(rng, u, v, own)
        image += cover(distance, rng.uniform(1.2, 2.5)) * (rng.uniform(0.3, 1.0) - image)
        image += edge * np.exp(-((distance / rng.uniform(0.8, 0.06 * own + 1.2)) ** 2))
    return stretched(image + rng.uniform(0, 0.1) * smooth(rng, shape, 0.5 * extent + 4))


def lettering(rng: np.random.Generator, shape: Shape) -> Plane:
    """Strokes in character cells, in rows as text runs: labels, fiducials, address marks."""
    extent = max(shape)
    y, x = coordinates(rng, shape)
    size = log_uniform(rng, 9, 0.3 * min(extent, 512) + 9)
    v, u = y / (1.5 * size), x / size
    row, column = np.floor(v).astype(np.intp), np.floor(u).astype(np.intp)
    v, u = (v - row) * 1.5, u - column
    letters = 64
    letter = (row * 131 + column * 37) % letters
    distance = np.full(shape, np.inf, np.float32)
    for _ in range(4):  # strokes between the knots of a 3 × 3 raster, each letter its own
        knots = (0.2 + 0.3 * rng.integers(0, 3, (4, letters))).astype(np.float32)[:, letter]
        v0, u0, dv, du = 1.5 * knots[0], knots[1], 1.5 * (knots[2] - knots[0]), knots[3] - knots[1]
        part = np.clip(((v - v0) * dv + (u - u0) * du) / (dv * dv + du * du + 1e-4), 0, 1)
        np.minimum(distance, np.hypot(v - v0 - part * dv, u - u0 - part * du), out=distance)
    written = (rng.random(letters) < 0.75).astype(np.float32)[letter]
    ink = written * cover((distance - rng.uniform(0.05, 0.09)) * size, rng.uniform(1.2, 3))
    image = rng.uniform(0, 0.5) + 0.1 * smooth(rng, shape, 0.5 * extent + 4)
    image += texture(rng, shape, 0.1)
    return stretched(image + choice(rng, -0.5, 0.4, 0.8) * ink)


def _figures(rng: np.random.Generator, y: Plane, x: Plane, pitch: float) -> Plane:
    """Distance [px] to the figures of one level: lines, broken lines, round vias or blocks."""
    row, column = np.floor(y / pitch), np.floor(x / pitch)
    v, u = np.abs(y - (row + 0.5) * pitch), np.abs(x - (column + 0.5) * pitch)
    half = pitch * rng.uniform(0.15, 0.38)
    figure = choice(rng, 0, 1, 2, 3)
    if figure == 0:
        return np.asarray(v - half, np.float32)
    if figure == 1:
        column = np.floor(x / (pitch * rng.uniform(2, 7)))  # switched on and off in runs
        distance = v - half
    else:
        distance = (np.hypot(v, u) if figure == 2 else np.maximum(v, u)) - half
    present = rng.random((64, 64)) < rng.uniform(0.3, 1.0)
    nowhere = max(3.0, 0.5 * pitch - half)
    return np.where(present[row.astype(np.intp) % 64, column.astype(np.intp) % 64], distance, np.float32(nowhere))
