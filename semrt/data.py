"""What flows through semrt: arrays with their calibration, frozen.

Axis order is (z, y, x). Positions are in pixels, with (0, 0) at the centre of the top-left pixel. Lengths are in nm.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.errors import EmptyScan, InvalidShape, InvalidValue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

__all__ = ["Micrograph", "PixelSize", "SparseScan"]

PixelSize = tuple[float, float]


@dataclass(frozen=True, eq=False, slots=True)
class Micrograph:
    """An image of intensities, measured or inferred.

    intensity: (ny, nx) float32, in the units of the input (never rescaled).
    pixel_size: (dy, dx) [nm]; None when nobody said, never a guessed 1.0.
    error: (ny, nx) float32, one standard deviation of intensity where an inference estimated it.
    metadata: what the file said of the acquisition, kept from input to output.
    provenance: how the image was inferred; empty for a measured one.

    Raises InvalidShape, InvalidValue.
    """

    intensity: NDArray[np.float32]
    pixel_size: PixelSize | None = None
    error: NDArray[np.float32] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "intensity", _plane("intensity", self.intensity))
        object.__setattr__(self, "pixel_size", _checked_pixel_size(self.pixel_size))
        if self.error is not None:
            object.__setattr__(self, "error", _like("error", self.error, self.shape, np.float32))

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        ny, nx = self.intensity.shape
        return ny, nx


@dataclass(frozen=True, eq=False, slots=True)
class SparseScan:
    """A micrograph of which only some pixels were visited by the probe.

    intensity: (ny, nx) float32, in the units of the detector; zero where unvisited.
    visited: (ny, nx) bool.
    pixel_size: (dy, dx) [nm] or None.
    exposure: (ny, nx) float32 or None; relative beam exposure of each pixel. Where it is given, intensity is the signal
        accumulated under it, so that intensity / exposure estimates what a fully exposed pixel would show.
    metadata: what the file said of the acquisition.

    Raises InvalidShape, InvalidValue (NaN or infinite where visited), EmptyScan.
    """

    intensity: NDArray[np.float32]
    visited: NDArray[np.bool_]
    pixel_size: PixelSize | None = None
    exposure: NDArray[np.float32] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        intensity = _plane("intensity", self.intensity)
        visited = _like("visited", self.visited, intensity.shape, np.bool_)
        if not visited.any():
            raise EmptyScan
        if not np.isfinite(intensity[visited]).all():
            raise InvalidValue(
                "intensity", "finite values where visited", "NaN or infinite ones", "mark those pixels as unvisited"
            )
        object.__setattr__(self, "intensity", np.where(visited, intensity, np.float32(0)))
        object.__setattr__(self, "visited", visited)
        object.__setattr__(self, "pixel_size", _checked_pixel_size(self.pixel_size))
        if self.exposure is not None:
            exposure = _like("exposure", self.exposure, intensity.shape, np.float32)
            if not (np.isfinite(exposure).all() and (exposure[visited] > 0).all()):
                raise InvalidValue("exposure", "finite values, above zero where visited", "others")
            object.__setattr__(self, "exposure", exposure)

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
        return cls(gridded.intensity, gridded.visited, pixel_size=pixel_size, metadata=metadata or {})

    @classmethod
    def from_image(cls, micrograph: Micrograph, unvisited: float = float("nan")) -> SparseScan:
        """Take the pixels that hold `unvisited` (NaN, or a value such as 0) as those that the probe never visited."""
        intensity = micrograph.intensity
        visited = ~np.isnan(intensity) if np.isnan(unvisited) else intensity != np.float32(unvisited)
        return cls(intensity, visited, pixel_size=micrograph.pixel_size, metadata=micrograph.metadata)


def _plane(name: str, array: ArrayLike) -> NDArray[np.float32]:
    plane = np.asarray(array)
    if plane.ndim != 2 or 0 in plane.shape:
        hint = "choose one slice of the stack" if plane.ndim == 3 else ""
        raise InvalidShape(name, "(ny, nx) with at least one pixel", plane.shape, hint)
    if plane.dtype.kind not in "buif":
        raise InvalidValue(name, "real numbers", f"dtype {plane.dtype}")
    return np.ascontiguousarray(plane, np.float32)


def _like(name: str, array: ArrayLike, shape: tuple[int, ...], dtype: type[Any]) -> NDArray[Any]:
    given = np.asarray(array)
    if given.shape != shape:
        raise InvalidShape(name, f"{shape}, as intensity has", given.shape)
    return np.ascontiguousarray(given, dtype)


def _checked_pixel_size(pixel_size: PixelSize | float | None) -> PixelSize | None:
    if pixel_size is None:
        return None
    dy, dx = (float(step) for step in np.broadcast_to(np.asarray(pixel_size, float), (2,)))
    if not (np.isfinite([dy, dx]).all() and dy > 0 and dx > 0):
        raise InvalidValue("pixel_size", "(dy, dx) above zero [nm]", pixel_size, "use None when it is unknown")
    return dy, dx
