"""Images of one field at many beam energies, and the thickness of the layers that they tell of."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.data._checks import checked_pixel_size, stack
from semrt.errors import InvalidOption, InvalidShape, InvalidValue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    from semrt.data._checks import PixelSize
    from semrt.data.volume import Volume

__all__ = ["EnergyStack", "LayerMap", "turned_axes"]

_TOTAL = 160.0  # [nm], height of the voxel volume where nobody says: 16 voxels of 10 nm
_BRIGHTEST = 1.5  # mean signal; no more than the beam can come back, and a wrong gain explains no more either
_NEARLY = 1e-4  # of a voxel, by which a layer may fall short of filling it: 10 nm computed as 9.9999 nm fills one of 10


@dataclass(frozen=True, eq=False, slots=True)
class EnergyStack:
    """Backscatter images of one field of view, one at each beam energy.

    intensity: (n, ny, nx) float32, n >= 2, as a fraction of the beam; zero or more.
    energies: (n,) float64 [keV], rising.
    pixel_size: (dy, dx) [nm] or None.
    metadata: what the file said of the acquisition.  provenance: how the stack was made; empty for a measured one.

    Raises InvalidShape, also where the axes seem to be (ny, nx, n), and InvalidValue.
    """

    intensity: NDArray[np.float32]
    energies: NDArray[np.float64]
    pixel_size: PixelSize | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = np.shape(self.intensity)
        if len(shape) != 3 or 0 in shape or shape[0] < 2:
            wanted = "(n, ny, nx), an image for each of two beam energies or more"
            raise InvalidShape("intensity", wanted, shape, turned_axes(shape, np.size(self.energies)))
        intensity = stack("intensity", self.intensity)
        energies = np.ascontiguousarray(self.energies, np.float64)
        if energies.shape != shape[:1]:
            hint = turned_axes(shape, energies.size)
            raise InvalidShape("energies", f"({shape[0]},), as intensity has", energies.shape, hint)
        for bad, wanted, got, hint in (
            (~np.isfinite(intensity), "finite values", "NaN or infinite ones", "crop or fill them"),
            (intensity < 0, "zero or more", "negative ones", "correct the detector's offset"),
        ):
            if number := np.count_nonzero(bad.any(0)):
                raise InvalidValue("intensity", wanted, f"{got} in {number} of {bad[0].size} pixels", hint)
        mean = float(intensity.mean(dtype=np.float64))
        if mean > _BRIGHTEST:
            hint = "divide them by what the detector gives for the whole beam"
            raise InvalidValue("intensity", "fractions of the beam, 0 to 1", f"counts of {mean:.4g} on average", hint)
        object.__setattr__(self, "intensity", intensity)
        object.__setattr__(self, "energies", _checked_energies(energies, len(intensity), "intensity"))
        object.__setattr__(self, "pixel_size", checked_pixel_size(self.pixel_size))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(n, ny, nx)."""
        n, ny, nx = self.intensity.shape
        return n, ny, nx

    @classmethod
    def from_volume(cls, volume: Volume, energies: ArrayLike | None = None) -> EnergyStack:
        """Take the slices of a stack for images at energies (n,) [keV]; None for those of its metadata (energies_keV).

        Raises InvalidShape, InvalidValue.
        """
        if energies is None:
            energies = volume.metadata.get("energies_keV")
        if energies is None:
            hint = turned_axes(volume.shape) or "name them, as the file does not"
            raise InvalidValue("energies", "one a slice [keV]", "none", hint)
        told = np.asarray(energies, np.float64)
        return cls(volume.intensity, told, volume.pixel_size, volume.metadata, volume.provenance)


@dataclass(frozen=True, eq=False, slots=True)
class LayerMap:
    """Thickness of two layers, one upon the other, pixel by pixel.

    thickness: (2, ny, nx) float32 [nm], the lower layer first; zero where there is none.
    sigma: (2, ny, nx) float32 [nm], one standard deviation of thickness; NaN or infinite where nobody knows.
    names: of the lower and the upper material.
    residual: (n,) float64, root mean square of (measured - modelled) / modelled at each energy; None if not computed.
    energies: (n,) float64 [keV], those of the residual.
    pixel_size: (dy, dx) [nm] or None.
    metadata: what the file said of the acquisition.  provenance: how the map was inferred.
    notes: what the reader of the result must know, each in a line.

    Raises InvalidShape, InvalidValue.
    """

    thickness: NDArray[np.float32]
    sigma: NDArray[np.float32] | None = None
    names: tuple[str, str] = ("gold", "aluminium")
    residual: NDArray[np.float64] | None = None
    energies: NDArray[np.float64] | None = None
    pixel_size: PixelSize | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shape = np.shape(self.thickness)
        if len(shape) != 3 or shape[0] != 2 or 0 in shape:
            raise InvalidShape("thickness", "(2, ny, nx), lower and upper layer", shape)
        thickness = stack("thickness", self.thickness)
        if not (np.isfinite(thickness).all() and (thickness >= 0).all()):
            raise InvalidValue("thickness", "finite values, zero or more [nm]", "others")
        object.__setattr__(self, "thickness", thickness)
        if self.sigma is not None:
            if np.shape(self.sigma) != shape:
                raise InvalidShape("sigma", f"{shape}, as thickness has", np.shape(self.sigma))
            sigma = stack("sigma", self.sigma)
            if (sigma < 0).any():  # NaN is not
                raise InvalidValue("sigma", "zero or more [nm]", "negative ones")
            object.__setattr__(self, "sigma", sigma)
        names = tuple(self.names)
        if len(names) != 2 or names[0] == names[1]:
            raise InvalidValue("names", "two materials, the lower and the upper", names)
        object.__setattr__(self, "names", names)
        if self.residual is not None:
            residual = np.ascontiguousarray(self.residual, np.float64)
            if residual.ndim != 1:
                raise InvalidShape("residual", "(n,), one an energy", residual.shape)
            object.__setattr__(self, "residual", residual)
        if self.energies is not None:
            n = None if self.residual is None else len(self.residual)
            object.__setattr__(self, "energies", _checked_energies(self.energies, n, "residual"))
        object.__setattr__(self, "pixel_size", checked_pixel_size(self.pixel_size))
        object.__setattr__(self, "notes", tuple(self.notes))

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        _, ny, nx = self.thickness.shape
        return ny, nx

    def voxels(self, height: float = 10.0, total: float | None = None) -> NDArray[np.uint8]:
        """(nz, ny, nx) uint8 from the bottom up: 0 nothing, 1 the lower material, 2 the upper one.

        height: of a voxel [nm]; what does not fill one is left out.
        total: of the volume [nm], above which the layers are cut; None for 160 nm, or more where they are higher.
        Raises InvalidOption.
        """
        for name, length in (("height", height), ("total", total)):
            if length is not None and not (isfinite(length) and length > 0):
                raise InvalidOption(f"{name}: expected above zero nm, got {length}")
        lower, upper = np.floor(self.thickness.astype(np.float64) / height + _NEARLY).astype(np.int32)
        top = lower + upper
        nz = ceil((_TOTAL if total is None else total) / height - _NEARLY)
        if total is None:
            nz = max(nz, int(top.max()))
        z = np.arange(nz, dtype=np.int32)[:, None, None]
        below_top, in_lower = (z < top).view(np.uint8), (z < lower).view(np.uint8)
        return np.asarray(2 * below_top - in_lower, np.uint8)


def turned_axes(shape: tuple[int, ...], n: int | None = None) -> str:
    """Say how to mend a stack whose axes seem to be in another order than (n, ny, nx); empty where nothing does.

    n: energies, where it is known how many there are; else the last axis gives itself away by being far the shortest.
    """
    if len(shape) != 3 or shape[0] == n:
        return ""
    if shape[2] == n or (shape[1] != n and 3 * shape[2] < min(shape[:2])):
        order, axis = "(ny, nx, n)", -1
    elif shape[1] == n:
        order, axis = "(ny, n, nx)", 1
    else:
        return ""
    return f"its axes seem to be {order}: save it as (n, ny, nx), such as by np.moveaxis(stack, {axis}, 0)"


def _checked_energies(energies: ArrayLike, n: int | None, of: str) -> NDArray[np.float64]:
    """(n,) [keV], positive and rising; n: as many as `of` has, None for any."""
    checked = np.ascontiguousarray(energies, np.float64)
    if checked.ndim != 1 or not len(checked) or (n is not None and len(checked) != n):
        raise InvalidShape("energies", "(n,)" if n is None else f"({n},), as {of} has", checked.shape)
    if not (np.isfinite(checked).all() and checked[0] > 0):
        raise InvalidValue("energies", "finite values above zero [keV]", "others")
    if (np.diff(checked) <= 0).any():
        raise InvalidValue("energies", "rising values [keV]", "others", "sort energies and images alike")
    return checked
