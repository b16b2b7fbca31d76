"""How close an inferred image comes to the truth.

Images are (ny, nx), compared in float64 without rescaling; `data_range` is the span of intensities that counts as 1.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from semrt.errors import InvalidOption, InvalidShape

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["SSIM_WINDOW", "blur_5x5", "coverage_of_intervals", "psnr", "rmse", "ssim"]

SSIM_WINDOW = 11  # [px]; no smaller image has a structural similarity


def rmse(image: ArrayLike, truth: ArrayLike) -> float:
    """Root mean square error, in the units of the images.

    Raises InvalidShape where the shapes differ.
    """
    image, truth = _pair(image, truth)
    return float(np.sqrt(np.mean((image - truth) ** 2)))


def psnr(image: ArrayLike, truth: ArrayLike, data_range: float = 1.0) -> float:
    """Peak signal-to-noise ratio [dB]; infinite for equal images, NaN where one of them holds NaN.

    Raises InvalidShape, InvalidOption for a data_range not above zero.
    """
    span, error = _positive(data_range), rmse(image, truth)
    return float("inf") if error == 0 else float(20 * np.log10(span / error))


def ssim(image: ArrayLike, truth: ArrayLike, data_range: float = 1.0) -> float:
    """Mean structural similarity, 1 for equal images: Gaussian window of 11 × 11 px, sigma 1.5, K1 = 0.01, K2 = 0.03.

    The five pixels along each edge, where the window is cut, do not count.
    Raises InvalidShape for images under 11 × 11, InvalidOption for a data_range not above zero.
    Wang, Bovik, Sheikh & Simoncelli 2004, doi:10.1109/TIP.2003.819861.
    """
    reach = SSIM_WINDOW // 2
    x, y = _pair(image, truth)
    if min(x.shape) < SSIM_WINDOW:
        raise InvalidShape("image", "at least (11, 11)", x.shape, "SSIM needs its whole window")
    c1, c2 = (0.01 * _positive(data_range)) ** 2, (0.03 * data_range) ** 2
    taps = _gaussian(reach, 1.5)
    mean_x, mean_y = _filtered(x, taps), _filtered(y, taps)
    var_x = _filtered(x * x, taps) - mean_x**2
    var_y = _filtered(y * y, taps) - mean_y**2
    covariance = _filtered(x * y, taps) - mean_x * mean_y
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    similarity /= (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    return float(similarity[reach:-reach, reach:-reach].mean())


def blur_5x5(truth: ArrayLike, sigma: float = 2.5) -> NDArray[np.float32]:
    """Blur by a normalised 5 × 5 Gaussian of `sigma` [px], mirrored about the edge pixels: (ny, nx) float32.

    The target that published partial-scan networks are measured against, because the recorded truth is noisy:
    Ede & Beanland 2020, doi:10.1038/s41598-020-65261-0.  Raises InvalidShape, InvalidOption for a sigma not above zero.
    """
    if not sigma > 0:
        raise InvalidOption(f"sigma: expected above zero px, got {sigma}")
    truth, _ = _pair(truth, truth)
    return _filtered(truth, _gaussian(2, sigma)).astype(np.float32)


def coverage_of_intervals(estimate: ArrayLike, error: ArrayLike, truth: ArrayLike, level: float = 0.9) -> float:
    """Fraction of the pixels whose truth lies in the central Gaussian interval of the estimate; `level` if calibrated.

    estimate, truth: (ny, nx).  error: (ny, nx), one standard deviation.  level: probability of the interval, 0 to 1.
    Raises InvalidShape, InvalidOption.
    """
    if not 0 < level < 1:
        raise InvalidOption(f"level: expected a probability between 0 and 1, got {level}")
    estimate, truth = _pair(estimate, truth)
    error, _ = _pair(error, truth)
    half_width = NormalDist().inv_cdf((1 + level) / 2) * error
    return float(np.mean(np.abs(estimate - truth) <= half_width))


def _pair(image: ArrayLike, truth: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    image, truth = np.asarray(image, np.float64), np.asarray(truth, np.float64)
    if image.ndim != 2 or image.size == 0:
        raise InvalidShape("image", "(ny, nx) with at least one pixel", image.shape)
    if image.shape != truth.shape:
        raise InvalidShape("image", f"{truth.shape}, as truth has", image.shape)
    return image, truth


def _positive(data_range: float) -> float:
    if not data_range > 0:
        raise InvalidOption(f"data_range: expected above zero, got {data_range}")
    return data_range


def _gaussian(reach: int, sigma: float) -> NDArray[np.float64]:
    taps: NDArray[np.float64] = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    taps /= taps.sum()
    return taps


def _filtered(image: NDArray[np.float64], taps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Filter along y, then x; beyond an edge the image is mirrored about the edge pixel."""
    for _ in range(2):
        padded = np.pad(image, ((len(taps) // 2,) * 2, (0, 0)), mode="reflect")
        ny = image.shape[0]
        image = sum((tap * padded[k : k + ny] for k, tap in enumerate(taps)), np.zeros_like(image)).T
    return image
