"""The image of one column, and of many: a Gaussian with tails, drawn through the Fourier transform."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.errors import InvalidOption

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from semrt.simulate.fields import Plane, Shape

    Transform = NDArray[np.complexfloating[Any]]

__all__ = ["Canvas", "Probe"]

# The Lorentzian (1 + (r/g)²)^(-3/2) as Gaussians: (width in units of g, height). It is met within 0.003 of its peak out
# to 4 g, and cut off beyond, so that an image feels no column that lies far outside it.
LORENTZIAN = ((0.4370, 0.4093), (0.8165, 0.4786), (1.9003, 0.1121))

_SPLAT = 1.0  # sigma of what is put on the grid before it is blurred to the column's own width [px]
_REACH = 5  # half-width of a splat [px]; five sigma
_AT_ONCE = 16384  # columns put on the grid together


@dataclass(frozen=True, slots=True)
class Probe:
    """The image of a column, of peak height 1: a Gaussian and, blurred by it, a share of Lorentzian tails.

    sigma: of the Gaussian: probe, column and source together [px].
    tail: share of the peak's height that belongs to the tails, 0 to 1.  tail_width: of the Lorentzian, in sigmas.
    """

    sigma: float
    tail: float = 0.0
    tail_width: float = 1.2

    def __post_init__(self) -> None:
        if not self.sigma >= _SPLAT:
            raise InvalidOption(f"probe sigma: expected {_SPLAT:g} px or more, got {self.sigma:g}; use smaller pixels")
        if not (0 <= self.tail <= 1 and self.tail_width > 0):
            raise InvalidOption(f"tail: expected 0 to 1 and a width above zero, got {self.tail} and {self.tail_width}")

    @property
    def sigmas(self) -> NDArray[np.float64]:
        """Widths of the Gaussians that make up the image [px], (k,)."""
        wide = [math.hypot(1, self.tail_width * width) for width, _ in LORENTZIAN] if self.tail > 0 else []
        return self.sigma * np.array([1.0, *wide])

    @property
    def heights(self) -> NDArray[np.float64]:
        """Heights of those Gaussians, (k,); their sum is 1."""
        if self.tail == 0:
            return np.ones(1)
        # A Gaussian that is blurred keeps its volume.
        widths = self.tail_width * np.array([width for width, _ in LORENTZIAN])
        heights = np.array([height for _, height in LORENTZIAN]) * widths**2 / (1 + widths**2)
        return np.array([1 - self.tail, *(self.tail * heights / heights.sum())])

    @property
    def reach(self) -> float:
        """Distance beyond which a column shows no light worth counting [px]."""
        return float(max(5 * self.sigmas[0], 3.5 * self.sigmas[-1]))

    def profile(self, r: NDArray[np.float64]) -> NDArray[np.float64]:
        """Height at distances r [px], any shape."""
        squares = -0.5 * np.asarray(r, np.float64)[..., None] ** 2 / self.sigmas**2
        return np.asarray(np.exp(squares) @ self.heights)


class Canvas:
    """A field with a margin round it, in which images of columns are drawn.

    shape: (ny, nx) of the field.  margin: as far outside it as columns still matter [px].
    """

    def __init__(self, shape: Shape, probe: Probe) -> None:
        self.shape = shape
        self.probe = probe
        self.margin = math.ceil(probe.reach)
        self.size = (_fast_length(shape[0] + 2 * self.margin), _fast_length(shape[1] + 2 * self.margin))
        self.ky: Plane = (2 * math.pi * np.fft.fftfreq(self.size[0])).astype(np.float32)[:, None]
        self.kx: Plane = (2 * math.pi * np.fft.rfftfreq(self.size[1])).astype(np.float32)[None, :]

    def columns(self, y: NDArray[np.float64], x: NDArray[np.float64], peak: NDArray[np.float64]) -> Transform:
        """Draw columns at positions [px] with their heights, (n,): the image's transform, for `field`."""
        grid = np.zeros(self.size[0] * self.size[1])
        for at in range(0, len(y), _AT_ONCE):
            part = slice(at, at + _AT_ONCE)
            self._splat(grid, y[part], x[part], peak[part])
        transform = np.fft.rfft2(grid.reshape(self.size).astype(np.float32))
        return np.asarray(transform * self.transfer())

    def transfer(self) -> Plane:
        """What the image of one column of height 1 is in Fourier space, over that of a splat: (ly, lx)."""
        total: Plane = np.zeros(1, np.float32)
        for sigma, height in zip(self.probe.sigmas.tolist(), self.probe.heights.tolist(), strict=True):
            rest = -0.5 * (sigma * sigma - _SPLAT * _SPLAT)
            volume = height * 2 * math.pi * sigma * sigma
            total = total + volume * np.exp(rest * self.ky**2) * np.exp(rest * self.kx**2)
        return total

    def field(self, transform: Transform, shifts: Plane | None = None) -> Plane:
        """Turn a transform into the image of the field, (ny, nx) float32.

        shifts: (2, ny) as (y, x) [px], by which each row shows the specimen moved; those along y are interpolated.
        """
        (ny, nx), m = self.shape, self.margin
        rows: Transform = np.fft.ifft(transform, axis=0)
        if shifts is None:
            rows = rows[m : m + ny]
        else:
            rows = _between(rows, m + np.arange(ny) - shifts[0])
            rows = rows * np.exp(-1j * self.kx * shifts[1][:, None])
        return np.fft.irfft(rows, self.size[1], axis=1)[:, m : m + nx].astype(np.float32)

    def _splat(
        self, grid: NDArray[np.float64], y: NDArray[np.float64], x: NDArray[np.float64], peak: NDArray[np.float64]
    ) -> None:
        """Add narrow Gaussians of volume `peak` to the flat grid; columns out of reach are left out."""
        m = self.margin
        near = (y > -m) & (y < self.shape[0] + m - 1) & (x > -m) & (x < self.shape[1] + m - 1)
        y, x, peak = y[near] + m, x[near] + m, peak[near]
        iy, ix = np.rint(y).astype(np.intp), np.rint(x).astype(np.intp)
        offsets = np.arange(-_REACH, _REACH + 1)
        weights_y, weights_x = (_gaussian(offsets - (at - i)[:, None]) for at, i in ((y, iy), (x, ix)))
        rows = (iy[:, None] + offsets) % self.size[0]
        columns = (ix[:, None] + offsets) % self.size[1]
        index = rows[:, :, None] * self.size[1] + columns[:, None, :]
        values = (peak[:, None] * weights_y)[:, :, None] * weights_x[:, None, :]
        grid += np.bincount(index.ravel(), values.ravel(), len(grid))


def _gaussian(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(-0.5 * (distance / _SPLAT) ** 2) / (math.sqrt(2 * math.pi) * _SPLAT)


def _between(rows: Transform, at: NDArray[np.float64]) -> Transform:
    """Rows at places between them, by cubic interpolation; (n,) places well inside."""
    first = np.floor(at).astype(np.intp)
    t = (at - first).astype(np.float32)[:, None]
    weights = (
        -t * (t - 1) * (t - 2) / 6,
        (t + 1) * (t - 1) * (t - 2) / 2,
        -(t + 1) * t * (t - 2) / 2,
        (t + 1) * t * (t - 1) / 6,
    )
    # A shift may reach beyond the margin of a tiny field: the canvas is periodic.
    total = sum(weight * rows[(first + k - 1) % len(rows)] for k, weight in enumerate(weights))
    return np.asarray(total)


def _fast_length(n: int) -> int:
    """Find the next even length whose only prime factors are 2, 3 and 5."""
    return min(_lengths(n + n % 2))


def _lengths(n: int) -> Iterator[int]:
    for threes in (1, 3, 9, 27):
        for fives in (1, 5, 25, 125):
            length = 2 * threes * fives
            while length < n:
                length *= 2
            yield length
