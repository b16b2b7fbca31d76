"""NumPy's NPZ, the one format that holds all of an image or a stack, sparse or whole.

Keys: intensity (ny, nx) or (nz, ny, nx); visited of the same shape or (ny, nx) for every slice, non-zero where the
probe went (NaN counts as zero); pixel_size (2,) as (dy, dx) [nm]; slice_thickness [nm]; exposure (ny, nx); error, as
intensity; description, the JSON text of metadata and provenance. All but intensity may be missing. A file of visited
alone is a mask. One with energies_keV or thickness holds images at beam energies or a map of layers: see layers_npz.
One with tilt_angles or density holds a tilt series or a tomogram: see tilt_npz.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.data import (
    EnergyStack,
    LabelVolume,
    LayerMap,
    Micrograph,
    SparseScan,
    SparseVolume,
    TiltSeries,
    Tomogram,
    Volume,
)
from semrt.errors import InvalidShape, UnsupportedFormat
from semrt.io import layers_npz, tilt_npz
from semrt.io.description import acquisition, describe, understand
from semrt.io.npy import refusing_pickles
from semrt.io.pixels import image_or_stack, went

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from semrt.data import PixelSize
    from semrt.io.formats import Image, Measured

__all__ = ["SUFFIXES", "read", "write"]

SUFFIXES = (".npz",)

_PLANES = ("intensity", "visited", "exposure", "dwell_time", "error")
_KEYS = (*_PLANES, "pixel_size", "slice_thickness", "description", *layers_npz.KEYS, *tilt_npz.KEYS)


def read(path: Path) -> Measured:
    """Read a SparseScan or SparseVolume where the file says what was visited, else a Micrograph or Volume.

    With thickness it is a LayerMap, with energies and without visited an EnergyStack; with density a Tomogram, with
    tilt angles and without visited a TiltSeries.

    Raises UnsupportedFormat, InvalidShape, InvalidValue, EmptyScan.
    """
    with path.open("rb") as file:  # not left to NumPy, which does not close it over a damaged archive
        if file.read(2) != b"PK":
            raise UnsupportedFormat(path, "is not an NPZ file; is its suffix right?")
        file.seek(0)
        with refusing_pickles(path), np.load(file, allow_pickle=False) as archive:
            held = {key: archive[key] for key in _KEYS if key in archive.files}
            names = ", ".join(archive.files) or "none"
    if "thickness" in held:
        return layers_npz.layer_map(held, _pixel_size(path, held.get("pixel_size")))
    if "energies_keV" in held and "intensity" in held and "visited" not in held:
        return layers_npz.energy_stack(held, _pixel_size(path, held.get("pixel_size")))
    if "density" in held:
        return tilt_npz.tomogram(held)
    if "tilt_angles" in held and "intensity" in held and "visited" not in held:
        return tilt_npz.tilt_series(held, _pixel_size(path, held.get("pixel_size")))
    # As in every format, a stack of a single slice is one image.
    held |= {key: held[key][0] for key in _PLANES if key in held and held[key].ndim == 3 and len(held[key]) == 1}
    if "intensity" in held:
        visited = went("visited", held["visited"]) if "visited" in held else None
    elif "visited" in held:
        held["intensity"], visited = held["visited"], None  # a mask, as an image of zeros and ones
    else:
        raise UnsupportedFormat(path, f"expected the arrays intensity and visited, got: {names}")
    known = understand(str(held["description"])) if "description" in held else None
    acquired = acquisition({"format": "NPZ", "dtype": str(held["intensity"].dtype)}, known)
    pixel_size = _pixel_size(path, held.get("pixel_size"))
    thickness = _slice_thickness(path, held.get("slice_thickness"))
    whole = image_or_stack(path, held["intensity"], pixel_size, thickness, **acquired)
    if visited is None:
        return replace(whole, error=held.get("error"))
    metadata = acquired["metadata"]
    if isinstance(whole, Micrograph):
        return SparseScan(whole.intensity, visited, pixel_size, held.get("exposure"), held.get("dwell_time"), metadata)
    for name in ("exposure", "dwell_time"):
        if name in held:
            raise UnsupportedFormat(
                path, f"the {name} of each pixel is for a single scan, not for a stack; leave it out"
            )
    return SparseVolume(whole.intensity, visited, pixel_size, thickness, metadata)


def write(path: Path, data: Image | EnergyStack | LayerMap | LabelVolume | TiltSeries | Tomogram) -> None:
    """Write all there is, uncompressed. Raises UnsupportedFormat."""
    if isinstance(data, EnergyStack | LayerMap):
        arrays_of: dict[str, Any] = layers_npz.arrays_of(data)
        np.savez(path, **arrays_of)
        return
    if isinstance(data, TiltSeries | Tomogram):
        tilted: dict[str, Any] = tilt_npz.arrays_of(data)
        np.savez(path, **tilted)
        return
    if not isinstance(data, Micrograph | SparseScan | Volume | SparseVolume | LabelVolume):
        raise UnsupportedFormat(path, f"holds images, not a {type(data).__name__}; write a .csv")
    arrays = {key: getattr(data, key, None) for key in (*_PLANES, "pixel_size", "slice_thickness")}
    if isinstance(data, LabelVolume):
        arrays["intensity"] = data.labels
    held: dict[str, Any] = {key: array for key, array in arrays.items() if array is not None}
    np.savez(path, description=np.array(describe(data)), **held)


def _pixel_size(path: Path, held: NDArray[Any] | None) -> PixelSize | None:
    if held is None:
        return None
    if held.shape not in {(), (1,), (2,)}:
        raise InvalidShape(f"{path}: pixel_size", "(2,) as (dy, dx) [nm]", held.shape)
    dy, dx = np.broadcast_to(np.asarray(held, float), (2,)).tolist()
    return None if np.isnan([dy, dx]).any() else (dy, dx)


def _slice_thickness(path: Path, held: NDArray[Any] | None) -> float | None:
    if held is None:
        return None
    if held.size != 1:
        raise InvalidShape(f"{path}: slice_thickness", "() as one length [nm]", held.shape)
    thickness = float(held.reshape(()))
    return None if np.isnan(thickness) else thickness
