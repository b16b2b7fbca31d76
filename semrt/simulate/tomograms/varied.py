"""Phantoms of anything, so that a network learns what tomograms share rather than a few kinds of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.simulate.fields import log_uniform
from semrt.simulate.tomograms.atoms import atoms
from semrt.simulate.tomograms.films import films
from semrt.simulate.tomograms.grid import pack, paint, waves
from semrt.simulate.tomograms.particles import particles, polyhedra, rods
from semrt.simulate.tomograms.porous import body, porous
from semrt.simulate.tomograms.shells import core_shell, shells
from semrt.simulate.tomograms.solids import FACETS, place_solid

if TYPE_CHECKING:
    from semrt.simulate.tomograms.grid import Grid, Space

__all__ = ["varied"]

_WHOLE = (slice(None),) * 3
_MIXED = (particles, shells, core_shell, porous, rods, polyhedra, atoms, films)


def varied(rng: np.random.Generator, grid: Grid) -> tuple[Space, dict[str, Any]]:
    """Draw solids of all sizes and densities one over another, holes among them, or two kinds of phantom mixed."""
    if rng.random() < 0.3:
        return _mixed(rng, grid)
    density, n = grid.vacuum(), grid.size
    matrix = None
    if rng.random() < 0.5:
        around, which = body(rng, grid)
        matrix = rng.uniform(0.05, 0.6)
        paint(density, _WHOLE, around, matrix, grid.edge)
    else:
        which = "none"
    smallest, largest = log_uniform(rng, 0.012, 0.05) * n, log_uniform(rng, 0.06, 0.25) * n
    number = int(log_uniform(rng, 4, 60) * grid.crowd(largest))
    radii = np.sort(smallest * (largest / smallest) ** rng.random(number) ** 1.5)[::-1]  # small ones are common
    forms = ("ball", "ellipsoid", "ellipsoid", "rod", *FACETS)
    bumps = rng.uniform(0, 0.3) * smallest * waves(rng, grid, 3 * smallest + 2, spread=0.6, number=32)
    holes = rng.uniform(0, 0.4) if rng.random() < 0.6 else 0.0
    for at, r in pack(rng, grid, np.maximum(radii, 1.2), overlap=rng.uniform(0, 1.6)):
        level = 0.0 if rng.random() < holes else rng.uniform(0.1, 1)
        place_solid(rng, density, grid, at, r, level, forms=forms, roughness=bumps)
    shade = rng.uniform(0, 0.15)
    if shade > 0.05:
        density *= np.clip(1 + shade * waves(rng, grid, rng.uniform(0.05, 0.5) * n, spread=0.6, number=48), 0.4, 1.6)
        np.minimum(density, 1, out=density)
    return density, {"body": which, "matrix_level": matrix, "solids": number, "holes": holes, "shade": shade}


def _mixed(rng: np.random.Generator, grid: Grid) -> tuple[Space, dict[str, Any]]:
    """Draw two kinds, the brighter of both in each place, or one within a body and the other outside."""
    one, other = (_MIXED[int(k)] for k in rng.choice(len(_MIXED), 2, replace=False))
    (first, _), (second, _) = one(rng, grid), other(rng, grid)
    first = first * rng.uniform(0.4, 1)
    within = rng.random() < 0.4
    if within:
        around, _ = body(rng, grid)
        paint(first, _WHOLE, around, second, grid.edge)
    else:
        np.maximum(first, second, out=first)
    return first, {"mixed": [one.__name__, other.__name__], "within": within}
