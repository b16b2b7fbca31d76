"""Projections of volumes at many tilts, their adjoint, and reconstruction from them, slice by slice.

A volume is (z, y, x) and the tilt axis y. At tilt θ what lies at (z, x) falls on the detector at s = x cos θ + z sin θ;
z, x and s are measured from the middle (n - 1) / 2. A tilt series is (tilt, y, s). A projection is density × path
length [px], averaged over each detector pixel.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from semrt import _core
from semrt.errors import InvalidOption, InvalidShape, InvalidValue
from semrt.kernels._threads import thread_count

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    Progress = Callable[[int, int], object]

__all__ = ["back_project_tilts", "project_tilts", "reconstruct_sirt", "reconstruct_tv"]


def project_tilts(
    volume: ArrayLike,
    angles: ArrayLike,
    n_detector: int | None = None,
    *,
    axis_offset: float = 0.0,
    n_threads: int | None = None,
) -> NDArray[np.float32]:
    """Project a volume at each tilt, (n, ny, n_detector) float32; the same for any number of threads.

    volume: (nz, ny, nx).  angles: (n,) [degrees].  n_detector: pixels along s; None for nx.
    axis_offset: where the tilt axis falls on the detector, from its middle [px].
    Where the detector reaches beyond the volume's shadow, each projection sums to what its slice sums to.
    Raises InvalidShape, InvalidValue, InvalidOption.
    Joseph 1982, doi:10.1109/TMI.1982.4307572.
    """
    density = _stack("volume", volume, "(nz, ny, nx)")
    tilts, n_s = _angles(angles), density.shape[2] if n_detector is None else int(n_detector)
    if n_s < 1:
        raise InvalidOption(f"n_detector: expected one pixel or more, got {n_detector}")
    return _core.tilt_project(density, tilts, n_s, _offset(axis_offset), thread_count(n_threads))


def back_project_tilts(
    series: ArrayLike,
    angles: ArrayLike,
    shape: tuple[int, int],
    *,
    axis_offset: float = 0.0,
    n_threads: int | None = None,
) -> NDArray[np.float32]:
    """Apply the adjoint of `project_tilts`, exact to rounding: (nz, ny, nx) float32, the same for any n_threads.

    series: (n, ny, ns).  angles: (n,) [degrees].  shape: (nz, nx) of a slice.
    axis_offset: where the tilt axis falls on the detector, from its middle [px].
    Raises InvalidShape, InvalidValue, InvalidOption.
    """
    tilts = _angles(angles)
    measured = _series(series, tilts)
    return _core.tilt_back_project(measured, tilts, _slice(shape), _offset(axis_offset), thread_count(n_threads))


def reconstruct_sirt(
    series: ArrayLike,
    angles: ArrayLike,
    shape: tuple[int, int],
    *,
    axis_offset: float = 0.0,
    iterations: int = 60,
    nonnegative: bool = True,
    start: ArrayLike | None = None,
    relaxation: float = 1.0,
    progress: Progress | None = None,
    n_threads: int | None = None,
) -> NDArray[np.float32]:
    """Reconstruct a volume by simultaneous iterations, each of which spreads what a ray misses over its pixels.

    series: (n, ny, ns).  angles: (n,) [degrees].  shape: (nz, nx) of a slice.
    axis_offset: where the tilt axis falls on the detector, from its middle [px].
    start: (nz, ny, nx) to begin with; None for nothing.  relaxation: of each step, above 0 and below 2.
    progress: called with (done, total) iterations over all slices; what it raises ends the work and is raised again.
    Returns (nz, ny, nx) float32, the same for any n_threads.  Raises InvalidShape, InvalidValue, InvalidOption.
    Gilbert 1972, doi:10.1016/0022-5193(72)90180-4.
    """
    tilts = _angles(angles)
    measured = _series(series, tilts)
    if not 0 < relaxation < 2:
        raise InvalidOption(f"relaxation: expected above 0 and below 2, got {relaxation}")
    volume, rounds = _start(start, measured, _slice(shape)), _iterations(iterations)
    offset, threads = _offset(axis_offset), thread_count(n_threads)
    _core.tilt_sirt(measured, tilts, volume, offset, rounds, float(relaxation), nonnegative, progress, threads)
    return volume


def reconstruct_tv(
    series: ArrayLike,
    angles: ArrayLike,
    shape: tuple[int, int],
    *,
    weight: float,
    axis_offset: float = 0.0,
    iterations: int = 120,
    nonnegative: bool = True,
    start: ArrayLike | None = None,
    progress: Progress | None = None,
    n_threads: int | None = None,
) -> NDArray[np.float32]:
    """Reconstruct each slice as the one that minimises ½ ‖A x - series‖² + weight · Σ |∇x|, by primal and dual steps.

    weight: of the total variation, 0 or more, in the units of the series (density × px).
    The other arguments, the result and what is raised are those of `reconstruct_sirt`.
    Chambolle & Pock 2011, doi:10.1007/s10851-010-0251-1; Pock & Chambolle 2011, doi:10.1109/ICCV.2011.6126441.
    """
    tilts = _angles(angles)
    measured = _series(series, tilts)
    if not (math.isfinite(weight) and weight >= 0):
        raise InvalidOption(f"weight: expected 0 or more, got {weight}")
    volume, rounds = _start(start, measured, _slice(shape)), _iterations(iterations)
    offset, threads = _offset(axis_offset), thread_count(n_threads)
    _core.tilt_tv(measured, tilts, volume, offset, rounds, float(weight), nonnegative, progress, threads)
    return volume


def _stack(name: str, array: ArrayLike, wanted: str) -> NDArray[np.float32]:
    stack = np.ascontiguousarray(array, np.float32)
    if stack.ndim != 3 or 0 in stack.shape:
        raise InvalidShape(name, f"{wanted} with at least one pixel", stack.shape)
    if not np.isfinite(stack).all():
        raise InvalidValue(name, "finite values", "NaN or infinite ones", "replace them")
    return stack


def _series(series: ArrayLike, angles: NDArray[np.float64]) -> NDArray[np.float32]:
    measured = _stack("series", series, "(n, ny, ns)")
    if len(measured) != len(angles):
        raise InvalidShape("series", f"({len(angles)}, ny, ns), one projection an angle", measured.shape)
    return measured


def _angles(angles: ArrayLike) -> NDArray[np.float64]:
    tilts = np.ascontiguousarray(angles, np.float64)
    if tilts.ndim != 1 or not len(tilts):
        raise InvalidShape("angles", "(n,) with at least one", tilts.shape)
    if not np.isfinite(tilts).all():
        raise InvalidValue("angles", "finite values [degrees]", "NaN or infinite ones")
    return tilts


def _slice(shape: tuple[int, int]) -> tuple[int, int]:
    if len(shape) != 2 or min(shape) < 1:
        raise InvalidOption(f"shape: expected (nz, nx) with at least one pixel, got {shape}")
    return int(shape[0]), int(shape[1])


def _offset(axis_offset: float) -> float:
    if not math.isfinite(axis_offset):
        raise InvalidOption(f"axis_offset: expected a finite number of pixels, got {axis_offset}")
    return float(axis_offset)


def _iterations(iterations: int) -> int:
    if iterations < 1:
        raise InvalidOption(f"iterations: expected one or more, got {iterations}")
    return int(iterations)


def _start(start: ArrayLike | None, series: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Where to begin, in memory that the kernel may overwrite."""
    wanted = shape[0], series.shape[1], shape[1]
    if start is None:
        return np.zeros(wanted, np.float32)
    volume = _stack("start", np.array(start, np.float32), "(nz, ny, nx)")
    if volume.shape != wanted:
        raise InvalidShape("start", f"{wanted}, as the reconstruction has", volume.shape)
    return volume
