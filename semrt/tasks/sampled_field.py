"""The best linear estimate of a random field from samples of it, given its power spectrum.

With samples y of a field of covariance C, and noise of variances N, it is C a where (M C M + N) a = y, M being the mask
of the samples (Rybicki & Press 1992, doi:10.1086/171845). C is diagonal in Fourier space, M and N in real space: a step
of conjugate gradients costs two transforms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SampleEquations", "SpectralGrid", "filtered"]

MARGIN = 1.125
"""The field is periodic to a Fourier transform: an unvisited border of an eighth keeps its opposite sides apart."""
SOLVED = 3e-4
"""Residual power at which the equations count as solved, of that of the samples."""


class SpectralGrid:
    """The field with its border, and power spectra over it, (ny, nx // 2 + 1), as np.fft.rfft2 orders frequencies."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        ny, nx = self.padded_shape = tuple(_fast_length(MARGIN * side) for side in shape)
        # cv2.dft packs the spectrum of a real image into as many real numbers, at half the time of complex ones: the
        # two parts of a frequency are neighbours in a row, and one below the other in the first and the last column.
        rows, columns = np.arange(ny), np.arange(nx)
        self._columns = np.broadcast_to((columns + 1) // 2, (ny, nx))
        self._rows = np.repeat(rows[:, None], nx, axis=1)
        self._rows[:, [0, -1]] = ((rows + 1) // 2)[:, None]
        self._counts = np.full(nx // 2 + 1, 2.0)  # a column stands for its conjugate as well, but for two of them
        self._counts[[0, -1]] = 1

    def padded(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """An image, (ny, nx), with its border of zeros."""
        return np.pad(image, [(0, outer - side) for outer, side in zip(self.padded_shape, self.shape, strict=True)])

    def cropped(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """An image without its border."""
        ny, nx = self.shape
        return image[:ny, :nx]

    def packed(self, power: NDArray[np.float32]) -> NDArray[np.float32]:
        """A power spectrum as `filtered` takes it, of the shape of an image with its border."""
        packed: NDArray[np.float32] = power[self._rows, self._columns]
        return packed

    def variance(self, power: NDArray[np.float32]) -> float:
        """That of an image with this power."""
        return float((power * self._counts).sum(dtype=np.float64)) / float(np.prod(self.padded_shape))


class SampleEquations:
    """What samples of a random field say of it: (M C M + N) a = y, so that C a is the best linear estimate.

    C: its covariance, known by its power spectrum.  M, N: where samples are, and the variance of the noise of each.
    """

    def __init__(
        self,
        grid: SpectralGrid,
        detail: NDArray[np.float32],
        known: NDArray[np.bool_],
        relative_noise: NDArray[np.float32],
    ) -> None:
        self.grid = grid
        self.mask = grid.padded(known.astype(np.float32))
        self.samples = grid.padded(np.where(known, detail, np.float32(0)))
        self.relative_noise = grid.padded(np.where(known, relative_noise, np.float32(0)))
        self.coverage = float(self.mask.mean())

    def solved(
        self, power: NDArray[np.float32], noise: float, start: NDArray[np.float32] | None, n_steps: int
    ) -> NDArray[np.float32]:
        """The weights a after some steps of conjugate gradients.  Hestenes & Stiefel 1952, doi:10.6028/jres.049.044."""
        packed, variances = self.grid.packed(power), np.float32(noise) * self.relative_noise
        if start is None:
            weights, residual = np.zeros_like(self.samples), self.samples.copy()
        else:
            weights = start.copy()
            residual = self.samples - self.mask * filtered(weights, packed) - variances * weights
        direction = residual.copy()
        left, enough = _energy(residual), SOLVED * _energy(self.samples)
        for _ in range(n_steps):
            if left <= enough:
                break
            applied = self.mask * filtered(direction, packed)
            applied += variances * direction
            step = np.float32(left / float(np.vdot(direction, applied)))
            weights += step * direction
            residual -= step * applied
            before, left = left, _energy(residual)
            direction *= np.float32(left / before)
            direction += residual
        return weights

    def misfit(self, image: NDArray[np.float32]) -> float:
        """Mean square of what an estimate, (ny, nx) with its border, leaves of the samples."""
        return _energy(self.mask * (self.samples - image)) / (self.coverage * image.size)


def filtered(image: NDArray[np.float32], packed: NDArray[np.float32]) -> NDArray[np.float32]:
    """An image, each of its frequencies times its power: the covariance that belongs to it, applied."""
    spectrum = np.asarray(cv2.dft(image), np.float32)
    spectrum *= packed
    return np.asarray(cv2.dft(spectrum, dst=spectrum, flags=cv2.DFT_INVERSE | cv2.DFT_SCALE), np.float32)


def _fast_length(least: float) -> int:
    """The next even length that a Fourier transform is fast at."""
    return 2 * cv2.getOptimalDFTSize(int(np.ceil(least / 2)))


def _energy(image: NDArray[np.float32]) -> float:
    return cv2.norm(image, cv2.NORM_L2SQR)
