"""How a specimen is tilted under a parallel beam, and what is projected of it.

A volume is (z, y, x), the tilt axis is y, and the beam at 0° runs along z. At tilt θ what lies at (z, x) falls on the
detector at s = x cos θ + z sin θ; z, x and s are measured from the middle (n - 1) / 2. A tilt series is (tilt, y, s).
A projection is density × path length [px], averaged over each detector pixel; each y is a problem of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from semrt.errors import InvalidOption, InvalidShape, InvalidValue
from semrt.kernels.tilt import back_project_tilts, project_tilts

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["TiltGeometry"]


@dataclass(frozen=True, eq=False, slots=True)
class TiltGeometry:
    """At which tilts a slice of which shape is projected onto how many pixels.

    angles: (n,) float64 [degrees], in any order.  shape: (nz, nx) of a slice [px].
    n_detector: pixels of the detector along s; None for nx.
    axis_offset: where the tilt axis falls on the detector, from its middle [px].

    Raises InvalidShape, InvalidValue, InvalidOption.
    """

    angles: NDArray[np.float64]
    shape: tuple[int, int]
    n_detector: int | None = None
    axis_offset: float = 0.0

    def __post_init__(self) -> None:
        angles = np.array(self.angles, np.float64)
        if angles.ndim != 1 or not len(angles):
            raise InvalidShape("angles", "(n,) with at least one", angles.shape)
        if not np.isfinite(angles).all():
            raise InvalidValue("angles", "finite values [degrees]", "NaN or infinite ones")
        angles.flags.writeable = False
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 2 or min(shape) < 1:
            raise InvalidOption(f"shape: expected (nz, nx) with at least one pixel, got {self.shape}")
        n_detector = shape[1] if self.n_detector is None else int(self.n_detector)
        if n_detector < 1:
            raise InvalidOption(f"n_detector: expected one pixel or more, got {self.n_detector}")
        if not math.isfinite(self.axis_offset):
            raise InvalidOption(f"axis_offset: expected a finite number of pixels, got {self.axis_offset}")
        object.__setattr__(self, "angles", angles)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "n_detector", n_detector)
        object.__setattr__(self, "axis_offset", float(self.axis_offset))

    @property
    def tilt_range(self) -> tuple[float, float]:
        """The lowest and the highest tilt [degrees]."""
        return float(self.angles.min()), float(self.angles.max())

    def project(self, volume: ArrayLike, *, n_threads: int | None = None) -> NDArray[np.float32]:
        """Project a volume (nz, ny, nx) to a tilt series (n, ny, n_detector), float32.

        Raises InvalidShape, InvalidValue.
        """
        if np.ndim(volume) != 3 or (np.shape(volume)[0], np.shape(volume)[2]) != self.shape:
            nz, nx = self.shape
            raise InvalidShape("volume", f"({nz}, ny, {nx}), as the geometry has", np.shape(volume))
        return project_tilts(volume, self.angles, self.n_detector, axis_offset=self.axis_offset, n_threads=n_threads)

    def back_project(self, series: ArrayLike, *, n_threads: int | None = None) -> NDArray[np.float32]:
        """Apply the adjoint of `project`: from a tilt series (n, ny, n_detector) to (nz, ny, nx), float32.

        Raises InvalidShape, InvalidValue.
        """
        self.check(series)
        return back_project_tilts(series, self.angles, self.shape, axis_offset=self.axis_offset, n_threads=n_threads)

    def check(self, series: ArrayLike) -> None:
        """Raise InvalidShape where a tilt series is not one of this geometry."""
        shape = np.shape(series)
        if len(shape) != 3 or (shape[0], shape[2]) != (len(self.angles), self.n_detector):
            wanted = f"({len(self.angles)}, ny, {self.n_detector}), as the geometry has"
            raise InvalidShape("series", wanted, shape)
