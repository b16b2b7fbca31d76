"""Balls packed at random without touching one another's insides, by relaxing an overlapping crowd of them.

Balls start at random places, push one another apart where they overlap, and come to rest as a random dense packing:
O'Hern et al. 2003, doi:10.1103/PhysRevE.68.011306; the minimiser is FIRE, Bitzek et al. 2006,
doi:10.1103/PhysRevLett.97.170201. Lengths in px, order (z, y, x).
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np
from numpy.typing import NDArray

from semrt.errors import InvalidOption

__all__ = ["DENSEST", "WIDEST", "check", "packed"]

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

DENSEST = 0.6  # random packings jam at 0.64; the last percents would take most of the time
WIDEST = 2.5  # standard deviations at which the sizes are cut off
SOFT = 1.012  # balls relax with radii this much larger, so that at rest the real ones stand clear
SKIN = 0.25  # pairs this fraction of the largest radius apart are watched too, so that the list lasts
STEPS = 2000  # at most; some 60 are needed at 0.5, some 400 at 0.6


def check(radius: float, spread: float, packing: float) -> None:
    """Raise InvalidOption where balls cannot have this mean radius, spread or share of the volume."""
    if not (math.isfinite(radius) and radius >= 1):
        raise InvalidOption(f"radius: expected 1 px or more, got {radius}")
    if not 0 <= spread <= 0.3:
        raise InvalidOption(f"spread: expected 0 to 0.3 of the radius, got {spread}")
    if not 0 < packing <= DENSEST:
        raise InvalidOption(f"packing: expected above 0 and at most {DENSEST} of the volume, got {packing}")


def packed(
    rng: np.random.Generator, extent: tuple[float, float, float], radius: float, spread: float, packing: float
) -> tuple[Floats, Floats]:
    """Fill a field with balls: centres (n, 3) and radii (n,), of all that reach into it.

    extent: of the field, from 0 to extent along each axis [px].  radius: mean [px].
    spread: standard deviation of the radii relative to it; none lies beyond 2.5 of them.
    packing: share of the volume that the balls fill, over many fields.
    Cost: some 0.2 s for a thousand balls at 0.55, in proportion to their number.
    Raises InvalidOption.
    """
    check(radius, spread, packing)
    largest = radius * (1 + WIDEST * spread)
    reach = 2 * SOFT * largest + SKIN * largest
    # Periodic, and wider than the field by a ball on each side, so that no ball is seen twice.
    box = np.maximum(np.array(extent) + 2 * largest, 3 * reach)
    volume = 4 / 3 * math.pi * radius**3 * (1 + 3 * spread**2)  # the mean of (1 + s)³
    n = max(1, round(packing * float(box.prod()) / volume))
    radii = radius * (1 + spread * _normal(rng, n))
    centres = _relaxed(rng.random((n, 3)) * box, radii, box, reach) - largest
    inside = (centres > -radii[:, None]) & (centres < np.array(extent) + radii[:, None])
    kept = inside.all(axis=1)
    return centres[kept], radii[kept]


def _normal(rng: np.random.Generator, n: int) -> Floats:
    """Normal numbers, those beyond WIDEST drawn again."""
    values = rng.standard_normal(n)
    while (far := np.abs(values) > WIDEST).any():
        values[far] = rng.standard_normal(int(far.sum()))
    return values


def _relaxed(centres: Floats, radii: Floats, box: Floats, reach: float) -> Floats:
    """Move balls in a periodic box until none overlaps another."""
    n = len(radii)
    velocity = np.zeros_like(centres)
    step, mixing, downhill = 0.2, 0.1, 0
    allowed = (0.5 * SKIN / (2 * SOFT + SKIN) * reach) ** 2  # two balls may each come half of the skin nearer
    listed = np.full_like(centres, np.inf)
    i = j = np.empty(0, np.intp)
    worst = 1.0
    for _ in range(STEPS):
        if not ((centres - listed) ** 2).sum(axis=1).max() < allowed:
            i, j = _pairs(centres, radii, box, reach)
            listed = centres
        apart, distance = _between(centres, i, j, box)
        touch = radii[i] + radii[j]
        worst = float((touch / distance).max(initial=0.0))
        if worst <= 1:
            return centres % box
        push = SOFT * touch - distance
        hit = push > 0
        push, apart, first, second = push[hit] / distance[hit], apart[hit], i[hit], j[hit]
        force = np.empty_like(centres)
        for axis in range(3):
            along = push * apart[:, axis]
            force[:, axis] = np.bincount(first, along, n) - np.bincount(second, along, n)
        if float((force * velocity).sum()) > 0:
            downhill += 1
            speed = math.sqrt(float((velocity**2).sum() / (force**2).sum()))
            velocity += mixing * (force * speed - velocity)
            if downhill > 5:
                step, mixing = min(1.1 * step, 0.7), 0.99 * mixing
        else:
            velocity[:] = 0
            step, mixing, downhill = max(0.5 * step, 0.05), 0.1, 0
        velocity += step * force
        centres = centres + step * velocity
    return (centres % box) * worst  # a jam: the last overlaps go by moving everything apart a little


def _between(centres: Floats, i: Indices, j: Indices, box: Floats) -> tuple[Floats, Floats]:
    """Vectors from balls j to balls i, the short way round the box, (n, 3), and their lengths, (n,)."""
    apart = centres[i] - centres[j]
    apart -= box * np.rint(apart / box)
    return apart, np.maximum(np.sqrt(np.einsum("ij,ij->i", apart, apart)), 1e-9)


def _pairs(centres: Floats, radii: Floats, box: Floats, reach: float) -> tuple[Indices, Indices]:
    """List every pair (i, j) of balls that nearly touch, once, in a periodic box of at least 3 × reach; by cells."""
    clear = SKIN / (2 * SOFT + SKIN) * reach
    grid = (box / reach).astype(np.intp)
    cell = np.minimum((centres % box / box * grid).astype(np.intp), grid - 1)
    number = np.ravel_multi_index(tuple(cell.T), tuple(grid))
    order = np.argsort(number, kind="stable")
    count = np.bincount(number, minlength=int(grid.prod()))
    start = np.cumsum(count) - count
    firsts, seconds = [], []
    for offset in product((-1, 0, 1), repeat=3):
        if offset < (0, 0, 0):  # the other half finds the same pairs from the other ball
            continue
        beside = np.ravel_multi_index(tuple(((cell + offset) % grid).T), tuple(grid))
        found = count[beside]
        i = np.repeat(np.arange(len(cell)), found)
        within = np.arange(len(i)) - np.repeat(np.cumsum(found) - found, found)
        j = order[start[beside][i] + within]
        near = _between(centres, i, j, box)[1] < SOFT * (radii[i] + radii[j]) + clear
        if offset == (0, 0, 0):
            near &= i < j
        firsts.append(i[near])
        seconds.append(j[near])
    return np.concatenate(firsts), np.concatenate(seconds)
