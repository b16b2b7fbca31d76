"""Particles: on a film or a grain that carries them, as rods, with facets and twins."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.simulate.fields import choice, log_uniform
from semrt.simulate.tomograms.grid import pack, paint, rotation, waves, window
from semrt.simulate.tomograms.solids import FACETS, ball, hollow, place_solid, polyhedron, rod, twin
from semrt.simulate.tomograms.supports import draw_support

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from semrt.simulate.tomograms.grid import Grid, Point, Space

__all__ = ["particles", "polyhedra", "rods"]

_COMPACT = ("truncated octahedron", "cuboctahedron", "icosahedron", "decahedron")
_TWINNED = ("octahedron", "cuboctahedron", "truncated octahedron", "truncated tetrahedron")
_MOST = 2000  # particles on one carrier


def particles(rng: np.random.Generator, grid: Grid) -> tuple[Space, dict[str, Any]]:
    """Draw bright particles on the faces of a thin film, or all about a grain that carries them."""
    density, n = grid.vacuum(), grid.size
    typical = max(1.2, n * log_uniform(rng, 0.012, 0.06))
    radii = typical * np.exp(rng.uniform(0.05, 0.4) * rng.standard_normal(_MOST))
    radii = np.clip(radii, 0.8, max(0.2 * n, 1.0))
    forms = (("ball",), ("ball", "ellipsoid"), _COMPACT)[int(rng.integers(3))]
    bright = rng.uniform(0.6, 1)
    settings: dict[str, Any] = {"radius_px": typical, "forms": list(forms), "level": bright}
    if rng.random() < 0.35:
        places, told = _on_grain(rng, density, grid, radii)
    else:
        places, told = _on_film(rng, density, grid, radii)
    number = 0
    kept = np.empty((_MOST, 4))
    for (z, y, x), r in places:
        others = kept[:number]
        if (np.sqrt(((others[:, :3] - (z, y, x)) ** 2).sum(1)) > 0.9 * (others[:, 3] + r)).all():
            kept[number] = z, y, x, r
            number += 1
            place_solid(rng, density, grid, (z, y, x), r, bright * rng.uniform(0.9, 1), forms=forms)
    return density, settings | told | {"particles": number}


def rods(rng: np.random.Generator, grid: Grid) -> tuple[Space, dict[str, Any]]:
    """Draw rods, wires or tubes: on a film, in a bundle, or every way round."""
    density, n = grid.vacuum(), grid.size
    arrangement = ("film", "bundle", "any")[int(rng.integers(3))]
    film = draw_support(rng, grid, density) if arrangement == "film" else None
    bundled = _along(rng.normal(0, 1), rng.normal(0, 1), rng.normal(0, 1))
    across = max(1.5, n * log_uniform(rng, 0.015, 0.06))
    aspect = log_uniform(rng, 2, 12)
    sides = int(choice(rng, 0, 0, 5, 6))
    wall = across * rng.uniform(0.25, 0.6) if rng.random() < 0.25 else 0.0
    bright = rng.uniform(0.4, 1)
    number = int(log_uniform(rng, 6, 36) * grid.crowd(0.5 * across * aspect))
    drawn = 0
    for place, _ in pack(rng, grid, np.full(number, 1.2 * across)):
        r = max(1.2, across * rng.uniform(0.8, 1.2))
        half = min(r * aspect * rng.uniform(0.7, 1.2), 0.4 * n)
        z, y, x = place
        if film is not None:
            z = film.at(grid, y, x) + float(choice(rng, -1, 1)) * (film.half + 0.9 * r)
            axis = _along(rng.normal(0, 0.05), rng.normal(0, 1), rng.normal(0, 1))
        elif arrangement == "bundle":
            axis = bundled + rng.normal(0, 0.08, 3)
        else:
            axis = _along(rng.normal(0, 1), rng.normal(0, 1), rng.normal(0, 1))
        # Within the field, whatever their length: towards the middle by as much as they stick out.
        outside = abs(float(axis[2])) * half + abs(x) + r - 0.48 * grid.shape[2]
        x -= math.copysign(max(min(outside, abs(x)), 0), x)
        w = window(grid, (z, y, x), half + r + 1)
        if w is None:
            continue
        distance = rod(w.turned(_frame(axis, rng.uniform(0, 2 * math.pi))), half, r, sides)
        paint(density, w.at, hollow(distance, wall) if wall else distance, bright * rng.uniform(0.85, 1), grid.edge)
        drawn += 1
    settings = {"arrangement": arrangement, "radius_px": across, "aspect": aspect, "sides": sides, "wall_px": wall}
    return density, {**({} if film is None else film.settings), **settings, "level": bright, "rods": drawn}


def polyhedra(rng: np.random.Generator, grid: Grid) -> tuple[Space, dict[str, Any]]:
    """Draw a few large crystals with facets, some of them twins, whose parts scatter a little differently."""
    density, n = grid.vacuum(), grid.size
    typical = log_uniform(rng, 0.1, 0.32) * n
    film = draw_support(rng, grid, density) if rng.random() < 0.4 and typical < 0.2 * n else None
    fits = 1 + int((0.5 * n / typical) ** 2)
    number = round(int(rng.integers((fits + 1) // 2, 2 * fits + 2)) * grid.crowd(typical))
    radii = np.maximum(typical * rng.uniform(0.7, 1.25, number), 2.0)
    drawn = []
    rough = rng.uniform(0, 0.015) if rng.random() < 0.3 else 0.0  # else facets are flat
    roughness = rough * typical * waves(rng, grid, 0.4 * typical, spread=0.6, number=32)
    for (z, y, x), r in pack(rng, grid, np.minimum(radii, 0.46 * n), overlap=0.15):
        if film is not None:
            z = film.at(grid, y, x) + float(choice(rng, -1, 1)) * (film.half + 0.75 * r)
        w = window(grid, (z, y, x), r + 1)
        if w is None:
            continue
        twinned = rng.random() < 0.4
        names = _TWINNED if twinned else tuple(FACETS)
        form = names[int(rng.integers(len(names)))]
        w = w.turned(rotation(rng))
        level: float | Space = rng.uniform(0.5, 1)
        if twinned:
            w, height = twin(w, np.full(3, 1 / math.sqrt(3)), rng.uniform(-0.3, 0.3) * r)
            level = level * (1 - rng.uniform(0, 0.2) * np.clip(0.5 - height / grid.edge, 0, 1))
        distance = polyhedron(w, form, r) + roughness[w.at]
        if rng.random() < 0.15:  # as galvanic replacement leaves it: a box
            distance = hollow(distance, max(2.0, rng.uniform(0.15, 0.4) * r))
        paint(density, w.at, distance, level, grid.edge)
        drawn.append({"form": form, "twin": twinned, "radius_px": r})
    return density, {**({} if film is None else film.settings), "radius_px": typical, "crystals": drawn}


def _on_film(
    rng: np.random.Generator, density: Space, grid: Grid, radii: NDArray[np.float64]
) -> tuple[Iterator[tuple[Point, float]], dict[str, Any]]:
    """Paint a film; where particles of these radii may lie on it, and what was drawn."""
    film = draw_support(rng, grid, density)
    typical = float(np.median(radii))
    reach = grid.shape[1] / 2 + typical
    width = grid.shape[2]
    number = 1 + int(log_uniform(rng, 0.2, 1.6) * width * 2 * reach / (4 * typical**2))
    above = choice(rng, 0.5, 0.9, 1)

    def places() -> Iterator[tuple[Point, float]]:
        for r in radii[:number].tolist():
            y, x = rng.uniform(-reach, reach), rng.uniform(-0.5, 0.5) * max(width - 2 * r, 0)
            side = 1 if rng.random() < above else -1
            yield (film.at(grid, y, x) + side * (film.half + r * rng.uniform(0.5, 0.95)), y, x), r

    return places(), {"carrier": "film", "above": above, **film.settings}


def _on_grain(
    rng: np.random.Generator, density: Space, grid: Grid, radii: NDArray[np.float64]
) -> tuple[Iterator[tuple[Point, float]], dict[str, Any]]:
    """Paint a rounded grain; where particles may lie at its surface, half sunk or inside, and what was drawn."""
    n, typical = grid.size, float(np.median(radii))
    grain, level = rng.uniform(0.18, 0.34) * n, rng.uniform(0.12, 0.45)
    reach = grid.shape[1] / 2 + typical
    middle = rng.normal(0, 0.04, 2) * n
    deep = rng.uniform(-0.6, 0.6) * grain
    bumps = rng.uniform(0.02, 0.12) * grain * waves(rng, grid, 0.8 * grain, spread=0.6, number=32)
    w = window(grid, (float(middle[0]), deep, float(middle[1])), 1.5 * grain)
    if w is not None:
        paint(density, w.at, ball(w, grain) + bumps[w.at], level, grid.edge)
    low, high = max(-grain, -reach - deep), min(grain, reach - deep)
    number = 1 + int(log_uniform(rng, 0.1, 0.6) * 2 * grain * max(high - low, 0) / typical**2)
    sunk = rng.random() < 0.3  # inside too, as in what was impregnated

    def places() -> Iterator[tuple[Point, float]]:
        for r in radii[:number].tolist():
            y, angle = rng.uniform(low, high), rng.uniform(0, 2 * math.pi)
            ring = math.sqrt(max(grain**2 - y**2, 0))
            from_middle = ring * math.sqrt(rng.random()) if sunk else ring + r * rng.uniform(-0.4, 0.6)
            z, x = middle[0] + from_middle * math.sin(angle), middle[1] + from_middle * math.cos(angle)
            yield (float(z), y + deep, float(x)), r

    return places(), {"carrier": "grain", "grain_px": grain, "grain_level": level, "sunk": sunk}


def _along(z: float, y: float, x: float) -> NDArray[np.float64]:
    axis = np.array([z, y, x])
    return np.asarray(axis / max(math.sqrt(float(axis @ axis)), 1e-6))


def _frame(axis: NDArray[np.float64], spin: float) -> Space:
    """A rotation (3, 3) whose first row is this direction."""
    first = axis / math.sqrt(float(axis @ axis))
    other = np.eye(3)[int(np.abs(first).argmin())]
    second = np.cross(first, other)
    second /= math.sqrt(float(second @ second))
    third = np.cross(first, second)
    c, s = math.cos(spin), math.sin(spin)
    return np.array([first, c * second + s * third, c * third - s * second], np.float32)
