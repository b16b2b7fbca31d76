"""Tomograms without a network: weighted back projection, simultaneous iterations, and total variation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from semrt.data import TiltSeries, Tomogram
from semrt.physics.tilt_solvers import sirt, tv, tv_weight, wbp
from semrt.tasks.wedge_problem import notes_on, posed, shared_by_slices, slice_memory, tomogram

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from semrt.tasks.base import Progress

__all__ = [
    "SOLVERS",
    "Wedge",
    "WedgeBySimultaneousIterations",
    "WedgeByTotalVariation",
    "WedgeByWeightedBackProjection",
    "WedgeSolver",
]

SOLVERS: Mapping[str, str] = {"tv": "wedge-tv", "sirt": "wedge-sirt", "wbp": "wedge-wbp"}
"""What a user calls them, best first -> their names."""
OF_A_VOLUME = 2.0
"""By what total variation weighs more: noise that a reconstruction has smoothed looks like less than it is."""


class WedgeSolver:
    """What the solvers share: each slice along the tilt axis is solved by itself.

    Options of all of them:

    thickness: height of the tomogram along the beam [px]; None for as much as it is wide. Of a tilt series alone.
    vacuum: density of empty space in a tomogram that is given; None to find out, see semrt.tasks.wedge_series.
        Of a tilt series, what its projections show where nothing is; None for zero.
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
