"""Particles: packed spheres, nanoparticles on a support, rods, aggregates, crystallites and dead leaves."""

from __future__ import annotations

import math

import numpy as np

from semrt.simulate.fields import Plane, Shape, choice, log_uniform, place, power_law, smooth, stretched, texture
from semrt.simulate.shapes import blob, capsule, cover, ellipse, pack, polygon, power_law_radii, window
from semrt.simulate.silica import micro_balls

__all__ = ["aggregates", "crystallites", "dead_leaves", "nanoparticles", "rods", "spheres"]


def spheres(rng: np.random.Generator, shape: Shape) -> Plane:
    """Layers of spheres under secondary electrons: bright rims or shaded flanks, deeper ones darker and in shadow."""
    extent = max(shape)
    if rng.random() < 0.4:
        return _pile(rng, shape)
    radius = log_uniform(rng, 5, 0.45 * min(extent, 256) + 6)
    same_size = rng.random() < 0.7
    rim, slope, toward = rng.uniform(-0.25, 0.6), rng.uniform(0, 0.35), rng.uniform(0, 2 * math.pi)
    shade, shadow = rng.uniform(0.1, 0.6), rng.uniform(0.1, 0.7)
    detail = texture(rng, shape, 0.08)
    image = 0.05 + 0.05 * np.abs(smooth(rng, shape, 2 * radius + 4)) + detail
    layers = int(rng.integers(1, 5))
    for layer in range(layers):
        depth = 1 - (layer + 1) / layers
        n = int(min(300, 0.5 * (shape[0] + 2 * radius) * (shape[1] + 2 * radius) / radius**2 + 1))
        sizes = rng.normal(1, 0.04, n).clip(0.8, 1.2) if same_size else rng.lognormal(0, 0.5, n).clip(0.2, 1.4)
        for y, x, r in pack(rng, shape, radius * np.sort(sizes)[::-1], overlap=0.02, tries=12):
            w = window(shape, (y, x), 1.35 * r + 2, toward)
            if w is None:
                continue
            rho = np.sqrt(w.y * w.y + w.x * w.x) / r
            grazing = 1 - np.sqrt(np.clip(1 - rho * rho, 0.03, 1))
            body = (0.55 + rng.normal(0, 0.04)) * (1 - shade * depth) * (1 + rim * grazing * np.sqrt(grazing))
            body = body * (1 + slope / r * w.y) + detail[w.at]
            patch = image[w.at]
            patch *= 1 - shadow * np.exp(-9 * np.maximum(rho - 1, 0))
            patch += cover((rho - 1) * r, 1.3) * (body - patch)
    return stretched(image)


def nanoparticles(rng: np.random.Generator, shape: Shape) -> Plane:
    """Particles, round or faceted, some of them twinned, on a support of amorphous carbon."""
    extent = max(shape)
    carbon = power_law(rng, shape, rng.uniform(0.5, 2), shortest=log_uniform(rng, 1.2, 5))
    image = 0.25 + log_uniform(rng, 0.003, 0.06) * carbon
    image += rng.uniform(0, 0.1) * smooth(rng, shape, rng.uniform(0.3, 1.5) * extent + 4)
    if rng.random() < 0.35:
        image -= rng.uniform(0.1, 0.25) * _support_holes(rng, shape)
    radius = log_uniform(rng, 1.5, 0.16 * min(extent, 400) + 2)
    n = int(min(350, rng.uniform(0.02, 0.5) * shape[0] * shape[1] / (3 * radius**2) + rng.integers(1, 6)))
    radii = np.clip(radius * rng.lognormal(0, rng.uniform(0.05, 0.7), n), 0.8, 0.4 * extent + 1)
    contrast, faceted, projected = rng.uniform(0.15, 0.7), rng.random(), rng.random() < 0.6
    for y, x, r in pack(rng, shape, np.sort(radii)[::-1], overlap=rng.uniform(0, 0.6)):
        w = window(shape, (y, x), 1.5 * r + 2, rng.uniform(0, 2 * math.pi))
        if w is None:
            continue
        if rng.random() < faceted and r > 3:
            sides = int(rng.integers(4, 9))
            distance = polygon(w, np.arange(sides) * 2 * math.pi / sides, r * rng.uniform(0.75, 1.05, sides))
        else:
            distance = ellipse(w, r, r * rng.uniform(0.75, 1.2))
        body = np.full(distance.shape, contrast * rng.uniform(0.5, 1.2), np.float32)
        if projected:  # the signal grows with the height of the sphere
            body *= np.sqrt(np.clip(-distance / r, 0.02, 1))
        if r > 4 and rng.random() < 0.4:  # a twin: a band of another orientation
            band = np.abs(w.x - rng.uniform(-0.4, 0.4) * r) - rng.uniform(0.1, 0.5) * r
            body *= 1 + rng.uniform(-0.3, 0.3) * cover(band, 1.5)
        image[w.at] += cover(distance, 1.2) * body
    return stretched(image)


def rods(rng: np.random.Generator, shape: Shape) -> Plane:
    """Rods and needles with a cylinder's shading, lying in order or at random."""
    extent = max(shape)
    radius = log_uniform(rng, 1.2, 0.06 * min(extent, 400) + 2)
    aspect = log_uniform(rng, 1.5, 15)
    n = int(np.clip(rng.uniform(0.1, 1.5) * shape[0] * shape[1] / (4 * aspect * radius**2), 2, 260))
    main, disorder = rng.uniform(0, math.pi), choice(rng, 0.08, 0.4, 3.0)
    image = rng.uniform(0.05, 0.4) + 0.05 * smooth(rng, shape, 0.3 * extent + 4)
    image += texture(rng, shape, 0.08)
    opaque, curvature, shadow = rng.random() < 0.6, rng.uniform(0, 0.6), rng.uniform(0, 0.5)
    for _ in range(n):
        r = radius * rng.uniform(0.6, 1.4)
        half = aspect * r * rng.lognormal(0, 0.3)
        w = window(shape, place(rng, shape), half + 2 * r + 2, main + disorder * rng.standard_normal())
        if w is None:
            continue
        distance = capsule(w, half, r)
        body = rng.uniform(0.35, 0.8) * (1 - curvature * np.clip(1 + distance / r, 0, 1) ** 2)
        patch, alpha = image[w.at], cover(distance, 1.2)
        if opaque:
            patch *= 1 - shadow * np.exp(np.maximum(distance, 0) * (-4 / r))
            patch += alpha * (body - patch)
        else:
            patch += 0.4 * alpha * body
    return stretched(image)


def aggregates(rng: np.random.Generator, shape: Shape) -> Plane:
    """Clusters of irregular grains piled on one another, as powders and soot show."""
    extent = max(shape)
    radius = log_uniform(rng, 4, 0.12 * min(extent, 400) + 4)
    n = int(np.clip(0.9 * shape[0] * shape[1] / radius**2, 12, 420))
    clumps = [place(rng, shape, 0.1 * extent) for _ in range(int(rng.integers(1, 9)))]
    spread = rng.uniform(0.08, 0.4) * extent
    image = 0.1 + 0.04 * smooth(rng, shape, 0.4 * extent + 4) + texture(rng, shape, 0.03)
    detail = texture(rng, shape, 0.1)
    light, rim, rough = rng.uniform(-0.12, 0.12), rng.uniform(0, 0.5), rng.uniform(0.02, 0.14)
    for k in range(n):
        r = radius * rng.lognormal(0, 0.45)
        y, x = clumps[int(rng.integers(len(clumps)))]
        w = window(shape, (y + spread * rng.standard_normal(), x + spread * rng.standard_normal()), 1.8 * r + 2)
        if w is None:
            continue
        waves = rng.normal(0, rough, (4, 2)) / np.arange(1, 5)[:, None] ** 0.5
        distance = blob(w, r, waves, rng.uniform(0.8, 1.25))
        body = (0.3 + 0.45 * k / n + rng.normal(0, 0.05)) * (1 + rim * np.exp(-6 * np.clip(-distance / r, 0, 1)))
        patch = image[w.at]
        patch *= 1 - 0.4 * np.exp(np.maximum(distance, 0) * (-4 / r))
        patch += cover(distance, 1.3) * (body + light / r * w.y + detail[w.at] - patch)
    return stretched(image)


def crystallites(rng: np.random.Generator, shape: Shape) -> Plane:
    """Faceted crystals piled up, each face at its own angle to the detector, edges bright: powders, zeolites, salts."""
    extent = max(shape)
    radius = log_uniform(rng, 5, 0.35 * min(extent, 400) + 5)
    n = int(np.clip(2.2 * shape[0] * shape[1] / radius**2, 6, 220))
    image = 0.15 + 0.05 * smooth(rng, shape, 0.4 * extent + 4) + texture(rng, shape, 0.04)
    detail = texture(rng, shape, 0.08)
    glow, contrast, shadow = rng.uniform(0, 0.35), rng.uniform(0.15, 0.5), rng.uniform(0, 0.6)
    cubic, light = rng.random() < 0.4, rng.uniform(0, 2 * math.pi)
    for k in range(n):
        r = radius * rng.lognormal(0, 0.3)
        angle = rng.uniform(0, 2 * math.pi)
        w = window(shape, place(rng, shape, r / 2), 1.5 * r + 2, angle)
        if w is None:
            continue
        faces = 3 if cubic else int(rng.integers(3, 7))
        turns = np.arange(faces) * 2 * math.pi / faces + rng.uniform(-0.3, 0.3, faces)
        slopes = rng.uniform(0.2, 1.5, faces)
        planes = zip(turns.tolist(), slopes.tolist(), strict=True)
        heights = np.stack([0.5 * r * (1 + s) - s * (math.sin(t) * w.y + math.cos(t) * w.x) for t, s in planes])
        above = heights - heights.min(axis=0)  # the top of a convex body is the lowest of its faces' planes
        share = np.exp(-1.5 * above)
        tones = 0.5 + contrast * np.cos(turns + angle - light) * slopes / np.hypot(1, slopes)
        tones = (tones + rng.normal(0, 0.05, faces)).astype(np.float32)
        body = np.tensordot(tones, share, 1) / share.sum(axis=0) * (0.6 + 0.4 * k / n)
        edges = np.exp(above * (-1 / (0.06 * r + 1))).sum(axis=0) - 1  # 0 on a face, 1 on an edge, more at a corner
        body += glow * np.minimum(edges, 1) + detail[w.at]
        sides = np.concatenate([turns, turns + math.pi])
        distance = polygon(w, sides, r * rng.uniform(0.6, 0.95, len(sides)))
        patch = image[w.at]
        patch *= 1 - shadow * np.exp(np.maximum(distance, 0) * (-5 / r))
        patch += cover(distance, 1.3) * (body - patch)
    return stretched(image)


def dead_leaves(rng: np.random.Generator, shape: Shape) -> Plane:
    """Opaque leaves of power-law sizes over one another: the occlusion statistics of natural images.

    Lee, Mumford & Huang 2001, doi:10.1023/A:1011109015675.
    """
    extent = max(shape)
    low, high = log_uniform(rng, 1.5, 0.06 * extent + 2), rng.uniform(0.15, 0.6) * extent + 4
    n = int(np.clip(0.5 * shape[0] * shape[1] / low**2, 20, 0.007 * shape[0] * shape[1] + 120))
    radii = power_law_radii(rng, n, low, max(high, 1.1 * low), rng.uniform(2.2, 3.2))
    form = int(rng.integers(0, 4))  # discs, polygons, blobs, or all
    image = rng.uniform(0, 1) + 0.1 * smooth(rng, shape, 0.4 * extent + 4)
    detail = texture(rng, shape, 0.12)
    ramp = rng.uniform(0, 0.4)
    if rng.random() < 0.5:  # small ones on top, as dust lies on flakes
        radii = np.sort(radii)[::-1]
    for r in radii.tolist():
        w = window(shape, place(rng, shape, r / 2), 1.6 * r + 2, rng.uniform(0, 2 * math.pi))
        if w is None:
            continue
        shown = form if form < 3 else int(rng.integers(0, 3))
        if shown == 0 or r < 2.5:
            distance = ellipse(w, r, r * rng.uniform(0.5, 1.0))
        elif shown == 1:
            sides = int(rng.integers(3, 7))
            turns = np.arange(sides) * 2 * math.pi / sides + rng.uniform(-0.25, 0.25, sides)
            distance = polygon(w, turns, r * rng.uniform(0.5, 0.9, sides))
        else:
            distance = blob(w, r, rng.normal(0, 0.12, (3, 2)))
        body = rng.random() + ramp / r * rng.uniform(-1, 1) * w.y + detail[w.at]
        patch = image[w.at]
        patch += cover(distance, 1.3) * (body - patch)
    return stretched(image)


def _pile(rng: np.random.Generator, shape: Shape) -> Plane:
    """Draw a pile of balls of silica as it stands in space, of many sizes, densities and brightnesses."""
    extent = max(shape)
    least = max(5, extent / 50)  # packing smaller ones would take seconds
    balls = micro_balls(
        shape,
        rng=rng,
        radius=log_uniform(rng, least, 0.45 * min(extent, 256) + least),
        spread=rng.uniform(0, 0.2),
        packing=rng.uniform(0.3, 0.55),
        roughness=rng.uniform(0, 1.5),
        edge=rng.uniform(0, 0.7),
        shade=rng.uniform(0.2, 1.5),
        slope=rng.uniform(0, 0.35),
        toward=rng.uniform(0, 2 * math.pi),
        probe=0.0,
    )
    return stretched(balls.intensity)


def _support_holes(rng: np.random.Generator, shape: Shape) -> Plane:
    """Draw the round holes of a perforated support film: 1 in the holes, 0 on the film."""
    radius = log_uniform(rng, 0.1, 0.5) * max(shape) + 2
    holes = np.zeros(shape, np.float32)
    for y, x, r in pack(rng, shape, radius * rng.uniform(0.7, 1.2, 12), overlap=-0.2):
        w = window(shape, (y, x), r + 3)
        if w is not None:
            np.maximum(holes[w.at], cover(ellipse(w, r, r), 2.0), out=holes[w.at])
    return holes
