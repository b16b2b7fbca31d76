"""What the network of `columns` sees of an image: columns of a standard size, in standard units.

Training calls the same function, so that the network knows the mistakes of the estimates made here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.errors import InvalidOption, InvalidShape
from semrt.kernels import opencv_threads
from semrt.tasks.column_spacing import column_spacing

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Plane = NDArray[np.floating[Any]]

__all__ = ["INPUT_CHANNELS", "OUTPUT_CHANNELS", "STANDARD_SPACING", "ColumnInput", "network_input", "resampled"]

INPUT_CHANNELS = (
    "intensity",  # in spreads of the whole image about its mean
    "contrast",  # in local spreads about the local mean: thin parts look like thick ones
)
OUTPUT_CHANNELS = (
    "columns",  # probability of lying in the disk about a column
    "clean",  # the columns alone in spreads of the image: no noise, no background
)
STANDARD_SPACING = 12.0  # of columns as the network sees them [px]
LARGEST_SCALE = 2.0  # an image is not enlarged beyond that: nothing is gained, and it costs the square
SMALLEST_SCALE = 1 / 16

LOCAL = 12.0  # sigma of what is local [px of the network]
LEAST_LOCAL_SPREAD = 0.05  # of the whole image's, so that an empty part does not become a loud one
CLIPPED = (0.05, 99.95)  # percentiles: hot pixels and dead ones beyond them do not count
BRIGHTEST = 12.0  # spreads; more tells the network no more
MOST_FOR_STATISTICS = 2**20  # pixels


@dataclass(frozen=True, eq=False, slots=True)
class ColumnInput:
    """The network's input, and how it lies on the image.

    planes: (c, h, w) float32 in the order of INPUT_CHANNELS.
    spacing: of the columns, as estimated or as given [px of the image].
    confidence: 0 where no columns were seen (the spacing is then STANDARD_SPACING), 1 for a perfect lattice.
    scale: (h/ny, w/nx).
    mean, spread: of the image's intensity; the planes' units.
    """

    planes: NDArray[np.float32]
    spacing: float
    confidence: float
    scale: tuple[float, float]
    mean: float
    spread: float

    def to_image(self, y: ArrayLike, x: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where in the image (y, x) [px] places of the network's planes lie."""
        return _mapped(y, 1 / self.scale[0]), _mapped(x, 1 / self.scale[1])

    def to_planes(self, y: ArrayLike, x: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where in the network's planes (y, x) [px] places of the image lie."""
        return _mapped(y, self.scale[0]), _mapped(x, self.scale[1])


def network_input(intensity: ArrayLike, *, spacing: float | None = None, n_threads: int | None = None) -> ColumnInput:
    """Resample an image so that its columns have a standard spacing, and standardise it.

    intensity: (ny, nx), finite, any scale.  spacing: of nearest columns [px]; None to estimate it.
    n_threads: CPU threads, one for each core when None.  Raises InvalidShape, InvalidOption.
    """
    image = np.ascontiguousarray(intensity, np.float32)
    if image.ndim != 2 or 0 in image.shape:
        raise InvalidShape("intensity", "(ny, nx) with at least one pixel", image.shape)
    if spacing is not None and not 0 < spacing < np.inf:
        raise InvalidOption(f"spacing: expected px above zero, got {spacing}")
    with opencv_threads(n_threads):
        if spacing is None:
            spacing, confidence = column_spacing(image, default=STANDARD_SPACING)
        else:
            confidence = 1.0
        factor = float(np.clip(STANDARD_SPACING / spacing, SMALLEST_SCALE, LARGEST_SCALE))
        h, w = (max(1, round(factor * n)) for n in image.shape)
        standard = resampled(image, (h, w))
        mean, spread = _statistics(standard)
        planes = np.empty((len(INPUT_CHANNELS), h, w), np.float32)
        np.subtract(standard, np.float32(mean), out=planes[0])
        planes[0] *= np.float32(1 / spread)
        np.clip(planes[0], -BRIGHTEST, BRIGHTEST, out=planes[0])
        _local_contrast(planes[0], out=planes[1])
    return ColumnInput(planes, spacing, confidence, (h / image.shape[0], w / image.shape[1]), mean, spread)


def resampled(image: Plane, shape: tuple[int, int]) -> Plane:
    """Resample to (h, w): by the mean of the pixels, which gathers the dose, where it shrinks; else by cubics."""
    import cv2

    if shape == image.shape:
        return image
    shrinks = shape[0] <= image.shape[0] and shape[1] <= image.shape[1]
    return np.asarray(cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC))


def _statistics(image: Plane) -> tuple[float, float]:
    """Mean and standard deviation without the extremes; a spread of 1 where all pixels are alike."""
    step = max(1, int((image.size / MOST_FOR_STATISTICS) ** 0.5))
    some = image[::step, ::step].astype(np.float64)
    low, high = np.percentile(some, CLIPPED)
    np.clip(some, low, high, out=some)
    mean, spread = float(some.mean()), float(some.std())
    return mean, spread if spread > 1e-6 * max(1e-12, abs(mean)) else 1.0


def _local_contrast(image: Plane, *, out: NDArray[np.float32]) -> None:
    """Deviation from the local mean in units of the local spread; both vary slowly, and are found at a quarter."""
    import cv2

    h, w = image.shape
    coarse = (max(1, h // 4), max(1, w // 4))
    mean = _blurred(resampled(image, coarse))
    square = _blurred(resampled(image * image, coarse))
    spread = np.sqrt(np.maximum(square - mean * mean, LEAST_LOCAL_SPREAD**2))
    np.subtract(image, cv2.resize(mean, (w, h), interpolation=cv2.INTER_LINEAR), out=out)
    out /= cv2.resize(spread, (w, h), interpolation=cv2.INTER_LINEAR)
    np.clip(out, -BRIGHTEST, BRIGHTEST, out=out)


def _blurred(coarse: Plane) -> Plane:
    import cv2

    return np.asarray(cv2.GaussianBlur(coarse, (0, 0), LOCAL / 4, borderType=cv2.BORDER_REFLECT), np.float32)


def _mapped(at: ArrayLike, scale: float) -> NDArray[np.float64]:
    """Pixel centres lie half a pixel inside the borders, which are what is mapped on one another."""
    return np.asarray((np.asarray(at, np.float64) + 0.5) * scale - 0.5)
