"""NumPy's NPZ, the one format that holds all of a Micrograph or a SparseScan.

Keys: intensity (ny, nx); visited (ny, nx), non-zero where the probe went; pixel_size (2,) as (dy, dx) [nm]; exposure
and error (ny, nx); description, the JSON text of metadata and provenance. All but intensity may be missing. A file of
visited alone is a mask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.data import Micrograph, SparseScan
from semrt.errors import InvalidShape, UnsupportedFormat
from semrt.io.description import acquisition, describe, understand
from semrt.io.npy import refusing_pickles
from semrt.io.pixels import plane

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from semrt.data import PixelSize

__all__ = ["SUFFIXES", "read", "write"]

SUFFIXES = (".npz",)

_KEYS = ("intensity", "visited", "pixel_size", "exposure", "error", "description")


def read(path: Path) -> Micrograph | SparseScan:
    """Read a SparseScan where the file says what was visited, else a Micrograph.

    Raises UnsupportedFormat, InvalidShape, InvalidValue, EmptyScan.
    """
    with path.open("rb") as file:  # not left to NumPy, which does not close it over a damaged archive
        if file.read(2) != b"PK":
            raise UnsupportedFormat(path, "is not an NPZ file; is its suffix right?")
        file.seek(0)
        with refusing_pickles(path), np.load(file, allow_pickle=False) as archive:
            held = {key: archive[key] for key in _KEYS if key in archive.files}
            names = ", ".join(archive.files) or "none"
    if "intensity" in held:
        visited = held.get("visited")
    elif "visited" in held:
        held["intensity"], visited = held["visited"], None  # a mask, as an image of zeros and ones
    else:
        raise UnsupportedFormat(path, f"expected the arrays intensity and visited, got: {names}")
    known = understand(str(held["description"])) if "description" in held else None
    acquired = acquisition({"format": "NPZ", "dtype": str(held["intensity"].dtype)}, known)
    intensity, pixel_size = plane(path, held["intensity"]), _pixel_size(path, held.get("pixel_size"))
    if visited is None:
        return Micrograph(intensity, pixel_size, held.get("error"), **acquired)
    return SparseScan(intensity, visited, pixel_size, held.get("exposure"), acquired["metadata"])


def write(path: Path, data: Micrograph | SparseScan) -> None:
    """Write all there is, uncompressed. Raises UnsupportedFormat."""
    if not isinstance(data, Micrograph | SparseScan):
        raise UnsupportedFormat(path, f"holds images, not a {type(data).__name__}; write a .csv")
    arrays: dict[str, Any] = {"intensity": data.intensity, "pixel_size": data.pixel_size}
    if isinstance(data, SparseScan):
        arrays |= {"visited": data.visited, "exposure": data.exposure}
    else:
        arrays |= {"error": data.error}
    held = {key: array for key, array in arrays.items() if array is not None}
    np.savez(path, description=np.array(describe(data)), **held)


def _pixel_size(path: Path, held: NDArray[Any] | None) -> PixelSize | None:
    if held is None:
        return None
    if held.shape not in {(), (1,), (2,)}:
        raise InvalidShape(f"{path}: pixel_size", "(2,) as (dy, dx) [nm]", held.shape)
    dy, dx = np.broadcast_to(np.asarray(held, float), (2,)).tolist()
    return None if np.isnan([dy, dx]).any() else (dy, dx)
