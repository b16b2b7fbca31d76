"""Volumes that say what is where: in each voxel the number of a material."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.data._checks import checked_pixel_size, checked_slice_thickness
from semrt.errors import InvalidShape, InvalidValue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from semrt.data._checks import PixelSize

__all__ = ["LabelVolume"]


@dataclass(frozen=True, eq=False, slots=True)
class LabelVolume:
    """A volume in each voxel of which one of a few materials is, or nothing.

    labels: (nz, ny, nx) uint8, from the bottom up; 0 nothing, k the material names[k - 1].
    pixel_size: (dy, dx) [nm] of every slice.  slice_thickness: height of a voxel [nm].  Both None when nobody said.
    metadata: what the file said of the acquisition.  provenance: how the volume was inferred.

    Raises InvalidShape, InvalidValue.
    """

    labels: NDArray[np.uint8]
    names: tuple[str, ...]
    pixel_size: PixelSize | None = None
    slice_thickness: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given = np.asarray(self.labels)
        if given.ndim != 3 or 0 in given.shape:
            raise InvalidShape("labels", "(nz, ny, nx) with at least one voxel", given.shape)
        if given.dtype != np.uint8 or int(given.max()) > len(self.names):
            got = f"{given.dtype} up to {given.max()}"
            raise InvalidValue("labels", f"uint8 up to {len(self.names)}, one for each name", got)
        object.__setattr__(self, "labels", np.ascontiguousarray(given))
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "pixel_size", checked_pixel_size(self.pixel_size))
        object.__setattr__(self, "slice_thickness", checked_slice_thickness(self.slice_thickness))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(nz, ny, nx)."""
        nz, ny, nx = self.labels.shape
        return nz, ny, nx
