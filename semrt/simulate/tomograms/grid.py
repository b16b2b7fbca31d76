"""Where a phantom is sampled, what is seen of it about a point, and smooth random fields in space.

Order is (z, y, x): the tilt axis is y, the beam at 0° runs along z. Positions are in px of the reconstruction, from its
centre (n - 1) / 2. Arrays lie in memory slice by slice along y, since slices across the tilt axis are projected alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from semrt.errors import InvalidOption, InvalidShape

__all__ = ["Grid", "Point", "Shape", "Space", "Window", "pack", "paint", "ripples", "rotation", "waves", "window"]

Shape = tuple[int, int, int]
Point = tuple[float, float, float]
Space = NDArray[np.floating[Any]]  # float32; NumPy types float32 times a Python float as any floating


@dataclass(frozen=True, slots=True)
class Grid:
    """The samples of a phantom.

    shape: (nz, ny, nx) of the reconstruction.  supersampling: samples to a px along z and x; along y there is one, at
    the middle of each slice.  margin: how far sampling goes on beyond the field along x [px], to both sides.
    Raises InvalidShape, InvalidOption.
    """

    shape: Shape
    supersampling: int = 1
    margin: int = 0

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise InvalidShape("shape", "(nz, ny, nx) with at least one voxel", tuple(self.shape))
        if self.supersampling < 1:
            raise InvalidOption(f"supersampling: expected 1 or more, got {self.supersampling}")
        if self.margin < 0:
            raise InvalidOption(f"margin: expected zero or more, got {self.margin}")

    @property
    def size(self) -> int:
        """The diameter of the circle in which objects lie, where the field is square [px]."""
        return min(self.shape[0], self.shape[2])

    def crowd(self, radius: float) -> float:
        """How many times as many objects of this radius [px] lie along all slices as are cut by one."""
        return (self.shape[1] + 1.2 * radius) / (1 + 1.2 * radius)

    @property
    def edge(self) -> float:
        """How wide the edge of a solid is drawn [px]: one sample."""
        return 1 / self.supersampling

    @property
    def z(self) -> Space:
        """Positions of the samples [px], (mz, 1, 1)."""
        return self._along(self.shape[0], 0)[:, None, None]

    @property
    def y(self) -> Space:
        """Positions of the slices [px], (1, ny, 1)."""
        ny = self.shape[1]
        return (np.arange(ny, dtype=np.float32) - (ny - 1) / 2)[:, None]

    @property
    def x(self) -> Space:
        """Positions of the samples [px], (mx,)."""
        return self._along(self.shape[2], self.margin)

    def vacuum(self) -> Space:
        """Nothing yet: zeros, (mz, ny, mx) float32."""
        nz, ny, nx = self.shape
        s = self.supersampling
        return np.zeros((ny, nz * s, (nx + 2 * self.margin) * s), np.float32).transpose(1, 0, 2)

    def pooled(self, density: Space) -> NDArray[np.float32]:
        """Average samples over the voxels of the reconstruction, and leave out the margin: (nz, ny, nx) float32."""
        (nz, ny, nx), s, m = self.shape, self.supersampling, self.margin
        voxels = density.reshape(nz, s, ny, nx + 2 * m, s).mean((1, 4), dtype=np.float32)
        return np.ascontiguousarray(voxels[:, :, m : m + nx], np.float32)

    def _along(self, n: int, margin: int) -> Space:
        s = self.supersampling
        return ((np.arange((n + 2 * margin) * s) + 0.5) / s - n / 2 - margin).astype(np.float32)


class Window(NamedTuple):
    """The part of a phantom about a point: its slices, and (z, y, x) [px] from that point, which broadcast."""

    at: tuple[slice, slice, slice]
    z: Space
    y: Space
    x: Space

    def turned(self, turn: Space) -> Window:
        """Turn the coordinates by a rotation (3, 3)."""
        axes = [float(r[0]) * self.z + float(r[1]) * self.y + float(r[2]) * self.x for r in turn]
        return Window(self.at, *axes)

    def moved(self, z: float, y: float, x: float) -> Window:
        """Take the coordinates from another point [px]."""
        return Window(self.at, self.z - z, self.y - y, self.x - x)


def window(grid: Grid, centre: Point, reach: float) -> Window | None:
    """Cut out what is sampled within `reach` [px] of the centre; None if nothing."""
    at, axes = [], []
    for samples, middle in zip((grid.z, grid.y, grid.x), centre, strict=True):
        line = samples.ravel()
        first, last = np.searchsorted(line, (middle - reach, middle + reach)).tolist()
        if first == last:
            return None
        at.append(slice(first, last))
        axes.append(line[first:last] - np.float32(middle))
    return Window((at[0], at[1], at[2]), axes[0][:, None, None], axes[1][:, None], axes[2])


def paint(density: Space, at: tuple[slice, ...], distance: Space, level: float | Space, edge: float) -> None:
    """Put a solid of this density over what is there; distance: to its surface [px], negative inside."""
    under = density[at]
    cover = np.clip(0.5 - distance / edge, 0, 1)
    under += cover * (level - under)


def rotation(rng: np.random.Generator) -> Space:
    """Draw a rotation (3, 3), every orientation as likely (from a unit quaternion)."""
    a, b, c, d = (q := rng.standard_normal(4)) / np.sqrt((q * q).sum())
    turn = [
        [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
        [2 * (b * c + a * d), a * a - b * b + c * c - d * d, 2 * (c * d - a * b)],
        [2 * (b * d - a * c), 2 * (c * d + a * b), a * a - b * b - c * c + d * d],
    ]
    return np.array(turn, np.float32)


def waves(rng: np.random.Generator, grid: Grid, wavelength: float, *, spread: float = 0.2, number: int = 96) -> Space:
    """Draw a smooth random field as the sum of plane waves of any direction; zero mean, unit variance, (mz, ny, mx).

    wavelength: the shortest [px].  spread: of the wave numbers, relative, towards longer waves.
    Cahn 1965, doi:10.1063/1.1695731: thresholded, it is the structure of spinodal decomposition.
    """
    direction = rng.standard_normal((number, 3))
    direction /= np.sqrt((direction * direction).sum(1, keepdims=True))
    k = direction * (2 * math.pi / max(wavelength, 2 * grid.edge) * rng.uniform(1 - spread, 1, (number, 1)))
    kz, ky, kx = k.astype(np.float32).T
    phase = rng.uniform(0, 2 * math.pi, number).astype(np.float32)
    zs = grid.z.reshape(-1, 1) * kz
    xs = (grid.y * ky + phase)[:, :, None] + kx[:, None] * grid.x  # (ny, number, mx)
    left = np.concatenate([np.cos(zs), -np.sin(zs)], 1) * np.float32(math.sqrt(2 / number))
    field: Space = np.matmul(left, np.concatenate([np.cos(xs), np.sin(xs)], 1))
    return field.transpose(1, 0, 2)


def ripples(rng: np.random.Generator, grid: Grid, wavelength: float, number: int = 16) -> Space:
    """Draw a smooth random field over (y, x), the same at every z; zero mean, unit variance, (1, ny, mx)."""
    angle, phase = rng.uniform(0, 2 * math.pi, (2, number)).astype(np.float32)
    k = np.float32(2 * math.pi / max(wavelength, 2 * grid.edge)) * rng.uniform(0.3, 1, number).astype(np.float32)
    lines = (grid.y * (k * np.sin(angle)) + phase)[:, :, None] + (k * np.cos(angle))[:, None] * grid.x
    return np.asarray(np.cos(lines).sum(1)[None] * np.float32(math.sqrt(2 / number)))


def pack(
    rng: np.random.Generator, grid: Grid, radii: NDArray[np.float64], *, overlap: float = 0.0, tries: int = 12
) -> list[tuple[Point, float]]:
    """Throw balls into the field one by one, each kept where it overlaps no earlier one by more than allowed.

    radii: (n,) [px].  overlap: the fraction of the smaller radius by which two balls may overlap.
    Balls lie in the circle that a reconstruction shows (an ellipse, where the field is no square), and along y wherever
    some slice cuts them well: (z, y, x) [px] and radius of each.
    """
    half_z, half_y, half_x = (n / 2 for n in grid.shape)
    kept = np.empty((len(radii), 4))
    n = 0
    for r in radii.tolist():
        distance, angle = np.sqrt(rng.random(tries)), rng.uniform(0, 2 * math.pi, tries)
        z = max(half_z - r, 0) * distance * np.sin(angle)
        y = rng.uniform(-half_y - 0.6 * r, half_y + 0.6 * r, tries)
        x = max(half_x - r, 0) * distance * np.cos(angle)
        at = np.stack([z, y, x], 1)
        others = kept[:n]
        apart = np.sqrt(((at[:, None] - others[:, :3]) ** 2).sum(2)) - others[:, 3] - r
        free = (apart > -overlap * np.minimum(others[:, 3], r)).all(axis=1)
        if free.any():
            kept[n] = *at[int(free.argmax())], r
            n += 1
    return [((z, y, x), r) for z, y, x, r in kept[:n].tolist()]
