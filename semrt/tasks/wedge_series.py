"""A tomogram that came without its tilt series: the projections that it stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from semrt.data import TiltSeries
from semrt.errors import InvalidValue
from semrt.physics.tilt import TiltGeometry
from semrt.physics.tilt_solvers import sirt, wbp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semrt.data import Tomogram

__all__ = ["STEP", "as_series", "blurred", "check_cubic", "is_weighted", "tilts_of", "vacuum_of"]

STEP = 2.0
"""Between the tilts [degrees]: what most series have; more of them say nothing new, and cost time."""
CUBIC = 0.01
"""Relative difference of dz and dx up to which a voxel is as long along the beam as across."""
ROUNDS, BLUR = 4, 2.0
"""Of undoing a weighted back projection, and of its corrections [px], so that no noise grows. Over shells, pores, atoms
and particles, total variation came 0.5 to 5 dB nearer to the truth; more rounds gained less than 0.2 dB."""
TRIED, LOOKED_AT, ITERATIONS = 3, 16, 20
"""Slices that say whether a volume was back projected, of how many, and iterations of SIRT to find out."""

LEVELS, FAR = 256, 0.15
"""Of grey, among which the most frequent is looked for; share of their range by which it must lie off zero to count."""


def as_series(
    tomogram: Tomogram, *, vacuum: float = 0.0, weighted: bool | None = None, n_threads: int | None = None
) -> TiltSeries:
    """Project a tomogram at the tilts that it was reconstructed from, as far as its range tells them.

    vacuum: density of empty space, which is taken off first.
    weighted: whether the tomogram comes from weighted (filtered) back projection, which loses part of the mean and of
        what varies slowly where tilts are missing; the projections get that back. None to find out, see `is_weighted`.
    Returns projections (n, ny, nx) in density × px.  Raises InvalidValue where nobody said the range of tilts, or
    voxels are longer along z than along x.
    """
    check_cubic(tomogram)
    angles = tilts_of(tomogram)
    geometry = TiltGeometry(angles, (tomogram.shape[0], tomogram.shape[2]))
    density = tomogram.density - np.float32(vacuum) if vacuum else tomogram.density
    if weighted is None:
        weighted = is_weighted(density, geometry, n_threads=n_threads)
    projections = geometry.project(density, n_threads=n_threads)
    if weighted:
        projections = _unweighted(projections, geometry, n_threads)
    pixel_size = None if tomogram.voxel_size is None else tomogram.voxel_size[1:]
    told = {"projected_from": "a volume", "weighted": weighted, "vacuum": vacuum}
    return TiltSeries(projections, angles, pixel_size, metadata=tomogram.metadata, provenance=told)


def is_weighted(density: NDArray[np.float32], geometry: TiltGeometry, *, n_threads: int | None = None) -> bool:
    """Whether a volume (nz, ny, nx) looks like a weighted back projection rather than an iterative reconstruction.

    It does where something that is nowhere negative explains its projections better once those have got back what such
    a reconstruction loses. A few slices tell, those of the largest contrast.
    """
    ny = density.shape[1]
    looked_at = np.unique(np.linspace(0, ny - 1, min(ny, LOOKED_AT)).round().astype(int))
    contrast = density[:, looked_at].std((0, 2))
    if not contrast.any():
        return False
    slices = density[:, looked_at[np.argsort(contrast, kind="stable")[-TRIED:]]]
    projections = geometry.project(slices, n_threads=n_threads)

    def unexplained(series: NDArray[np.float32]) -> float:
        found = sirt(series, geometry, iterations=ITERATIONS, n_threads=n_threads)
        rest = geometry.project(found, n_threads=n_threads) - series
        return float(np.linalg.norm(rest) / np.linalg.norm(series))

    return unexplained(_unweighted(projections, geometry, n_threads)) < unexplained(projections)


def vacuum_of(density: NDArray[np.float32]) -> float:
    """Density of empty space in a volume: zero, or the most frequent value where that cannot be density above zero.

    That is where it is a dark one, far from zero, and either below zero or in a volume that nowhere comes down to zero,
    such as one that was scaled to whole numbers.  Noise and missing tilts reach below zero, but on either side of it.
    """
    low, high = (float(edge) for edge in np.percentile(density, (0.5, 99.5)))
    if not high > low:
        return low
    counts, edges = np.histogram(density, LEVELS, (low, high))
    around = np.convolve(counts, np.ones(5), mode="same")
    at = int(around.argmax())
    level = float(edges[at] + edges[at + 1]) / 2
    dark, far = level - low < high - level, abs(level) > FAR * (high - low)
    return level if dark and far and (level < 0 or low > 0) else 0.0


def tilts_of(tomogram: Tomogram) -> NDArray[np.float64]:
    """Angles [degrees] from the lowest tilt to the highest, both included, about STEP apart.  Raises InvalidValue."""
    if tomogram.tilt_range is None:
        hint = "give --tilt-range -60 60, or tilt_range=(-60, 60), of the series that it was reconstructed from"
        raise InvalidValue("tilt_range", "the lowest and the highest tilt [degrees] of a tomogram", "none", hint)
    low, high = tomogram.tilt_range
    return np.linspace(low, high, max(2, round((high - low) / STEP) + 1))


def check_cubic(tomogram: Tomogram) -> None:
    """Raise InvalidValue where voxels are longer along the beam than across; along the tilt axis they may be."""
    if tomogram.voxel_size is None:
        return
    dz, _, dx = tomogram.voxel_size
    if abs(dz - dx) > CUBIC * dx:
        nz = max(1, round(tomogram.shape[0] * dz / dx))
        hint = f"resample z to {nz} slices of {dx:.4g} nm, or leave the voxel size out if it is wrong"
        raise InvalidValue("voxel_size", "as long along z as along x", f"dz {dz:.4g} and dx {dx:.4g} nm", hint)


def _unweighted(projections: NDArray[np.float32], geometry: TiltGeometry, n_threads: int | None) -> NDArray[np.float32]:
    """The series whose weighted back projection has these projections, but for its fine detail."""
    series = projections
    for _ in range(ROUNDS):
        seen = geometry.project(wbp(series, geometry, filter="ramp", n_threads=n_threads), n_threads=n_threads)
        series = series + blurred(projections - seen, BLUR)
    return series


def blurred(series: NDArray[np.float32], width: float) -> NDArray[np.float32]:
    """Blur (n, ny, ns) along s by a Gaussian of standard deviation `width` [px]; the ends of rows go on as they are."""
    n = series.shape[-1]
    margin = int(4 * width)
    length = n + 2 * margin
    response = np.exp(-2 * (np.pi * width * np.fft.rfftfreq(length)) ** 2)
    result = np.empty_like(series)
    for projection, smooth in zip(series, result, strict=True):  # one by one: spectra of all would fill the memory
        wide = np.pad(projection, ((0, 0), (margin, margin)), mode="edge")
        smooth[:] = np.fft.irfft(np.fft.rfft(wide, axis=-1) * response, length, axis=-1)[:, margin : margin + n]
    return result
