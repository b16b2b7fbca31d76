"""What every array and length must fulfil before it flows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.errors import InvalidShape, InvalidValue

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "PixelSize",
    "checked_pixel_size",
    "checked_slice_thickness",
    "finite_where_visited",
    "like",
    "plane",
    "stack",
    "zero_where_unvisited",
]

PixelSize = tuple[float, float]


def plane(name: str, array: ArrayLike) -> NDArray[np.float32]:
    """(ny, nx) float32.  Raises InvalidShape, InvalidValue."""
    return _real(name, array, "(ny, nx)", {3: "choose one slice of the stack, or make a volume of it"})


def stack(name: str, array: ArrayLike) -> NDArray[np.float32]:
    """(nz, ny, nx) float32.  Raises InvalidShape, InvalidValue."""
    return _real(name, array, "(nz, ny, nx)", {2: "a single slice is no stack", 4: "choose one stack"})


def like(name: str, array: ArrayLike, shape: tuple[int, ...], dtype: type[Any]) -> NDArray[Any]:
    """The array in a dtype, if it has the shape of the intensities.  Raises InvalidShape."""
    given = np.asarray(array)
    if given.shape != shape:
        raise InvalidShape(name, f"{shape}, as intensity has", given.shape)
    return np.ascontiguousarray(given, dtype)


def finite_where_visited(intensity: NDArray[np.float32], visited: NDArray[np.bool_], where: str = "") -> None:
    """Raise InvalidValue where something was measured and is no number.  where: of which slice, for the message."""
    if not np.isfinite(intensity[visited]).all():
        raise InvalidValue(
            f"intensity{where}", "finite values where visited", "NaN or infinite ones", "mark those pixels as unvisited"
        )


def zero_where_unvisited(intensity: NDArray[np.float32], visited: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The same intensities with nothing in the gaps; the array itself where that is so already."""
    if np.greater(intensity != 0, visited).any():
        return np.where(visited, intensity, np.float32(0))
    return intensity


def checked_pixel_size(pixel_size: PixelSize | float | None) -> PixelSize | None:
    """(dy, dx) [nm], from one number too; None stays None.  Raises InvalidValue."""
    if pixel_size is None:
        return None
    try:
        dy, dx = (float(step) for step in np.broadcast_to(np.asarray(pixel_size, float), (2,)))
        known = bool(np.isfinite([dy, dx]).all()) and dy > 0 and dx > 0
    except (TypeError, ValueError):  # no numbers, or three of them
        known = False
    if not known:
        raise InvalidValue("pixel_size", "(dy, dx) above zero [nm]", pixel_size, "use None when it is unknown")
    return dy, dx


def checked_slice_thickness(slice_thickness: float | None) -> float | None:
    """The distance from slice to slice [nm]; None stays None.  Raises InvalidValue."""
    if slice_thickness is None:
        return None
    thickness = float(slice_thickness)
    if not (np.isfinite(thickness) and thickness > 0):
        raise InvalidValue("slice_thickness", "above zero [nm]", slice_thickness, "use None when it is unknown")
    return thickness


def _real(name: str, array: ArrayLike, wanted: str, hints: dict[int, str]) -> NDArray[np.float32]:
    given = np.asarray(array)
    if given.ndim != wanted.count(",") + 1 or 0 in given.shape:
        hint = hints.get(given.ndim, "")
        raise InvalidShape(name, f"{wanted} with at least one pixel", given.shape, hint)
    if given.dtype.kind not in "buif":
        raise InvalidValue(name, "real numbers", f"dtype {given.dtype}")
    return np.ascontiguousarray(given, np.float32)
