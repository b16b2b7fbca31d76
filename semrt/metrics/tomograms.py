"""How close a tomogram comes to the truth: in its Fourier space, measured and not, and within the specimen.

Volumes are (nz, ny, nx), the tilt axis is y, the beam at 0° runs along z; each slice across the tilt axis is a problem
of its own, and errors are sums over all of them. Voxels are as long along z as along x.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from semrt.errors import InvalidOption, InvalidShape
from semrt.physics.missing_wedge import measured_sector

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["SectorErrors", "fourier_ring_correlation", "object_rmse", "sector_errors"]


class SectorErrors(NamedTuple):
    """Relative errors of the frequencies that no tilt measured, and of those that some did; 1: nothing recovered."""

    wedge: float
    measured: float


def sector_errors(
    volume: ArrayLike, truth: ArrayLike, tilt_range: tuple[float, float], *, finest: float = 0.25
) -> SectorErrors:
    """Root of the energy of the error over that of the truth, inside the missing wedge and in the measured sector.

    volume, truth: (nz, ny, nx).  tilt_range: lowest and highest tilt [degrees].
    finest: frequency up to which errors count [cycles a voxel].  NaN where the truth holds nothing there.
    Raises InvalidShape, InvalidOption.
    """
    volume, truth = _pair(volume, truth)
    if not 0 < finest <= 1:
        raise InvalidOption(f"finest: expected above 0 and at most 1 cycle a voxel, got {finest:g}")
    shape = truth.shape[0], truth.shape[2]
    measured = measured_sector(shape, *tilt_range)
    counts = _radius(shape) < finest
    energies = []
    for array in (volume - truth, truth):
        spectrum = counts * sum(np.abs(np.fft.fft2(array[:, y])) ** 2 for y in range(array.shape[1]))
        energies.append([float((share * spectrum).sum()) for share in (1 - measured, measured)])
    of_error, of_truth = np.array(energies)
    with np.errstate(divide="ignore", invalid="ignore"):
        wedge, seen = np.sqrt(of_error / of_truth)
    return SectorErrors(float(wedge), float(seen))


def object_rmse(volume: ArrayLike, truth: ArrayLike, *, faintest: float = 0.05) -> float:
    """Root mean square error where the specimen is, as a fraction of its largest density.

    volume, truth: (nz, ny, nx).  faintest: density that counts as specimen, as a fraction of the largest.
    NaN without a specimen.  Raises InvalidShape.
    """
    volume, truth = _pair(volume, truth)
    peak = float(truth.max())
    if peak <= 0:
        return float("nan")
    there = truth > faintest * peak
    return float(np.sqrt(np.mean((volume - truth)[there] ** 2)) / peak)


def fourier_ring_correlation(volume: ArrayLike, truth: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Correlation of slices across the tilt axis with the truth, ring by ring of their Fourier space.

    volume, truth: (nz, ny, nx).  Returns the frequency of each ring [cycles a voxel] and the correlation in it, from -1
    to 1, NaN where either holds nothing.  Rings are as wide as a pixel of the longer side's spectrum, up to 0.5.
    Saxton & Baumeister 1982, doi:10.1111/j.1365-2818.1982.tb00405.x.  Raises InvalidShape.
    """
    volume, truth = _pair(volume, truth)
    shape = truth.shape[0], truth.shape[2]
    n = max(shape)
    ring = np.rint(_radius(shape) * n).astype(np.intp).ravel()
    sums: NDArray[np.float64] = np.zeros((3, int(ring.max()) + 1))
    for y in range(truth.shape[1]):
        ours, true = (np.fft.fft2(array[:, y]).ravel() for array in (volume, truth))
        for k, product in enumerate((ours * true.conj(), ours * ours.conj(), true * true.conj())):
            sums[k] += np.bincount(ring, product.real, sums.shape[1])
    rings = n // 2 + 1
    cross, ours_alone, true_alone = sums[0, :rings], sums[1, :rings], sums[2, :rings]
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = cross / np.sqrt(ours_alone * true_alone)
    return np.arange(rings) / n, np.asarray(correlation, np.float64)


def _radius(shape: tuple[int, int]) -> NDArray[np.float64]:
    kz, kx = (np.fft.fftfreq(n) for n in shape)
    return np.asarray(np.hypot(kz[:, None], kx))


def _pair(volume: ArrayLike, truth: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    volume, truth = np.asarray(volume, np.float64), np.asarray(truth, np.float64)
    if volume.ndim != 3 or volume.size == 0:
        raise InvalidShape("volume", "(nz, ny, nx) with at least one voxel", volume.shape)
    if volume.shape != truth.shape:
        raise InvalidShape("volume", f"{truth.shape}, as truth has", volume.shape)
    return volume, truth
