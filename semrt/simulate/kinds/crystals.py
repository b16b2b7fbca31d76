"""Crystals and films: columns, moiré, fringes, bend contours, layers, flakes, outlines, nearly flat fields."""

from __future__ import annotations

import math

import numpy as np

from semrt.simulate.fields import (
    Plane,
    Shape,
    choice,
    coordinates,
    log_uniform,
    place,
    power_law,
    smooth,
    smoothstep,
    stretched,
    texture,
    warped,
)
from semrt.simulate.shapes import cells, cover, polygon, window

__all__ = ["contours", "flakes", "flat", "lattice", "layers", "outlines"]


def lattice(rng: np.random.Generator, shape: Shape) -> Plane:
    """Atomic columns in one to three sublattices: strain, dislocations, grain boundaries, moiré, the crystal's edge."""
    extent = max(shape)
    spacing = log_uniform(rng, 4.5, 40)
    y, x = coordinates(rng, shape)
    y, x = warped(rng, y, x, rng.uniform(0.3, 2) * extent + 8, rng.uniform(0, 0.3) * spacing)
    image = _columns(rng, *_dislocated(rng, y, x, spacing), spacing)
    partner = rng.random()
    if partner < 0.2:  # a second crystal above the first
        c, s = math.cos(turn := rng.uniform(0, 0.5)), math.sin(turn)
        other = _columns(rng, c * y + s * x, c * x - s * y, spacing * rng.uniform(0.85, 1.15))
        image += rng.uniform(0.3, 1) * other
    elif partner < 0.5:  # grains
        tiling = cells(rng, y, x, rng.uniform(0.35, 1.5) * extent + 8, spread=0.5)
        angle = tiling.show(rng.uniform(0, math.pi / 2, tiling.count))
        other = _columns(rng, np.cos(angle) * y + np.sin(angle) * x, np.cos(angle) * x - np.sin(angle) * y, spacing)
        turned = tiling.show(rng.random(tiling.count) < 0.6)
        image += turned * smoothstep(tiling.inside - 1, 2.0) * (other - image)
    thickness = 1 + log_uniform(rng, 0.01, 0.4) * smooth(rng, shape, rng.uniform(0.3, 1.5) * extent + 8)
    if rng.random() < 0.35:  # the edge of the crystal, amorphous beyond
        inside = smoothstep(smooth(rng, shape, 0.8 * extent + 8) - rng.uniform(-0.6, 0.6), rng.uniform(0.1, 0.8))
        amorphous = power_law(rng, shape, 1.0, shortest=spacing / 4)
        image = image * inside + rng.uniform(0, 0.2) * (1 - inside) * amorphous
    image = (image + rng.uniform(0, 0.5)) * thickness
    image += choice(rng, 0, rng.uniform(0, 0.3)) * smooth(rng, shape, rng.uniform(0.1, 1) * extent + 6)
    return stretched(image + texture(rng, shape, 0.15))


def contours(rng: np.random.Generator, shape: Shape) -> Plane:
    """Thickness fringes and bend contours of a buckled crystal, with dislocation lines in some."""
    extent = max(shape)
    y, x = coordinates(rng, shape)
    buckled = power_law(rng, shape, rng.uniform(4.5, 7), shortest=log_uniform(rng, 4, 0.1 * extent + 5))
    tilt = log_uniform(rng, 0.5, 4) * (rng.uniform(0, 4) / extent * y + rng.uniform(0.5, 3) * buckled)
    image = rng.uniform(0.3, 1) * np.sinc(tilt) ** 2 + rng.uniform(0, 0.6) * np.cos(2 * tilt) / (1 + tilt * tilt)
    if rng.random() < 0.6:
        thickness = 1 + rng.uniform(0.5, 3) / extent * x + 0.3 * smooth(rng, shape, 0.7 * extent + 8)
        fringes = np.cos(log_uniform(rng, 3, 25) * thickness) * np.exp(-0.3 * np.abs(thickness))
        image += rng.uniform(0.1, 0.5) * fringes
    for _ in range(int(rng.integers(0, 12))):
        w = window(shape, place(rng, shape), 0.25 * extent + 3, rng.uniform(0, math.pi))
        if w is not None:
            width, length = rng.uniform(0.8, 3), rng.uniform(0.03, 0.12) * extent + 2
            bow = w.x + rng.uniform(-0.5, 0.5) / length * w.y * w.y
            image[w.at] -= 0.4 * np.exp(-((bow / width) ** 2)) * smoothstep(length - np.abs(w.y), 4.0)
    return stretched(image + texture(rng, shape, 0.06))


def layers(rng: np.random.Generator, shape: Shape) -> Plane:
    """Films in cross section, and steps: bands of differing tone and texture, interfaces sharp, rough or graded."""
    extent = max(shape)
    y, _ = coordinates(rng, shape)
    rough = choice(rng, 0, rng.uniform(0, 0.03)) * extent
    y = y + rough * smooth(rng, shape, log_uniform(rng, 0.05, 1) * extent + 3)
    borders = (np.sort(rng.uniform(-0.6, 0.6, int(rng.integers(1, 12)))) * extent).tolist()
    tones = rng.random(len(borders) + 1).tolist()
    image = tones[0] + rng.uniform(-0.3, 0.3) / extent * y
    detail = texture(rng, shape, 0.15)
    ripples = [smooth(rng, shape, part * extent + 3) for part in (0.1, 0.3)]
    for k, border in enumerate(borders):
        beyond = y + rng.uniform(0, 2) * ripples[k % 2] - border
        image += (tones[k + 1] - tones[k]) * smoothstep(beyond, log_uniform(rng, 1.2, 0.05 * extent + 1.5))
        if rng.random() < 0.3:  # a reaction layer
            image += rng.uniform(-0.4, 0.4) * np.exp(-((beyond / rng.uniform(1, 4)) ** 2))
        detail *= 1 - rng.uniform(-0.5, 0.9) * smoothstep(beyond, 2.0)
    return stretched(image + detail)


def flakes(rng: np.random.Generator, shape: Shape) -> Plane:
    """Flakes and sheets over one another on an even ground: faint steps, straight edges, folds and wrinkles."""
    extent = max(shape)
    image = 0.3 + 0.08 * smooth(rng, shape, 0.8 * extent + 4)
    strength = log_uniform(rng, 0.03, 0.5)
    for _ in range(int(rng.integers(1, 14))):
        r = rng.uniform(0.08, 0.8) * extent + 3
        w = window(shape, place(rng, shape), 1.6 * r, rng.uniform(0, 2 * math.pi))
        if w is None:
            continue
        sides = int(rng.integers(3, 8))
        turns = np.arange(sides) * 2 * math.pi / sides + rng.uniform(-0.35, 0.35, sides)
        distance = polygon(w, turns, r * rng.uniform(0.3, 0.95, sides))
        tone = strength * rng.uniform(0.4, 1.5)
        image[w.at] += tone * cover(distance, log_uniform(rng, 1.2, 8))
        image[w.at] += tone * choice(rng, 0, rng.random()) * np.exp(-((distance / rng.uniform(1, 3)) ** 2))
    y, x = coordinates(rng, shape)
    for _ in range(int(rng.integers(0, 5))):
        angle, offset = rng.uniform(0, math.pi), rng.uniform(-0.5, 0.5) * extent
        across = math.cos(angle) * y + math.sin(angle) * x - offset
        across += 0.02 * extent * smooth(rng, shape, 0.5 * extent + 4)
        image += strength * rng.uniform(-1, 1) * np.exp(-((across / rng.uniform(0.8, 4)) ** 2))
    return stretched(image + strength * texture(rng, shape, 0.4))


def flat(rng: np.random.Generator, shape: Shape) -> Plane:
    """Nearly empty fields: drifting brightness, a ramp, a few specks or one edge; the rest is for the noise."""
    extent = max(shape)
    y, x = coordinates(rng, shape)
    image = 0.5 + rng.uniform(-0.3, 0.3) / extent * y
    image = image + rng.uniform(0, 0.1) * smooth(rng, shape, rng.uniform(0.4, 2) * extent + 4)
    image += texture(rng, shape, 0.04)
    if rng.random() < 0.5:
        border = x + rng.uniform(0, 0.1) * extent * smooth(rng, shape, rng.uniform(0.5, 2) * extent + 4)
        image += rng.uniform(-0.6, 0.6) * smoothstep(border, log_uniform(rng, 1.2, 0.2 * extent + 2))
    for _ in range(int(rng.integers(0, 7))):
        r = log_uniform(rng, 1.0, 0.05 * extent + 1.5)
        w = window(shape, place(rng, shape), 4 * r + 2)
        if w is not None:
            image[w.at] += rng.uniform(-0.5, 0.5) * np.exp((w.y * w.y + w.x * w.x) * (-0.5 / r**2))
    return np.asarray(np.clip(image, 0, 1), np.float32)


def outlines(rng: np.random.Generator, shape: Shape) -> Plane:
    """A few large even areas within straight and round edges: a crystal before vacuum, an aperture, a detector."""
    extent = max(shape)
    image = np.full(shape, rng.random(), np.float32)
    for _ in range(int(rng.integers(1, 6))):
        y, x = coordinates(rng, shape)
        half_plane, radius = x + rng.uniform(-0.3, 0.3) * extent, np.hypot(y, x)
        corner = np.maximum(x, math.cos(turn := rng.uniform(0.4, 2.7)) * x + math.sin(turn) * y)
        disk = radius - log_uniform(rng, 0.08, 0.8) * extent
        ring = np.abs(disk) - log_uniform(rng, 0.01, 0.2) * extent
        distance = (half_plane, corner, disk, ring, np.maximum(ring, corner))[int(rng.integers(5))]
        tone = rng.random() + choice(rng, 0, 0, rng.uniform(-0.5, 0.5)) / extent * y  # at times wedge-shaped
        image += cover(distance, log_uniform(rng, 1.2, 0.05 * extent + 2)) * (tone - image)
    return stretched(image + choice(rng, 0, 1) * texture(rng, shape, 0.05))


def _columns(rng: np.random.Generator, y: Plane, x: Plane, spacing: float) -> Plane:
    """Draw a lattice of nearly Gaussian peaks: oblique, hexagonal or rectangular, a basis of one to three columns."""
    k = 2 * math.pi / spacing
    sharpness = log_uniform(rng, 0.4, min(6.0, max(0.5, (spacing / 7) ** 2)))
    shear, ratio = choice(rng, 0.0, 0.5, rng.uniform(0, 0.5)), choice(rng, 1.0, 0.866, 1.414, rng.uniform(0.6, 1))

    def peaks(dy: float, dx: float) -> Plane:
        v = ratio * y + dy * spacing
        u = x + shear * v + dx * spacing
        return np.asarray(np.exp(sharpness * (np.cos(k * v) + np.cos(k * u) - 2)), np.float32)

    image = peaks(0, 0)
    for _ in range(int(rng.integers(0, 3))):
        dy, dx = choice(rng, 0.5, 0.25, 1 / 3, rng.random()), choice(rng, 0.5, 0.25, 2 / 3, rng.random())
        image += rng.uniform(0.1, 0.9) * peaks(dy, dx)
    return image


def _dislocated(rng: np.random.Generator, y: Plane, x: Plane, spacing: float) -> tuple[Plane, Plane]:
    """Displace coordinates by edge dislocations: one Burgers vector more on one side of a core than on the other."""
    displaced = x
    for _ in range(int(rng.integers(0, 3))):
        row, column = (int(rng.integers(0, n)) for n in y.shape)
        angle = np.arctan2(y - float(y[row, column]) - 0.3, x - float(x[row, column]) - 0.3)
        displaced = displaced + choice(rng, -1, 1) * spacing / (2 * math.pi) * angle
    return y, displaced
