"""A whole image: every pixel measured, or inferred."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.data._checks import checked_pixel_size, like, plane

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from semrt.data._checks import PixelSize

__all__ = ["Micrograph"]


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
        object.__setattr__(self, "intensity", plane("intensity", self.intensity))
        object.__setattr__(self, "pixel_size", checked_pixel_size(self.pixel_size))
        if self.error is not None:
            object.__setattr__(self, "error", like("error", self.error, self.shape, np.float32))

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        ny, nx = self.intensity.shape
        return ny, nx
