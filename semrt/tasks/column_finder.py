"""From a map of where columns are to the columns themselves: a Hough transform, then a joint fit to the counts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.data import AtomColumns
from semrt.errors import InvalidOption, InvalidShape, InvalidValue
from semrt.kernels import find_circles
from semrt.tasks.column_input import resampled
from semrt.tasks.column_places import PLACES, fitted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semrt.data import Micrograph
    from semrt.kernels import Circles
    from semrt.tasks.column_input import ColumnInput

__all__ = ["THRESHOLD", "check_image", "disk_radius", "found_columns", "found_disks"]

THRESHOLD = 0.3
"""Least score of a column in the map of a network, unless the user says another."""

LEAST_SIDE = 16
"""px; in a smaller image there is nothing to compare a column with."""
RADII = (0.7, 1.5)
"""Least and largest radius of the disks looked for, in what the map says of them."""
SMALLEST, LARGEST = 1.5, 9.0
"""px of the map; what the radius of its disks can be, where columns are half to twice as far apart as estimated."""
NEAREST = 1.25
"""Least distance of two columns, in radii of the disks, unless the user says another; it is 3 for most neighbours."""
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
    places: str,
    light_columns: bool,
    by_network: bool,
    n_threads: int | None,
) -> AtomColumns:
    """Find the disks in a map, and fit columns to the counts as they were recorded.

    probability: (h, w) of the planes in `seen`, 0 to 1.  clean: (h, w), the columns alone in the planes' spreads.
    by_network: a network made the map.
    Other options as those of Columns.finish.  Raises InvalidOption.
    """
    if min_distance is not None and not (np.isfinite(min_distance) and min_distance >= 1):
        raise InvalidOption(f"min_distance: expected 1 px or more, got {min_distance}")
    if places not in PLACES:
        raise InvalidOption.unknown("places", places, PLACES)
    scale = float(np.sqrt(seen.scale[0] * seen.scale[1]))
    radius = disk_radius(probability)
    nearest = NEAREST * radius / scale if min_distance is None else min_distance
    disks = found_disks(probability, radius, scale * nearest, threshold=threshold, n_threads=n_threads)
    y, x = seen.to_image(disks.y, disks.x)
    column_map = np.clip(resampled(probability, measured.shape), 0, 1)
    denoised = resampled(clean * np.float32(seen.spread), measured.shape)
    unknown = np.full(len(y), np.nan)
    found = AtomColumns(
        y,
        x,
        sigma_y=unknown,
        sigma_x=unknown,
        intensity=_at(denoised, y, x),
        background=unknown,
        score=disks.score,
        shape=measured.shape,
        pixel_size=measured.pixel_size,
        column_map=column_map,
        denoised=denoised,
        metadata=measured.metadata,
        provenance={
            "estimated_spacing_px": seen.spacing,
            "confidence": seen.confidence,
            "scale": seen.scale,
            "disk_radius": radius,
        },
    )
    if places != "map" and len(found):
        found = fitted(
            found,
            measured,
            scale=seen.scale,
            nearest=nearest,
            threshold=threshold,
            light_columns=light_columns,
            by_network=by_network,
            weigh=places == "best",
            n_threads=n_threads,
        )
    return replace(found, notes=_notes(measured.intensity, len(found), seen.confidence))


def found_disks(
    probability: NDArray[np.float32],
    radius: float | None = None,
    nearest: float | None = None,
    *,
    threshold: float = THRESHOLD,
    n_threads: int | None = None,
) -> Circles:
    """Find the disks in a map, in px of its own.

    probability: (h, w), 0 to 1.  radius: of its disks, found out when None.
    nearest: the least distance of two, NEAREST radii when None.
    """
    radius = disk_radius(probability) if radius is None else radius
    nearest = NEAREST * radius if nearest is None else nearest
    limits = RADII[0] * radius, RADII[1] * radius
    return find_circles(probability, limits, min_distance=max(1.0, nearest), threshold=threshold, n_threads=n_threads)


def disk_radius(probability: NDArray[np.float32]) -> float:
    """The radius of the disks in a map [px], which have the area and the border that all of them have together.

    It tells the spacing of the columns better than what was estimated from the image before the network saw it.
    """
    import cv2

    sharper = np.clip(2 * probability - 0.5, 0, 1)  # without haze and noise
    slope = np.hypot(cv2.Scharr(sharper, cv2.CV_32F, 0, 1), cv2.Scharr(sharper, cv2.CV_32F, 1, 0)) / 32
    area, border = float(sharper.sum(dtype=np.float64)), float(slope.sum(dtype=np.float64))
    return min(max(2 * area / max(border, 1e-9), SMALLEST), LARGEST)


def check_image(measured: Micrograph) -> None:
    """Raise InvalidShape, InvalidValue for what is no image to find columns in."""
    if min(measured.shape) < LEAST_SIDE:
        raise InvalidShape("image", f"at least ({LEAST_SIDE}, {LEAST_SIDE})", measured.shape)
    if not np.isfinite(measured.intensity).all():
        raise InvalidValue("intensity", "finite values", "NaN or infinite ones", "fill gaps with: semrt infer infill")


def _notes(intensity: NDArray[np.float32], found: int, confidence: float) -> tuple[str, ...]:
    """What the reader must know of the image, and of how many columns it has."""
    low, high = float(intensity.min()), float(intensity.max())
    if low == high:
        return (f"no columns found: the image is flat, {low:g} everywhere",)
    notes = []
    if found == 0:
        notes.append("no columns found; does the image resolve atoms?")
    elif confidence == 0:
        notes.append(f"few columns or none: no spacing was seen in the image, and the {found} found may be noise")
    elif found < FEW:
        notes.append(f"few columns found ({found}); does the image resolve atoms?")
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
