"""Bulk materials: grains, fracture surfaces, phases grown into one another, pores and fibres."""

from __future__ import annotations

import numpy as np

from semrt.simulate.fields import (
    Plane,
    Shape,
    coordinates,
    log_uniform,
    power_law,
    smooth,
    smoothstep,
    stretched,
    warped,
)
from semrt.simulate.shapes import blob, cells, cover, pack, window

__all__ = ["fibres", "grains", "labyrinth", "pores", "random_field", "relief"]


def grains(rng: np.random.Generator, shape: Shape) -> Plane:
    """Polycrystals: grains of uniform channelling contrast, their boundaries dark, bright or grooved, some with twins."""
    extent = max(shape)
    size = log_uniform(rng, 6, 0.7 * min(extent, 512) + 8)
    y, x = coordinates(rng, shape)
    y, x = warped(rng, y, x, 0.7 * size + 2, rng.uniform(0, 0.12) * size)
    y, x = warped(rng, y, x, 4 * size, rng.uniform(0, 0.8) * size)  # grains larger here than there
    y = y * np.float32(rng.choice([1.0, 1.0, 1.5, 2.5]))  # rolled: elongated grains
    tiling = cells(rng, y, x, size, spread=rng.uniform(0, 0.6))
    tone = rng.random(tiling.count).astype(np.float32)
    if rng.random() < 0.3:
        tone = np.round(tone * 2) / 2  # two or three phases
    interior = tone[tiling.label]
    if rng.random() < 0.6:  # twins: lamellae at the grain's own angle
        angle = rng.uniform(0, np.pi, tiling.count).astype(np.float32)[tiling.label]
        across = np.cos(angle) * tiling.y + np.sin(angle) * tiling.x
        period = (size * rng.uniform(0.08, 0.8, tiling.count)).astype(np.float32)[tiling.label]
        bands = smoothstep((np.sin(across * np.float32(2 * np.pi) / period) - rng.uniform(0, 0.9)) * period / 6, 1.5)
        twinned = (rng.random(tiling.count) < rng.uniform(0.1, 0.8)).astype(np.float32)[tiling.label]
        interior = interior + rng.uniform(-0.5, 0.5) * twinned * bands
    image = _soft_labels(interior)
    width = rng.uniform(0.8, 0.08 * size + 1.5)
    image += rng.choice([0.0, -0.5, -0.3, 0.4, 0.2]) * np.exp(-((tiling.inside / np.float32(width)) ** 2))
    image += rng.uniform(0, 0.3) * smooth(rng, shape, size * rng.uniform(0.5, 2))
    image += rng.uniform(0, 0.08) * power_law(rng, shape, rng.uniform(1, 2.5))
    return stretched(image)


def relief(rng: np.random.Generator, shape: Shape) -> Plane:
    """A rough surface under secondary electrons: yield rising with tilt, edges bright, one side toward the detector."""
    extent = max(shape)
    exponent = rng.uniform(2.2, 4)
    longest = log_uniform(rng, 0.15, 2) * extent + 8
    height = power_law(rng, shape, exponent, shortest=rng.uniform(0.5, 3), longest=longest)
    style = rng.integers(0, 4)
    if style == 1:
        height = -np.abs(height)  # dimples that meet in ridges, as ductile fracture
    elif style == 2:
        terrace = np.float32(log_uniform(rng, 0.15, 0.8))
        level = height / terrace
        height = terrace * (np.floor(level) + smoothstep(level - np.floor(level) - 0.5, 0.35))  # cleavage steps
    elif style == 3:
        y, x = coordinates(rng, shape)
        tiling = cells(rng, *warped(rng, y, x, longest / 2 + 3, longest / 12), longest / 4 + 6)
        height = 0.4 * height + 1.2 * np.sqrt(
            np.maximum(tiling.inside, 0) / np.float32(longest / 8 + 3)
        )  # rounded grains
    gy, gx = _gradient(height)
    slope = float(np.hypot(gy, gx).mean()) + 1e-6
    gy, gx = gy * np.float32(rng.uniform(0.4, 1.6) / slope), gx * np.float32(rng.uniform(0.4, 1.6) / slope)
    angle = rng.uniform(0, 2 * np.pi)
    yield_ = np.sqrt(1 + gy * gy + gx * gx) * rng.uniform(0.1, 0.6)
    shading = (np.float32(np.sin(angle)) * gy + np.float32(np.cos(angle)) * gx) / np.sqrt(1 + gy * gy + gx * gx)
    image = yield_ + rng.uniform(0, 0.6) * shading + rng.uniform(0, 0.25) * height
    return stretched(image, 0.002)


def labyrinth(rng: np.random.Generator, shape: Shape) -> Plane:
    """Two phases grown into one another: spinodal, lamellar or eutectic, sharp or diffuse, with domains in order or not."""
    extent = max(shape)
    period = log_uniform(rng, 5, 0.3 * min(extent, 512) + 6)
    if rng.random() < 0.5:
        field = power_law(
            rng, shape, rng.uniform(0, 1.5), shortest=period / 2.5, longest=period * rng.uniform(0.15, 0.8)
        )
        phase = field - rng.uniform(-0.8, 0.8)
        width = log_uniform(rng, 0.15, 3)
        image = np.tanh(phase / np.float32(width)) + rng.uniform(0, 0.15) * field
    else:
        y, x = coordinates(rng, shape)
        y, x = warped(rng, y, x, period * log_uniform(rng, 2, 10), period * rng.uniform(0, 2))
        if rng.random() < 0.4:
            tiling = cells(rng, y, x, period * log_uniform(rng, 4, 15))
            angle = rng.uniform(0, np.pi, tiling.count).astype(np.float32)[tiling.label]
            y = np.cos(angle) * tiling.y + np.sin(angle) * tiling.x  # colonies
        wave = np.sin(y * np.float32(2 * np.pi / period)) - rng.uniform(-0.6, 0.6)
        image = np.tanh(wave * np.float32(log_uniform(rng, 0.5, max(1.0, period / 4))))
    image = _soft_labels(image) * rng.choice([-1.0, 1.0]) + rng.uniform(0, 0.4) * smooth(rng, shape, 0.3 * extent + 4)
    return stretched(image + rng.uniform(0, 0.15) * power_law(rng, shape, rng.uniform(1, 2.5)))


def pores(rng: np.random.Generator, shape: Shape) -> Plane:
    """Pores in a matrix, or the struts of a foam: dark holes with bright edges and a wall fading into depth."""
    extent = max(shape)
    radius = log_uniform(rng, 2.5, 0.15 * min(extent, 400) + 3)
    matrix = 0.6 + rng.uniform(0, 0.1) * power_law(rng, shape, rng.uniform(1.5, 3))
    if rng.random() < 0.4:
        y, x = coordinates(rng, shape)
        image = np.full(shape, 0.1, np.float32)
        for depth in (0.35, 0.65, 1.0):  # nets of struts at three depths
            size = 3 * radius * (0.8 + 0.4 * depth) + 4
            tiling = cells(rng, *warped(rng, y, x, size, 0.12 * size), size, spread=0.5)
            strut = cover(tiling.inside - np.float32(rng.uniform(0.04, 0.13) * size + 0.8), 1.5)
            bulge = 1 + rng.uniform(0, 0.5) * np.clip(tiling.inside / np.float32(0.15 * size + 1), 0, 1) ** 2
            image += strut * (matrix * np.float32(depth) * bulge - image)
        return stretched(image)
    n = int(np.clip(rng.uniform(0.1, 0.8) * shape[0] * shape[1] / (3 * radius**2), 2, 300))
    radii = np.sort(np.clip(radius * rng.lognormal(0, rng.uniform(0.1, 0.8), n), 1, 0.3 * extent + 1))[::-1]
    image = matrix + rng.uniform(0, 0.15) * smooth(rng, shape, 0.3 * extent + 4)
    edge, floor, rough = rng.uniform(0, 0.5), rng.uniform(0, 0.4), rng.uniform(0, 0.15)
    for y0, x0, r in pack(rng, shape, radii, overlap=rng.uniform(-0.2, 0.4)):
        w = window(shape, (y0, x0), 1.9 * r + 4, rng.uniform(0, 2 * np.pi))
        if w is None:
            continue
        distance = blob(w, r, rng.normal(0, rough, (3, 2)) + 1e-9, rng.uniform(0.7, 1.0))
        image[w.at] += np.float32(edge) * np.exp(-np.maximum(distance, 0) * np.float32(3 / (0.3 * r + 1)))
        wall = floor * np.clip(1 + distance / np.float32(0.6 * r), 0, 1)
        image[w.at] += cover(distance, 1.4) * (0.05 + wall - image[w.at])
    return stretched(image)


def fibres(rng: np.random.Generator, shape: Shape) -> Plane:
    """Fibres, filaments or tubes running across the image in layers, the deeper ones darker, straight or wavy."""
    extent = max(shape)
    radius = log_uniform(rng, 0.8, 0.05 * min(extent, 400) + 1.5)
    n = int(np.clip(rng.uniform(0.3, 2.5) * min(shape) / (3 * radius), 3, 45))
    main, disorder = rng.uniform(0, np.pi), rng.choice([0.1, 0.5, 3.0])
    ny, nx = shape
    y = np.arange(ny, dtype=np.float32)[:, None]
    x = np.arange(nx, dtype=np.float32)[None, :]
    image = (
        rng.uniform(0, 0.3)
        + 0.06 * smooth(rng, shape, 0.3 * extent + 4)
        + rng.uniform(0, 0.06) * power_law(rng, shape, 2)
    )
    rim, opaque, wavy = rng.uniform(-0.5, 0.8), rng.random() < 0.7, rng.uniform(0, 0.15) * rng.integers(0, 2)
    for k in range(n):
        angle = main + disorder * rng.standard_normal()
        c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        y0, x0 = rng.uniform((0, 0), shape)
        r = np.float32(max(0.7, radius * rng.lognormal(0, 0.3)))
        across, along = c * (y - y0) + s * (x - x0), c * (x - x0) - s * (y - y0)
        for _ in range(2 if wavy else 0):
            length = rng.uniform(0.2, 1.5) * extent + 4
            across = across + np.float32(wavy * length / 3) * np.sin(
                along * np.float32(6.28 / length) + rng.uniform(0, 6.28)
            )
        where = np.nonzero((np.abs(across) < r + 2).any(axis=1))[0]
        if where.size == 0:
            continue
        rows = slice(where[0], where[-1] + 1)
        rho = np.abs(across[rows]) / r
        body = (0.35 + 0.5 * k / n) * (1 + rim * (1 - np.sqrt(np.clip(1 - rho * rho, 0, 1))))
        alpha = cover((rho - 1) * r, 1.3)
        image[rows] += alpha * ((body - image[rows]) if opaque else 0.3 * body)
    return stretched(image)


def random_field(rng: np.random.Generator, shape: Shape) -> Plane:
    """A power-law random field, isotropic or streaked, sometimes folded into ridges: amorphous films, stain, mottle."""
    exponent = rng.uniform(1, 3.5)
    stretch = float(rng.choice([1.0, 1.0, 1.5, 3.0]))
    angle = float(rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)]))
    field = power_law(
        rng, shape, exponent, stretch=stretch, angle=angle, shortest=float(rng.choice([0.0, 1.0, 3.0, 8.0]))
    )
    fold = rng.integers(0, 5)
    if fold == 0:
        field = np.abs(field)
    elif fold == 1:
        field = np.exp(rng.uniform(0.3, 1.2) * field)
    elif fold == 2:
        field = field + rng.uniform(0.3, 1.5) * power_law(rng, shape, rng.uniform(0.5, 2), shortest=rng.uniform(0.5, 4))
    return stretched(field, 0.0005)


def _gradient(field: Plane) -> tuple[Plane, Plane]:
    """Central differences along y and x; zero along an axis of one pixel."""
    padded = np.pad(field, 1, mode="edge")
    return (padded[2:, 1:-1] - padded[:-2, 1:-1]) / 2, (padded[1:-1, 2:] - padded[1:-1, :-2]) / 2


def _soft_labels(image: Plane) -> Plane:
    """A 3 × 3 binomial blur: labels jump from pixel to pixel, a probe does not."""
    p = np.pad(image.astype(np.float32), 1, mode="edge")
    p = (p[:-2] + 2 * p[1:-1] + p[2:]) / 4
    return np.asarray((p[:, :-2] + 2 * p[:, 1:-1] + p[:, 2:]) / 4, np.float32)
