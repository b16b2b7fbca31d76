"""Solids by their implicit functions: signed distances [px] from coordinates about their middle, negative inside."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from semrt.simulate.tomograms.grid import paint, rotation, window

if TYPE_CHECKING:
    from semrt.simulate.tomograms.grid import Grid, Point, Space, Window

__all__ = ["FACETS", "Facets", "ball", "ellipsoid", "hollow", "place_solid", "polyhedron", "rod", "twin"]

_GOLDEN = (1 + math.sqrt(5)) / 2
_A, _B, _C = ((1, 0, 0), (0, 1, 0), (0, 0, 1)), ((1, 1, 1),), ((1, 1, 0), (1, 0, 1), (0, 1, 1))
_ELEVATION = math.radians(37.377)  # of the faces of a bipyramid of equilateral triangles


class Facets(NamedTuple):
    """A convex polyhedron.

    folded: along which of three axes it is its own mirror image, so that only faces of one side are listed.
    faces: (direction, distance of the plane from the middle).  radius: of the sphere about it.
    """

    folded: tuple[bool, bool, bool]
    faces: tuple[tuple[tuple[float, float, float], float], ...]
    radius: float


def _cubic(radius: float, *families: tuple[tuple[tuple[float, float, float], ...], float]) -> Facets:
    return Facets((True, True, True), tuple((n, d) for normals, d in families for n in normals), radius)


_FIVE = tuple(
    (math.cos(_ELEVATION) * math.cos(a), math.cos(_ELEVATION) * math.sin(a), math.sin(_ELEVATION))
    for a in (0.0, 0.4 * math.pi, 0.8 * math.pi)
)
_FOUR = ((1.0, 1.0, 1.0), (1.0, -1.0, -1.0), (-1.0, 1.0, -1.0), (-1.0, -1.0, 1.0))
FACETS: dict[str, Facets] = {
    "cube": _cubic(1.732, (_A, 1.0)),
    "octahedron": _cubic(1.732, (_B, 1.0)),
    "cuboctahedron": _cubic(1.414, (_A, 1.0), (_B, 1.1547)),
    "truncated octahedron": _cubic(1.118, (_A, 1.0), (_B, 0.866)),
    "rhombic dodecahedron": _cubic(1.414, (_C, 1.0)),
    "icosahedron": _cubic(
        1.258, ((*_B, (0, 1 / _GOLDEN, _GOLDEN), (1 / _GOLDEN, _GOLDEN, 0), (_GOLDEN, 0, 1 / _GOLDEN)), 1.0)
    ),
    "decahedron": Facets((False, True, True), (*((n, 1.0) for n in _FIVE), ((0, 0, 1), 1.35)), 1.58),
    "hexagonal plate": _cubic(1.21, (((1, 0, 0), (0.5, 0.866, 0)), 1.0), (((0, 0, 1),), 0.35)),
    "hexagonal prism": _cubic(1.62, (((1, 0, 0), (0.5, 0.866, 0)), 1.0), (((0, 0, 1),), 1.1)),
    "truncated tetrahedron": Facets(
        (False, False, False), (*((n, 1.0) for n in _FOUR), *(((-a, -b, -c), 1.9) for a, b, c in _FOUR)), 2.05
    ),
}


def ball(w: Window, radius: float) -> Space:
    """Distance to a ball."""
    return np.asarray(np.sqrt(w.z * w.z + w.y * w.y + w.x * w.x) - radius)


def ellipsoid(w: Window, a: float, b: float, c: float) -> Space:
    """Distance to an ellipsoid of these half axes, true along them."""
    z, y, x = w.z / a, w.y / b, w.x / c
    return np.asarray((np.sqrt(z * z + y * y + x * x) - 1) * min(a, b, c))


def polyhedron(w: Window, form: str, radius: float) -> Space:
    """Distance to a polyhedron of FACETS that a sphere of this radius just holds."""
    facets = FACETS[form]
    z, y, x = (np.abs(u) if fold else u for u, fold in zip(w[1:], facets.folded, strict=True))
    scale = radius / facets.radius
    distance = np.full(np.broadcast_shapes(z.shape, y.shape, x.shape), -np.inf, np.float32)
    for (a, b, c), d in facets.faces:
        norm = math.sqrt(a * a + b * b + c * c)
        np.maximum(distance, (a / norm) * z + (b / norm) * y + (c / norm) * x - d * scale, out=distance)
    return distance


def rod(w: Window, half_length: float, radius: float, sides: int = 0) -> Space:
    """Distance to a rod along its own z; half_length without the caps, which are round where there are no sides."""
    if sides:
        across = np.full(np.broadcast_shapes(w.y.shape, w.x.shape), -np.inf, np.float32)
        for angle in (2 * math.pi * k / sides for k in range(sides)):
            across = np.maximum(across, math.cos(angle) * w.y + math.sin(angle) * w.x)
        return np.asarray(np.maximum(across - radius, np.abs(w.z) - half_length))
    beyond = np.maximum(np.abs(w.z) - half_length, 0)
    return np.asarray(np.sqrt(beyond * beyond + w.y * w.y + w.x * w.x) - radius)


def hollow(distance: Space, wall: float) -> Space:
    """Distance to the outermost `wall` [px] of a solid."""
    return np.asarray(np.abs(distance + wall / 2) - wall / 2)


def twin(w: Window, normal: Space, offset: float = 0.0) -> tuple[Window, Space]:
    """Mirror what lies above a plane to below it; also the height above it [px].

    normal: (3,), unit.  offset: of the plane from the middle [px].
    """
    a, b, c = normal.tolist()
    height = a * w.z + b * w.y + c * w.x - offset
    below = np.minimum(height, 0) * -2
    return w._replace(z=w.z + a * below, y=w.y + b * below, x=w.x + c * below), height


def place_solid(
    rng: np.random.Generator,
    density: Space,
    grid: Grid,
    centre: Point,
    radius: float,
    level: float,
    *,
    forms: tuple[str, ...] = ("ball",),
    roughness: Space | None = None,
) -> str:
    """Paint a solid of one of these forms, any way round, within this radius of the centre; which it was.

    forms: ball, ellipsoid, rod, or names of FACETS.  roughness: [px] everywhere, added to the distance.
    """
    form = forms[int(rng.integers(len(forms)))]
    turn, shorter = rotation(rng), rng.uniform(0.5, 1, 2)
    w = window(grid, centre, radius + 2 + (0 if roughness is None else 2))
    if w is None:
        return form
    if form == "ball":
        distance = ball(w, radius)
    elif form == "ellipsoid":
        distance = ellipsoid(w.turned(turn), radius, radius * float(shorter[0]), radius * float(shorter[1]))
    elif form == "rod":
        across = radius * float(0.3 * shorter[0])
        distance = rod(w.turned(turn), radius - across, across)
    else:
        distance = polyhedron(w.turned(turn), form, radius)
    if roughness is not None:
        distance = distance + roughness[w.at]
    paint(density, w.at, distance, level, grid.edge)
    return form
