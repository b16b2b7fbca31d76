"""How good a map of columns is, by the simplest finder that there is: its maxima."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from semrt.simulate.columns.neighbours import apart

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semrt_export.data.columns import HeldOutColumns
    from semrt_export.evaluate import Run

__all__ = ["Found", "classical_columns", "f1_of", "iou", "map_columns", "on_whole"]

MATCHED = 0.35  # spacings between a column and where it was found
NEAREST = 2.5  # px between two maxima
LENGTHS = 16  # px; what a network may ask for as a multiple


class Found(NamedTuple):
    """Positions (n,) [px], brightest first."""

    y: NDArray[np.float64]
    x: NDArray[np.float64]


def on_whole(run: Run, planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run a network on an image of any size, mirrored at its end: (c, h, w) -> (k, h, w)."""
    h, w = planes.shape[1:]
    padded = np.pad(planes, ((0, 0), (0, -h % LENGTHS), (0, -w % LENGTHS)), mode="symmetric")
    return run(np.ascontiguousarray(padded[None], np.float32))[0, :, :h, :w]


def map_columns(probability: NDArray[np.float32], *, sigma: float = 1.0, threshold: float = 0.5) -> Found:
    """Maxima of the slightly smoothed map above a threshold."""
    return _maxima(cv2.GaussianBlur(np.ascontiguousarray(probability), (0, 0), sigma), threshold)


def classical_columns(planes: NDArray[np.float32], *, sigma: float = 1.8, threshold: float = 0.15) -> Found:
    """Maxima of the smoothed local contrast: what can be had without a network."""
    return _maxima(cv2.GaussianBlur(planes[1], (0, 0), sigma), threshold)


def f1_of(found: Found, image: HeldOutColumns) -> float:
    """F1 of columns found: those that count and are matched one to one, against misses and ghosts.

    A column that does not count may be found or not, and what is found at the border, where none counts, is no ghost.
    """
    square = (found.y[:, None] - image.y) ** 2 + (found.x[:, None] - image.x) ** 2
    near = square < (MATCHED * image.spacing) ** 2
    i, j = np.nonzero(near)
    taken_found, taken = np.zeros(len(found.y), bool), np.zeros(len(image.y), bool)
    for k in np.argsort(square[i, j], kind="stable"):
        if not (taken_found[i[k]] or taken[j[k]]):
            taken_found[i[k]] = taken[j[k]] = True
    hits = np.count_nonzero(taken & image.counted)
    misses = np.count_nonzero(image.counted) - hits
    inside = [
        (at >= image.border) & (at <= length - 1 - image.border)
        for at, length in zip(found, image.planes.shape[1:], strict=True)
    ]
    ghosts = np.count_nonzero(~taken_found & inside[0] & inside[1])
    return 2 * hits / max(1, 2 * hits + misses + ghosts)


def iou(probability: NDArray[np.float32], disks: NDArray[np.float32], weight: NDArray[np.float32]) -> float:
    """Intersection over union of the map and the disks, each above a half, where pixels count fully."""
    counts = weight >= 1
    a, b = (probability > 0.5) & counts, (disks > 0.5) & counts
    return np.count_nonzero(a & b) / max(1, np.count_nonzero(a | b))


def _maxima(plane: NDArray[np.float32], threshold: float) -> Found:
    """Pixels no neighbour of which is higher, the first of those that touch; then the vertex of a parabola each way."""
    highest = cv2.dilate(plane, np.ones((3, 3), np.uint8))
    y, x = np.nonzero((plane == highest) & (plane > threshold))
    y, x = y[order := np.argsort(-plane[y, x], kind="stable")], x[order]
    alone = apart(y.astype(np.float64), x.astype(np.float64), NEAREST)  # two pixels of one maximum may be as high
    y, x = y[alone], x[alone]
    padded = np.pad(plane.astype(np.float64), 1, mode="edge")
    middle = padded[y + 1, x + 1]
    shifts = []
    for before, after in ((padded[y, x + 1], padded[y + 2, x + 1]), (padded[y + 1, x], padded[y + 1, x + 2])):
        curvature = np.maximum(2 * middle - before - after, 1e-12)
        shifts.append(np.clip(0.5 * (after - before) / curvature, -0.5, 0.5))
    return Found(y + shifts[0], x + shifts[1])
