"""Tomograms without the noise, and with what no tilt measured filled in: a network corrects what solvers found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.data import TiltSeries, Tomogram
from semrt.tasks.wedge_input import INPUT_CHANNELS, NEIGHBOURS, consistent, density_of, density_scale, wedge_input
from semrt.tasks.wedge_problem import notes_on, posed, shared_by_slices, slice_memory, some_slices, tomogram
from semrt.tasks.wedge_series import tilts_of
from semrt.tasks.wedge_solvers import SOLVERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from semrt.tasks.base import Progress

__all__ = ["WedgeByNetwork"]


class WedgeByNetwork:
    """The `wedge-network` task: solvers, slice by slice, and a network that knows their mistakes.

    Options: those of WedgeSolver, and
    scale: what density is usual in the specimen; None to find out.
    turned: whether the network sees every slice a second time, turned by 180°, in which the tilts are what they were;
        the mean of both is 0.2 dB nearer to the truth, and takes the network twice.
    """

    accepts = (TiltSeries, Tomogram)
    gives = Tomogram
    input_channels = INPUT_CHANNELS
    fallbacks: Mapping[str, str] = {"classical": "wedge-tv"}
    solvers: Mapping[str, str] = SOLVERS
    neighbours = NEIGHBOURS
    notes_on = staticmethod(notes_on)

    def prepare(
        self,
        measured: TiltSeries | Tomogram,
        *,
        thickness: int | None = None,
        vacuum: float | None = None,
        weighted: bool | None = None,
        noise: float | None = None,
        scale: float | None = None,
        turned: bool = True,
        n_threads: int | None = None,
        progress: Progress | None = None,
    ) -> NDArray[np.float32]:
        """The network's input, (ny, c, nz, nx): an image for each slice, its channels in the order of INPUT_CHANNELS.

        Where they are also turned, those follow: (2 ny, c, nz, nx).

        Raises InvalidOption, InvalidValue, InvalidShape.
        """
        of = posed(measured, thickness=thickness, vacuum=vacuum, weighted=weighted, noise=noise, n_threads=n_threads)
        if scale is None:
            scale = density_scale(some_slices(of.series), of.geometry.shape, n_threads=n_threads)
        planes = wedge_input(
            of.series,
            of.geometry.shape,
            scale=scale,
            of_volume=of.of_volume,
            noise=of.noise,
            n_threads=n_threads,
            progress=None if progress is None else lambda done, total: progress(done, total, "iteration"),
        )
        return np.concatenate((planes, planes[..., ::-1, ::-1])) if turned else planes

    def finish(
        self,
        predicted: NDArray[np.float32],
        prepared: NDArray[np.float32],
        measured: TiltSeries | Tomogram,
        *,
        thickness: int | None = None,
        vacuum: float | None = None,
        weighted: bool | None = None,
        noise: float | None = None,
        scale: float | None = None,
        turned: bool = True,
        n_threads: int | None = None,
    ) -> Tomogram:
        """The tomogram that the network says, brought nearer to the measurement.

        predicted: (ny, 1, nz, nx), or twice as many, of which the second half is turned.
        """
        of = posed(measured, thickness=thickness, vacuum=vacuum, weighted=weighted, noise=noise, n_threads=n_threads)
        if scale is None:
            scale = density_scale(some_slices(of.series), of.geometry.shape, n_threads=n_threads)
        if turned:
            upright, other = np.split(predicted, 2)
            predicted = 0.5 * (upright + other[..., ::-1, ::-1])
        density = consistent(density_of(predicted, scale), of.series, n_threads=n_threads)
        return tomogram(of, density, n_threads=n_threads)

    def outside_domain(self, measured: TiltSeries | Tomogram, domain: Mapping[str, Any]) -> str | None:
        """Why the tilts are unlike those of the training: they span too little or too much, or lie too far apart."""
        angles = measured.angles if isinstance(measured, TiltSeries) else tilts_of(measured)
        span = float(angles.max() - angles.min())
        for what, value, (low, high) in (
            ("tilts over", span, domain["span_deg"]),
            ("tilts every", span / (len(angles) - 1), domain["step_deg"]),
        ):
            if not low <= value <= high:
                return f"trained on {what} {low:g} to {high:g} degrees, not {value:.3g}"
        return None

    def shared(
        self,
        measured: TiltSeries | Tomogram,
        *,
        thickness: int | None = None,
        vacuum: float | None = None,
        weighted: bool | None = None,
        noise: float | None = None,
        scale: float | None = None,
        n_threads: int | None = None,
    ) -> dict[str, Any]:
        """Options that all parts of a measurement share."""
        shared = shared_by_slices(measured, vacuum=vacuum, weighted=weighted, noise=noise, n_threads=n_threads)
        if scale is None:
            of = posed(some_slices(measured), thickness=thickness, **shared, n_threads=n_threads)
            scale = density_scale(of.series, of.geometry.shape, n_threads=n_threads)
        return {**shared, "scale": scale}

    def memory(self, measured: TiltSeries | Tomogram, *, thickness: int | None = None) -> int:
        """Bytes that a slice of the measurement takes while it is solved."""
        return slice_memory(measured, thickness, planes=2 * len(INPUT_CHANNELS) + 10)
