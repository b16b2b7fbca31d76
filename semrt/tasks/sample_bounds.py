"""Between which intensities the samples around a pixel lie: beyond them, a smooth estimate overshoots at edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["sample_bounds"]

REACH = 2.0
"""How far around counts, in distances to the nearest sample: the samples beyond those that enclose the pixel too.

Measured on simulated lattices and micrographs: with 1, peaks between samples are cut; with 3, less is gained."""
LEAST_REACH = 3  # [px]; a sample is noisy, and no bound for itself
RATIO = 1.4  # from one radius to the next: a bound for each distance would cost more than kriging


def sample_bounds(
    values: NDArray[np.float32], visited: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Least and largest, (ny, nx) each, of the samples that are the nearest ones of any pixel around.

    values, visited: (ny, nx), at least one visited.  Around: in a square, as far to each side as REACH says.
    """
    # Labels are of the visited pixels: of the nearest one, or of one hardly further.
    distance, label = cv2.distanceTransformWithLabels(
        (~visited).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    of_label = np.zeros(int(label.max()) + 1, np.float32)
    of_label[label[visited]] = values[visited]
    low = high = of_label[label]
    reach = np.maximum(REACH * distance, LEAST_REACH)
    bounds = np.empty_like(low), np.empty_like(low)
    radius, below = 0, 0.0
    while below < reach.max():
        step = max(LEAST_REACH if radius == 0 else 1, round((RATIO - 1) * radius))
        square = np.ones((2 * step + 1,) * 2, np.uint8)
        low, high = cv2.erode(low, square), cv2.dilate(high, square)  # of a square of that radius already
        radius += step
        here = (reach > below) & (reach <= radius)
        for bound, of_square in zip(bounds, (low, high), strict=True):
            np.copyto(bound, of_square, where=here)
        below = radius
    return bounds
