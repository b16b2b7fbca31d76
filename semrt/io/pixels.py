"""From what a file holds to a plane of intensities, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.data import Micrograph, SparseScan
from semrt.errors import InvalidShape, InvalidValue, UnsupportedFormat

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["check_plane", "grey", "plane", "with_gaps"]


def check_plane(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Refuse what is not one image of real numbers, from its header alone, before it is read.

    A stack of a single slice counts as one image.  Raises InvalidShape, InvalidValue.
    """
    if len(shape) < 2 or min(shape) < 1 or max(shape[:-2], default=1) > 1:
        hint = "choose one slice of the stack" if len(shape) > 2 and min(shape) > 0 else ""
        raise InvalidShape(str(path), "(ny, nx) with at least one pixel", shape, hint)
    if dtype.kind not in "buif":
        raise InvalidValue(str(path), "real numbers", f"dtype {dtype}")


def plane(path: Path, array: NDArray[Any]) -> NDArray[np.float32]:
    """The image as (ny, nx) float32 in the file's own counts, never rescaled; whole numbers are exact up to 2**24.

    array: (ny, nx), or that with leading axes of length one.  Raises InvalidShape, InvalidValue.
    """
    check_plane(path, array.shape, array.dtype)
    with np.errstate(over="ignore"):  # beyond float32 becomes infinite, and is refused as such
        return np.ascontiguousarray(array.reshape(array.shape[-2:]), np.float32)


def grey(path: Path, channels: NDArray[Any]) -> NDArray[Any]:
    """The one grey image that equal colour channels repeat, (ny, nx), its transparency dropped where it is uniform.

    channels: (ny, nx, 1 to 4): grey, grey + alpha, RGB, RGB + alpha.  Raises UnsupportedFormat where that would lose
    something.
    """
    count = channels.shape[-1]
    if count > 4:
        raise UnsupportedFormat(path, f"has {count} channels; save the one to use as a grey image")
    colours = channels[..., : count - 1 if count in (2, 4) else count]
    first = colours[..., 0]
    if not all(np.array_equal(first, colours[..., i]) for i in range(1, colours.shape[-1])):
        raise UnsupportedFormat(path, "is a colour image; save the intensities as a grey image (8, 16 or 32 bit)")
    if count in (2, 4) and (channels[..., -1] != channels[0, 0, -1]).any():
        raise UnsupportedFormat(path, "is partly transparent; save it without an alpha channel")
    return first


def with_gaps(path: Path, data: object) -> NDArray[np.float32]:
    """The pixels of an image, (ny, nx), with NaN where the probe did not go.

    Raises UnsupportedFormat for anything but an image, and for an exposure map, which would be lost.
    """
    if isinstance(data, Micrograph):
        return data.intensity
    if not isinstance(data, SparseScan):
        raise UnsupportedFormat(path, f"holds images, not a {type(data).__name__}; write a .csv")
    if data.exposure is not None:
        raise UnsupportedFormat(path, "cannot hold the exposure of each pixel; write a .npz")
    return np.where(data.visited, data.intensity, np.float32("nan"))
