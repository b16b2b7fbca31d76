"""A tomogram that came without its tilt series: the projections that it stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from semrt.data import TiltSeries
from semrt.errors import InvalidValue
from semrt.physics.tilt import TiltGeometry
from semrt.tasks.wedge_volume import blurred, is_weighted, unweighted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semrt.data import Tomogram

__all__ = ["STEP", "as_series", "blurred", "check_cubic", "tilts_of"]

STEP = 2.0
"""Between the tilts [degrees]: what most series have; more of them say nothing new, and cost time."""
CUBIC = 0.01
"""Relative difference of dz and dx up to which a voxel is as long along the beam as across."""


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
        projections = unweighted(projections, geometry, n_threads=n_threads)
    pixel_size = None if tomogram.voxel_size is None else tomogram.voxel_size[1:]
    told = {"projected_from": "a volume", "weighted": weighted, "vacuum": vacuum}
    return TiltSeries(projections, angles, pixel_size, metadata=tomogram.metadata, provenance=told)


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
