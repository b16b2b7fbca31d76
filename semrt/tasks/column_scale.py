"""At which scale the network sees an image: that of the spacing given, or of the one that is seen most clearly."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from semrt.tasks.column_input import STANDARD_SPACING, network_input
from semrt.tasks.column_spacing import ColumnSpacing, column_spacing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semrt.data import Micrograph
    from semrt.tasks.column_input import ColumnInput

__all__ = ["clearest_spacing", "seen_at_scale"]

CLEAR = 0.8
"""Confidence from which on an estimate needs no second look."""
SHRINKS = (2, 4)
"""Factors by which an image is shrunk for another look: finely sampled columns show structure of their own."""
SMALLEST = 48
"""px; in a smaller image no look is taken."""


def seen_at_scale(measured: Micrograph, spacing: float | None, n_threads: int | None) -> ColumnInput:
    """The network's input at the scale of a spacing [px], or of the clearest estimate where None is given.

    Raises InvalidShape, InvalidOption.
    """
    if spacing is not None:
        return network_input(measured.intensity, spacing=spacing, n_threads=n_threads)
    clearest = clearest_spacing(measured.intensity)
    seen = network_input(measured.intensity, spacing=clearest.spacing, n_threads=n_threads)
    return replace(seen, confidence=clearest.confidence)


def clearest_spacing(intensity: NDArray[np.float32]) -> ColumnSpacing:
    """Estimate the spacing [px] from the image as it is and, where that is not clear, from smaller ones too.

    Real images are often sampled so finely that noise which a filter or the scan has correlated passes for columns.
    """
    import cv2

    clearest = column_spacing(intensity, default=STANDARD_SPACING)
    if clearest.confidence >= CLEAR:
        return clearest
    ny, nx = intensity.shape
    for shrink in SHRINKS:
        if min(ny, nx) // shrink < SMALLEST:
            break
        smaller = np.asarray(
            cv2.resize(intensity, (nx // shrink, ny // shrink), interpolation=cv2.INTER_AREA), np.float32
        )
        spacing, confidence = column_spacing(smaller, default=STANDARD_SPACING)
        if confidence > clearest.confidence:
            clearest = ColumnSpacing(spacing * shrink, confidence)
    return clearest
