"""What is solved of a tilt series or a tomogram, and what a result says of itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from semrt.data import TiltSeries, Tomogram
from semrt.errors import InvalidOption
from semrt.physics.missing_wedge import measured_part
from semrt.physics.tilt import TiltGeometry
from semrt.physics.tilt_solvers import noise_of
from semrt.tasks.wedge_series import as_series, tilts_of
from semrt.tasks.wedge_volume import find_vacuum, is_weighted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


Measured = TypeVar("Measured", bound="TiltSeries | Tomogram")

__all__ = [
    "Posed",
    "chi2_of",
    "notes_on",
    "posed",
    "shared_by_slices",
    "slice_memory",
    "some_slices",
    "tomogram",
]

LOOKED_AT = 16
"""Slices that tell what all of a measurement share: its noise, what empty space is, how it was reconstructed."""
FEW, COARSE, NARROW = 15, 5.0, 90.0
"""Tilts, degrees between them and degrees between the outermost, which are worth a note."""
OF_A_SERIES = ("tilt_angles", "axis_offset_px", "axes")
"""What a file says of projections that is not so of their tomogram."""
POOR = 2.0
"""Mean square of what is unexplained, in that of the noise, from which on something is wrong with the series."""


@dataclass(frozen=True, eq=False)
class Posed:
    """A measurement as the problem that is solved.

    series: as measured but for what the detector shows of nothing, or projected from the volume that was given.
    geometry: of its projections.  vacuum: what was taken off; in a volume a density, which is put back.
    noise: standard deviation of a detector pixel.
    """

    measured: TiltSeries | Tomogram
    series: TiltSeries
    geometry: TiltGeometry
    vacuum: float
    noise: float

    @property
    def of_volume(self) -> bool:
        """Whether the series was projected from a volume."""
        return isinstance(self.measured, Tomogram)


def shared_by_slices(
    measured: TiltSeries | Tomogram,
    *,
    vacuum: float | None = None,
    weighted: bool | None = None,
    noise: float | None = None,
    n_threads: int | None = None,
) -> dict[str, Any]:
    """Find what the slices of a measurement share, where it is not given; some of the slices tell.

    Options as of WedgeSolver.  Raises InvalidValue, InvalidShape.
    """
    needed = (noise,) if isinstance(measured, TiltSeries) else (vacuum, weighted, noise)
    some = some_slices(measured) if None in needed else measured
    if isinstance(some, TiltSeries):
        return {"vacuum": vacuum or 0.0, "noise": noise_of(some.intensity) if noise is None else noise}
    geometry = TiltGeometry(tilts_of(some), (some.shape[0], some.shape[2]))
    if vacuum is None:
        vacuum, weighted = find_vacuum(some.density, geometry, weighted=weighted, n_threads=n_threads)
    elif weighted is None:
        weighted = is_weighted(some.density, geometry, vacuum=vacuum, n_threads=n_threads)
    if noise is None:
        noise = noise_of(as_series(some, vacuum=vacuum, weighted=weighted, n_threads=n_threads).intensity)
    return {"vacuum": vacuum, "weighted": weighted, "noise": noise}


def some_slices(measured: Measured) -> Measured:
    """Some of the slices, spread evenly: all, where they are few."""
    n = measured.n_slices
    return cast("Measured", measured.slab(np.linspace(0, n - 1, min(n, LOOKED_AT)).round().astype(np.intp)))


def posed(
    measured: TiltSeries | Tomogram,
    *,
    thickness: int | None = None,
    vacuum: float | None = None,
    weighted: bool | None = None,
    noise: float | None = None,
    n_threads: int | None = None,
) -> Posed:
    """Make of a measurement the problem that is solved.

    Options as of WedgeSolver.  Raises InvalidOption, InvalidValue, InvalidShape.
    """
    if isinstance(measured, TiltSeries):
        if weighted is not None:
            raise InvalidOption("weighted: is for a tomogram; a tilt series is taken as it is, leave it out")
        if thickness is not None and thickness < 1:
            raise InvalidOption(f"thickness: expected 1 px or more, got {thickness}")
    elif thickness is not None and thickness != measured.shape[0]:
        raise InvalidOption(f"thickness: is for a tilt series; this tomogram is {measured.shape[0]} px high")
    shared = shared_by_slices(measured, vacuum=vacuum, weighted=weighted, noise=noise, n_threads=n_threads)
    noise = shared.pop("noise")
    if isinstance(measured, Tomogram):
        series = as_series(measured, **shared, n_threads=n_threads)
        shape = measured.shape[0], measured.shape[2]
    else:
        series, shape = measured, (thickness or measured.shape[2], measured.shape[2])
        if shared["vacuum"]:
            series = replace(series, intensity=series.intensity - np.float32(shared["vacuum"]))
    geometry = TiltGeometry(series.angles, shape, series.shape[2], series.axis_offset)
    return Posed(measured, series, geometry, shared["vacuum"], noise)


def tomogram(of: Posed, density: NDArray[np.float32], *, fitted: bool = True, n_threads: int | None = None) -> Tomogram:
    """A result with the calibration of the measurement, and what of it was inferred rather than measured.

    density: (nz, ny, nx), of the series.  fitted: whether it was made to explain the series.
    Of a volume that was given nothing is put back: what of it the result does not explain is noise, for the most part.
    A twentieth of that, at the frequencies that were measured, cost 0.04 dB on average over materials, two fifths 1 dB.
    """
    low, high = of.series.tilt_range
    inferred = density - measured_part(density, low, high)
    rest = of.geometry.project(density, n_threads=n_threads) - of.series.intensity
    unexplained = float(np.square(rest, dtype=np.float64).mean())
    told = {
        "tilts": len(of.series.angles),
        "tilt_range": [low, high],
        "fitted": fitted,
        "noise": of.noise,
        "vacuum": of.vacuum,
        "unexplained": unexplained,  # mean square, which a whole has from its parts
        "seen": float(np.square(of.series.intensity, dtype=np.float64).mean()),
        **{key: value for key, value in of.series.provenance.items() if of.of_volume},
    }
    metadata = of.measured.metadata
    if not of.of_volume:  # the tomogram lies elsewhere, and is no series
        told["tilt_angles"] = of.series.angles.tolist()
        metadata = {key: value for key, value in metadata.items() if key not in OF_A_SERIES}
    voxel_size = of.measured.voxel_size if isinstance(of.measured, Tomogram) else None
    if of.series.pixel_size is not None and voxel_size is None:
        dy, dx = of.series.pixel_size
        voxel_size = dx, dy, dx
    return Tomogram(
        density + np.float32(of.vacuum) if of.vacuum and of.of_volume else density,
        (low, high),
        voxel_size,
        inferred,
        metadata,
        told,
        notes_on(told),
    )


def notes_on(told: Mapping[str, Any]) -> tuple[str, ...]:
    """What the reader of a result must know.  told: its details."""
    low, high = told["tilt_range"]
    step = (high - low) / (told["tilts"] - 1)
    notes = []
    if told["tilts"] < FEW or step > COARSE:
        notes.append(f"{told['tilts']} tilts, {step:.3g} degrees apart, say little of detail far from the tilt axis")
    if high - low < NARROW:
        notes.append(f"tilts over {high - low:.3g} degrees alone leave most of each slice to be inferred")
    chi2 = chi2_of(told)
    if chi2 is not None and chi2 > POOR:
        notes.append(
            f"the result leaves {np.sqrt(chi2):.2g} times the noise of the series unexplained; are the projections"
            " aligned, is the tilt axis in their middle (--axis-offset), is the specimen within the thickness,"
            " is nothing dark and zero (vacuum)?"
        )
    if told["vacuum"] and "projected_from" in told:
        notes.append(f"a density of {told['vacuum']:.4g} counts as empty space; say another with vacuum")
    return tuple(notes)


def chi2_of(told: Mapping[str, Any]) -> float | None:
    """Mean square of what a fit leaves unexplained, in that of the noise; of a series that was measured, with noise."""
    if "projected_from" in told or not (told["fitted"] and told["noise"] > 0):
        return None
    return float(told["unexplained"]) / float(told["noise"]) ** 2


def slice_memory(measured: TiltSeries | Tomogram, thickness: int | None, planes: int) -> int:
    """Bytes that a slice takes in as many planes (nz, nx) float32, and in as many of the series as solvers hold."""
    if isinstance(measured, TiltSeries):
        n, nx = measured.shape[0], measured.shape[2]
        nz = thickness or nx
    else:
        n, nz, nx = len(tilts_of(measured)), measured.shape[0], measured.shape[2]
    return 4 * (planes * nz * nx + 5 * n * nx)
