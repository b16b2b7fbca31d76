"""Tomograms without a network: weighted back projection, simultaneous iterations, and total variation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

import numpy as np

from semrt.data import TiltSeries, Tomogram
from semrt.errors import InvalidOption
from semrt.physics.missing_wedge import measured_part
from semrt.physics.tilt import TiltGeometry
from semrt.physics.tilt_solvers import noise_of, sirt, tv, tv_weight, wbp
from semrt.tasks.wedge_series import as_series, is_weighted, tilts_of, vacuum_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from semrt.tasks.base import Progress

    Method = Callable[[NDArray[np.float32], TiltGeometry], NDArray[np.float32]]

Measured = TypeVar("Measured", bound="TiltSeries | Tomogram")

__all__ = [
    "SOLVERS",
    "Posed",
    "Wedge",
    "WedgeBySimultaneousIterations",
    "WedgeByTotalVariation",
    "WedgeByWeightedBackProjection",
    "WedgeSolver",
    "chi2_of",
    "notes_on",
    "posed",
    "shared_by_slices",
    "slice_memory",
    "some_slices",
    "tomogram",
]

SOLVERS: Mapping[str, str] = {"tv": "wedge-tv", "sirt": "wedge-sirt", "wbp": "wedge-wbp"}
"""What a user calls them, best first -> their names."""
LOOKED_AT = 16
"""Slices that tell what all of a measurement share: its noise, what empty space is, how it was reconstructed."""
OF_A_VOLUME = 2.0
"""By what total variation weighs more: noise that a reconstruction has smoothed looks like less than it is."""
FEW, COARSE, NARROW = 15, 5.0, 90.0
"""Tilts, degrees between them and degrees between the outermost, which are worth a note."""
OF_A_SERIES = ("tilt_angles", "axis_offset_px", "axes")
"""What a file says of projections that is not so of their tomogram."""
POOR = 2.0
"""Mean square of what is unexplained, in that of the noise, from which on something is wrong with the series."""


@dataclass(frozen=True, eq=False)
class Posed:
    """A measurement as the problem that is solved.

    series: as measured, or projected from the volume that was given.  geometry: of its projections.
    vacuum: density that was taken off, and is put back.  noise: standard deviation of a detector pixel.
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
        return {"noise": noise_of(some.intensity) if noise is None else noise}
    if vacuum is None:
        vacuum = vacuum_of(some.density)
    if weighted is None:
        geometry = TiltGeometry(tilts_of(some), (some.shape[0], some.shape[2]))
        weighted = is_weighted(some.density - np.float32(vacuum), geometry, n_threads=n_threads)
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
        for name, value in (("vacuum", vacuum), ("weighted", weighted)):
            if value is not None:
                raise InvalidOption(f"{name}: is for a tomogram; a tilt series is taken as it is, leave it out")
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
    geometry = TiltGeometry(series.angles, shape, series.shape[2], series.axis_offset)
    return Posed(measured, series, geometry, shared.get("vacuum", 0.0), noise)


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
        density + np.float32(of.vacuum) if of.vacuum else density,
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
            " aligned, is the tilt axis in their middle (--axis-offset), is the specimen within the thickness?"
        )
    if told.get("vacuum"):
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


class WedgeSolver:
    """What the solvers share: each slice along the tilt axis is solved by itself.

    Options of all of them:

    thickness: height of the tomogram along the beam [px]; None for as much as it is wide. Of a tilt series alone.
    vacuum: density of empty space in a tomogram that is given; None to find out, see semrt.tasks.wedge_series.
    weighted: whether a tomogram that is given comes from weighted back projection; None to find out, likewise.
    noise: standard deviation of a pixel of the projections; None to estimate it.
    """

    accepts = (TiltSeries, Tomogram)
    gives = Tomogram
    neighbours = 0
    notes_on = staticmethod(notes_on)

    def shared(
        self,
        measured: TiltSeries | Tomogram,
        *,
        vacuum: float | None = None,
        weighted: bool | None = None,
        noise: float | None = None,
        n_threads: int | None = None,
    ) -> dict[str, Any]:
        """Options that all parts of a measurement share."""
        return shared_by_slices(measured, vacuum=vacuum, weighted=weighted, noise=noise, n_threads=n_threads)

    def memory(self, measured: TiltSeries | Tomogram, *, thickness: int | None = None) -> int:
        """Bytes that a slice of the measurement takes while it is solved."""
        return slice_memory(measured, thickness, planes=6)


class WedgeByWeightedBackProjection(WedgeSolver):
    """The `wedge-wbp` model: what everybody starts from."""

    def solve(
        self,
        measured: TiltSeries | Tomogram,
        *,
        filter: str = "hann",  # noqa: A002  # as everybody calls it
        thickness: int | None = None,
        vacuum: float | None = None,
        weighted: bool | None = None,
        noise: float | None = None,
        n_threads: int | None = None,
        progress: Progress | None = None,
    ) -> Tomogram:
        """Reconstruct a tilt series.  filter: see semrt.physics.tilt_solvers.  Further options as of WedgeSolver."""
        of = posed(measured, thickness=thickness, vacuum=vacuum, weighted=weighted, noise=noise, n_threads=n_threads)
        told = _iterations(progress)
        density = wbp(of.series.intensity, of.geometry, filter=filter, progress=told, n_threads=n_threads)
        return tomogram(of, density, fitted=False, n_threads=n_threads)


class WedgeBySimultaneousIterations(WedgeSolver):
    """The `wedge-sirt` model: the measurement's least squares, ended early, nowhere below zero."""

    def solve(
        self,
        measured: TiltSeries | Tomogram,
        *,
        iterations: int = 60,
        thickness: int | None = None,
        vacuum: float | None = None,
        weighted: bool | None = None,
        noise: float | None = None,
        n_threads: int | None = None,
        progress: Progress | None = None,
    ) -> Tomogram:
        """Reconstruct a tilt series.  Further options as of WedgeSolver."""
        of = posed(measured, thickness=thickness, vacuum=vacuum, weighted=weighted, noise=noise, n_threads=n_threads)
        told = _iterations(progress)
        density = sirt(of.series.intensity, of.geometry, iterations=iterations, progress=told, n_threads=n_threads)
        return tomogram(of, density, n_threads=n_threads)


class WedgeByTotalVariation(WedgeSolver):
    """The `wedge-tv` model: the density of fewest edges that explains the measurement, nowhere below zero."""

    def solve(
        self,
        measured: TiltSeries | Tomogram,
        *,
        weight: float | None = None,
        iterations: int = 120,
        thickness: int | None = None,
        vacuum: float | None = None,
        weighted: bool | None = None,
        noise: float | None = None,
        n_threads: int | None = None,
        progress: Progress | None = None,
    ) -> Tomogram:
        """Reconstruct a tilt series.

        weight: of total variation, in the units of the projections; None for one that suits their noise.
        Further options as of WedgeSolver.
        """
        of = posed(measured, thickness=thickness, vacuum=vacuum, weighted=weighted, noise=noise, n_threads=n_threads)
        if weight is None:
            weight = tv_weight(of.series.intensity, of.noise) * (OF_A_VOLUME if of.of_volume else 1.0)
        told = _iterations(progress)
        density = tv(
            of.series.intensity, of.geometry, weight=weight, iterations=iterations, progress=told, n_threads=n_threads
        )
        return tomogram(of, density, n_threads=n_threads)


class Wedge(WedgeByTotalVariation):
    """The `wedge` model, as long as no trained network of that name is there."""

    solvers: ClassVar[Mapping[str, str]] = SOLVERS


def _iterations(progress: Progress | None) -> Callable[[int, int], object] | None:
    return None if progress is None else lambda done, total: progress(done, total, "iteration")
