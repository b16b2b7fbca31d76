"""Random pieces of real micrographs, for training and for proof."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from semrt.errors import InputNotFound, InvalidShape, UnreadableFile
from semrt.simulate import micrographs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["SUFFIXES", "centre_crop", "denoised", "find_images", "random_crop", "read_grey"]

SUFFIXES = (".jpg", ".png", ".tif", ".tiff")


def find_images(folders: Sequence[str | Path]) -> tuple[Path, ...]:
    """Every image in the folders, sorted within each.  Raises InputNotFound for a folder that holds none."""
    found: list[Path] = []
    for folder in map(Path, folders):
        images = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
        if not images:
            raise InputNotFound(folder / f"*({'|'.join(SUFFIXES)})")
        found += images
    return tuple(found)


@lru_cache(maxsize=64)
def read_grey(path: Path) -> NDArray[np.float32]:
    """(ny, nx) float32, from 0 to 1 between the 0.1 and 99.9 % quantiles.  Raises UnreadableFile."""
    # imdecode, because imread cannot open every path on Windows.
    image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise UnreadableFile(path, "not an image")
    grey = (image[..., :3].mean(axis=2) if image.ndim == 3 else image).astype(np.float32)
    low, high = np.quantile(grey, (0.001, 0.999))
    return np.clip((grey - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)


def denoised(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """The published target for micrographs that are noisy themselves: a 5×5 Gaussian, σ 2.5 px.

    Ede 2020, doi:10.1038/s41598-020-65261-0.
    """
    return cv2.GaussianBlur(image, (5, 5), 2.5, borderType=cv2.BORDER_REFLECT_101)


def random_crop(
    image: NDArray[np.float32], side: int, rng: np.random.Generator, *, largest_scale: float = 4.0
) -> NDArray[np.float32]:
    """A (side, side) piece averaged down by 1 to `largest_scale`, then flipped, turned and of other contrast.

    Raises InvalidShape when the image is smaller than the piece.
    """
    _check_large_enough(image, side)
    scale = np.exp(rng.uniform(0, np.log(min(largest_scale, min(image.shape) / side))))
    extent = min(round(side * scale), *image.shape)
    y0, x0 = (int(rng.integers(0, length - extent + 1)) for length in image.shape)
    return micrographs.augment(_averaged(image[y0 : y0 + extent, x0 : x0 + extent], side), rng)


def centre_crop(image: NDArray[np.float32], side: int, *, scale: float = 2.0) -> NDArray[np.float32]:
    """The (side, side) piece of the middle, averaged down by `scale`, less where the image is too small for it."""
    _check_large_enough(image, side)
    extent = min(round(side * scale), *image.shape)
    y0, x0 = ((length - extent) // 2 for length in image.shape)
    return _averaged(image[y0 : y0 + extent, x0 : x0 + extent], side)


def _averaged(image: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)


def _check_large_enough(image: NDArray[np.float32], side: int) -> None:
    if min(image.shape) < side:
        raise InvalidShape("real image", f"at least ({side}, {side})", image.shape, "leave it out of the folder")
