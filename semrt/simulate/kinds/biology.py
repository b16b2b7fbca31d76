"""Biology: nerve cross sections, cells full of organelles, and tissue of low contrast."""

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

__all__ = ["nerve", "organelles", "tissue"]


def nerve(rng: np.random.Generator, shape: Shape) -> Plane:
    """Axons in cross section: irregular, each in its ring of myelin, packed in all sizes."""
    extent = max(shape)
    radius = log_uniform(rng, 6, 0.22 * min(extent, 512) + 6)
    n = int(np.clip(2.2 * shape[0] * shape[1] / radius**2, 10, 260))
    radii = np.sort(np.clip(radius * rng.lognormal(-0.4, rng.uniform(0.3, 0.7), n), 0.12 * radius + 1.5, 1.8 * radius))[
        ::-1
    ]
    ground = rng.uniform(0.25, 0.6) + rng.uniform(0.03, 0.12) * power_law(
        rng, shape, rng.uniform(1, 2.4), shortest=rng.uniform(0.5, 2)
    )
    y, x = coordinates(rng, shape)
    net = cells(rng, *warped(rng, y, x, 0.5 * radius + 3, 0.1 * radius), 0.5 * radius + 4, spread=0.6)
    image = ground + rng.uniform(0, 0.3) * np.exp(
        -net.inside / np.float32(0.06 * radius + 1)
    )  # small unmyelinated fibres
    texture = rng.uniform(0.02, 0.12) * power_law(rng, shape, rng.uniform(1, 2.5), shortest=rng.uniform(0.5, 2))
    axon, myelin = rng.uniform(0.05, 0.35), rng.uniform(0.75, 1.0)
    rough, lamellae = rng.uniform(0.02, 0.12), rng.uniform(0, 0.15)
    for y0, x0, r in pack(rng, shape, radii, overlap=0.03, tries=10):
        w = window(shape, (y0, x0), 1.8 * r + 3, rng.uniform(0, 2 * np.pi))
        if w is None:
            continue
        waves = rng.normal(0, rough, (4, 2)) / np.arange(1, 5)[:, None] ** 0.7
        distance = blob(w, 0.95 * r, waves, rng.uniform(0.75, 1.3))
        sheath = np.float32(r * rng.uniform(0.18, 0.5))
        inner = distance + sheath * (1 + np.float32(rng.uniform(0, 0.4)) * w.y / np.float32(r))
        ring = (
            myelin
            * rng.uniform(0.75, 1.0)
            * (1 + lamellae * np.sin(distance * np.float32(2 * np.pi / max(2.5, sheath / 3))))
        )
        image[w.at] += cover(distance, 2.0) * (ring + texture[w.at] - image[w.at])
        core = axon * rng.uniform(0.6, 1.5) + 1.5 * texture[w.at]
        image[w.at] += cover(inner, 2.5) * (core - image[w.at])
        if r > 12 and rng.random() < 0.5:  # mitochondria in the axon
            spot = np.hypot(w.y - rng.uniform(-0.3, 0.3) * r, w.x - rng.uniform(-0.3, 0.3) * r) - np.float32(
                r * rng.uniform(0.08, 0.18)
            )
            image[w.at] += 0.3 * cover(spot, 2.0)
    return _either_polarity(rng, stretched(image, 0.001))


def organelles(rng: np.random.Generator, shape: Shape) -> Plane:
    """Stained cell sections: membranes, vesicles, mitochondria with cristae, a nucleus, ribosomes in the cytoplasm."""
    extent = max(shape)
    scale = log_uniform(rng, 0.3, 3) * min(extent, 512) / 256
    y, x = coordinates(rng, shape)
    wy, wx = warped(rng, y, x, 60 * scale + 3, 10 * scale)
    membrane = np.float32(1.2 * scale + 0.6)
    image = (
        0.65
        + 0.05 * smooth(rng, shape, 80 * scale + 4)
        + 0.07 * power_law(rng, shape, rng.uniform(0.8, 2), shortest=scale + 0.5)
    )
    cell = cells(rng, wy, wx, 170 * scale + 8, spread=0.5)
    tone = rng.uniform(-0.15, 0.15, cell.count).astype(np.float32)
    image += tone[cell.label]
    image -= 0.4 * np.exp(-((cell.inside / membrane) ** 2))
    for _ in range(int(rng.integers(0, 5))):  # stacks of membranes: endoplasmic reticulum, Golgi
        centre = rng.uniform((0, 0), shape)
        w = window(shape, (centre[0], centre[1]), 60 * scale + 3)
        if w is not None:
            bend = wy[w.at] + 8 * scale * np.sin(wx[w.at] / np.float32(25 * scale + 2))
            sheets = np.maximum(np.cos(bend * np.float32(2 * np.pi / (9 * scale + 3))), 0) ** 3
            image[w.at] -= 0.3 * sheets * np.exp(-(w.y**2 + 0.3 * w.x**2) / np.float32((28 * scale + 2) ** 2))
    n = int(np.clip(0.4 * shape[0] * shape[1] / (18 * scale + 2) ** 2, 2, 160))
    radii = np.sort(scale * rng.lognormal(2.3, 0.55, n) + 1)[::-1]
    for y0, x0, r in pack(rng, shape, radii, overlap=-0.1):
        stretch = rng.uniform(0.65, 1.0)
        w = window(shape, (y0, x0), 1.9 * r + 3, rng.uniform(0, 2 * np.pi))
        if w is None:
            continue
        distance = blob(w, r, rng.normal(0, 0.06, (3, 2)), stretch)
        inside = cover(distance, 1.6)
        role = rng.random()
        if role < 0.5 and r > 7 * scale:  # mitochondrion
            waves = np.sin(
                (w.x + 2 * scale * np.sin(w.y / np.float32(6 * scale + 1))) * np.float32(2 * np.pi / (6 * scale + 2.5))
            )
            body = 0.45 - 0.18 * np.maximum(waves, 0)
        else:
            body = np.float32(rng.choice([0.85, 0.75, 0.3, 0.1]))
        image[w.at] += 0.85 * inside * (body - image[w.at])
        image[w.at] -= 0.35 * np.exp(-((distance / membrane) ** 2))
    dots = power_law(rng, shape, 0.0, shortest=1.5 * scale + 0.6)
    image -= rng.uniform(0, 0.25) * smoothstep(dots - 1.3, 0.8)
    return _either_polarity(rng, stretched(image, 0.001))


def tissue(rng: np.random.Generator, shape: Shape) -> Plane:
    """Diffuse, low-contrast matter: collagen, cytoplasm, polymer blends; soft structure at several scales."""
    extent = max(shape)
    y, x = coordinates(rng, shape)
    size = log_uniform(rng, 8, 0.5 * extent + 10)
    wy, wx = warped(rng, y, x, 1.5 * size, 0.4 * size)
    period = size * rng.uniform(0.15, 0.8) + 3
    strands = np.sin(wy * np.float32(2 * np.pi / period) + 2 * smooth(rng, shape, size))
    image = rng.uniform(0, 0.5) * strands * smoothstep(smooth(rng, shape, 2 * size), 3.0)
    image += rng.uniform(0.2, 1) * power_law(rng, shape, rng.uniform(1.8, 3.2), shortest=rng.uniform(0.5, 4))
    tiling = cells(rng, wy, wx, size, spread=0.5)
    image += rng.uniform(-1, 1) * np.exp(-np.maximum(tiling.inside, 0) / np.float32(0.1 * size + 1.5))
    return stretched(image, 0.001)


def _either_polarity(rng: np.random.Generator, image: Plane) -> Plane:
    """Stained sections are dark on bright in transmission, bright on dark under backscattered electrons."""
    return image if rng.random() < 0.5 else 1 - image
