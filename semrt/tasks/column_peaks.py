"""Atomic columns without a network: bright spots of the size that columns at their spacing have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from semrt.data import AtomColumns, Micrograph
from semrt.tasks.column_finder import check_image, found_columns
from semrt.tasks.column_input import INPUT_CHANNELS, network_input

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ColumnPeaks"]

NARROW, WIDE = 1.8, 4.5
"""Sigmas of the two Gaussians whose difference answers to a column [px at the standard spacing]."""
THRESHOLD = 0.3
"""Score of a column, unless the user says another: speckles of carbon score up to 0.5, faint columns from 0.3 on."""
HALF, STEEPNESS = 0.35, 6.0
"""What counts as half a column, in local spreads, and how fast the map rises about it."""


class ColumnPeaks:
    """The `column-peaks` model: a difference of Gaussians in the place of a network, all else as `columns` does it."""

    accepts = Micrograph
    gives = AtomColumns

    def solve(
        self,
        measured: Micrograph,
        *,
        spacing: float | None = None,
        min_distance: float | None = None,
        threshold: float = THRESHOLD,
        places: str = "best",
        light_columns: bool = True,
        n_threads: int | None = None,
    ) -> AtomColumns:
        """Find columns.  Options as those of Columns.  Raises InvalidShape, InvalidValue, InvalidOption."""
        check_image(measured)
        seen = network_input(measured.intensity, spacing=spacing, n_threads=n_threads)
        ringing = dict(zip(INPUT_CHANNELS, map(_difference_of_gaussians, seen.planes), strict=True))
        return found_columns(
            1 / (1 + np.exp(STEEPNESS * (HALF - ringing["contrast"]))),
            ringing["intensity"],
            seen,
            measured,
            min_distance=min_distance,
            threshold=threshold,
            places=places,
            light_columns=light_columns,
            by_network=False,
            n_threads=n_threads,
        )


def _difference_of_gaussians(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    import cv2

    narrow, wide = (cv2.GaussianBlur(plane, (0, 0), sigma, borderType=cv2.BORDER_REFLECT) for sigma in (NARROW, WIDE))
    return np.asarray(narrow - wide, np.float32)
