"""A sparse scan completed in the time of a frame: natural neighbours, smoothed."""

from __future__ import annotations

import numpy as np

from semrt.data import Micrograph, SparseScan
from semrt.kernels import natural_neighbour
from semrt.tasks.exposure import exposure_told, sample_values
from semrt.tasks.kriging import SMOOTHING

__all__ = ["NaturalNeighbours"]


class NaturalNeighbours:
    """The `natural-neighbours` model: natural neighbours, then a Gaussian; fast, and without an error map."""

    accepts = SparseScan

    def solve(self, measured: SparseScan, *, denoise: bool = False, n_threads: int | None = None) -> Micrograph:
        """Complete a sparse scan.  denoise: estimate visited pixels as well."""
        estimate = natural_neighbour(sample_values(measured), measured.visited, smooth=SMOOTHING, n_threads=n_threads)
        if not denoise and measured.exposure is None:
            estimate = np.where(measured.visited, measured.intensity, estimate)
        told = exposure_told(measured)
        return Micrograph(estimate, measured.pixel_size, metadata=measured.metadata, provenance=told)
