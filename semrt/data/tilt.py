"""Projections of a specimen at many tilts, and the volume that they tell of.

A volume is (z, y, x), the tilt axis is y, and the beam at 0° runs along z. At tilt θ what lies at (z, x) falls on the
detector at s = x cos θ + z sin θ; z, x and s are measured from the middle (n - 1) / 2.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import isfinite, pi
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from semrt.data._checks import checked_pixel_size, like, stack
from semrt.data.volume import Volume
from semrt.errors import InvalidOption, InvalidShape, InvalidValue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import ArrayLike, NDArray

    from semrt.data._checks import PixelSize

    VoxelSize = tuple[float, float, float]

__all__ = ["AXES", "TiltSeries", "Tomogram"]

AXES = ("zyx", "yzx")
"""Orders in which files hold tomograms: slices along the beam, or along the tilt axis."""

_LIMIT = 90.0  # [degrees]
_RADIANS = pi / 2 + 1e-6  # no series of three tilts or more ends before this many degrees


@dataclass(frozen=True, eq=False, slots=True)
class TiltSeries:
    """Projections of one specimen, tilted about y from image to image, and aligned.

    intensity: (n, ny, ns) float32, n >= 2, in the units of the input; brighter where there is more.
    angles: (n,) float64 [degrees], -90 to 90, in the order of the projections, whatever that is.
    pixel_size: (dy, ds) [nm], from one number too; None when nobody said.
    axis_offset: where the tilt axis falls on the detector, from the middle of s [px].
    metadata: what the file said of the acquisition.  provenance: how the series was made; empty for a measured one.

    Raises InvalidShape, InvalidValue.
    """

    intensity: NDArray[np.float32]
    angles: NDArray[np.float64]
    pixel_size: PixelSize | None = None
    axis_offset: float = 0.0
    metadata: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = np.shape(self.intensity)
        if len(shape) != 3 or 0 in shape or shape[0] < 2:
            raise InvalidShape("intensity", "(n, ny, ns), a projection for each of two tilts or more", shape)
        object.__setattr__(self, "intensity", _finite("intensity", self.intensity))
        object.__setattr__(self, "angles", _checked_angles(self.angles, shape))
        object.__setattr__(self, "pixel_size", checked_pixel_size(self.pixel_size))
        offset = float(self.axis_offset)
        if not abs(offset) <= shape[2] / 2:  # NaN is not either
            wanted = f"from -{shape[2] / 2:g} to {shape[2] / 2:g} px, on the detector"
            raise InvalidValue("axis_offset", wanted, f"{offset:g}", "count it from the middle of the detector")
        object.__setattr__(self, "axis_offset", offset)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(n, ny, ns)."""
        n, ny, ns = self.intensity.shape
        return n, ny, ns

    @property
    def tilt_range(self) -> tuple[float, float]:
        """The lowest and the highest tilt [degrees]."""
        return float(self.angles.min()), float(self.angles.max())

    @property
    def n_slices(self) -> int:
        """Slices along the tilt axis, each of which is a problem of its own."""
        return self.shape[1]

    def slab(self, chosen: slice | NDArray[np.intp]) -> TiltSeries:
        """The slices that are chosen along the tilt axis."""
        return replace(self, intensity=self.intensity[:, chosen])

    def planes(self) -> Iterator[NDArray[np.float32]]:
        """The projections, one after the other."""
        yield from self.intensity

    @classmethod
    def from_volume(
        cls, volume: Volume, angles: ArrayLike | None = None, axis_offset: float | None = None
    ) -> TiltSeries:
        """Take the slices of a stack for projections at angles (n,) [degrees]; None for its metadata's tilt_angles.

        axis_offset [px]: None for that of its metadata (axis_offset_px), or zero.
        Raises InvalidShape, InvalidValue.
        """
        if angles is None:
            angles = volume.metadata.get("tilt_angles")
        if angles is None:
            raise InvalidValue("angles", "one a projection [degrees]", "none", "name them, as the file does not")
        told = np.asarray(angles, np.float64)
        if axis_offset is None:
            axis_offset = float(volume.metadata.get("axis_offset_px", 0.0))
        return cls(volume.intensity, told, volume.pixel_size, axis_offset, volume.metadata, volume.provenance)


@dataclass(frozen=True, eq=False, slots=True)
class Tomogram:
    """The density of a specimen in space, reconstructed from a tilt series or restored.

    density: (nz, ny, nx) float32, in the units of the input (never rescaled).
    tilt_range: lowest and highest tilt [degrees] that were measured; None when nobody said.
    voxel_size: (dz, dy, dx) [nm], from one number too; None when nobody said.
    inferred: (nz, ny, nx) float32, the part of density that lies in what no tilt measured; None if not computed.
    metadata: what the file said of the acquisition.  provenance: how the volume was inferred; empty for a measured one.
    notes: what the reader of the result must know, each in a line.

    Raises InvalidShape, InvalidValue.
    """

    SLICES: ClassVar[tuple[str, ...]] = ("density", "inferred")

    density: NDArray[np.float32]
    tilt_range: tuple[float, float] | None = None
    voxel_size: VoxelSize | None = None
    inferred: NDArray[np.float32] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "density", _finite("density", self.density))
        object.__setattr__(self, "tilt_range", _checked_range(self.tilt_range))
        object.__setattr__(self, "voxel_size", _checked_voxel_size(self.voxel_size))
        if self.inferred is not None:
            if np.shape(self.inferred) != self.shape:
                raise InvalidShape("inferred", f"{self.shape}, as density has", np.shape(self.inferred))
            object.__setattr__(
                self, "inferred", _finite("inferred", like("inferred", self.inferred, self.shape, np.float32))
            )
        object.__setattr__(self, "notes", tuple(self.notes))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(nz, ny, nx)."""
        nz, ny, nx = self.density.shape
        return nz, ny, nx

    @property
    def n_slices(self) -> int:
        """Slices along the tilt axis."""
        return self.shape[1]

    def slab(self, chosen: slice | NDArray[np.intp]) -> Tomogram:
        """The slices that are chosen along the tilt axis."""
        inferred = None if self.inferred is None else self.inferred[:, chosen]
        return replace(self, density=self.density[:, chosen], inferred=inferred)

    def planes(self) -> Iterator[NDArray[np.float32]]:
        """The planes across the beam, one after the other."""
        yield from self.density

    @classmethod
    def from_volume(
        cls, volume: Volume, tilt_range: tuple[float, float] | None = None, axes: str | None = None
    ) -> Tomogram:
        """Take a stack of slices for a tomogram; its voxel size is known where all three lengths are.

        tilt_range: lowest and highest tilt [degrees]; None for that of its metadata (tilt_range), if any.
        axes: of the stack, "zyx" (slices along the beam) or "yzx" (along the tilt axis, as IMOD's tilt has them); None
        for those of its metadata (axis_order), if any. They are kept there, for whoever writes the result.
        Raises InvalidShape, InvalidValue, InvalidOption.
        """
        if tilt_range is None:
            tilt_range = volume.metadata.get("tilt_range")
        axes = axes or str(volume.metadata.get("axis_order", "zyx"))
        if axes not in AXES:
            raise InvalidOption.unknown("axes", axes, AXES)
        voxel_size = None
        if volume.slice_thickness is not None and volume.pixel_size is not None:
            along, across, dx = volume.slice_thickness, *volume.pixel_size
            voxel_size = (along, across, dx) if axes == "zyx" else (across, along, dx)
        density = volume.intensity if axes == "zyx" else volume.intensity.swapaxes(0, 1)
        told = {**volume.metadata, "axis_order": axes} if axes != "zyx" else volume.metadata
        return cls(density, tilt_range, voxel_size, metadata=told, provenance=volume.provenance)

    def inferred_part(self) -> Tomogram | None:
        """What was inferred, as a tomogram; None where that was not computed."""
        if self.inferred is None:
            return None
        told = {**self.metadata, "part": "what no tilt measured"}
        return replace(self, density=self.inferred, inferred=None, metadata=told)

    def in_file_order(self) -> NDArray[np.float32]:
        """The density with its axes in the order of its metadata's axis_order; a view, as it may be large."""
        return self.density if self.metadata.get("axis_order", "zyx") == "zyx" else self.density.swapaxes(0, 1)

    def as_volume(self) -> Volume:
        """The stack that holds it in the order of its metadata's axis_order, which also tell the range of tilts."""
        turned = self.metadata.get("axis_order", "zyx") != "zyx"
        along, across, dx = self.voxel_size or (None, None, None)
        if turned:
            along, across = across, along
        pixel_size = None if across is None or dx is None else (across, dx)
        told = {**self.metadata, "quantity": "density", "notes": list(self.notes)}
        if self.tilt_range is not None:
            told["tilt_range"] = list(self.tilt_range)
        return Volume(self.in_file_order(), pixel_size, along, metadata=told, provenance=self.provenance)


def _finite(name: str, array: ArrayLike) -> NDArray[np.float32]:
    values = stack(name, array)
    if not all(np.isfinite(plane).all() for plane in values):  # one by one, as a volume may fill much of the memory
        raise InvalidValue(name, "finite values", "NaN or infinite ones", "crop or fill those pixels")
    return values


def _checked_angles(angles: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    given = np.array(angles, np.float64)
    n = shape[0]
    if given.shape != (n,):
        turned = given.ndim == 1 and len(given) in shape[1:]
        hint = "move the axis of the projections to the front" if turned else "list one tilt for each projection"
        raise InvalidShape("angles", f"({n},), one for each projection", given.shape, hint)
    if not np.isfinite(given).all():
        raise InvalidValue("angles", "finite values [degrees]", "NaN or infinite ones")
    low, high = float(given.min()), float(given.max())
    _in_range("angles", low, high, radians=n > 2 and low < high)
    if low == high:
        raise InvalidValue("angles", "two different tilts or more", f"{low:g} alone")
    given.flags.writeable = False
    return given


def _checked_range(tilt_range: tuple[float, float] | None) -> tuple[float, float] | None:
    if tilt_range is None:
        return None
    given = np.asarray(tilt_range, np.float64)
    if given.shape != (2,):
        raise InvalidShape("tilt_range", "(2,), the lowest and the highest tilt", given.shape)
    low, high = (float(angle) for angle in given)
    if not (isfinite(low) and isfinite(high) and low < high):
        raise InvalidValue("tilt_range", "(low, high) [degrees], low below high", (low, high))
    _in_range("tilt_range", low, high, radians=True)
    return low, high


def _in_range(name: str, low: float, high: float, *, radians: bool) -> None:
    wanted, got = "degrees from -90 to 90", f"{low:.4g} to {high:.4g}"
    if radians and max(abs(low), abs(high)) <= _RADIANS:
        raise InvalidValue(name, wanted, f"{got}, which look like radians", "multiply them by 180 / π")
    if low < -_LIMIT or high > _LIMIT:
        hint = "for a beam from behind, mirror the projection and take 180 off its angle"
        raise InvalidValue(name, wanted, got, hint)


def _checked_voxel_size(voxel_size: VoxelSize | float | None) -> VoxelSize | None:
    if voxel_size is None:
        return None
    given = np.asarray(voxel_size, np.float64)
    if given.shape not in ((), (3,)) or not (np.isfinite(given).all() and (given > 0).all()):
        raise InvalidValue("voxel_size", "(dz, dy, dx) above zero [nm]", voxel_size, "use None when it is unknown")
    dz, dy, dx = (float(step) for step in np.broadcast_to(given, (3,)))
    return dz, dy, dx
