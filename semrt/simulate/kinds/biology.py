"""Biology: nerve cross sections, cells full of organelles, and tissue of low contrast."""

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
from semrt.simulate.shapes import blob, cells, cover, pack, window

__all__ = ["nerve", "organelles", "tissue"]


def nerve(rng: np.random.Generator, shape: Shape) -> Plane:
    """Axons in cross section: irregular, each in its ring of myelin, packed in all sizes."""
    radius = log_uniform(rng, 6, 0.22 * min(max(shape), 512) + 6)
    n = int(np.clip(4 * shape[0] * shape[1] / radius**2, 10, 320))
    sizes = np.clip(rng.lognormal(-0.5, rng.uniform(0.3, 0.8), n), 0.12 + 1.5 / radius, 1.8)
    image = rng.uniform(0.25, 0.6) + texture(rng, shape, 0.15)
    y, x = coordinates(rng, shape)
    net = cells(rng, *warped(rng, y, x, 0.5 * radius + 3, 0.1 * radius), 0.5 * radius + 4, spread=0.6)
    image += rng.uniform(0, 0.4) * np.exp(-net.inside / (0.06 * radius + 1))  # unmyelinated fibres between the axons
    stain = texture(rng, shape, 0.15)
    axon, myelin = rng.uniform(0.05, 0.35), rng.uniform(0.75, 1.0)
    rough, lamellae = rng.uniform(0.02, 0.1), rng.uniform(0, 0.12)
    for y0, x0, r in pack(rng, shape, radius * np.sort(sizes)[::-1], overlap=rng.uniform(0, 0.15), tries=12):
        w = window(shape, (y0, x0), 1.8 * r + 3, rng.uniform(0, 2 * math.pi))
        if w is None:
            continue
        waves = rng.normal(0, rough, (4, 2)) / np.arange(1, 5)[:, None] ** 0.7
        distance = blob(w, 0.95 * r, waves, rng.uniform(0.75, 1.3))
        sheath = r * rng.uniform(0.18, 0.5)
        ring = 1 + lamellae * np.sin(distance * (2 * math.pi / max(2.5, sheath / 3)))
        core = axon * rng.uniform(0.6, 1.5) + 1.5 * stain[w.at]
        if r > 12 and rng.random() < 0.5:  # a mitochondrion in the axon
            from_it = np.hypot(w.y - rng.uniform(-0.3, 0.3) * r, w.x - rng.uniform(-0.3, 0.3) * r)
            core += 0.3 * cover(from_it - r * rng.uniform(0.08, 0.18), 2.0)
        patch = image[w.at]
        patch += cover(distance, 2.0) * (myelin * rng.uniform(0.75, 1.0) * ring + stain[w.at] - patch)
        patch += cover(distance + sheath * (1 + rng.uniform(0, 0.4) / r * w.y), 2.5) * (core - patch)
    return _either_polarity(rng, stretched(image, 0.001))


def organelles(rng: np.random.Generator, shape: Shape) -> Plane:
    """Stained cell sections: membranes, vesicles, mitochondria with cristae, ribosomes in the cytoplasm."""
    scale = log_uniform(rng, 0.3, 3) * min(max(shape), 512) / 256
    membrane = 1.2 * scale + 0.6
    y, x = coordinates(rng, shape)
    y, x = warped(rng, y, x, 60 * scale + 3, 10 * scale)
    image = 0.65 + texture(rng, shape, 0.1)
    image += 0.05 * smooth(rng, shape, 80 * scale + 4)
    cell = cells(rng, y, x, 170 * scale + 8, spread=0.5)
    image += cell.show(rng.uniform(-0.15, 0.15, cell.count))
    image -= 0.4 * np.exp(-((cell.inside / membrane) ** 2))
    for _ in range(int(rng.integers(0, 5))):  # stacks of membranes: endoplasmic reticulum, Golgi
        w = window(shape, place(rng, shape), 60 * scale + 3)
        if w is not None:
            bend = y[w.at] + 8 * scale * np.sin(x[w.at] / (25 * scale + 2))
            sheets = np.maximum(np.cos(bend * (2 * math.pi / (9 * scale + 3))), 0) ** 3
            image[w.at] -= 0.3 * sheets * np.exp((w.y * w.y + 0.3 * w.x * w.x) * (-1 / (28 * scale + 2) ** 2))
    n = int(np.clip(0.4 * shape[0] * shape[1] / (18 * scale + 2) ** 2, 2, 160))
    radii = scale * rng.lognormal(2.3, 0.55, n) + 1
    for y0, x0, r in pack(rng, shape, np.sort(radii)[::-1], overlap=-0.1):
        w = window(shape, (y0, x0), 1.9 * r + 3, rng.uniform(0, 2 * math.pi))
        if w is None:
            continue
        distance = blob(w, r, rng.normal(0, 0.06, (3, 2)), rng.uniform(0.65, 1.0))
        body = np.full(distance.shape, choice(rng, 0.85, 0.75, 0.3, 0.1), np.float32)
        if r > 7 * scale and rng.random() < 0.5:  # a mitochondrion and its cristae
            folded = w.x + 2 * scale * np.sin(w.y / (6 * scale + 1))
            body = 0.45 - 0.18 * np.maximum(np.sin(folded * (2 * math.pi / (6 * scale + 2.5))), 0)
        patch = image[w.at]
        patch += 0.85 * cover(distance, 1.6) * (body - patch)
        patch -= 0.35 * np.exp(-((distance / membrane) ** 2))
    ribosomes = power_law(rng, shape, 0.0, shortest=1.5 * scale + 0.6)
    image -= rng.uniform(0, 0.25) * smoothstep(ribosomes - 1.3, 0.8)
    return _either_polarity(rng, stretched(image, 0.001))


def tissue(rng: np.random.Generator, shape: Shape) -> Plane:
    """Diffuse, low-contrast matter: collagen, cytoplasm, polymer blends; soft structure at several scales."""
    size = log_uniform(rng, 8, 0.5 * max(shape) + 10)
    y, x = coordinates(rng, shape)
    y, x = warped(rng, y, x, 1.5 * size, 0.4 * size)
    period = size * rng.uniform(0.15, 0.8) + 3
    strands = np.sin(y * (2 * math.pi / period) + 2 * smooth(rng, shape, size))
    image = rng.uniform(0, 0.5) * strands * smoothstep(smooth(rng, shape, 2 * size), 3.0)
    image += rng.uniform(0.2, 1) * power_law(rng, shape, rng.uniform(1.8, 3.2), shortest=rng.uniform(0.5, 4))
    tiling = cells(rng, y, x, size, spread=0.5)
    image += rng.uniform(-1, 1) * np.exp(np.maximum(tiling.inside, 0) * (-1 / (0.1 * size + 1.5)))
    return stretched(image, 0.001)


def _either_polarity(rng: np.random.Generator, image: Plane) -> Plane:
    """Invert half of the images: stain is dark in transmission, bright under backscattered electrons."""
    return image if rng.random() < 0.5 else 1 - image
