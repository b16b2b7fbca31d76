"""Tilt series and tomograms as arrays of an NPZ, which holds all of them.

Of a series: intensity (n, ny, ns), tilt_angles (n,) [degrees], axis_offset [px] and pixel_size (2,) as (dy, ds) [nm].
Of a tomogram: density (nz, ny, nx), inferred likewise, tilt_range (2,) [degrees] and voxel_size (3,) [nm].
Of both: description.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.data import TiltSeries, Tomogram
from semrt.io.description import acquisition, describe, understand

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from semrt.data import PixelSize

    Arrays = Mapping[str, NDArray[Any]]

__all__ = ["KEYS", "arrays_of", "tilt_series", "tomogram"]

KEYS = ("tilt_angles", "axis_offset", "density", "inferred", "tilt_range", "voxel_size")


def tilt_series(held: Arrays, pixel_size: PixelSize | None) -> TiltSeries:
    """The series of an NPZ that has tilt angles.  Raises InvalidShape, InvalidValue."""
    known = understand(str(held["description"])) if "description" in held else None
    facts = {"format": "NPZ", "dtype": str(held["intensity"].dtype)}
    offset = float(held["axis_offset"]) if "axis_offset" in held else 0.0
    return TiltSeries(held["intensity"], held["tilt_angles"], pixel_size, offset, **acquisition(facts, known))


def tomogram(held: Arrays) -> Tomogram:
    """The tomogram of an NPZ that has a density.  Raises InvalidShape, InvalidValue."""
    known = understand(str(held["description"])) if "description" in held else None
    range_, voxel_size = (held[name].tolist() if name in held else None for name in ("tilt_range", "voxel_size"))
    return Tomogram(
        held["density"],
        range_,
        voxel_size,
        held.get("inferred"),
        notes=tuple((known or {}).get("notes", ())),
        **acquisition({"format": "NPZ", "dtype": str(held["density"].dtype)}, known),
    )


def arrays_of(data: TiltSeries | Tomogram) -> dict[str, NDArray[Any]]:
    """What an NPZ of it holds."""
    if isinstance(data, TiltSeries):
        arrays: dict[str, Any] = {
            "intensity": data.intensity,
            "tilt_angles": data.angles,
            "axis_offset": data.axis_offset,
            "pixel_size": data.pixel_size,
        }
        description = describe(data)
    else:
        arrays = {name: getattr(data, name) for name in ("density", "inferred", "tilt_range", "voxel_size")}
        description = describe(data, notes=data.notes)
    held = arrays | {"description": description}
    return {key: np.asarray(array) for key, array in held.items() if array is not None}
