"""From a map of where columns are to the columns themselves: a Hough transform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.data import AtomColumns
from semrt.errors import InvalidOption, InvalidShape, InvalidValue
from semrt.kernels import find_circles
from semrt.tasks.column_input import STANDARD_SPACING, resampled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semrt.data import Micrograph
    from semrt.tasks.column_input import ColumnInput

__all__ = ["check_image", "found_columns"]

LEAST_SIDE = 16
"""px; in a smaller image there is nothing to compare a column with."""
DISK = 0.32
"""Radius of the disks in a map, in distances to the nearest column."""
RADII = (0.5, 1.5)
"""Least and largest radius looked for, in that of the standard spacing: the estimate of the spacing may be wrong."""
NEAREST = 0.4
"""Least distance of two columns, in estimated spacings, unless the user says another."""
FEW = 10
"""Fewer columns than these are no crystal, and worth a note."""
CLIPPED = 16
"""So many pixels at the largest value, and three times those at the next one, tell the end of the detector's range."""


def found_columns(
    probability: NDArray[np.float32],
    clean: NDArray[np.float32],
    seen: ColumnInput,
    measured: Micrograph,
    *,
    min_distance: float | None,
    threshold: float,
    n_threads: int | None,
) -> AtomColumns:
    """Find the disks in a map.

    probability: (h, w) of the planes in `seen`, 0 to 1.  clean: (h, w), the columns alone in the planes' spreads.
    Options as those of Columns.finish.  Raises InvalidOption.
    """
    if min_distance is not None and not (np.isfinite(min_distance) and min_distance >= 1):
        raise InvalidOption(f"min_distance: expected 1 px or more, got {min_distance}")
    nearest = NEAREST * seen.spacing if min_distance is None else min_distance
    disks = find_circles(
        probability,
        (RADII[0] * DISK * STANDARD_SPACING, RADII[1] * DISK * STANDARD_SPACING),
        min_distance=max(1.0, nearest * float(np.sqrt(seen.scale[0] * seen.scale[1]))),
        threshold=threshold,
        n_threads=n_threads,
    )
    y, x = seen.to_image(disks.y, disks.x)
    denoised = resampled(clean * np.float32(seen.spread), measured.shape)
    unknown = np.full(len(y), np.nan)
    return AtomColumns(
        y,
        x,
        sigma_y=unknown,
        sigma_x=unknown,
        intensity=_at(denoised, y, x),
        background=unknown,
        score=disks.score,
        shape=measured.shape,
        pixel_size=measured.pixel_size,
        column_map=np.clip(resampled(probability, measured.shape), 0, 1),
        denoised=denoised,
        notes=_notes(measured.intensity, len(y)),
        metadata=measured.metadata,
        provenance={"estimated_spacing_px": seen.spacing, "confidence": seen.confidence, "scale": seen.scale},
    )


def check_image(measured: Micrograph) -> None:
    """Raise InvalidShape, InvalidValue for what is no image to find columns in."""
    if min(measured.shape) < LEAST_SIDE:
        raise InvalidShape("image", f"at least ({LEAST_SIDE}, {LEAST_SIDE})", measured.shape)
    if not np.isfinite(measured.intensity).all():
        raise InvalidValue("intensity", "finite values", "NaN or infinite ones", "fill gaps with: semrt infer infill")


def _notes(intensity: NDArray[np.float32], found: int) -> tuple[str, ...]:
    """What the reader must know of the image, and of how many columns it has."""
    low, high = float(intensity.min()), float(intensity.max())
    if low == high:
        return (f"no columns found: the image is flat, {low:g} everywhere",)
    notes = []
    if found < FEW:
        few = "no columns found" if found == 0 else f"few columns found ({found})"
        notes.append(f"{few}; does the image resolve atoms?")
    clipped = np.count_nonzero(intensity == high)
    below = intensity[intensity < high].max()
    if clipped >= CLIPPED and clipped > 3 * np.count_nonzero(intensity == below):
        notes.append(f"{clipped} pixels are clipped at {high:g}, which biases the positions of columns there")
    return tuple(notes)


def _at(plane: NDArray[Any], y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolate linearly between pixels; (n,)."""
    ny, nx = plane.shape
    y, x = np.clip(y, 0, ny - 1), np.clip(x, 0, nx - 1)
    y0, x0 = np.minimum(y.astype(np.intp), ny - 2), np.minimum(x.astype(np.intp), nx - 2)
    fy, fx = y - y0, x - x0
    upper = plane[y0, x0] * (1 - fx) + plane[y0, x0 + 1] * fx
    lower = plane[y0 + 1, x0] * (1 - fx) + plane[y0 + 1, x0 + 1] * fx
    return np.asarray(upper * (1 - fy) + lower * fy, np.float64)
