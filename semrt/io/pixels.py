"""From what a file holds to intensities, of one image or of a stack, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.data import LabelVolume, Micrograph, SparseScan, SparseVolume, Volume
from semrt.errors import InvalidShape, InvalidValue, UnsupportedFormat

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from semrt.data import PixelSize

__all__ = ["check_pixels", "grey", "image_or_stack", "intensities", "went", "with_gaps"]

_COLOURS = (3, 4)  # channels of RGB and RGBA
_REAL = "buif"  # kinds of dtypes


def check_pixels(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Refuse what is neither an image nor a stack of real numbers, from its header alone, before it is read.

    Axes of length one do not count: a stack of a single slice is one image.
    Raises InvalidShape, InvalidValue, UnsupportedFormat (colours as the last axis).
    """
    if len(shape) < 2 or min(shape) < 1 or sum(length > 1 for length in shape[:-2]) > 1:
        hint = "choose one stack" if len(shape) > 3 and min(shape) > 0 else ""
        raise InvalidShape(str(path), "(ny, nx) or (nz, ny, nx) with at least one pixel", shape, hint)
    if dtype.kind not in _REAL:
        raise InvalidValue(str(path), "real numbers", f"dtype {dtype}")
    if len(shape) > 2 and shape[-1] in _COLOURS and sorted(shape)[-2] > max(_COLOURS):
        what = f"shape {shape} is that of a colour image; save the intensities alone as (ny, nx)"
        raise UnsupportedFormat(path, what)


def intensities(path: Path, array: NDArray[Any]) -> NDArray[np.float32]:
    """(ny, nx) or (nz, ny, nx) float32 in the file's own counts, never rescaled; whole numbers are exact up to 2**24.

    Raises InvalidShape, InvalidValue, UnsupportedFormat.
    """
    check_pixels(path, array.shape, array.dtype)
    shape = (*(length for length in array.shape[:-2] if length > 1), *array.shape[-2:])
    with np.errstate(over="ignore"):  # beyond float32 becomes infinite, and is refused as such
        return np.ascontiguousarray(array.reshape(shape), np.float32)


def image_or_stack(
    path: Path,
    array: NDArray[Any],
    pixel_size: PixelSize | None = None,
    slice_thickness: float | None = None,
    *,
    metadata: dict[str, Any],
    provenance: dict[str, Any] | None = None,
) -> Micrograph | Volume:
    """What a file without gaps holds: a Micrograph, or a Volume where it has several slices.

    Raises InvalidShape, InvalidValue, UnsupportedFormat.
    """
    counts = intensities(path, array)
    if counts.ndim == 2:
        return Micrograph(counts, pixel_size, metadata=metadata, provenance=provenance or {})
    return Volume(counts, pixel_size, slice_thickness, metadata=metadata, provenance=provenance or {})


def grey(path: Path, channels: NDArray[Any]) -> NDArray[Any]:
    """What equal colour channels repeat, (..., ny, nx), the transparency dropped where it is uniform.

    channels: (..., ny, nx, 1 to 4): grey, grey + alpha, RGB, RGB + alpha.  Raises UnsupportedFormat where that would
    lose something.
    """
    count = channels.shape[-1]
    if count > 4:
        raise UnsupportedFormat(path, f"has {count} channels; save the one to use as a grey image")
    colours = channels[..., : count - 1 if count in (2, 4) else count]
    first = colours[..., 0]
    if not all(np.array_equal(first, colours[..., i]) for i in range(1, colours.shape[-1])):
        raise UnsupportedFormat(path, "is a colour image; save the intensities as a grey image (8, 16 or 32 bit)")
    if count in (2, 4) and (channels[..., -1] != channels[..., -1].flat[0]).any():
        raise UnsupportedFormat(path, "is partly transparent; save it without an alpha channel")
    return first


def went(what: str, mask: NDArray[Any]) -> NDArray[np.bool_]:
    """Where the probe went, by a mask of any shape: where it is not zero; NaN counts as zero.

    what: the mask's name.  Raises InvalidValue (no real numbers).
    """
    if mask.dtype.kind not in _REAL:
        raise InvalidValue(what, "zero where the probe did not go, else another real number", f"dtype {mask.dtype}")
    visited: NDArray[np.bool_] = (mask != 0) & (mask == mask)  # NaN differs from itself
    return visited


def with_gaps(path: Path, data: object) -> NDArray[np.float32] | NDArray[np.uint8]:
    """The pixels of an image or a stack, (ny, nx) or (nz, ny, nx), with NaN where the probe did not go; or the labels.

    Raises UnsupportedFormat for anything else, and for an exposure map, which would be lost.
    """
    if isinstance(data, Micrograph | Volume):
        return data.intensity
    if isinstance(data, LabelVolume):
        return data.labels
    if not isinstance(data, SparseScan | SparseVolume):
        raise UnsupportedFormat(path, f"holds images, not a {type(data).__name__}; write a .csv")
    if isinstance(data, SparseScan) and data.exposure is not None:
        raise UnsupportedFormat(path, "cannot hold the exposure of each pixel; write a .npz")
    return np.where(data.visited, data.intensity, np.float32("nan"))
