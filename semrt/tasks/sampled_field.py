"""The best linear estimate of a random field from samples of it, given its power spectrum.

With samples y of a field S η, η white and S the root of its spectrum, and noise of variances N, it is S η where
(1 + S' M N⁻¹ M S) η = S' M N⁻¹ y, M being the mask of the samples (Wiener 1949; Rybicki & Press 1992,
doi:10.1086/171845). S is diagonal in Fourier space, M and N in real space: a step of conjugate gradients costs two
transforms. Samples that lie anywhere are to each frequency as their mean density is, so that its inverse preconditions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SampledField", "SpectralGrid"]

MARGIN = 1.125
"""The field is periodic to a Fourier transform: an unvisited border of an eighth keeps its opposite sides apart."""
BACK = cv2.DFT_INVERSE | cv2.DFT_SCALE


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
        self.packed_counts = np.full((ny, nx), 2, np.float32)  # so does a packed number, but for four of them
        self.packed_counts[np.ix_([0, -1], [0, -1])] = 1

    def padded(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """An image, (ny, nx), with its border of zeros."""
        return np.pad(image, [(0, outer - side) for outer, side in zip(self.padded_shape, self.shape, strict=True)])

    def cropped(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """An image without its border."""
        ny, nx = self.shape
        return image[:ny, :nx]

    def packed(self, power: NDArray[np.float32]) -> NDArray[np.float32]:
        """A power spectrum in the order of cv2.dft, of the shape of an image with its border."""
        packed: NDArray[np.float32] = power[self._rows, self._columns]
        return packed

    def variance(self, power: NDArray[np.float32]) -> float:
        """That of an image with this power."""
        return float((power * self._counts).sum(dtype=np.float64)) / float(np.prod(self.padded_shape))


class SampledField:
    """Samples of a random field, and what they say of it.

    values, known: (ny, nx).  exposure: (ny, nx); the noise variance of a sample goes with its inverse.
    """

    def __init__(
        self,
        grid: SpectralGrid,
        values: NDArray[np.float32],
        known: NDArray[np.bool_],
        exposure: NDArray[np.float32] | None = None,
    ) -> None:
        self.grid = grid
        mask = known.astype(np.float32)
        self._exposure = grid.padded(mask if exposure is None else exposure * mask)
        self._values = grid.padded(np.where(known, values, np.float32(0)))
        self.coverage = float(np.mean(mask)) * mask.size / self._values.size
        self.exposure = float(self._exposure.mean())

    def estimate(
        self, power: NDArray[np.float32], noise: float, *, n_steps: int, tolerance: float
    ) -> NDArray[np.float32]:
        """The field with its border, after at most so many steps of preconditioned conjugate gradients.

        power: (ny, nx // 2 + 1), its spectrum.  noise: variance of a sample at full exposure.
        tolerance: of the residual, relative, at which the equations count as solved.
        Hestenes & Stiefel 1952, doi:10.6028/jres.049.044.
        """
        packed, share = self.grid.packed(power), self.grid.packed_counts / np.float32(self._values.size)
        root: NDArray[np.float32] = np.sqrt(packed / share)
        adjoint: NDArray[np.float32] = np.sqrt(packed * share)
        weights: NDArray[np.float32] = self._exposure / np.float32(noise)
        preconditioner = np.float32(1) / (1 + packed * np.float32(self.exposure / noise))
        residual = adjoint * cv2.dft(weights * self._values)
        white, work = np.zeros_like(weights), np.empty_like(weights)
        preconditioned = preconditioner * residual
        direction = preconditioned.copy()
        left = _dot(residual, preconditioned)
        enough = tolerance**2 * left
        for _ in range(n_steps):
            if left <= enough:
                break
            np.multiply(root, direction, out=work)
            cv2.dft(work, dst=work, flags=BACK)
            work *= weights
            cv2.dft(work, dst=work)
            work *= adjoint
            work += direction
            step = left / _dot(direction, work)
            cv2.scaleAdd(direction, step, white, dst=white)
            cv2.scaleAdd(work, -step, residual, dst=residual)
            np.multiply(preconditioner, residual, out=preconditioned)
            before, left = left, _dot(residual, preconditioned)
            cv2.scaleAdd(direction, left / before, preconditioned, dst=direction)
        return np.asarray(cv2.dft(root * white, flags=BACK), np.float32)

    def misfit(self, image: NDArray[np.float32]) -> float:
        """Mean square of what an estimate, with its border, leaves of the samples, in terms of full exposure."""
        return float(np.vdot(self._exposure, (self._values - image) ** 2)) / (self.coverage * image.size)


def _fast_length(least: float) -> int:
    """The next even length that a Fourier transform is fast at."""
    return 2 * cv2.getOptimalDFTSize(int(np.ceil(least / 2)))


def _dot(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float(np.vdot(one, other))
