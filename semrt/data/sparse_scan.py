"""An image of which only some pixels were measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.data._checks import checked_pixel_size, finite_where_visited, like, plane, zero_where_unvisited
from semrt.errors import EmptyScan, InvalidValue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    from semrt.data._checks import PixelSize
    from semrt.data.micrograph import Micrograph

__all__ = ["SparseScan"]


@dataclass(frozen=True, eq=False, slots=True)
class SparseScan:
    """A micrograph of which only some pixels were visited by the probe.

    intensity: (ny, nx) float32, in the units of the detector; zero where unvisited.
    visited: (ny, nx) bool.
    pixel_size: (dy, dx) [nm] or None.
    exposure: (ny, nx) float32 or None; relative beam exposure of each pixel. Where it is given, intensity is the signal
        accumulated under it, so that intensity / exposure estimates what a fully exposed pixel would show.
    dwell_time: (ny, nx) float32 or None; how long the probe stayed [µs]. Where it is given, the variance of intensity,
        which is a mean over that time, goes with its inverse.
    metadata: what the file said of the acquisition.

    Raises InvalidShape, InvalidValue (NaN or infinite where visited), EmptyScan.
    """

    intensity: NDArray[np.float32]
    visited: NDArray[np.bool_]
    pixel_size: PixelSize | None = None
    exposure: NDArray[np.float32] | None = None
    dwell_time: NDArray[np.float32] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        intensity = plane("intensity", self.intensity)
        visited = like("visited", self.visited, intensity.shape, np.bool_)
        if not visited.any():
            raise EmptyScan
        finite_where_visited(intensity, visited)
        object.__setattr__(self, "intensity", zero_where_unvisited(intensity, visited))
        object.__setattr__(self, "visited", visited)
        object.__setattr__(self, "pixel_size", checked_pixel_size(self.pixel_size))
        for name in ("exposure", "dwell_time"):
            if (given := getattr(self, name)) is not None:
                checked = like(name, given, intensity.shape, np.float32)
                if not (np.isfinite(checked).all() and (checked[visited] > 0).all()):
                    raise InvalidValue(name, "finite values, above zero where visited", "others")
                object.__setattr__(self, name, checked)

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        ny, nx = self.intensity.shape
        return ny, nx

    @property
    def coverage(self) -> float:
        """Fraction of the pixels that were visited."""
        return float(np.count_nonzero(self.visited)) / self.visited.size

    @classmethod
    def from_positions(
        cls,
        positions: ArrayLike,
        intensities: ArrayLike,
        shape: tuple[int, int],
        *,
        dwell_time: ArrayLike | None = None,
        pixel_size: PixelSize | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> SparseScan:
        """Grid the samples of a probe that went anywhere: the mean of each pixel's samples, weighted by dwell time.

        positions: (n, 2) as (y, x) [px], any float; those outside the field are left out.
        intensities: (n,).  dwell_time: (n,) [µs] or None for equal ones.
        Raises InvalidShape, InvalidValue, EmptyScan.
        """
        from semrt.kernels import rasterise

        gridded = rasterise(positions, shape, intensities=intensities, dwell_time=dwell_time)
        return cls(
            gridded.intensity,
            gridded.visited,
            pixel_size=pixel_size,
            dwell_time=None if dwell_time is None else gridded.dwell_time,
            metadata=metadata or {},
        )

    @classmethod
    def from_image(cls, micrograph: Micrograph, unvisited: float = float("nan")) -> SparseScan:
        """Take the pixels that hold `unvisited` (NaN, or a value such as 0) as those that the probe never visited."""
        intensity = micrograph.intensity
        visited = ~np.isnan(intensity) if np.isnan(unvisited) else intensity != np.float32(unvisited)
        return cls(intensity, visited, pixel_size=micrograph.pixel_size, metadata=micrograph.metadata)
