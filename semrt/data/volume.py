"""Stacks of slices: whole ones, and those of which only some pixels were measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.data._checks import (
    checked_pixel_size,
    checked_slice_thickness,
    finite_where_visited,
    like,
    stack,
    zero_where_unvisited,
)
from semrt.data.micrograph import Micrograph
from semrt.data.sparse_scan import SparseScan
from semrt.errors import EmptyScan, InvalidShape, InvalidValue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from semrt.data._checks import PixelSize

__all__ = ["SparseVolume", "Volume"]


@dataclass(frozen=True, eq=False, slots=True)
class Volume:
    """A stack of images of intensities, measured or inferred.

    intensity: (nz, ny, nx) float32, in the units of the input (never rescaled).
    pixel_size: (dy, dx) [nm] of every slice.  slice_thickness: from slice to slice [nm].  Both None when nobody said.
    error: (nz, ny, nx) float32, one standard deviation of intensity where an inference estimated it.
    metadata: what the file said of the acquisition, kept from input to output.
    provenance: how the stack was inferred; empty for a measured one.

    Raises InvalidShape, InvalidValue.
    """

    intensity: NDArray[np.float32]
    pixel_size: PixelSize | None = None
    slice_thickness: float | None = None
    error: NDArray[np.float32] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "intensity", stack("intensity", self.intensity))
        object.__setattr__(self, "pixel_size", checked_pixel_size(self.pixel_size))
        object.__setattr__(self, "slice_thickness", checked_slice_thickness(self.slice_thickness))
        if self.error is not None:
            object.__setattr__(self, "error", like("error", self.error, self.shape, np.float32))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(nz, ny, nx)."""
        nz, ny, nx = self.intensity.shape
        return nz, ny, nx

    @property
    def slices(self) -> tuple[Micrograph, ...]:
        """Each slice, from the first; views, not copies."""
        errors = [None] * len(self.intensity) if self.error is None else self.error
        return tuple(
            Micrograph(intensity, self.pixel_size, error, self.metadata, self.provenance)
            for intensity, error in zip(self.intensity, errors, strict=True)
        )

    @classmethod
    def from_slices(cls, slices: Sequence[Micrograph], slice_thickness: float | None = None) -> Volume:
        """Stack micrographs of one shape and pixel size; metadata and provenance are those of the first.

        The stack has an error map where every slice has one.  Raises InvalidShape, InvalidValue.
        """
        if not slices:
            raise InvalidShape("slices", "(nz, ny, nx) with at least one pixel", (0,))
        first = slices[0]
        for z, other in enumerate(slices):
            if other.shape != first.shape:
                raise InvalidShape(f"slice z={z}", f"{first.shape}, as the first has", other.shape)
            if other.pixel_size != first.pixel_size:
                raise InvalidValue(f"slice z={z}", f"pixel size {first.pixel_size} [nm]", other.pixel_size)
        errors = [micrograph.error for micrograph in slices if micrograph.error is not None]
        return cls(
            np.stack([micrograph.intensity for micrograph in slices]),
            first.pixel_size,
            slice_thickness,
            np.stack(errors) if len(errors) == len(slices) else None,
            first.metadata,
            first.provenance,
        )


@dataclass(frozen=True, eq=False, slots=True)
class SparseVolume:
    """A stack of slices, in each of which only some pixels were visited by the probe.

    intensity: (nz, ny, nx) float32, in the units of the detector; zero where unvisited.
    visited: (nz, ny, nx) bool; given as (ny, nx), it holds for every slice (and takes no more memory than one).
    pixel_size: (dy, dx) [nm] or None.  slice_thickness: from slice to slice [nm] or None.
    metadata: what the file said of the acquisition.

    Raises InvalidShape, InvalidValue (NaN or infinite where visited), EmptyScan, which name the slice.
    """

    intensity: NDArray[np.float32]
    visited: NDArray[np.bool_]
    pixel_size: PixelSize | None = None
    slice_thickness: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        intensity = stack("intensity", self.intensity)
        visited = _in_every_slice(np.asarray(self.visited), intensity.shape)
        for z, (measured, went) in enumerate(zip(intensity, visited, strict=True)):
            if not went.any():
                raise EmptyScan(f"slice z={z}")
            finite_where_visited(measured, went, f" of slice z={z}")
        object.__setattr__(self, "intensity", zero_where_unvisited(intensity, visited))
        object.__setattr__(self, "visited", visited)
        object.__setattr__(self, "pixel_size", checked_pixel_size(self.pixel_size))
        object.__setattr__(self, "slice_thickness", checked_slice_thickness(self.slice_thickness))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(nz, ny, nx)."""
        nz, ny, nx = self.intensity.shape
        return nz, ny, nx

    @property
    def coverage(self) -> float:
        """Fraction of the pixels that were visited, in all slices together."""
        return float(np.count_nonzero(self.visited)) / self.visited.size

    @property
    def coverage_of_slices(self) -> NDArray[np.float64]:
        """Fraction of the pixels that were visited in each slice, (nz,)."""
        return np.array([np.count_nonzero(went) / went.size for went in self.visited])

    @property
    def slices(self) -> tuple[SparseScan, ...]:
        """Each slice, from the first; views, not copies."""
        return tuple(
            SparseScan(intensity, visited, self.pixel_size, metadata=self.metadata)
            for intensity, visited in zip(self.intensity, self.visited, strict=True)
        )

    @classmethod
    def from_volume(cls, volume: Volume, unvisited: float = float("nan")) -> SparseVolume:
        """Take the pixels that hold `unvisited` (NaN, or a value such as 0) as those that the probe never visited."""
        intensity = volume.intensity
        visited = ~np.isnan(intensity) if np.isnan(unvisited) else intensity != np.float32(unvisited)
        return cls(intensity, visited, volume.pixel_size, volume.slice_thickness, volume.metadata)


def _in_every_slice(visited: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    if visited.shape == shape[1:]:
        return np.broadcast_to(np.ascontiguousarray(visited, np.bool_), shape)
    if visited.shape != shape:
        wanted = f"{shape}, as intensity has, or {shape[1:]} for every slice"
        raise InvalidShape("visited", wanted, visited.shape)
    return np.ascontiguousarray(visited, np.bool_)
