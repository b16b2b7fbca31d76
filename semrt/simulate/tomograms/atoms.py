"""Crystals of resolved atoms: bright blobs on lattices that are tilted against the tilt axis."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.simulate.fields import choice, log_uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semrt.simulate.tomograms.grid import Grid, Space

__all__ = ["CELLS", "atoms"]

# Across the columns: two edges of the cell [spacings], and its atoms (along either edge, brightness).
CELLS: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[tuple[float, float, float], ...]]] = {
    "square": ((1, 0), (0, 1), ((0, 0, 1),)),
    "hexagonal": ((1, 0), (0.5, 0.866), ((0, 0, 1),)),
    "centred": ((1, 0), (0, 1.414), ((0, 0, 1), (0.5, 0.5, 1))),
    "perovskite": ((1.414, 0), (0, 1.414), ((0, 0, 1), (0.5, 0.5, 0.55))),
    "rectangular": ((1, 0), (0, 1.6), ((0, 0, 1), (0.5, 0.35, 0.7))),
}


def atoms(rng: np.random.Generator, grid: Grid) -> tuple[Space, dict[str, Any]]:
    """Draw one to three crystals whose columns run nearly along y, whole or as single atoms, with defects."""
    n = grid.size
    density = grid.vacuum()
    spacing = max(5.0, log_uniform(rng, 0.03, 0.11) * n)
    sigma = spacing * rng.uniform(0.16, 0.28)
    name = list(CELLS)[int(rng.integers(len(CELLS)))]
    single = rng.random() < 0.4
    base = rng.uniform(0.03, 0.25) if rng.random() < 0.4 else 0.0
    bright = rng.uniform(0.6, 1)
    number = int(choice(rng, 1, 1, 2, 3))
    settings = {"spacing_px": spacing, "sigma_px": sigma, "cell": name, "single_atoms": single, "base_level": base}
    half_z, half_x = 0.5 * grid.shape[0], 0.5 * grid.shape[2]
    columns = 0
    for k in range(number):
        if number == 1:
            radius, centre = rng.uniform(0.25, 0.45) * n, np.zeros(2)
        else:
            radius, turn = rng.uniform(0.13, 0.22) * n, 2 * math.pi * (k / number + 0.1 * rng.random())
            centre = 0.5 * np.array([half_z * math.sin(turn), half_x * math.cos(turn)])
        columns += _crystal(rng, grid, density, centre, radius, spacing, sigma, name, single, bright, base)
    most = float(density.max())
    if most > 1:  # where atoms overlap
        density /= most
    return density, {**settings, "crystals": number, "columns": columns, "level": bright / max(most, 1)}


def _crystal(
    rng: np.random.Generator,
    grid: Grid,
    density: Space,
    centre: NDArray[np.float64],
    radius: float,
    spacing: float,
    sigma: float,
    name: str,
    single: bool,
    bright: float,
    base: float,
) -> int:
    """Add the columns of one crystal, and the haze between them; their number."""
    edges, basis = np.array(CELLS[name][:2]) * spacing, np.array(CELLS[name][2])
    reach = int(2 * radius / float(np.abs(np.linalg.det(edges)) ** 0.5)) + 2
    cells = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2, indexing="ij"), -1).reshape(-1, 2)
    places = ((cells[:, None] + basis[:, :2]) @ edges).reshape(-1, 2)
    level = np.tile(basis[:, 2], len(cells))
    angle = rng.uniform(0, 2 * math.pi)
    c, s = math.cos(angle), math.sin(angle)
    if rng.random() < 0.25:
        places, level = _twinned(places, level, edges.sum(0) if rng.random() < 0.5 else edges[0])
    places = places @ np.array([[c, s], [-s, c]]) + rng.uniform(-0.5, 0.5, 2) * spacing
    kept = _outline(rng, places, radius) < 0
    kept &= rng.random(len(places)) > choice(rng, 0, 0, 0.02, 0.06)
    places, level = places[kept], level[kept] * bright
    if not len(places):
        return 0
    places += spacing * choice(rng, 0, 0.01, 0.03) * rng.standard_normal(places.shape)
    tilt = np.tan(np.radians(rng.normal(0, 4, 2)))
    phase = rng.uniform(0, 2 * math.pi, len(places)) if rng.random() < 0.3 else np.zeros(len(places))
    period = spacing * rng.uniform(0.9, 1.5)
    start = rng.uniform(0, 2 * math.pi)
    z, x = grid.z.reshape(-1, 1), grid.x[:, None]
    haze = max(2.5 * sigma, 0.6 * spacing)
    for row, y in enumerate(grid.y.ravel().tolist()):
        at = (places + centre + tilt * y).astype(np.float32)
        here = level.astype(np.float32)
        if single:  # the profile of a chain of atoms, 1 at each
            here = here * np.exp(np.cos(2 * math.pi * y / period + start + phase) - 1).astype(np.float32)
        density[:, row] += _blobs(z - at[:, 0], sigma) @ (here[:, None] * _blobs(x - at[:, 1], sigma).T)
        if base:
            flat = np.float32(base * bright * spacing**2 * 0.85 / (2 * math.pi * haze**2))
            density[:, row] += _blobs(z - at[:, 0], haze) @ (flat * _blobs(x - at[:, 1], haze).T)
    return len(places)


def _twinned(
    places: NDArray[np.float64], level: NDArray[np.float64], row: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mirror a lattice across a row of its atoms through the middle, as a coherent twin does."""
    normal = np.array([-row[1], row[0]]) / math.hypot(*row)
    height = places @ normal
    above, on = height > 0.25 * math.hypot(*row), np.abs(height) < 1e-6
    mirrored = places[above] - 2 * height[above, None] * normal
    return np.concatenate([places[on | above], mirrored]), np.concatenate([level[on | above], level[above]])


def _blobs(distance: Space, sigma: float) -> Space:
    return np.exp(distance * distance * (-0.5 / sigma**2))


def _outline(rng: np.random.Generator, places: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """Distance to the outline of a crystal: a circle, or a polygon of four to eight sides."""
    sides = int(choice(rng, 0, 4, 6, 8))
    if not sides:
        return np.asarray(np.hypot(*places.T) - radius)
    angles = 2 * math.pi * np.arange(sides) / sides + rng.uniform(0, 2 * math.pi)
    offsets = radius * rng.uniform(0.65, 0.95, sides)
    across = places @ np.stack([np.sin(angles), np.cos(angles)]) - offsets
    return np.asarray(np.maximum(across.max(1), np.hypot(*places.T) - radius))
