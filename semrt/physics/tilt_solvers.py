"""Reconstructions from a tilt series: weighted back projection, SIRT, and total variation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from semrt.errors import InvalidOption, InvalidShape
from semrt.kernels.tilt import reconstruct_sirt, reconstruct_tv

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from semrt.physics.tilt import TiltGeometry

    Progress = Callable[[int, int], object]

__all__ = ["FILTERS", "angular_weights", "noise_of", "sirt", "tv", "tv_weight", "wbp"]

# By what each filter lowers the ramp; frequency in cycles a pixel, 0 to 0.5.
FILTERS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "ramp": np.ones_like,
    "shepp-logan": np.sinc,
    "cosine": lambda frequency: np.cos(np.pi * frequency),
    "hamming": lambda frequency: 0.54 + 0.46 * np.cos(2 * np.pi * frequency),
    "hann": lambda frequency: 0.5 + 0.5 * np.cos(2 * np.pi * frequency),
}

_WEIGHT = 1.5  # of total variation, in standard deviations of the noise that a pixel sums over the tilts


def wbp(
    series: ArrayLike,
    geometry: TiltGeometry,
    *,
    filter: str = "hann",  # noqa: A002  # as everybody calls it
    progress: Progress | None = None,
    n_threads: int | None = None,
) -> NDArray[np.float32]:
    """Reconstruct by weighted (filtered) back projection: (nz, ny, nx) float32, negative where noise or the wedge say.

    series: (n, ny, ns).  filter: a name of FILTERS.  progress: called with (done, total).
    Projections count by the angle that each stands for, so that tilts all around give the density, and what the wedge
    hides stays zero.  Raises InvalidShape, InvalidValue, InvalidOption.
    Kak & Slaney 1988, doi:10.1137/1.9780898719277, chapter 3.
    """
    if filter not in FILTERS:
        raise InvalidOption.unknown("filter", filter, FILTERS)
    geometry.check(series)
    measured = np.asarray(series, np.float32)
    n, _, ns = measured.shape
    length = 1 << (2 * ns - 1).bit_length()  # no shadow wraps round into another
    response = _ramp(length) * FILTERS[filter](np.arange(length // 2 + 1) / length)
    filtered = np.empty_like(measured)
    for i, weight in enumerate(angular_weights(geometry.angles)):
        spectrum = np.fft.rfft(measured[i], length, axis=-1) * (weight * response)
        filtered[i] = np.fft.irfft(spectrum, length, axis=-1)[:, :ns]
        if progress is not None:
            progress(i + 1, n + 1)
    volume = geometry.back_project(filtered, n_threads=n_threads)
    if progress is not None:
        progress(n + 1, n + 1)
    return volume


def sirt(
    series: ArrayLike,
    geometry: TiltGeometry,
    *,
    iterations: int = 60,
    nonnegative: bool = True,
    start: ArrayLike | None = None,
    relaxation: float = 1.0,
    progress: Progress | None = None,
    n_threads: int | None = None,
) -> NDArray[np.float32]:
    """Reconstruct by simultaneous iterations, (nz, ny, nx) float32.

    series: (n, ny, ns).  start: (nz, ny, nx) to begin with; None for nothing.  relaxation: above 0 and below 2.
    progress: called with (done, total) iterations over all slices; what it raises ends the work.
    Raises InvalidShape, InvalidValue, InvalidOption.  Gilbert 1972, doi:10.1016/0022-5193(72)90180-4.
    """
    geometry.check(series)
    return reconstruct_sirt(
        series,
        geometry.angles,
        geometry.shape,
        axis_offset=geometry.axis_offset,
        iterations=iterations,
        nonnegative=nonnegative,
        start=start,
        relaxation=relaxation,
        progress=progress,
        n_threads=n_threads,
    )


def tv(
    series: ArrayLike,
    geometry: TiltGeometry,
    *,
    weight: float | None = None,
    iterations: int = 120,
    nonnegative: bool = True,
    start: ArrayLike | None = None,
    progress: Progress | None = None,
    n_threads: int | None = None,
) -> NDArray[np.float32]:
    """Reconstruct with as little total variation as the measurement allows: least ½ ‖A x - b‖² + weight · Σ |∇x|.

    weight: in the units of the series; None for that of `tv_weight`.
    The other arguments, the result and what is raised are those of `sirt`.
    Chambolle & Pock 2011, doi:10.1007/s10851-010-0251-1.
    """
    geometry.check(series)
    if weight is None:
        weight = tv_weight(series)
    return reconstruct_tv(
        series,
        geometry.angles,
        geometry.shape,
        weight=weight,
        axis_offset=geometry.axis_offset,
        iterations=iterations,
        nonnegative=nonnegative,
        start=start,
        progress=progress,
        n_threads=n_threads,
    )


def tv_weight(series: ArrayLike, noise: float | None = None) -> float:
    """The weight of total variation that on average over materials was the best, at 100 counts as at 1000.

    series: (n, ny, ns).  noise: None for `noise_of` the series.  1.5 times it times the root of the number of tilts.
    Raises InvalidShape.
    """
    return _WEIGHT * (noise_of(series) if noise is None else noise) * float(np.sqrt(np.shape(series)[0]))


def noise_of(series: ArrayLike) -> float:
    """Standard deviation of a tilt series' noise, told from second differences along s; sharp edges add to it a little.

    series: (n, ny, ns) with 3 pixels or more along s, noise independent from pixel to pixel.  Raises InvalidShape.
    """
    measured = np.asarray(series, np.float32)
    if measured.ndim != 3 or 0 in measured.shape or measured.shape[-1] < 3:
        raise InvalidShape("series", "(n, ny, ns), ns 3 or more", measured.shape)
    # 6 = 1² + 2² + 1²; one projection at a time, as a series may fill much of the memory.
    squares = [np.mean(np.diff(projection, 2, axis=-1).astype(np.float64) ** 2) for projection in measured]
    return float(np.sqrt(np.mean(squares) / 6))


def angular_weights(angles: ArrayLike) -> NDArray[np.float64]:
    """The angle [radians] that each projection stands for: half of what lies between it and either neighbour.

    angles: (n,) [degrees], in any order.  Where a wedge is missing, the outermost stand for as much outwards as
    inwards; tilts all around stand for π together.
    """
    tilts = np.asarray(angles, np.float64)
    turned = np.mod(tilts, 180)  # a projection from behind is its mirror image
    order = np.argsort(turned, kind="stable")
    gaps = np.diff(turned[order], append=turned[order[0]] + 180)  # from each to the next, round to the first
    widest = int(np.argmax(gaps))
    others = np.delete(gaps, widest)
    before, after = np.roll(gaps, 1), gaps.copy()
    if len(others) and gaps[widest] > 1.5 * others.max() > 0:
        last, first = widest, (widest + 1) % len(gaps)
        after[last], before[first] = before[last], after[first]
    weights = np.empty_like(tilts)
    weights[order] = np.deg2rad(before + after) / 2
    return weights


def _ramp(length: int) -> NDArray[np.float64]:
    """|frequency| as the transform of its samples in space, which keeps the mean right; (length // 2 + 1,)."""
    distance = np.minimum(np.arange(length), length - np.arange(length))
    odd = distance % 2 == 1
    kernel = np.zeros(length)
    kernel[0] = 0.25
    kernel[odd] = -1 / (np.pi * distance[odd]) ** 2
    return np.asarray(np.fft.rfft(kernel).real)
