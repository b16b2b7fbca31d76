"""Bulk materials: grains, fracture surfaces, cracks, phases grown into one another, pores and fibres."""

from __future__ import annotations

import math

import numpy as np

from semrt.simulate.fields import (
    Plane,
    Shape,
    choice,
    coordinates,
    log_uniform,
    power_law,
    smooth,
    smoothstep,
    stretched,
    texture,
    warped,
)
from semrt.simulate.shapes import blob, cells, cover, pack, window

__all__ = ["cracks", "fibres", "grains", "labyrinth", "pores", "random_field", "relief"]


def grains(rng: np.random.Generator, shape: Shape) -> Plane:
    """Polycrystals: grains of uniform channelling contrast, boundaries dark, bright or grooved, some with twins."""
    size = log_uniform(rng, 6, 0.7 * min(max(shape), 512) + 8)
    y, x = coordinates(rng, shape)
    y, x = warped(rng, y, x, 0.7 * size + 2, rng.uniform(0, 0.12) * size)
    y, x = warped(rng, y, x, 4 * size, rng.uniform(0, 0.8) * size)  # larger here than there
    y = y * choice(rng, 1.0, 1.0, 1.5, 2.5)  # elongated by rolling
    tiling = cells(rng, y, x, size, spread=rng.uniform(0, 0.6))
    tone = rng.random(tiling.count)
    if rng.random() < 0.3:
        tone = np.round(tone * 2) / 2  # two or three phases
    image = tiling.show(tone)
    if rng.random() < 0.6:  # twins: lamellae at the grain's own angle
        angle = tiling.show(rng.uniform(0, math.pi, tiling.count))
        period = tiling.show(size * rng.uniform(0.08, 0.8, tiling.count))
        across = np.cos(angle) * tiling.y + np.sin(angle) * tiling.x
        bands = smoothstep((np.sin(2 * math.pi * across / period) - rng.uniform(0, 0.9)) * period / 6, 1.5)
        twinned = tiling.show(rng.random(tiling.count) < rng.uniform(0.1, 0.8))
        image += rng.uniform(-0.5, 0.5) * twinned * bands
    image = _soft_labels(image)
    width = rng.uniform(0.8, 0.08 * size + 1.5)
    image += choice(rng, 0.0, -0.5, -0.3, 0.4, 0.2) * np.exp(-((tiling.inside / width) ** 2))
    image += rng.uniform(0, 0.3) * smooth(rng, shape, size * rng.uniform(0.5, 2))
    image += texture(rng, shape, 0.12)
    return stretched(image)


def relief(rng: np.random.Generator, shape: Shape) -> Plane:
    """Rough surfaces under secondary electrons: yield rising with tilt, edges bright, one side toward the detector."""
    longest = log_uniform(rng, 0.08, 2) * max(shape) + 8
    style = choice(rng, 0, 1, 2, 3)
    stepped = style == 2
    height = power_law(
        rng,
        shape,
        rng.uniform(4, 6) if stepped else rng.uniform(2.2, 4.5),
        shortest=log_uniform(rng, 3, 12) if stepped else log_uniform(rng, 0.5, 6),
        longest=longest,
        stretch=choice(rng, 1.0, 1.0, 1.0, 2.0, 5.0),
        angle=rng.uniform(0, math.pi),
    )
    if stepped:  # cleavage
        terrace = log_uniform(rng, 0.15, 0.8)
        level = height / terrace
        height = terrace * (np.floor(level) + smoothstep(level - np.floor(level) - 0.5, 0.35))
    elif style == 1:  # dimples that meet in ridges: ductile fracture
        height = -np.abs(height)
    elif style == 3:  # rounded grains
        y, x = coordinates(rng, shape)
        tiling = cells(rng, *warped(rng, y, x, longest / 2 + 3, longest / 12), longest / 4 + 6)
        height = 0.4 * height + 1.2 * np.sqrt(np.maximum(tiling.inside, 0) / (longest / 8 + 3))
    gy, gx = _gradient(height)
    slope = float(np.hypot(gy, gx).mean()) + 1e-6
    gy, gx = gy * (rng.uniform(0.4, 1.6) / slope), gx * (rng.uniform(0.4, 1.6) / slope)
    secant = np.sqrt(1 + gy * gy + gx * gx)
    angle = rng.uniform(0, 2 * math.pi)
    toward = (math.sin(angle) * gy + math.cos(angle) * gx) / secant
    image = rng.uniform(0.1, 0.6) * secant + rng.uniform(0, 0.6) * toward + rng.uniform(0, 0.25) * height
    return stretched(image, 0.002)


def cracks(rng: np.random.Generator, shape: Shape) -> Plane:
    """Dark cracks and scratches over an even or polished ground, with bright lips: dried films, ceramics, wear."""
    extent = max(shape)
    size = log_uniform(rng, 0.08, 0.8) * extent + 6
    y, x = coordinates(rng, shape)
    wy, wx = warped(rng, y, x, size / 2 + 3, 0.06 * size)
    wy, wx = warped(rng, wy, wx, size / 8 + 2, 0.012 * size)
    tiling = cells(rng, wy, wx, size, spread=rng.uniform(0, 0.6))
    image = 0.6 + rng.uniform(0, 0.15) * tiling.show(rng.uniform(-1, 1, tiling.count))
    image = _soft_labels(image) + rng.uniform(0, 0.1) * smooth(rng, shape, 0.4 * extent + 4)
    image += texture(rng, shape, 0.08)
    half = rng.uniform(0, 0.04) * size + 0.6
    opening = half * np.clip(0.6 + rng.uniform(0, 1) * smooth(rng, shape, size), 0, 2)  # closed here, wide there
    image += rng.uniform(0, 0.4) * np.exp(-np.maximum(tiling.inside - opening, 0) / (1.5 * half + 1))
    image += cover(tiling.inside - opening, 1.5) * (rng.uniform(0, 0.3) - image)
    for _ in range(int(rng.integers(0, 25))):  # scratches
        angle = rng.uniform(0, math.pi)
        across = math.cos(angle) * y + math.sin(angle) * x - rng.uniform(-0.7, 0.7) * extent
        image += rng.uniform(-0.3, 0.15) * np.exp(-((across / log_uniform(rng, 0.7, 3)) ** 2))
    return stretched(image)


def labyrinth(rng: np.random.Generator, shape: Shape) -> Plane:
    """Two phases grown into one another: spinodal, lamellar or eutectic, sharp or diffuse, in colonies or not."""
    extent = max(shape)
    period = log_uniform(rng, 5, 0.3 * min(extent, 512) + 6)
    if rng.random() < 0.5:
        longest = period * rng.uniform(0.15, 0.8)
        field = power_law(rng, shape, rng.uniform(0, 1.5), shortest=period / 2.5, longest=longest)
        image = np.tanh((field - rng.uniform(-0.8, 0.8)) / log_uniform(rng, 0.15, 3)) + rng.uniform(0, 0.15) * field
    else:
        y, x = coordinates(rng, shape)
        y, x = warped(rng, y, x, period * log_uniform(rng, 2, 10), period * rng.uniform(0, 2))
        if rng.random() < 0.4:  # colonies
            tiling = cells(rng, y, x, period * log_uniform(rng, 4, 15))
            angle = tiling.show(rng.uniform(0, math.pi, tiling.count))
            y = np.cos(angle) * tiling.y + np.sin(angle) * tiling.x
        wave = np.sin(y * (2 * math.pi / period)) - rng.uniform(-0.6, 0.6)
        image = np.tanh(wave * log_uniform(rng, 0.5, max(1.0, period / 4)))
    image = _soft_labels(image) * choice(rng, -1.0, 1.0) + rng.uniform(0, 0.4) * smooth(rng, shape, 0.3 * extent + 4)
    return stretched(image + texture(rng, shape, 0.2))


def pores(rng: np.random.Generator, shape: Shape) -> Plane:
    """Pores in a matrix, or the struts of a foam: dark holes with bright edges and a wall fading into depth."""
    extent = max(shape)
    radius = log_uniform(rng, 2.5, 0.15 * min(extent, 400) + 3)
    matrix = 0.6 + texture(rng, shape, 0.12)
    if rng.random() < 0.4:
        y, x = coordinates(rng, shape)
        image = np.full(shape, 0.1, np.float32)
        for height in (0.35, 0.65, 1.0):  # nets of struts, one above another
            size = 3 * radius * (0.8 + 0.4 * height) + 4
            tiling = cells(rng, *warped(rng, y, x, size, 0.12 * size), size, spread=0.5)
            strut = cover(tiling.inside - rng.uniform(0.04, 0.13) * size - 0.8, 1.5)
            rim = 1 + rng.uniform(0, 0.5) * np.clip(tiling.inside / (0.15 * size + 1), 0, 1) ** 2
            image += strut * (matrix * rim * height - image)
        return stretched(image)
    n = int(np.clip(rng.uniform(0.1, 0.8) * shape[0] * shape[1] / (3 * radius**2), 2, 300))
    radii = np.clip(radius * rng.lognormal(0, rng.uniform(0.1, 0.8), n), 1, 0.3 * extent + 1)
    image = matrix + rng.uniform(0, 0.15) * smooth(rng, shape, 0.3 * extent + 4)
    edge, floor, rough = rng.uniform(0, 0.5), rng.uniform(0, 0.4), rng.uniform(0, 0.15)
    for y0, x0, r in pack(rng, shape, np.sort(radii)[::-1], overlap=rng.uniform(-0.2, 0.4)):
        w = window(shape, (y0, x0), 1.9 * r + 4, rng.uniform(0, 2 * math.pi))
        if w is None:
            continue
        distance = blob(w, r, rng.normal(0, rough, (3, 2)), rng.uniform(0.7, 1.0))
        wall = 0.05 + floor * np.clip(1 + distance / (0.6 * r), 0, 1)
        patch = image[w.at]
        patch += edge * np.exp(np.maximum(distance, 0) * (-3 / (0.3 * r + 1)))
        patch += cover(distance, 1.4) * (wall - patch)
    return stretched(image)


def fibres(rng: np.random.Generator, shape: Shape) -> Plane:
    """Fibres, filaments or tubes running across the image in layers, the deeper ones darker, straight or wavy."""
    extent = max(shape)
    radius = log_uniform(rng, 0.8, 0.06 * min(extent, 400) + 1.5)
    n = int(np.clip(rng.uniform(0.3, 3) * min(shape) / (3 * radius), 3, 120))
    main, disorder = rng.uniform(0, math.pi), choice(rng, 0.1, 0.5, 3.0)
    ground = rng.uniform(0, 0.3) + 0.06 * smooth(rng, shape, 0.3 * extent + 4)
    ground += texture(rng, shape, 0.1)
    margin = int(4 * radius) + 6  # takes what falls outside, so that no index needs a check
    image = np.pad(ground, margin, mode="edge")
    rim, opaque, shadow = rng.uniform(-0.5, 0.8), rng.random() < 0.7, rng.uniform(0, 0.5)
    waves, bend, uneven = choice(rng, 0, rng.uniform(0, 1.6)), rng.uniform(20, 180) + 10 * radius, rng.uniform(0, 0.2)
    for k in range(n):
        # Along the axis nearer to the fibre, its centre is a function of the row: only a band about it is touched.
        angle = (main + disorder * rng.standard_normal() + math.pi / 4) % math.pi - math.pi / 4
        steep = angle > math.pi / 4
        canvas = image.T if steep else image
        rows, columns = canvas.shape
        along = np.arange(rows, dtype=np.float32)
        centre = math.tan(math.pi / 2 - angle if steep else angle) * (along - rows / 2)
        centre += rng.uniform(-0.2, 1.2) * columns + waves * radius * smooth(rng, (rows, 1), bend)[:, 0]
        lean = 1 / np.sqrt(1 + np.gradient(centre) ** 2)  # from the distance along a row to that across the fibre
        r = radius * min(2.2, rng.lognormal(0, 0.3)) * (1 + uneven * smooth(rng, (rows, 1), 8 * radius + 4))[:, 0]
        r = np.clip(r, 0.6, 3 * radius + 1)
        band = int(min(1.5 * float((r / lean).max()), margin + 2 * radius)) + 3
        seen = np.flatnonzero((centre > -band) & (centre < columns + band))
        across = np.arange(-band, band + 1) + np.rint(centre[seen])[:, None]
        index = seen[:, None], np.clip(across.astype(np.intp), 0, columns - 1)
        rho = np.abs(across - centre[seen, None]) * (lean / r)[seen, None]
        body = (0.35 + 0.5 * k / n) * (1 + rim * (1 - np.sqrt(np.clip(1 - rho * rho, 0, 1))))
        alpha = cover((rho - 1) * r[seen, None], 1.3)
        under = canvas[index]
        if opaque:
            under = under * (1 - shadow * np.exp(-6 * np.maximum(rho - 1, 0)))
        canvas[index] = under + alpha * ((body - under) if opaque else 0.3 * body)
    return stretched(image[margin:-margin, margin:-margin])


def random_field(rng: np.random.Generator, shape: Shape) -> Plane:
    """Power-law random fields, isotropic or streaked, sometimes folded into ridges: amorphous films, stain, mottle."""
    field = power_law(
        rng,
        shape,
        rng.uniform(1, 3.5),
        stretch=choice(rng, 1.0, 1.0, 1.5, 3.0),
        angle=choice(rng, 0.0, math.pi / 2, rng.uniform(0, math.pi)),
        shortest=choice(rng, 0.0, 1.0, 3.0, 8.0),
    )
    fold = rng.random()
    if fold < 0.2:
        field = np.abs(field)
    elif fold < 0.4:
        field = np.exp(rng.uniform(0.3, 1.2) * field)
    elif fold < 0.6:
        field = field + rng.uniform(0.3, 1.5) * power_law(rng, shape, rng.uniform(0.5, 2), shortest=rng.uniform(0.5, 4))
    return stretched(field, 0.0005)


def _gradient(field: Plane) -> tuple[Plane, Plane]:
    """Take central differences along y and x; zero along an axis of one pixel."""
    padded = np.pad(field, 1, mode="edge")
    return 0.5 * (padded[2:, 1:-1] - padded[:-2, 1:-1]), 0.5 * (padded[1:-1, 2:] - padded[1:-1, :-2])


def _soft_labels(image: Plane) -> Plane:
    """Blur by a 3 × 3 binomial: labels jump from pixel to pixel, a probe does not."""
    p = np.pad(image, 1, mode="edge")
    p = 0.25 * p[:-2] + 0.5 * p[1:-1] + 0.25 * p[2:]
    return np.asarray(0.25 * p[:, :-2] + 0.5 * p[:, 1:-1] + 0.25 * p[:, 2:], np.float32)
