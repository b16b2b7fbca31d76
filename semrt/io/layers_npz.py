"""Images at beam energies, and maps of layers, as arrays of an NPZ, which holds all of them.

Of a stack: intensity (n, ny, nx) and energies_keV (n,).  Of a map: thickness (2, ny, nx) [nm], sigma (2, ny, nx) [nm],
names (2,), residual (n,) and energies_keV (n,).  Of both: pixel_size (2,) as (dy, dx) [nm] and description.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.data import EnergyStack, LayerMap
from semrt.io.description import acquisition, describe, understand

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from semrt.data import PixelSize

    Arrays = Mapping[str, NDArray[Any]]

__all__ = ["KEYS", "arrays_of", "energy_stack", "layer_map"]

KEYS = ("thickness", "sigma", "names", "residual", "energies_keV")


def energy_stack(held: Arrays, pixel_size: PixelSize | None) -> EnergyStack:
    """The stack of an NPZ that has energies.  Raises InvalidShape, InvalidValue."""
    known = understand(str(held["description"])) if "description" in held else None
    facts = {"format": "NPZ", "dtype": str(held["intensity"].dtype)}
    return EnergyStack(held["intensity"], held["energies_keV"], pixel_size, **acquisition(facts, known))


def layer_map(held: Arrays, pixel_size: PixelSize | None) -> LayerMap:
    """The map of an NPZ that has thickness.  Raises InvalidShape, InvalidValue."""
    known = understand(str(held["description"])) if "description" in held else None
    names: dict[str, Any] = {"names": tuple(held["names"].tolist())} if "names" in held else {}
    return LayerMap(
        held["thickness"],
        held.get("sigma"),
        residual=held.get("residual"),
        energies=held.get("energies_keV"),
        pixel_size=pixel_size,
        notes=tuple((known or {}).get("notes", ())),
        **names,
        **acquisition({"format": "NPZ", "dtype": str(held["thickness"].dtype)}, known),
    )


def arrays_of(data: EnergyStack | LayerMap) -> dict[str, NDArray[Any]]:
    """What an NPZ of it holds."""
    if isinstance(data, EnergyStack):
        arrays: dict[str, Any] = {"intensity": data.intensity, "energies_keV": data.energies}
        description = describe(data)
    else:
        arrays = {
            "thickness": data.thickness,
            "sigma": data.sigma,
            "names": np.array(data.names),
            "residual": data.residual,
            "energies_keV": data.energies,
        }
        description = describe(data, notes=data.notes)
    held = arrays | {"pixel_size": data.pixel_size, "description": description}
    return {key: np.asarray(array) for key, array in held.items() if array is not None}
