"""Porous bodies: smooth random fields cut at a level, within a grain, a needle or a lamella."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.simulate.fields import log_uniform
from semrt.simulate.tomograms.grid import paint, waves, window
from semrt.simulate.tomograms.solids import ball, place_solid

if TYPE_CHECKING:
    from semrt.simulate.tomograms.grid import Grid, Space

__all__ = ["BODIES", "body", "porous"]

BODIES = ("grain", "needle", "lamella")
_SHARES = {"ligaments": (0.25, 0.65), "foam": (0.2, 0.5), "pores": (0.65, 0.93)}  # of the body that is solid
_WHOLE = (slice(None),) * 3


def porous(rng: np.random.Generator, grid: Grid) -> tuple[Space, dict[str, Any]]:
    """Draw a porous body: ligaments as of nanoporous metals, foams with closed cells, or pores in a matrix."""
    density, n = grid.vacuum(), grid.size
    around, which = body(rng, grid)
    wavelength = max(6.0, n * log_uniform(rng, 0.045, 0.22))
    kind = list(_SHARES)[int(rng.choice(3, p=(0.5, 0.25, 0.25)))]
    share = rng.uniform(*_SHARES[kind])
    field = waves(rng, grid, wavelength, spread=rng.uniform(0.05, 0.6) if kind != "foam" else 0.1)
    # Of a Gaussian field with this mean wave number, distance is about its value over its slope.
    slope = 2 * math.pi / (0.85 * wavelength)
    solid: Space
    if kind == "foam":
        solid = (np.abs(field) - NormalDist().inv_cdf(0.5 + share / 2)) / slope
    else:
        solid = (NormalDist().inv_cdf(1 - share) - field) / slope
    if rng.random() < 0.2 and wavelength > 0.09 * n:  # fine pores within the coarse ligaments
        fine = max(5.0, wavelength / rng.uniform(3, 5))
        pores = NormalDist().inv_cdf(rng.uniform(0.15, 0.35)) - waves(rng, grid, fine)
        solid = np.maximum(solid, pores * fine * 0.85 / (2 * math.pi))
    level = rng.uniform(0.35, 1)
    filling = rng.uniform(0.05, 0.4) * level if rng.random() < 0.25 else 0.0
    if filling:
        paint(density, _WHOLE, around, filling, grid.edge)
    paint(density, _WHOLE, np.maximum(solid, around), level, grid.edge)
    metal = 0
    if level < 0.6 and rng.random() < 0.5:
        r = max(1.0, 0.2 * wavelength * rng.uniform(0.5, 1))
        metal = int(log_uniform(rng, 5, 40) * grid.crowd(r))
        half_z, half_y, half_x = (0.4 * m for m in grid.shape)
        for _ in range(metal):
            at = rng.uniform(-half_z, half_z), rng.uniform(-half_y - r, half_y + r), rng.uniform(-half_x, half_x)
            w = window(grid, at, 1.0)
            if w is not None and (around[w.at] < -r).all():
                place_solid(rng, density, grid, at, r * rng.uniform(0.7, 1.2), rng.uniform(0.85, 1))
    told = {"body": which, "structure": kind, "wavelength_px": wavelength, "solid_share": share, "level": level}
    return density, {**told, "filling_level": filling, "metal": metal}


def body(rng: np.random.Generator, grid: Grid, which: str | None = None) -> tuple[Space, str]:
    """Distance [px] to the outside of a body, and its name: a rounded grain, a needle along y, or a lamella.

    A needle fills a disc in every slice, as a milled tip does; a lamella runs out of the field or ends within it.
    """
    n = grid.size
    which = which or BODIES[int(rng.integers(len(BODIES)))]
    radius = rng.uniform(0.28, 0.46) * n
    bumps = rng.uniform(0.0, 0.12) * radius * waves(rng, grid, rng.uniform(0.6, 1.5) * radius, spread=0.6, number=32)
    if which == "grain":
        deep = rng.uniform(-0.5, 0.5) * radius
        w = window(grid, (0.0, deep, 0.0), math.inf)
        assert w is not None
        return ball(w, math.hypot(radius, deep)) + bumps, which
    if which == "needle":
        taper = rng.uniform(-0.15, 0.15)
        lean = rng.normal(0, 0.05, 2)
        z, x = grid.z - float(lean[0]) * grid.y, grid.x - float(lean[1]) * grid.y
        return np.sqrt(z * z + x * x) - np.maximum(radius + taper * grid.y, 2.0) + 0.3 * bumps, which
    angle = rng.normal(0, math.radians(12))
    c, s = math.cos(angle), math.sin(angle)
    thick, across = rng.uniform(0.08, 0.3) * n, grid.x * s + grid.z * c
    distance = np.abs(across) - thick + 0.3 * bumps
    if rng.random() < 0.5:
        distance = np.maximum(distance, np.abs(grid.x * c - grid.z * s) - rng.uniform(0.3, 0.46) * grid.shape[2])
    return distance, which
