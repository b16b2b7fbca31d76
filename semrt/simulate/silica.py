"""Silica micro balls: a pile of them under secondary electrons, and a volume of them cut into slices.

They are what sparse scans are tried on: Trampert et al. 2018, "How should a fixed budget of dwell time be spent in
scanning electron microscopy to optimize image quality?". All is clean; `detector.expose` adds noise, slice by slice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from semrt.errors import InvalidOption, InvalidShape
from semrt.simulate.fields import blur, resample, smooth
from semrt.simulate.shapes import cover, window
from semrt.simulate.silica_packing import check, packed

if TYPE_CHECKING:
    from semrt.simulate.fields import Plane, Shape

__all__ = ["Balls", "ball_volume", "micro_balls"]

Floats = NDArray[np.float64]
DEEPEST = 6  # balls farther below the surface than this many radii are hidden or black: left out
GROUND = 0.05  # intensity of what lies below the last ball that is seen


@dataclass(frozen=True, slots=True)
class Balls:
    """Balls and what is seen of them.

    intensity: (ny, nx) or (nz, ny, nx) float32 in [0, 1].
    centres: (n, 3), (z, y, x) [px]; z grows away from the viewer, from 0 at the top of a pile or in the first slice.
    radii: (n,) [px].  z: (nz,) [px], where the slices lie; empty for a pile.
    """

    intensity: NDArray[np.floating[Any]]
    centres: Floats
    radii: Floats
    z: Floats


def micro_balls(
    shape: Shape,
    *,
    rng: np.random.Generator,
    radius: float = 24.0,
    spread: float = 0.06,
    packing: float = 0.5,
    roughness: float = 1.0,
    edge: float = 0.15,
    shade: float = 0.8,
    slope: float = 0.15,
    toward: float = 0.0,
    probe: float = 1.5,
) -> Balls:
    """Look down on a pile of balls: the upper bright, those below them darker, and dark gaps between.

    shape: (ny, nx).  radius: mean [px], 2 or more.  spread: standard deviation of the radii, relative; none lies beyond
    2.5 of them.  packing: share of the pile's volume that is silica, at most 0.6.
    roughness: standard deviation of the pile's surface [radii].  edge: how much more a grazing surface emits.
    shade: how strongly electrons are lost on their way out past neighbours.  slope: brightening of the flanks that face
    the detector.  toward: where it stands, angle from -y towards +x [rad].  probe: standard deviation of the beam [px].
    Cost: 0.3 s for 512 × 512 px at a radius of 24 px, growing as the number of balls.
    Raises InvalidOption, InvalidShape.
    """
    if len(shape) != 2 or min(shape) < 1:
        raise InvalidShape("shape", "(ny, nx) with at least one pixel", tuple(shape))
    check(radius, spread, packing)
    _within("radius", radius, 2, math.inf)
    for name, value, most in (
        ("roughness", roughness, 3),
        ("edge", edge, 1),
        ("shade", shade, 5),
        ("slope", slope, 0.5),
        ("probe", probe, radius),
    ):
        _within(name, value, 0, most)
    depth = 4 * roughness * radius + DEEPEST * radius
    centres, radii = _field((depth, *shape), rng, radius, spread, packing)
    at = np.clip(np.round(centres[:, 1:]), 0, np.array(shape) - 1).astype(np.intp)
    surface = roughness * radius * (2 + smooth(rng, shape, 8 * radius))
    below = centres[:, 0] - surface[at[:, 0], at[:, 1]]
    kept = (below > 0) & (below < DEEPEST * radius)
    centres, radii = centres[kept], radii[kept]
    order = np.argsort(-centres[:, 0])  # of two balls clear of each other, that with the higher centre hides the other
    centres, radii = centres[order], radii[order]
    if len(radii):
        centres[:, 0] -= (centres[:, 0] - radii).min()
    image = np.full(shape, GROUND, np.float32)
    near, wide = _surroundings(shape, centres, radii, radius)
    levels = 0.7 * (1 + 0.03 * rng.standard_normal(len(radii)))
    for (z, y, x), r, level in zip(centres.tolist(), radii.tolist(), levels.tolist(), strict=True):
        w = window(shape, (y, x), r + 1.5)
        if w is None:
            continue
        rho2 = (w.y * w.y + w.x * w.x) / (r * r)
        up = np.sqrt(np.clip(1 - rho2, 0.03, 1))  # cosine between the surface and the beam
        body = level * (1 + edge * (1 - up) ** 1.5)
        body = body * (1 + slope / r * (math.sin(toward) * w.x - math.cos(toward) * w.y))
        # A ball is darker the deeper it lies, and its flanks are where its neighbours stand above them.
        sunk = max(float(wide[_nearest(shape, y, x)]) / r + z / r + 0.5, 0)
        hidden = 0.7 * np.maximum(near[w.at] + (z - r * up), 0) / r + 0.5 * sunk * sunk
        patch = image[w.at]
        patch += cover((np.sqrt(rho2) - 1) * r) * (GROUND + (body - GROUND) * np.exp(-shade * hidden) - patch)
    return Balls(np.clip(blur(image, probe), 0, 1), centres, radii, np.empty(0))


def ball_volume(
    shape: tuple[int, int, int],
    *,
    rng: np.random.Generator,
    radius: float = 24.0,
    slice_thickness: float = 2.0,
    spread: float = 0.06,
    packing: float = 0.56,
    silica: float = 0.65,
    matrix: float = 0.2,
    rim: float = 0.2,
    curtain: float = 0.015,
    gradient: float = 0.05,
) -> Balls:
    """Cut packed balls in a matrix into slices, as an ion beam or a knife does, and look at each face.

    shape: (nz, ny, nx).  radius: mean [px].  slice_thickness: from face to face [px], at most the radius.
    spread, packing: as for `micro_balls`.  silica, matrix: their intensities.
    rim: what the edge of a ball adds to its silica.  curtain: standard deviation of the streaks that milling leaves
    along y.  gradient: how much the brightness changes across a slice, in a direction that all share.
    Raises InvalidOption, InvalidShape.
    """
    if len(shape) != 3 or min(shape) < 1:
        raise InvalidShape("shape", "(nz, ny, nx) with at least one voxel", tuple(shape))
    check(radius, spread, packing)
    if not 0 < slice_thickness <= radius:
        raise InvalidOption(
            f"slice_thickness: expected above 0 and at most the radius of {radius} px, got {slice_thickness}"
        )
    for name, value in (("silica", silica), ("matrix", matrix)):
        _within(name, value, 0, 1)
    for name, value in (("rim", rim), ("curtain", curtain), ("gradient", gradient)):
        _within(name, value, 0, 0.5)
    nz, ny, nx = shape
    z = np.arange(nz, dtype=np.float64) * slice_thickness
    centres, radii = _field((float(z[-1]), ny, nx), rng, radius, spread, packing)
    volume = np.full(shape, matrix, np.float32)
    for (cz, cy, cx), r in zip(centres.tolist(), radii.tolist(), strict=True):
        cut = np.flatnonzero(np.abs(z - cz) < r)
        w = window((ny, nx), (cy, cx), r + 1.5)
        if w is None or len(cut) == 0:
            continue
        disc = np.sqrt(r * r - (z[cut] - cz) ** 2).astype(np.float32)[:, None, None]
        inside = disc - np.sqrt(w.y * w.y + w.x * w.x)  # of the disc's outline [px]
        body = silica + rim * np.exp(np.maximum(inside, 0) * (-12 / radius))
        patch = volume[cut[0] : cut[-1] + 1, w.at[0], w.at[1]]
        patch += cover(-inside) * (body - patch)
    angle = rng.uniform(0, 2 * math.pi)
    y = np.linspace(-0.5, 0.5, ny, dtype=np.float32)[:, None]
    x = np.linspace(-0.5, 0.5, nx, dtype=np.float32)
    volume += gradient * (math.sin(angle) * y + math.cos(angle) * x)
    volume += curtain * smooth(rng, (nz, nx), 3.0)[:, None, :]
    return Balls(np.clip(volume, 0, 1, out=volume), centres, radii, z)


def _within(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most or math.isnan(value):
        upper = f"to {most}" if math.isfinite(most) else "or more"
        raise InvalidOption(f"{name}: expected {least} {upper}, got {value}")


def _field(
    extent: tuple[float, float, float], rng: np.random.Generator, radius: float, spread: float, packing: float
) -> tuple[Floats, Floats]:
    """Pack balls into a field whose y and x run from the outer edge of the first pixel to that of the last."""
    centres, radii = packed(rng, extent, radius, spread, packing)
    return centres - (0, 0.5, 0.5), radii


def _nearest(shape: Shape, y: float, x: float) -> tuple[int, int]:
    return min(max(round(y), 0), shape[0] - 1), min(max(round(x), 0), shape[1] - 1)


def _surroundings(shape: Shape, centres: Floats, radii: Floats, radius: float) -> tuple[Plane, Plane]:
    """Average the pile's height above z = 0 [px] around each pixel: over the next neighbours, and over many."""
    step = max(1, int(radius / 6))  # coarse pixels suffice for a mean over many
    coarse = (-(-shape[0] // step), -(-shape[1] // step))
    height = np.full(coarse, -float((centres[:, 0] + radii).max(initial=0.0)), np.float32)
    for (z, y, x), r in zip(centres.tolist(), radii.tolist(), strict=True):
        w = window(coarse, ((y + 0.5) / step - 0.5, (x + 0.5) / step - 0.5), r / step)
        if w is not None:
            up2 = r * r - (w.y * w.y + w.x * w.x) * step**2
            np.maximum(height[w.at], np.where(up2 > 0, np.sqrt(np.abs(up2)) - z, -np.inf), out=height[w.at])
    whole = (coarse[0] * step, coarse[1] * step)
    near, wide = (resample(blur(height, reach * radius / step), whole) for reach in (0.7, 2.5))
    return near[: shape[0], : shape[1]], wide[: shape[0], : shape[1]]
