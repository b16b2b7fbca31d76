"""A sparse scan completed without any network: the best linear estimate, cross-validated against natural neighbours."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.data import Micrograph, SparseScan
from semrt.kernels import Variogram, fit_variogram, krige, natural_neighbour
from semrt.scan.held_out import Cells
from semrt.tasks.exposure import exposure_told, relative_exposure, sample_values

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "DECISIVE",
    "SMOOTHING",
    "ClassicalEstimate",
    "Kriging",
    "Validation",
    "classical_estimate",
    "complete",
    "completed",
]

SMOOTHING = 2.5
"""Gaussian [px] after natural neighbours: best of those measured on noisy micrographs."""
VALIDATION_SIDE = 768
"""Cross-validation looks at no more than this square [px]: the choice is of a method, not of a value."""
VALIDATION_FRACTION = 0.12
TELLING = 8
"""Samples; of fewer, a variogram and with it the error map is hardly more than a guess, and of one it is nothing."""
DECISIVE = 2.0
"""Standard errors by which natural neighbours must win: kriging is right far more often, and few cells say little."""


@dataclass(frozen=True, eq=False)
class ClassicalEstimate:
    """What the samples alone say of the image.

    estimate, error: (ny, nx) float32, error one standard deviation of estimate.
    smooth: (ny, nx) float32, natural neighbours then Gaussian.
    method: "kriging", or "natural neighbour" or "learnt spectrum" where that predicted held-out samples clearly better.
    misfit: root mean square of the errors of held-out samples, in the standard deviations that kriging states for them;
        1 where it states them rightly, or nothing could be held out.
    validation: what judged it, of the middle of a large field; None where nothing could be held out.
    within_samples: by how much it was kept within the intensities of the samples around, from 0 (not at all) to 1.
    """

    estimate: NDArray[np.float32]
    error: NDArray[np.float32]
    smooth: NDArray[np.float32]
    variogram: Variogram
    method: str
    misfit: float
    validation: Validation | None
    within_samples: float = 0.0


def classical_estimate(scan: SparseScan, *, n_threads: int | None = None) -> ClassicalEstimate:
    """Krige the scan, and fall back on smoothed natural neighbours where held-out samples ask for it.

    On nearly flat, noisy images a fitted variogram can mislead; held-out samples show it.
    """
    values, exposure = sample_values(scan), relative_exposure(scan)
    variogram = fit_variogram(values, scan.visited)
    smooth = natural_neighbour(values, scan.visited, smooth=SMOOTHING, n_threads=n_threads)
    estimate, variance = krige(values, scan.visited, variogram, exposure=exposure, n_threads=n_threads)
    middle = tuple(slice(max(0, n - VALIDATION_SIDE) // 2, (n + min(n, VALIDATION_SIDE)) // 2) for n in scan.shape)
    looked_at = None if exposure is None else exposure[middle]
    validation = Validation.of(values[middle], scan.visited[middle], variogram, looked_at, n_threads)
    rough = validation is not None and validation.advantage(validation.smooth(values[middle], n_threads)) > DECISIVE
    return ClassicalEstimate(
        estimate=smooth if rough else estimate,
        error=np.sqrt(variance, out=variance),
        smooth=smooth,
        variogram=variogram,
        method="natural neighbour" if rough else "kriging",
        misfit=1.0 if validation is None else validation.misfit(),
        validation=validation,
    )


def complete(
    scan: SparseScan, estimate: NDArray[np.float32], error: NDArray[np.float32], noise: float, *, denoise: bool
) -> Micrograph:
    """The result of a completion: what was measured stays measured, unless it is to be denoised.

    estimate, error: (ny, nx).  noise: standard deviation of a sample, the error of what stays; where the probe stayed
    for unequal times, that of their mean variance.
    A sample taken at partial exposure is no micrograph intensity, so those are always estimated.
    """
    if not denoise and scan.exposure is None:
        estimate = np.where(scan.visited, scan.intensity, estimate)
        exposure = relative_exposure(scan)
        known = np.float32(noise) if exposure is None else noise / np.sqrt(np.where(scan.visited, exposure, 1))
        error = np.where(scan.visited, known, error).astype(np.float32)
    return Micrograph(estimate, pixel_size=scan.pixel_size, error=error, metadata=scan.metadata)


def completed(scan: SparseScan, classical: ClassicalEstimate, *, denoise: bool) -> Micrograph:
    """The result of a classical model, with what its record says."""
    noise = float(np.sqrt(classical.variogram.nugget))
    told: dict[str, Any] = {"method": classical.method, "variogram": asdict(classical.variogram), **exposure_told(scan)}
    if (samples := int(np.count_nonzero(scan.visited))) < TELLING:
        told["notes"] = (f"so few samples ({samples}) do not tell how far from the truth the rest may be",)
    return replace(complete(scan, classical.estimate, classical.error, noise, denoise=denoise), provenance=told)


class Kriging:
    """The `kriging` model: local ordinary kriging with its error map."""

    accepts = SparseScan

    def solve(self, measured: SparseScan, *, denoise: bool = False, n_threads: int | None = None) -> Micrograph:
        """Complete a sparse scan.  denoise: estimate visited pixels as well."""
        return completed(measured, classical_estimate(measured, n_threads=n_threads), denoise=denoise)


@dataclass(frozen=True, eq=False)
class Validation:
    """Samples that a method did not know, and what it makes of them.

    known, held_out: (ny, nx), parts of the visited pixels.  cells: (n,), the cell of each held-out sample.
    truth, predicted, variance: (n,), the samples, and kriging's estimate and variance of them, noise and all.
    """

    known: NDArray[np.bool_]
    held_out: NDArray[np.bool_]
    cells: NDArray[np.int64]
    truth: NDArray[np.float32]
    predicted: NDArray[np.float32]
    variance: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        values: NDArray[np.float32],
        visited: NDArray[np.bool_],
        variogram: Variogram,
        exposure: NDArray[np.float32] | None = None,
        n_threads: int | None = None,
    ) -> Validation | None:
        """Hold some samples out of a scan, (ny, nx); None where too few are left, or none can be."""
        if not visited.any():
            return None
        cells = Cells.of(visited, np.random.default_rng(0), n_threads)
        held_out = visited & (cells.draw < VALIDATION_FRACTION)
        known = visited & ~held_out
        if not (known.any() and held_out.any()):
            return None
        kriged, variance = krige(values, known, variogram, exposure=exposure, wanted=held_out, n_threads=n_threads)
        noise = variogram.nugget / (1 if exposure is None else exposure[held_out])
        stated = np.maximum(variance[held_out] + noise, np.finfo(np.float32).tiny)
        return cls(known, held_out, cells.number[held_out], values[held_out], kriged[held_out], stated)

    def smooth(self, values: NDArray[np.float32], n_threads: int | None = None) -> NDArray[np.float32]:
        """What smoothed natural neighbours make of the held-out samples, (n,), from the others.  values: (ny, nx)."""
        known = np.where(self.known, values, np.float32(0))
        return natural_neighbour(known, self.known, smooth=SMOOTHING, n_threads=n_threads)[self.held_out]

    def misfit(self) -> float:
        """Root mean square of the errors, in the standard deviations stated."""
        return float(np.sqrt(np.mean((self.predicted - self.truth).astype(np.float64) ** 2 / self.variance)))

    def mean_square_error(self) -> float:
        """Of `predicted`, with the noise of the samples."""
        return float(np.mean((self.predicted - self.truth).astype(np.float64) ** 2))

    def advantage(self, other: NDArray[np.float32]) -> float:
        """By how many standard errors another estimate of the held-out samples, (n,), is better than `predicted`.

        All samples of a cell are one piece of evidence: their errors are much the same.
        """
        gained = (self.predicted - self.truth).astype(np.float64) ** 2 - (other - self.truth) ** 2
        per_cell = np.bincount(self.cells, weights=gained)
        return float(per_cell.sum() / max(np.sqrt((per_cell**2).sum()), np.finfo(np.float64).tiny))
