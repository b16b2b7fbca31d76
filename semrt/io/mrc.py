"""MRC2014 and IMOD's files of it: one image or volume of a real mode, its voxel size in Å.

Metadata and provenance travel in the extended header, of type `SMRT`, as JSON; one label says so.
Cheng et al. 2015, doi:10.1016/j.jsb.2015.04.002.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.data import LabelVolume, SparseVolume, Tomogram, Volume
from semrt.errors import UnreadableFile, UnsupportedFormat
from semrt.io.calibration import nanometres, pixel_size_from
from semrt.io.description import acquisition, describe, understand
from semrt.io.mrc_tilts import tilt_angles
from semrt.io.pixels import check_pixels, image_or_stack, with_gaps

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from semrt.data import Micrograph, PixelSize
    from semrt.io.formats import Image

__all__ = ["SUFFIXES", "mapped", "read", "write"]

SUFFIXES = (".mrc", ".rec", ".ali", ".st")

_EXTENDED = b"SMRT"
_LABELS = 0  # the mode of bytes, which some programs take to be signed and some not: labels are below 128
_IMAGE, _VOLUME = 0, 1  # space groups, as MRC2014 uses them
_IMOD_STAMP = 1146047817
_IMOD_SIGNED_BYTES = 1


@dataclass(frozen=True)
class _Opened:
    """What the header of a file says, and where its pixels begin."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    start: int
    pixel_size: PixelSize | None
    slice_thickness: float | None
    acquired: dict[str, Any]


def read(path: Path) -> Micrograph | Volume:
    """Read mode 0, 1, 2, 6 or 12. Raises UnreadableFile, UnsupportedFormat, InvalidShape, InvalidValue."""
    file = _open(path)
    pixels = np.fromfile(path, file.dtype, math.prod(file.shape), offset=file.start).reshape(file.shape)
    return image_or_stack(path, pixels, file.pixel_size, file.slice_thickness, **file.acquired)


def mapped(path: Path) -> tuple[NDArray[Any], Callable[[NDArray[np.float32]], Volume]] | None:
    """A stack's pixels as they lie in the file, mapped into memory, and what makes a Volume of a part of them.

    None for a single image.  Raises what `read` does.
    """
    file = _open(path)
    if len(file.shape) != 3:
        return None
    pixels = np.memmap(path, file.dtype, "r", file.start, file.shape)

    def volume(part: NDArray[np.float32]) -> Volume:
        return Volume(part, file.pixel_size, file.slice_thickness, **file.acquired)

    return pixels, volume


def _open(path: Path) -> _Opened:
    import mrcfile
    from mrcfile import utils

    # The header alone: mrcfile would read a whole volume before it could be refused, and warn of trailing bytes.
    with mrcfile.open(path, header_only=True) as file:
        header, extended = file.header, file.extended_header.tobytes()
        labels = [label.strip() for label in file.get_labels()]
    try:
        dtype = utils.data_dtype_from_header(header)
    except ValueError as why:
        raise UnsupportedFormat(path, f"MRC mode {int(header.mode)} is not supported; save it as mode 2") from why
    if dtype == np.int8 and _bytes_are_unsigned(header):
        dtype = np.dtype(np.uint8)
    shape = tuple(int(length) for length in utils.data_shape_from_header(header))
    check_pixels(path, shape, dtype)
    wanted, start = math.prod(shape), header.nbytes + int(header.nsymbt)
    held = (path.stat().st_size - start) // dtype.itemsize
    if held < wanted:
        raise UnreadableFile(path, f"its header promises {wanted} pixels, it holds {max(held, 0)}")

    facts: dict[str, Any] = {"format": "MRC", "dtype": dtype.newbyteorder("=").name}
    if any(labels):
        facts["labels"] = labels
    told = "yx" if len(shape) == 2 else "zyx"
    if any(float(header.origin[axis]) for axis in told):
        facts["axes"] = {axis: {"unit": "Å", "origin": float(header.origin[axis])} for axis in told}
    if len(shape) == 3 and (angles := tilt_angles(header, extended)) is not None:
        facts["tilt_angles"] = angles
    known = understand(extended.decode("utf-8").rstrip("\0")) if bytes(header.exttyp) == _EXTENDED else None
    return _Opened(shape, dtype, start, _pixel_size(header), _slice_thickness(header), acquisition(facts, known))


def write(path: Path, data: Image | LabelVolume | Tomogram) -> None:
    """Write mode 2, with NaN where the probe did not go; labels as mode 0. Raises UnsupportedFormat."""
    from mrcfile.dtypes import HEADER_DTYPE

    pixels: NDArray[Any]
    if isinstance(data, Tomogram):  # all of which may not fit into memory: plane by plane
        pixels, data = data.in_file_order(), data.slab(slice(0, 1)).as_volume()
    else:
        pixels = with_gaps(path, data)
    mode, dtype = (_LABELS, "i1") if isinstance(data, LabelVolume) else (2, "<f4")
    image = pixels.astype(dtype, copy=False)
    description = describe(data).encode("ascii")
    dy, dx = data.pixel_size or (0.0, 0.0)  # 0 is the format's word for unknown
    ny, nx = image.shape[-2:]
    if isinstance(data, Volume | SparseVolume | LabelVolume):
        nz, dz, space_group = len(image), data.slice_thickness or 0.0, _VOLUME
    else:
        nz, dz, space_group = 1, dx, _IMAGE
    header = np.zeros((), HEADER_DTYPE.newbyteorder("<"))
    for name, value in {
        "nx": nx,
        "ny": ny,
        "nz": nz,
        "mode": mode,
        "mx": nx,
        "my": ny,
        "mz": nz,
        "cella": (10 * dx * nx, 10 * dy * ny, 10 * dz * nz),
        "cellb": (90, 90, 90),
        "mapc": 1,
        "mapr": 2,
        "maps": 3,
        "ispg": space_group,
        "origin": _origin(data.metadata),
        **_statistics(image if image.ndim == 3 else image[np.newaxis]),
        "nsymbt": len(description),
        "exttyp": _EXTENDED,
        "nversion": 20141,
        "map": b"MAP ",
        "machst": (0x44, 0x44, 0, 0),
        "nlabl": 1,
    }.items():
        header[name] = value
    header["label"][0] = b"semrt: metadata and provenance as JSON in the extended header"
    with path.open("wb") as file:
        file.write(header.tobytes())
        file.write(description)
        for plane in image if image.ndim == 3 else (image,):
            file.write(np.ascontiguousarray(plane).data)


def _origin(metadata: Mapping[str, Any]) -> tuple[float, float, float]:
    """Where the first voxel lies, (x, y, z) [Å], as far as a file said so in that unit."""
    axes = metadata.get("axes")
    told = axes if isinstance(axes, Mapping) else {}
    found = [of if isinstance(of := told.get(axis), Mapping) and of.get("unit") == "Å" else {} for axis in "xyz"]
    x, y, z = (float(of.get("origin", 0.0)) for of in found)
    return x, y, z


def _statistics(stack: NDArray[Any]) -> dict[str, float]:
    """Range, mean and deviation of what was measured, slice by slice: a stack is large, and a copy of it too."""
    slices = [(plane, np.isfinite(plane)) for plane in stack]
    count = sum(np.count_nonzero(measured) for _, measured in slices)
    mean = sum(plane.sum(dtype=np.float64, where=measured) for plane, measured in slices) / count
    squares = sum(np.square(plane[measured] - mean, dtype=np.float64).sum() for plane, measured in slices)
    return {
        "dmin": min(plane[measured].min() for plane, measured in slices),
        "dmax": max(plane[measured].max() for plane, measured in slices),
        "dmean": mean,
        "rms": math.sqrt(squares / count),
    }


def _pixel_size(header: Any) -> PixelSize | None:
    """(dy, dx) [nm]; uncalibrated files hold 0 or -1, which is unknown, not 1 Å."""
    intervals = int(header.my), int(header.mx)
    if min(intervals) < 1:
        return None
    return pixel_size_from(float(header.cella.y) / intervals[0], float(header.cella.x) / intervals[1], "Å", "Å")


def _slice_thickness(header: Any) -> float | None:
    """From slice to slice [nm]; a stack of images, which is no volume (mz 1), does not say."""
    intervals = int(header.mz)
    return nanometres(float(header.cella.z) / intervals, "Å") if intervals > 1 else None


def _bytes_are_unsigned(header: Any) -> bool:
    """Whether IMOD wrote mode 0 and does not say that its bytes are signed, as MRC2014 takes them to be."""
    stamp, flags = np.frombuffer(bytes(header.extra2)[40:48], header.mode.dtype)
    return bool(stamp == _IMOD_STAMP and not flags & _IMOD_SIGNED_BYTES)
