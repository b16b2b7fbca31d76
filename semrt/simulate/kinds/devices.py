"""Man-made patterns: lines, vias and blocks of a device, and lettering."""

from __future__ import annotations

import numpy as np

from semrt.simulate.fields import Plane, Shape, coordinates, log_uniform, power_law, smooth, stretched, warped
from semrt.simulate.shapes import cover

__all__ = ["device", "lettering"]


def device(rng: np.random.Generator, shape: Shape) -> Plane:
    """Lines, blocks and vias on a grid, in one to three levels, with bright edges, rough walls and rounded corners."""
    extent = max(shape)
    y, x = coordinates(rng, shape)
    if rng.random() < 0.6:  # mostly aligned with the scan
        y = np.arange(shape[0], dtype=np.float32)[:, None] + 0 * x
        x = np.arange(shape[1], dtype=np.float32)[None, :] + 0 * y
    pitch = log_uniform(rng, 6, 0.35 * min(extent, 512) + 6)
    image = rng.uniform(0.1, 0.4) + rng.uniform(0, 0.05) * power_law(rng, shape, rng.uniform(1, 3))
    edge = rng.uniform(0, 0.5) * rng.integers(0, 2)
    for level in range(int(rng.integers(1, 4))):
        wy, wx = warped(rng, y, x, rng.uniform(3, 15), rng.uniform(0, 0.03) * pitch)  # line-edge roughness
        wy, wx = (wx, wy) if rng.random() < 0.5 else (wy, wx)
        own = pitch * rng.choice([1.0, 2.0, 0.5, 1.5]) if level else pitch
        own = max(own, 5.0)
        distance = _level(rng, wy, wx, own)
        tone = np.float32(rng.uniform(0.3, 1.0))
        image = image + cover(distance, rng.uniform(1.2, 2.5)) * (tone - image)
        image = image + np.float32(edge) * np.exp(-((distance / rng.uniform(0.8, 0.06 * own + 1.2)) ** 2))
    image = image + rng.uniform(0, 0.1) * smooth(rng, shape, 0.5 * extent + 4)
    return stretched(image)


def lettering(rng: np.random.Generator, shape: Shape) -> Plane:
    """Strokes on a raster of character cells, in rows as text runs: labels, fiducials, address marks."""
    extent = max(shape)
    y, x = coordinates(rng, shape)
    size = log_uniform(rng, 9, 0.3 * min(extent, 512) + 9)
    v, u = y / np.float32(size * 1.5), x / np.float32(size)
    row, column = np.floor(v).astype(np.intp), np.floor(u).astype(np.intp)
    v, u = (v - row) * np.float32(1.5), u - column
    label = (row * 131 + column * 37) % 64
    distance = np.full(shape, np.inf, np.float32)
    for _ in range(4):  # strokes between knots of a 3 × 3 raster, their own in each cell
        ends = (0.2 + 0.3 * rng.integers(0, 3, (64, 4))).astype(np.float32)[label]
        a, b = ends[..., :2] * np.array([1.5, 1], np.float32), ends[..., 2:] * np.array([1.5, 1], np.float32)
        dv, du = b[..., 0] - a[..., 0], b[..., 1] - a[..., 1]
        t = np.clip(((v - a[..., 0]) * dv + (u - a[..., 1]) * du) / (dv * dv + du * du + np.float32(1e-4)), 0, 1)
        np.minimum(distance, np.hypot(v - a[..., 0] - t * dv, u - a[..., 1] - t * du), out=distance)
    distance = (distance - np.float32(rng.uniform(0.05, 0.09))) * np.float32(size)
    written = (rng.random(64) < 0.75).astype(np.float32)[label]
    image = (
        rng.uniform(0, 0.5)
        + 0.1 * smooth(rng, shape, 0.5 * extent + 4)
        + rng.uniform(0, 0.08) * power_law(rng, shape, 2)
    )
    image = image + written * np.float32(rng.choice([-0.5, 0.4, 0.8])) * cover(distance, rng.uniform(1.2, 3))
    return stretched(image)


def _level(rng: np.random.Generator, y: Plane, x: Plane, pitch: float) -> Plane:
    """Distance [px] to the figures of one level: lines, broken lines, blocks or vias."""
    figure = rng.integers(0, 4)
    p = np.float32(pitch)
    row, column = np.floor(y / p), np.floor(x / p)
    v, u = np.abs(y - (row + np.float32(0.5)) * p), np.abs(x - (column + np.float32(0.5)) * p)
    half = p * np.float32(rng.uniform(0.15, 0.38))
    if figure == 0:
        return v - half
    if figure == 1:  # lines of random lengths: cells are switched on in runs
        on = rng.random((64, 64)) < rng.uniform(0.3, 0.8)
        long = np.floor(x / (p * np.float32(rng.uniform(2, 7))))
        chosen = on[row.astype(np.intp) % 64, long.astype(np.intp) % 64]
        return np.where(chosen, v - half, np.maximum(half, np.float32(2)))
    on = rng.random((64, 64)) < rng.uniform(0.3, 1.0)
    chosen = on[row.astype(np.intp) % 64, column.astype(np.intp) % 64]
    shape = np.hypot(v, u) - half if figure == 2 else np.maximum(v, u) - half
    return np.where(chosen, shape, np.float32(max(2.0, float(p / 2 - half))))
