"""Atomic columns that were found in a micrograph."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.data._checks import checked_pixel_size
from semrt.data.nearest import nearest_distances
from semrt.errors import InvalidShape, InvalidValue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from semrt.data._checks import PixelSize

__all__ = ["AtomColumns"]

_POSITIONS = ("y", "x")
_DEVIATIONS = ("sigma_y", "sigma_x")
_VALUES = ("intensity", "background", "score")


@dataclass(frozen=True, eq=False, slots=True)
class AtomColumns:
    """Atomic columns that were found in a micrograph, and how well their positions are known.

    y, x: (n,) float64 [px], (0, 0) the centre of the top-left pixel.
    sigma_y, sigma_x: (n,) float64 [px], one standard deviation of the position; NaN where nobody fitted.
    intensity: (n,) float64, height of the column's peak above the background, in the units of the micrograph.
    background: (n,) float64, what lies under the peak; NaN where nobody fitted.
    score: (n,) float64, how sure a column is to be one, about 0 to 1; the better the higher.
    shape: (ny, nx) of the micrograph [px].
    pixel_size: (dy, dx) [nm] or None.
    column_map: (ny, nx) float32, the probability that a pixel lies on a column; None where no network told it.
    denoised: (ny, nx) float32, the columns without noise and background, in the units of the micrograph; or None.
    notes: what the reader of the result must know, each in a line.
    metadata: what the file said of the acquisition.  provenance: how the columns were found.

    Raises InvalidShape, InvalidValue.
    """

    y: NDArray[np.float64]
    x: NDArray[np.float64]
    sigma_y: NDArray[np.float64]
    sigma_x: NDArray[np.float64]
    intensity: NDArray[np.float64]
    background: NDArray[np.float64]
    score: NDArray[np.float64]
    shape: tuple[int, int]
    pixel_size: PixelSize | None = None
    column_map: NDArray[np.float32] | None = None
    denoised: NDArray[np.float32] | None = None
    notes: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = np.asarray(self.y).size
        for name in (*_POSITIONS, *_DEVIATIONS, *_VALUES):
            values = np.ascontiguousarray(getattr(self, name), np.float64)
            if values.shape != (n,):
                raise InvalidShape(name, f"({n},), as y has", values.shape)
            object.__setattr__(self, name, values)
        for name in (*_POSITIONS, "intensity", "score"):
            if not np.isfinite(getattr(self, name)).all():
                raise InvalidValue(name, "finite values", "NaN or infinite ones", "leave those columns out")
        for name in _DEVIATIONS:
            if (getattr(self, name) < 0).any():  # NaN is not
                raise InvalidValue(name, "zero or more [px]", "negative ones")
        shape = tuple(int(length) for length in self.shape)
        if len(shape) != 2 or min(shape) < 1:
            raise InvalidShape("shape", "(ny, nx) with at least one pixel", shape)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "pixel_size", checked_pixel_size(self.pixel_size))
        object.__setattr__(self, "notes", tuple(self.notes))
        for name in ("column_map", "denoised"):
            if (image := getattr(self, name)) is not None:
                if np.shape(image) != shape:
                    raise InvalidShape(name, f"{shape}, as the micrograph has", np.shape(image))
                object.__setattr__(self, name, np.ascontiguousarray(image, np.float32))

    def __len__(self) -> int:
        return len(self.y)

    @property
    def positions(self) -> NDArray[np.float64]:
        """(n, 2) as (y, x) [px]."""
        return np.stack([self.y, self.x], axis=1)

    @property
    def sigma(self) -> NDArray[np.float64]:
        """(n,), standard deviation of the position along either axis, as a root mean square of the two [px]."""
        return np.asarray(np.sqrt((self.sigma_y**2 + self.sigma_x**2) / 2))

    def nearest_distances(self, unit: str = "px") -> NDArray[np.float64]:
        """(n,), from each column to its nearest neighbour; infinite for a single one.

        unit: "px", or "nm", which needs a pixel size.  Raises InvalidValue.
        """
        if unit not in ("px", "nm"):
            raise InvalidValue("unit", "px or nm", unit)
        if unit == "px":
            return nearest_distances(self.y, self.x)
        if self.pixel_size is None:
            raise InvalidValue("unit", "px, as the pixel size is unknown", unit)
        dy, dx = self.pixel_size
        return nearest_distances(dy * self.y, dx * self.x)

    @property
    def spacing(self) -> float | None:
        """Median distance from a column to its nearest neighbour [px]; None for fewer than two columns."""
        return float(np.median(nearest_distances(self.y, self.x))) if len(self) > 1 else None

    def table(self) -> dict[str, NDArray[Any]]:
        """One entry a column: index, y_px, x_px, their sigmas, intensity, background, score; y_nm, x_nm if calibrated.

        Nanometres count from the same (0, 0), the centre of the top-left pixel.
        """
        told: dict[str, NDArray[Any]] = {
            "index": np.arange(len(self)),
            "y_px": self.y,
            "x_px": self.x,
            "sigma_y_px": self.sigma_y,
            "sigma_x_px": self.sigma_x,
            "intensity": self.intensity,
            "background": self.background,
            "score": self.score,
        }
        if self.pixel_size is not None:
            dy, dx = self.pixel_size
            told |= {"y_nm": dy * self.y, "x_nm": dx * self.x}
        return told
