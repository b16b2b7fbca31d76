"""A sparse scan completed by a network as published, which sees the scan and its path and no classical estimate.

For comparison with `infill`: `semrt train infill-published` and `infill-published-adversarial` make the models.
Ede & Beanland 2020, doi:10.1038/s41598-020-65261-0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.data import Micrograph, SparseScan
from semrt.tasks.exposure import exposure_told, sample_values
from semrt.tasks.infill import Infill, standardisation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["INPUT_CHANNELS", "PublishedInfill", "normalisation"]

INPUT_CHANNELS = (
    "intensity",  # normalised, times the exposure: 0 where unvisited
    "path",  # the exposure, 1 where visited if the scan does not say
    "nearest",  # normalised, of the nearest visited pixel
)


def normalisation(scan: SparseScan) -> tuple[float, float]:
    """Mean and twice the spread of the visited pixels: in these units most of an image lies from -1 to 1.

    The published scans were normalised by the extremes of the true image, which nobody knows who has but a scan.
    """
    mean, spread = standardisation(scan)
    return mean, 2 * spread


class PublishedInfill:
    """The task of the published multi-scale network."""

    accepts = SparseScan
    input_channels = INPUT_CHANNELS
    fallbacks = Infill.fallbacks

    def prepare(self, measured: SparseScan) -> NDArray[np.float32]:
        """The network's input, (c, ny, nx) in the order of INPUT_CHANNELS."""
        import cv2

        mean, scale = normalisation(measured)
        path = measured.visited.astype(np.float32) if measured.exposure is None else measured.exposure
        values = (sample_values(measured) - np.float32(mean)) / np.float32(scale)
        unvisited = np.logical_not(measured.visited).astype(np.uint8)
        # Labels count the visited pixels, each of which has its own; distances are exact to 2 %.
        _, labels = cv2.distanceTransformWithLabels(
            unvisited, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
        )
        by_label = np.zeros(int(labels.max()) + 1, np.float32)
        by_label[labels[measured.visited]] = values[measured.visited]
        return np.stack([values * path, path * measured.visited, by_label[labels]])

    def finish(
        self,
        predicted: NDArray[np.float32],
        prepared: NDArray[np.float32],
        measured: SparseScan,
        *,
        denoise: bool = False,
    ) -> Micrograph:
        """Turn the completed scan, (1, ny, nx), back into intensities; what was measured stays, unless `denoise`."""
        mean, scale = normalisation(measured)
        estimate = predicted[0] * np.float32(scale) + np.float32(mean)
        if not denoise and measured.exposure is None:
            estimate = np.where(measured.visited, measured.intensity, estimate)
        told = exposure_told(measured)
        return Micrograph(estimate, pixel_size=measured.pixel_size, metadata=measured.metadata, provenance=told)

    def outside_domain(
        self, measured: SparseScan, domain: Mapping[str, Any], *, n_threads: int | None = None
    ) -> str | None:
        """Why the scan is unlike those of the training: its coverage, or its largest gap."""
        return Infill().outside_domain(measured, domain, n_threads=n_threads)
