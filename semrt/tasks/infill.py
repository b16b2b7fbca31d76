"""A sparse scan completed by a network that corrects the classical estimate."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.data import Micrograph, SparseScan
from semrt.kernels import distance_to_sample, mask_statistics
from semrt.tasks.exposure import exposure_told, sample_values
from semrt.tasks.familiarity import strangeness, traits_of
from semrt.tasks.kriging import complete
from semrt.tasks.wiener import wiener_estimate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["INPUT_CHANNELS", "OUTPUT_CHANNELS", "Infill", "standardisation"]

INPUT_CHANNELS = (
    "intensity",  # standardised, 0 where unvisited
    "exposure",  # 1 where visited as a matter of course, 0 where unvisited
    "first_guess",  # that of `wiener`, standardised: the network adds its correction to this one
    "first_guess_error",  # its standard deviation, in spreads
    "smooth_guess",  # natural neighbours then Gaussian, less first_guess, in spreads
    "distance",  # log(1 + distance to the nearest sample [px])
    "noise",  # of one sample, in spreads: one number for the whole image
    "correlation_range",  # log of the variogram's range [px]: one number for the whole image
    "misfit",  # log of the first guess's errors at held-out samples, in those that it states: one number for the image
)
OUTPUT_CHANNELS = ("intensity", "error")
MISFIT = (0.05, 20.0)  # beyond, it is as bad as it gets
NOISE = INPUT_CHANNELS.index("noise")


def standardisation(scan: SparseScan) -> tuple[float, float]:
    """Mean and spread (standard deviation) of the visited pixels; a spread of 1 where all are alike.

    The network sees intensities in these units, so that contrast and offset of the detector do not matter; the result
    is turned back, so that absolute intensity is kept.
    """
    values = sample_values(scan)[scan.visited].astype(np.float64)
    mean, spread = float(values.mean()), float(values.std())
    return mean, spread if spread > 1e-6 * max(1e-12, abs(mean)) else 1.0


class Infill:
    """The `infill` model: a network on top of the best that is known without one."""

    accepts = SparseScan
    input_channels: tuple[str, ...] = INPUT_CHANNELS
    output_channels = OUTPUT_CHANNELS
    fallbacks: Mapping[str, str] = {"dip": "dip", "classical": "wiener"}

    def prepare(
        self, measured: SparseScan, *, n_threads: int | None = None, told: dict[str, Any] | None = None
    ) -> NDArray[np.float32]:
        """The network's input, (c, ny, nx) in the order of INPUT_CHANNELS.  told: gets what the first guess is."""
        mean, spread = standardisation(measured)
        classical = wiener_estimate(measured, n_threads=n_threads)
        if told is not None:
            told["first_guess"] = classical.method
        scale = np.float32(1 / spread)
        prepared = np.empty((len(INPUT_CHANNELS), *measured.shape), np.float32)
        channel = dict(zip(INPUT_CHANNELS, prepared, strict=True))
        np.multiply(sample_values(measured) - np.float32(mean), scale, out=channel["intensity"])
        channel["intensity"] *= measured.visited
        channel["exposure"][:] = measured.visited if measured.exposure is None else measured.exposure * measured.visited
        np.multiply(classical.estimate - np.float32(mean), scale, out=channel["first_guess"])
        np.multiply(classical.error, scale, out=channel["first_guess_error"])
        np.multiply(classical.smooth - classical.estimate, scale, out=channel["smooth_guess"])
        np.log1p(distance_to_sample(measured.visited, n_threads=n_threads), out=channel["distance"])
        channel["noise"][:] = np.sqrt(classical.variogram.nugget) / spread
        channel["correlation_range"][:] = np.log(classical.variogram.range)
        channel["misfit"][:] = np.log(np.clip(classical.misfit, *MISFIT))
        return prepared

    def finish(
        self,
        predicted: NDArray[np.float32],
        prepared: NDArray[np.float32],
        measured: SparseScan,
        *,
        denoise: bool = False,
        domain: Mapping[str, Any] | None = None,
        told: Mapping[str, Any] | None = None,
    ) -> Micrograph:
        """Turn estimate and error, (2, ny, nx) and standardised, back into intensities; say what is strange about it.

        Its provenance has the traits of the scan, in its notes those that training never saw, and what was told: that
        the first guess was a learnt spectrum means that a lattice, if there is one, was continued between the samples.
        """
        mean, spread = standardisation(measured)
        estimate = predicted[0] * np.float32(spread) + np.float32(mean)
        error = predicted[1] * np.float32(spread)
        completed = complete(measured, estimate, error, float(prepared[NOISE, 0, 0]) * spread, denoise=denoise)
        traits = traits_of(dict(zip(self.input_channels, prepared, strict=True)))
        notes = strangeness(traits, (domain or {}).get("familiar", {}))
        details: dict[str, Any] = {"traits": traits, **(told or {}), "notes": notes, **exposure_told(measured)}
        return replace(completed, provenance=details)

    def outside_domain(
        self, measured: SparseScan, domain: Mapping[str, Any], *, n_threads: int | None = None
    ) -> str | None:
        """Why the scan is unlike those of the training: its coverage, or its largest gap."""
        statistics = mask_statistics(measured.visited, n_threads=n_threads)
        least, most = domain["coverage"]
        if not least <= statistics.coverage <= most:
            trained = f"1/{1 / most:.3g} to 1/{1 / least:.3g}"
            return f"coverage 1/{1 / statistics.coverage:.3g} lies outside the trained {trained}"
        if statistics.largest_gap > domain["largest_gap"]:
            return f"largest gap {statistics.largest_gap:.0f} px exceeds the trained {domain['largest_gap']:.0f} px"
        return None
