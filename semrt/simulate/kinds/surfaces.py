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
    """Polycrystals: grains of uniform channelling contrast, boundaries dark, bright or grooved, some with twins."""
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
    """Rough surfaces under secondary electrons: yield rising with tilt, edges bright, one side toward the detector."""
    extent = max(shape)
    longest = log_uniform(rng, 0.08, 2) * extent + 8
    style = rng.integers(0, 4)
    exponent, shortest = (
        (rng.uniform(4, 6), log_uniform(rng, 3, 12))
        if style == 2
        else (rng.uniform(2.2, 4.5), log_uniform(rng, 0.5, 6))
    )
    stretch = float(rng.choice([1.0, 1.0, 1.0, 2.0, 5.0]))
    height = power_law(
        rng, shape, exponent, shortest=shortest, longest=longest, stretch=stretch, angle=rng.uniform(0, np.pi)
    )
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
    """Two phases grown into one another: spinodal, lamellar or eutectic, sharp or diffuse, in colonies or not."""
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
    radius = log_uniform(rng, 0.8, 0.06 * min(extent, 400) + 1.5)
    n = int(np.clip(rng.uniform(0.3, 3) * min(shape) / (3 * radius), 3, 120))
    main, disorder = rng.uniform(0, np.pi), rng.choice([0.1, 0.5, 3.0])
    ground = rng.uniform(0, 0.3) + 0.06 * smooth(rng, shape, 0.3 * extent + 4)
    ground = ground + rng.uniform(0, 0.06) * power_law(rng, shape, 2)
    margin = int(4 * radius) + 6
    image = np.pad(ground, margin, mode="edge")
    rim, opaque, shadow = rng.uniform(-0.5, 0.8), rng.random() < 0.7, rng.uniform(0, 0.5)
    wavy, uneven, relative = rng.uniform(0, 0.2) * rng.integers(0, 2), rng.uniform(0, 0.2), rng.uniform(0.3, 3)
    for k in range(n):
        # Along the axis nearer to the fibre, its centre is a function of the row: only a band about it is touched.
        angle = (main + disorder * rng.standard_normal() + np.pi / 4) % np.pi - np.pi / 4
        canvas, steepness = (image, np.tan(angle)) if angle < np.pi / 4 else (image.T, np.tan(np.pi / 2 - angle))
        rows, columns = canvas.shape
        row = np.arange(rows)
        centre = rng.uniform(-0.2, 1.2) * columns + steepness * (row - rows / 2)
        centre += wavy * radius * 8 * smooth(rng, (rows, 1), relative * 60 + 10 * radius)[:, 0]
        lean = np.cos(np.arctan(np.gradient(centre) if rows > 1 else np.zeros(1)))[:, None].astype(np.float32)
        r = (
            radius
            * min(2.2, rng.lognormal(0, 0.3))
            * (1 + uneven * smooth(rng, (rows, 1), 8 * radius + 4)).clip(0.5, 1.4)
        )
        band = int(1.5 * r.max() / max(0.5, float(lean.min()))) + 3
        at = np.rint(centre).astype(np.intp)[:, None] + np.arange(-band, band + 1)
        seen = ((at >= 0) & (at < columns)).any(axis=1)
        if not seen.any():
            continue
        at, r = at[seen], r[seen]
        across = np.abs(at - centre[seen, None]).astype(np.float32) * lean[seen]
        outside = (at < 0) | (at >= columns)
        index = row[seen, None], np.clip(at, 0, columns - 1)
        rho = across / r
        body = (0.35 + 0.5 * k / n) * (1 + rim * (1 - np.sqrt(np.clip(1 - rho * rho, 0, 1))))
        alpha = cover((rho - 1) * r, 1.3)
        under = canvas[index]
        if opaque:
            shade = 1 - shadow * np.exp(-np.maximum(rho - 1, 0) * 6)
            drawn = under * shade + alpha * (body - under * shade)
        else:
            drawn = under + 0.3 * alpha * body
        inside = ~outside
        canvas[index[0].repeat(at.shape[1], 1)[inside], index[1][inside]] = drawn[inside]
    return stretched(image[margin:-margin, margin:-margin])


def random_field(rng: np.random.Generator, shape: Shape) -> Plane:
    """Power-law random fields, isotropic or streaked, sometimes folded into ridges: amorphous films, stain, mottle."""
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
    """Blur by a 3 × 3 binomial: labels jump from pixel to pixel, a probe does not."""
    p = np.pad(image.astype(np.float32), 1, mode="edge")
    p = (p[:-2] + 2 * p[1:-1] + p[2:]) / 4
    return np.asarray((p[:, :-2] + 2 * p[:, 1:-1] + p[:, 2:]) / 4, np.float32)
