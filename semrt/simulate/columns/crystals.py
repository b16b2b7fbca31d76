"""Columns of a crystal in the field: grown from a lattice, then bent, dislocated, modulated and shaken."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from semrt.simulate.columns.thickness import waves

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semrt.simulate.columns.structures import Lattice
    from semrt.simulate.fields import Shape

__all__ = ["Columns", "bent", "dislocated", "grow", "modulated", "shaken"]


@dataclass(frozen=True, eq=False, slots=True)
class Columns:
    """Columns at positions y, x [px] with their brightness (1: the brightest kind at full thickness) and species."""

    y: NDArray[np.float64]
    x: NDArray[np.float64]
    brightness: NDArray[np.float64]
    species: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, which: NDArray[np.bool_]) -> Columns:
        return Columns(self.y[which], self.x[which], self.brightness[which], self.species[which])

    @classmethod
    def joined(cls, parts: list[Columns]) -> Columns:
        """All columns of several, in order."""
        return cls(
            np.concatenate([part.y for part in parts]),
            np.concatenate([part.x for part in parts]),
            np.concatenate([part.brightness for part in parts]),
            np.concatenate([part.species for part in parts]),
        )


def turn(angle: float) -> NDArray[np.float64]:
    """Matrix that turns rows (y, x) from y towards x by an angle [deg]: rows @ matrix."""
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return np.array([[c, s], [-s, c]])


def grow(
    lattice: Lattice,
    shape: Shape,
    scale: float,
    angle: float = 0.0,
    strain: tuple[float, float, float] = (0.0, 0.0, 0.0),
    *,
    origin: tuple[float, float] = (0.0, 0.0),
    margin: float = 0.0,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    """Fill a field with a lattice: y, x [px] and the number of each column's site, (n,) each.

    scale: px in an Å.  angle: from y towards x [deg].  strain: (yy, xx, xy), before the turn.
    origin: where a corner of the cell lies (y, x) [px].  margin: filled round the field [px].
    """
    yy, xx, xy = strain
    cell = scale * lattice.cell @ np.array([[1 + yy, xy], [xy, 1 + xx]]) @ turn(angle)
    low = np.array([-0.5 - margin, -0.5 - margin])
    high = np.array([shape[0] - 0.5 + margin, shape[1] - 0.5 + margin])
    corners = np.array([(y, x) for y in (low[0], high[0]) for x in (low[1], high[1])]) - origin
    numbers = corners @ np.linalg.inv(cell)
    first, last = np.floor(numbers.min(0)).astype(int) - 1, np.ceil(numbers.max(0)).astype(int) + 1
    n, m = np.meshgrid(np.arange(first[0], last[0] + 1), np.arange(first[1], last[1] + 1), indexing="ij")
    corner = np.stack([n.ravel(), m.ravel()], 1)
    at = (corner[:, None] + lattice.basis[None]).reshape(-1, 2) @ cell + origin
    site = np.tile(np.arange(len(lattice.sites)), len(corner))
    inside = ((at >= low) & (at < high)).all(1)
    return at[inside, 0], at[inside, 1], site[inside]


def bent(columns: Columns, rng: np.random.Generator, strain: float, wavelength: float) -> Columns:
    """Move columns by slow waves whose strain is at most about `strain`; wavelength: the shortest [px]."""
    amplitude = strain * wavelength / (2 * math.pi)
    move_y, move_x = (amplitude * waves(rng, columns.y, columns.x, wavelength, 3) for _ in range(2))
    return replace(columns, y=columns.y + move_y, x=columns.x + move_x)


def dislocated(columns: Columns, rng: np.random.Generator, cell: NDArray[np.float64], shape: Shape) -> Columns:
    """Put an edge dislocation somewhere in the field; cell: (2, 2), the lattice's vectors in rows [px]."""
    # Once round the core, the displacement grows by one vector of the lattice, so that the crystal closes.
    burgers = cell[int(rng.integers(2))]
    core = rng.uniform(0, 1, 2) * shape
    extra = math.atan2(burgers[0], -burgers[1])  # the extra half-plane lies across the Burgers vector
    turns = (np.arctan2(columns.y - core[0], columns.x - core[1]) - extra) / (2 * math.pi)
    turns = turns - np.round(turns)
    return replace(columns, y=columns.y + burgers[0] * turns, x=columns.x + burgers[1] * turns)


def modulated(columns: Columns, rng: np.random.Generator, cell: NDArray[np.float64], amplitude: float) -> Columns:
    """Move columns of neighbouring cells opposite ways, as octahedra that tilt do; amplitude in px."""
    halves = ((0.5, 0.0), (0.0, 0.5), (0.5, 0.5))[int(rng.integers(3))]
    phase = 2 * math.pi * (np.stack([columns.y, columns.x], 1) @ np.linalg.inv(cell) @ halves + rng.random())
    angle = rng.uniform(0, 2 * math.pi)
    wave = amplitude * np.sin(phase)
    return replace(columns, y=columns.y + math.cos(angle) * wave, x=columns.x + math.sin(angle) * wave)


def shaken(columns: Columns, rng: np.random.Generator, sigma: float) -> Columns:
    """Move each column by its own random displacement, of standard deviation sigma [px] along either axis."""
    move = sigma * rng.standard_normal((2, len(columns)))
    return replace(columns, y=columns.y + move[0], x=columns.x + move[1])
