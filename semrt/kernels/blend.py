"""Cut tiles out of a field and blend them together again; a field has two or three axes, (ny, nx) or (nz, ny, nx)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from semrt import _core
from semrt.errors import InvalidOption, InvalidShape, InvalidValue
from semrt.kernels._threads import thread_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

__all__ = ["Border", "add_tile", "cut_tile", "tile_window"]

Border = Literal["reflect", "edge"]

LEVELS = 256  # of the ramp: products of three weights fit in the 24 bits of a float32, so that sums of them are exact
LONGEST_RAMP = 32  # [px]; beyond it every pixel blended twice costs memory traffic and smooths no better


def tile_window(size: int, halo: int, *, before: int = 0, after: int = 0) -> NDArray[np.float32]:
    """Weights of a tile along one axis; together with those of its neighbours they are exactly one everywhere.

    size: pixels of the tile.  halo: pixels at a cut side that are not exact and get no weight.
    before, after: pixels shared with the tile before and after; 0 where the field ends and nothing is cut.
    A cosine ramp leads from tile to tile in the middle of what both know exactly.  Returns (size,) float32.
    Raises InvalidOption where a neighbour shares less than both halos, or so much that three tiles would meet.
    """
    if max(before, after, before + after - 2 * halo) > size:
        raise InvalidOption(f"a tile of {size} px shares {before} and {after} px; expected {size + 2 * halo} at most")
    window = np.ones(size, np.float32)
    window[:before] *= _handover(before, halo)
    window[size - after :] *= 1 - _handover(after, halo)
    return window


def cut_tile(
    field: ArrayLike,
    origin: Sequence[int],
    tile: NDArray[np.float32],
    *,
    border: Border = "reflect",
    n_threads: int | None = None,
) -> None:
    """Copy into `tile` the part of `field` that begins at `origin`, which may reach beyond it.

    field: (n, [nz,] ny, nx).  origin: ([z,] y, x) [px].  tile: (n, …) float32 with as many axes, written in place.
    border: beyond the field stand its mirror images (reflect: d c b a | a b c d) or its last pixels (edge).
    Raises InvalidShape, InvalidValue, InvalidOption.
    """
    if border not in ("reflect", "edge"):
        raise InvalidOption.unknown("border", border, ("reflect", "edge"))
    source = np.ascontiguousarray(field, np.float32)
    _check_channels("field", source.shape)
    _check_like("tile", tile, source)
    _core.cut_tile(source, _origin(origin, source.ndim - 1), border == "reflect", tile, thread_count(n_threads))


def add_tile(
    tile: ArrayLike,
    window: Sequence[NDArray[np.float32]],
    origin: Sequence[int],
    canvas: NDArray[np.float32],
    *,
    n_threads: int | None = None,
) -> None:
    """Add `tile` times `window` to the part of `canvas` that begins at `origin`; what lies outside is left out.

    tile: (n, [nz,] ny, nx).  window: one array of weights for each axis.  origin: ([z,] y, x) [px].
    canvas: (n, …) float32 with as many axes, written in place.  Raises InvalidShape, InvalidValue.
    """
    source = np.ascontiguousarray(tile, np.float32)
    _check_channels("tile", source.shape)
    _check_like("canvas", canvas, source)
    weights = [np.ascontiguousarray(weight, np.float32) for weight in window]
    if tuple(weight.shape for weight in weights) != tuple((size,) for size in source.shape[1:]):
        raise InvalidShape("window", f"one of {source.shape[1:]}", tuple(weight.size for weight in weights))
    if len(weights) == 2:
        weights.insert(0, np.ones(1, np.float32))
    window_z, window_y, window_x = weights
    place = _origin(origin, source.ndim - 1)
    _core.add_tile(source, window_z, window_y, window_x, place, canvas, thread_count(n_threads))


def _handover(shared: int, halo: int) -> NDArray[np.float32]:
    """Weights, over the pixels that two tiles share, of the later one: 0, a rising ramp, 1."""
    exact = shared - 2 * halo if shared else 0
    if exact < 0:
        raise InvalidOption(f"tiles share {shared} px; expected 0 or at least {2 * halo}, twice the halo")
    length = min(exact, LONGEST_RAMP)
    first = (shared - length) // 2
    weights = np.zeros(shared, np.float32)
    weights[first:] = 1
    phase = (np.arange(length) + 0.5) / max(length, 1)
    weights[first : first + length] = np.round(LEVELS * (0.5 - 0.5 * np.cos(np.pi * phase))) / LEVELS
    return weights


def _check_channels(name: str, shape: tuple[int, ...]) -> None:
    if len(shape) not in (3, 4) or 0 in shape:
        raise InvalidShape(name, "(n, ny, nx) or (n, nz, ny, nx) with at least one pixel", shape)


def _check_like(name: str, written: NDArray[np.float32], source: NDArray[np.float32]) -> None:
    """What the core writes to must fit as it is: a converted copy would be lost."""
    if written.ndim != source.ndim or written.shape[0] != source.shape[0]:
        raise InvalidShape(name, f"{source.shape[0]} channels and {source.ndim - 1} axes", written.shape)
    if written.dtype != np.float32 or not written.flags.c_contiguous or not written.flags.writeable:
        raise InvalidValue(name, "a contiguous, writeable float32 array", f"{written.dtype}, {written.strides}")


def _origin(origin: Sequence[int], n_axes: int) -> tuple[int, int, int]:
    if len(origin) != n_axes:
        raise InvalidShape("origin", f"({n_axes},)", (len(origin),))
    z, y, x = (0, *origin) if n_axes == 2 else origin
    return int(z), int(y), int(x)
