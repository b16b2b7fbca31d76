"""Stacks of thin films with rough interfaces, in a lamella or a milled needle."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.simulate.fields import log_uniform
from semrt.simulate.tomograms.grid import paint, ripples, waves
from semrt.simulate.tomograms.porous import body
from semrt.simulate.tomograms.solids import place_solid

if TYPE_CHECKING:
    from semrt.simulate.tomograms.grid import Grid, Space

__all__ = ["films"]

_WHOLE = (slice(None),) * 3


def films(rng: np.random.Generator, grid: Grid) -> tuple[Space, dict[str, Any]]:
    """Draw layered films: across the beam, where their interfaces are lost, along it, or at any angle; with voids."""
    density, n = grid.vacuum(), grid.size
    around, which = body(rng, grid, "needle" if rng.random() < 0.4 else "lamella")
    inside = np.flatnonzero((around < 0).any((1, 2)))
    angle = rng.normal(0, math.radians(12)) if rng.random() < 0.6 else rng.uniform(-0.5, 0.5) * math.pi
    c, s = math.cos(angle), math.sin(angle)
    along_y = math.tan(rng.normal(0, 0.06))
    across = grid.x * s + grid.z * c + along_y * grid.y
    rough = rng.uniform(0, 0.012) * n * ripples(rng, grid, log_uniform(rng, 0.06, 0.6) * n)
    bowed = rng.uniform(0, 0.03) * n * ripples(rng, grid, log_uniform(rng, 0.8, 3) * n)
    across = across + bowed
    thickness = n * log_uniform(rng, 0.02, 0.14)
    superlattice = rng.random() < 0.3
    pair = (rng.uniform(0.08, 0.5), rng.uniform(0.5, 1))
    edges, levels = [-0.75 * n], [rng.uniform(0.1, 1)]
    while edges[-1] < 0.75 * n:
        d = thickness if superlattice else max(1.5, thickness * log_uniform(rng, 0.35, 2.8))
        edges.append(edges[-1] + d)
        levels.append(pair[len(levels) % 2] if superlattice else _other_than(rng, levels[-1]))
    shared = rng.random() < 0.5  # conformal: each interface follows the one below
    position = across + rough if shared else across
    # Density runs from one level to the next over an edge's width; all layers at once, by interpolation.
    w = grid.edge if rng.random() < 0.7 else max(grid.edge, log_uniform(rng, 0.1, 0.5) * thickness)
    knots = np.array([at for e in edges for at in (e - w / 2, e + w / 2)])
    values = np.array([v for a, b in zip([levels[0], *levels[:-1]], levels, strict=True) for v in (a, b)])
    filled = np.interp(position, knots, values).astype(np.float32)
    paint(density, _WHOLE, around, filled, grid.edge)
    grain = rng.uniform(0, 0.12)
    if grain > 0.03:
        density *= np.clip(1 + grain * waves(rng, grid, max(3.0, 0.05 * n), spread=0.6, number=48), 0.5, 1.5)
        np.minimum(density, 1, out=density)
    r = max(1.5, log_uniform(rng, 0.01, 0.05) * n)
    inclusions = int(rng.integers(1, 12) * grid.crowd(r)) if rng.random() < 0.5 else 0
    void = rng.random() < 0.5
    drawn = 0
    for _ in range(inclusions):
        row = int(inside[int(rng.random() * len(inside))]) if len(inside) else 0
        z = float(grid.z.ravel()[row])
        y, x = rng.uniform(-1, 1) * (grid.shape[1] / 2 + r), rng.uniform(-0.35, 0.35) * grid.shape[2]
        column = int(np.searchsorted(grid.x, x))
        middle = min(max(round(y + (grid.shape[1] - 1) / 2), 0), grid.shape[1] - 1)
        if around[row, middle, column] < -1.2 * r:
            place_solid(
                rng, density, grid, (z, y, x), r, 0.0 if void else rng.uniform(0.85, 1), forms=("ball", "ellipsoid")
            )
            drawn += 1
    told = {"body": which, "angle_deg": math.degrees(angle), "thickness_px": thickness, "superlattice": superlattice}
    return density, {**told, "conformal": shared, "inclusions": drawn, "voids": void and drawn > 0}


def _other_than(rng: np.random.Generator, level: float) -> float:
    """Draw a density that can be told from the one before."""
    other = rng.uniform(0.05, 1)
    return float(other if abs(other - level) > 0.12 else (other + 0.4) % 0.95 + 0.05)
