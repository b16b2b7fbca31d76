"""Particles: packed spheres, nanoparticles on a support, rods, aggregates, and the dead leaves of natural images."""

from __future__ import annotations

import numpy as np

from semrt.simulate.fields import Plane, Shape, log_uniform, power_law, smooth, stretched
from semrt.simulate.shapes import blob, capsule, cover, ellipse, pack, polygon, power_law_radii, window

__all__ = ["aggregates", "crystallites", "dead_leaves", "nanoparticles", "rods", "spheres"]


def spheres(rng: np.random.Generator, shape: Shape) -> Plane:
    """Layers of spheres under secondary electrons: bright rims or shaded flanks, deeper ones darker and in shadow."""
    extent = max(shape)
    radius = log_uniform(rng, 5, 0.45 * min(extent, 256) + 6)
    same_size = rng.random() < 0.7
    rim, slope = rng.uniform(-0.25, 0.6), rng.uniform(0, 0.35)
    toward = rng.uniform(0, 2 * np.pi)
    shade, shadow = rng.uniform(0.1, 0.6), rng.uniform(0.1, 0.7)
    texture = rng.uniform(0, 0.06) * power_law(rng, shape, rng.uniform(1.5, 3))
    image = 0.05 + 0.05 * np.abs(smooth(rng, shape, 2 * radius + 4)) + texture
    layers = int(rng.integers(1, 5))
    for layer in range(layers):
        height = (layer + 1) / layers
        n = int(min(400, 0.5 * (shape[0] + 2 * radius) * (shape[1] + 2 * radius) / radius**2 + 1))
        radii = radius * (
            rng.normal(1, 0.04, n).clip(0.8, 1.2) if same_size else rng.lognormal(0, 0.5, n).clip(0.2, 1.4)
        )
        for y, x, r in pack(rng, shape, np.sort(radii)[::-1], overlap=0.02, tries=12):
            w = window(shape, (y, x), 1.35 * r + 2, toward)
            if w is None:
                continue
            rho = np.sqrt(w.y**2 + w.x**2) / np.float32(r)
            patch = image[w.at]
            patch *= 1 - np.float32(shadow) * np.exp(-np.maximum(rho - 1, 0) * 9)
            steepness = 1 - np.sqrt(np.clip(1 - rho * rho, 0.03, 1))
            body = (0.55 + rng.normal(0, 0.04)) * (1 - shade * (1 - height)) * (1 + rim * steepness**1.5)
            body = body * (1 + np.float32(slope) * w.y / np.float32(r)) + texture[w.at]
            patch += cover((rho - 1) * np.float32(r), 1.3) * (body - patch)
    return stretched(image)


def nanoparticles(rng: np.random.Generator, shape: Shape) -> Plane:
    """Particles, round or faceted, bright or dark and some of them twinned, on a support of amorphous carbon."""
    extent = max(shape)
    grain = log_uniform(rng, 1.2, 5)
    carbon = power_law(rng, shape, rng.uniform(0.5, 2), shortest=grain)
    image = (
        0.25
        + rng.uniform(0.01, 0.06) * carbon
        + rng.uniform(0, 0.1) * smooth(rng, shape, rng.uniform(0.3, 1.5) * extent + 4)
    )
    if rng.random() < 0.35:
        image += _support_holes(rng, shape, rng.uniform(-0.25, -0.1))
    radius = log_uniform(rng, 1.5, 0.16 * min(extent, 400) + 2)
    density = rng.uniform(0.02, 0.5)
    n = int(min(350, density * shape[0] * shape[1] / (3 * radius**2) + rng.integers(1, 6)))
    radii = np.clip(radius * rng.lognormal(0, rng.uniform(0.05, 0.7), n), 0.8, 0.4 * extent + 1)
    contrast, faceted, thickness = rng.uniform(0.15, 0.7), rng.random(), rng.random() < 0.6
    for y, x, r in pack(rng, shape, np.sort(radii)[::-1], overlap=rng.uniform(0, 0.6)):
        w = window(shape, (y, x), 1.5 * r + 2, rng.uniform(0, 2 * np.pi))
        if w is None:
            continue
        if rng.random() < faceted and r > 3:
            sides = int(rng.integers(4, 9))
            distance = polygon(w, np.arange(sides) * 2 * np.pi / sides, r * rng.uniform(0.75, 1.05, sides))
        else:
            distance = ellipse(w, r, r * rng.uniform(0.75, 1.2))
        body = contrast * rng.uniform(0.5, 1.2)
        if thickness:  # projected height of a sphere: the signal grows toward the middle
            body = body * np.sqrt(np.clip(-distance / np.float32(r), 0.02, 1))
        if r > 4 and rng.random() < 0.4:  # a twin or a stacking fault: a band of another orientation
            body = body * (
                1 + rng.uniform(-0.3, 0.3) * cover(np.abs(w.x - rng.uniform(-0.4, 0.4) * r) - rng.uniform(0.1, 0.5) * r)
            )
        image[w.at] += cover(distance, 1.2) * np.asarray(body, np.float32)
    return stretched(image)


def rods(rng: np.random.Generator, shape: Shape) -> Plane:
    """Rods and needles, lying in order or at random, with round or flat ends and a cylinder's shading."""
    extent = max(shape)
    radius = log_uniform(rng, 1.2, 0.06 * min(extent, 400) + 2)
    aspect = log_uniform(rng, 1.5, 15)
    n = int(np.clip(rng.uniform(0.1, 1.5) * shape[0] * shape[1] / (4 * aspect * radius**2), 2, 260))
    main, disorder = rng.uniform(0, np.pi), rng.choice([0.08, 0.4, 3.0])
    image = (
        rng.uniform(0.05, 0.4)
        + 0.05 * smooth(rng, shape, 0.3 * extent + 4)
        + rng.uniform(0, 0.05) * power_law(rng, shape, 1.5)
    )
    opaque, curvature = rng.random() < 0.6, rng.uniform(0, 1)
    for _ in range(n):
        r = radius * rng.uniform(0.6, 1.4)
        half = aspect * r * rng.lognormal(0, 0.3)
        w = window(shape, rng.uniform((0, 0), shape), half + r + 2, main + disorder * rng.standard_normal())
        if w is None:
            continue
        distance = capsule(w, half, r)
        body = rng.uniform(0.35, 0.8) * (1 - curvature * 0.6 * np.clip(1 + distance / np.float32(r), 0, 1) ** 2)
        alpha = cover(distance, 1.2)
        image[w.at] += alpha * ((body - image[w.at]) if opaque else 0.4 * body)
    return stretched(image)


def aggregates(rng: np.random.Generator, shape: Shape) -> Plane:
    """Clusters of irregular grains piled on one another, as powders and soot show."""
    extent = max(shape)
    radius = log_uniform(rng, 4, 0.12 * min(extent, 400) + 4)
    n = int(np.clip(0.9 * shape[0] * shape[1] / radius**2, 12, 420))
    clumps = rng.uniform(
        (-0.1 * shape[0], -0.1 * shape[1]), (1.1 * shape[0], 1.1 * shape[1]), (int(rng.integers(1, 9)), 2)
    )
    spread = rng.uniform(0.08, 0.4) * extent
    image = 0.1 + 0.04 * smooth(rng, shape, 0.4 * extent + 4) + 0.02 * power_law(rng, shape, 1.5)
    texture = rng.uniform(0.01, 0.08) * power_law(rng, shape, rng.uniform(1.5, 3))
    light, rim, rough = rng.uniform(-0.4, 0.4), rng.uniform(0, 0.5), rng.uniform(0.02, 0.14)
    for k in range(n):
        r = radius * rng.lognormal(0, 0.45)
        centre = clumps[rng.integers(len(clumps))] + spread * rng.standard_normal(2)
        w = window(shape, (centre[0], centre[1]), 1.8 * r + 2)
        if w is None:
            continue
        distance = blob(w, r, rng.normal(0, rough, (4, 2)) / np.arange(1, 5)[:, None] ** 0.5, rng.uniform(0.8, 1.25))
        depth = np.clip(-distance / np.float32(r), 0, 1)
        body = (0.3 + 0.45 * k / n + rng.normal(0, 0.05)) * (
            1 + rim * np.exp(-6 * depth)
        ) + light * 0.3 * w.y / np.float32(r)
        image[w.at] *= 1 - 0.4 * np.exp(-np.maximum(distance, 0) * np.float32(4 / r))
        image[w.at] += cover(distance, 1.3) * (body + texture[w.at] - image[w.at])
    return stretched(image)


def crystallites(rng: np.random.Generator, shape: Shape) -> Plane:
    """Faceted crystals piled up, each face at its own angle to the detector, edges bright: powders, zeolites, salts."""
    extent = max(shape)
    radius = log_uniform(rng, 5, 0.35 * min(extent, 400) + 5)
    n = int(np.clip(2.2 * shape[0] * shape[1] / radius**2, 6, 220))
    image = 0.15 + 0.05 * smooth(rng, shape, 0.4 * extent + 4) + 0.03 * power_law(rng, shape, 1.5)
    texture = rng.uniform(0, 0.05) * power_law(rng, shape, rng.uniform(1.5, 3))
    glow, contrast, shadow = rng.uniform(0, 0.35), rng.uniform(0.15, 0.5), rng.uniform(0, 0.6)
    cubic, light = rng.random() < 0.4, rng.uniform(0, 2 * np.pi)
    for k in range(n):
        r = radius * rng.lognormal(0, 0.3)
        turn = rng.uniform(0, 2 * np.pi)
        w = window(shape, rng.uniform((-r / 2, -r / 2), (shape[0] + r / 2, shape[1] + r / 2)), 1.5 * r + 2, turn)
        if w is None:
            continue
        faces = 3 if cubic else int(rng.integers(3, 7))
        turns = np.arange(faces) * 2 * np.pi / faces + rng.uniform(-0.3, 0.3, faces)
        slopes = rng.uniform(0.2, 1.5, faces)
        heights = np.stack(  # the upper hull of a convex body is the lowest of its face planes
            [r * 0.5 * (1 + s) - s * (np.sin(t) * w.y + np.cos(t) * w.x) for t, s in zip(turns, slopes, strict=True)]
        ).astype(np.float32)
        lowest = np.partition(heights, 1, axis=0)
        tones = (
            0.5 + contrast * np.cos(turns + turn - light) * slopes / np.hypot(1, slopes) + rng.normal(0, 0.05, faces)
        )
        body = tones.astype(np.float32)[heights.argmin(axis=0)] * np.float32(0.6 + 0.4 * k / n)
        body = body + np.float32(glow) * np.exp(-(lowest[1] - lowest[0]) / np.float32(0.06 * r + 1)) + texture[w.at]
        sides = np.concatenate([turns, turns + np.pi])
        distance = polygon(w, sides, r * rng.uniform(0.6, 0.95, len(sides)))
        image[w.at] *= 1 - np.float32(shadow) * np.exp(-np.maximum(distance, 0) * np.float32(5 / r))
        image[w.at] += cover(distance, 1.3) * (body - image[w.at])
    return stretched(image)


def dead_leaves(rng: np.random.Generator, shape: Shape) -> Plane:
    """Opaque leaves of power-law sizes over one another: the occlusion statistics of natural images.

    Lee, Mumford & Huang 2001, doi:10.1023/A:1011109015675.
    """
    extent = max(shape)
    low, high = log_uniform(rng, 1.5, 8), rng.uniform(0.15, 0.6) * extent + 4
    n = int(np.clip(2.5 * shape[0] * shape[1] / low**2 / 8, 20, 0.007 * shape[0] * shape[1] + 120))
    radii = power_law_radii(rng, n, low, max(high, 1.1 * low), rng.uniform(2.2, 3.2))
    form = rng.integers(0, 4)  # discs, polygons, blobs, or all
    image = rng.uniform(0, 1) + 0.1 * smooth(rng, shape, 0.4 * extent + 4)
    texture = rng.uniform(0, 0.1) * power_law(rng, shape, rng.uniform(1, 3))
    ramp, ordered = rng.uniform(0, 0.4), rng.random() < 0.5
    if ordered:
        radii = np.sort(radii)[::-1]
    for r in radii:
        w = window(
            shape,
            rng.uniform((-r / 2, -r / 2), (shape[0] + r / 2, shape[1] + r / 2)),
            1.6 * r + 2,
            rng.uniform(0, 2 * np.pi),
        )
        if w is None:
            continue
        shown = form if form < 3 else rng.integers(0, 3)
        if shown == 0 or r < 2.5:
            distance = ellipse(w, r, r * rng.uniform(0.5, 1.0))
        elif shown == 1:
            sides = int(rng.integers(3, 7))
            turns = np.arange(sides) * 2 * np.pi / sides + rng.uniform(-0.25, 0.25, sides)
            distance = polygon(w, turns, r * rng.uniform(0.5, 0.9, sides))
        else:
            distance = blob(w, r, rng.normal(0, 0.12, (3, 2)))
        body = rng.random() + ramp * rng.uniform(-1, 1) * w.y / np.float32(r) + texture[w.at]
        image[w.at] += cover(distance, 1.3) * (body - image[w.at])
    return stretched(image)


def _support_holes(rng: np.random.Generator, shape: Shape, depth: float) -> Plane:
    """Draw the round holes of a perforated support film."""
    radius = log_uniform(rng, 0.1, 0.5) * max(shape) + 2
    holes = np.zeros(shape, np.float32)
    for y, x, r in pack(rng, shape, radius * rng.uniform(0.7, 1.2, 12), overlap=-0.2):
        w = window(shape, (y, x), r + 3)
        if w is not None:
            np.maximum(holes[w.at], cover(ellipse(w, r, r), 2.0), out=holes[w.at])
    return np.float32(depth) * holes
