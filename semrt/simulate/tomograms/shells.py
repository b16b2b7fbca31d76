"""Hollow shells, and cores within shells."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.simulate.fields import choice, log_uniform
from semrt.simulate.tomograms.grid import pack, paint, rotation, waves, window
from semrt.simulate.tomograms.solids import FACETS, ball, ellipsoid, hollow, polyhedron

if TYPE_CHECKING:
    from semrt.simulate.tomograms.grid import Grid, Space, Window

__all__ = ["core_shell", "shells"]


def shells(rng: np.random.Generator, grid: Grid) -> tuple[Space, dict[str, Any]]:
    """Draw hollow spheres: walls of one or two layers, some broken open, some with a yolk."""
    density, n = grid.vacuum(), grid.size
    typical = log_uniform(rng, 0.08, 0.33) * n
    wall = max(1.5, typical * log_uniform(rng, 0.06, 0.4))
    stretch = rng.uniform(0, 0.3) if rng.random() < 0.5 else 0.0
    bumps = (
        rng.uniform(0, 0.06) ** 2
        / 0.06
        * typical
        * waves(rng, grid, rng.uniform(0.4, 1.2) * typical, spread=0.6, number=32)
    )
    level = rng.uniform(0.4, 1)
    number = _number(rng, grid, typical)
    drawn = {"broken": 0, "double": 0, "yolks": 0}
    radii = np.minimum(typical * rng.uniform(0.75, 1.2, number), 0.47 * n)
    for centre, r in pack(rng, grid, np.maximum(np.sort(radii)[::-1], 2.0), overlap=0.05):
        w = window(grid, centre, r * (1 + stretch) + 3 + 0.1 * typical)
        if w is None:
            continue
        outer = _round(rng, w, r, stretch) + bumps[w.at]
        distance = hollow(outer, wall)
        bright = level * rng.uniform(0.85, 1)
        if rng.random() < 0.2:
            distance, drawn["broken"] = np.maximum(distance, -_bite(rng, w, r)), drawn["broken"] + 1
        paint(density, w.at, distance, bright, grid.edge)
        inside = r - wall
        if rng.random() < 0.15 and inside > 3 * wall:
            paint(density, w.at, hollow(outer + 1.8 * wall, wall), bright * rng.uniform(0.6, 1), grid.edge)
            drawn["double"] += 1
        elif rng.random() < 0.2 and inside > 4:
            yolk = rng.uniform(0.25, 0.7) * inside
            shift = rng.uniform(-0.55, 0.55, 3) * (inside - yolk)
            paint(density, w.at, ball(w.moved(*shift.tolist()), yolk), rng.uniform(0.5, 1), grid.edge)
            drawn["yolks"] += 1
    return density, {"radius_px": typical, "wall_px": wall, "level": level, "shells": number, **drawn}


def core_shell(rng: np.random.Generator, grid: Grid) -> tuple[Space, dict[str, Any]]:
    """Draw particles of two or three materials, one about another: round or with facets, the core bright or dark."""
    density, n = grid.vacuum(), grid.size
    typical = log_uniform(rng, 0.07, 0.36) * n
    number = _number(rng, grid, typical)
    names = tuple(FACETS)
    facetted, shell_facetted = rng.random() < 0.45, rng.random() < 0.25
    core, shell = rng.uniform(0.7, 1), rng.uniform(0.12, 0.55)
    if rng.random() < 0.25:  # the heavier material outside
        core, shell = shell, core
    middle = rng.uniform(0.2, 1) if rng.random() < 0.25 else None
    share = rng.uniform(0.35, 0.85)
    eccentric = rng.uniform(0, 0.8) if rng.random() < 0.3 else 0.0
    stretch = rng.uniform(0, 0.35) if rng.random() < 0.4 else 0.0
    bumps = (
        rng.uniform(0, 0.05) ** 2
        / 0.05
        * typical
        * waves(rng, grid, rng.uniform(0.3, 1) * typical, spread=0.6, number=32)
    )
    radii = np.minimum(typical * rng.uniform(0.75, 1.2, number), 0.47 * n)
    for centre, r in pack(rng, grid, np.maximum(np.sort(radii)[::-1], 2.5), overlap=0.1):
        w = window(grid, centre, r * (1 + stretch) + 3 + 0.1 * typical)
        if w is None:
            continue
        turned = w.turned(rotation(rng))
        form = names[int(rng.integers(len(names)))]
        outer = polyhedron(turned, form, r) if shell_facetted else _round(rng, w, r, stretch)
        paint(density, w.at, outer + bumps[w.at], shell * rng.uniform(0.9, 1), grid.edge)
        inside = r * share * rng.uniform(0.9, 1.05)
        around = w.moved(*(rng.uniform(-0.6, 0.6, 3) * eccentric * (r - inside)).tolist())
        if middle is not None:
            between = 0.5 * (r + inside)
            paint(density, w.at, _round(rng, around, between, 0.0), middle, grid.edge)
        turned = around.turned(rotation(rng))
        within = polyhedron(turned, form, inside) if facetted else ball(around, inside)
        paint(density, w.at, within, core * rng.uniform(0.9, 1), grid.edge)
    told = {"core_level": core, "shell_level": shell, "between_level": middle, "core_share": share}
    return density, {"radius_px": typical, "particles": number, "facets": facetted, **told}


def _number(rng: np.random.Generator, grid: Grid, radius: float) -> int:
    """How many to try to pack: from half of what fits in a slice to a little more, and more along many slices."""
    fits = 1 + int((0.5 * grid.size / radius) ** 2)
    return round(int(rng.integers((fits + 1) // 2, fits + 3)) * grid.crowd(radius))


def _round(rng: np.random.Generator, w: Window, r: float, stretch: float) -> Space:
    if stretch == 0.0:
        return ball(w, r)
    return ellipsoid(w.turned(rotation(rng)), r * (1 + stretch), r, r * choice(rng, 1, 1 - stretch))


def _bite(rng: np.random.Generator, w: Window, r: float) -> Space:
    """Distance to a ball that takes a piece out of another's surface."""
    angle, y = rng.uniform(0, 2 * math.pi), rng.uniform(-0.3, 0.3)
    return ball(w.moved(r * math.sin(angle), r * y, r * math.cos(angle)), r * rng.uniform(0.25, 0.6))
