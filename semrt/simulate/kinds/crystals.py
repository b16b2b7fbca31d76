"""Crystals and films: atomic columns, moiré, thickness fringes, bend contours, layers, flakes, nearly flat fields."""

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
from semrt.simulate.shapes import cells, cover, polygon, window

__all__ = ["contours", "flakes", "flat", "lattice", "layers"]


def lattice(rng: np.random.Generator, shape: Shape) -> Plane:
    """Atomic columns: one or two sublattices, strain, dislocations, grain boundaries, moiré, vacuum beyond an edge."""
    extent = max(shape)
    y, x = coordinates(rng, shape)
    spacing = log_uniform(rng, 4.5, 40)
    y, x = warped(rng, y, x, rng.uniform(0.3, 2) * extent + 8, rng.uniform(0, 0.3) * spacing)
    image = _columns(rng, *_dislocated(rng, y, x, shape, spacing), spacing)
    role = rng.random()
    if role < 0.2:  # a second crystal behind the first
        turn, size = rng.uniform(0, 0.5), spacing * rng.uniform(0.85, 1.15)
        image += rng.uniform(0.3, 1) * _columns(
            rng, np.cos(turn) * y + np.sin(turn) * x, np.cos(turn) * x - np.sin(turn) * y, size
        )
    elif role < 0.5:  # grains
        tiling = cells(rng, y, x, rng.uniform(0.35, 1.5) * extent + 8, spread=0.5)
        turn = rng.uniform(0, np.pi / 2, tiling.count).astype(np.float32)[tiling.label]
        c, s = np.cos(turn), np.sin(turn)
        other = _columns(rng, c * y + s * x, c * x - s * y, spacing)
        chosen = (rng.random(tiling.count) < 0.6).astype(np.float32)[tiling.label]
        image += chosen * smoothstep(tiling.inside - 1, 2.0) * (other - image)
    thickness = 1 + rng.uniform(0, 0.4) * smooth(rng, shape, rng.uniform(0.3, 1.5) * extent + 8)
    if rng.random() < 0.35:  # the edge of the crystal, amorphous beyond
        edge = smooth(rng, shape, 0.8 * extent + 8) - rng.uniform(-0.6, 0.6)
        inside = smoothstep(edge, rng.uniform(0.1, 0.8))
        image = image * inside + rng.uniform(0, 0.2) * (1 - inside) * power_law(rng, shape, 1.0, shortest=spacing / 4)
    image = (
        image * thickness
        + rng.uniform(0, 0.5) * thickness
        + rng.uniform(0, 0.3) * smooth(rng, shape, rng.uniform(0.1, 1) * extent + 6)
    )
    return stretched(image + rng.uniform(0, 0.1) * power_law(rng, shape, 1.5, shortest=1))


def contours(rng: np.random.Generator, shape: Shape) -> Plane:
    """Thickness fringes and bend contours of a buckled crystal, with dislocation lines in some."""
    extent = max(shape)
    bend = power_law(rng, shape, rng.uniform(4.5, 7), shortest=log_uniform(rng, 4, 0.1 * extent + 5))
    y, x = coordinates(rng, shape)
    tilt = rng.uniform(0, 4) * y / np.float32(extent) + rng.uniform(0.5, 3) * bend
    excitation = log_uniform(rng, 0.5, 4) * tilt
    image = rng.uniform(0.3, 1) * np.sinc(excitation) ** 2 + rng.uniform(0, 0.6) * np.cos(2 * excitation) / (
        1 + excitation**2
    )
    if rng.random() < 0.6:
        thickness = 1 + rng.uniform(0.5, 3) * x / np.float32(extent) + 0.3 * smooth(rng, shape, 0.7 * extent + 8)
        image += (
            rng.uniform(0.1, 0.5)
            * np.cos(np.float32(log_uniform(rng, 3, 25)) * thickness)
            * np.exp(-0.3 * np.abs(thickness))
        )
    for _ in range(int(rng.integers(0, 12))):
        w = window(shape, rng.uniform((0, 0), shape), 0.25 * extent + 3, rng.uniform(0, np.pi))
        if w is not None:
            width, length = rng.uniform(0.8, 3), rng.uniform(0.03, 0.12) * extent + 2
            bow = w.x + np.float32(rng.uniform(-0.5, 0.5)) * w.y**2 / np.float32(length)
            image[w.at] -= 0.4 * np.exp(-((bow / width) ** 2)) * smoothstep(length - np.abs(w.y), 4.0)
    return stretched(image + rng.uniform(0, 0.04) * power_law(rng, shape, 1.5))


def layers(rng: np.random.Generator, shape: Shape) -> Plane:
    """Films in cross section, and steps: bands of differing tone and texture, interfaces sharp, rough or graded."""
    extent = max(shape)
    y, _ = coordinates(rng, shape)
    rough = rng.uniform(0, 0.03) * extent * rng.integers(0, 2)
    y = y + np.float32(rough) * smooth(rng, shape, log_uniform(rng, 0.05, 1) * extent + 3)
    n = int(rng.integers(1, 12))
    borders = np.sort(rng.uniform(-0.6, 0.6, n)) * extent
    tones = rng.random(n + 1)
    image = np.full(shape, tones[0], np.float32) + rng.uniform(-0.3, 0.3) * y / np.float32(extent)
    texture = rng.uniform(0, 0.12) * power_law(rng, shape, rng.uniform(1, 3), stretch=float(rng.choice([1, 1, 3])))
    ripples = [smooth(rng, shape, f * extent + 3) for f in (0.1, 0.3)]
    for k, (border, before, after) in enumerate(zip(borders, tones[:-1], tones[1:], strict=True)):
        own = y + np.float32(rng.uniform(0, 2)) * ripples[k % 2]
        image += np.float32(after - before) * smoothstep(own - border, log_uniform(rng, 1.2, 0.05 * extent + 1.5))
        if rng.random() < 0.3:  # a bright or dark line at the interface
            image += np.float32(rng.uniform(-0.4, 0.4)) * np.exp(-(((own - border) / rng.uniform(1, 4)) ** 2))
        texture = texture * (1 - smoothstep(own - border, 2.0) * np.float32(rng.uniform(-0.5, 0.9)))
    return stretched(image + texture)


def flakes(rng: np.random.Generator, shape: Shape) -> Plane:
    """Flakes and sheets over one another on an even ground: faint steps, straight edges, folds and wrinkles."""
    extent = max(shape)
    image = np.full(shape, 0.3, np.float32) + 0.08 * smooth(rng, shape, 0.8 * extent + 4)
    strength = log_uniform(rng, 0.03, 0.5)
    for _ in range(int(rng.integers(1, 14))):
        r = rng.uniform(0.08, 0.8) * extent + 3
        w = window(shape, rng.uniform((0, 0), shape), 1.6 * r, rng.uniform(0, 2 * np.pi))
        if w is None:
            continue
        sides = int(rng.integers(3, 8))
        turns = np.arange(sides) * 2 * np.pi / sides + rng.uniform(-0.35, 0.35, sides)
        distance = polygon(w, turns, r * rng.uniform(0.3, 0.95, sides))
        tone = strength * rng.uniform(0.4, 1.5)
        image[w.at] += cover(distance, log_uniform(rng, 1.2, 8)) * np.float32(tone)
        image[w.at] += np.float32(tone * rng.uniform(0, 1) * rng.integers(0, 2)) * np.exp(
            -((distance / rng.uniform(1, 3)) ** 2)
        )
    y, x = coordinates(rng, shape)
    for _ in range(int(rng.integers(0, 5))):
        turn, offset = rng.uniform(0, np.pi), rng.uniform(-0.5, 0.5) * extent
        across = np.cos(turn) * y + np.sin(turn) * x - offset + 0.02 * extent * smooth(rng, shape, 0.5 * extent + 4)
        image += np.float32(strength * rng.uniform(-1, 1)) * np.exp(-((across / rng.uniform(0.8, 4)) ** 2))
    return stretched(image + strength * rng.uniform(0, 0.3) * power_law(rng, shape, rng.uniform(1, 2.5)))


def flat(rng: np.random.Generator, shape: Shape) -> Plane:
    """Nearly empty fields: drifting brightness, a ramp, a few specks or one edge; the rest is for the noise."""
    extent = max(shape)
    y, x = coordinates(rng, shape)
    image = (
        0.5
        + rng.uniform(-0.3, 0.3) * y / np.float32(extent)
        + rng.uniform(0, 0.1) * smooth(rng, shape, rng.uniform(0.4, 2) * extent + 4)
    )
    image = image + rng.uniform(0, 0.02) * power_law(rng, shape, rng.uniform(1, 3))
    if rng.random() < 0.5:
        border = x + rng.uniform(0, 0.1) * extent * smooth(rng, shape, rng.uniform(0.5, 2) * extent + 4)
        image += np.float32(rng.uniform(-0.6, 0.6)) * smoothstep(border, log_uniform(rng, 1.2, 0.2 * extent + 2))
    for _ in range(int(rng.integers(0, 7))):
        r = log_uniform(rng, 1.0, 0.05 * extent + 1.5)
        w = window(shape, rng.uniform((0, 0), shape), 4 * r + 2)
        if w is not None:
            image[w.at] += np.float32(rng.uniform(-0.5, 0.5)) * np.exp(-(w.y**2 + w.x**2) / np.float32(2 * r * r))
    return np.clip(image, 0, 1).astype(np.float32)


def _columns(rng: np.random.Generator, y: Plane, x: Plane, spacing: float) -> Plane:
    """Draw a lattice of Gaussian-like peaks: a product of raised cosines, hexagonal or rectangular, with a basis."""
    k = np.float32(2 * np.pi / spacing)
    sharp = np.float32(log_uniform(rng, 0.4, max(0.5, min(6.0, (spacing / 7) ** 2))))
    shear, ratio = (
        np.float32(rng.choice([0.0, 0.5, rng.uniform(0, 0.5)])),
        np.float32(rng.choice([1.0, 0.866, 1.414, rng.uniform(0.6, 1)])),
    )

    def peaks(dy: float, dx: float) -> Plane:
        v = y * ratio + np.float32(dy * spacing)
        u = x + shear * v + np.float32(dx * spacing)
        return np.asarray(np.exp(sharp * (np.cos(k * v) + np.cos(k * u) - 2)), np.float32)

    image = peaks(0, 0)
    for _ in range(int(rng.integers(0, 3))):
        dy, dx = rng.choice([0.5, 0.25, 1 / 3, rng.random()]), rng.choice([0.5, 0.25, 2 / 3, rng.random()])
        image = image + np.float32(rng.uniform(0.1, 0.9)) * peaks(dy, dx)
    return image


def _dislocated(rng: np.random.Generator, y: Plane, x: Plane, shape: Shape, spacing: float) -> tuple[Plane, Plane]:
    """Displace coordinates by edge dislocations: one Burgers vector more on one side of each core than on the other."""
    for _ in range(int(rng.integers(0, 3))):
        row, column = (int(rng.integers(0, n)) for n in shape)
        angle = np.arctan2(y - y[row, column] - 0.3, x - x[row, column] - 0.3)
        x = x + np.float32(rng.choice([-1, 1]) * spacing / (2 * np.pi)) * angle
    return y, x
