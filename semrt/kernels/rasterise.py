"""From samples of a probe that went anywhere to pixels, and from pixels to what such a probe records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from semrt import _core
from semrt.errors import InvalidOption, InvalidShape, InvalidValue
from semrt.kernels._threads import thread_count

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Rasterised", "rasterise", "record"]

_WIDEST_PROBE = 10_000


@dataclass(frozen=True, eq=False, slots=True)
class Rasterised:
    """Samples on the pixels of their field.

    visited: (ny, nx) bool, where any exposure went.
    dwell_time: (ny, nx) float32, the exposure of each pixel [µs].
    intensity: (ny, nx) float32, the mean of each pixel's samples weighted by exposure; zero where unvisited.
    outside: how many samples lay outside the field; they are in none of the above.
    """

    visited: NDArray[np.bool_]
    dwell_time: NDArray[np.float32]
    intensity: NDArray[np.float32]
    outside: int


def rasterise(
    positions: ArrayLike,
    shape: tuple[int, int],
    *,
    intensities: ArrayLike | None = None,
    dwell_time: ArrayLike | None = None,
    probe_sigma: float = 0.0,
    split: bool = False,
    n_threads: int | None = None,
) -> Rasterised:
    """Grid samples: which pixels were visited, for how long, and with what mean intensity.

    positions: (n, 2) as (y, x) [px], any float; a sample belongs to the pixel it rounds to, and NaN lies outside.
    shape: (ny, nx) of the field.  intensities: (n,) or None.
    dwell_time: (n,) or one for all [µs]; 1 without.  A sample of no dwell time visits nothing.
    probe_sigma: standard deviation [px] of a Gaussian probe that exposes the pixels around it, cut at 4 sigma.
    split: share each sample among its four nearest pixels instead, as bilinear interpolation does.
    Raises InvalidShape, InvalidValue (intensities not finite, dwell times negative), InvalidOption.
    """
    at = _positions(positions)
    ny, nx = _field(shape)
    if dwell_time is None:
        dwell_time = 1.0
    elif np.ndim(dwell_time) > 0:
        _same_length("dwell_time", dwell_time, at)
    times = np.ascontiguousarray(np.broadcast_to(np.asarray(dwell_time, np.float64), len(at)))
    if not (np.isfinite(times).all() and (times >= 0).all()):
        raise InvalidValue("dwell_time", "finite times of 0 or more [µs]", "others")
    signal = None
    if intensities is not None:
        signal = _same_length("intensities", intensities, at)
        if not np.isfinite(signal).all():
            raise InvalidValue("intensities", "finite values", "NaN or infinite ones", "leave those samples out")
    sigma = _sigma(probe_sigma, split)
    return Rasterised(*_core.rasterise(at, (ny, nx), times, signal, split, sigma, thread_count(n_threads)))


def record(
    image: ArrayLike,
    positions: ArrayLike,
    *,
    probe_sigma: float = 0.0,
    split: bool = True,
    n_threads: int | None = None,
) -> NDArray[np.float32]:
    """What a probe records at each position of a path over an image: (n,) float32, NaN outside the field.

    image: (ny, nx).  positions: (n, 2) as (y, x) [px].
    probe_sigma: the mean of the image under a Gaussian probe of this standard deviation [px], cut at 4 sigma.
    split: without a probe, interpolate bilinearly (False: take the nearest pixel).
    Raises InvalidShape, InvalidOption.
    """
    seen = np.ascontiguousarray(image, np.float32)
    if seen.ndim != 2 or 0 in seen.shape:
        raise InvalidShape("image", "(ny, nx) with at least one pixel", seen.shape)
    at = _positions(positions)
    return _core.record(seen, at, split, _sigma(probe_sigma, False), thread_count(n_threads))


def _positions(positions: ArrayLike) -> NDArray[np.float64]:
    at = np.ascontiguousarray(positions, np.float64)
    if at.size == 0:
        return at.reshape(0, 2)
    if at.ndim != 2 or at.shape[1] != 2:
        raise InvalidShape("positions", "(n, 2) as (y, x)", at.shape)
    return at


def _field(shape: tuple[int, int]) -> tuple[int, int]:
    if len(shape) != 2 or min(shape) < 1:
        raise InvalidShape("shape", "(ny, nx) with at least one pixel", tuple(shape))
    ny, nx = shape
    return int(ny), int(nx)


def _same_length(name: str, values: ArrayLike, positions: NDArray[np.float64]) -> NDArray[np.float64]:
    array = np.ascontiguousarray(values, np.float64)
    if array.shape != (len(positions),):
        raise InvalidShape(name, f"({len(positions)},), one a position", array.shape)
    return array


def _sigma(probe_sigma: float, split: bool) -> float:
    if not 0 <= probe_sigma <= _WIDEST_PROBE:
        raise InvalidOption(f"probe_sigma: expected a standard deviation of 0 to {_WIDEST_PROBE} px, got {probe_sigma}")
    if split and probe_sigma > 0:
        raise InvalidOption("split: a Gaussian probe already shares its samples out; leave out one of the two")
    return float(probe_sigma)
